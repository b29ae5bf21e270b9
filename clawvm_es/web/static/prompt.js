// The prompt of a turn, span by span. Long prompts are rows in chunks: only those near the screen have elements.

import {h} from './dom.js';
import {darkText, paint} from './theme.js';
import {asks} from './source.js';
import {FLAGS, LEVELS, SHORT_TRIGGERS, TRIGGERS, counted, num} from './words.js';

const CHUNK = 40;
const ROW = 92;

export class Prompt {
  /** `pick(page id)` is called for a span that is chosen. */
  constructor(box, source, pick) {
    Object.assign(this, {box, source, pick});
    this.watch = new IntersectionObserver((seen) => seen.forEach((each) => this.seen(each)), {root: null, rootMargin: '900px'});
  }

  /** Shows a turn's answer; the span of page `chosen` is opened and brought into view. */
  show(answer, timeline, chosen) {
    this.watch.disconnect();
    const first = !this.answer, held = this.held();
    Object.assign(this, {answer, timeline, chosen, spans: new Map(answer.spans.map((span) => [span.i, span])), loading: new Map()});
    this.outline = outlined(answer);
    this.chunks = [];
    for (let at = 0; at < this.outline.length; at += CHUNK) {
      const size = Math.min(CHUNK, this.outline.length - at);
      this.chunks.push(h('div', {class: 'chunk', data: {at}, css: {minHeight: `${size * ROW}px`}}));
    }
    if (!first) this.box.scrollTop = 0; // before it is filled: after it, the whole would be laid out to know how far it scrolls
    this.box.replaceChildren(this.head(answer), ...this.chunks, ...(this.outline.length ? [] : [empty()]));
    if (this.chunks.length) this.fill(this.chunks[0]);
    for (const chunk of this.chunks) this.watch.observe(chunk);
    if (chosen) this.reveal(chosen);
    if (held) this.hold();
  }

  head(answer) {
    const told = [
      h('b', {}, `Turn ${answer.turn}`),
      answer.budget_tokens ? `${num(answer.tokens)} of ${num(answer.budget_tokens)} tokens` : `${num(answer.tokens)} tokens`,
      h('span', {}, counted(answer.pages, 'page')),
      h('span', {title: "tokens that the provider's cache serves"}, `${num(answer.cached_tokens)} cached`),
      h('span', {title: 'tokens that are paid in full'}, `${num(answer.uncached_tokens)} uncached`),
      answer.stale_tokens ? h('span', {class: 'note stale'}, `${num(answer.stale_tokens)} in stale copies`) : null,
      answer.trigger ? h('span', {class: 'note', title: TRIGGERS[answer.trigger] ?? ''}, `epoch ${num(answer.epoch)} begins: ${answer.epoch === 1 ? 'the first prompt' : SHORT_TRIGGERS[answer.trigger] ?? answer.trigger}`) : answer.epoch ? h('span', {}, `epoch ${num(answer.epoch)}`) : null,
      h('span', {}, `events ${num(answer.first)}–${num(answer.last)}`),
    ];
    return h('div', {class: 'head'}, told, answer.label && h('span', {class: 'label'}, answer.label));
  }

  seen({target, isIntersecting}) {
    if (isIntersecting) this.fill(target);
    else if (target.childElementCount && this.chunks.length > 5) {
      target.style.minHeight = `${target.offsetHeight}px`;
      target.replaceChildren();
    }
  }

  fill(chunk) {
    if (chunk.childElementCount) return;
    const from = Number(chunk.dataset.at);
    chunk.replaceChildren(...this.outline.slice(from, from + CHUNK).map((each) => this.row(each)));
    chunk.style.minHeight = '';
    const missing = this.outline.slice(from, from + CHUNK).find(({i}) => !this.spans.has(i));
    if (missing) this.load(missing.i);
  }

  /** Fetches spans from index `from` on and fills the rows that wait for their texts. */
  load(from) {
    if (this.loading.has(from)) return;
    const {answer} = this;
    const asked = this.source.once(asks.spans(answer.session_id, answer.turn, from)).then((got) => {
      if (answer !== this.answer) return;
      for (const span of got.spans) {
        this.spans.set(span.i, span);
        const old = this.box.querySelector(`[data-i="${span.i}"]`);
        if (old) old.replaceWith(this.row(this.outline[span.i]));
      }
      const next = this.outline.find(({i}) => i >= from && !this.spans.has(i));
      const shown = next && this.box.querySelector(`[data-i="${next.i}"]`);
      if (shown && got.spans.length) this.load(next.i);
    }, () => {});
    this.loading.set(from, asked);
  }

  row({i, number, level, tokens, flags}) {
    const span = this.spans.get(i), page = this.timeline.page(number);
    const id = span?.page_id ?? page?.id ?? null, type = span?.page_type ?? page?.type, name = LEVELS[level];
    const erased = span?.erased || flags & FLAGS.erased;
    const body = h('pre', {}, span ? span.text : '');
    if (span && span.chars < 420 && span.text.split('\n').length < 5) body.classList.add('whole');
    return h('div', {class: `span${id && id === this.chosen ? ' on' : ''}${erased ? ' erased' : ''}`, data: {i, page: id}, onclick: () => this.chooses(id)},
      h('i', {css: {background: type ? paint(type, Math.max(1, level), number).css : 'var(--fixed)'}}),
      h('button', {class: 'about', type: 'button'},
        h('span', {class: 'line'}, h('b', {}, id ?? (flags & FLAGS.frame ? 'frame' : 'directory')), ' ', type && tag(type, level, number), ' ',
          flags & FLAGS.arrival ? h('span', {class: 'note'}, 'new ') : null,
          flags & FLAGS.stale ? h('span', {class: 'note stale'}, 'stale copy ') : null,
          erased ? h('span', {class: 'note erased'}, 'erased') : null),
        h('span', {class: 'line'}, type ?? 'other pages, by name'),
        h('span', {class: 'line'}, `${num(tokens)} tokens`),
        h('span', {class: 'line'}, origin(span))),
      h('div', {css: {minWidth: 0}}, body, span?.cut ? this.more(span, body) : null));
  }

  chooses(id) {
    if (String(getSelection()).length || !id) return;
    this.pick(id);
  }

  /** A text of over 64 kB comes in pieces, when it is asked for. */
  more(span, body) {
    let at = span.text.length;
    const button = h('button', {class: 'link', type: 'button'}, `${num(span.chars - at)} more characters`);
    const next = async (event) => {
      event.stopPropagation();
      const got = await this.source.ask(asks.span(this.answer.session_id, this.answer.turn, span.i, at));
      body.append(got.text);
      if (!(at = got.next)) button.remove();
      else button.textContent = `${num(span.chars - at)} more characters`;
    };
    button.addEventListener('click', next);
    return button;
  }

  /** Marks the span of a page and brings it into view. */
  choose(page) {
    this.chosen = page;
    for (const row of this.box.querySelectorAll('.span.on')) row.classList.remove('on');
    if (page) this.reveal(page);
    if (page && this.held()) this.hold();
  }

  /** Whether the keyboard's focus is in the prompt: it stays there, at the page that is chosen, whatever is shown anew. */
  held() {
    return this.box.contains(document.activeElement);
  }

  hold() {
    (this.box.querySelector('.span.on .about') ?? this.box).focus({preventScroll: true});
  }

  reveal(page) {
    const i = this.indexOf(page);
    if (i < 0) return;
    this.fill(this.chunks[Math.floor(i / CHUNK)]);
    const row = this.box.querySelector(`[data-i="${i}"]`);
    row.classList.add('on');
    if (matchMedia('(min-width: 60.01rem)').matches) row.scrollIntoView({block: 'nearest'});
  }

  indexOf(page) {
    const number = this.timeline.named(page)?.number;
    return this.outline?.findIndex((each) => (number ? each.number === number : this.spans.get(each.i)?.page_id === page)) ?? -1;
  }

  /** The page `step` spans from the chosen one; null at the ends. */
  beside(step) {
    const pages = this.outline.filter(({number}) => number), here = pages.findIndex(({number}) => this.timeline.page(number)?.id === this.chosen);
    const next = pages[here < 0 ? (step > 0 ? 0 : pages.length - 1) : here + step];
    return next ? this.timeline.page(next.number)?.id ?? this.spans.get(next.i)?.page_id : null;
  }
}

const empty = () => h('p', {class: 'empty'}, 'This prompt holds no page yet: nothing was written before it.');

/** Every span of an answer: `{i, number, level, tokens, flags}`. */
function outlined(answer) {
  const found = [];
  for (let at = 0; at < answer.outline.length; at += 4) {
    const [number, level, tokens, flags] = answer.outline.slice(at, at + 4);
    found.push({i: found.length, number, level, tokens, flags});
  }
  return found;
}

/** A level as text on its colour. */
export const tag = (type, level, number) =>
  h('span', {class: 'tag', css: {background: paint(type, Math.max(1, level), number).css, color: darkText(type, Math.max(1, level), number) ? '#000' : '#fff'}}, LEVELS[level]);

/** Where a span's text came from, in a few words. */
function origin(span) {
  const from = span?.origin;
  if (!from) return '';
  return `${from.written.turn ? `turn ${from.written.turn}` : 'before turn 1'}${from.first ? ` · line ${from.first}` : ''}`;
}
