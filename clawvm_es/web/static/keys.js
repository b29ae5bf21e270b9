// Keys. A table of what each does; the names are methods of the page's actions.

export const KEYS = [
  ['[', 'back', 'previous turn'], ['ArrowLeft', 'back'], [']', 'forth', 'next turn'], ['ArrowRight', 'forth'],
  ['{', 'stopBefore', 'the miss, fault or boundary before'], ['}', 'stopAfter', 'the next miss, fault or boundary, with its page'],
  ['gg', 'first', 'first turn'], ['G', 'last', 'last turn'], ['g 40 ⏎', 'goto', 'turn 40'],
  ['j', 'down', 'next span of the prompt, next session'], ['k', 'up', 'the one before'], ['ArrowDown', 'down'], ['ArrowUp', 'up'], ['Enter', 'open', 'open the session; write in What if or Bisect'],
  ['i', 'why', 'why the page is or is not in the prompt'], ['d', 'changes', 'what changed since the turn before'], ['p', 'page', "the page's life"],
  ['e', 'events', "the turn's events"], ['l', 'losses', 'what compactions dropped'], ['w', 'whatif', 'what if: another budget or policy'],
  ['r', 'compare', 'as recorded and as clawvm, one above the other'], ['b', 'bisect', 'the first event after which something holds'],
  ['s', 'store', 'the durable store'], ['v', 'proof', 'proof of the bytes'],
  ['/', 'find', 'search texts'], ['n', 'hitAfter', 'next hit'], ['N', 'hitBefore', 'hit before'],
  ['o', 'rows', 'order of rows: lanes, born, path, tokens, most missed'], ['m', 'size', 'size of the pictures'],
  ['+', 'closer', 'zoom in'], ['=', 'closer'], ['-', 'wider', 'zoom out'], ['0', 'all', 'show all turns'],
  ['t', 'twins', 'the pictures as tables'], ['y', 'link', 'copy a link to this place'], ['u', 'list', 'all sessions'],
  ['Escape', 'leave', 'close; no page chosen'], ['?', 'help', 'these keys'],
];

const ACTIONS = new Map(KEYS.filter(([key]) => key.length < 3 || /^[A-Z]/.test(key)).map(([key, action]) => [key, action]));

/** Reads keys one after the other; `act(name, value)` is called with the action, `goto` with its turn. */
export class Keyboard {
  constructor(act) {
    this.act = act;
    this.typed = '';
  }

  /** Whether the key was taken. */
  press(key) {
    if (this.typed.startsWith('g') && /^\d$/.test(key)) return (this.typed += key), true;
    const typed = this.typed;
    this.typed = '';
    if (typed && key === 'Enter' && /^g\d+$/.test(typed)) return this.act('goto', Number(typed.slice(1))), true;
    if (typed === 'g' && key === 'g') return this.act('first'), true;
    if (key === 'g') return (this.typed = 'g'), true;
    const action = ACTIONS.get(key);
    return action ? this.act(action) !== false : false;
  }
}

/** Whether a key event belongs to a field or a control that uses it itself. */
export function taken(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  const at = event.target;
  if (at.matches?.('input, select, textarea')) return event.key !== 'Escape';
  if (event.key === 'Enter' && at.matches?.('button, a, [role=button]')) return true;
  return event.key.startsWith('Arrow') && at.matches?.('#grip, [role=tab]');
}
