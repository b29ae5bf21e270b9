// Addresses. A place is what an address says: parse(address) → place, address(place) → the same address.

/** An id as part of a path: as it is where it can be (dots alone are steps of a path), else `~` and base64url of its UTF-8. */
export function key(id) {
  if (/^(?!\.+$)[\w.-]+$/.test(id)) return id;
  const bytes = String.fromCharCode(...utf8(id));
  return `~${btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}

export function unkey(part) {
  if (!part.startsWith('~')) return part;
  try {
    const bytes = Uint8Array.from(atob(part.slice(1).replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
    return text(bytes);
  } catch {
    return part;
  }
}

/** UTF-8 in which a lone surrogate has the three bytes that Python's `surrogatepass` gives it. */
function utf8(id) {
  const bytes = [];
  for (const char of id) {
    const code = char.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(...new TextEncoder().encode(char));
  }
  return bytes;
}

function text(bytes) {
  let out = '', from = 0;
  const decoded = (to) => new TextDecoder('utf-8', {ignoreBOM: true}).decode(bytes.subarray(from, to));
  for (let i = 0; i + 2 < bytes.length; i++) {
    if (bytes[i] !== 0xed || bytes[i + 1] < 0xa0) continue;
    out += decoded(i) + String.fromCharCode(((bytes[i] & 15) << 12) | ((bytes[i + 1] & 63) << 6) | (bytes[i + 2] & 63));
    from = (i += 2) + 1;
  }
  return out + decoded(bytes.length);
}

export const PANES = ['why', 'changes', 'page', 'events', 'losses', 'whatif', 'store', 'search', 'bisect', 'proof', 'prompt'];
export const ROWS = ['lanes', 'born', 'path', 'tokens', 'missed'];

export const NOWHERE = Object.freeze({
  session: null, turn: null, page: null, event: null, from: null, to: null, rows: 'lanes', vs: null, what: null, q: null, bisect: null,
  good: null, bad: null, pane: 'why',
});

/** The place that a path and query name; parts that make no sense are left out. */
export function parse(path, query = '') {
  const place = {...NOWHERE}, parts = path.split('/').filter(Boolean).map(decoded), asked = new URLSearchParams(query);
  if (parts[0] === 's' && parts[1]) place.session = unkey(parts[1]);
  if (place.session && parts[2] === 't') place.turn = whole(parts[3]);
  if (place.turn && parts[4] === 'p' && parts[5]) place.page = unkey(parts[5]);
  if (place.turn && parts[4] === 'e') place.event = whole(parts[5]);
  place.from = whole(asked.get('from'));
  place.to = whole(asked.get('to'));
  if (!(place.from && place.to >= place.from)) place.from = place.to = null;
  if (ROWS.includes(asked.get('rows'))) place.rows = asked.get('rows');
  if (/^[tv]\d+$/.test(asked.get('vs') ?? '')) place.vs = asked.get('vs');
  place.what = settings(asked.get('what'));
  for (const name of ['q', 'bisect', 'good', 'bad']) place[name] = asked.get(name) || null;
  place.pane = PANES.includes(asked.get('pane')) ? asked.get('pane') : implied(place);
  return place;
}

const decoded = (part) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
};

const whole = (word) => (/^[1-9]\d{0,9}$/.test(word ?? '') ? Number(word) : null);

/** `budget:8000,policy:lru` ⇄ `{budget: 8000, policy: 'lru'}`. */
function settings(word) {
  if (!word) return null;
  const found = {};
  for (const part of word.split(',')) {
    const [name, value] = part.split(':');
    if (name === 'budget' && whole(value)) found.budget = whole(value);
    if (name === 'policy' && /^[\w+]+$/.test(value ?? '')) found.policy = value;
  }
  return Object.keys(found).length ? found : null;
}

/** The pane that an address without `pane` opens. */
const implied = (place) =>
  place.event ? 'events' : place.bisect ? 'bisect' : place.q ? 'search' : place.vs ? 'changes' : 'why';

export function address(place) {
  let path = '/';
  if (place.session) {
    path = `/s/${key(place.session)}`;
    if (place.turn) path += `/t/${place.turn}`;
    if (place.turn && place.event) path += `/e/${place.event}`;
    else if (place.turn && place.page) path += `/p/${key(place.page)}`;
  }
  const asked = [];
  if (place.from) asked.push(`from=${place.from}`, `to=${place.to}`);
  if (place.rows !== 'lanes') asked.push(`rows=${place.rows}`);
  if (place.vs) asked.push(`vs=${place.vs}`);
  if (place.what) asked.push(`what=${Object.entries(place.what).map(([name, value]) => `${name}:${value}`).join(',')}`);
  for (const name of ['q', 'bisect', 'good', 'bad']) if (place[name]) asked.push(`${name}=${encodeURIComponent(place[name])}`);
  if (place.session && place.pane !== implied(place)) asked.push(`pane=${place.pane}`);
  return path + (asked.length ? `?${asked.join('&')}` : '');
}
