// Answers of the server: one JSON per question, read only. `file.js` gives the same answers from inside an exported file.

import {key} from './route.js';

/** An answer that says no: `error` and `hint` are one line each. */
export class Refused extends Error {
  constructor({error, hint, kind}, status) {
    super(error);
    Object.assign(this, {hint, kind, status});
  }
}

/** Asks a server; the last `KEPT` answers about what cannot change any more are kept. */
export class Server {
  static KEPT = 80;
  live = true;
  kept = new Map();

  /** The answer to a path below `/api/`; raises `Refused`. */
  async ask(path, {signal} = {}) {
    let answer;
    try {
      answer = await fetch(`/api/${path}`, {signal, headers: {accept: 'application/json'}});
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Refused({error: 'the server does not answer', hint: 'is `clawvm ui` still running? A new one prints a new address'}, 0);
    }
    const body = await answer.json().catch(() => ({error: `the server answered ${answer.status} without a reason`}));
    if (!answer.ok) throw new Refused(body, answer.status);
    return {...body, pending: answer.status === 202};
  }

  /** As `ask`, but an answer that was had before is given again. */
  once(path) {
    let found = this.kept.get(path);
    if (found) return found;
    found = this.ask(path);
    this.kept.set(path, found);
    found.catch(() => this.kept.delete(path));
    if (this.kept.size > Server.KEPT) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  /** As `ask` for work that takes long: asks again until it is done; `progress(done, of)` is told meanwhile. */
  async work(path, progress, signal) {
    for (;;) {
      const answer = await this.ask(path, {signal});
      if (!answer.pending) return answer;
      progress(...answer.progress);
      await wait(answer.wait_ms ?? 300, signal);
    }
  }

  forget() {
    this.kept.clear();
  }

  /**
   * Told of every growth of a session: `grown({version, hash, turn, status})`, `gone({error, hint})`; of a connection that ended,
   * `lost(whether it is for good)`, and that there is one again, `back()`. Returns a function that ends it.
   */
  follow(session, version, {grown, gone, lost, back}) {
    const events = new EventSource(`/api/s/${key(session)}/tail?after=${version}`);
    events.addEventListener('open', back);
    events.addEventListener('head', (event) => grown(JSON.parse(event.data)));
    events.addEventListener('gone', (event) => gone(JSON.parse(event.data)));
    events.addEventListener('error', () => lost(events.readyState === EventSource.CLOSED));
    return () => events.close();
  }
}

const wait = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('stopped', 'AbortError'));
    });
  });

/** Paths of the questions. */
export const asks = {
  sessions: (q, after) => `sessions?limit=50${q ? `&q=${encodeURIComponent(q)}` : ''}${after ? `&after=${encodeURIComponent(after)}` : ''}`,
  map: (s, ask = {}) => `s/${key(s)}/map${query(ask)}`,
  turn: (s, n) => `s/${key(s)}/t/${n}`,
  spans: (s, n, from) => `s/${key(s)}/t/${n}/spans?from=${from}`,
  span: (s, n, i, offset) => `s/${key(s)}/t/${n}/span/${i}?offset=${offset}`,
  events: (s, n, after) => `s/${key(s)}/t/${n}/events?after=${after}`,
  why: (s, n, page) => `s/${key(s)}/t/${n}/why/${key(page)}`,
  diff: (s, a, b) => `s/${key(s)}/diff?a=${a}&b=${b}`,
  page: (s, page) => `s/${key(s)}/page/${key(page)}`,
  blame: (s, subject) => `s/${key(s)}/blame/${key(subject)}`,
  event: (s, version) => `s/${key(s)}/e/${version}`,
  store: (s, at) => `s/${key(s)}/store?at=${at}`,
  grep: (s, q, after) => `s/${key(s)}/grep${query({q, after})}`,
  losses: (s) => `s/${key(s)}/losses`,
  whatif: (s, what) => `s/${key(s)}/whatif${query(what)}`,
  bisect: (s, q, good, bad) => `s/${key(s)}/bisect${query({q, good, bad})}`,
};

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value != null && value !== '');
  return given.length ? `?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}` : '';
}
