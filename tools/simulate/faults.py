"""Planted faults: each is a bug that the simulator has to find, by a seed that is stored with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import attrs

from clawvm_es.journal import planning
from clawvm_es.storage.memory.log import MemoryLog, MemoryTransaction
from clawvm_es.storage.sqlite.log import SQLiteLog, SQLiteTransaction
from clawvm_es.storage.sqlite.models import SQLiteReader


@attrs.frozen
class Fault:
    """A fault: the storages that can have it, and a seed that finds it on each."""

    name: str
    seeds: dict[str, int]


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("skipped-fsync", {"memory": 4, "sqlite": 8}),
        Fault("no-lock", {"sqlite": 0}),
        Fault("no-keys", {"memory": 0, "sqlite": 0}),
        Fault("forgetful-projection", {"sqlite": 0}),
    )
}
"""Name → fault."""


@contextmanager
def planted(name: str | None, world: Any) -> Iterator[None]:
    """Plant a fault in a world, or in the code, for the length of the block."""
    if name == "skipped-fsync":
        world.syncs = False
        yield
    elif name == "no-lock":
        world.changes = _without_lock
        yield
    elif name == "no-keys":
        with _no_keys():
            yield
    elif name == "forgetful-projection":
        with mock.patch.object(SQLiteReader, "events", _forgetful(SQLiteReader.events)):
            yield
    else:
        yield


def _without_lock(log: SQLiteLog) -> None:
    log._lock.acquire = lambda wait_s=None: True  # type: ignore[method-assign]
    log._lock.release = lambda: None  # type: ignore[method-assign]


@contextmanager
def _no_keys() -> Iterator[None]:
    def nothing(*args: Any) -> tuple[()]:
        return ()

    def all_new(session_id: str, events: Any, known: Any, same: Any) -> list[int]:
        return list(range(len(events)))

    with mock.patch.object(planning, "new_events", all_new):
        kinds = (MemoryLog, MemoryTransaction, SQLiteLog, SQLiteTransaction)
        patches = [mock.patch.object(kind, "find", nothing) for kind in kinds]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def _forgetful(events: Any) -> Any:
    """Leave out an event now and then where rows are caught up, not where they are rebuilt."""

    def some(reader: Any, after: int, upto: int) -> Iterator[Any]:
        for row in events(reader, after, upto):
            if not after or row[0] % 7 or row[0] == upto:
                yield row

    return some
