// One page: the place (what the address says), the session that is loaded, and everything that is drawn of them.

import {Axis} from './axis.js';
import * as chrome from './chrome.js';
import {$, command, copy, h, sized} from './dom.js';
import {Keyboard, taken} from './keys.js';
import {drawNeedles} from './marks.js';
import {Overview} from './overview.js';
import {Pages} from './pages.js';
import {bisectPane, changesPane, eventsPane, lossesPane, pagePane, proofPane, quoted, searchPane, storePane, whatifPane} from './panes.js';
import {whyPane} from './pane_why.js';
import {grip, listen, slider, stretch, tablist} from './pointer.js';
import {Prompt} from './prompt.js';
import {NOWHERE, ROWS, address, parse} from './route.js';
import {Sessions} from './sessions.js';
import {Refused, asks} from './source.js';
import {Strata} from './strata.js';
import {forced, onTheme, scheme} from './theme.js';
import {Timeline} from './timeline.js';
import {pagesTwin, promptTwin, spoken} from './twin.js';
import {LEVELS, PROVEN, counted, num, proven} from './words.js';

const WINDOW = 400;
const AGAIN_MS = 3000;
const PANES = [
  ['prompt', 'Prompt', null], ['why', 'Why', whyPane], ['changes', 'Changes', changesPane], ['page', 'Page', pagePane], ['events', 'Events', eventsPane],
  ['losses', 'Losses', lossesPane], ['whatif', 'What if', whatifPane], ['store', 'Store', storePane], ['search', 'Search', searchPane], ['bisect', 'Bisect', bisectPane], ['proof', 'Proof', proofPane],
];

const FAILED = {
  JournalDamaged: 'The journal is damaged',
  JournalTooNew: 'A newer program wrote this journal',
  UnknownEvent: 'A newer program wrote this journal',
  NotAJournal: 'This file is no journal',
  JournalBusy: 'The journal is busy',
};

export class App {
  /** `source` answers questions; `addresses` has `read()` and `write(address, replace)`. */
  constructor(source, addresses) {
    Object.assign(this, {source, addresses, place: NOWHERE, hits: {list: [], at: -1}, step: 0, drawn: '', wanted: null});
    this.strata = new Strata($('strata'), $('strata-over'));
    this.other = new Strata($('other'), $('other-over'));
    this.pages = new Pages($('pages'), $('pages-over'));
    this.overview = new Overview($('overview'));
    this.axis = new Axis($('axis'));
    this.prompt = new Prompt($('prompt'), source, (page) => this.go({page, event: null, pane: this.place.pane === 'page' ? 'page' : 'why'}, true));
    this.sessions = new Sessions($('list'), source, (row) => this.go({...NOWHERE, session: row.session_id}, true));
    this.keyboard = new Keyboard((name, value) => this.actions[name]?.call(this, value));
    this.listen();
  }

  // ------------------------------------------------------------------------------- going to a place

  /** Goes to the place that the address bar names. */
  arrive() {
    return this.show(parse(...this.addresses.read()), true);
  }

  /** Goes to this place with some parts changed; `jump` leaves a step back in the history. */
  go(changes, jump = false) {
    const next = {...this.place, ...changes};
    if ('pane' in changes && changes.pane !== 'events') next.event = null;
    if ('turn' in changes && !('event' in changes) && next.turn !== this.place.turn) next.event = null;
    return this.show(next, !jump);
  }

  /** Shows a place: loads what is missing, corrects what cannot be, writes the address, draws. */
  async show(next, replace) {
    const step = this.begin();
    try {
      if (!next.session) return await this.showList(next, replace);
      const loaded = await this.load(next, step);
      if (step !== this.step || !loaded) return;
      this.settle(next, replace);
      await this.draw(step);
    } catch (error) {
      if (step === this.step) this.fail(error);
    } finally {
      if (step === this.step) document.body.dataset.rest = 'yes';
    }
  }

  /** Numbers what is shown: an answer that comes late, for an older number, is left. `data-rest` tells programs when all is shown. */
  begin() {
    document.body.dataset.rest = 'no';
    return ++this.step;
  }

  async showList(next, replace) {
    const from = this.timeline?.session;
    this.leave();
    this.place = {...NOWHERE, q: next.q};
    this.addresses.write(address(this.place), replace);
    this.appear('list');
    $('where').replaceChildren();
    this.searches('titles');
    $('find').value = next.q ?? '';
    document.title = 'clawvm';
    this.listing = await this.sessions.show(next.q ?? '');
    this.sessions.choose(from);
  }

  /** Makes sure that the session and the turns around the place are loaded. */
  async load(next, step) {
    const known = this.timeline?.session === next.session || this.timeline?.key === next.session;
    const turn = next.turn ?? (known ? this.timeline.turns : null);
    const within = known && (!turn || (turn >= this.timeline.from && turn <= this.timeline.to) || turn > this.timeline.turns);
    if (known && within) return true;
    if (!known) this.leave();
    const window = windowAround(turn, next, this.timeline?.turns), listed = known ? null : this.source.ask(asks.sessions(next.session)).catch(() => null);
    if (next.turn) this.source.once(asks.turn(next.session, next.turn)).catch(() => {}); // what will be asked next, beside the map
    let answer = await this.source.ask(asks.map(next.session, window)).catch((error) => {
      if (error.status !== 400 || !window.from) throw error;
      return this.source.ask(asks.map(next.session)); // no such turns: the last ones
    });
    if (turn <= answer.turns && (turn > answer.to || (turn && turn < answer.from))) {  // full turns: fewer fit into an answer
      const from = Math.max(1, turn - Math.floor((answer.to - answer.from) / 2));
      answer = await this.source.ask(asks.map(next.session, {from, to: from + WINDOW - 1}));
    }
    if (step !== this.step) return false;
    this.timeline = new Timeline(answer);
    this.journal = answer.journal;
    this.drawn = '';
    if (known) return true;
    const [rows, overview] = await Promise.all([
      listed,
      answer.to - answer.from + 1 < answer.turns ? this.source.ask(asks.map(next.session, {bins: 400})) : null,
    ]);
    if (step !== this.step) return false;
    this.listed(rows);
    this.bins = overview;
    this.follow();
    return true;
  }

  /** Takes what the list of sessions says of this one: its figures. */
  listed(rows) {
    this.listing = rows ?? this.listing;
    this.row = rows?.sessions.find((row) => row.session_id === this.timeline.session) ?? this.row ?? {};
  }

  /** The place as it can be: the session's whole id, a turn that there is, a window of turns that are loaded. */
  settle(next, replace) {
    const {timeline} = this, last = timeline.turns;
    next.session = timeline.session;
    next.turn = last ? Math.max(1, Math.min(next.turn ?? last, last)) : null;
    if (next.from) {
      [next.from, next.to] = [Math.max(timeline.from, next.from), Math.min(timeline.to, next.to)];
      if (next.from >= next.to || (next.from === timeline.from && next.to === timeline.to)) next.from = next.to = null;
      else if (next.turn < next.from || next.turn > next.to) Object.assign(next, shifted(next, timeline));
    }
    if (next.pane === 'prompt' && !narrow()) next.pane = 'why';
    this.place = next;
    this.addresses.write(address(next), replace);
    document.title = `${next.turn ? `turn ${next.turn}${next.page ? ` ${next.page}` : ''} · ` : ''}${timeline.title ?? timeline.session} · clawvm`;
  }

  leave() {
    this.unfollow?.();
    this.work?.abort();
    Object.assign(this, {timeline: null, row: null, bins: null, answer: null, wanted: null, compared: null, comparison: null, unfollow: null, drawn: '', missing: null, newest: 0});
    this.trouble('');
    this.source.forget();
    for (const id of ['badge', 'pill']) $(id).textContent = '';
    $('pill').hidden = true;
    $('find').value = '';
  }

  fail(error) {
    if (error.name === 'AbortError') return;
    if (!(error instanceof Refused)) console.error(error);
    for (const id of ['badge', 'pill']) $(id).textContent = '';
    if (error.status === 0 && this.timeline) return this.unanswered(error);
    this.appear('list');
    document.title = 'clawvm';
    $('where').replaceChildren();
    this.searches('titles');
    $('list').replaceChildren(h('div', {class: 'empty'}, h('h1', {}, FAILED[error.kind] ?? (error.status === 404 ? 'That is not here' : 'This cannot be shown')), badNews(error), h('p', {}, h('button', {type: 'button', onclick: () => this.go({...NOWHERE}, true)}, 'all sessions'))));
  }

  /** The server is away: what was loaded stays, and the prompt is asked for again when it is back. */
  unanswered(error) {
    this.answer = null;
    this.trouble(error);
    $('prompt').replaceChildren(badNews(error));
  }

  /** What the field above searches. */
  searches(what) {
    Object.assign($('find'), {placeholder: `search ${what}  /`, ariaLabel: `search ${what}`});
  }

  appear(which) {
    $('list').hidden = which !== 'list';
    for (const id of ['figures', 'time', 'main']) $(id).hidden = which === 'list';
  }

  // ------------------------------------------------------------------------------- drawing

  get view() {
    return [this.place.from ?? this.timeline.from, this.place.to ?? this.timeline.to];
  }

  async draw(step) {
    const {place, timeline} = this;
    this.appear('session');
    this.searches('texts');
    $('find').value = place.q ?? $('find').value;
    $('where').replaceChildren(...chrome.whereabouts(place, timeline, this.row));
    this.figures();
    document.body.classList.toggle('bare', !timeline.turns);
    this.tabs();
    if (!timeline.turns) return this.nothing();
    this.pictures();
    this.point();
    await Promise.all([this.compare(), this.details(step)]);
  }

  /** No prompt was assembled yet. */
  nothing() {
    $('time').hidden = true;
    const closed = this.timeline.status !== 'open';
    $('prompt').replaceChildren(h('div', {class: 'empty'}, h('h2', {}, closed ? 'No prompt' : 'No prompt yet'),
      closed ? 'The session ended before its first turn.' : `The session is open, and its first turn has not begun.${this.source.live ? ' This page shows it when it does.' : ''}`,
      command(`clawvm log ${quoted(this.journal)} --session ${quoted(this.timeline.session)}`, this.say.bind(this))));
    $('inspector').replaceChildren();
  }

  /** Draws the pictures again where something of them changed. */
  pictures() {
    const {timeline, place} = this, [from, to] = this.view;
    document.body.classList.toggle('two', !!this.comparison);
    const now = JSON.stringify([from, to, place.rows, timeline.head, timeline.from, !!this.comparison, place.what, innerWidth, innerHeight, devicePixelRatio, document.body.className]);
    if (now === this.drawn) return;
    this.drawn = now;
    const [title, note] = chrome.caption(timeline), tallest = Math.max(timeline.tallest, this.comparison?.tallest ?? 0);
    $('strata-title').textContent = title;
    this.note('strata', `${note}, ${num(tallest)} tokens high`);
    this.note('pages', place.rows === 'lanes' ? `each bar is one page from its first turn on; the ${forced.matches ? 'denser' : scheme() === 'light' ? 'darker' : 'brighter'}, the more of its text` : `rows by ${{born: 'birth', path: 'source path', tokens: 'tokens', missed: 'most missed'}[place.rows]}`);
    $('types').replaceChildren(...chrome.types(timeline));
    $('levels').replaceChildren(...chrome.levels(timeline));
    $('second').hidden = !this.comparison;
    $('span').hidden = !this.bins;
    if (this.bins) this.note('span', `${num(timeline.turns)}, tokens of the fullest prompts; framed: turns ${num(from)} to ${num(to)}, which are shown below`);
    sized(['strata', 'strata-over', 'other', 'other-over', 'pages', 'pages-over', 'axis', 'overview'].map($));
    this.strata.draw(timeline, from, to, tallest);
    if (this.comparison) {
      this.other.draw(this.comparison, from, to, tallest);
      drawNeedles($('other').getContext('2d'), this.comparison, this.other.scale, $('other').height);
    }
    this.pages.draw(timeline, from, to, place.rows);
    $('strata').dataset.window = `${from}-${to}`;
  }

  /** What lies over the pictures: cursor, chosen page, hovered page. */
  mark() {
    const {timeline, place} = this, chosen = timeline.named(place.page)?.number ?? 0;
    this.strata.mark(place.turn, chosen, this.hovered);
    this.pages.mark(place.turn, chosen, this.hovered);
    if (this.comparison) this.other.mark(place.turn, chosen, this.hovered);
  }

  /** The line beside a picture's name; where it is cut, the pointer tells all of it. */
  note(picture, words) {
    Object.assign($(`${picture}-note`), {textContent: words, title: words});
  }

  /** The cursor in the pictures, and in the words of the slider. */
  point() {
    const {timeline, place} = this, slider = $('strata');
    this.mark();
    this.axis.draw(timeline, ...this.view, place.turn);
    if (this.bins) this.overview.draw(this.bins, ...this.view, place.turn);
    for (const [name, value] of [['valuemin', 1], ['valuemax', timeline.turns], ['valuenow', place.turn], ['valuetext', spoken(timeline, place.turn)]]) slider.setAttribute(`aria-${name}`, value);
  }

  /** The pictures of the turn as tables, once the cursor rests. */
  twins() {
    const {timeline, place} = this, now = `${timeline.session} ${timeline.head.version} ${place.turn}`;
    if (now === this.told) return;
    this.told = now;
    $('strata-twin').replaceChildren(promptTwin(timeline, place.turn));
    $('pages-twin').replaceChildren(pagesTwin(timeline, place.turn));
  }

  /** Once for each state of the session: what is written anew is laid out anew. */
  figures() {
    const {timeline, row} = this, now = `${timeline.session} ${timeline.head.version} ${row.session_id}`;
    if ($('figures').dataset.of === now) return;
    $('figures').dataset.of = now;
    $('figures').replaceChildren(...chrome.figures(row, timeline).filter(Boolean));
  }

  tabs() {
    if ($('tabs').dataset.of === this.place.pane) return;
    $('tabs').dataset.of = this.place.pane;
    document.body.classList.toggle('tab-prompt', this.place.pane === 'prompt');
    for (const tab of $('tabs').children) {
      const chosen = tab.dataset.pane === this.place.pane;
      tab.setAttribute('aria-selected', chosen);
      tab.tabIndex = chosen ? 0 : -1;
    }
  }

  /** The other run of the same turns, under the first; asked when the place names one. */
  async compare() {
    const {place} = this, wanted = place.what ? JSON.stringify([place.what, this.timeline.session, this.timeline.head.hash, this.timeline.from, this.timeline.to]) : null;
    if (wanted === this.wanted && (this.comparison || this.compared || !wanted)) return this.compared;
    this.wanted = wanted;
    this.work?.abort();
    Object.assign(this, {compared: null, comparison: null});
    if (wanted) {
      const path = asks.whatif(place.session, {...place.what, from: this.timeline.from, to: this.timeline.to});
      this.compared = this.working(path);
      this.compared.catch(() => {});
      const found = await this.compared.catch((error) => this.say(error.name === 'AbortError' || place.pane === 'whatif' ? '' : error.message, 4000));
      if (this.wanted !== wanted || !found) return;
      this.comparison = new Timeline({session_id: place.session, ...found.map, types: this.timeline.types});
      this.second(found);
    }
    if (this.timeline) this.pictures(), this.point();
  }

  /** The line above the other run: what it is, and what it comes to against the recorded one. */
  second({recorded, run}) {
    const ours = run.policy === 'recorded' ? 'As recorded' : settingName(this.place.what);
    const told = (x, y, word) => [h('b', {class: y > x ? 'more' : y < x ? 'less' : ''}, num(y)), ` ${word} instead of ${num(x)}`];
    $('other-title').textContent = ours;
    $('other-note').replaceChildren(...[...told(recorded.misses, run.misses, 'misses'), ' · ', ...told(recorded.uncached_tokens, run.uncached_tokens, 'uncached tokens'), run.parted ? ` · they part in turn ${run.parted.turn}` : ' · they part nowhere',
      ' · open loop: what would have been missing, not whether the task would have succeeded'].map((part) => (typeof part === 'string' ? document.createTextNode(part) : part)));
    $('other-note').title = $('other-note').textContent;
    const above = run.policy === 'recorded';
    $('second').style.order = above ? -1 : 0;
  }

  /** A long question: its progress is told, and another one ends it. */
  async working(path) {
    this.work?.abort();
    const work = (this.work = new AbortController());
    try {
      return await this.source.work(path, (done, of) => work === this.work && this.say(`deciding again: ${num(done)} of ${num(of)} inputs`, 0), work.signal);
    } finally {
      if (work === this.work) this.say('');
    }
  }

  /** The prompt of the turn and the pane. */
  async details(step) {
    const {place} = this;
    const asked = this.answer?.turn === place.turn && this.answer.head.version === this.timeline.head.version ? this.answer : await this.source.once(asks.turn(place.session, place.turn));
    if (step !== this.step) return;
    const known = this.answer;
    this.answer = asked;
    if (asked !== known && !(known && told(asked) === told(known))) this.prompt.show(asked, this.timeline, place.page), this.proof(asked);
    else if (!this.growing) this.prompt.choose(place.page);
    this.twins();
    await this.pane(step);
    if (step === this.step && place.turn < this.timeline.turns) this.source.once(asks.turn(place.session, place.turn + 1)).catch(() => {});
  }

  proof(answer) {
    const words = proven(answer);
    Object.assign($('badge'), {className: {'✓': 'good', '✗': 'bad'}[words[0]] ?? '', textContent: words, title: PROVEN[words]});
  }

  async pane(step) {
    const render = PANES.find(([name]) => name === this.place.pane)?.[2], box = $('inspector');
    if (!render || (this.growing && box.querySelector('input:focus, select:focus'))) return; // a person writes there
    box.setAttribute('aria-busy', 'true');
    let nodes;
    try {
      nodes = await render({...this, go: this.go.bind(this), say: this.say.bind(this), working: this.working.bind(this)});
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (!(error instanceof Refused)) console.error(error);
      nodes = [badNews(error)];
    }
    if (step !== this.step) return;
    if (box.dataset.of && box.dataset.of !== this.place.pane) box.scrollTop = 0; // before it is filled: after it, all would be laid out
    const held = box.contains(document.activeElement), fresh = h('div', {}, nodes);
    if (this.growing && box.dataset.of === this.place.pane && fresh.textContent === box.textContent) return box.setAttribute('aria-busy', 'false'); // what is read stays
    box.replaceChildren(...fresh.childNodes);
    if (held) box.focus({preventScroll: true});
    box.dataset.of = this.place.pane;
    box.setAttribute('aria-busy', 'false');
  }

  /** A word to the person, for a moment (or until the next, with 0). */
  say(words, ms = 1800) {
    clearTimeout(this.saying);
    $('said').textContent = words;
    if (words && ms) this.saying = setTimeout(() => ($('said').textContent = ''), ms);
  }

  /** What stands between this page and the session's truth, under the header until it is over. */
  trouble(error) {
    $('lost').textContent = [error.message ?? error.error, error.hint].filter(Boolean).join(': ');
  }

  // ------------------------------------------------------------------------------- live

  follow() {
    if (!this.source.follow) return;
    const {timeline, source} = this, here = (act) => timeline === this.timeline && act();
    this.unfollow = source.follow(timeline.session, timeline.head.version, {
      grown: (head) => this.grow(head),
      gone: (error) => this.trouble(error),
      back: () => {
        if ($('lost').textContent) this.trouble(''), this.go({});
      },
      lost: (over) => {
        source.ask(asks.map(timeline.session, {after: timeline.head.version})).catch((error) => here(() => this.trouble(error)));
        if (over) setTimeout(() => here(() => this.follow()), AGAIN_MS);
      },
    });
  }

  /** The session grew: takes the new turns; the cursor follows only where it was at the end. */
  async grow(head) {
    const {timeline} = this;
    if (!timeline) return;
    this.newest = head;
    if (this.growing || head.hash === timeline.head.hash) return;
    this.growing = true;
    try {
      const before = timeline.turns, {version, hash} = timeline.head;
      const last = await this.source.ask(asks.event(timeline.session, version)).catch((error) => ({event: error.status === 404 ? {} : {hash}}));
      if (timeline === this.timeline && last.event.hash !== hash) return void this.replaced();
      const [answer, rows] = await Promise.all([
        this.source.ask(asks.map(timeline.session, {after: version})), this.source.ask(asks.sessions(timeline.session)).catch(() => null),
      ]);
      if (timeline !== this.timeline) return;
      this.listed(rows);
      const ended = this.place.turn === before || !before;
      if (answer.from <= timeline.to + 1) timeline.add(answer);
      else timeline.head = answer.head, (timeline.turns = answer.turns);
      this.source.forget();
      this.missing = (this.missing ?? 0) + timeline.turns - before;
      if (ended) {
        this.missing = null;
        await this.go({turn: timeline.turns, ...(this.place.from ? {from: null, to: null} : {})});
      } else await this.go({});
      $('pill').hidden = !this.missing;
      $('pill').textContent = this.missing ? counted(this.missing, 'new turn') : '';
    } catch (error) {
      this.say(error.message);
      return;
    } finally {
      this.growing = false;
    }
    if (timeline === this.timeline && this.newest.version > timeline.head.version) await this.grow(this.newest);
  }

  /** The event that was the last is not in the journal: another one took its place. */
  async replaced() {
    this.leave();
    await this.arrive();
    if (!this.timeline) await new Promise((done) => setTimeout(done, AGAIN_MS)), await this.arrive(); // its files were still on their way
    this.say('another journal took the place of the one that was shown', 6000);
  }

  // ------------------------------------------------------------------------------- hands

  listen() {
    const does = {
      hover: (hit, event) => this.hover(hit, event),
      pick: ({turn, number}) => this.go({turn, page: this.timeline.page(number)?.id ?? null, event: null, pane: ['page', 'changes', 'bisect'].includes(this.place.pane) ? this.place.pane : 'why'}, true),
      scrub: (turn) => this.turn(turn),
      zoom: (factor, turn) => this.zoom(factor, turn),
      select: (first, last, {number}) => this.bisect(first, last, this.timeline.page(number)?.id),
    };
    listen($('strata'), () => this.strata, does);
    listen($('pages'), () => this.pages, does);
    listen($('other'), () => this.other, {...does, select: () => {}});
    for (const kind of ['pointerdown', 'pointermove']) $('overview').addEventListener(kind, (event) => event.buttons && this.turn(this.overview.turn((event.clientX - $('overview').getBoundingClientRect().left) / $('overview').clientWidth), true));
    stretch($('axis'), (share) => this.axis.turn(share), {
      choosing: (first, last) => this.axis.draw(this.timeline, ...this.view, this.place.turn, [first, last]),
      chosen: (first, last) => first === last ? this.turn(first, true) : this.go({from: first, to: last, turn: Math.max(first, Math.min(last, this.place.turn))}),
    });
    grip($('grip'), () => $('inspector').offsetWidth, (width) => document.documentElement.style.setProperty('--side', `${Math.max(240, Math.min(innerWidth - 420, width))}px`));
    slider($('strata'), () => [this.place.turn, this.timeline.turns], (turn) => this.turn(turn));
    tablist($('tabs'));
    $('tabs').replaceChildren(...PANES.map(([name, title]) => h('button', {type: 'button', role: 'tab', data: {pane: name}, 'aria-controls': name === 'prompt' ? name : 'inspector',
      onclick: () => this.go({pane: name, ...(name === 'events' ? {event: null} : {})}, true)}, title)));
    document.querySelector('.skip').addEventListener('click', (event) => (event.preventDefault(), this.content()?.focus()));
    addEventListener('keydown', (event) => !$('keys').open && !taken(event) && this.keyboard.press(event.key) && event.preventDefault());
    addEventListener('resize', () => this.redraw());
    onTheme(() => ((this.drawn = ''), this.redraw(true)));
    $('find').addEventListener('keydown', (event) => event.key === 'Enter' && this.search(event.target.value.trim()));
    $('home').addEventListener('click', () => this.actions.list.call(this));
    $('help').addEventListener('click', () => this.actions.help.call(this));
    $('pill').addEventListener('click', () => this.actions.last.call(this));
    $('other-close').addEventListener('click', () => this.go({what: null}, true));
    $('keys').addEventListener('click', () => $('keys').close());
  }

  /** Where the content begins. */
  content() {
    return this.timeline ? ['prompt', 'inspector'].map($).find((box) => box.offsetWidth) : $('list').querySelector('button');
  }

  redraw(again = false) {
    if (!this.timeline?.turns || $('time').hidden) return;
    this.pictures();
    this.point();
    if (again && this.answer) this.prompt.show(this.answer, this.timeline, this.place.page), this.pane(this.step);
  }

  hover(hit, event) {
    const number = hit?.number ?? 0, tip = $('tip');
    if (number !== (this.hovered ?? 0)) {
      this.hovered = number;
      this.mark();
    }
    const page = this.timeline?.page(number);
    if (!page) return void (tip.hidden = true);
    const run = this.timeline.runAt(number, hit.turn), state = hit.turn <= page.born ? 'not written yet' : run ? `${LEVELS[run.level]} · ${num(run.tokens)} of ${num(page.tokens[4])} tokens` : 'not in the prompt';
    tip.replaceChildren(h('b', {}, page.id), ` ${page.type} · turn ${hit.turn} · ${state}`, h('p', {}, page.title ?? 'its text was erased'));
    tip.hidden = false;
    const box = $('time').getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY - box.top + 18}px`;
  }

  /** Goes to a turn; many calls in a row ask for the texts of the last one only. */
  turn(turn, jump = false) {
    const {timeline} = this, next = Math.max(1, Math.min(timeline.turns, turn));
    if (next === this.place.turn) return;
    clearTimeout(this.soon);
    if (next < timeline.from || next > timeline.to || jump) return void this.go({turn: next}, jump);
    this.begin();
    const place = {...this.place, turn: next, event: null};
    this.settle(place, true);
    this.pictures();
    this.point();
    $('where').replaceChildren(...chrome.whereabouts(this.place, timeline, this.row));
    this.soon = setTimeout(() => this.go({}), 30);
  }

  zoom(factor, around = this.place.turn) {
    const {timeline} = this, [from, to] = this.view, size = to - from + 1, now = Math.max(8, Math.min(timeline.to - timeline.from + 1, Math.round(size * factor)));
    const first = Math.max(timeline.from, Math.min(timeline.to - now + 1, Math.round(around - ((around - from) / size) * now)));
    const last = first + now - 1;
    this.go(first === timeline.from && last === timeline.to ? {from: null, to: null} : {from: first, to: last});
  }

  /** Between two turns: the first in which the page is out of the prompt, at once from the runs, then by the engine. */
  bisect(first, last, page = this.place.page) {
    if (!page) return this.say('shift-drag along a page');
    const number = this.timeline.named(page).number;
    for (let turn = first; turn <= last; turn++) {
      if (this.timeline.level(number, turn)) continue;
      this.say(`${page} is absent from turn ${turn} on, by the runs; the engine is asked`);
      break;
    }
    this.go({page, bisect: `absent(${page})`, good: `t${first}`, bad: `t${last}`, pane: 'bisect'}, true);
  }

  search(q) {
    $('find').blur();
    if (!this.timeline) return this.go({...NOWHERE, q: q || null}, true);
    this.hits = {list: [], at: -1};
    this.go({q: q || null, pane: q ? 'search' : 'why'}, true);
  }

  hit(step) {
    const {list, open} = this.hits;
    if (!list.length) return this.say('no search: /');
    this.hits.at = (this.hits.at + step + list.length) % list.length;
    open(list[this.hits.at]);
  }

  stop(step) {
    const {timeline, place} = this, stops = timeline.stops(), page = timeline.named(place.page)?.number ?? 0;
    const here = stops.findIndex((each) => each.turn === place.turn && each.number === page);
    const before = stops.filter((each) => each.turn < place.turn).length;
    const next = stops[here >= 0 ? here + step : step > 0 ? before : before - 1], whole = timeline.from === 1 && timeline.to === timeline.turns;
    const found = next ?? (whole ? stops.at(step > 0 ? 0 : -1) : null);
    if (!found) return this.say(`no miss, fault or boundary ${whole ? '' : step > 0 ? 'after this ' : 'before this '}in these turns`);
    if (!next) this.say(step > 0 ? 'from the first again' : 'from the last again');
    this.go({turn: found.turn, page: timeline.page(found.number)?.id ?? null, event: null, pane: 'why'}, true);
  }

  /** What keys do, by the names in `keys.js`; false: the key is left to the browser. */
  actions = {
    back() { return this.timeline ? this.turn(this.place.turn - 1) : false; },
    forth() { return this.timeline ? this.turn(this.place.turn + 1) : false; },
    stopBefore() { return this.timeline ? void this.stop(-1) : false; },
    stopAfter() { return this.timeline ? void this.stop(1) : false; },
    first() { if (this.timeline) this.go({turn: 1}, true); else this.sessions.move(-1e9); },
    last() { if (this.timeline) (this.missing = null), ($('pill').hidden = true), this.go({turn: this.timeline.turns}, true); else this.sessions.move(1e9); },
    goto(turn) { return this.timeline ? void this.go({turn}, true) : false; },
    down() { return this.beside(1); },
    up() { return this.beside(-1); },
    open() { const row = !this.timeline && this.sessions.chosen(); return row ? void this.sessions.open(row) : this.timeline ? this.field() : false; },
    why() { this.open('why'); }, changes() { this.open('changes'); }, page() { this.open('page'); }, events() { this.open('events'); }, losses() { this.open('losses'); },
    whatif() { this.open('whatif'); }, bisect() { this.open('bisect'); }, store() { this.open('store'); }, proof() { this.open('proof'); },
    compare() { if (this.timeline) this.both(); },
    find() { $('find').focus(), $('find').select(); },
    hitAfter() { this.hit(1); }, hitBefore() { this.hit(-1); },
    rows() { if (this.timeline) this.go({rows: ROWS[(ROWS.indexOf(this.place.rows) + 1) % ROWS.length]}).then(() => this.say(`rows: ${this.place.rows}`)); },
    size() { const sizes = ['', 'size-small', 'size-full'], now = sizes.findIndex((name) => name && document.body.classList.contains(name)); document.body.classList.remove('size-small', 'size-full'); const next = sizes[(Math.max(0, now) + 1) % 3]; if (next) document.body.classList.add(next); this.redraw(); },
    closer() { if (this.timeline) this.zoom(0.6); }, wider() { if (this.timeline) this.zoom(1.6); }, all() { if (this.timeline) this.go({from: null, to: null}); },
    twins() { document.body.classList.toggle('twins'); this.redraw(); },
    link() { copy(location.href).then((done) => this.say(done ? 'link copied' : location.href)); },
    list() { this.go({...NOWHERE}, true); },
    leave() {
      if (document.activeElement?.matches('input, select')) return void document.activeElement.blur();
      if (!this.timeline) return;
      if (this.place.page || this.place.event) this.go({page: null, event: null, pane: 'why'});
      else if (this.place.what) this.go({what: null});
    },
    help() { $('keys').replaceChildren(...chrome.keyList()), $('keys').showModal(); },
  };

  /** A pane by its key: the keyboard's focus goes there, so that Tab leads to its links and fields. */
  open(pane) {
    if (!this.timeline) return;
    $('inspector').focus({preventScroll: true});
    this.go({pane, event: null}, true);
  }

  /** The first field of the pane that is open takes the keys; false: it has none. */
  field() {
    const found = document.querySelector('#inspector form input');
    return found ? void (found.focus(), found.select()) : false;
  }

  beside(step) {
    if (!this.timeline) return void this.sessions.move(step);
    const page = this.prompt.beside(step);
    if (page) this.go({page, event: null, pane: this.place.pane === 'page' ? 'page' : 'why'});
  }

  /** As recorded and as clawvm, one above the other; or, if they are, one alone. */
  both() {
    const {timeline, place} = this, policy = timeline.mode === 'recorded' ? 'clawvm' : 'recorded';
    this.go({what: place.what?.policy === policy ? null : {policy}, pane: place.what?.policy === policy ? place.pane : 'whatif'}, true);
  }
}

/** What an answer tells of its turn, however far the session was when it was asked. */
const told = (answer) => JSON.stringify({...answer, head: null, turns: null});

const settingName = (what) => {
  if (what.policy && !what.budget) return `As ${what.policy}`;
  return `What if: ${[what.budget && `${num(what.budget)} tokens`, what.policy].filter(Boolean).join(', ')}`;
};

const narrow = () => matchMedia('(max-width: 60rem)').matches;

export const badNews = (error) => h('div', {class: 'bad-news', role: 'alert'}, h('p', {}, error.message || String(error)), error.hint && !error.hint.startsWith('/api/') && h('p', {class: 'source'}, error.hint));

/** The part of a long session to ask for: around a turn, and around the window that an address names. */
function windowAround(turn, {from, to}, turns) {
  if (!turn) return {};
  const middle = from && turn >= from && turn <= to ? Math.round((from + to) / 2) : turn;
  const first = Math.max(1, middle - WINDOW / 2);
  return turns && turns <= WINDOW ? {} : {from: first, to: first + WINDOW - 1};
}

/** The window moved so that the turn is in its middle. */
function shifted({from, to, turn}, timeline) {
  const size = to - from, first = Math.max(timeline.from, Math.min(timeline.to - size, turn - Math.round(size / 2)));
  return {from: first, to: first + size};
}
