// A bitmap that is filled column by column, with soft edges: tens of thousands of ribbons in a few milliseconds.

import {forced, inked, packed} from './theme.js';

export class Raster {
  constructor(width, height, ground) {
    Object.assign(this, {width, height, ground, patterned: forced.matches, image: blank(width, height)});
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.pixels.fill(packed(ground));
  }

  /** Fills columns `left` to `right` from `top` to `bottom`, which may be fractions: edge rows are mixed by their share. */
  band(left, right, top, bottom, colour, level) {
    const last = Math.min(this.height, bottom);
    for (let y = Math.max(0, Math.floor(top)); y < last; y++) {
      const share = Math.min(bottom, y + 1) - Math.max(top, y), from = y * this.width;
      if (this.patterned) for (let x = left; x < right; x++) this.pixels[from + x] = inked(level, x, y) ? colour.pixel : packed(this.ground);
      else if (share > 0.98) this.pixels.fill(colour.pixel, from + left, from + right);
      else for (let at = from + left; at < from + right; at++) this.pixels[at] = mixed(this.pixels[at], colour.rgb, share);
    }
  }

  /** Fills a rectangle of whole pixels. */
  rectangle(left, top, right, bottom, pixel, level = 4) {
    for (let y = Math.max(0, top); y < Math.min(this.height, bottom); y++) {
      const from = y * this.width;
      if (!this.patterned) this.pixels.fill(pixel, from + Math.max(0, left), from + Math.min(this.width, right));
      else for (let x = Math.max(0, left); x < Math.min(this.width, right); x++) if (inked(level, x, y)) this.pixels[from + x] = pixel;
    }
  }

  /** Mixes a colour into columns `left` to `right` of one row. */
  line(left, right, y, rgb, share) {
    if (y < 0 || y >= this.height) return;
    for (let at = y * this.width + left; at < y * this.width + right; at++) this.pixels[at] = mixed(this.pixels[at], rgb, share);
  }

  /** Lines aslant over a rectangle, falling or rising, mixed into what is there. */
  hatch(left, top, right, bottom, rgb, share, falling) {
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) if ((falling ? x - y + 1e6 : x + y) % 6 === 0) this.line(x, x + 1, y, rgb, share);
  }

  put(context) {
    context.putImageData(this.image, 0, 0);
  }
}

const blanks = new Map();

/** A bitmap of a size that is filled, put and filled again, so that a redraw takes no new memory. */
function blank(width, height) {
  const key = `${width} ${height}`;
  if (blanks.size > 4) blanks.clear();
  if (!blanks.has(key)) blanks.set(key, new ImageData(width, height));
  return blanks.get(key);
}

function mixed(pixel, [r, g, b], share) {
  const rest = 1 - share;
  const red = (pixel & 255) * rest + r * share, green = ((pixel >> 8) & 255) * rest + g * share, blue = ((pixel >> 16) & 255) * rest + b * share;
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}
