"""Read models and snapshots that keep up with a long session, piece by piece, while it goes on."""

from __future__ import annotations

import pytest
import structlog

from clawvm_es import limits
from clawvm_es.engine import journal as journals
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalBusy
from clawvm_es.journal.ports import models_of
from clawvm_es.journal.snapshots import snapshot_problems
from clawvm_es.projections import projections_problems
from clawvm_es.projections.tables import MODELS

EVENTS = 40


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A journal whose read models are brought on every `EVENTS` events, with snapshots half as far apart."""
    monkeypatch.setattr(limits, "KEEP_UP_EVENTS", EVENTS)
    monkeypatch.setattr(limits, "SNAPSHOT_EVENTS", EVENTS // 2)
    with Journal.open(tmp_path / "j.db") as opened:
        yield opened


def position(journal) -> int:
    """The last event in the stored rows, of the live tables."""
    with models_of(journal.log, MODELS).reading() as reader:
        return reader.position() or 0


def talk(session, turns: int) -> None:
    """So many turns of two events or more, without a commit point."""
    for number in range(turns):
        session.user_says(f"message {number}")
        session.observe_model(f"answer {number}")


def test_hooks_bring_the_read_models_on(journal):
    """Without any commit point, rows and snapshots are never far behind, and they are what the log says."""
    session = journal.session("live", counter="lines4")
    for _ in range(12):
        talk(session, EVENTS // 3)
        assert journal.log.size() - position(journal) < EVENTS + 4
    assert projections_problems(journal.log) == []
    store = journal.log.snapshots()
    assert journal.log.size() - store.rows()[-1].version < 2 * EVENTS
    assert list(snapshot_problems(journal.log)) == []


def test_events_of_several_sessions_count_together(journal):
    """Many short sessions of one process are kept up with, too."""
    for number in range(EVENTS):
        talk(journal.session(f"s{number}", counter="lines4"), 1)
    assert journal.log.size() - position(journal) < EVENTS + 4


def test_a_piece_is_bounded(journal, tmp_path, monkeypatch):
    """A hook that finds a long log without rows folds one piece of it; the next ones go on from there."""
    with monkeypatch.context() as never:
        never.setattr(limits, "KEEP_UP_EVENTS", 10**9)
        talk(journal.session("long", counter="lines4"), 8 * EVENTS)
    session = journal.session("live", counter="lines4")
    at = [position(journal)]
    while at[-1] < journal.log.size() - EVENTS - 4:
        talk(session, EVENTS // 3)
        at.append(position(journal))
    assert len(at) > 4
    assert projections_problems(journal.log) == []


def test_what_is_in_the_way_is_reported_and_stops_no_hook(journal, monkeypatch):
    """Where the read models cannot be written, the hook returns what it recorded, and the log says why."""

    def busy(log):
        raise JournalBusy("somebody else writes")

    monkeypatch.setattr(journals, "keep_up", busy)
    session = journal.session("live", counter="lines4")
    with structlog.testing.capture_logs() as told:
        talk(session, EVENTS)
    assert session.state.version > 2 * EVENTS
    assert {(each["log_level"], each["error"]) for each in told} == {("warning", "somebody else writes")}
    assert len(told) <= 3 * EVENTS // EVENTS


def test_a_journal_in_memory_has_nothing_to_keep_up(monkeypatch):
    """A log that stores no rows takes no harm."""
    monkeypatch.setattr(limits, "KEEP_UP_EVENTS", 4)
    with Journal.open("memory:") as journal:
        talk(journal.session("live", counter="lines4"), 9)
        assert models_of(journal.log, MODELS) is None
