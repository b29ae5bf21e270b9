// The list of sessions, newest first, each with its shape: tokens of its prompts over its turns, misses above.

import {fitted, h} from './dom.js';
import {swatch} from './chrome.js';
import {decoded, tick} from './overview.js';
import {asks} from './source.js';
import {ink} from './theme.js';
import {num, short, when} from './words.js';

export class Sessions {
  /** `open(row)` is called for a session that is chosen. */
  constructor(box, source, open) {
    Object.assign(this, {box, source, open, here: -1});
    this.watch = new IntersectionObserver((seen) => seen.forEach((each) => each.isIntersecting && this.shape(each.target)), {rootMargin: '200px'});
    this.waiting = Promise.resolve();
  }

  async show(q = '') {
    this.watch.disconnect();
    const found = await this.source.ask(asks.sessions(q));
    Object.assign(this, {rows: [], here: -1, q});
    this.box.replaceChildren(h('h1', {class: 'total'}, `${num(found.total)} ${found.total === 1 ? 'session' : 'sessions'} in ${found.journal}${q ? ` with “${q}”` : ''}`,
      found.erasure_pending && h('span', {class: 'note erased'}, '  an erasure is pending')));
    if (!found.total) this.box.append(q ? h('div', {class: 'empty'}, h('h2', {}, 'No session says that'), 'Titles, folders and ids are searched here; texts inside of a session.') : nothing());
    this.add(found);
    return found;
  }

  add(found) {
    this.rest?.remove();
    for (const row of found.sessions) {
      const node = this.row(row);
      this.rows.push({row, node});
      this.box.append(node);
      this.watch.observe(node);
    }
    this.rest = found.next ? h('button', {type: 'button', onclick: async () => this.add(await this.source.ask(asks.sessions(this.q, found.next)))}, 'more') : null;
    if (this.rest) this.box.append(this.rest);
    if (this.rows.length) this.box.append((this.foot ??= h('div', {class: 'total'}, h('kbd', {}, 'j'), ' ', h('kbd', {}, 'k'), ' choose   ', h('kbd', {}, '⏎'), ' open   ', h('kbd', {}, '}'), ' then: the next miss, and why   ', h('kbd', {}, '?'), ' all keys',
      h('ul', {class: 'legend'}, h('li', {}, 'Each shape shows the prompts of its session over the turns: '), swatch('var(--stratum)', 'tokens'), swatch('var(--cached)', "of them from the provider's cache"), swatch('var(--miss)', 'misses', 'tick'), swatch('var(--fault)', 'faults', 'tick long'), swatch('var(--bound)', 'a boundary', 'upright')))));
  }

  row(row) {
    const faults = Object.values(row.faults ?? {}).reduce((sum, n) => sum + n, 0);
    const about = [named(row.session_id), row.mode === 'recorded' ? 'as recorded' : `as clawvm${row.policy === 'clawvm' ? '' : ` (${row.policy})`}`, when(row.started), row.parent && `fork of ${named(row.parent)}`, row.folder].filter(Boolean).join(' · ');
    const count = (n, word, kind) => h('span', {class: n && kind ? kind : '', title: num(n ?? 0)}, h('b', {}, short(n ?? 0)), n === 1 ? word : kind === 'miss' ? `${word}es` : `${word}s`);
    return h('button', {class: 'session', type: 'button', data: {key: row.key}, onclick: () => this.open(row)},
      h('span', {css: {minWidth: 0}}, h('span', {class: 'name', dir: 'auto', title: row.title ?? row.session_id}, row.title ?? row.session_id),
        h('span', {class: 'meta', title: about}, about)),
      h('canvas', {'aria-hidden': 'true'}),
      h('span', {class: 'counts'}, count(row.turns, 'turn'), count(row.compactions, 'compaction'), count(row.misses, 'miss', 'miss'), count(faults, 'fault', 'fault')));
  }

  /** Draws the shape of a row that comes into view; one question at a time. */
  shape(node) {
    this.watch.unobserve(node);
    const {row} = this.rows.find((each) => each.node === node) ?? {};
    if (!row?.turns) return;
    this.waiting = this.waiting.then(async () => {
      if (!node.isConnected) return;
      const map = await this.source.once(asks.map(row.session_id, {bins: Math.min(row.turns, 130)}));
      if (node.isConnected) draw(node.querySelector('canvas'), map);
    }).catch(() => {});
  }

  /** Moves the focus by `step` rows. */
  move(step) {
    this.here = Math.max(0, Math.min(this.rows.length - 1, this.here + step));
    const row = this.rows[this.here];
    row?.node.focus();
    row?.node.scrollIntoView({block: 'nearest'});
  }

  /** Moves the focus to the row of a session, where it is listed. */
  choose(session) {
    const at = this.rows.findIndex(({row}) => row.session_id === session);
    if (at >= 0) (this.here = 0), this.move(at);
  }

  chosen() {
    return this.rows[Math.max(0, this.here)]?.row;
  }
}

/** An id in few characters: the first eight of a random one; of a subagent's, its own name behind that. */
const named = (id) => id.replace(/^([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=$|\/)/, '$1').slice(0, 40);

const nothing = () =>
  h('div', {class: 'empty'}, h('h2', {}, 'No session yet'), 'Record one, or import one that a harness wrote:', h('pre', {}, 'clawvm import ~/.claude/projects -j JOURNAL'), 'This page shows it when it is loaded again.');

function draw(canvas, map) {
  canvas.dataset.drawn = 'yes';
  const context = fitted(canvas), {width, height} = canvas, bins = decoded(map), dot = devicePixelRatio || 1;
  const most = Math.max(1, ...bins.map(({tokens}) => tokens));
  bins.forEach((bin, i) => {
    const left = Math.floor((i / bins.length) * width), size = Math.max(1, Math.ceil(((i + 1) / bins.length) * width) - left), top = (height - 6 * dot) * (1 - bin.tokens / most) + 6 * dot;
    context.fillStyle = ink('stratum');
    context.fillRect(left, top, size, height - top);
    context.fillStyle = ink('cached');
    context.fillRect(left, top, size, ((height - top) * bin.cached) / Math.max(1, bin.tokens));
    if (bin.bounds) (context.fillStyle = ink('bound')), context.fillRect(left, 0, dot, height);
    tick(context, bin, left, Math.max(2 * dot, size));
  });
}
