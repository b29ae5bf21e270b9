"""Addresses and keys: every place has an address, and every key does what the list of keys says."""

from __future__ import annotations

import re

import pytest

from clawvm_es.web.ids import key_of
from tests.browser.conftest import HOSTILE_ID, Tab

pytestmark = pytest.mark.sweep(of="browser", sample=14)

ADDRESSES = [
    "/s/demo/t/9",
    "/s/demo/t/9/p/p5",
    "/s/demo/t/9?pane=losses",
    "/s/demo/t/9?from=4&to=20",
    "/s/demo/t/9/p/p5?rows=tokens&vs=t3",
    "/s/demo/t/9?q=ledger",
    "/s/demo/t/12?pane=store",
    "/s/recorded/t/25?pane=proof",
    f"/s/{key_of(HOSTILE_ID)}/t/2",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_leads_to_itself(tab: Tab, address: str) -> None:
    """Opened, the page shows that place, and the address bar still says the same."""
    tab.go(address)
    assert tab.place == address
    assert tab.page.get_attribute("#strata", "aria-valuenow") == re.search(r"/t/(\d+)", address)[1]  # type: ignore[index]


def test_an_address_is_read_and_written_the_same(tab: Tab) -> None:
    """Every part of an address comes back from the place that it was read as; what makes no sense is left out."""
    tab.go("/")
    same = [
        "/",
        "/s/a.b-c/t/3/p/p1?from=1&to=9&rows=born&vs=v8&what=budget:8000,policy:lru&q=a%20b&bisect=absent(p7)&good=t1&bad=t9",
        "/s/a/t/3/e/17",
        f"/s/{key_of(HOSTILE_ID)}/t/1",
        f"/s/{key_of(chr(0xD800) + 'x')}/t/1",
    ]
    script = """async (given) => { const {parse, address} = await import('/static/route.js');
                return given.map((each) => address(parse(...each.split('?')))); }"""
    assert tab.run(script, same) == same
    odd = ["/s/a/t/0", "/s/a/t/x/p/p1", "/s/a/t/3?from=9&to=2", "/s/a/t/3?rows=upside&what=a:b&pane=none", "/x/y"]
    assert tab.run(script, odd) == ["/s/a", "/s/a", "/s/a/t/3", "/s/a/t/3", "/"]


def test_turns_by_key(tab: Tab) -> None:
    """Brackets and arrows step, g and G jump, and a step leaves no entry in the history where a jump does."""
    tab.go("/s/demo/t/9")
    before = tab.run("history.length")
    assert tab.press("]").place == "/s/demo/t/10"
    assert tab.press("ArrowLeft", "[").place == "/s/demo/t/8"
    assert tab.run("history.length") == before
    assert tab.press("g", "1", "2", "Enter").place == "/s/demo/t/12"
    assert tab.press("g", "g").place == "/s/demo/t/1"
    assert tab.press("[").place == "/s/demo/t/1"
    last = tab.press("G").place
    assert last == tab.press("]").place and tab.run("history.length") == before + 3
    tab.page.go_back()
    assert tab.rest().place == "/s/demo/t/1"


def test_stops_by_key(tab: Tab) -> None:
    """Braces go from stop to stop, choose the page that is missing there, and begin again at an end."""
    tab.go("/s/demo/t/1")
    stops = tab.run("document.body.app.timeline.stops()")
    assert len(stops) > 2 and any(stop["number"] for stop in stops)
    seen = []
    for _ in stops:
        seen.append(tab.press("}").place)
    pages = tab.run("[...document.body.app.timeline.pages.values()].map((page) => [page.number, page.id])")
    names = dict(pages)
    assert seen == [f"/s/demo/t/{s['turn']}" + (f"/p/{names[s['number']]}" if s["number"] else "") for s in stops]
    assert tab.press("}").place == seen[0] and tab.text("#said") == "from the first again"
    assert tab.press("{").place == seen[-1] and tab.text("#said") == "from the last again"


PANES = {
    "i": "why",
    "d": "changes",
    "p": "page",
    "e": "events",
    "l": "losses",
    "w": "whatif",
    "b": "bisect",
    "s": "store",
    "v": "proof",
}


def test_panes_by_key(tab: Tab) -> None:
    """Each pane has a key, an address, and something to say."""
    tab.go("/s/demo/t/14/p/p5")
    for key, pane in PANES.items():
        tab.press(key)
        assert ("pane=" + pane in tab.place) == (pane != "why"), key
        assert tab.page.get_attribute(f"#tabs [data-pane={pane}]", "aria-selected") == "true"
        assert len(tab.text("#inspector")) > 20, pane
        assert tab.page.locator("#inspector [role=alert]").count() == 0, pane


def test_spans_sizes_rows_and_zoom_by_key(tab: Tab) -> None:
    """The keys j and k walk the prompt, m cycles sizes, o rows, plus and minus the window, 0 shows all."""
    tab.go("/s/demo/t/14")
    ids = tab.run("[...document.querySelectorAll('.span[data-page]')].map((span) => span.dataset.page)")
    assert [tab.press("j").place.rpartition("/")[2] for _ in range(2)] == ids[:2]
    assert tab.press("k").place.endswith(f"/p/{ids[0]}")
    assert tab.press("Escape").place == "/s/demo/t/14"
    sizes = [tab.run("document.body.className"), *(tab.press("m").run("document.body.className") for _ in range(3))]
    assert sizes == ["", "size-small", "size-full", ""]
    assert [tab.press("o").place.partition("?")[2] for _ in range(5)] == [
        "rows=born", "rows=path", "rows=tokens", "rows=missed", "",
    ]  # fmt: skip
    assert "from=" in tab.press("+").place
    narrow = tab.page.get_attribute("#strata", "data-window")
    assert tab.press("-").page.get_attribute("#strata", "data-window") != narrow
    assert "from=" not in tab.press("+", "0").place
    tab.press("t")
    assert tab.page.locator("#strata-twin table").bounding_box()["height"] > 50


def test_another_budget_by_key(tab: Tab) -> None:
    """Enter goes to the field of What if and of Bisect, and asks; Escape leaves it, and keys mean what they meant."""
    tab.go("/s/demo/t/14").press("w", "Enter")
    tab.page.keyboard.type("600")
    assert "what=budget:600" in tab.press("Enter").place
    tab.press("b").press("Enter")
    assert tab.run("document.activeElement.name") == "q"
    assert tab.press("Escape").press("]").place.startswith("/s/demo/t/15")
    assert tab.press("i", "Enter").run("document.activeElement.id") == "inspector"


def test_searching_by_key(tab: Tab) -> None:
    """/ goes to the field, Enter asks, n and N go from hit to hit, Escape leaves the field."""
    tab.go("/s/demo/t/14").press("/")
    assert tab.run("document.activeElement.id") == "find"
    tab.page.keyboard.type("ledger")
    tab.press("Enter")
    assert "q=ledger" in tab.place and "ledger" in tab.text("#inspector").lower()
    first = tab.press("n").place
    second = tab.press("n").place
    assert first != second and tab.press("N").place == first
    tab.press("/", "Escape")
    assert tab.run("document.activeElement.id") != "find"


def test_the_list_of_keys_and_a_link_by_key(tab: Tab) -> None:
    """? lists the keys, Escape closes the list, y copies the address."""
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.go("/s/demo/t/14").press("?")
    assert "previous" in tab.text("#keys").lower() or "before" in tab.text("#keys").lower()
    tab.press("Escape")
    assert tab.page.locator("#keys[open]").count() == 0
    tab.press("y")
    tab.page.locator("#said", has_text="link copied").wait_for()
    assert tab.run("navigator.clipboard.readText()").endswith("/s/demo/t/14")


def test_from_the_list_to_the_reason_of_a_miss_by_three_keys(tab: Tab) -> None:
    """The walk of the README: choose the session, open it, go to its first miss; the reason stands there."""
    tab.go("/")
    keys = [row.get_attribute("data-key") for row in tab.page.query_selector_all(".session")]
    tab.press(*"j" * (keys.index("demo") + 1), "Enter")
    assert tab.place.startswith("/s/demo/t/")
    tab.press("g", "g", "}")
    said = tab.text("#inspector")
    assert "was absent from the prompt" in said and "The agent needed it" in said
    page, turn = tab.run("[document.body.app.place.page, document.body.app.place.turn]")
    told = {"d": f"to turn {turn}", "p": "paged in", "l": f"turn {turn} paged in", "w": "budget", "i": said}
    for key, words in told.items():
        assert words in tab.press(key).text("#inspector"), key
        assert tab.run("document.body.app.place.page") == page


def test_as_recorded_stands_above_as_clawvm_by_one_key(tab: Tab) -> None:
    """The key r shows the other truth beside the first, the recorded one above, and what differs; r again ends it."""
    tab.go("/s/demo/t/9").press("r")
    assert "what=policy:recorded" in tab.place
    assert tab.text("#other-title") == "As recorded" and "open loop" in tab.text("#other-note").lower()
    assert tab.run("document.getElementById('second').getBoundingClientRect().top") < tab.run(
        "document.getElementById('first').getBoundingClientRect().top"
    )
    assert "what=" not in tab.press("r").place and not tab.page.is_visible("#second")
