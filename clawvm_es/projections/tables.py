"""The tables and views of the read models, as SQL made from the row classes.

`VERSION` is part of every stored projection: rows of another version are folded again. Raise it whenever a row
class, a view or the fold changes what it says.
"""

from __future__ import annotations

import operator
import sqlite3
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache, cached_property
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from clawvm_es.projections import body_index
from clawvm_es.projections.places import LIVE, NEXT
from clawvm_es.projections.rows import FaultRow, FieldRow, PageRow, SessionRow, TurnRow, UpdateRow
from clawvm_es.storage.sqlite.foreign import Definition, definitions

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION: Final = 3

R = TypeVar("R")


@attrs.frozen(slots=False)
class Table(Generic[R]):
    """One read model: its name, its row class, the columns that identify a row, and those that put rows in order."""

    name: str
    row: type[R]
    key: tuple[str, ...]
    order: tuple[str, ...]

    @cached_property
    def types(self) -> Mapping[str, tuple[type, bool]]:
        """Column → its Python type, and whether it may be NULL; in the order of the columns."""
        hints = typing.get_type_hints(self.row)
        columns = {}
        for field in attrs.fields(typing.cast(Any, self.row)):
            hint = hints[field.name]
            options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
            columns[field.name] = (options[0], len(options) > 1)
        return MappingProxyType(columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(self.types)

    @cached_property
    def values(self) -> Callable[[R], tuple[Any, ...]]:
        """A function from a row to the tuple of its columns."""
        return operator.attrgetter(*self.columns)

    @cached_property
    def key_of(self) -> Callable[[R], Any]:
        """A function from a row to what identifies it."""
        return operator.attrgetter(*self.key)

    @cached_property
    def sort_key(self) -> Callable[[R], Any]:
        """A function from a row to what puts it in order."""
        return operator.attrgetter(*self.order)

    def create(self, database: Database, place: str = LIVE) -> None:
        """Make the empty table."""
        database.table(place + self.name).create(
            {name: str if kind is str else int for name, (kind, _) in self.types.items()},
            pk=self.key if len(self.key) > 1 else self.key[0],
            not_null={name for name, (_, optional) in self.types.items() if not optional},
            strict=True,
        )

    def select(self, place: str = LIVE) -> str:
        """All columns of all rows."""
        return f"SELECT {', '.join(self.columns)} FROM {place}{self.name}"

    @property
    def ordered(self) -> str:
        """The clause that puts rows in order."""
        return f"ORDER BY {', '.join(self.order)}"

    def replace(self, place: str = LIVE) -> str:
        """The statement that writes a row over the one of the same key."""
        marks = ", ".join("?" * len(self.columns))
        return f"INSERT OR REPLACE INTO {place}{self.name} ({', '.join(self.columns)}) VALUES ({marks})"

    @cached_property
    def _booleans(self) -> tuple[int, ...]:
        return tuple(place for place, (kind, _) in enumerate(self.types.values()) if kind is bool)

    def parse(self, values: Sequence[Any]) -> R:
        """A row from the columns as SQLite gives them."""
        if not self._booleans:
            return self.row(*values)
        cells = list(values)
        for place in self._booleans:
            cells[place] = bool(cells[place])
        return self.row(*cells)


_IN_THE_LOG: Final = ("seq", "session_id")  # a fork has rows of the events of its parent, too
SESSIONS: Final = Table("sessions", SessionRow, ("session_id",), ("seq",))
TURNS: Final = Table("turns", TurnRow, ("session_id", "turn"), ("session_id", "turn"))
PAGE_TABLE: Final = Table("page_table", PageRow, ("session_id", "page_id"), _IN_THE_LOG)
FAULTS: Final = Table("faults", FaultRow, ("session_id", "seq"), _IN_THE_LOG)
DURABLE_STORE: Final = Table("durable_store", FieldRow, ("session_id", "seq"), _IN_THE_LOG)
UPDATES: Final = Table("updates", UpdateRow, ("session_id", "update_number"), ("session_id", "update_number"))
TABLES: Final[tuple[Table[Any], ...]] = (SESSIONS, TURNS, PAGE_TABLE, FAULTS, DURABLE_STORE, UPDATES)

POSITION_TABLE: Final = "projections"
"""Where the read models stand: a row `tables`, and during a rebuild a row `next_tables`, each with the version of
the tables and the last event folded."""


INHERITED: Final = """
WITH RECURSIVE line (session_id, stream, upto_version) AS (
  SELECT session_id, parent, parent_version FROM sessions WHERE parent IS NOT NULL
  UNION ALL
  SELECT line.session_id, older.parent, min(line.upto_version, older.parent_version)
  FROM line JOIN sessions AS older ON older.session_id = line.stream WHERE older.parent IS NOT NULL
)
SELECT line.session_id, stream, coalesce(own.parent_version, 0) AS after_version, upto_version
FROM line JOIN sessions AS own ON own.session_id = stream
WHERE upto_version > coalesce(own.parent_version, 0)"""
"""What forks have of the streams of others: a stream's versions above one and up to another."""


def _text_of(commitment: str) -> str:
    """SQL for the text behind a commitment; NULL where it was sealed or erased."""
    return f"(SELECT CAST(body AS TEXT) FROM commitments JOIN blobs USING (blob_id) WHERE commitment = {commitment})"


def _with_inherited(columns: str, which: str) -> str:
    """SQL for what is made of some events, of those that a fork has of its parents, too."""
    return f"""
SELECT session_id, {columns}
FROM events WHERE {which}
UNION ALL
SELECT inherited.session_id, {columns}
FROM inherited JOIN events ON events.session_id = inherited.stream
  AND events.version > inherited.after_version AND events.version <= inherited.upto_version
WHERE {which}"""


_AT = "strftime('%Y-%m-%d %H:%M:%f', at / 1000000.0, 'unixepoch')"

_DECISION: Final = f"""turn, version, type,
  json_extract(data, '$.page_id') AS page_id,
  json_extract(data, '$.before') AS before,
  json_extract(data, '$.after') AS after,
  coalesce(json_extract(data, '$.reason'), json_extract(data, '$.rule')) AS reason,
  json_extract(data, '$.fault') AS fault,
  coalesce(json_extract(data, '$.tokens'), json_extract(data, '$.required_tokens')) AS tokens,
  coalesce(json_extract(data, '$.budget_tokens'), json_extract(data, '$.available_tokens')) AS budget_tokens,
  json_extract(data, '$.call') AS call,
  json_extract(data, '$.update') AS update_number,
  json_extract(data, '$.boundary') AS boundary,
  cause, {_AT} AS at, seq, data"""

DECISION_TRACE: Final = f"SELECT session_id, {_DECISION} FROM events WHERE kind = 'decision'"
"""Every decision of one stream on a row of its own; the view `decision_trace` has those that forks inherit, too."""

_VIEWS: Final = {
    "inherited": INHERITED,
    "decision_trace": _with_inherited(_DECISION, "kind = 'decision'"),
    "page_text": f"""
SELECT page.session_id, page.page_id, page.page_type, json_extract(kept.value, '$.level') AS level,
  json_extract(kept.value, '$.tokens') AS tokens, json_extract(kept.value, '$.level') = page.level AS in_prompt,
  page.origin, {_text_of("json_extract(events.data, '$.source')")} AS source,
  {_text_of("json_extract(kept.value, '$.body')")} AS text
FROM page_table AS page
LEFT JOIN inherited ON inherited.session_id = page.session_id
  AND page.written_version > inherited.after_version AND page.written_version <= inherited.upto_version
JOIN events ON events.session_id = coalesce(inherited.stream, page.session_id)
  AND events.version = page.written_version,
json_each(events.data, '$.levels') AS kept""",
    "tool_calls": _with_inherited(
        f"""turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.tool') AS tool,
  {_text_of("json_extract(data, '$.name')")} AS name, {_text_of("json_extract(data, '$.arguments')")} AS arguments,
  json_extract(data, '$.served_from') AS served_from, json_extract(data, '$.served_by') AS served_by,
  {_AT} AS at, seq""",
        "type = 'tool_called'",
    ),
    "tool_results": _with_inherited(
        f"""turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.status') AS status,
  coalesce(json_extract(data, '$.size_bytes'), 0) AS size_bytes,
  {_text_of("json_extract(data, '$.result')")} AS result, {_AT} AS at, seq""",
        "type = 'tool_returned'",
    ),
    "store_values": f"""
SELECT session_id, scope, field, field_version, op, turn, version, principal, evidence,
  {_text_of("durable_store.value")} AS value
FROM durable_store""",
}

NAMES: Final = (*_VIEWS, *(table.name for table in TABLES), body_index.NAME)
"""All tables and views that a version of the read models has, but `POSITION_TABLE`, which all versions share."""


def create_tables(connection: sqlite3.Connection, place: str) -> None:
    """Make the empty tables of one place, and the table of positions, inside the caller's transaction."""
    from sqlite_utils import Database

    database = Database(connection)
    columns = {"name": str, "version": int, "seq": int}
    positions = database.table(POSITION_TABLE)
    positions.create(columns, pk="name", not_null={"version", "seq"}, strict=True, if_not_exists=True)
    for table in TABLES:
        table.create(database, place)
    body_index.create(connection, place)


def put_in_place(connection: sqlite3.Connection) -> None:
    """Give the tables of a rebuild the names that people query, and make the views over them."""
    connection.execute("PRAGMA legacy_alter_table=ON")  # else a view of someone's over these names is in the way
    try:
        for name in (*(table.name for table in TABLES), body_index.NAME):
            connection.execute(f"ALTER TABLE {NEXT}{name} RENAME TO {LIVE}{name}")
    finally:
        connection.execute("PRAGMA legacy_alter_table=OFF")
    for name, query in _VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS\n{query.strip()}")


@cache
def expected_definitions(place: str = LIVE) -> Mapping[str, Definition]:
    """What `definitions` says of a journal that has untouched read models in one place (NEXT: no views)."""
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection, NEXT)
        if place == LIVE:
            put_in_place(connection)
        return MappingProxyType(dict(definitions(connection)))


@cache
def read_definitions(place: str = LIVE) -> Mapping[str, Definition]:
    """The tables among `expected_definitions`: what is read, so that it has to be ours."""
    found = expected_definitions(place)
    return MappingProxyType({name: each for name, each in found.items() if each[0] == "table"})
