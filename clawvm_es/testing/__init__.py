"""Helpers for tests of harnesses and of this package; names that are not listed here may move.

| to test | use |
|---|---|
| the decisions of a policy, without text, clock or journal | `Given`, `opened`, `page`, `need`, `update`, `levels` |
| your harness, on a session that is the same on every run | `live_session`, `memory_journal`, `FakeClock` |
| that today's code decides a recorded session the same | `assert_redecides`, `recorded`, `RecordedSession` |
| a law, on any session | `sessions`, `pages`, `inputs`, `events`, `values` (hypothesis strategies) |
| your harness without its environment | `FakeTool`, `FakeMemory`, `MemoryLog` |
| your own storage | `EventLogContract` at a `Place` |
| your own counter, clock, tool or memory | `TokenCounterContract`, `ClockContract`, `ToolContract`, … |

>>> from clawvm_es.testing import Given, need, page
>>> given = Given.session(page(1, tokens=40), budget_tokens=100)
>>> [event.TYPE for event in given.turn()]
['representation_changed', 'prompt_assembled']

Names are loaded on first use: pytest and hypothesis are needed only by what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clawvm_es.history.recording import RecordedSession as RecordedSession
    from clawvm_es.storage.memory.log import MemoryLog as MemoryLog
    from clawvm_es.testing.contracts import ClockContract as ClockContract
    from clawvm_es.testing.contracts import MemoryBackendContract as MemoryBackendContract
    from clawvm_es.testing.contracts import TokenCounterContract as TokenCounterContract
    from clawvm_es.testing.contracts import ToolContract as ToolContract
    from clawvm_es.testing.core import Given as Given
    from clawvm_es.testing.core import levels as levels
    from clawvm_es.testing.core import need as need
    from clawvm_es.testing.core import opened as opened
    from clawvm_es.testing.core import page as page
    from clawvm_es.testing.core import update as update
    from clawvm_es.testing.fakes import FakeClock as FakeClock
    from clawvm_es.testing.fakes import FakeMemory as FakeMemory
    from clawvm_es.testing.fakes import FakeTool as FakeTool
    from clawvm_es.testing.journals import live_session as live_session
    from clawvm_es.testing.journals import memory_journal as memory_journal
    from clawvm_es.testing.journals import recorded as recorded
    from clawvm_es.testing.logs import EventLogContract as EventLogContract
    from clawvm_es.testing.logs import Place as Place
    from clawvm_es.testing.redeciding import assert_redecides as assert_redecides
    from clawvm_es.testing.strategies import events as events
    from clawvm_es.testing.strategies import inputs as inputs
    from clawvm_es.testing.strategies import pages as pages
    from clawvm_es.testing.strategies import sessions as sessions
    from clawvm_es.testing.strategies import values as values

_WHERE = {
    **dict.fromkeys(("Given", "levels", "need", "opened", "page", "update"), "testing.core"),
    **dict.fromkeys(("live_session", "memory_journal", "recorded"), "testing.journals"),
    **dict.fromkeys(("FakeClock", "FakeMemory", "FakeTool"), "testing.fakes"),
    **dict.fromkeys(("ClockContract", "MemoryBackendContract"), "testing.contracts"),
    **dict.fromkeys(("TokenCounterContract", "ToolContract"), "testing.contracts"),
    **dict.fromkeys(("events", "inputs", "pages", "sessions", "values"), "testing.strategies"),
    **dict.fromkeys(("EventLogContract", "Place"), "testing.logs"),
    "MemoryLog": "storage.memory.log",
    "RecordedSession": "history.recording",
    "assert_redecides": "testing.redeciding",
}
__all__ = sorted(_WHERE)  # noqa: PLE0605 (a list; the linter wants to see it spelled out)


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"clawvm_es.{where}"), name)
    globals()[name] = value
    return value
