// A long session at once, in bins: tokens of the fullest prompt of each, misses above, the window that is shown below it.

import {fitted} from './dom.js';
import {ink} from './theme.js';

export class Overview {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** `map` is an answer with bins; `from` and `to` bound the window, `turn` is the cursor. */
  draw(map, from, to, turn) {
    const context = fitted(this.canvas), {width, height} = this.canvas, bins = decoded(map), dot = devicePixelRatio || 1;
    Object.assign(this, {map, turns: map.turns});
    const most = Math.max(1, ...bins.map((bin) => bin.tokens)), x = (at) => ((at - 1) / map.turns) * width;
    for (const bin of bins) {
      const left = x(bin.from), size = Math.max(dot, x(bin.to + 1) - left), full = (bin.tokens / most) * (height - 8 * dot);
      context.fillStyle = ink('stratum');
      context.fillRect(left, height - full, size, full);
      context.fillStyle = ink('cached');
      context.fillRect(left, height - full, size, (full * bin.cached) / Math.max(1, bin.tokens));
      if (bin.bounds) (context.fillStyle = ink('bound')), context.fillRect(left, 0, dot, height);
      tick(context, bin, left, Math.max(2 * dot, size));
    }
    context.fillStyle = ink('ground');
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, x(from), height);
    context.fillRect(x(to + 1), 0, width, height);
    context.globalAlpha = 1;
    context.strokeStyle = ink('cursor');
    context.strokeRect(x(from) + 0.5, 0.5, Math.max(2, x(to + 1) - x(from) - 1), height - 1);
    context.fillStyle = ink('cursor');
    context.fillRect(x(turn), 0, dot, height);
  }

  turn(x) {
    return Math.max(1, Math.min(this.turns, 1 + Math.floor(x * this.turns)));
  }
}

/** What went wrong in a bin, if anything: a tick at the head, a longer one for faults. */
export function tick(context, bin, left, size) {
  if (!bin.misses && !bin.faults) return;
  const dot = devicePixelRatio || 1;
  context.fillStyle = ink(bin.faults ? 'fault' : 'miss');
  context.fillRect(left, 0, size, (bin.faults ? 7 : 4) * dot);
}

/** Bins of an answer as objects. */
export const decoded = (map) =>
  (map.bins ?? []).map((values) => Object.fromEntries(map.bin_fields.map((name, i) => [name, values[i]])));
