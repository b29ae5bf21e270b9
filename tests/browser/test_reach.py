"""All of the page is reached: by the keyboard, by a screen reader, on a narrow screen, by eyes that need contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from tests.browser.conftest import Tab, opened_tab, serving

pytestmark = pytest.mark.sweep(of="browser", sample=14)

NARROW = {"viewport": {"width": 390, "height": 844}}
FOCUS = "document.activeElement.closest('#tabs, #prompt, #inspector, #list')?.id ?? ''"
FAINT = r"""() => {
  const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgba = (css) => {
    pixel.clearRect(0, 0, 1, 1), (pixel.fillStyle = css), pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data].map((x, i) => (i < 3 ? x : x / 255));
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
  const light = (rgb) => rgb.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const layers = [];
    for (; node; node = node.parentElement) layers.unshift(rgba(getComputedStyle(node).backgroundColor));
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('noscript, .skip') || !node.checkVisibility()) continue;
    const under = ground(node), two = [light(over(rgba(getComputedStyle(node).color), under)), light(under)];
    const contrast = (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
    if (contrast < 4.5) found.add(`${contrast.toFixed(2)} ${node.className}: ${walk.currentNode.data.slice(0, 30)}`);
  }
  return [...found];
}"""
VIEWS = [
    "/",
    "/s/demo/t/14/p/p5",
    "/s/demo/t/14?pane=changes",
    "/s/recorded?pane=losses",
    "/s/demo/t/9/p/p5?pane=page",
]
TAGS = """() => import('/static/theme.js').then(({darkText, paint}) => {
  const found = [];
  for (const type of ['bootstrap', 'constraint', 'plan', 'preference', 'evidence', 'conversation', 'summary'])
    for (const level of [1, 2, 3, 4]) for (let page = 0; page < 60; page++) {
      const linear = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
      const [r, g, b] = paint(type, level, page).rgb.map(linear), light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
      found.push(darkText(type, level, page) ? (light + 0.05) / 0.05 : 1.05 / (light + 0.05));
    }
  return Math.min(...found);
})"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_words_have_contrast(browser: Any, base: str, scheme: str) -> None:
    """Each text of each view has the 4.5 to 1 of WCAG AA against what is behind it, levels on their colours too."""
    for tab in opened_tab(browser, base, color_scheme=scheme):
        assert {view: tab.go(view).run(FAINT) for view in VIEWS} == {view: [] for view in VIEWS}
        assert tab.run(TAGS) >= 4.5


def test_the_focus_stays_where_the_person_works(tab: Tab) -> None:
    """A pane, a prompt and a list that are shown anew keep the keyboard's focus: it does not fall to the top."""
    tab.go("/s/demo/t/14")
    tab.page.click("#tabs [data-pane=events]")
    assert tab.rest().run(FOCUS) == "tabs"
    tab.page.locator("#inspector .link").first.click()
    tab.page.wait_for_function("() => location.pathname.includes('/e/')")
    assert tab.rest().run(FOCUS) == "inspector"
    tab.page.locator("#prompt .about").nth(1).focus()
    tab.page.keyboard.press("Enter")
    assert "/p/" in tab.rest().place and tab.run(FOCUS) == "prompt"
    assert tab.press("]").run(FOCUS) == "prompt"
    tab.press("u")
    tab.page.wait_for_function(f"() => {FOCUS} === 'list'")
    assert tab.run("document.activeElement.dataset.key") == "demo"


def test_the_key_of_a_pane_leads_into_it(tab: Tab) -> None:
    """From there Tab goes to its first link, and not through the whole page; steps keep the place."""
    tab.go("/s/demo/t/14").press("e")
    assert tab.run(FOCUS) == "inspector" and tab.press("]").run(FOCUS) == "inspector"
    tab.page.keyboard.press("Tab")
    assert tab.run("document.activeElement.className") == "link" and tab.run(FOCUS) == "inspector"


def test_tabs_are_one_stop_with_arrows(tab: Tab) -> None:
    """As a list of tabs is expected to be: Tab enters and leaves it, arrows go from one to the next."""
    tab.go("/s/demo/t/14?pane=proof")
    assert tab.run("[...document.querySelectorAll('#tabs [tabindex=\"0\"]')].map((each) => each.dataset.pane)") == [
        "proof"
    ]
    tab.page.locator("#tabs [data-pane=proof]").focus()
    assert tab.press("ArrowRight").place == "/s/demo/t/14"
    assert tab.press("ArrowLeft").place == "/s/demo/t/14?pane=proof"
    assert tab.run("document.activeElement.dataset.pane") == "proof"


def test_the_slider_of_turns_has_a_sliders_keys(tab: Tab) -> None:
    """Home and End go to its ends, a page is ten turns, and what it says is the turn."""
    tab.go("/s/demo/t/14").page.locator("#strata").focus()
    assert [tab.press(key).place for key in ("PageDown", "PageDown", "PageUp")] == [
        f"/s/demo/t/{turn}" for turn in (4, 1, 11)
    ]
    last = tab.press("End").place
    assert last == tab.press("Home", "G").place and tab.page.get_attribute("#strata", "aria-valuetext")


def test_the_skip_link_leads_into_the_content(browser: Any, base: str) -> None:
    """Of the list, of a session, and of one on a narrow screen, where the prompt is behind a tab."""
    for address, where, how in [("/", "list", {}), ("/s/demo", "prompt", {}), ("/s/demo", "inspector", NARROW)]:
        for tab in opened_tab(browser, base, **how):
            tab.go(address)
            place = tab.place
            tab.page.locator(".skip").focus()
            tab.page.keyboard.press("Enter")
            assert tab.rest().run(FOCUS) == where and tab.place == place


def test_what_has_no_text_has_a_name(tab: Tab) -> None:
    """The page has one first heading; a span has a short name, with its text beside it."""
    for address in ("/", "/s/demo/t/14"):
        tab.go(address)
        assert tab.run("[...document.querySelectorAll('h1')].filter((each) => each.checkVisibility()).length") == 1
        assert tab.page.locator("main:visible, [role=main]:visible").count() == 1
    names = tab.run("[...document.querySelectorAll('#prompt button')].map((each) => each.textContent)")
    assert len(names) > 5 and max(map(len, names)) < 120
    assert tab.page.get_attribute("#find", "aria-label") == "search texts"
    assert tab.go("/").page.get_attribute("#find", "aria-label") == "search titles"


def test_a_prompt_reads_on_a_narrow_screen(browser: Any, base: str) -> None:
    """Its texts take the screen's width, and not that of the coloured edge."""
    for tab in opened_tab(browser, base, **NARROW):
        tab.go("/s/demo/t/14?pane=prompt")
        widths = tab.run("[...document.querySelectorAll('#prompt .span pre')].map((each) => each.clientWidth)")
        assert widths and min(widths) > 300
        cut = "[...document.querySelectorAll('#prompt .about')].filter((each) => each.scrollWidth > each.clientWidth)"
        assert tab.run(f"{cut}.map((each) => each.textContent)") == []


def test_what_is_said_takes_the_width_that_there_is(browser: Any, base: str) -> None:
    """A word for a moment is in view on a narrow screen, and not squeezed into half of it."""
    for tab in opened_tab(browser, base, **NARROW):
        tab.go("/s/demo/t/14").run("document.body.app.say('a word of some length, as errors are: '.repeat(3), 0)")
        box = tab.page.locator("#said").bounding_box()
        assert 0 <= box["x"] < 30 and 330 < box["width"] <= 390


def test_updates_lead_to_their_turns_by_key(tab: Tab) -> None:
    """As by the mouse: the turn of each is a button."""
    tab.go("/s/demo?pane=store").page.locator("#inspector td .link").first.focus()
    turn = tab.run("document.activeElement.textContent")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("(turn) => location.pathname === `/s/demo/t/${turn}`", arg=turn)
    assert tab.rest().run(FOCUS) == "inspector"


def test_figures_are_all_in_view(browser: Any, base: str) -> None:
    """At 1024 pixels as at 1400: none is behind an edge that shows no way to it."""
    for tab in opened_tab(browser, base, viewport={"width": 1024, "height": 768}):
        tab.go("/s/recorded")
        box = tab.page.locator("#figures").bounding_box()
        rights = tab.run("[...document.querySelectorAll('#figures div')].map((x) => x.getBoundingClientRect().right)")
        assert max(rights) <= box["x"] + box["width"]
        title = tab.page.locator("#where .title")
        assert title.get_attribute("title") == title.inner_text()


def test_what_is_cut_or_has_no_time_is_told_right(browser: Any, tmp_path: Path) -> None:
    """A subagent has a name of its own in the list, an id of dots its shape, and steps without times no year 1970."""
    path, agent = tmp_path / "j.db", "61cb3ba8-484b-4a21-bf99-34f7dc361170"
    with Journal.open(path, clock=iter(range(1, 10**6)).__next__) as journal:
        for name in (agent, f"{agent}/agent-a1f8104", ".."):
            with journal.session(name, counter="lines4") as session:
                session.user_says("look")
                session.assemble()
    for tab in opened_tab(browser, serving(path)):
        tab.go("/").page.locator(".session canvas:not([data-drawn])").first.wait_for(state="detached")
        about = tab.page.locator(".session .meta").all_inner_texts()
        assert about == [".. · as clawvm", "61cb3ba8/agent-a1f8104 · as clawvm", "61cb3ba8 · as clawvm"]
        assert tab.press("g", "g", "Enter").place == "/s/~Li4/t/1"
        assert tab.press("p").text("#inspector") and tab.go("/s/~Li4/t/1/p/p1?pane=page").place.startswith("/s/~Li4/")
        assert "written\nbefore turn 1\n" in tab.text("#inspector") and "1970" not in tab.text("body")


@pytest.mark.parametrize("how", [{}, NARROW], ids=["wide", "narrow"])
def test_a_session_without_a_prompt_says_so(browser: Any, tmp_path: Path, how: dict[str, Any]) -> None:
    """On every screen, whether it is still open or has ended, and without panes that would stay empty."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        journal.session("open").user_says("hello")
        with journal.session("ended") as session:
            session.close()
        for tab in opened_tab(browser, serving(path), **how):
            said = {name: tab.go(f"/s/{name}").text("body") for name in ("open", "ended")}
            assert "No prompt yet" in said["open"] and "its first turn has not begun" in said["open"]
            assert "The session ended before its first turn." in said["ended"] and "yet" not in said["ended"]
            assert "› no prompt" in said["open"] and "clawvm log" in said["open"]
            assert not tab.page.is_visible("#tabs") and not tab.page.is_visible("#inspector")


def test_what_is_written_from_right_to_left_begins_at_its_right(browser: Any, tmp_path: Path) -> None:
    """A cut title shows its beginning, and each line of a prompt is aligned to where its script begins."""
    path, words = tmp_path / "j.db", "שלום עולם " * 30
    with Journal.open(path) as journal, journal.session("hebrew") as session:
        session.user_says(f"{words}\nand a line in English")
        session.assemble()
    for tab in opened_tab(browser, serving(path), **NARROW):
        tab.go("/?q=שלום")
        assert tab.run("getComputedStyle(document.querySelector('.session .name')).direction") == "rtl"
        assert tab.press("j", "Enter").page.locator("#where .title").get_attribute("dir") == "auto"
        assert tab.run("getComputedStyle(document.querySelector('#where .title')).direction") == "rtl"
        assert tab.run("getComputedStyle(document.querySelector('#prompt pre')).unicodeBidi") == "plaintext"


def test_a_search_of_titles_ends_at_the_session(tab: Tab) -> None:
    """The list's address names the search and nothing else, and a session's field does not hold what none asked."""
    tab.go("/")
    tab.page.fill("#find", "recorded")
    tab.page.press("#find", "Enter")
    tab.page.wait_for_function("() => location.search")
    assert tab.rest().place == "/?q=recorded"
    assert tab.press("j", "Enter").place.startswith("/s/recorded/t/")
    assert tab.page.input_value("#find") == ""
