// A session over its turns, decoded from `map`: pages, runs (a page at one level over successive prompts), marks, figures per turn.

const RUN = 7, MARK = 4, GONE = 5, COMMIT = 3, STALE = 2, CONTINUES = 4, UNKNOWN = -1;

const groups = (flat, size) => {
  const found = [];
  for (let i = 0; i < flat.length; i += size) found.push(flat.slice(i, i + size));
  return found;
};

export class Timeline {
  constructor(map) {
    Object.assign(this, {
      session: map.session_id, key: map.key, title: map.title, mode: map.mode, policy: map.policy, types: map.types,
      pages: new Map(), runs: new Map(), rows: new Map(), marks: [], gone: [], bounds: [], commits: [], forks: map.forks ?? [],
      parent: map.parent ?? null, faultNames: {}, erased: new Set(), from: map.from, to: map.to,
    });
    this.kinds = map.mark_kinds ?? [];
    this.names = new Map();
    this.add(map);
  }

  /** Takes another answer: turns from its first on are replaced, what came before stays (LAW: a live session only grows). */
  add(map) {
    const before = (turn) => turn < map.from;
    for (const turn of [...this.rows.keys()]) if (!before(turn)) this.rows.delete(turn);
    for (const name of ['marks', 'gone', 'bounds', 'commits']) this[name] = this[name].filter((each) => before(each.turn));
    for (const page of map.pages ?? []) this.addPage(page);
    this.addRuns(groups(map.runs ?? [], RUN), map.from);
    this.addMarks(map);
    const fields = map.turn_fields ?? [];
    for (const values of map.rows ?? []) {
      const row = {types: values[fields.length]};
      fields.forEach((name, i) => (row[name] = values[i]));
      this.rows.set(row.turn, row);
    }
    Object.assign(this.faultNames, map.fault_names);
    for (const number of map.erased ?? []) this.erased.add(number);
    Object.assign(this, {head: map.head ?? this.head, turns: map.turns, status: map.status, budget: map.budget_tokens});
    this.triggers = map.triggers ?? [];
    this.to = Math.max(map.to, before(this.to) ? this.to : map.to);
    this.index();
  }

  /** Runs of an answer that begins at turn `first`; one that continues there (flag 4) makes the known run longer. */
  addRuns(runs, first) {
    const open = new Map();
    for (const [key, run] of this.runs) {
      if (run.from >= first) this.runs.delete(key);
      else if ((run.to = Math.min(run.to, first - 1)) === first - 1) open.set(`${run.number} ${run.level} ${run.place}`, run);
    }
    for (const [number, from, to, level, tokens, place, flags] of runs) {
      const known = flags & CONTINUES && from === first && open.get(`${number} ${level} ${place}`);
      if (known) known.to = to;
      else this.runs.set(`${number} ${from} ${place}`, {number, from, to, level, tokens, place, flags});
    }
  }

  /** Takes a page. An answer about later turns does not know when it was born (`UNKNOWN`): what was told before stays. */
  addPage([number, id, type, born, author, title, tokens]) {
    const since = born === UNKNOWN ? this.pages.get(number)?.born ?? born : born;
    this.pages.set(number, {number, id, type: this.types[type], rank: type, born: since, author, title, tokens});
    this.names.set(id, number);
  }

  addMarks(map) {
    for (const [number, turn, kind, version] of groups(map.marks ?? [], MARK)) this.marks.push({number, turn, kind: map.mark_kinds[kind], version});
    for (const [number, turn, left, by, version] of groups(map.gone ?? [], GONE)) this.gone.push({number, turn, left, by, version});
    for (const [turn, kind, version, cut, left, returned] of map.bounds ?? []) this.bounds.push({turn, kind, version, cut, left, returned});
    for (const [turn, committed, version] of groups(map.commits ?? [], COMMIT)) this.commits.push({turn, committed: !!committed, version});
  }

  /** What is looked up often: runs and marks by page, misses in order. */
  index() {
    this.byPage = new Map();
    for (const run of this.runs.values()) {
      if (!this.byPage.has(run.number)) this.byPage.set(run.number, []);
      this.byPage.get(run.number).push(run);
    }
    for (const runs of this.byPage.values()) runs.sort((a, b) => (a.flags & STALE) - (b.flags & STALE) || a.from - b.from);
    for (const each of this.gone) if (each.left === UNKNOWN) each.left = this.lastIn(each.number, each.turn);
    this.misses = this.marks.filter(isMiss).sort((a, b) => a.turn - b.turn || a.version - b.version);
    this.marked = new Map();
    for (const mark of this.marks) {
      if (!this.marked.has(mark.number)) this.marked.set(mark.number, []);
      this.marked.get(mark.number).push(mark);
    }
    this.missCounts = new Map();
    for (const {number} of this.misses) this.missCounts.set(number, (this.missCounts.get(number) ?? 0) + 1);
    this.columns = new Map();
  }

  /** The last turn before `turn` whose prompt held a page; `UNKNOWN` where none of these turns did. */
  lastIn(number, turn) {
    return Math.max(UNKNOWN, ...(this.byPage.get(number) ?? []).filter((run) => run.to < turn).map((run) => run.to));
  }

  /** Whether a page was in a prompt of these turns and not in a later one: without that, nothing can be missed. */
  get left() {
    return [...this.byPage.values()].some((runs) => runs.some((run) => run.to < this.to && !runs.some((other) => other.from <= run.to + 1 && run.to < other.to)));
  }

  row(turn) {
    return this.rows.get(turn);
  }

  page(number) {
    return this.pages.get(number);
  }

  /** The page with an id; undefined where this window does not know it. */
  named(id) {
    return this.pages.get(this.names.get(id));
  }

  /** The run of a page in the prompt of a turn, its newest text before a stale copy; undefined where the page is not in it. */
  runAt(number, turn) {
    return (this.byPage.get(number) ?? []).find((run) => run.from <= turn && turn <= run.to);
  }

  marksOf(number) {
    return this.marked.get(number) ?? [];
  }

  level(number, turn) {
    return this.runAt(number, turn)?.level ?? 0;
  }

  /** The runs in the prompt of a turn in rendered order: pages in their places, then the arrivals. */
  column(turn) {
    if (!this.columns.size) this.fill();
    return this.columns.get(turn) ?? [];
  }

  fill() {
    for (let turn = this.from; turn <= this.to; turn++) this.columns.set(turn, []);
    for (const run of this.runs.values()) {
      for (let turn = Math.max(run.from, this.from); turn <= Math.min(run.to, this.to); turn++) this.columns.get(turn).push(run);
    }
    const arrives = (run, turn) => (run.flags & 1 && run.from === turn ? 1 : 0);
    for (const [turn, runs] of this.columns) runs.sort((a, b) => arrives(a, turn) - arrives(b, turn) || a.place - b.place);
  }

  /** Tokens of the largest prompt or budget of the window: the height of the strata. */
  get tallest() {
    let most = 1;
    for (const row of this.rows.values()) most = Math.max(most, row.tokens, row.budget || 0);
    return most;
  }

  /** The turns where something went wrong or was cut, in order, each with the page that it is about (0: none, a boundary before this turn). */
  stops() {
    const found = new Map(this.misses.map(({turn, number, kind}) => [`${turn} ${number}`, {turn, number, kind}])), missing = new Set(this.misses.map(({turn}) => turn));
    for (const {turn, kind} of this.bounds) {
      const next = Math.min(turn + 1, this.turns);
      if (!missing.has(next)) found.set(`${next} 0`, {turn: next, number: 0, kind});
    }
    return [...found.values()].sort((a, b) => a.turn - b.turn || a.number - b.number);
  }

  /** When a page that is missed at a turn had left: `{left, by}`; null where nothing tells. */
  tether(number, turn) {
    return this.gone.find((each) => each.number === number && each.turn === turn) ?? null;
  }
}

export const isMiss = ({kind}) => kind === 'page_in' || kind === 'unmet' || kind === 'fault';
