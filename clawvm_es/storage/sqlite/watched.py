"""Connections that respond to Ctrl-C inside a statement, and that can limit a statement's time.

SQLite runs a statement in C, where Python handles no signal, so an endless query would hang for good. Therefore
SQLite calls back every few milliseconds. A time limit is set if a journal's schema holds foreign objects.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from clawvm_es import limits

_STEPS: Final = 100_000
"""Steps of SQLite's machine between two calls: a few milliseconds."""
_GAP_S: Final = 0.25
"""Longest time between two calls that counts: what is longer, the caller spent between two rows."""
_TRIGGERS_DEEP: Final = 8
_settings: Final = (
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, _TRIGGERS_DEEP),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_thread: Final = threading.local()
Connect: TypeAlias = Callable[..., sqlite3.Connection]
"""Makes a connection; called like `sqlite3.connect`, with `factory=Watched` for the connections of a log."""


class _Watch:
    """The time that the connection's present statement has taken inside SQLite."""

    def __init__(self) -> None:
        self.limit_s: float | None = None
        self.spent_s = 0.0
        self.seen_s = 0.0

    def tick(self) -> bool:
        """Tell whether SQLite has to give up. A signal's handler runs here; its exception ends the statement, too."""
        now_s = time.monotonic()
        self.spent_s += min(_GAP_S, now_s - self.seen_s)
        self.seen_s = now_s
        if self.limit_s is None or self.spent_s <= self.limit_s:
            return False
        _thread.gave_up = True
        return True


class Watched(sqlite3.Connection):
    """A connection whose statements can be interrupted; then they raise an error that `interrupted` tells apart."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch = _Watch()
        self.set_progress_handler(self._watch.tick, _STEPS)
        for limit, value in _settings:
            self.setlimit(limit, value)

    def _timed(self, *args: Any) -> sqlite3.Cursor:
        """Run a statement; its time begins now."""
        self._watch.spent_s = 0.0
        self._watch.seen_s = time.monotonic()
        return super().execute(*args)

    def distrust(self, limit_s: float) -> None:
        """Bound time and memory of each statement."""
        self._watch.limit_s = limit_s
        self.execute = self._timed  # type: ignore[method-assign]  # nobody else pays for the clock
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.FOREIGN_CELL_BYTES)


def distrust(db: sqlite3.Connection, limit_s: float = limits.FOREIGN_STATEMENT_S) -> None:
    """Limit time and memory of our connection's statements, because the schema may make us run foreign code."""
    if isinstance(db, Watched):
        db.distrust(limit_s)


def interrupted(error: BaseException) -> bool:
    """Tell whether a statement exceeded its time. Raises `KeyboardInterrupt` if the user interrupted it."""
    if getattr(error, "sqlite_errorname", None) != "SQLITE_INTERRUPT":
        return False
    if not getattr(_thread, "gave_up", False):
        raise KeyboardInterrupt from error
    _thread.gave_up = False
    return True
