"""The pictures: what is under the mouse, and the colour of what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Tab, opened_tab

pytestmark = pytest.mark.sweep(of="browser", sample=14)


@pytest.fixture(params=["dark", "light"])
def scheme(request: pytest.FixtureRequest, browser: Any, base: str) -> Iterator[Tab]:
    """A tab in each colour scheme."""
    yield from opened_tab(browser, base, color_scheme=request.param)


SPOTS = """(canvas) => { const {app} = document.body, view = canvas === 'strata' ? app.strata : app.pages, found = [];
  const box = document.getElementById(canvas).getBoundingClientRect();
  for (const run of app.timeline.runs.values()) {
    const turn = Math.floor((run.from + run.to) / 2);
    const at = view.spot(run.number, turn), page = app.timeline.page(run.number);
    const high = canvas === 'strata' ? run.tokens * view.perToken : view.lane;
    if (at && canvas === 'pages') at.y -= (0.38 * view.lane) / view.scale.height;  // above the letters on a bar
    if (at && high > 5) found.push({turn, page: page.id, number: run.number, type: page.type, level: run.level,
      x: box.x + at.x * box.width, y: box.y + at.y * box.height});
  }
  return found; }"""
COLOUR = """async ({canvas, x, y, type, level, number}) => { const {paint} = await import('/static/theme.js');
  const node = document.getElementById(canvas), box = node.getBoundingClientRect();
  const probe = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  probe.drawImage(node, -Math.floor(x - box.x), -Math.floor(y - box.y));
  const seen = [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  return [seen, paint(type, level, number).rgb]; }"""


@pytest.mark.parametrize("canvas", ["strata", "pages"])
def test_a_click_chooses_the_turn_and_the_page_under_it(tab: Tab, canvas: str) -> None:
    """Where a run is drawn, a click goes to a turn of it and to its page."""
    tab.go("/s/demo/t/1")
    spots = tab.run(SPOTS, canvas)
    assert len(spots) > 10
    for spot in spots[:: len(spots) // 5]:
        tab.page.mouse.click(spot["x"], spot["y"])
        assert tab.rest().place == f"/s/demo/t/{spot['turn']}/p/{spot['page']}"


def test_a_run_has_its_colour_in_both_schemes(scheme: Tab) -> None:
    """The pixel in the middle of a run is the colour of its page, type and level."""
    scheme.go("/s/demo/t/1?from=1&to=12")
    for canvas in ("strata", "pages"):
        marked = scheme.run("document.body.app.timeline.marks.map((mark) => mark.number + ' ' + mark.turn)")
        spots = [
            s for s in scheme.run(SPOTS, canvas) if f"{s['number']} {s['turn']}" not in marked and s["turn"] <= 12
        ]
        assert {spot["level"] for spot in spots} >= {3, 4}
        lit = [scheme.run(COLOUR, spot | {"canvas": canvas}) for spot in spots]
        same = [max(abs(a - b) for a, b in zip(*pair, strict=True)) <= 2 for pair in lit]
        assert sum(same) >= 0.9 * len(same), (canvas, lit)  # a cache line or a budget line may cross a middle


def test_layers_tile_the_prompt(tab: Tab) -> None:
    """In every turn the layers lie one on the other without a gap, and end at the prompt's tokens."""
    for session in ("demo", "recorded"):
        tab.go(f"/s/{session}/t/1")
        script = """async () => {
          const {layersOf} = await import('/static/layers.js'), {timeline} = document.body.app;
          const layers = (turn) => layersOf(timeline, turn).map(({top, size}) => [top, size]);
          return [...timeline.rows.values()].map((row) => [row.tokens, layers(row.turn)]); }"""
        turns = tab.run(script)
        assert len(turns) == 27
        for tokens, layers in turns:
            ends = [0, *(top + size for top, size in layers)]
            assert [top for top, _ in layers] == ends[:-1] and ends[-1] == tokens


def test_the_mouse_scrubs_zooms_and_bisects(tab: Tab) -> None:
    """A drag goes through the turns, shift and wheel zoom, a shift-drag along a page asks where it left."""
    tab.go("/s/demo/t/1")
    box = tab.page.locator("#strata").bounding_box()
    tab.page.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5, steps=4)
    tab.page.mouse.up()
    assert tab.rest().place.startswith("/s/demo/t/14")
    tab.page.keyboard.down("Shift")
    tab.page.mouse.wheel(0, -200)
    tab.page.keyboard.up("Shift")
    tab.page.wait_for_url("**from=**")
    assert "from=" in tab.rest().place
    tab.press("0")
    spot = next(s for s in tab.run(SPOTS, "pages") if s["turn"] < 10)
    tab.page.keyboard.down("Shift")
    tab.page.mouse.move(spot["x"], spot["y"])
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] - 3, spot["y"], steps=3)
    tab.page.mouse.up()
    tab.page.keyboard.up("Shift")
    tab.page.wait_for_url("**bisect=**")
    assert f"absent({spot['page']})" in tab.rest().text("#inspector")


def test_the_axis_names_turns_and_boundaries_and_zooms(tab: Tab) -> None:
    """Numbers are even steps that do not touch; a click goes to a turn, a drag shows the turns under it."""
    tab.go("/s/demo/t/3")
    given = [[1, 27, 1340], [500, 899, 1340], [1, 7, 1340], [9601, 10000, 380], [4, 4, 300]]
    script = "(given) => import('/static/axis.js').then(({ticksOf}) => given.map((each) => ticksOf(...each)))"
    assert tab.run(script, given) == [
        list(range(2, 28, 2)),
        list(range(500, 900, 20)),
        list(range(1, 8)),
        list(range(9700, 10001, 100)),
        [4],
    ]
    box = tab.page.locator("#axis").bounding_box()

    def middle(turn: int) -> float:
        return float(box["x"] + (turn - 0.5) * box["width"] / 27)

    tab.page.mouse.click(middle(20), box["y"] + 8)
    assert tab.rest().place == "/s/demo/t/20"
    tab.page.mouse.move(middle(5), box["y"] + 8)
    tab.page.mouse.down()
    tab.page.mouse.move(middle(12), box["y"] + 8, steps=3)
    tab.page.mouse.up()
    assert tab.rest().place == "/s/demo/t/12?from=5&to=12"
    assert tab.page.get_attribute("#strata", "data-window") == "5-12"
    said = tab.run("""() => { const {app} = document.body, said = [], context = CanvasRenderingContext2D.prototype;
      const write = context.fillText;
      context.fillText = (words) => said.push(words);
      app.axis.draw(app.timeline, 1, 27, 12);
      context.fillText = write;
      return said; }""")
    assert said[:2] == ["turn 12", "compaction"] and "20" in said and "16" not in said  # 16 would touch the name


def test_tables_say_what_the_pictures_show(tab: Tab) -> None:
    """The slider has a value text, the table a row for each layer, and the tab order begins with what matters."""
    tab.go("/s/demo/t/9")
    said = tab.page.get_attribute("#strata", "aria-valuetext")
    assert said is not None and said.startswith("turn 9 of 27: ") and "tokens" in said and "pages" in said
    script = """async () => { const {layersOf} = await import('/static/layers.js'), {timeline} = document.body.app;
      return layersOf(timeline, 9).map((l) => timeline.page(l.number)?.id ?? 'no page'); }"""
    rows = tab.run("[...document.querySelectorAll('#strata-twin tbody tr')].map((row) => row.cells[0].textContent)")
    assert rows == tab.run(script)
    order = []
    for _ in range(24):
        tab.page.keyboard.press("Tab")
        order.append(tab.run("document.activeElement.closest('[id]')?.id ?? ''"))
    places = [order.index(each) for each in ("home", "find", "help", "strata", "prompt") if each in order]
    assert len(places) == 5 and places == sorted(places)


CONTRAST = """async () => {
  const {rgbOf} = await import('/static/theme.js');
  const linear = (x) => (x / 255 <= 0.03928 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
  const of = (name) => {
    const [r, g, b] = rgbOf(name).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const ink of ['ink', 'soft', 'faint', 'miss', 'fault', 'good', 'accent', 'bound']) {
    for (const ground of ['ground', 'panel', 'raised']) {
      const [a, b] = [of(ink), of(ground)].sort((x, y) => y - x);
      found[ink + ' on ' + ground] = (a + 0.05) / (b + 0.05);
    }
  }
  return found; }"""


def test_every_ink_reads_on_every_ground(scheme: Tab) -> None:
    """Contrast of text is at least 4.5 to 1 in both schemes (WCAG 2.2, 1.4.3)."""
    scheme.go("/")
    assert {pair: ratio for pair, ratio in scheme.run(CONTRAST).items() if ratio < 4.5} == {}


WIDE = """[...document.querySelectorAll('#list *, .lane *, #figures *')].filter((node) => node.offsetParent &&
  node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.textContent)"""


def test_the_page_fits_a_telephone(browser: Any, base: str) -> None:
    """At 400 pixels nothing scrolls sideways, and the prompt is one of the tabs."""
    for tab in opened_tab(browser, base, viewport={"width": 400, "height": 860}):
        for address in ("/", "/s/demo/t/14/p/p5", "/s/recorded/t/25?pane=losses", "/s/demo/t/14?pane=prompt"):
            tab.go(address)
            assert tab.run("document.documentElement.scrollWidth") == 400, address
            assert tab.run(WIDE) == [], address
        assert tab.page.is_visible("#prompt") and not tab.page.is_visible("#inspector")


DISTINCT = """() => [...document.querySelectorAll('.legend')].filter((list) => list.offsetParent).map((list) =>
  [...list.querySelectorAll('i')].filter((mark) => mark.offsetParent).map((mark) => {
    const style = getComputedStyle(mark), names = ['width', 'height', 'backgroundImage', 'backgroundColor'];
    return [mark.textContent, ...[...names, 'borderRadius', 'borderStyle', 'borderColor'].map((name) => style[name])]
      .join(' | '); }))"""


def test_forced_colours_and_still_motion(browser: Any, base: str) -> None:
    """With forced colours, levels are patterns and types letters, and no two signs of a legend look alike."""
    for tab in opened_tab(browser, base, forced_colors="active", reduced_motion="reduce"):
        tab.go("/s/demo/t/14/p/p5")
        script = """() => {
          const pages = document.getElementById('pages'), seen = new Map();
          const {data} = pages.getContext('2d').getImageData(0, 0, pages.width, 30);
          for (const pixel of new Uint32Array(data.buffer)) seen.set(pixel, (seen.get(pixel) ?? 0) + 1);
          return [...seen.values()].sort((a, b) => b - a); }"""
        most, second, *_ = tab.run(script)
        assert most and second > 100
        types, levels = tab.run(DISTINCT)
        assert len(types) > 5 and len(set(types)) == len(types)
        assert len(levels) > 8 and len(set(levels)) == len(levels)
        assert tab.page.locator("#types .letter").all_inner_texts() == ["B", "P", "E", "V"]
        assert tab.page.locator("#levels .dot").bounding_box()["width"] > 4
        named = tab.run("import('/static/theme.js').then(({ink}) => ['ground', 'ink', 'miss', 'cursor'].map(ink))")
        system = tab.run("""['Canvas', 'CanvasText', 'Highlight', 'Highlight'].map((name) => {
          const probe = document.body.appendChild(document.createElement('i'));
          probe.style.color = name;
          return getComputedStyle(probe).color; })""")
        assert named == system and named[0] != named[1]
        style = "parseFloat(getComputedStyle(node).transitionDuration) > 0"
        assert tab.run(f"[...document.querySelectorAll('*')].filter((node) => {style}).length") == 0


def test_a_step_of_the_cursor_draws_no_picture_again(tab: Tab) -> None:
    """Turns and hovers move what lies over the pictures; a zoom and other colours draw each picture once."""
    tab.go("/s/demo/t/5")
    tab.run("""() => { const {app} = document.body; const seen = (window.seen = {draws: 0, figures: 0, twins: 0});
      for (const view of [app.strata, app.pages]) { const draw = view.draw; view.draw = function (...given) {
        seen.draws += 1; return draw.apply(this, given); }; }
      for (const [id, name] of [['figures', 'figures'], ['strata-twin', 'twins'], ['pages-twin', 'twins']])
        new MutationObserver(() => (seen[name] += 1)).observe(document.getElementById(id), {childList: true}); }""")
    assert tab.press("]", "]").run("window.seen.draws") == 0
    assert tab.page.text_content("#strata-twin caption") == "Prompt of turn 7, in order"
    before = tab.run("window.seen")
    for spot in tab.run(SPOTS, "pages")[:4]:
        tab.page.mouse.move(spot["x"], spot["y"])
    assert tab.page.is_visible("#tip") and tab.run("window.seen") == before
    assert before["figures"] == 0 and tab.press("+").run("window.seen.draws") == 2
    tab.page.emulate_media(color_scheme="light")
    tab.page.wait_for_function("() => window.seen.draws === 4")
    ground = "import('/static/theme.js').then(({ink}) => ink('ground'))"
    assert tab.run(ground) == "#fbfaf7"
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_function("() => window.seen.draws === 6")
    assert tab.run(ground) == "#07090c"


LETTERS = """(other) => {
  const {app} = document.body, {pages} = app, {width, height} = pages.canvas, dot = devicePixelRatio;
  const both = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
  for (const canvas of [pages.canvas, pages.over]) both.drawImage(canvas, 0, 0, width, height);
  const {number} = app.timeline.named(other), [left, top, , high] = pages.box(number);
  const {data} = both.getImageData(left + 4 * dot, top + 3 * dot, 90 * dot, high - 6 * dot), seen = new Map();
  const light = (at) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const x = data[at + i] / 255;
    return sum + share * (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  }, 0.05);
  for (let at = 0; at < data.length; at += 4) seen.set(light(at), (seen.get(light(at)) ?? 0) + 1);
  const ground = [...seen].sort((a, b) => b[1] - a[1])[0][0];
  return Math.max(...[...seen.keys()].map((each) => Math.max(each / ground, ground / each))); }"""


def test_titles_read_while_another_page_is_chosen(scheme: Tab) -> None:
    """What dims the other bars dims no letters: their contrast stays at 4.5 or more."""
    scheme.go("/s/demo/t/20/p/p11")
    for other in ("p3", "p5"):
        assert scheme.run(LETTERS, other) >= 4.5, other


def test_the_header_of_a_narrow_page_says_which_turn_and_page(browser: Any, base: str) -> None:
    """A long title gives way to the place."""
    for tab in opened_tab(browser, base, viewport={"width": 400, "height": 860}):
        tab.go("/s/demo/t/20/p/p11")
        box, title = (tab.page.locator(f"#where .{each}").bounding_box() for each in ("at", "title"))
        assert tab.text("#where .at").split() == ["›", "turn", "20", "of", "27", "›", "p11"]
        assert box["x"] + box["width"] <= 400 and title["width"] > 60


MARKED = """() => { const {app} = document.body, {pages} = app, {width, height} = pages.canvas;
  const found = [], how = {willReadFrequently: true};
  const context = new OffscreenCanvas(width, height).getContext('2d', how);
  pages.labels(context, {dims: -1});
  for (const {number, turn} of app.timeline.marks.filter(({number}) => pages.lanes.at.has(number))) {
    const [first, last] = pages.lanes.life.get(number), {end, over} = pages.free(number, first, last);
    const {data} = context.getImageData(pages.scale.middle(turn) - 1, pages.middle(number) - 1, 3, 3);
    if (over && end - pages.scale.left(first) > 30) found.push(data.some((value) => value));
  }
  return found; }"""


def test_no_title_hides_a_mark_of_a_dimmed_bar(browser: Any, base: str) -> None:
    """Where a bar has no room for its title before its first mark, the mark is drawn over the title."""
    for tab in opened_tab(browser, base, viewport={"width": 400, "height": 860}):
        tab.go("/s/demo/t/20/p/p11")
        marked = tab.run(MARKED)
        assert marked and all(marked)
