"""Read models: the rows of each table as cells in JSON, by generation.

A rebuild writes a generation of its own, and `switch` makes it the live one; so a writer needs no right to make
tables, and every version of the read models has a place. Over the live rows there is a view for each table, with its
columns, for people and tools that query a journal in SQL; the schema's owner makes them (`switch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from clawvm_es.journal.lineage import Segment, segments
from clawvm_es.journal.ports import Cells, Edition, ModelSpec, RawEvent, Recorded, TableSpec
from clawvm_es.storage.postgres import queries, text_index
from clawvm_es.storage.postgres.schema import TABLES, TRIGGERS
from clawvm_es.storage.postgres.server import BEGIN_READING, Line

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.log import PostgresLog

_COLUMNS: Final = "seq, session_id, version, turn, kind, type, schema_version, at, principal, data, hash"
_POSITION: Final = "SELECT generation, version, seq FROM {s}.model_positions WHERE edition = %s"
_GENERATION: Final = "SELECT coalesce(max(generation), 0) FROM {s}.model_positions WHERE edition = %s"
_SET_POSITION: Final = """INSERT INTO {s}.model_positions VALUES (%s, %s, %s, %s) ON CONFLICT (edition) DO UPDATE
    SET generation = excluded.generation, version = excluded.version, seq = excluded.seq"""
_NEXT_INPUT: Final = "SELECT seq FROM {s}.events WHERE seq > %s AND kind = 'input' ORDER BY seq LIMIT 1"
_EVENTS: Final = f"SELECT {_COLUMNS} FROM {{s}}.events WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT 4096"
_STREAM: Final = f"""SELECT {_COLUMNS} FROM {{s}}.events WHERE session_id = %s AND version > %s AND version <= %s
    ORDER BY version LIMIT 4096"""
_TOOL: Final = """SELECT data::json ->> 'tool' FROM {s}.events WHERE session_id = %s AND version <= %s
    AND type = 'tool_called' AND data::json ->> 'call' = %s ORDER BY version DESC LIMIT 1"""
_MOVED: Final = """SELECT version FROM {s}.events WHERE session_id = %s AND version <= %s
    AND type = 'representation_changed' AND data::json ->> 'page_id' = %s AND version > %s
    ORDER BY version DESC LIMIT 1"""
_ROW: Final = "SELECT cells FROM {s}.model_rows WHERE generation = %s AND name = %s AND key = %s"
_ROWS: Final = "SELECT cells FROM {s}.model_rows WHERE generation = %s AND name = %s"
_PUT: Final = """INSERT INTO {s}.model_rows SELECT %s, %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
    ON CONFLICT (generation, name, key) DO UPDATE SET session_id = excluded.session_id, cells = excluded.cells"""
_AT_ONCE: Final = 2_000
_FOREIGN: Final = """SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END || ' ' || relname FROM pg_class
    WHERE relnamespace = '{s}'::regnamespace AND relkind = ANY (%s) AND relname <> ALL (%s) ORDER BY relname"""
_TRIGGERS: Final = """SELECT tgname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = '{s}'::regnamespace AND NOT tgisinternal AND tgname <> ALL (%s) ORDER BY tgname"""
_MAY_MAKE: Final = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = '{s}'"
_SQL_TYPES: Final[dict[type, str]] = {str: "text", int: "bigint", bool: "boolean"}


@attrs.frozen
class PostgresModels:
    """The `ModelStore` of a journal."""

    log: PostgresLog
    spec: ModelSpec

    @contextmanager
    def reading(self) -> Iterator[PostgresReader]:
        """Read one state of the journal over a connection of its own, for the length of the block."""
        with self.log.server.line() as line:
            line.run(BEGIN_READING)
            yield PostgresReader(line, self.spec)

    def current(self) -> bool:
        """Tell whether the live tables are up to date with the journal."""
        with self.reading() as reader:
            return reader.position() == reader.last_seq()

    @contextmanager
    def writing(self) -> Iterator[PostgresWriter]:
        """Open a write transaction."""
        with self.log.transaction() as transaction:
            yield PostgresWriter(transaction.line, self.spec)

    def foreign(self) -> tuple[str, ...]:
        """Name the tables, views and triggers of the schema that are not ours."""
        return self.log.ask(_foreign, self.spec, "rvmfp")

    def copies(self) -> tuple[str, ...]:
        """Name the tables of the schema that are not ours."""
        return tuple(name for name in self.log.ask(_foreign, self.spec, "rmfp") if name.startswith("table"))

    def altered(self) -> list[str]:
        """None: the server keeps the columns of tables as they were made."""
        return []


@attrs.frozen
class PostgresReader:
    """A `ModelReader` over a connection that is inside a transaction."""

    line: Line
    spec: ModelSpec

    def position(self, edition: Edition = Edition.LIVE) -> int | None:
        """Return the last event in the stored rows; None if there are none of this version."""
        found = self._stored(edition)
        return None if found is None or found[1] != self.spec.version or found[2] < 0 else found[2]

    def _stored(self, edition: Edition) -> tuple[int, int, int] | None:
        """Generation, version and position of an edition."""
        found = self.line.run(_POSITION, (edition.value,)).fetchone()
        return None if found is None else (found[0], found[1], found[2])

    def _generation(self, edition: Edition) -> int:
        return self.line.value(_GENERATION, (edition.value,))  # type: ignore[no-any-return]

    def last_seq(self) -> int:
        """Return the last event of the log; 0 if it is empty."""
        return queries.tail(self.line)

    def next_input(self, after: int) -> int | None:
        """Return the `seq` of the first input above `after`."""
        return self.line.value_or_none(_NEXT_INPUT, (after,))  # type: ignore[no-any-return]

    def events(self, after: int, upto: int) -> Iterator[RawEvent]:
        """Yield the events in `(after, upto]`, in the order of `seq`."""
        while rows := self.line.run(_EVENTS, (after, upto)).fetchall():
            after = rows[-1][0]
            yield from rows

    def stream_events(self, stream: str, upto: int) -> Iterator[RawEvent]:
        """Yield a stream's own events up to a version."""
        after = 0
        while rows := self.line.run(_STREAM, (stream, after, upto)).fetchall():
            after = rows[-1][2]
            yield from rows

    def _line_of(self, session_id: str, upto: int) -> tuple[Segment, ...]:
        def first(stream: str) -> Recorded | None:
            return queries.first(self.line, stream)

        return segments(first, session_id, upto)

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """Return the name of the tool of a call, searched backwards: faults name recent calls."""
        found = self._newest(_TOOL, session_id, upto, str(call))
        return None if found is None else str(found)

    def moved(self, session_id: str, page_id: str, after: int, upto: int) -> int | None:
        """Return the last version, above `after` and up to `upto`, that gave a page another level."""
        found = self._newest(_MOVED, session_id, upto, page_id, after)
        return None if found is None else int(found)

    def _newest(self, query: str, session_id: str, upto: int, *values: object) -> Any:
        """Return what a query finds in the last of a session's streams that has it; None where none has."""
        for segment in reversed(self._line_of(session_id, upto)):
            last = queries.LAST if segment.upto is None else segment.upto
            found = self.line.value_or_none(query, (segment.stream, last, *values))
            if found is not None:
                return found
        return None

    def row(self, table: TableSpec, key: Cells, edition: Edition = Edition.LIVE) -> Cells | None:
        """Return the row with this key."""
        found = self.line.value_or_none(_ROW, (self._generation(edition), table.name, _json(key)))
        return None if found is None else tuple(msgspec.json.decode(found))

    def rows(
        self, table: TableSpec, session_id: str | None = None, edition: Edition = Edition.LIVE
    ) -> Iterator[Cells]:
        """Yield the rows of one session, or of all, in no order."""
        query, values = _ROWS, [self._generation(edition), table.name]
        if session_id is not None:
            query, values = f"{_ROWS} AND session_id = %s", [*values, session_id]
        for (cells,) in self.line.run(query, values).fetchall():
            yield tuple(msgspec.json.decode(cells))

    def problems(self) -> list[str]:
        """Name a position that no log gives."""
        found, end = self._stored(Edition.LIVE), self.last_seq()
        if found is None or found[1] != self.spec.version or 0 <= found[2] <= end:
            return []
        wrong_side = "beyond the last event" if found[2] > end else "before the first, up to"
        return [f"stand at seq {found[2]}, {wrong_side} {end}"]


@attrs.frozen
class PostgresWriter(PostgresReader):
    """A `ModelWriter` over the connection of a write transaction."""

    def begin(self) -> None:
        """Begin an empty generation as `Edition.NEXT`, at position 0, in place of any that is there."""
        self._drop(Edition.NEXT)
        newest = self.line.value("SELECT coalesce(max(generation), 0) FROM {s}.model_positions")
        self._set(Edition.NEXT, newest + 1, 0)

    def write(self, edition: Edition, rows: Iterable[tuple[TableSpec, Iterable[Cells]]], seq: int) -> None:
        """Write rows over those of the same key, and `seq` as their position."""
        generation = self._generation(edition)
        for table, cells in rows:
            names = [column.name for column in table.columns]
            places = [names.index(name) for name in table.key]
            session = names.index("session_id")
            rest = iter(cells)
            while some := list(islice(rest, _AT_ONCE)):
                put = {_json([each[place] for place in places]): each for each in some}
                sessions = [each[session] for each in put.values()]
                values = (generation, table.name, list(put), sessions, [_json(each) for each in put.values()])
                self.line.run(_PUT, values)
        self._set(edition, generation, seq)

    def index_texts(self, edition: Edition) -> bool:
        """Index the next piece of the bodies that the text index lacks; return whether that was all."""
        return text_index.fill(self.line, self._generation(edition))

    def switch(self) -> None:
        """Make the generation of a rebuild the live one."""
        self._drop(Edition.LIVE)
        self.line.run("UPDATE {s}.model_positions SET edition = 'live' WHERE edition = 'next'")
        _make_views(self.line, self.spec)

    def _set(self, edition: Edition, generation: int, seq: int) -> None:
        self.line.run(_SET_POSITION, (edition.value, generation, self.spec.version, seq))

    def _drop(self, edition: Edition) -> None:
        """Drop what is stored of an edition, of any version."""
        generation = self._generation(edition)
        for name in ("model_rows", "body_words", "model_positions"):
            self.line.run(f"DELETE FROM {{s}}.{name} WHERE generation = %s", (generation,))


def _json(cells: Sequence[Any]) -> str:
    return msgspec.json.encode(cells).decode()


def _make_views(line: Line, spec: ModelSpec) -> None:
    """Make the views of this version, if the schema is ours; a view on which others depend stays as it is."""
    if not line.value(_MAY_MAKE):
        return
    for table in spec.tables:
        columns = ", ".join(
            f"(cells::json ->> {place})::{_SQL_TYPES[column.type]} AS {column.name}"
            for place, column in enumerate(table.columns)
        )
        query = f"""SELECT {columns} FROM {{s}}.model_rows WHERE name = '{table.name}'
            AND generation = (SELECT generation FROM {{s}}.model_positions WHERE edition = 'live')"""
        line.run(f"""DO $view$ BEGIN
            DROP VIEW IF EXISTS {{s}}.{table.name};
            CREATE VIEW {{s}}.{table.name} AS {query};
            EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
        END $view$""")


def _foreign(line: Line, spec: ModelSpec, kinds: str) -> tuple[str, ...]:
    ours = [*TABLES, *(table.name for table in spec.tables)]
    found = [name for (name,) in line.run(_FOREIGN, (list(kinds), ours))]
    return (*found, *(f"trigger {name}" for (name,) in line.run(_TRIGGERS, (list(TRIGGERS),))))
