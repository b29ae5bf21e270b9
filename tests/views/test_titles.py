"""Titles of pages: by their newest content, read in a few queries, the same one by one and all together."""

from __future__ import annotations

import pytest

from clawvm_es import views
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.snapshots import restore
from clawvm_es.views import titles as module
from clawvm_es.views.titles import Titles, page_title
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy


@pytest.fixture(params=["memory:", "file"])
def log(request, tmp_path):
    """A busy session, some of whose pages were erased, and a fork of it that wrote one more."""
    url = request.param if request.param == "memory:" else tmp_path / "j.db"
    with Journal.open(url, seed=1, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=500, counter="lines4", settings=Settings(fields=FIELDS)) as session:
            session.write_page("evidence", "\n\n  a text   without a source\n", author="tool")
            busy(session)
        with journal.fork("s", "f", at=60) as fork:
            fork.user_says("another way " * 40)
        for page_id in ("p2", "p4"):
            redact(journal.log, Target("s", page_id=page_id), at_us=5, everywhere=True)
        yield journal.log


def by_events(log, session_id: str) -> dict[str, str | None]:
    """The title of each page by the last event that wrote it."""
    written = {row.data.page_id: row.data for row in read_session(log, session_id) if row.type == "page_written"}
    return {page_id: page_title(log.vault(session_id), data) for page_id, data in written.items()}


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_titles_are_those_of_the_last_event_that_wrote_the_page(log, session_id, monkeypatch):
    """One by one, together, and where a reader asks for so many that all are read; erased pages have none."""
    expected = by_events(log, session_id)
    assert len(expected) > 9
    assert None in expected.values()
    assert "a text without a source" in expected.values()
    single, together, all_ = Titles(log), Titles(log), Titles(log)
    assert {page_id: single.of(session_id, page_id) for page_id in expected} == expected
    together.load(session_id, [*expected, None, "p999"])
    assert {page_id: together.of(session_id, page_id) for page_id in expected} == expected
    monkeypatch.setattr(module, "_ONE_BY_ONE", 1)
    assert {page_id: all_.of(session_id, page_id) for page_id in expected} == expected


def test_titles_are_read_without_a_fold(log, monkeypatch):
    """What pages hold at a session's end is told by its nearest snapshot and the events that wrote pages since."""
    log_has = by_events(log, "s")
    monkeypatch.setattr(restore, "fold", lambda *_: pytest.fail("a state was folded"))
    titles = Titles(log)
    titles.load("s", log_has)
    assert {page_id: titles.of("s", page_id) for page_id in log_has} == log_has


def test_what_is_no_page_has_no_title(log):
    """Neither no page at all, nor one that was never written, nor one of a session that is not there."""
    titles = Titles(log)
    assert titles.of("s", None) is None
    assert titles.of("s", "p999") is None
    assert titles.of("nobody", "p1") is None


def test_titles_of_a_page_table_are_read_in_a_few_queries(tmp_path, monkeypatch):
    """A table of 300 pages reads no event by itself, and says of each what one look at it says."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4") as session:
            for number in range(300):
                session.user_says(f"message {number}")
        with journal.fork("s", "fork") as fork:
            fork.user_says("of the fork")
    with views.opened(str(tmp_path / "j.db")) as log:
        alone = {name: views.page(log, name, "p7")["title"] for name in ("s", "fork")}
        reads, read = [], type(log).read
        monkeypatch.setattr(type(log), "read", lambda *given, **named: reads.append(given) or read(*given, **named))
        found = {name: views.pages(log, name)["pages"] for name in ("s", "fork")}
    assert [len(pages) for pages in found.values()] == [300, 301] and len(reads) < 20
    assert {name: pages[6]["title"] for name, pages in found.items()} == alone == dict.fromkeys(found, "message 6")
    assert found["fork"][-1]["title"] == "of the fork"
