// Marks on the page view: used, missed (with a tether back to the turn in which the page left), fault, boundaries, commits.

import {isMiss} from './timeline.js';
import {faded, forced, ink, scheme} from './theme.js';

const SIZES = {used: 2.2, page_in: 4, unmet: 4, fault: 4.4};
const INKS = {used: 'cursor', page_in: 'miss', unmet: 'miss', fault: 'fault'};
export const isDrawn = (mark) => mark.number && mark.kind in SIZES;
const inside = ({scale}, {turn}) => turn >= scale.from && turn <= scale.to;

/** From where a missed page left the prompt to where it was needed: the line that brings the eye to the reason. */
export function drawTethers(context, view, only = 0) {
  const dot = devicePixelRatio || 1;
  for (const {number, turn, left} of view.timeline.gone) {
    if ((only && number !== only) || !inside(view, {turn}) || !view.lanes.at.has(number)) continue;
    const from = left < 0 ? 0 : view.scale.left(Math.max(left + 1, (view.timeline.page(number)?.born ?? 0) + 1)), to = view.scale.middle(turn), y = view.middle(number);
    if (to - from < 2) continue;
    const fade = context.createLinearGradient(from, 0, to, 0);
    fade.addColorStop(0, faded('miss', only ? 0.53 : 0.1));
    fade.addColorStop(1, faded('miss', 1));
    Object.assign(context, {strokeStyle: fade, lineWidth: (only ? 2.2 : 1.4) * dot});
    context.beginPath();
    context.moveTo(from, y);
    context.lineTo(to, y);
    if (only) context.moveTo(from, y - 5 * dot), context.lineTo(from, y + 5 * dot);
    context.stroke();
  }
}

/** Uses as points of light, misses as amber rings, faults as red rings with a cross. */
export function drawMarks(context, view, only = 0) {
  const found = view.timeline.marks.filter((mark) => isDrawn(mark) && inside(view, mark) && (!only || mark.number === only));
  found.sort((a, b) => isMiss(a) - isMiss(b));
  for (const mark of found) if (view.lanes.at.has(mark.number)) drawMark(context, view, mark);
}

function drawMark(context, view, mark) {
  const x = view.scale.middle(mark.turn), y = view.middle(mark.number), colour = ink(INKS[mark.kind]), dot = devicePixelRatio || 1;
  const size = SIZES[mark.kind] * dot, disc = (radius, css) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = css;
    context.fill();
  };
  glow(context, x, y, (isMiss(mark) ? 15 : 8) * dot, INKS[mark.kind], isMiss(mark) ? 0.67 : 0.4);
  if (!isMiss(mark)) disc(size + 1.5 * dot, ink('ground')); // on a bar of the same lightness, the point keeps an edge
  disc(size, isMiss(mark) ? ink('ground') : colour);
  if (!isMiss(mark)) return;
  Object.assign(context, {strokeStyle: colour, lineWidth: 1.9 * dot});
  context.stroke();
  if (mark.kind !== 'fault') return;
  context.beginPath();
  for (const side of [-1, 1]) context.moveTo(x - 1.8 * dot, y - 1.8 * dot * side), context.lineTo(x + 1.8 * dot, y + 1.8 * dot * side);
  context.lineWidth = 1.2 * dot;
  context.stroke();
}

function glow(context, x, y, radius, name, strength) {
  if (forced.matches || scheme() === 'light') return;
  const light = context.createRadialGradient(x, y, 0, x, y, radius);
  light.addColorStop(0, faded(name, strength));
  light.addColorStop(1, faded(name, 0));
  context.fillStyle = light;
  context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
}

/** Boundaries as dashed lines (their names are on the axis), commits as ticks at the foot, forks as notches at the head. */
export function drawBounds(context, view) {
  const {height} = view.canvas, dot = devicePixelRatio || 1;
  for (const bound of view.timeline.bounds) {
    if (bound.turn < view.scale.from - 1 || bound.turn > view.scale.to) continue;
    const x = Math.min(view.scale.width - dot, view.scale.left(bound.turn + 1)), colour = ink('bound');
    Object.assign(context, {strokeStyle: colour, fillStyle: colour, lineWidth: dot});
    context.setLineDash([4 * dot, 3 * dot]);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
    context.setLineDash([]);
  }
  for (const {turn, committed} of view.timeline.commits) {
    context.fillStyle = ink(committed ? 'good' : 'fault');
    context.fillRect(view.scale.middle(turn) - 1.5 * dot, height - 5 * dot, 3 * dot, 5 * dot);
  }
  for (const {turn} of view.timeline.forks) {
    const x = view.scale.left(turn + 1);
    context.fillStyle = ink('accent');
    context.beginPath();
    context.moveTo(x - 5 * dot, 0), context.lineTo(x + 5 * dot, 0), context.lineTo(x, 7 * dot);
    context.fill();
  }
}

/** Misses of another run as needles through its strata, their heads at the foot. */
export function drawNeedles(context, timeline, scale, height) {
  const dot = devicePixelRatio || 1;
  for (const mark of timeline.misses) {
    if (mark.turn < scale.from || mark.turn > scale.to) continue;
    const x = scale.middle(mark.turn);
    context.fillStyle = ink(INKS[mark.kind]);
    context.globalAlpha = 0.8;
    context.fillRect(x - dot * 0.7, 0, 1.4 * dot, height - 6 * dot);
    context.globalAlpha = 1;
    context.beginPath();
    context.arc(x, height - 6 * dot, 3.6 * dot, 0, 7);
    context.fill();
  }
}
