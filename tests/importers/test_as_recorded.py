"""Sessions as their harness had them: what a journal says of them is one thing, whichever way it is read."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import pytest

from clawvm_es import limits
from clawvm_es.core.evolve import fold
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide
from clawvm_es.history.figures import figures_of
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model import events as e
from clawvm_es.model.pages import FULL
from clawvm_es.projections import projections_problems, rebuild, snapshot
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.storage import open_log, verify


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with the bundled session as recorded, with snapshots every few events."""
    place = tmp_path_factory.mktemp("recorded") / "j.db"
    was, limits.SNAPSHOT_EVENTS = limits.SNAPSHOT_EVENTS, 20
    try:
        with Journal.open(place, seed=1) as journal, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
            replay(journal, file, ReplaySettings(as_recorded=True, name="s", counter="lines4"))
    finally:
        limits.SNAPSHOT_EVENTS = was
    return place


@pytest.fixture
def log(path: Path) -> EventLog:
    """That journal, read only."""
    with open_log(path, read_only=True) as opened:
        yield opened


def test_it_verifies_and_is_decided_again_the_same(log: EventLog) -> None:
    """Chains, bodies, read models, and every decision from its input."""
    assert verify(log) == () and projections_problems(log) == []
    rows = list(read_session(log, "s"))
    assert redecide(rows) == sum(row.kind == "decision" for row in rows)


def test_pages_have_their_lower_levels(log: EventLog) -> None:
    """An import selects nothing itself, but other policies are asked about it later, and they need the levels."""
    kept = [len(row.data.levels) for row in read_session(log, "s") if isinstance(row.data, e.PageWritten)]
    assert max(kept) == 4 and sum(count > 1 for count in kept) > 20


def test_snapshots_give_the_state_of_every_version(log: EventLog) -> None:
    """LAW-SNAP-1 for the context that the harness had, its order included."""
    events = [row.data for row in read_session(log, "s")]
    state = State()
    for version, event in enumerate(events, 1):
        fold([event], state)
        found = snapshots.state_at(log, "s", version)
        assert found == state and list(found.assembled) == list(state.assembled), version
    assert len(events) > 200


def test_read_models_say_what_the_events_say(path: Path, log: EventLog) -> None:
    """Misses are faults of needs and unmet needs; rebuilt they are the same."""
    figures = figures_of(row.data for row in read_session(log, "s"))
    with snapshot(log) as view:
        (row,) = view.rows(SESSIONS, "s")
    assert (row.needs, row.hits, row.misses, row.unmet) == (
        figures.needs,
        figures.hits,
        figures.misses,
        figures.unmet,
    )
    assert row.misses == row.page_ins + row.refetch + row.duplicate_tool + row.unmet == 5
    with open_log(path) as writable:
        rebuild(writable)
        assert projections_problems(writable) == []


def test_no_prompt_is_rendered_and_pages_are_in_full_or_absent(log: EventLog) -> None:
    """The harness sent its own bytes; what a policy could hold is built all the same."""
    events = [row.data for row in read_session(log, "s")]
    assert not [event for event in events if isinstance(event, e.PromptRendered)]
    written = [event for event in events if isinstance(event, e.PageWritten)]
    assert max(len(event.levels) for event in written) > 1
    assert set(fold(events).resident.values()) == {FULL}
