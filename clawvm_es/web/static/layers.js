// Geometry of the strata: where in a prompt, in tokens from its start, each page begins and ends. Pure.

/**
 * The layers of one prompt, from its start: `{number, level, top, size}` in tokens, number 0 being the fixed region, the
 * directory line, or what belongs to no page. The sum of all sizes is the prompt's tokens.
 */
export function layersOf(timeline, turn) {
  const row = timeline.row(turn);
  if (!row) return [];
  const layers = [], arriving = (run) => run.flags & 1 && run.from === turn;
  let top = 0, directory = row.directory;
  const put = (number, level, size, stale) => {
    if (size > 0) layers.push({number, level, top, size, stale});
    top += Math.max(0, size);
  };
  put(0, 0, row.fixed, false);
  for (const run of timeline.column(turn)) {
    if (directory && arriving(run)) put(0, 0, directory, false), (directory = 0);
    put(run.number, run.level, run.tokens, !!(run.flags & 2));
  }
  put(0, 0, directory, false);
  put(0, 0, row.other ?? 0, false);
  return layers;
}

/** The layers of turns `from` to `to`: per turn the list, and for each layer the index of the same page in the turn before (−1: new). */
export function strataOf(timeline, from, to) {
  const columns = [];
  let before = new Map();
  for (let turn = from; turn <= to; turn++) {
    const layers = layersOf(timeline, turn), now = new Map();
    layers.forEach((layer, i) => {
      const name = layer.number * 2 + layer.stale;
      layer.was = layer.number ? before.get(name) ?? -1 : -1;
      if (layer.number) now.set(name, i);
    });
    columns.push(layers);
    before = now;
  }
  return columns;
}

/** The layer at so many tokens from the start of a prompt; undefined below its end. */
export const layerAt = (layers, tokens) => layers.find(({top, size}) => top <= tokens && tokens < top + size);

/** Share of a column's width in which ribbons bend from where they were before, at most `most` pixels. */
export const bendOf = (width, most) => Math.min(width * 0.62, most);

/** Smooth step from 0 to 1. */
export const ease = (x) => (x <= 0 ? 0 : x >= 1 ? 1 : x * x * (3 - 2 * x));

/** The shape of one page in the strata: stretches of successive turns, each a list of `{turn, top, size}` in tokens. */
export function ribbonsOf(columns, from, number) {
  const stretches = [];
  let open = null;
  columns.forEach((layers, i) => {
    const layer = layers.find((each) => each.number === number && !each.stale) ?? layers.find((each) => each.number === number);
    if (!layer) return void (open = null);
    if (!open) stretches.push((open = []));
    open.push({turn: from + i, top: layer.top, size: layer.size});
  });
  return stretches;
}
