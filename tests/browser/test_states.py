"""Pages of what cannot be shown: no scripts, a damaged journal, one of a newer program, one of an older format."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.history.places import end_of_turn
from clawvm_es.web.guard import cookie_name
from tests.browser.conftest import TOKEN, opened_tab, serving

pytestmark = pytest.mark.sweep(of="browser", sample=14)

GOLDEN = Path(__file__).parent.parent / "golden"
CUT = "UPDATE events SET data = '{' WHERE version = 60"
NEWER = "UPDATE events SET type = 'stranger' WHERE version = 60"
WITHOUT_CACHES = ("DELETE FROM snapshots", "DELETE FROM projections")
STATES = {
    "damaged": ((CUT, *WITHOUT_CACHES), "/", "The journal is damaged", "clawvm verify says more"),
    "damaged session": (
        (CUT, "DELETE FROM snapshots"),
        "/s/demo",
        "The journal is damaged",
        "session demo version 60",
    ),
    "newer format": (
        ("PRAGMA user_version = 99",),
        "/",
        "A newer program wrote this journal",
        "it was left untouched",
    ),
    "newer event": ((NEWER, "DELETE FROM snapshots"), "/s/demo/t/9", "A newer program wrote", "unknown event type"),
}


@pytest.fixture
def changed(journal: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of the journal that was changed in SQL."""

    def change(*statements: str) -> Path:
        path = tmp_path / "j.db"
        shutil.copy(journal, path)
        with sqlite3.connect(path) as db:
            for name in [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
        db.close()
        return path

    return change


def test_without_scripts_the_page_says_so_in_one_sentence(browser: Any, base: str) -> None:
    """And shows nothing else: no field or button that would do nothing."""
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": cookie_name(int(base.rpartition(":")[2])), "value": TOKEN, "url": base}])
    page = context.new_page()
    page.goto(base + "/s/demo/t/9")
    said = " ".join(page.inner_text("body").split())
    assert said.startswith("This page draws sessions with a script of its own, and scripts are off: clawvm log")
    assert said.count(". ") == 0 and said.endswith(".")
    assert not page.is_visible("#top") and not page.is_visible(".skip")
    context.close()


@pytest.mark.parametrize("state", STATES)
def test_a_journal_that_cannot_be_read_is_told_of(browser: Any, changed: Callable[..., Path], state: str) -> None:
    """Which event or format it is, and what to do; the list of sessions is one button away."""
    statements, address, heading, text = STATES[state]
    for tab in opened_tab(browser, serving(changed(*statements))):
        tab.go(address)
        assert heading in tab.text("#list h1") and text in tab.text("#list")
        assert "all sessions" in tab.text("#list") and not tab.page.is_visible("#main")
        assert {"500 (Internal Server Error)" in line for line in tab.said} == {True}  # the browser's own line
        tab.said.clear()


LOST = """DELETE FROM commitments WHERE commitment IN (SELECT json_extract(data, '$.prompt') FROM events
    WHERE session_id = 'demo' AND type = 'prompt_rendered' AND turn = 9)"""


def test_a_prompt_whose_salt_is_gone_says_so(browser: Any, changed: Callable[..., Path]) -> None:
    """It is shown, and not called one that nothing was committed to; other prompts can still be checked."""
    for tab in opened_tab(browser, serving(changed(LOST))):
        tab.go("/s/demo/t/9?pane=proof")
        assert tab.text("#badge") == "salt gone" and tab.page.locator("#prompt .span").count() > 2
        assert "the salt that it takes to check them was erased, or is lost" in tab.text("#inspector")
        assert tab.press("]").text("#badge") == "✓ bytes = commitment"
        assert tab.go("/s/recorded/t/9").text("#badge") == "no commitment"


@pytest.mark.parametrize("name", ["v1", "v4"])
def test_a_journal_of_an_older_format_is_shown(browser: Any, tmp_path: Path, name: str) -> None:
    """Its sessions are listed with their shapes, and each opens at its last prompt; the file stays as it was."""
    path = tmp_path / "j.db"
    shutil.copy(GOLDEN / f"{name}.journal", path)
    before = path.read_bytes()
    for tab in opened_tab(browser, serving(path)):
        tab.go("/")
        rows = tab.page.locator("#list .session").count()
        assert rows > 1
        tab.press("j", "Enter")
        assert "/t/" in tab.place and tab.page.is_visible("#strata") and tab.text("#prompt")
    assert path.read_bytes() == before


def test_a_session_that_was_forked_shows_where(browser: Any, tmp_path: Path) -> None:
    """The notch of a fork is drawn and named, and nothing of the session is in the way of it."""
    path = tmp_path / "forked.db"
    with Journal.open(path) as journal:
        with journal.session("trunk", counter="lines4") as session:
            for words in ("one", "two", "three"):
                session.user_says(words)
                session.assemble()
        with journal.fork("trunk", "branch", at=end_of_turn(journal.log, "trunk", 2)) as session:
            session.user_says("another way")
            session.assemble()
        journal.catch_up()
    for tab in opened_tab(browser, serving(path)):
        tab.go("/s/trunk/t/2")
        assert tab.text("#levels").split("\n")[-1] == "fork"
        assert tab.run("document.body.app.timeline.forks.map(({turn}) => turn)") == [2]
        script = """() => { const {pages} = document.body.app, at = Math.round(pages.scale.left(3));
          return [...pages.canvas.getContext('2d').getImageData(at, 2, 1, 1).data.slice(0, 3)]; }"""
        assert tab.run(script) == tab.run("import('/static/theme.js').then(({rgbOf}) => rgbOf('accent'))")
        assert tab.go("/s/branch").place == "/s/branch/t/3"


def test_every_session_of_the_list_has_its_shape(browser: Any, base: str) -> None:
    """Not only the one that is chosen: the canvas of each row with turns is drawn once it is in view."""
    drawn = """() => [...document.querySelectorAll('#list .session canvas')].map((canvas) => {
      const blank = Object.assign(document.createElement('canvas'), {width: canvas.width, height: canvas.height});
      return canvas.toDataURL() !== blank.toDataURL();
    })"""
    for tab in opened_tab(browser, base):
        tab.go("/")
        tab.page.wait_for_function(f"() => ({drawn})().every(Boolean)")
        assert len(tab.run(drawn)) == 3
