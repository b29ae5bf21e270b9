// The answers of the server from inside an exported file: one session, each of its texts once.

import {unkey} from './route.js';
import {Refused} from './source.js';

export const inFile = () => document.getElementById('data') !== null;

export class Packed {
  live = false;

  /** Unpacks the data of this document: base64 of gzip of JSON. */
  static async open() {
    const packed = Uint8Array.from(atob(document.getElementById('data').textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Packed(JSON.parse(await new Response(stream).text()));
  }

  constructor(data) {
    Object.assign(this, {data, key: data.key});
  }

  async ask(path) {
    const [where, query = ''] = path.split('?'), parts = where.split('/'), asked = new URLSearchParams(query);
    if (parts[0] === 'sessions') return this.data.sessions;
    const [, , what, turn, kind, id] = parts;
    if (what === 'map') return asked.get('bins') ? this.data.bins : this.data.map;
    if (what === 'losses') return this.data.losses;
    if (what === 'grep') return this.grep(asked.get('q'));
    if (what === 't' && !kind) return this.turn(Number(turn));
    if (what === 't' && kind === 'why' && this.data.why[`${turn} ${unkey(id)}`]) return {...this.base, ...this.data.why[`${turn} ${unkey(id)}`]};
    throw new Refused({error: 'This file holds the session, not the engine that decided it.', hint: `clawvm ui ${this.data.map.journal} answers this`}, 404);
  }

  once(path) {
    return this.ask(path);
  }

  work(path) {
    return this.ask(path);
  }

  forget() {}

  get base() {
    return {journal: this.data.map.journal, head: this.data.map.head};
  }

  /** A turn's answer: what was packed of it, with its texts put back. */
  turn(number) {
    const packed = this.data.turns[number - 1];
    if (!packed) throw new Refused({error: `there is no turn ${number}`, hint: `the last is ${this.data.turns.length}`}, 404);
    const spans = packed.spans.map((span) => ({...span, text: this.data.texts[span.text] ?? '', origin: this.data.origins[span.origin] ?? null}));
    return {...this.base, ...packed, spans, spans_total: spans.length, spans_next: null};
  }

  /** Every text that holds the words, in the turn that first showed it. */
  grep(q) {
    const words = q.toLowerCase(), hits = [], seen = new Set();
    this.data.turns.forEach((turn) => turn.spans.forEach((span) => {
      const text = this.data.texts[span.text] ?? '', at = seen.has(span.text) ? -1 : text.toLowerCase().indexOf(words);
      seen.add(span.text);
      if (at < 0 || hits.length >= 50) return;
      const from = Math.max(text.lastIndexOf('\n', at) + 1, at - 120);
      hits.push({turn: turn.turn - 1, page_id: span.page_id, type: 'page', title: span.title, line: text.slice(from, at + words.length + 120).split('\n')[0], start: at - from, end: at - from + words.length});
    }));
    return {...this.base, hits, more: false, next: null};
  }
}
