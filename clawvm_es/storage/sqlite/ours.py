"""All objects of a journal's schema that are ours: the log's, its caches' and its read models'."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from clawvm_es.storage.sqlite import erasure, foreign, schema, snapshots
from clawvm_es.storage.sqlite.foreign import Definition, Foreign


def _caches() -> Mapping[str, Definition]:
    return {**snapshots.objects(), **erasure.OBJECTS}


def foreign_objects(connection: sqlite3.Connection, models: Mapping[str, Definition]) -> tuple[Foreign, ...]:
    """Return the schema objects that are neither ours nor among the definitions of `models`, by name."""
    core = schema.objects(schema.format_of(connection))
    return foreign.foreign(foreign.definitions(connection), {**models, **core, **_caches()})


def altered_caches(connection: sqlite3.Connection) -> list[str]:
    """Name the caches of ours, other than read models, that were altered, and so are not read."""
    return list(foreign.altered(foreign.definitions(connection), _caches()))


def holders(connection: sqlite3.Connection, models: Mapping[str, Definition]) -> tuple[Foreign, ...]:
    """Return the foreign objects that may hold copies of texts: tables with rows, and all virtual ones."""
    return tuple(_holding(connection, models))


def _holding(connection: sqlite3.Connection, models: Mapping[str, Definition]) -> Iterator[Foreign]:
    for each in foreign_objects(connection, models):
        if each.kind == "table":
            query = f"SELECT 1 FROM {foreign.quoted(each.name)} LIMIT 1"
            if each.virtual or connection.execute(query).fetchone() is not None:
                yield each
