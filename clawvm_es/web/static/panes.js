// The other panes of the inspector: changes, page, events, losses, what-if, store, search, bisect, proof.

import {begun, command, facts, h, link, table} from './dom.js';
import {tag} from './prompt.js';
import {asks} from './source.js';
import {LEVELS, MISSES, PROVEN, REASONS, boundary, counted, inTurn, num, percent, proven, short, when} from './words.js';

const lines = (items) => h('ul', {class: 'lines'}, items.map((item) => h('li', {}, item)));
const title = (words) => h('h3', {}, words);
const dim = (words) => h('span', {class: 'dim'}, words ?? '');
const shown = (value) => (value == null ? 'none' : typeof value === 'object' ? JSON.stringify(value) : String(value));

/** Lines of a unified diff without its two names, each told apart by more than its colour: by its sign. */
const diffed = (unified) =>
  h('div', {class: 'diff'}, unified.filter((line, i) => i > 1 || !/^(---|\+\+\+) /.test(line)).map((line) => h('span', {class: line.startsWith('@@') ? 'at' : line[0] === '+' ? 'add' : line[0] === '-' ? 'del' : ''}, line)));

export async function changesPane({place, source, timeline, go}) {
  const other = place.vs ?? (place.turn > 1 ? `t${place.turn - 1}` : null);
  if (!other) return [title('What changed'), h('p', {class: 'says'}, 'This is the first prompt: there is none before it.')];
  const diff = await source.once(asks.diff(place.session, other, `t${place.turn}`));
  const levels = diff.pages.map(({page_id: id, only, changes, title: name}) => {
    const page = timeline.named(id), level = changes.find((each) => each.name === 'level');
    const rest = changes.filter((each) => each.name !== 'level').map(({name, a, b}) => `${name} ${shown(a)} → ${shown(b)}`).join(', ');
    return h('li', {}, link(id, () => go({page: id}, true)), ' ',
      level && !(only === 'b' && (level.b ?? 'absent') === 'absent') && [page ? tag(page.type, Math.max(0, LEVELS.indexOf(level.a ?? 'absent')), page.number) : shown(level.a), ' → ', page ? tag(page.type, Math.max(0, LEVELS.indexOf(level.b ?? 'absent')), page.number) : shown(level.b), ' '],
      only === 'b' ? 'written after this prompt ' : only === 'a' ? 'gone ' : rest ? `${rest} ` : '', dim(name));
  });
  return [
    title(`From ${spoken(other)} to turn ${place.turn}`),
    h('p', {class: 'says'}, diff.same ? 'Nothing changed.' : `${counted(diff.pages_total ?? levels.length, 'page')} changed; the prompt went from ${num(diff.a.prompt_tokens)} to ${num(diff.b.prompt_tokens)} tokens.`),
    levels.length > 0 && h('ul', {class: 'lines'}, levels),
    diff.settings?.length > 0 && [title('Settings'), table(['setting', 'before', 'after'], diff.settings.map(({name, a, b}) => [name, shown(a), shown(b)]))],
    diff.store?.length > 0 && [title('Store'), table(['field', 'before', 'after'], diff.store.map(({scope, field, a, b}) => [`${scope}/${field}`, shown(a), shown(b)]))],
    diff.prompt?.unified?.length > 0 && [title('Text of the prompt'), diffed(diff.prompt.unified)],
    diff.cut && dim('cut: clawvm diff tells all'),
  ];
}

const spoken = (place) => (place[0] === 't' ? `turn ${place.slice(1)}` : `event ${num(Number(place.slice(1)))}`);

export async function pagePane({place, source, timeline, go, say}) {
  if (!place.page) return [title('A page'), h('p', {class: 'says'}, 'Choose a page to see its whole life.')];
  const found = await source.once(asks.page(place.session, place.page));
  const blame = await source.once(asks.blame(place.session, place.page)).catch(() => null);
  const number = found.number, uses = [];
  for (let i = 0; i < found.uses.length; i += 3) uses.push({turn: found.uses[i], kind: found.mark_kinds[found.uses[i + 1]]});
  const changes = found.changes.map((each) => [link(`turn ${each.turn}`, () => go({turn: each.turn}, true)), `  ${each.before} → ${each.after}  `, dim(each.cause?.boundary ? `the ${boundary(each.cause.boundary)}` : REASONS[each.reason] ?? each.reason)]);
  return [
    title(`${found.page_id} · ${found.page_type}`),
    h('p', {class: 'says'}, found.title ?? 'its text was erased'),
    facts([['source', found.source], ['author', found.author], ['status', found.status], ['pin', found.pin !== 'none' && found.pin], ['floor', found.floor],
      ['written', found.born && [inTurn(found.born.turn), when(found.born.time)].filter(Boolean).join(', ')], ['versions', found.contents.length > 1 && `${found.contents.length}`],
      ['call', found.call && `${found.call.tool}, turn ${found.call.turn}`], ['arguments', found.call?.arguments]]),
    title('Kept at'), table(['level', 'tokens'], found.levels.map(({level, tokens}) => [tag(found.page_type, LEVELS.indexOf(level), number), num(tokens)])),
    found.levels[0] && (found.levels[0].text == null ? h('pre', {class: 'body'}, '[erased: the text is gone, its commitment stays in the log]') : begun(found.levels[0].text, found.levels[0].chars)),
    uses.length > 0 && [title('Used'), lines(uses.map(({turn, kind}) => [link(`turn ${turn}`, () => go({turn}, true)), ` ${MISSES[kind] ?? kind}`]))],
    changes.length > 0 && [title(`Levels, ${counted(found.changes_total ?? changes.length, 'change')}`), lines(changes.slice(0, 80))],
    blame?.contents?.length > 1 && [title(`Who wrote it, ${counted(blame.contents.length, 'version')}`), ...blame.contents.map(blamed(go)), blame.cut && dim('cut: clawvm blame tells all')],
    title('In a terminal'), ...(found.commands ?? []).map((text) => command(text, say)),
  ];
}

/** One version of a page: who wrote it, when, from which line of a recording, and what it changed. */
const blamed = (go) => ({provenance: {written, author, first}, diff}) => h('div', {},
  h('p', {class: 'source'}, link(inTurn(written.turn), () => go({turn: Math.max(1, written.turn)}, true)), ['', author, first && `line ${first}`, when(written.time)].filter((each, i) => !i || each).join(' · ')),
  diff?.length > 0 && diffed(diff));

export async function eventsPane({place, source, answer, go}) {
  if (place.event) return oneEvent(place, source, go);
  if (!answer) return [];
  const list = h('ul', {class: 'lines'}), rest = h('p', {});
  const add = (events) => list.append(...events.map((each) => h('li', {},
    link(num(each.version), () => go({event: each.version}, true)), ` ${each.type} `, each.page_id && [link(each.page_id, () => go({page: each.page_id, pane: 'why'}, true)), ' '],
    each.kind === 'decision' ? dim('decided ') : '', dim(each.brief))));
  const more = (next) => rest.replaceChildren(next ? link('more', async () => {
    const got = await source.ask(asks.events(place.session, place.turn, next));
    add(got.events), more(got.events_next);
  }) : '');
  add(answer.events), more(answer.events_next);
  return [title(`Events of turn ${place.turn}: ${num(answer.events_total ?? answer.events.length)}`), list, rest];
}

async function oneEvent(place, source, go) {
  const {event, texts = {}, caused = [], cut} = await source.once(asks.event(place.session, place.event));
  return [
    title(`Event ${num(event.version)} · ${event.type}`), h('p', {class: 'says'}, event.title ?? event.brief ?? event.type.replaceAll('_', ' ')),
    facts([['turn', link(event.turn ? String(event.turn) : inTurn(0), () => go({turn: Math.max(1, event.turn), event: null, pane: 'events'}, true))], ['kind', event.kind], ['time', event.time], ['principal', event.principal],
      ['caused by', event.cause && link(`event ${num(event.cause)}`, () => go({event: event.cause}, true))], ['schema', event.schema_version], ['place in the log', num(event.seq)], ['hash', event.hash], ['before it', event.prev_hash]]),
    title('Data'), h('pre', {class: 'body'}, JSON.stringify(event.data, null, 1)),
    ...Object.entries(texts).map(([name, text]) => [title(name), h('pre', {class: 'body'}, text ?? '[erased: the text is gone, its commitment stays in the log]')]),
    cut && dim('cut: clawvm show tells all'),
    caused.length > 0 && [title('It caused'), h('p', {class: 'source'}, caused.slice(0, 60).map((version) => [link(num(version), () => go({event: version}, true)), ' ']))],
  ];
}

export async function lossesPane({place, source, timeline, go}) {
  const found = await source.once(asks.losses(place.session));
  const again = (loss) => [link(`turn ${loss.turn}`, () => go({turn: loss.turn, page: loss.page_id, pane: 'why'}, true)), ` ${words(loss.kind)} `, link(loss.page_id, () => go({turn: loss.turn, page: loss.page_id, pane: 'why'}, true)), ` ${num(loss.tokens)} tokens `, dim(loss.title)];
  const cuts = found.boundaries.map((cut) => {
    const dearest = new Map();
    for (const loss of cut.needed_later) dearest.set(loss.page_id, Math.max(loss.tokens, dearest.get(loss.page_id) ?? 0));
    const pages = dearest.size, tokens = [...dearest.values()].reduce((sum, n) => sum + n, 0);
    return h('div', {class: 'cut'},
      h('h4', {}, link(`${words(boundary(cut.boundary, cut.cut))} after turn ${cut.turn}`, () => go({turn: Math.min(timeline.turns, cut.turn + 1), page: null}, true))),
      h('p', {}, `dropped ${counted(cut.pages, 'page')}, ${num(cut.tokens)} tokens${cut.summary ? ', a summary in their place' : ''}`),
      h('div', {class: 'bar', 'aria-hidden': 'true'}, h('i', {css: {width: `${Math.min(100, (100 * tokens) / Math.max(1, cut.tokens))}%`, background: 'var(--miss)'}})),
      h('p', {class: cut.needed_later.length ? '' : 'dim'}, cut.needed_later.length ? `asked for again ${counted(cut.needed_later.length, 'time')}: ${counted(pages, 'page')}, ${num(tokens)} tokens, ${percent(tokens, cut.tokens) || '0%'} of what it dropped` : 'nothing of it was asked for again'),
      lines(cut.needed_later.map(again)));
  });
  const other = found.losses.filter((loss) => loss.boundary == null || loss.kind === 'rule_lost');
  return [
    title('What each compaction dropped, and what was asked for again'),
    cuts.length ? cuts : h('p', {class: 'says'}, 'No boundary of this session took a page out of its prompt.'),
    other.length > 0 && [title('Not in the prompt when it was needed'), lines(other.map(again))],
    timeline.mode === 'recorded' && h('p', {class: 'dim'}, "These are the harness's own losses. What its summary holds is none."),
  ];
}

const LOST = {unmet: 'needed, not there', read_again: 'read again', paged_in: 'paged in', rule_lost: 'a rule was lost'};
const words = (name) => LOST[name] ?? String(name).replaceAll('_', ' ');

const POLICIES = ['clawvm', 'clawvm_paper', 'clawvm_rank', 'lru', 'recorded', 'retrieval', 'compaction_hybrid'];

export async function whatifPane(page) {
  const {place, timeline, go, compared, say} = page, what = place.what ?? {};
  const budget = h('input', {type: 'number', name: 'budget', min: 1, step: 1, value: what.budget ?? '', placeholder: timeline.budget ? 'as recorded' : 'largest', 'aria-label': 'budget in tokens'});
  const policy = h('select', {name: 'policy', 'aria-label': 'policy'}, h('option', {value: ''}, `policy as recorded (${timeline.policy})`), POLICIES.map((name) => h('option', {value: name, selected: what.policy === name}, name)));
  const form = h('form', {onsubmit: (event) => {
    event.preventDefault();
    const asked = {};
    if (budget.value) asked.budget = Number(budget.value);
    if (policy.value) asked.policy = policy.value;
    if (!Object.keys(asked).length) return say('give a budget or a policy');
    go({what: asked, pane: 'whatif'}, true);
  }}, h('label', {}, 'budget', budget), policy, h('button', {type: 'submit'}, 'decide again'));
  const half = Math.round((timeline.budget || timeline.tallest) / 2);
  const ideas = !place.what && h('p', {}, link(`half the tokens (${num(half)})`, () => go({what: {budget: half, ...(timeline.mode === 'recorded' ? {policy: 'clawvm'} : {})}}, true)), ' · ', link('lru, what a plain cache would do', () => go({what: {policy: 'lru'}}, true)));
  const other = compared && (await compared.catch((error) => {
    if (error.name === 'AbortError') throw error;
    return {error};
  }));
  return [title('What if'), form, ideas, other?.error ? [h('p', {class: 'says'}, other.error.message), dim(other.error.hint)] : other && verdict(other, page), h('p', {class: 'dim'}, 'Open loop: the agent’s calls and needs are the recorded ones. It tells what would have been missing, never whether the task would have succeeded.')];
}

function verdict({recorded, run}, {go, timeline}) {
  const rows = [
    ['policy', recorded.policy, run.policy], ['budget', recorded.budget ? num(recorded.budget) : 'none', num(run.budget)],
    ['needs', recorded.needs, run.needs], ['hits', recorded.hits, run.hits], ['page-ins', recorded.page_ins, run.page_ins], ['unmet', recorded.unmet, run.unmet],
    ['misses', recorded.misses, run.misses], ['faults', faults(recorded), faults(run)], ['tokens sent', short(recorded.tokens), short(run.tokens)], ['uncached tokens', short(recorded.uncached_tokens), short(run.uncached_tokens)],
  ].filter(([, a, b]) => a != null || b != null);
  const parted = run.parted;
  return [
    table(['', timeline.mode === 'recorded' ? 'the harness' : 'as recorded', 'what if'], rows.map(([name, a, b]) => ({cells: [name, a, b].map((x) => (typeof x === 'number' ? num(x) : x)), class: name === 'misses' ? 'here' : ''}))),
    parted && h('p', {class: 'story'}, 'They part in ', link(`turn ${parted.turn}`, () => go({turn: parted.turn, page: parted.page_id}, true)), `: ${parted.page_id ?? 'a page'} is ${shown(parted.recorded)} there, and ${shown(parted.now)} here. `, dim(parted.title)),
    !parted && h('p', {class: 'story'}, 'They part nowhere: every prompt is the same.'),
  ];
}

const faults = (run) => (typeof run.faults === 'object' ? Object.values(run.faults).reduce((sum, n) => sum + n, 0) : run.faults);

export async function storePane({place, source, go}) {
  const found = await source.once(asks.store(place.session, `t${place.turn}`));
  return [
    title(`The durable store after turn ${place.turn}`),
    found.fields.length ? found.fields.map((field) => h('div', {class: 'cut'}, h('h4', {}, `${field.scope}/${field.field}`), h('p', {class: 'source'}, `version ${field.field_version}, `, link(inTurn(field.turn), () => go({turn: Math.max(1, field.turn)}, true)), ` by ${field.principal}`), h('pre', {class: 'body'}, field.text ?? shown(field.value))))
      : h('p', {class: 'says'}, 'Nothing is committed yet.'),
    found.updates.length > 0 && [title('Updates'), table(['', 'field', 'status', 'turn'], found.updates.map((update) => ({cells: [update.update_number, h('span', {class: 'text'}, `${update.op} ${update.field}`), update.reason ? `${update.status}: ${words(update.reason)}` : update.status, link(num(update.turn), () => go({turn: Math.max(1, update.turn)}, true))], class: update.status === 'rejected' ? 'miss' : ''})))],
  ];
}

const MANY_READ = 10_000;

export async function searchPane({place, source, go, hits, say, journal}) {
  if (!place.q) return [title('Search'), h('p', {class: 'says'}, 'Every text of the session, in the box above: /')];
  const list = h('ul', {class: 'lines'}), rest = h('p', {}), count = h('h3', {});
  hits.list = [];
  const open = (hit) => go({turn: Math.max(1, hit.turn + 1), page: hit.page_id ?? null, pane: 'search'}, true);
  const add = (got) => {
    hits.list.push(...got.hits);
    count.textContent = `${num(hits.list.length)}${got.more ? ' and more' : ''} ${hits.list.length === 1 && !got.more ? 'text says' : 'texts say'} “${place.q}”`;
    list.append(...got.hits.map((hit) => h('li', {}, link(`${inTurn(hit.turn)} ${hit.page_id ?? hit.what ?? hit.type}`, () => open(hit)), ' ', dim(hit.title), h('div', {}, hit.line.slice(0, hit.start), h('mark', {}, hit.line.slice(hit.start, hit.end)), hit.line.slice(hit.end)))));
    rest.replaceChildren(got.more ? link('more', async () => add(await source.ask(asks.grep(place.session, place.q, got.next)))) : '');
  };
  hits.open = open;
  const first = await source.once(asks.grep(place.session, place.q));
  add(first);
  return [count, list, rest, first.scanned > MANY_READ && [h('p', {class: 'dim'}, `${num(first.scanned)} texts are in no index yet, and were read. This makes searches quick:`), command(`clawvm grep ${quoted(journal)} ${quoted(place.q)} --index`, say)]];
}

const EXAMPLES = (page) => [`absent(${page ?? 'plan'})`, `page.${page ?? 'plan'}.level < structured`, 'closed'];

export async function bisectPane({place, timeline, go, say, working, journal}) {
  const [from, to] = [place.good ?? 't1', place.bad ?? `t${timeline.turns}`];
  const field = h('input', {type: 'text', name: 'q', value: place.bisect ?? EXAMPLES(place.page)[0], 'aria-label': 'what holds', spellcheck: 'false'});
  const ends = [from, to].map((value, i) => h('input', {type: 'text', value, css: {flex: '0 1 5rem'}, 'aria-label': i ? 'place where it holds' : 'place where it does not'}));
  const ask = () => go({bisect: field.value.trim() || null, good: ends[0].value === 't1' ? null : ends[0].value, bad: ends[1].value === `t${timeline.turns}` ? null : ends[1].value, pane: 'bisect'}, true);
  const form = h('form', {onsubmit: (event) => (event.preventDefault(), ask())}, field, h('label', {}, 'good', ends[0]), h('label', {}, 'bad', ends[1]), h('button', {type: 'submit'}, 'find'));
  const head = [title('The first event after which it holds'), form];
  if (!place.bisect) return [...head, h('p', {class: 'dim'}, 'shift-drag over the pages picks good and bad · ', EXAMPLES(place.page).map((text) => [link(text, () => go({bisect: text}, true)), '  ']))];
  let found;
  try {
    found = await working(asks.bisect(place.session, place.bisect, place.good, place.bad));
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    return [...head, h('p', {class: 'says'}, error.message), h('p', {class: 'dim'}, error.hint ?? '')];
  }
  const {first} = found, turn = found.turn ?? first?.turn;
  return [...head,
    h('p', {class: 'says'}, first ? `“${place.bisect}” holds from turn ${turn} on.` : `“${place.bisect}” never comes to hold between the two.`),
    first && lines([[link(`turn ${turn}`, () => go({turn: Math.max(1, turn), page: first.page_id ?? place.page}, true)), ' · ', link(`event ${num(first.version)}`, () => go({turn: Math.max(1, turn), event: first.version, pane: 'events'}, true)), ` ${first.type} `, dim(first.title)]]),
    facts([['looked at', found.looked != null && counted(found.looked.length ?? found.looked, 'event')], ['comes to hold', found.monotone == null ? null : found.monotone ? 'once: from here on it holds' : 'more than once: this is the first time'], ['between', `event ${num(found.good?.version ?? found.good ?? 0)} and event ${num(found.bad?.version ?? found.bad)}`]]),
    command(`clawvm bisect ${quoted(journal)} --session ${quoted(place.session)} --when ${quoted(place.bisect)}`, say)];
}

/** A word as a POSIX shell takes it. */
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

export async function proofPane({place, answer, row, say, listing, timeline, journal}) {
  if (!answer) return [];
  const id = quoted(place.session), file = quoted(journal);
  return [
    title('Proof'), h('p', {class: `says${answer.matches === false ? ' bad' : ''}`}, PROVEN[proven(answer)]),
    facts([['prompt', `event ${num(answer.version)} of ${num(timeline.head?.version)}`], ['head', timeline.head?.hash],
      ['log', listing?.anchored ? `anchored to event ${num(listing.anchored.seq)}, ${when(listing.anchored.time)}` : 'unanchored: a checkpoint outside of this machine would prove that nothing was rewritten'],
      ['erasure', listing?.erasure_pending ? 'pending: an erasure has begun and is not finished' : null]]),
    title('In a terminal'), h('p', {class: 'dim'}, 'This page writes nothing. These commands do.'),
    ...[`clawvm verify ${file} --redecide`, `clawvm prompt ${file} --session ${id} --turn ${place.turn}`, `clawvm fork ${file} --session ${id} --turn ${place.turn} --as other`,
      `clawvm export ${file} --session ${id} --as html -o session.html`, place.page && `clawvm redact ${file} --session ${id} --page ${quoted(place.page)}`].filter(Boolean).map((text) => command(text, say)),
    row?.parent && facts([['forked from', row.parent]]),
  ];
}
