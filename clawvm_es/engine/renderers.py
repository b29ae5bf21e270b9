"""The table of renderers: frames, whose newest version makes new prompts, and messages in the providers' shapes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from clawvm_es.core.state import State
from clawvm_es.engine.messages import EventAt, Messages
from clawvm_es.engine.render import Renderer, Rendering
from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import event_at
from clawvm_es.journal.ports import EventLog
from clawvm_es.representations.frame import RENDERER
from clawvm_es.representations.messages import RENDERERS

OpenAll = Callable[[Collection[str]], Mapping[str, bytes]]
"""Commitments → the bodies behind them."""


def named(name: str) -> str:
    """Return the name of a renderer that new sessions can have; raises `UsageError` for any other name."""
    known = (RENDERER, *RENDERERS)
    if name not in known:
        raise UsageError(f"there is no renderer {name!r}", hint=f"one of {', '.join(known)}")
    return name


def renderer_named(state: State) -> str:
    """The renderer with which a session was opened; empty if not recorded."""
    return state.opened.renderer if state.opened is not None else ""


def recorded(log: EventLog, session_id: str, open_all: OpenAll, name: str) -> Rendering:
    """The renderer of recorded prompts; raises `JournalTooNew` for an unknown name."""
    if name in RENDERERS:
        return Messages(open_all, lambda version: event_at(log, session_id, version).data, name)
    return Renderer(open_all, name=name)


def newest(open_all: OpenAll, event_at: EventAt, name: str, texts: Mapping[str, str] | None = None) -> Rendering:
    """The renderer of new prompts in a session opened with `name`: for frames, the newest version."""
    if name in RENDERERS:
        return Messages(open_all, event_at, name, texts)
    return Renderer(open_all, texts)
