// Numbers and fixed words of the page.

export const LEVELS = ['absent', 'pointer', 'structured', 'compressed', 'full'];
export const FLAGS = {arrival: 1, stale: 2, erased: 4, frame: 8};

/** A number with commas. Not by `Intl`, whose first use costs a browser as much as a picture. */
export const num = (n) => (n == null ? '' : String(n).replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ',')));

/** A number of at most four characters and a unit: 9,812 · 16k · 2.9M. */
export const short = (n) =>
  n >= 1e7 ? `${Math.round(n / 1e6)}M` : n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${Math.round(n / 1e3)}k` : num(n);

export const counted = (n, one, many = `${one}s`) => `${num(n)} ${n === 1 ? one : many}`;

/** A turn in words; what was written before the first one belongs to none. */
export const inTurn = (n) => (n ? `turn ${n}` : 'before turn 1');

export const signed = (n) => (n > 0 ? `+${num(n)}` : n < 0 ? `−${num(-n)}` : '0');

export const percent = (part, whole) => (whole ? `${Math.round((100 * part) / whole)}%` : '');

/** A time as a person writes it, in UTC as the log keeps it; none for one of 1970, which only counts the steps of a recording without times. */
export const when = (iso) => (iso && !iso.startsWith('1970') ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : '');

export const CUTS = {compact: 'compaction', micro: 'results taken out', clear: 'clear', rewind: 'rewind'};
export const BOUNDARIES = {compact: 'compaction', prune: 'pruning', flush: 'flush', reset: 'reset', save: 'save', end: 'end'};
export const boundary = (kind, cut) => (cut && CUTS[cut]) || BOUNDARIES[kind] || kind;

/** What the bytes of a prompt prove, in a few words and in a sentence. */
export const PROVEN = {
  '✓ bytes = commitment': 'The text of this prompt is, byte for byte, what the log committed to when it was made.',
  '✗ bytes differ': 'The text of this prompt is not what the log committed to when it was made.',
  'no commitment': 'Nothing was committed to for this prompt, so its bytes cannot be checked.',
  'salt gone': 'The log committed to the bytes of this prompt, but the salt that it takes to check them was erased, or is lost.',
  'erased in part': 'A text of this prompt was erased, so its bytes cannot be checked.',
};
export const proven = ({matches, committed, spans}) =>
  matches === true ? '✓ bytes = commitment' : matches === false ? '✗ bytes differ' : spans.some(({erased}) => erased) ? 'erased in part' : committed ? 'salt gone' : 'no commitment';

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

/** The parts of a budget, by their names in the trace, and what each is. */
export const SPENDING = {
  fixed: ['frame', 'what every prompt holds'], directory: ['directory', 'the line that names the other pages'], groups: ['groups', 'pages that come together'],
  floors: ['floors', 'the lowest level that each page may fall to'], arrivals: ['new', 'pages that arrived in this turn'], hints: ['hints', 'pages that a hint asked for'],
  retrieved: ['retrieved', 'pages that retrieval found'], kept: ['kept', 'what the epoch held already'], steps: ['raised', 'steps to higher levels, by their worth'],
  rest: ['not spent', 'of this, an epoch leaves a part for what its later turns add'],
};

export const REASONS = {
  floor: 'its floor', arrival: 'it arrived', hint: 'a hint asked for it', retrieved: 'retrieval found it',
  raised: 'raised: it was worth its tokens', lowered: 'lowered to make room', evicted: 'evicted: others were worth more',
  pressure: 'pressure: rules alone overran the budget', boundary: 'taken out at a boundary', retired: 'retired', redacted: 'redacted',
};
export const SHORT_REASONS = {raised: 'raised', lowered: 'lowered', evicted: 'evicted', pressure: 'pressure', boundary: 'boundary'};
