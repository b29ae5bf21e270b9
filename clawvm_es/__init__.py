"""clawvm_es: virtual memory for the context windows of LLM agents, as an event-sourced journaling engine.

`Journal.open(path)` opens a journal, `journal.session(id)` a session in it; the names below are the public API.
They are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

from clawvm_es.version import __version__ as __version__

TYPE_CHECKING = False  # type checkers know the name; to import `typing` takes as long as Python to start
if TYPE_CHECKING:
    from typing import Any

    from clawvm_es.core.profiles import profile as profile
    from clawvm_es.engine.aio import AsyncJournal as AsyncJournal
    from clawvm_es.engine.aio import AsyncSession as AsyncSession
    from clawvm_es.engine.hooks import Call as Call
    from clawvm_es.engine.hooks import Prompt as Prompt
    from clawvm_es.engine.hooks import Settings as Settings
    from clawvm_es.engine.journal import Journal as Journal
    from clawvm_es.engine.session import Session as Session
    from clawvm_es.engine.store import FieldSchema as FieldSchema
    from clawvm_es.engine.store import Validator as Validator
    from clawvm_es.errors import ClawVMError as ClawVMError
    from clawvm_es.importers.replay import ReplaySettings as ReplaySettings
    from clawvm_es.importers.replay import replay as replay
    from clawvm_es.model.pages import Fidelity as Fidelity
    from clawvm_es.model.profile import Profile as Profile
    from clawvm_es.observe.declared import file_reader as file_reader
    from clawvm_es.observe.declared import load_tools as load_tools
    from clawvm_es.observe.steps import Usage as Usage
    from clawvm_es.observe.tools import Tool as Tool
    from clawvm_es.representations.builders.protocol import LevelBuilder as LevelBuilder
    from clawvm_es.representations.counter import TokenCounter as TokenCounter

_WHERE = {
    "profile": "clawvm_es.core.profiles",
    "AsyncJournal": "clawvm_es.engine.aio",
    "AsyncSession": "clawvm_es.engine.aio",
    "Call": "clawvm_es.engine.hooks",
    "Journal": "clawvm_es.engine.journal",
    "Prompt": "clawvm_es.engine.hooks",
    "Session": "clawvm_es.engine.session",
    "Settings": "clawvm_es.engine.hooks",
    "FieldSchema": "clawvm_es.engine.store",
    "Fidelity": "clawvm_es.model.pages",
    "LevelBuilder": "clawvm_es.representations.builders.protocol",
    "Profile": "clawvm_es.model.profile",
    "TokenCounter": "clawvm_es.representations.counter",
    "Validator": "clawvm_es.engine.store",
    "Tool": "clawvm_es.observe.tools",
    "Usage": "clawvm_es.observe.steps",
    "file_reader": "clawvm_es.observe.declared",
    "load_tools": "clawvm_es.observe.declared",
    "ClawVMError": "clawvm_es.errors",
    "ReplaySettings": "clawvm_es.importers.replay",
    "replay": "clawvm_es.importers.replay",
}
__all__ = sorted(_WHERE)  # noqa: PLE0605 (a list; the linter wants to see it spelled out)


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(where), name)
    globals()[name] = value
    return value
