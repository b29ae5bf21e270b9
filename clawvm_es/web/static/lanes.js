// Rows of the page view. A lane is reused once its page is gone for good, so that rows are tall and little is empty. Pure.

const REQUIRED = new Set(['bootstrap', 'constraint', 'plan', 'preference']);

const ORDERS = {
  lanes: () => (a, b) => weight(a) - weight(b) || a.number - b.number,
  born: () => (a, b) => a.born - b.born || a.number - b.number,
  path: () => (a, b) => source(a).localeCompare(source(b)) || a.number - b.number,
  tokens: () => (a, b) => b.tokens[4] - a.tokens[4] || a.number - b.number,
  missed: (timeline) => (a, b) => misses(timeline, b) - misses(timeline, a) || a.number - b.number,
};

const weight = (page) => (REQUIRED.has(page.type) ? page.rank : 9);
const source = (page) => (page.title ?? '~').replace(/^\w+ /, '');
const misses = (timeline, page) => timeline.missCounts.get(page.number) ?? 0;

/**
 * Rows of the pages of turns `from` to `to` in one of the orders above:
 * `{rows: [[{number, from, to}]], at: number → row, life: number → [from, to]}`.
 */
export function lanesOf(timeline, from, to, order = 'lanes') {
  const pages = [...timeline.pages.values()].filter((page) => seen(timeline, page, from, to));
  pages.sort((ORDERS[order] ?? ORDERS.lanes)(timeline));
  return order === 'lanes' ? shared(timeline, pages, from, to) : alone(timeline, pages, from, to);
}

function seen(timeline, page, from, to) {
  const [first, last] = lifeOf(timeline, page);
  return first <= to && last >= from;
}

/** The turns from the first prompt that a page could be in to the last that it was in or that missed or used it. */
function lifeOf(timeline, page) {
  const first = page.born + 1;
  let last = first;
  for (const run of timeline.byPage.get(page.number) ?? []) last = Math.max(last, run.to);
  for (const mark of timeline.marksOf(page.number)) last = Math.max(last, mark.turn);
  return [first, last];
}

function alone(timeline, pages, from, to) {
  const found = {rows: [], at: new Map(), life: new Map()};
  for (const page of pages) {
    found.at.set(page.number, found.rows.length);
    found.life.set(page.number, [page.born + 1, Math.max(to, lifeOf(timeline, page)[1])]);
    found.rows.push([{number: page.number, from: page.born + 1, to}]);
  }
  return found;
}

function shared(timeline, pages, from, to) {
  const found = {rows: [], at: new Map(), life: new Map()}, free = [], gap = Math.max(1, Math.round((to - from) / 300));
  for (const page of pages) {
    const [first, last] = lifeOf(timeline, page);
    let row = free.findIndex((until) => until < first);
    if (row < 0) row = free.length;
    free[row] = last + gap;
    (found.rows[row] ??= []).push({number: page.number, from: first, to: last});
    found.at.set(page.number, row);
    found.life.set(page.number, [first, last]);
  }
  return found;
}

/** The page in a row at a turn; 0 where there is none. */
export const pageAt = (lanes, row, turn) => lanes.rows[row]?.find((each) => each.from <= turn && turn <= each.to)?.number ?? 0;
