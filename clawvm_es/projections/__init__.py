"""Read models: folds of the log into plain tables, caught up as it grows and rebuilt the same every time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from clawvm_es.journal.ports import EventLog
from clawvm_es.limits import PIECE_EVENTS
from clawvm_es.projections import store
from clawvm_es.projections.body_index import forget_bodies, optimize
from clawvm_es.projections.body_index import stray as stray_bodies
from clawvm_es.projections.foreign_objects import foreign_objects, foreign_problems, holders
from clawvm_es.projections.snapshot import (
    Snapshot,
    bodies,
    bodies_with,
    decisions,
    projections_problems,
    snapshot,
    snapshot_at,
)
from clawvm_es.projections.store import Progress
from clawvm_es.storage.sqlite import opening
from clawvm_es.storage.sqlite.log import SQLiteLog

__all__ = [
    "Progress",
    "Snapshot",
    "bodies",
    "bodies_with",
    "catch_up",
    "decisions",
    "foreign_objects",
    "foreign_problems",
    "forget_bodies",
    "holders",
    "optimize",
    "projections_problems",
    "rebuild",
    "snapshot",
    "snapshot_at",
    "stray_bodies",
]


def catch_up(log: EventLog, progress: Progress | None = None, *, piece_events: int = PIECE_EVENTS) -> None:
    """Fold the events that the stored read models have not seen, and index the bodies that they name.

    A long part of the log is folded in pieces of about `piece_events`, each in a transaction that stores rows and
    position together. Tables that are missing, or of another version, are rebuilt. A log that stores no tables is
    left alone: `snapshot` folds all of it. Raises what a transaction raises, `JournalDamaged` and `UnknownEvent`.
    """
    while not _write(log, partial(store.catch_up, progress=progress, piece_events=piece_events)):
        pass


def rebuild(log: EventLog, progress: Progress | None = None, *, piece_events: int = PIECE_EVENTS) -> None:
    """Fold the whole log again, beside the stored read models, and then put the new ones in their place at once.

    Others read the old ones and append meanwhile. An interrupted rebuild is gone on with by the next, where it was.
    Errors as `catch_up`.
    """
    _write(log, store.begin)
    while not _write(log, partial(store.rebuild, progress=progress, piece_events=piece_events)):
        pass


def _write(log: EventLog, work: Callable[[sqlite3.Connection], bool]) -> bool:
    """Do some work in a transaction of its own; whether it is done."""
    if not isinstance(log, SQLiteLog):
        return True
    with log.transaction() as transaction:
        try:
            return work(transaction.connection)
        except sqlite3.Error as error:
            raise opening.translate(error, log.path) from error
