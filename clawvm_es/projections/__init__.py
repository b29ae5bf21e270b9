"""Read models: folds of the log into plain tables, caught up as it grows and rebuilt the same every time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from clawvm_es.journal import opening
from clawvm_es.journal.protocol import EventLog
from clawvm_es.journal.sqlite_log import SQLiteLog
from clawvm_es.projections import store
from clawvm_es.projections.snapshot import Snapshot, bodies, decisions, projections_problems, snapshot, snapshot_at
from clawvm_es.projections.store import Progress

__all__ = [
    "Progress",
    "Snapshot",
    "bodies",
    "catch_up",
    "decisions",
    "projections_problems",
    "rebuild",
    "snapshot",
    "snapshot_at",
]


def catch_up(log: EventLog, progress: Progress | None = None) -> None:
    """Fold the events that the stored read models have not seen, and store rows and position in one transaction.

    Tables that are missing, or of another version, are made from zero. A log that stores no tables is left
    alone: `snapshot` folds all of it. Raises what a transaction raises, `JournalDamaged` and `UnknownEvent`.
    """
    _write(log, store.catch_up, progress)


def rebuild(log: EventLog, progress: Progress | None = None) -> None:
    """Throw the stored read models away and fold the whole log again, in one transaction; errors as `catch_up`."""
    _write(log, store.rebuild, progress)


def _write(
    log: EventLog, work: Callable[[sqlite3.Connection, Progress | None], int], progress: Progress | None
) -> None:
    if not isinstance(log, SQLiteLog):
        return
    with log.transaction() as transaction:
        try:
            work(transaction.connection, progress)
        except sqlite3.Error as error:
            raise opening.translate(error, log.path) from error
