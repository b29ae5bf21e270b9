// What frames the pictures: figures, legends, the line that says where we are, the list of keys.

import {h} from './dom.js';
import {KEYS} from './keys.js';
import {LETTERS, forced, paint} from './theme.js';
import {LEVELS, num, short} from './words.js';

/** A figure with its word (or its words for one and for many); the pointer tells it exactly, and what it counts. */
const figure = (value, word, says, kind) =>
  value == null ? null : h('div', {class: kind ?? '', title: `${typeof value === 'number' ? num(value) : value}: ${says}`}, h('b', {}, typeof value === 'number' ? short(value) : value), Array.isArray(word) ? word[value === 1 ? 0 : 1] : word);

/** Figures of a session row of `/api/sessions`; those that it does not have are left out. */
export function figures(row, timeline) {
  const faults = Object.values(row.faults ?? {}).reduce((sum, n) => sum + n, 0), pages = Object.values(row.pages ?? {}).reduce((sum, n) => sum + n, 0);
  const recorded = timeline.mode === 'recorded';
  return [
    figure(timeline.turns, ['turn', 'turns'], 'calls of the model'), figure(pages, ['page', 'pages'], 'pieces of text that a prompt is made of'),
    row.budget ? figure(row.budget, 'token budget', 'the most tokens of a prompt') : figure(row.largest_tokens, 'tokens, the largest prompt', 'there was no budget'),
    figure(row.needs, ['need', 'needs'], 'times that the agent came back to an older page'), figure(row.hits, 'in the prompt', 'needs whose page was in the prompt'),
    figure(row.misses, recorded ? 'dropped and needed' : 'missed', 'needs whose page was not in the prompt', row.misses ? 'miss' : ''),
    figure(faults, ['fault', 'faults'], 'times that work was done again, or rules were missing', faults ? 'fault' : ''),
    figure(row.compactions, ['compaction', 'compactions'], 'times that the context was cut'),
    figure(row.uncached_tokens, 'uncached tokens', "tokens of all prompts that no provider's cache serves"), row.usage?.input_tokens ? figure(row.usage.input_tokens, 'input tokens, as recorded', 'what the provider counted') : null,
    figure(row.policy, 'policy', 'the rule by which pages are chosen'),
  ];
}

export const swatch = (css, word, kind = '', says = '') => h('li', {title: says}, h('i', {class: kind, css: css ? {background: css} : {}}), word);

/** A sign of a legend, where the pictures have what it stands for. */
const some = (found, ...given) => (found ? [swatch(...given)] : []);

export function types(timeline) {
  const used = new Set([...timeline.pages.values()].map((page) => page.type)), rows = [...timeline.rows.values()];
  return [
    ...timeline.types.filter((type) => used.has(type)).map((type) => forced.matches ? h('li', {}, h('i', {class: 'letter'}, LETTERS[type] ?? '?'), type) : swatch(paint(type, 3).css, type)),
    ...some(rows.some((row) => row.fixed + row.directory + (row.other ?? 0) > 0), 'var(--fixed)', 'no page', 'fixed', 'the frame, the line that names the other pages, and what belongs to no page'),
    ...some([...timeline.runs.values()].some((run) => run.flags & 2), null, 'stale copy', 'hatched', 'an older text of a page, left where it is so that the cache holds'),
    ...some(timeline.erased.size, null, 'erased', 'hatched falling', 'its text was erased'),
    swatch(null, 'cached above', 'line', "what is above the line is served by the provider's cache"),
    ...some(rows.some((row) => row.budget), null, 'budget', 'dots', 'the most tokens of a prompt'),
    ...some(rows.some((row) => row.trigger >= 0), null, 'epoch begins', 'notch', "pages are chosen anew, and the provider's cache starts over"),
  ];
}

export function levels(timeline) {
  const {commits} = timeline;
  return [
    ...[0, 1, 2, 3, 4].map((level) => swatch(paint('evidence', level).css, level ? LEVELS[level] : 'not in the prompt', `level level-${level}`)),
    swatch(null, 'used', 'dot', 'the agent came back to it, and it was in the prompt'), swatch(null, 'missed', 'ring', 'the agent came back to it, and it was not in the prompt; a line leads back to where it left'),
    swatch(null, 'fault', 'ring red', 'work was done again, or rules were missing'),
    ...some(timeline.erased.size, null, 'erased', 'hatched falling', 'its text was erased'),
    ...some(commits.some((each) => each.committed), 'var(--good)', 'committed', 'tick', 'a change was written to the durable store'),
    ...some(commits.some((each) => !each.committed), 'var(--fault)', 'refused', 'tick', 'a change to the durable store was refused'),
    ...some(timeline.bounds.length, null, 'boundary', 'dashed', 'the context was cut, saved or ended; its name is below'),
    ...some(timeline.forks.length, null, 'fork', 'notch fork', 'another session goes on from here'),
  ];
}

/** The header's line. */
export function whereabouts(place, timeline, row) {
  if (!place.session) return [];
  const at = [place.turn ? [' › turn ', h('b', {}, String(place.turn)), timeline ? ` of ${num(timeline.turns)}` : ''] : ' › no prompt', place.page && [' › ', h('b', {}, place.page)], place.event && [' › event ', h('b', {}, num(place.event))]];
  const title = timeline?.title ?? row?.title ?? place.session;
  return [h('h1', {class: 'title', title, dir: 'auto'}, title), h('span', {class: 'at'}, at)];
}

const NAMES = {ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc', Enter: '⏎', gg: 'g g'};

/** The keys' dialog: keys of one action together. */
export function keyList() {
  const actions = new Map();
  for (const [key, action, says] of KEYS) {
    const known = actions.get(action) ?? {keys: []};
    actions.set(action, {keys: [...known.keys, NAMES[key] ?? key], says: known.says ?? says});
  }
  return [h('button', {type: 'button'}, 'close'), h('h2', {}, 'Keys'), h('div', {class: 'keys'}, [...actions.values()].map(({keys, says}) => h('p', {}, h('kbd', {}, keys.slice(0, 2).join(' ')), says)),
    [['click', 'turn and page'], ['drag', 'scrub through the turns'], ['⇧ wheel', 'zoom'], ['⇧ drag', 'bisect between two turns'], ['axis', 'drag: zoom to those turns']].map(([key, says]) => h('p', {}, h('kbd', {}, key), says)))];
}

/** What a picture of prompts is of; it never says more than is true. */
export function caption(timeline) {
  if (timeline.mode === 'recorded') return ['As recorded', 'what the harness had; each column is one prompt from its start down'];
  return [timeline.policy === 'clawvm' ? 'As clawvm' : `As ${timeline.policy}`, 'what the engine sends; each column is one prompt from its start down'];
}
