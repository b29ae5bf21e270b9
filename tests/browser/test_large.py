"""A session that is too long for one picture: an overview, and a window of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import opened_tab, serving
from tools.screens import large

pytestmark = pytest.mark.sweep(of="browser", sample=14)


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
