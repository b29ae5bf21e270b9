"""Schema objects of a journal that are not ours, and those of ours that were altered.

SQLite runs code in a schema: a trigger at every write, a view in place of a table. So that no statement of ours
runs foreign code, nothing is written while there is a foreign trigger (LAW-FOREIGN-1), and a table is read only if
it is defined as we make it (LAW-FOREIGN-2).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Final

import attrs

from clawvm_es.errors import ForeignObject
from clawvm_es.storage.sqlite import schema

Definition = tuple[str, str, str]
"""Type of a schema object, its table, and its statement (empty where SQLite made it itself)."""
_INTERNAL: Final = re.compile(r"sqlite_(sequence|stat1|autoindex_.*)")
"""Objects that SQLite makes itself and that hold no text of ours."""
_SQL: Final = "coalesce(sql, '')"
_ALL: Final = f"SELECT name, type, tbl_name, {_SQL} FROM {{}} WHERE type IN {{}}"
_TRIGGERS: Final = " UNION ALL ".join(
    _ALL.format(each, "('trigger')") for each in ("sqlite_master", "sqlite_temp_master")
)
_KINDS: Final = "('table', 'index', 'view', 'trigger')"


@attrs.frozen
class Foreign:
    """An object that is not ours: its name, its type, and the table that it is on (its own name, if it is one)."""

    name: str
    kind: str
    table: str
    virtual: bool = False

    def __str__(self) -> str:
        on = f" on {printable(self.table)}" if self.table != self.name else ""
        return f"{'virtual ' if self.virtual else ''}{self.kind} {printable(self.name)}{on}"


def printable(name: str) -> str:
    """A name chosen by somebody else, in a form safe for a terminal."""
    return name if name.isprintable() and len(name) <= 100 else repr(name[:100])


def definitions(connection: sqlite3.Connection, names: Collection[str] = ()) -> Mapping[str, Definition]:
    """Name of each table, index, view and trigger of the file, or of those named alone → what it is."""
    among = f" AND name IN ({', '.join('?' * len(names))})" if names else ""
    query = _ALL.format("sqlite_master", _KINDS) + among
    try:
        found = connection.execute(query, tuple(names)).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorname"):  # SQLite's own: the disk may have failed
            raise
        # Python's: a flipped bit left no UTF-8
        found = connection.execute(query.replace(_SQL, f"CAST({_SQL} AS BLOB)"), tuple(names)).fetchall()
    if {*map(type, chain.from_iterable(found))} <= {str}:  # as nearly always: every opening asks
        return {name: (kind, table, sql) for name, kind, table, sql in found}
    return {_text(name): (_text(kind), _text(table), _text(sql)) for name, kind, table, sql in found}


def _text(cell: str | bytes | None) -> str:
    """A cell of the schema as text, whatever its bytes are."""
    return cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else str(cell)


def same_definition(found: Definition | None, expected: Definition) -> bool:
    """Tell whether an object is as expected; other library versions may quote names differently."""
    if found is None or found[:2] != expected[:2]:
        return False
    one, other = found[2], expected[2]
    return one == other or (len(one) != len(other) and _plain(one) == _plain(other))


def _plain(statement: str) -> str:
    """A statement without blanks and quotes, which are no meaning."""
    return re.sub(r"[\s\"`\[\]]+", "", statement).lower()


def altered(found: Mapping[str, Definition], expected: Mapping[str, Definition]) -> Iterator[str]:
    """The names of expected objects that are there and defined otherwise."""
    for name, definition in expected.items():
        if name in found and not same_definition(found[name], definition):
            yield name


def foreign(found: Mapping[str, Definition], ours: Mapping[str, Definition]) -> tuple[Foreign, ...]:
    """The objects whose names are not ours, by name; and triggers that are not as we make them."""
    strange = []
    for name, (kind, table, sql) in sorted(found.items()):
        if kind == "trigger" and not same_definition(ours.get(name), (kind, table, sql)):
            strange.append(Foreign(name, kind, table))
        elif name not in ours and not _INTERNAL.fullmatch(name):
            strange.append(Foreign(name, kind, table, _plain(sql).startswith("createvirtual")))
    return tuple(strange)


def foreign_triggers(connection: sqlite3.Connection) -> tuple[Foreign, ...]:
    """All triggers that are not ours, in the file and of the connection."""
    rows = connection.execute(_TRIGGERS).fetchall()
    found = {_text(name): (_text(kind), _text(table), _text(sql)) for name, kind, table, sql in rows}
    return foreign(found, schema.triggers(schema.format_of(connection)))


def refuse_triggers(connection: sqlite3.Connection, path: str) -> None:
    """Raise `ForeignObject` where a trigger that is not ours would run at a write (LAW-FOREIGN-1)."""
    for strange in foreign_triggers(connection):
        raise ForeignObject(
            f"{path} is not written: its schema holds the {strange}, which is not ours and would run",
            hint=f"look at it with `clawvm verify`; DROP TRIGGER {printable(strange.name)} removes it",
        )


def drop(connection: sqlite3.Connection, names: Collection[str]) -> None:
    """Drop all objects of these names: tables, views or indexes, ignoring case."""
    wanted = {name.lower() for name in names}
    rows = connection.execute(_ALL.format("sqlite_master", "('table', 'view', 'index')")).fetchall()
    for name, kind, _, sql in rows:
        if name.lower() in wanted and (sql or kind != "index"):
            connection.execute(f"DROP {kind} IF EXISTS {quoted(name)}")


def quoted(name: str) -> str:
    """Any name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
