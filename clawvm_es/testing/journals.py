"""Live sessions that are the same on every run: in memory, with a fake clock and a seed, counted by `lines4`.

>>> with live_session(budget_tokens=500) as session:
...     page = session.write_page("plan", "Goal: ship", author="model")
...     prompt = session.assemble()
>>> prompt.turn, "Goal: ship" in prompt.text
(1, True)

`recorded` makes a `RecordedSession` of a journal's session, or of a `Given`, to compare today's code with.

>>> with memory_journal() as journal, live_session(journal=journal) as session:
...     prompt = session.assemble()
...     found = recorded(journal)
>>> [row.type for row in found.rows]
['session_opened', 'turn_began', 'prompt_assembled', 'prompt_rendered']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import UsageError
from clawvm_es.history.recording import RecordedSession
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import NewEvent
from clawvm_es.model.events import KINDS, SessionOpened, TurnBegan
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.core import Given
from clawvm_es.testing.fakes import FakeClock

COUNTER: Final = "lines4"
"""The exact, cheap token counter of tests: a quarter of each line's bytes, rounded up."""
SEED: Final = 7


def memory_journal(*, seed: int | None = SEED, clock: Callable[[], int] | None = None) -> Journal:
    """A journal in memory whose commitments and times are the same on every run."""
    return Journal.open(":memory:", seed=seed, clock=clock or FakeClock())


@contextmanager
def live_session(
    session_id: str = "session",
    *,
    journal: Journal | None = None,
    budget_tokens: int = 1000,
    settings: Settings | None = None,
    **options: Any,
) -> Iterator[Session]:
    """An open session, in a `memory_journal` of its own unless one is given; `options` as for `Journal.session`."""
    found = journal or memory_journal()
    with found.session(
        session_id, budget_tokens=budget_tokens, counter=COUNTER, settings=settings, **options
    ) as session:
        yield session


def recorded(source: Given | Journal, session_id: str = "session") -> RecordedSession:
    """All events of a journal's session as a `RecordedSession`, or of a `Given` that gets this id."""
    log = _appended(source, session_id) if isinstance(source, Given) else source.log
    rows = tuple(read_session(log, session_id))
    if not rows or not isinstance(rows[0].data, SessionOpened):
        raise UsageError(f"there is no session {session_id!r} to take")
    return RecordedSession(session_id, rows, session_id, rows[0].data.decider_version)


def _appended(given: Given, session_id: str) -> MemoryLog:
    """A log that holds what a `Given` has decided."""
    log, turn = MemoryLog(reproducible=True), 0
    new: list[NewEvent] = []
    for data in given.log:
        turn += isinstance(data, TurnBegan)
        principal = "harness" if KINDS[data.TYPE] == "input" else "clawvm"
        new.append(NewEvent(data, turn, len(new) + 1, principal))
    log.append(session_id, new)
    return log
