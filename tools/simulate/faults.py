"""Planted faults: each is a bug that the simulator has to find, by a seed that is stored with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final
from unittest import mock

import attrs

from clawvm_es.journal import planning
from clawvm_es.journal.ports import Durability
from clawvm_es.storage.memory.log import MemoryLog, MemoryTransaction
from clawvm_es.storage.sqlite import erasure, queries
from clawvm_es.storage.sqlite.log import SQLiteLog
from clawvm_es.storage.sqlite.models import SQLiteReader
from clawvm_es.storage.sqlite.transaction import SQLiteTransaction


@attrs.frozen
class Fault:
    """A fault: the storages that can have it, and a seed that finds it on each."""

    name: str
    seeds: dict[str, int]


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("skipped-fsync", {"memory": 3, "sqlite": 1}),
        Fault("full-as-normal", {"sqlite": 8}),
        Fault("found-not-synced", {"sqlite": 97}),
        Fault("forgotten-sync", {"sqlite": 1850}),
        Fault("lost-error", {"sqlite": 15}),
        Fault("two-commits", {"sqlite": 0}),
        Fault("unscrubbed", {"sqlite": 11}),
        Fault("no-lock", {"sqlite": 0}),
        Fault("no-keys", {"memory": 0, "sqlite": 0}),
        Fault("forgetful-projection", {"sqlite": 0}),
    )
}
"""Name → fault."""


@contextmanager
def planted(name: str | None, world: Any) -> Iterator[None]:
    """Plant a fault in a world, or in the code, for the length of the block."""
    with ExitStack() as stack:
        if name is not None:
            for each in _PLANTS[name](world):
                stack.enter_context(each)
        yield


def _skipped_fsync(world: Any) -> Iterator[Any]:
    """Let the disk say that it has synced, and not do it."""
    (world.disk if world.fails else world).syncs = False
    return iter(())


def _full_as_normal(world: Any) -> Iterator[Any]:
    """Commit without waiting for the disk, whatever was asked for."""
    world.rewrites[f"PRAGMA synchronous={Durability.FULL.value}"] = "PRAGMA synchronous=NORMAL"
    yield mock.patch.object(SQLiteLog, "_sync_found", lambda log: None)


def _found_not_synced(world: Any) -> Iterator[Any]:
    """Take for durable what a `full` transaction found and did not write again."""
    yield mock.patch.object(SQLiteLog, "_sync_found", lambda log: None)


def _forgotten_sync(world: Any) -> Iterator[Any]:
    """Tell nobody that a sync failed: the next one, of another process, is taken for one of everything."""
    yield mock.patch.object(SQLiteLog, "_note_failed_sync", lambda log, error: None)


def _lost_error(world: Any) -> Iterator[Any]:
    """Take a commit that failed for one that was done."""
    commit = SQLiteLog._commit

    def lost(log: SQLiteLog, db: Any, transaction: Any) -> None:
        with suppress(sqlite3.Error):
            commit(log, db, transaction)

    yield mock.patch.object(SQLiteLog, "_commit", lost)


def _two_commits(world: Any) -> Iterator[Any]:
    """Commit in the middle of what belongs together."""
    append = queries.append

    def halved(db: Any, rows: Any, begins: bool) -> None:
        append(db, rows[:1], begins)
        if rows[1:]:
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
            append(db, rows[1:], False)

    yield mock.patch.object(queries, "append", halved)


def _unscrubbed(world: Any) -> Iterator[Any]:
    """Take the write-ahead log for cut."""
    yield mock.patch.object(erasure, "_truncated", lambda db: True)


def _no_lock(world: Any) -> Iterator[Any]:
    world.changes = _without_lock
    return iter(())


def _forgets(world: Any) -> Iterator[Any]:
    yield mock.patch.object(SQLiteReader, "events", _forgetful(SQLiteReader.events))


def _without_lock(log: SQLiteLog) -> None:
    log._lock.acquire = lambda wait_s=None: True  # type: ignore[method-assign]
    log._lock.release = lambda: None  # type: ignore[method-assign]


def _no_keys(world: Any) -> Iterator[Any]:
    def nothing(*args: Any) -> tuple[()]:
        return ()

    def all_new(session_id: str, events: Any, known: Any, same: Any) -> list[int]:
        return list(range(len(events)))

    yield mock.patch.object(planning, "new_events", all_new)
    for kind in (MemoryLog, MemoryTransaction, SQLiteLog, SQLiteTransaction):
        yield mock.patch.object(kind, "find", nothing)


def _forgetful(events: Any) -> Any:
    """Leave out an event now and then where rows are caught up, not where they are rebuilt."""

    def some(reader: Any, after: int, upto: int) -> Iterator[Any]:
        for row in events(reader, after, upto):
            if not after or row[0] % 7 or row[0] == upto:
                yield row

    return some


_PLANTS: Final = {
    "skipped-fsync": _skipped_fsync,
    "full-as-normal": _full_as_normal,
    "found-not-synced": _found_not_synced,
    "forgotten-sync": _forgotten_sync,
    "lost-error": _lost_error,
    "two-commits": _two_commits,
    "unscrubbed": _unscrubbed,
    "no-lock": _no_lock,
    "no-keys": _no_keys,
    "forgetful-projection": _forgets,
}
