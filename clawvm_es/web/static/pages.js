// The page view: each bar is one page from its first turn on; the more of its text a prompt held, the brighter it is.

import {fitted} from './dom.js';
import {lanesOf, pageAt} from './lanes.js';
import {drawBounds, drawMarks, drawTethers, isDrawn} from './marks.js';
import {Raster} from './raster.js';
import {Scale} from './scale.js';
import {boxed, cursor} from './strata.js';
import {LETTERS, darkText, forced, ink, paint, rgbOf} from './theme.js';

const LABELLED = 11, SHORTEST = 30, DIMMED = 0.58;
const cut = (text, letters) => (text.length > letters ? `${text.slice(0, Math.max(1, letters - 1)).trimEnd()}…` : text);

export class Pages {
  constructor(canvas, over) {
    Object.assign(this, {canvas, over});
  }

  draw(timeline, from, to, order) {
    const context = fitted(this.canvas), {width, height} = this.canvas;
    const lanes = lanesOf(timeline, from, to, order);
    Object.assign(this, {timeline, lanes, scale: new Scale(from, to, width, height), lane: height / Math.max(lanes.rows.length, 12)});
    this.bars(context);
    drawBounds(context, this);
    drawTethers(context, this);
    this.labels(context);
    drawMarks(context, this);
  }

  middle(number) {
    return ((this.lanes.at.get(number) ?? -9) + 0.5) * this.lane;
  }

  bars(context) {
    const {width, height} = this.canvas, raster = new Raster(width, height, rgbOf('ground'));
    const gap = this.lane > 3.2 * (devicePixelRatio || 1) ? Math.round(devicePixelRatio || 1) : 0;
    for (const [number, [first, last]] of this.lanes.life) {
      const page = this.timeline.page(number), row = this.lanes.at.get(number);
      const top = Math.round(row * this.lane), bottom = Math.max(top + 1, Math.round((row + 1) * this.lane) - gap);
      const box = (from, to) => [Math.floor(this.scale.left(Math.max(from, this.scale.from))), top, Math.min(width, Math.ceil(this.scale.left(Math.min(to, this.scale.to) + 1))), bottom];
      const fill = (from, to, level) => raster.rectangle(...box(from, to), paint(page.type, level, number).pixel, level);
      fill(first, last, 0);
      const runs = [...(this.timeline.byPage.get(number) ?? [])].sort((a, b) => a.level - b.level);
      for (const run of runs) if (run.from <= this.scale.to && run.to >= this.scale.from) fill(run.from, run.to, run.level);
      if (this.timeline.erased.has(number)) raster.hatch(...box(first, last), rgbOf('seam'), 0.75, true);
    }
    raster.put(context);
  }

  /** Titles of pages on their bars, where there is room for letters: of all, of `only` one, or of all others on what `dims` them. */
  labels(context, {only = 0, dims = 0} = {}) {
    const dot = devicePixelRatio || 1, size = Math.min(11 * dot, Math.floor(this.lane - 3 * dot));
    if (this.lane < LABELLED * dot) return;
    context.font = `${size}px ui-monospace, "DejaVu Sans Mono", monospace`;
    Object.assign(context, {textBaseline: 'middle', globalAlpha: forced.matches ? 1 : 0.9});
    const letter = context.measureText('n').width, pad = 4 * dot;
    for (const [number, [first, last]] of this.lanes.life) {
      if ((only && number !== only) || number === dims) continue;
      const from = Math.max(first, this.scale.from), x = this.scale.left(from), {end, over} = this.free(number, from, Math.min(last, this.scale.to));
      if (end - x < SHORTEST * dot) continue;
      const text = cut(this.title(number), Math.floor((end - x - pad) / letter)), right = Math.min(end, x + 2 * pad + context.measureText(text).width);
      for (const [left, until, level] of this.stretches(number, from, right)) {
        context.save();
        context.beginPath();
        context.rect(Math.max(left, x), 0, Math.min(until, right) - Math.max(left, x), this.canvas.height);
        context.clip();
        if (!level) this.ground(context, number, right, dims ? 1 - DIMMED : 1); // so that no tether runs through the letters
        context.fillStyle = dims ? ink('ink') : level ? (darkText(this.timeline.page(number).type, level, number) ? '#000' : '#fff') : ink('soft');
        if (forced.matches) boxed(context, text, x + pad, this.middle(number), size);
        else context.fillText(text, x + pad, this.middle(number));
        context.restore();
      }
      if (dims && over) this.again(context, number);
    }
    context.globalAlpha = 1;
  }

  title(number) {
    const page = this.timeline.page(number);
    return `${forced.matches ? `${LETTERS[page.type] ?? '?'} ` : ''}${page.id} ${page.title ?? ''}`;
  }

  /** Where the letters of a bar have to end: at its first mark if there is room before it, else at its own end, `over` its marks. */
  free(number, first, last) {
    const dot = devicePixelRatio || 1, marks = this.timeline.marksOf(number).filter((mark) => isDrawn(mark) && mark.turn >= first && mark.turn <= last);
    const whole = this.scale.left(last + 1) - 4 * dot, found = Math.min(whole, ...marks.map((mark) => this.scale.middle(mark.turn) - 7 * dot));
    const over = found - this.scale.left(first) < SHORTEST * dot;
    return {end: over ? whole : found, over};
  }

  /** The marks of a bar over its letters, as dim as they are under them. */
  again(context, number) {
    const {globalAlpha} = context;
    context.globalAlpha = 1 - DIMMED;
    drawMarks(context, this, number);
    context.globalAlpha = globalAlpha;
  }

  /** What is under letters where a page is not in the prompt, with so much of its colour. */
  ground(context, number, right, share) {
    const {globalAlpha} = context, box = [0, Math.round(this.lanes.at.get(number) * this.lane), right, Math.floor(this.lane) - 1];
    Object.assign(context, {globalAlpha: 1, fillStyle: ink('ground')});
    context.fillRect(...box);
    Object.assign(context, {globalAlpha: share, fillStyle: paint(this.timeline.page(number).type, 0, number).css});
    if (!forced.matches) context.fillRect(...box);
    Object.assign(context, {globalAlpha});
  }

  /** Stretches of a page's bar from a turn on up to a place, each at one level, so that letters read on all of them. */
  stretches(number, first, end) {
    const found = [];
    for (let turn = first; turn <= this.scale.to && this.scale.left(turn) < end; turn += 1) {
      const level = this.timeline.level(number, turn), last = found.at(-1);
      if (last?.[2] === level) last[1] = this.scale.left(turn + 1);
      else found.push([this.scale.left(turn), this.scale.left(turn + 1), level]);
    }
    return found;
  }

  mark(turn, chosen, hovered) {
    const context = fitted(this.over), {width, height} = this.over;
    if (chosen && this.lanes.at.has(chosen)) this.dim(context, chosen, width, height);
    if (hovered && hovered !== chosen && this.lanes.at.has(hovered)) this.outline(context, hovered);
    cursor(context, this.scale, turn, height);
  }

  /** The box of a page's bar: [left, top, width, height]. */
  box(number) {
    const [first, last] = this.lanes.life.get(number), left = Math.max(0, this.scale.left(first));
    const top = this.lanes.at.get(number) * this.lane;
    return [left, top, Math.min(this.scale.width, this.scale.left(last + 1)) - left, Math.max(this.lane, 3 * (devicePixelRatio || 1))];
  }

  dim(context, number, width, height) {
    const shape = new Path2D();
    shape.rect(0, 0, width, height);
    shape.rect(...this.box(number));
    context.fillStyle = ink('ground');
    context.globalAlpha = DIMMED;
    context.fill(shape, 'evenodd');
    context.globalAlpha = 1;
    this.outline(context, number);
    this.labels(context, {dims: number});
    drawTethers(context, this, number);
    this.labels(context, {only: number});
    drawMarks(context, this, number);
  }

  outline(context, number) {
    const [left, top, width, height] = this.box(number);
    context.strokeStyle = ink('cursor');
    context.lineWidth = devicePixelRatio || 1;
    context.strokeRect(Math.floor(left) - 0.5, Math.floor(top) - 1.5, width + 1, height + 2);
  }

  hit(x, y) {
    const turn = this.scale.turn(x * this.scale.width), row = Math.floor((y * this.scale.height) / this.lane);
    return {turn, number: pageAt(this.lanes, row, turn)};
  }

  spot(number, turn) {
    return {x: this.scale.middle(turn) / this.scale.width, y: this.middle(number) / this.scale.height};
  }
}
