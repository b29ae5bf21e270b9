"""Read models: folds of the log into plain tables, caught up as it grows and rebuilt the same every time."""

from __future__ import annotations

from clawvm_es.journal.protocol import EventLog
from clawvm_es.journal.sqlite_log import SQLiteLog
from clawvm_es.projections import store
from clawvm_es.projections.snapshot import Snapshot, projections_problems, snapshot
from clawvm_es.projections.store import Progress

__all__ = ["Progress", "Snapshot", "catch_up", "projections_problems", "rebuild", "snapshot"]


def catch_up(log: EventLog, progress: Progress | None = None) -> None:
    """Fold the events that the stored read models have not seen, and store rows and position in one transaction.

    Tables that are missing, or of another version, are made from zero. A log that stores no tables is left
    alone: `snapshot` folds all of it. Raises what a transaction raises, `JournalDamaged` and `UnknownEvent`.
    """
    if isinstance(log, SQLiteLog):
        with log.transaction() as transaction:
            store.catch_up(transaction.connection, progress)


def rebuild(log: EventLog, progress: Progress | None = None) -> None:
    """Throw the stored read models away and fold the whole log again, in one transaction; errors as `catch_up`."""
    if isinstance(log, SQLiteLog):
        with log.transaction() as transaction:
            store.rebuild(transaction.connection, progress)
