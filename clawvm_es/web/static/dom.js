// Elements. Text becomes text nodes, never markup: what a session says reaches the page through here only.

import {num} from './words.js';

export const $ = (id) => document.getElementById(id);

/** An element: `h('p', {class: 'note', onclick: f}, 'text', child)`. `css` sets style properties, `data` data attributes. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false).map(asNode));
  return node;
}

function set(node, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
  else if (name === 'css') Object.assign(node.style, value);
  else if (name === 'data') Object.assign(node.dataset, value);
  else node.setAttribute(name, value === true ? '' : value);
}

const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

/** A table of texts: `heads` are column names, each of `rows` an array of cells (or `{cells, class, onclick}`). */
export function table(heads, rows, caption) {
  return h('table', {},
    caption && h('caption', {}, caption),
    h('thead', {}, h('tr', {}, heads.map((head) => h('th', {scope: 'col'}, head)))),
    h('tbody', {}, rows.map((row) => {
      const {cells, ...attributes} = Array.isArray(row) ? {cells: row} : row;
      return h('tr', attributes, cells.map((cell, i) => h(i ? 'td' : 'th', i ? {} : {scope: 'row'}, cell ?? '')));
    })));
}

/** A list of names and values; entries without a value are left out. */
export const facts = (entries) =>
  h('dl', {class: 'facts'}, entries.filter(([, value]) => value != null && value !== '' && value !== false)
    .map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));

/** The beginning of a text, and where all of it is, if that is not all. */
export const begun = (text, chars) => {
  const shown = [...text].length;
  return [h('pre', {class: 'body'}, text), shown < chars && h('p', {class: 'dim'}, `its first ${num(shown)} of ${num(chars)} characters: clawvm show tells all`)];
};

export const link = (text, go, title) => h('button', {class: 'link', type: 'button', onclick: go, title}, text);

/** A command of the command line with a button that copies it: the page itself writes nothing. */
export function command(text, say) {
  return h('p', {class: 'command'}, h('code', {}, text),
    h('button', {type: 'button', onclick: () => copy(text).then((done) => say(done ? 'copied' : 'the browser refused to copy'))}, 'copy'));
}

export const copy = (text) => navigator.clipboard.writeText(text).then(() => true, () => false);

/** Makes the bitmaps of canvases as large as they are shown: all are measured before one is changed, so that the page is laid out once. */
export function sized(canvases) {
  const scale = devicePixelRatio || 1, sizes = canvases.map((canvas) => canvas.getBoundingClientRect());
  canvases.forEach((canvas, i) => {
    const [width, height] = [sizes[i].width, sizes[i].height].map((size) => Math.round(size * scale));
    if (width && height && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, {width, height});
  });
}

/** An empty bitmap as large as the canvas is shown, and its context. One of the right size is kept: a new one makes the browser lay the page out again. */
export function fitted(canvas) {
  const shown = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1, context = canvas.getContext('2d');
  const [width, height] = [shown.width, shown.height].map((size) => Math.max(1, Math.round(size * scale)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  else context.reset();
  return context;
}
