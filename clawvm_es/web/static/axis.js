// The turns under the pictures: their numbers, and the names of boundaries. A drag along it zooms.

import {fitted} from './dom.js';
import {Scale} from './scale.js';
import {ink} from './theme.js';
import {boundary} from './words.js';

const APART = 56;

/** The turns to number, at least `apart` pixels from each other over `width`: multiples of 1, 2 or 5 times a power of ten. */
export function ticksOf(from, to, width, apart = APART) {
  const least = Math.max(1, ((to - from + 1) * apart) / width), power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least), found = [];
  for (let turn = Math.ceil(from / step) * step; turn <= to; turn += step) found.push(turn);
  return found;
}

export class Axis {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** `chosen` is `[first, last]` while turns are being chosen by a drag. */
  draw(timeline, from, to, turn, chosen = null) {
    const context = fitted(this.canvas), {width, height} = this.canvas, dot = devicePixelRatio || 1, taken = [];
    Object.assign(this, {scale: new Scale(from, to, width, height)});
    context.textBaseline = 'middle';
    if (chosen) this.band(context, chosen, height);
    const put = (words, x, name, before = false) => {
      const size = context.measureText(words).width, left = Math.max(0, Math.min(width - size, before ? x - size : x));
      if (taken.some(([start, end]) => left < end + 5 * dot && start < left + size + 5 * dot)) return;
      taken.push([left, left + size]);
      context.fillStyle = ink(name);
      context.fillText(words, left, height / 2 + dot);
    };
    const middle = (words, at, name) => put(words, this.scale.middle(at) - context.measureText(words).width / 2, name);
    context.font = `600 ${11 * dot}px ui-monospace, "DejaVu Sans Mono", monospace`;
    if (turn >= from && turn <= to) middle(`turn ${turn}`, turn, 'ink');
    context.font = `${10.5 * dot}px ui-monospace, "DejaVu Sans Mono", monospace`;
    for (const bound of timeline.bounds) if (bound.turn >= from - 1 && bound.turn <= to) put(boundary(bound.kind, bound.cut), this.scale.left(bound.turn + 1) + (bound.turn === to ? -3 : 3) * dot, 'bound', bound.turn === to);
    for (const each of ticksOf(from, to, width, APART * dot)) middle(String(each), each, 'soft');
  }

  band(context, [first, last], height) {
    context.fillStyle = ink('accent');
    context.globalAlpha = 0.4;
    context.fillRect(this.scale.left(first), 0, this.scale.left(last + 1) - this.scale.left(first), height);
    context.globalAlpha = 1;
  }

  /** The turn at a share of the width. */
  turn(x) {
    return this.scale.turn(x * this.scale.width);
  }
}
