// Numbers and fixed words of the page.

export const LEVELS = ['absent', 'pointer', 'structured', 'compressed', 'full'];
export const FLAGS = {arrival: 1, stale: 2, erased: 4, frame: 8};

/** A number with commas. Not by `Intl`, whose first use costs a browser as much as a picture. */
export const num = (n) => (n == null ? '' : String(n).replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ',')));

/** A number of at most four characters and a unit: 9,812 · 16k · 2.9M. */
export const short = (n) =>
  n >= 1e7 ? `${Math.round(n / 1e6)}M` : n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${Math.round(n / 1e3)}k` : num(n);

export const counted = (n, one, many = `${one}s`) => `${num(n)} ${n === 1 ? one : many}`;

export const signed = (n) => (n > 0 ? `+${num(n)}` : n < 0 ? `−${num(-n)}` : '0');

export const percent = (part, whole) => (whole ? `${Math.round((100 * part) / whole)}%` : '');

/** A time as a person writes it, in UTC as the log keeps it. */
export const when = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : '');

export const CUTS = {compact: 'compaction', micro: 'results taken out', clear: 'clear', rewind: 'rewind'};
export const BOUNDARIES = {compact: 'compaction', prune: 'pruning', flush: 'flush', reset: 'reset', save: 'save', end: 'end'};
export const boundary = (kind, cut) => (cut && CUTS[cut]) || BOUNDARIES[kind] || kind;

export const MISSES = {
  page_in: 'missed: it had to be paged in',
  unmet: 'missed: the harness had dropped it',
  fault: 'fault',
};

/** What went wrong in a fault, by its name in the log. */
export const FAULTS = {
  duplicate_tool: 'a tool ran again whose result the prompt no longer held', refetch: 'it was dropped, and read again',
  post_compaction_bootstrap: 'rules were missing after a compaction', pinned_invariant_miss: 'a pinned page was not in the prompt',
  silent_recall: 'a recall found nothing, without a word', flush_miss: 'a change was not written back in time',
};

/** Why an epoch began: the pages of a prompt were chosen anew, and the provider's cache starts over. */
export const TRIGGERS = {
  forced: 'a boundary or a change of settings', high: 'the budget was full', cold: "the provider's cache had gone cold",
  rent: 'what had been added had cost as much as a new cache',
};

/** The same in two or three words. */
export const SHORT_TRIGGERS = {forced: 'a boundary or new settings', high: 'budget full', cold: 'cache gone cold', rent: 'additions too dear'};

/** What became of a step to a level, by its name in the trace. */
export const OUTCOMES = {
  taken: 'taken', misfit: 'did not fit', closed: 'a lower one did not fit', settled: 'settled before', brought: 'came with its group', not_reached: 'not reached',
};

export const REASONS = {
  floor: 'its floor', arrival: 'it arrived', hint: 'a hint asked for it', retrieved: 'retrieval found it',
  raised: 'raised: it was worth its tokens', lowered: 'lowered to make room', evicted: 'evicted: others were worth more',
  pressure: 'pressure: rules alone overran the budget', boundary: 'taken out at a boundary', retired: 'retired', redacted: 'redacted',
};
export const SHORT_REASONS = {raised: 'raised', lowered: 'lowered', evicted: 'evicted', pressure: 'pressure', boundary: 'boundary'};
