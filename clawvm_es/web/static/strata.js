// The strata: each column is one whole prompt, token by token, from its start at the top.

import {fitted} from './dom.js';
import {bendOf, ease, layerAt, ribbonsOf, strataOf} from './layers.js';
import {Raster} from './raster.js';
import {Scale} from './scale.js';
import {LETTERS, forced, ink, packed, paint, rgbOf} from './theme.js';

const BEND = 22;

/** One picture of prompts; `tallest` are the tokens of its height, so that two pictures can share a scale. */
export class Strata {
  constructor(canvas, over) {
    Object.assign(this, {canvas, over});
  }

  draw(timeline, from, to, tallest) {
    const context = fitted(this.canvas), {width, height} = this.canvas;
    Object.assign(this, {timeline, tallest, scale: new Scale(from, to, width, height), perToken: height / tallest});
    this.columns = strataOf(timeline, from, to);
    this.ribbons(context);
    if (forced.matches) this.letters(context);
    this.budget(context);
    this.cache(context);
    this.epochs(context);
  }

  /** Column by column: the pages where they are, then those that moved bending from where they were in the turn before. */
  ribbons(context) {
    const {width, height} = this.canvas, raster = new Raster(width, height, rgbOf('ground')), seam = rgbOf('seam');
    const bend = bendOf(this.scale.column, BEND * (devicePixelRatio || 1)), plain = {rgb: rgbOf('fixed'), pixel: packed(rgbOf('fixed'))};
    this.columns.forEach((layers, index) => {
      const left = Math.floor(this.scale.left(this.scale.from + index)), right = Math.min(width, Math.floor(this.scale.left(this.scale.from + index + 1)));
      const bent = Math.min(right, Math.round(left + bend)), before = this.columns[index - 1];
      for (const layer of layers) layer.colour = this.colour(layer, plain);
      for (const layer of layers) raster.band(left, right, layer.top * this.perToken, (layer.top + layer.size) * this.perToken, layer.colour, layer.level || 2);
      for (const layer of layers) {
        const moved = layer.was >= 0 && (before[layer.was].top !== layer.top || before[layer.was].size !== layer.size);
        for (let x = left; moved && x < bent; x++) {
          const place = between(before[layer.was], layer, ease((x - left + 0.5) / bend));
          raster.band(x, x + 1, place.top * this.perToken, (place.top + place.size) * this.perToken, layer.colour, layer.level || 2);
          this.finish(raster, x, x + 1, place, layer, seam);
        }
        this.finish(raster, moved ? bent : left, right, layer, layer, seam);
      }
    });
    raster.put(context);
  }

  /** The seam below a layer at a place `{top, size}`, and its hatching where its text is stale or gone. */
  finish(raster, left, right, {top, size}, layer, seam) {
    const from = top * this.perToken, high = size * this.perToken;
    if (high > 3.5) raster.line(left, right, Math.floor(from + high - 0.5), seam, 0.55 * Math.min(1, this.scale.column / 7));
    if (high >= 4 && (layer.stale || layer.gone)) raster.hatch(left, Math.ceil(from), right, from + high - 1, seam, 0.75, layer.gone);
  }

  colour(layer, plain) {
    const page = this.timeline.page(layer.number);
    layer.gone = this.timeline.erased.has(layer.number);
    return page ? paint(page.type, layer.level, layer.number) : plain;
  }

  /** In forced colours: the letter of its type on each ribbon, where it begins and every few columns. */
  letters(context) {
    const dot = devicePixelRatio || 1, size = 11 * dot, every = Math.ceil((64 * dot) / this.scale.column);
    context.font = `600 ${size}px ui-monospace, "DejaVu Sans Mono", monospace`;
    context.textBaseline = 'middle';
    this.columns.forEach((layers, index) => layers.forEach((layer) => {
      const page = this.timeline.page(layer.number), high = layer.size * this.perToken;
      if (page && high > size && this.scale.column > size && (layer.was < 0 || index % every === 0)) boxed(context, LETTERS[page.type] ?? '?', this.scale.left(this.scale.from + index) + 3 * dot, (layer.top + layer.size / 2) * this.perToken, size);
    }));
  }

  /** The budget of each turn, where there is one. */
  budget(context) {
    context.setLineDash([2, 5]);
    this.steps(context, (row) => row.budget, ink('soft'), 1, 0.7);
    context.setLineDash([]);
  }

  /** Where the provider's cache ends: what is above is served from it. */
  cache(context) {
    const scale = devicePixelRatio || 1;
    this.steps(context, (row) => row.cached, ink('ground'), 3.5 * scale, 0.5);
    this.steps(context, (row) => row.cached, ink('cursor'), 1.4 * scale, 1, 0.35);
  }

  /** Notches at the head of turns in which an epoch begins: pages were chosen anew. */
  epochs(context) {
    const dot = devicePixelRatio || 1;
    const half = Math.min(4 * dot, Math.max(1.5 * dot, this.scale.column * 0.7));
    context.fillStyle = ink('bound');
    for (let turn = this.scale.from; turn <= this.scale.to; turn++) {
      if (!(this.timeline.row(turn)?.trigger >= 0)) continue;
      const x = this.scale.left(turn);
      context.beginPath();
      context.moveTo(x - half, 0), context.lineTo(x + half, 0), context.lineTo(x, 1.5 * half);
      context.fill();
    }
  }

  /** A line of one figure over the turns: level parts at `strength`, jumps between them fainter. */
  steps(context, figure, colour, width, strength, jump = strength) {
    Object.assign(context, {strokeStyle: colour, lineWidth: width});
    for (const upright of [true, false]) {
      context.globalAlpha = upright ? jump : strength;
      context.beginPath();
      let last = null;
      for (let turn = this.scale.from; turn <= this.scale.to; turn++) {
        const row = this.timeline.row(turn), value = row && figure(row);
        if (!value) {
          last = null;
          continue;
        }
        const x = this.scale.left(turn), y = Math.max(0.7, Math.min(this.canvas.height - 0.7, value * this.perToken));
        if (upright && last != null) context.moveTo(x, last), context.lineTo(x, y);
        if (!upright) context.moveTo(x, y), context.lineTo(x + this.scale.column, y);
        last = y;
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** The cursor, and everything but the chosen page dimmed. */
  mark(turn, chosen, hovered) {
    const context = fitted(this.over), {width, height} = this.over;
    if (chosen) this.dim(context, chosen, width, height);
    if (hovered && hovered !== chosen) this.outline(context, hovered);
    cursor(context, this.scale, turn, height);
  }

  dim(context, number, width, height) {
    const shape = new Path2D();
    shape.rect(0, 0, width, height);
    for (const stretch of ribbonsOf(this.columns, this.scale.from, number)) this.trace(shape, stretch);
    context.fillStyle = ink('ground');
    context.globalAlpha = 0.66;
    context.fill(shape, 'evenodd');
    context.globalAlpha = 1;
    this.outline(context, number);
  }

  outline(context, number) {
    const shape = new Path2D();
    for (const stretch of ribbonsOf(this.columns, this.scale.from, number)) this.trace(shape, stretch);
    context.strokeStyle = ink('cursor');
    context.lineWidth = devicePixelRatio || 1;
    context.stroke(shape);
  }

  /** The outline of one stretch of a page: along its tops with their bends, back along its bottoms. */
  trace(shape, stretch) {
    const bend = bendOf(this.scale.column, BEND * (devicePixelRatio || 1)), along = (edge, back) => {
      const order = back ? [...stretch].reverse() : stretch;
      order.forEach((part, i) => {
        const next = order[i + 1], y = edge(part), left = this.scale.left(part.turn), right = left + this.scale.column;
        const bends = part !== stretch[0];
        if (!back) {
          shape[i ? 'lineTo' : 'moveTo'](bends ? left + bend : left, y);
          shape.lineTo(right, y);
          if (next) shape.bezierCurveTo(right + bend / 2, y, right + bend / 2, edge(next), right + bend, edge(next));
        } else {
          shape.lineTo(right, y);
          shape.lineTo(bends ? left + bend : left, y);
          if (next) shape.bezierCurveTo(left + bend / 2, y, left + bend / 2, edge(next), left, edge(next));
        }
      });
    };
    along((part) => part.top * this.perToken, false);
    along((part) => (part.top + part.size) * this.perToken, true);
    shape.closePath();
  }

  /** The turn and the page number (0: none) at a point, in shares of the canvas. */
  hit(x, y) {
    const turn = this.scale.turn(x * this.scale.width), layers = this.columns[turn - this.scale.from] ?? [];
    return {turn, number: layerAt(layers, y * this.tallest)?.number ?? 0};
  }

  /** The middle of a page's layer at a turn, in shares of the canvas; null where the page is not in that prompt. */
  spot(number, turn) {
    const layer = (this.columns[turn - this.scale.from] ?? []).find((each) => each.number === number);
    const bend = bendOf(this.scale.column, BEND * (devicePixelRatio || 1));
    return layer && {x: (this.scale.left(turn) + (bend + this.scale.column) / 2) / this.scale.width, y: (layer.top + layer.size / 2) / this.tallest};
  }
}

/** Words on a box of ground, so that they read on a pattern. */
export function boxed(context, words, x, y, size) {
  const pad = size / 5;
  context.fillStyle = ink('ground');
  context.fillRect(x - pad, y - size / 2, context.measureText(words).width + 2 * pad, size);
  context.fillStyle = ink('ink');
  context.fillText(words, x, y);
}

/** A place on the way from one to another. */
const between = (a, b, share) => ({top: a.top + (b.top - a.top) * share, size: a.size + (b.size - a.size) * share});

/** The turn that is looked at, over the height of a picture. */
export function cursor(context, scale, turn, height) {
  if (turn < scale.from || turn > scale.to) return;
  const width = Math.max(devicePixelRatio || 1, scale.column), x = scale.left(turn), dot = devicePixelRatio || 1;
  context.fillStyle = ink('cursor');
  context.globalAlpha = width < 24 ? 0.2 : 0.07;
  context.fillRect(x, 0, width, height);
  context.globalAlpha = 1;
  context.fillRect(Math.round(x + width / 2 - dot / 2), 0, dot, height);
}
