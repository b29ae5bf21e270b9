"""A session that is too long for one picture: an overview, and a window of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from tests.browser.conftest import opened_tab, serving
from tools.screens import large

pytestmark = pytest.mark.sweep(of="browser", sample=14)


def test_a_long_prompt_has_rows_only_near_the_screen(browser: Any, tmp_path: Path) -> None:
    """Of 240 spans those far below have no elements until they are near; a text of over 64 kB comes in parts."""
    path, long = tmp_path / "spans.db", "".join(f"{n} of a long line\n" for n in range(6_000))
    with Journal.open(path) as journal, journal.session("spans", counter="lines4", budget_tokens=10**6) as session:
        session.write_page("evidence", long, author="tool")
        for n in range(240):
            session.write_page("evidence", f"span {n}: " + "words " * 20, author="tool")
        session.assemble()
    assert len(long) > 65_536
    for tab in opened_tab(browser, serving(path)):
        tab.go("/s/spans/t/1")
        assert tab.page.locator(".chunk").count() >= 6 and 0 < tab.page.locator(".span").count() < 160
        first = tab.page.locator(".span", has_text="0 of a long line")
        assert len(first.locator("pre").text_content()) < 65_536 and "more characters" in first.text_content()
        first.locator(".link").click()
        tab.page.wait_for_function(
            "(last) => document.querySelector('.span pre').textContent.includes(last)", arg="5999 of"
        )
        assert long in first.locator("pre").text_content()
        tab.run("document.getElementById('prompt').scrollTop = 1e6")
        tab.page.locator(".span", has_text="span 239: ").wait_for()
        assert tab.page.locator(".span").count() < 200


def test_a_long_session_is_an_overview_and_a_window(browser: Any, tmp_path: Path) -> None:
    """Of 405 turns a part is loaded; a jump, a click on the overview and an address load others."""
    path = tmp_path / "large.db"
    large(path, 405)
    for tab in opened_tab(browser, serving(path)):
        tab.go("/s/large")
        assert tab.place == "/s/large/t/405" and tab.page.is_visible("#overview")
        window = "[document.body.app.timeline.from, document.body.app.timeline.to]"
        first, last = tab.run(window)
        assert first > 1 and last == 405 and last - first < 400
        assert tab.press("g", "g").place == "/s/large/t/1" and tab.run(window)[0] == 1
        assert tab.page.get_attribute("#strata", "aria-valuetext").startswith("turn 1 of 405")
        box = tab.page.locator("#overview").bounding_box()
        tab.page.mouse.click(box["x"] + box["width"] * 0.98, box["y"] + 9)
        assert tab.rest().place.rpartition("/")[2] > "390"
        tab.go("/s/large/t/100?from=90&to=120")
        assert tab.place == "/s/large/t/100?from=90&to=120"
        first, last = tab.run(window)
        assert first <= 90 and last >= 120 and last - first < 400
