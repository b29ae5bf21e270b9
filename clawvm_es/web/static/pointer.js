// Mouse and touch over the pictures: hover, click, scrub, zoom, bisect by dragging.

/**
 * Listens on a picture. `does` has: hover(hit or null, event), pick(hit), scrub(turn), zoom(factor, turn), select(first turn, last turn, hit).
 * A hit is `{turn, number}`.
 */
export function listen(canvas, view, does) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return view().hit((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  let down = null;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    down = {...at(event), shift: event.shiftKey, last: 0};
    canvas.setPointerCapture(event.pointerId);
    if (!down.shift) does.pick(down);
  });
  canvas.addEventListener('pointermove', (event) => {
    const hit = at(event);
    if (down && !down.shift && hit.turn !== (down.last || down.turn)) does.scrub((down.last = hit.turn));
    does.hover(hit, event);
  });
  canvas.addEventListener('pointerup', (event) => {
    if (down?.shift) {
      const hit = at(event), [first, last] = [Math.min(down.turn, hit.turn), Math.max(down.turn, hit.turn)];
      if (last > first) does.select(first, last, down);
    }
    down = null;
  });
  canvas.addEventListener('pointercancel', () => (down = null));
  canvas.addEventListener('pointerleave', () => does.hover(null));
  canvas.addEventListener('wheel', (event) => {
    if (!event.shiftKey && !event.ctrlKey) return;
    event.preventDefault();
    does.zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, at(event).turn);
  }, {passive: false});
}

/** Turns along an axis: `choosing(first, last)` while a drag goes on, then `chosen(first, last)`; a click chooses one turn. */
export function stretch(canvas, turnAt, {choosing, chosen}) {
  let start = null;
  const ends = (event) => {
    const box = canvas.getBoundingClientRect(), turn = turnAt((event.clientX - box.left) / box.width);
    return [Math.min(start, turn), Math.max(start, turn)];
  };
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    start = Infinity;
    [start] = ends(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => start != null && choosing(...ends(event)));
  canvas.addEventListener('pointerup', (event) => {
    if (start != null) chosen(...ends(event));
    start = null;
  });
  canvas.addEventListener('pointercancel', () => (start = null));
}

/** Keys of a slider beside the arrows: the first and the last turn, and ten turns at once; `at()` is `[turn, last turn]`. */
export function slider(node, at, go) {
  node.addEventListener('keydown', (event) => {
    const [turn, last] = at(), next = {Home: 1, End: last, PageUp: turn + 10, PageDown: turn - 10}[event.key];
    if (next !== undefined) event.preventDefault(), go(next);
  });
}

/** Arrow keys along tabs: the one beside is taken, from the last to the first. */
export function tablist(node) {
  node.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], tabs = [...node.children].filter((tab) => tab.offsetWidth), next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    if (step) next.focus(), next.click();
  });
}

/** A grip that sets a width by dragging or by arrow keys: `set(pixels)`, `get()`. */
export function grip(node, get, set) {
  node.addEventListener('pointerdown', (event) => {
    const start = event.clientX, width = get();
    node.setPointerCapture(event.pointerId);
    node.onpointermove = (move) => set(width + start - move.clientX);
    node.onpointerup = node.onpointercancel = () => (node.onpointermove = null);
  });
  node.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') set(get() + 24);
    if (event.key === 'ArrowRight') set(get() - 24);
  });
}
