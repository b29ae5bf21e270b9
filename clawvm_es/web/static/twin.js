// Tables that tell what the pictures show of the turn, for those who do not see them.

import {h, table} from './dom.js';
import {layersOf} from './layers.js';
import {isMiss} from './timeline.js';
import {LEVELS, MISSES, counted, num} from './words.js';

/** What a screen reader says of a turn. */
export function spoken(timeline, turn) {
  const row = timeline.row(turn);
  if (!row) return `turn ${turn}`;
  const misses = timeline.misses.filter((mark) => mark.turn === turn).length;
  const of = row.budget ? ` of ${num(row.budget)}` : '';
  return `turn ${turn} of ${timeline.turns}: ${num(row.tokens)}${of} tokens, ${counted(row.pages, 'page')}, ${num(row.cached)} cached${misses ? `, ${counted(misses, 'miss', 'misses')}` : ''}`;
}

export function promptTwin(timeline, turn) {
  return table(['page', 'type', 'level', 'tokens', 'title'],
    layersOf(timeline, turn).map(({number, level, size}) => {
      const page = timeline.page(number);
      return [page?.id ?? 'no page', page?.type ?? '', page ? LEVELS[level] : '', num(size), page?.title ?? ''];
    }), `Prompt of turn ${turn}, in order`);
}

export function pagesTwin(timeline, turn) {
  const marks = timeline.marks.filter((mark) => mark.turn === turn && mark.number).map((mark) => {
    const page = timeline.page(mark.number), tether = isMiss(mark) ? timeline.tether(mark.number, turn) : null;
    return [page?.id ?? '', page?.type ?? '', MISSES[mark.kind] ?? mark.kind, tether?.left > 0 ? `it left after turn ${tether.left}` : '', page?.title ?? ''];
  });
  const bounds = timeline.bounds.filter((bound) => bound.turn === turn).map((bound) => ['', '', bound.kind, counted(bound.left, 'page left', 'pages left'), '']);
  return table(['page', 'type', 'what', 'since', 'title'], [...marks, ...bounds], `Marks of turn ${turn}${marks.length + bounds.length ? '' : ': none'}`);
}
