// Colours. One hue per page type with a small turn per page, so that a page is the same colour in every view;
// lightness tells the level. In forced colours, levels are patterns of the system's two colours.

const HUES = {bootstrap: 88, constraint: 35, plan: 155, preference: 350, evidence: 238, conversation: 300, summary: 60};
const TURNS = {bootstrap: 6, constraint: 8, plan: 12, preference: 8, evidence: 32, conversation: 22, summary: 8};
const SCHEMES = {
  dark: {light: [0.165, 0.3, 0.43, 0.6, 0.79], chroma: [0.012, 0.06, 0.1, 0.14, 0.12], spread: 0.05},
  light: {light: [0.94, 0.88, 0.76, 0.61, 0.44], chroma: [0.008, 0.045, 0.085, 0.13, 0.145], spread: 0.04},
};

const media = matchMedia('(prefers-color-scheme: light)');
export const forced = matchMedia('(forced-colors: active)');
export const still = matchMedia('(prefers-reduced-motion: reduce)');
export const scheme = () => (media.matches ? 'light' : 'dark');

/** Red, green, blue (0 to 255) of a colour in OKLCH; conversion after Björn Ottosson, https://bottosson.github.io/posts/oklab/ */
export function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180), b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((x) => Math.round(255 * Math.min(1, Math.max(0, x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055))));
}

/** Two numbers from −1 to 1 that are far apart for neighbouring page numbers (multiples of the plastic number's inverse). */
const turns = (page) => (page ? [((page * 0.7548776662) % 1) * 2 - 1, ((page * 0.5698402910) % 1) * 2 - 1] : [0, 0]);

const LEVELS = 8;
const paints = new Map(), inks = new Map();
for (const query of [media, forced]) query.addEventListener('change', () => (paints.clear(), inks.clear()));

/** The colour of a page (0: of its type in general) at a level: `{rgb, css, pixel}`. Asked for each layer of each turn, so it builds no strings. */
export function paint(type, level, page = 0) {
  let known = paints.get(type);
  if (!known) paints.set(type, (known = new Map()));
  const key = page * LEVELS + level;
  let found = known.get(key);
  if (!found) known.set(key, (found = mixed(type, level, page)));
  return found;
}

/** In forced colours a letter tells the type. */
export const LETTERS = {bootstrap: 'B', constraint: 'C', plan: 'P', preference: 'R', evidence: 'E', conversation: 'V', summary: 'S'};

function mixed(type, level, page) {
  if (forced.matches) return {rgb: rgbOf('ink'), css: ink('ink'), pixel: packed(rgbOf('ink'))};
  const {light, chroma, spread} = SCHEMES[scheme()], [hue, shade] = turns(page);
  const rgb = oklch(light[level] + (level ? shade * spread : 0), chroma[level], (HUES[type] ?? 200) + hue * (TURNS[type] ?? 8));
  return {rgb, css: `rgb(${rgb})`, pixel: packed(rgb)};
}

/** A colour as a pixel of image data (little endian, opaque). */
export const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** A colour that the style sheet names, as CSS; in forced colours, what the system's colour of that name is. */
export function ink(name) {
  if (!inks.get(name)) inks.set(name, forced.matches ? computed(`var(--${name})`) : getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return inks.get(name);
}

/** A canvas knows the system's colours of one scheme only; an element has those that are forced. */
function computed(colour) {
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = colour;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** A named colour with so much of itself (0 to 1). */
export const faded = (name, share) => `rgb(${rgbOf(name).join(' ')} / ${share})`;

/** Red, green, blue of a colour that the style sheet names, whatever way it names it. */
export function rgbOf(name) {
  const key = `rgb ${name}`;
  if (!inks.has(key)) {
    const probe = new OffscreenCanvas(1, 1).getContext('2d');
    probe.fillStyle = ink(name);
    probe.fillRect(0, 0, 1, 1);
    inks.set(key, [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
  }
  return inks.get(key);
}

/** Whether black reads better than white on a page's colour: one of the two has a contrast of 4.58 or more (WCAG's luminance). */
export const darkText = (type, level, page) => {
  const [r, g, b] = paint(type, level, page).rgb.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179;
};

/** In forced colours: whether the pixel of a level's pattern is ink. Sparse dots for a pointer up to all for full. */
export const inked = (level, x, y) =>
  level === 4 || (level === 3 && (x + y) % 2 === 0) || (level === 2 && (x + y) % 4 === 0) || (level === 1 && x % 4 === 0 && y % 4 === 0);

/** Calls `redraw` when colours change. */
export function onTheme(redraw) {
  for (const query of [media, forced]) query.addEventListener('change', redraw);
}
