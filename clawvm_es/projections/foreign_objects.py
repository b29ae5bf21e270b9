"""All objects of a journal's schema that are not ours, as `verify` and `redact` name them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from clawvm_es.journal.ports import EventLog
from clawvm_es.projections.places import LIVE, NEXT
from clawvm_es.projections.tables import expected_definitions
from clawvm_es.storage.sqlite import erasure, foreign, schema, snapshots
from clawvm_es.storage.sqlite.foreign import Definition, Foreign
from clawvm_es.storage.sqlite.log import SQLiteLog


@cache
def _ours() -> Mapping[str, Definition]:
    """Every object that this version may make in a journal."""
    read_models = {**expected_definitions(NEXT), **expected_definitions(LIVE)}
    return MappingProxyType({**read_models, **schema.objects(), **_caches()})


def _caches() -> Mapping[str, Definition]:
    return {**snapshots.objects(), **erasure.OBJECTS}


def foreign_objects(log: EventLog) -> tuple[Foreign, ...]:
    """The schema objects of a journal that are not ours, by name; a log that is no file has none."""
    return log.ask(objects_of) if isinstance(log, SQLiteLog) else ()


def objects_of(connection: sqlite3.Connection) -> tuple[Foreign, ...]:
    """`foreign_objects` of a connection."""
    return foreign.foreign(foreign.definitions(connection), _ours())


def foreign_problems(log: EventLog) -> list[str]:
    """Caches of ours that were altered, and so are not read; read models are for `projections_problems`."""
    if not isinstance(log, SQLiteLog):
        return []
    altered = foreign.altered(log.ask(foreign.definitions), _caches())
    return [f"{name} is defined otherwise than expected" for name in altered]


def holders(log: EventLog) -> tuple[Foreign, ...]:
    """The foreign objects that may hold copies of texts: tables with rows, and all virtual ones."""
    return log.ask(_holders) if isinstance(log, SQLiteLog) else ()


def _holders(connection: sqlite3.Connection) -> tuple[Foreign, ...]:
    return tuple(_holding(connection))


def _holding(connection: sqlite3.Connection) -> Iterator[Foreign]:
    for each in objects_of(connection):
        if each.kind == "table":
            query = f"SELECT 1 FROM {foreign.quoted(each.name)} LIMIT 1"
            if each.virtual or connection.execute(query).fetchone() is not None:
                yield each
