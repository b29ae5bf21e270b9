"""Read models in a journal file: tables made from a `ModelSpec`, their positions, and the views over them.

A rebuild has tables of its own (`Edition.NEXT`), which `switch` renames into the place of the live ones. A table is
read only where it is defined as it was made (LAW-FOREIGN-2).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.journal.lineage import Segment, segments
from clawvm_es.journal.ports import Cells, Column, Edition, ModelSpec, RawEvent, Recorded, TableSpec
from clawvm_es.storage.sqlite import foreign, opening, ours, queries, text_index
from clawvm_es.storage.sqlite.asking import value_or_none
from clawvm_es.storage.sqlite.editions import LIVE, NEXT, PREFIXES
from clawvm_es.storage.sqlite.foreign import Definition, definitions, same_definition
from clawvm_es.storage.sqlite.views import views

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog

POSITIONS: Final = "projections"
"""The table of positions: a row `tables`, and during a rebuild a row `next_tables`, each with the version of the
tables and the last event folded. All versions share it."""
_LINE: Final = ",\n   "
_COLUMNS: Final = "seq, session_id, version, turn, kind, type, schema_version, at, principal, data, hash"
_TOOL: Final = """SELECT json_extract(data, '$.tool') FROM events WHERE session_id = ? AND version <= ?
    AND type = 'tool_called' AND json_extract(data, '$.call') = ? ORDER BY version DESC LIMIT 1"""
_MOVED: Final = """SELECT version FROM events WHERE session_id = ? AND version <= ?
    AND type = 'representation_changed' AND json_extract(data, '$.page_id') = ? AND version > ?
    ORDER BY version DESC LIMIT 1"""


@attrs.frozen
class SQLiteModels:
    """The `ModelStore` of a journal file."""

    log: SQLiteLog
    spec: ModelSpec

    @contextmanager
    def reading(self) -> Iterator[SQLiteReader]:
        """Read one state of the file over a connection of its own, for the length of the block."""
        with opening.reading(self.log.path, self.log.read_only, self.log.connect) as connection:
            yield SQLiteReader(connection, self.spec)

    def current(self) -> bool:
        """Tell whether the live tables are up to date with the log; uses the log's reading connection."""
        with self.log.reading() as connection:
            reader = SQLiteReader(connection, self.spec)
            return reader.position() == reader.last_seq()

    @contextmanager
    def writing(self) -> Iterator[SQLiteWriter]:
        """Open a write transaction."""
        with self.log.transaction() as transaction:
            yield SQLiteWriter(transaction.connection, self.spec)

    def foreign(self) -> tuple[str, ...]:
        """Name the objects of the schema that are not ours."""
        return tuple(map(str, self.log.ask(ours.foreign_objects, self._definitions())))

    def copies(self) -> tuple[str, ...]:
        """Name the foreign objects that may hold copies of texts."""
        return tuple(map(str, self.log.ask(ours.holders, self._definitions())))

    def altered(self) -> list[str]:
        """Name other caches of ours that are not as made."""
        return self.log.ask(ours.altered_caches)

    def _definitions(self) -> Mapping[str, Definition]:
        return {**made(self.spec, NEXT), **made(self.spec, LIVE)}


@attrs.frozen
class SQLiteReader:
    """A `ModelReader` over a connection that is inside a transaction."""

    connection: sqlite3.Connection
    spec: ModelSpec

    def position(self, edition: Edition = Edition.LIVE) -> int | None:
        """Return the last event in the stored rows; None if tables are missing, altered or of another version."""
        prefix = PREFIXES[edition]
        tables = _tables(self.spec, prefix)
        found = definitions(self.connection, {POSITIONS, *tables})
        at = self._position(found, prefix)
        if at is None or at < 0:
            return None
        return at if all(same_definition(found.get(name), each) for name, each in tables.items()) else None

    def _position(self, found: Mapping[str, Definition], prefix: str) -> int | None:
        """Return the stored position of an edition, whatever its tables are; None if it is of another version."""
        if not same_definition(found.get(POSITIONS), _tables(self.spec, LIVE)[POSITIONS]):
            return None
        query = f"SELECT version, seq FROM {POSITIONS} WHERE name = ?"
        row = self.connection.execute(query, (f"{prefix}tables",)).fetchone()
        return row[1] if row and row[0] == self.spec.version and isinstance(row[1], int) else None

    def last_seq(self) -> int:
        """Return the last event of the log; 0 if it is empty."""
        return queries.last_seq(self.connection)

    def next_input(self, after: int) -> int | None:
        """Return the `seq` of the first input above `after`."""
        query = "SELECT seq FROM events WHERE seq > ? AND kind = 'input' ORDER BY seq LIMIT 1"
        return value_or_none(self.connection, query, (after,))  # type: ignore[no-any-return]

    def events(self, after: int, upto: int) -> Iterator[RawEvent]:
        """Yield the events in `(after, upto]`, in the order of `seq`."""
        query = f"SELECT {_COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq"
        return self.connection.execute(query, (after, upto))

    def stream_events(self, stream: str, upto: int) -> Iterator[RawEvent]:
        """Yield a stream's own events up to a version."""
        query = f"SELECT {_COLUMNS} FROM events WHERE session_id = ? AND version <= ? ORDER BY version"
        return self.connection.execute(query, (stream, upto))

    def _line(self, session_id: str, upto: int | None = None) -> tuple[Segment, ...]:
        def first(stream: str) -> Recorded | None:
            return next(queries.recordeds(queries.first(self.connection, stream)), None)

        return segments(first, session_id, upto)

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """Return the name of the tool of a call, searched backwards: faults name recent calls."""
        found = self._newest(_TOOL, session_id, upto, call)
        return None if found is None else str(found)

    def moved(self, session_id: str, page_id: str, after: int, upto: int) -> int | None:
        """Return the last version, above `after` and up to `upto`, that gave a page another level."""
        found = self._newest(_MOVED, session_id, upto, page_id, after)
        return None if found is None else int(found)

    def _newest(self, query: str, session_id: str, upto: int, *values: object) -> Any:
        """Return what a query finds in the last of a session's streams that has it; None where none has."""
        for segment in reversed(self._line(session_id, upto)):
            last = queries.LAST if segment.upto is None else segment.upto
            found = value_or_none(self.connection, query, (segment.stream, last, *values))
            if found is not None:
                return found
        return None

    def row(self, table: TableSpec, key: Cells, edition: Edition = Edition.LIVE) -> Cells | None:
        """Return the row with this key."""
        return self.connection.execute(_select_one(table, PREFIXES[edition]), key).fetchone()  # type: ignore[no-any-return]

    def rows(
        self, table: TableSpec, session_id: str | None = None, edition: Edition = Edition.LIVE
    ) -> Iterator[Cells]:
        """Yield the rows of one session, or of all, in no order."""
        query = _select(table, PREFIXES[edition])
        if session_id is None:
            return self.connection.execute(query)
        return self.connection.execute(f"{query} WHERE session_id = ?", (session_id,))

    def problems(self) -> list[str]:
        """Name live tables and views that are not as made, and a position that no log gives."""
        found, expected = definitions(self.connection), made(self.spec, LIVE)
        at = self._position(found, LIVE)
        if at is None:  # of another version, or never made: made again
            wrong = foreign.altered(found, {POSITIONS: expected[POSITIONS]})
            return [f"{name} is defined otherwise than expected" for name in wrong]
        problems = [
            f"{name} is {'missing' if name not in found else 'defined otherwise than expected'}"
            for name, each in expected.items()
            if not same_definition(found.get(name), each)
        ]
        end = self.last_seq()
        if not problems and not 0 <= at <= end:
            wrong_side = "beyond the last event" if at > end else "before the first, up to"
            problems = [f"stand at seq {at}, {wrong_side} {end}"]
        return problems


@attrs.frozen
class SQLiteWriter(SQLiteReader):
    """A `ModelWriter` over the connection of a write transaction."""

    def begin(self) -> None:
        """Make the empty tables of `Edition.NEXT`, at position 0, in place of any that are there."""
        if not same_definition(definitions(self.connection).get(POSITIONS), _tables(self.spec, LIVE)[POSITIONS]):
            foreign.drop(self.connection, [POSITIONS])
        self._drop(NEXT)
        _create(self.connection, self.spec, NEXT)
        self.write(Edition.NEXT, (), 0)

    def write(self, edition: Edition, rows: Iterable[tuple[TableSpec, Iterable[Cells]]], seq: int) -> None:
        """Write rows over those of the same key, and `seq` as their position."""
        prefix = PREFIXES[edition]
        for table, cells in rows:
            self.connection.executemany(_replace(table, prefix), cells)
        self.connection.execute(
            f"INSERT OR REPLACE INTO {POSITIONS} (name, version, seq) VALUES (?, ?, ?)",
            (f"{prefix}tables", self.spec.version, seq),
        )

    def index_texts(self, edition: Edition) -> bool:
        """Index the next piece of the bodies that the text index lacks; return whether that was all."""
        return text_index.fill(self.connection, PREFIXES[edition])

    def switch(self) -> None:
        """Put the tables of a rebuild in the place of the live ones, with the views of this version over them."""
        self._drop(LIVE)
        _put_in_place(self.connection, self.spec)
        self.connection.execute(
            f"UPDATE OR REPLACE {POSITIONS} SET name = '{LIVE}tables' WHERE name = '{NEXT}tables'"
        )

    def _drop(self, prefix: str) -> None:
        """Drop whatever has our names in an edition, of any version."""
        foreign.drop(self.connection, [prefix + name for name in names(self.spec)])


def names(spec: ModelSpec) -> tuple[str, ...]:
    """Name all tables and views of one edition, except `POSITIONS`."""
    return (*views(spec), *(table.name for table in spec.tables), text_index.NAME)


@cache
def made(spec: ModelSpec, prefix: str) -> Mapping[str, Definition]:
    """Name of each object of one edition of untouched read models → its definition; `NEXT` has no views."""
    with closing(sqlite3.connect(":memory:")) as connection:
        text_index.create(connection, NEXT)
        if prefix == LIVE:  # as `switch` leaves it, tables and views are the same without a detour
            _rename(connection, text_index.NAME)
        for statement in tables(spec, prefix):
            connection.execute(statement)
        if prefix == LIVE:
            _make_views(connection, spec)
        return MappingProxyType(dict(definitions(connection)))


@cache
def _tables(spec: ModelSpec, prefix: str) -> Mapping[str, Definition]:
    """Return the tables among `made`: these are read, so they have to be ours."""
    return MappingProxyType({name: each for name, each in made(spec, prefix).items() if each[0] == "table"})


def _create(connection: sqlite3.Connection, spec: ModelSpec, prefix: str) -> None:
    """Make the empty tables of one edition, and the table of positions; sqlite-utils is loaded for this alone."""
    from sqlite_utils import Database

    database = Database(connection)
    columns = {"name": str, "version": int, "seq": int}
    positions = database.table(POSITIONS)
    positions.create(columns, pk="name", not_null={"version", "seq"}, strict=True, if_not_exists=True)
    for table in spec.tables:
        database.table(prefix + table.name).create(
            {column.name: str if column.type is str else int for column in table.columns},
            pk=table.key if len(table.key) > 1 else table.key[0],
            not_null={column.name for column in table.columns if not column.optional},
            strict=True,
        )
    text_index.create(connection, prefix)


def tables(spec: ModelSpec, prefix: str) -> Iterator[str]:
    """Write the definitions that an open compares with, so that it need not load what made the tables."""
    yield (
        f'CREATE TABLE IF NOT EXISTS "{POSITIONS}" (\n   "name" TEXT PRIMARY KEY,\n'
        '   "version" INTEGER NOT NULL,\n   "seq" INTEGER NOT NULL\n) STRICT'
    )
    for table in spec.tables:
        lines = [_column(column, table.key) for column in table.columns]
        if len(table.key) > 1:
            lines.append(f"PRIMARY KEY ({', '.join(map(_quoted, table.key))})")
        yield f"CREATE TABLE {_quoted(prefix + table.name)} (\n   {_LINE.join(lines)}\n) STRICT"


def _column(column: Column, key: tuple[str, ...]) -> str:
    kind = "TEXT" if column.type is str else "INTEGER"
    alone = " PRIMARY KEY" if key == (column.name,) else ""
    return f"{_quoted(column.name)} {kind}{alone}{'' if column.optional else ' NOT NULL'}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _put_in_place(connection: sqlite3.Connection, spec: ModelSpec) -> None:
    """Give the tables of a rebuild the names that people query, and make the views over them."""
    _rename(connection, *(table.name for table in spec.tables), text_index.NAME)
    _make_views(connection, spec)


def _rename(connection: sqlite3.Connection, *names: str) -> None:
    connection.execute("PRAGMA legacy_alter_table=ON")  # else a view of someone's over these names is in the way
    try:
        for name in names:
            connection.execute(f"ALTER TABLE {NEXT}{name} RENAME TO {LIVE}{name}")
    finally:
        connection.execute("PRAGMA legacy_alter_table=OFF")


def _make_views(connection: sqlite3.Connection, spec: ModelSpec) -> None:
    for name, query in views(spec).items():
        connection.execute(f"CREATE VIEW {name} AS\n{query.strip()}")


@cache
def _select(table: TableSpec, prefix: str) -> str:
    return f"SELECT {', '.join(column.name for column in table.columns)} FROM {prefix}{table.name}"


@cache
def _select_one(table: TableSpec, prefix: str) -> str:
    return f"{_select(table, prefix)} WHERE {' AND '.join(f'{name} = ?' for name in table.key)}"


@cache
def _replace(table: TableSpec, prefix: str) -> str:
    columns = ", ".join(column.name for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT OR REPLACE INTO {prefix}{table.name} ({columns}) VALUES ({marks})"
