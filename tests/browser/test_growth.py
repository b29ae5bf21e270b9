"""A page left open while its session grows, its journal is replaced, or its server stops."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from tests.browser.conftest import opened_tab, serving

pytestmark = pytest.mark.sweep(of="browser", sample=14)


def written(path: Path, turns: int, words: str = "step") -> None:
    """A journal with one session of so many turns."""
    with Journal.open(path) as journal, journal.session("live", counter="lines4") as session:
        for turn in range(turns):
            session.user_says(f"{words} {turn}")
            session.assemble()


def test_what_comes_while_the_last_growth_is_fetched_is_shown(browser: Any, tmp_path: Path) -> None:
    """Also where nothing comes after it that would tell of it again."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("live", counter="lines4") as session:
        session.user_says("one")
        session.assemble()
        held: list[Any] = []
        for tab in opened_tab(browser, serving(path)):
            tab.go("/s/live")
            answers = lambda route: route.continue_() if held else held.append((route, route.fetch()))  # noqa: E731
            tab.page.route("**/map?after=*", answers)
            for words in ("two", "three"):
                session.user_says(words)
                session.assemble()
                tab.page.wait_for_timeout(900)
            (route, answer) = held[0]
            route.fulfill(response=answer)
            tab.page.wait_for_function("() => document.body.app.timeline.turns === 3", timeout=5_000)
            tab.page.wait_for_function("() => document.body.app.answer.turn === 3")
            assert tab.place == "/s/live/t/3" and "three" in tab.text("#prompt")


def test_growth_leaves_what_a_person_reads_and_writes(browser: Any, tmp_path: Path) -> None:
    """The prompt of an earlier turn stays where it was scrolled to, and a field keeps its words and the keyboard."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("live", counter="lines4") as session:
        for number in range(20):
            session.write_page("evidence", f"page {number}\n" * 30, author="tool")
        session.assemble()
        session.assemble()
        for tab in opened_tab(browser, serving(path)):
            scrolled = "document.querySelector('#prompt').scrollTop"
            tab.go("/s/live/t/1/p/p2?pane=whatif").run(f"{scrolled} = 400")
            field = tab.page.locator("#inspector [name=budget]")
            field.press_sequentially("6")
            for turns, key in ((3, "0"), (4, "0")):
                session.user_says("and now?")
                session.assemble()
                tab.page.wait_for_function("(turns) => document.body.app.timeline.turns === turns", arg=turns)
                tab.rest().page.keyboard.press(key)
            assert tab.run(scrolled) == 400 and tab.page.input_value("#inspector [name=budget]") == "600"
            assert tab.text("#pill") == "2 new turns" and tab.place == "/s/live/t/1/p/p2?pane=whatif"
            tab.go("/s/live/t/1?pane=events").run("document.querySelector('#inspector li').dataset.read = 'yes'")
            session.user_says("and then?")
            session.assemble()
            tab.page.wait_for_function("() => document.body.app.timeline.turns === 5")
            assert tab.rest().run("document.querySelector('#inspector li').dataset.read") == "yes"


@pytest.mark.parametrize("turns", [2, 9], ids=["shorter", "longer"])
def test_a_journal_in_the_place_of_the_one_that_is_open_is_shown(browser: Any, tmp_path: Path, turns: int) -> None:
    """It is told that there is another one, and nothing of the one before is left among its turns."""
    path, other = tmp_path / "j.db", tmp_path / "other.db"
    written(path, 4)
    written(other, turns, "another")
    for tab in opened_tab(browser, serving(path)):
        tab.go("/s/live/t/2").page.wait_for_timeout(500)
        os.replace(other, path)
        tab.page.locator("#said", has_text="another journal").wait_for(timeout=9_000)
        assert tab.rest().place == "/s/live/t/2" and tab.run("document.body.app.timeline?.turns") == turns
        tab.said.clear()  # the browser's own line, of an event that is not there any more
        assert "another 1" in tab.text("#prompt") and "step" not in tab.text("#main")


def test_a_server_that_is_away_is_told_and_takes_nothing_from_the_page(browser: Any, base: str) -> None:
    """It says so without being asked; a step keeps the session in view, and all is there again when the server is."""
    for tab in opened_tab(browser, base):
        tab.page.route("**/tail?*", lambda route: route.abort())
        tab.go("/s/demo/t/9")
        assert tab.text("#badge") == "✓ bytes = commitment"
        tab.page.route("**/api/**", lambda route: route.abort())
        tab.page.locator("#lost", has_text="the server does not answer").wait_for(timeout=8_000)
        tab.press("g", "1", "4", "Enter")
        assert tab.page.is_visible("#strata") and "the server does not answer" in tab.text("#prompt")
        assert tab.text("#badge") == "" and tab.place == "/s/demo/t/14"
        tab.page.unroute_all()
        tab.page.locator("#badge", has_text="bytes = commitment").wait_for(timeout=8_000)
        assert tab.text("#lost") == "" and tab.page.locator("#prompt .span").count() > 2
        tab.said.clear()  # the browser's own lines
