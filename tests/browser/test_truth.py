"""What the page says is what the log holds, and nothing that a session says runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clawvm_es import views
from clawvm_es.cli.main import main
from clawvm_es.engine.journal import Journal
from clawvm_es.journal.ports import erasing
from clawvm_es.web.ids import key_of
from tests.browser.conftest import HOSTILE_ID, Tab, hostile, opened_tab, serving
from tests.waiting import until

pytestmark = pytest.mark.sweep(of="browser", sample=14)

BORN = """[...document.body.app.timeline.pages.values()].map((page) =>
  [page.born, Math.min(...document.body.app.timeline.byPage.get(page.number).map((run) => run.from))])"""
SPANS = "[...document.querySelectorAll('#prompt .span pre')].map((pre) => pre.textContent).join('')"


def test_spans_joined_are_the_prompt(tab: Tab, journal: Path) -> None:
    """What stands in the spans is, byte for byte, what `clawvm prompt` prints."""
    for session, turn in (("demo", 14), ("recorded", 9), (HOSTILE_ID, 2)):
        tab.go(f"/s/{key_of(session)}/t/{turn}")
        with views.opened(str(journal)) as log:
            text = views.prompt(log, session, turn=turn)["text"]
        assert tab.run(SPANS).encode("utf-8", "surrogatepass") == text.encode("utf-8", "surrogatepass")
        assert ("bytes = commitment" in tab.text("#badge")) == (session != "recorded")  # what a harness had has none


def test_a_hostile_session_runs_nothing_and_asks_for_nothing(tab: Tab) -> None:
    """Markup in ids, texts and titles is shown as text in every pane; no element, title or request comes of it."""
    assert HOSTILE_ID[:8] in tab.go("/").text("#list")
    tab.go(f"/s/{key_of(HOSTILE_ID)}/t/2").press("j", "j")
    for key in "idpeslwbv":
        tab.press(key)
        assert (
            tab.run("document.querySelectorAll('#main img, #main script, #main svg, #main iframe, #main a').length")
            == 0
        )
    assert "<script>" in tab.run(SPANS) and "owned" in tab.run(SPANS)
    assert tab.run("document.title") not in ("owned", "1")
    assert {url.removeprefix(tab.base).partition("/")[0] for url in tab.asked if not url.startswith("data:")} == {""}


def test_a_session_that_grows_shows_its_new_turn(browser: Any, tmp_path: Path) -> None:
    """The cursor follows at the end; elsewhere a button tells of the new turns, and leads there."""
    path = tmp_path / "live.db"
    with Journal.open(path) as journal, journal.session("live", counter="lines4") as session:
        session.user_says("hello")
        session.assemble()
        session.observe_model("one")
        session.assemble()
        base = serving(path)
        for tab in opened_tab(browser, base):
            tab.go("/s/live/t/2")
            session.observe_model("two")
            session.assemble()
            tab.page.wait_for_url("**/t/3")
            assert tab.rest().page.get_attribute("#strata", "aria-valuemax") == "3"
            whole = tab.run(BORN)
            assert all(born == first - 1 for born, first in whole) and len(whole) == 3
            assert tab.page.reload() and tab.rest().run(BORN) == whole
            assert tab.text("#figures").split("\n")[:4] == ["3", "turns", "3", "pages"]
            tab.press("g", "g")
            session.observe_model("three")
            session.assemble()
            tab.page.locator("#pill", has_text="1 new turn").wait_for()
            assert tab.place == "/s/live/t/1"
            tab.page.click("#pill")
            assert tab.rest().place == "/s/live/t/4"


def finished(path: Path) -> bool:
    """Open the journal as any program does, which finishes an erasure; whether it is."""
    with Journal.open(path) as journal:
        return not erasing(journal.log, "redact").pending_erasures()


def test_an_open_page_does_not_block_an_erasure(browser: Any, tmp_path: Path) -> None:
    """While the page follows a session its text can be erased; loaded again, the text is gone and said to be."""
    path = tmp_path / "erased.db"
    with Journal.open(path) as journal, journal.session("s", counter="lines4") as session:
        session.user_says("the canary is yellow")
        session.assemble()
    for tab in opened_tab(browser, serving(path)):
        tab.go("/s/s/t/1")
        assert "canary" in tab.run(SPANS)
        with pytest.raises(SystemExit, match=r"[01]"):  # 1: a question of the page was being answered meanwhile
            main(["redact", str(path), "--session", "s", "--all", "--yes"])
        until(lambda: finished(path), "the erasure to be finished by the next who opens the journal")
        tab.page.reload()
        assert "canary" not in tab.rest().run("document.body.textContent")
        assert tab.page.locator(".span.erased").count() == 1 and "erased" in tab.text("#prompt")


def test_the_journal_is_the_same_before_and_after(browser: Any, tmp_path: Path) -> None:
    """Looking at every pane leaves every byte of the journal as it was."""
    path = tmp_path / "same.db"
    with Journal.open(path) as journal:
        hostile(journal)
        journal.catch_up()
    before = path.read_bytes()
    for tab in opened_tab(browser, serving(path)):
        tab.go(f"/s/{key_of(HOSTILE_ID)}/t/1/p/p1").press(*"idpelwbsv}]")
    assert path.read_bytes() == before


def test_empty_and_wrong_places_say_what_to_do(browser: Any, tmp_path: Path) -> None:
    """No session, no prompt yet, and no such session each have a sentence of their own."""
    path = tmp_path / "empty.db"
    with Journal.open(path) as journal:
        base = serving(path)
        for tab in opened_tab(browser, base):
            assert "clawvm import" in tab.go("/").text("#list")
            with journal.session("new", counter="lines4"):
                pass
            assert "No prompt yet" in tab.go("/s/new").text("#prompt")
            tab.go("/s/nothing/t/3")
            assert "there is no session" in tab.text("#list") and tab.page.is_visible("#list button")
            tab.said.clear()  # the browser tells of the 404 by itself
