// Why a page stood where it stood in a prompt, or why it was missing.

import {begun, facts, fitted, h, link, table} from './dom.js';
import {tag} from './prompt.js';
import {asks} from './source.js';
import {forced, ink, paint} from './theme.js';
import {BOUNDARIES, FAULTS, LEVELS, MISSES, OUTCOMES, REASONS, SPENDING, counted, num, signed} from './words.js';

const INKS = {
  fixed: 'var(--fixed)', directory: 'var(--faint)', groups: '#7d8a97', floors: '#dba90f', arrivals: '#23c47c', hints: '#e95bbd', retrieved: '#2ba3f0',
  kept: '#9a6cf2', steps: '#3f8fc4', rest: 'var(--line)',
};

export async function whyPane(page) {
  const {place, timeline, source} = page;
  if (!place.page) return turnAlone(page);
  const known = timeline.named(place.page);
  if (known && place.turn <= known.born) return [heading(known, place), h('p', {class: 'says'}, 'This page was not written yet.'), link(`its first prompt is turn ${known.born + 1}'s`, () => page.go({turn: known.born + 1}, true))];
  const why = await source.once(asks.why(place.session, place.turn, place.page));
  return [
    heading({id: why.page?.page_id ?? place.page, type: why.page?.page_type, title: why.page?.title}, place),
    h('p', {class: 'says'}, why.says),
    miss(page, why),
    why.differs && h('p', {class: 'bad-news'}, "today's code decides this turn otherwise than the log recorded: clawvm verify --redecide"),
    why.page && steps(why.page),
    ...ranking(page, why),
    ...spending(why.account, page.answer),
    ...score(why.page),
    ...life(page, known),
  ];
}

const heading = ({id, type, title}, place) => [
  h('h3', {}, `${id} · ${type ?? 'page'} · turn ${place.turn}`),
  title && h('p', {class: 'source'}, title),
];

/** No page is chosen: what the turn itself brought. */
async function turnAlone({answer, timeline, place, row, go}) {
  const moved = (name, changes) => changes?.length > 0 && [h('h3', {}, `${name}: ${counted(changes.length, 'page')}`),
    h('ul', {class: 'lines'}, changes.slice(0, 30).map(([id, before, after, reason]) => {
      const page = timeline.named(id);
      return h('li', {}, link(id, () => go({page: id}, true)), ' ', page && tag(page.type, LEVELS.indexOf(after === 'absent' ? before : after), page.number),
        ` ${REASONS[reason] ?? reason} `, h('span', {class: 'dim'}, page?.title ?? ''));
    }), changes.length > 30 && h('li', {class: 'dim'}, `and ${num(changes.length - 30)} more: events`))];
  const misses = timeline.misses.filter((mark) => mark.turn === place.turn);
  return [
    h('p', {class: 'says'}, 'Choose a page: a ribbon, a bar, or a span of the prompt.'),
    misses.length > 0 && [h('h3', {}, 'Missing in this prompt'), h('ul', {class: 'lines'}, misses.map((mark) => missLine(timeline, mark, go)))],
    moved('Came', answer?.came), moved('Left', answer?.left), moved('Raised', answer?.raised), moved('Lowered', answer?.lowered),
    answer?.said?.text && [h('h3', {}, 'The model then said'), begun(answer.said.text, answer.said.chars)],
    !timeline.misses.length && h('p', {class: 'dim'}, noMiss(timeline, row)),
  ];
}

/** Why nothing was missed in these turns. */
const noMiss = (timeline, row) =>
  !timeline.left ? 'No miss, by construction: no page ever left a prompt of these turns.'
    : row?.needs === 0 ? 'No miss: the agent never came back to an older page.'
      : timeline.mode === 'recorded' ? 'Nothing that was needed was out of a prompt.' : 'No miss in these turns.';

const missLine = (timeline, mark, go) => {
  const page = timeline.page(mark.number);
  return h('li', {}, page ? link(page.id, () => go({page: page.id}, true)) : '', ` ${missed(timeline, mark)} `, h('span', {class: 'dim'}, page?.title ?? ''));
};

/** The story of a miss: when the page was needed, when it had left, and what took it out. */
function miss({place, timeline, go}, why) {
  const known = timeline.named(place.page), mark = known && timeline.misses.find((each) => each.number === known.number && each.turn === place.turn);
  const {changed} = why;
  if (!mark) return left(why, go);
  const tether = timeline.tether(known.number, place.turn);
  return h('div', {class: `story ${mark.kind === 'fault' ? 'fault' : ''}`},
    h('div', {}, `The agent needed it in this turn. ${sentence(missed(timeline, mark))}.`),
    tether && tether.left > 0 && h('div', {}, 'It was last in the prompt of ', link(`turn ${tether.left}`, () => go({turn: tether.left}, true)), `, ${counted(place.turn - tether.left, 'turn')} before.`),
    tether && tether.left === 0 && h('div', {}, 'No prompt ever held it.'),
    changed?.after === 'absent' && h('div', {}, gone(changed), ' ', link(`event ${num(changed.event.version)}`, () => go({turn: changed.event.turn, event: changed.event.version, page: null, pane: 'events'}, true))));
}

/** What a miss was, in words; of a fault, which. */
const missed = (timeline, mark) => (mark.kind === 'fault' && FAULTS[timeline.faultNames[mark.version]]) || MISSES[mark.kind];

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

function left({changed, page}, go) {
  if (changed?.after !== 'absent' || page?.after !== 'absent') return null;
  return h('div', {class: 'story'}, gone(changed), ' ', link(`turn ${changed.event.turn}`, () => go({turn: changed.event.turn}, true)));
}

const gone = (changed) =>
  `It left in turn ${changed.event.turn}: ${changed.boundary ? `the ${BOUNDARIES[changed.boundary] ?? changed.boundary} took it out` : REASONS[changed.reason] ?? changed.reason}.`;

/** The levels that the page is kept at, what each would have added, and what became of the step to it. */
function steps(page) {
  const taken = new Map(page.steps.map((step) => [step.level, step]));
  const rows = Object.entries(page.levels).sort(([a], [b]) => LEVELS.indexOf(a) - LEVELS.indexOf(b)).map(([level, {tokens, utility}]) => {
    const step = taken.get(level);
    const outcome = step ? (OUTCOMES[step.outcome] ?? words(step.outcome)) + (step.rest != null && step.outcome === 'misfit' ? `, ${num(step.rest)} left` : '') : '';
    return {cells: [level, num(tokens), num(utility), step ? signed(step.gain) : '', step ? num(step.place) : '', outcome], class: level === page.after ? 'here' : ''};
  });
  if (!page.steps.length) return [h('h3', {}, 'Its levels'), table(['level', 'tokens', 'utility'], rows.map((row) => ({...row, cells: row.cells.slice(0, 3)})))];
  return [h('h3', {}, 'Its levels'), table(['level', 'tokens', 'utility', 'gain', 'order', 'step to it'], rows)];
}

const words = (name) => String(name).replaceAll('_', ' ');

/** The candidates of the turn by their place in the order, the page asked about marked. */
function ranking({place, go, timeline}, why) {
  const ranked = (why.candidates ?? []).filter(({rank}) => rank != null).sort((a, b) => a.rank - b.rank);
  if (ranked.length < 2) return [];
  const canvas = h('canvas', {role: 'img', 'aria-label': `${ranked.length} candidates by place, ${place.page} marked`});
  requestAnimationFrame(() => canvas.isConnected && drawRanking(canvas, ranked, place.page, timeline));
  canvas.addEventListener('click', (event) => {
    const box = canvas.getBoundingClientRect(), at = Math.floor(((event.clientX - box.left) / box.width) * ranked.length);
    go({page: ranked[Math.min(ranked.length - 1, at)].page_id}, true);
  });
  const total = why.candidates_total ?? ranked.length;
  return [h('h3', {}, ranked.length < total ? `${num(ranked.length)} candidates nearest to it of ${num(total)}, in the order asked` : `All ${num(ranked.length)} candidates, in the order asked`), canvas,
    h('p', {class: 'dim'}, 'height: utility · coloured: in the prompt · grey: not')];
}

function drawRanking(canvas, ranked, chosen, timeline) {
  const context = fitted(canvas), {width, height} = canvas, dot = devicePixelRatio || 1, each = width / ranked.length;
  const most = Math.max(1, ...ranked.map(({score}) => score));
  ranked.forEach((candidate, i) => {
    const size = Math.max(2 * dot, Math.sqrt(Math.max(0, candidate.score) / most) * (height - 14 * dot)), level = LEVELS.indexOf(candidate.after);
    context.fillStyle = level ? paint(candidate.page_type, level, timeline.named(candidate.page_id)?.number ?? 0).css : ink('line');
    context[forced.matches && !level ? 'strokeRect' : 'fillRect'](i * each, height - size, Math.max(dot, each - (each > 3 * dot ? dot : 0)), size);
    if (candidate.page_id !== chosen) return;
    const x = (i + 0.5) * each, y = height - size - 3 * dot;
    context.fillStyle = ink('cursor');
    context.beginPath();
    context.moveTo(x, y), context.lineTo(x - 4 * dot, y - 8 * dot), context.lineTo(x + 4 * dot, y - 8 * dot);
    context.fill();
  });
}

function spending(account, answer) {
  if (!account?.budget) return [];
  const spent = Object.keys(SPENDING).filter((name) => account[name] > 0);
  return [h('h3', {}, `Where ${num(account.budget)} tokens went`),
    h('div', {class: 'bar', 'aria-hidden': 'true'}, spent.map((name) => h('i', {title: `${SPENDING[name][0]} ${num(account[name])}`, css: {width: `${(100 * account[name]) / account.budget}%`, background: INKS[name]}}))),
    h('p', {class: 'source'}, spent.map((name) => h('span', {title: SPENDING[name][1]}, h('i', {class: 'tag', css: {background: INKS[name], width: '9px', height: '9px', padding: 0, marginRight: '.3rem'}}), `${SPENDING[name][0]} ${num(account[name])}  `))),
    answer?.trigger && account.rest > 0 && h('p', {class: 'dim'}, 'An epoch begins below its budget: its later turns add to the prompt.')];
}

function score(page) {
  if (!page) return [];
  const parts = Object.entries(page.score_parts ?? {}).filter(([, value]) => value);
  const reuse = page.reuse ? [['uses before', num(page.reuse.uses)], ['turns since', num(page.reuse.age)], ['nearness', num(page.reuse.nearness)]] : [];
  return parts.length || reuse.length ? [h('h3', {}, `Utility ${num(page.score)} in full`), facts([...parts.map(([name, value]) => [name, num(value)]), ...reuse])] : [];
}

function life({timeline, go, place}, known) {
  if (!known) return [];
  const runs = timeline.byPage.get(known.number) ?? [];
  const lines = [
    ...runs.map((run) => ({turn: run.from, words: [link(run.from === run.to ? `turn ${run.from}` : `turns ${run.from}–${run.to}`, () => go({turn: run.from}, true)), ' ', tag(known.type, run.level, known.number), ` ${num(run.tokens)}`]})),
    ...timeline.marksOf(known.number).filter(({kind}) => kind === 'used' || kind in MISSES || kind === 'written').map((mark) => ({turn: mark.turn + 0.5, words: [link(`turn ${mark.turn}`, () => go({turn: mark.turn}, true)), ` ${mark.kind in MISSES ? missed(timeline, mark) : mark.kind}`]})),
  ].sort((a, b) => a.turn - b.turn);
  return [h('h3', {}, 'Its life'), h('ul', {class: 'lines'}, lines.slice(0, 60).map(({words, turn}) => h('li', {class: Math.floor(turn) === place.turn ? 'here' : ''}, words)), lines.length > 60 && h('li', {class: 'dim'}, `and ${num(lines.length - 60)} more: p`))];
}
