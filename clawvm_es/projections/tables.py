"""The tables and views of the read models, as SQL made from the row classes.

`VERSION` is part of every stored projection: rows of another version are thrown away and folded again. Raise
it whenever a row class, a view or the fold changes what it says.
"""

from __future__ import annotations

import operator
import re
import sqlite3
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache, cached_property
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from clawvm_es.projections.rows import FaultRow, FieldRow, PageRow, SessionRow, TurnRow, UpdateRow

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION: Final = 2

R = TypeVar("R")


@attrs.frozen(slots=False)
class Table(Generic[R]):
    """One read model: its name, its row class, and the columns that identify a row and put the rows in order."""

    name: str
    row: type[R]
    key: tuple[str, ...]
    lookup: tuple[str, ...] = ()

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
    def sort_key(self) -> Callable[[R], Any]:
        """A function from a row to what puts it in order."""
        return operator.attrgetter(*self.key)

    def create(self, database: Database) -> None:
        """Make the empty table and its index."""
        database.table(self.name).create(
            {name: str if kind is str else int for name, (kind, _) in self.types.items()},
            pk=self.key if len(self.key) > 1 else self.key[0],
            not_null={name for name, (_, optional) in self.types.items() if not optional},
            strict=True,
        )
        if self.lookup:
            database.table(self.name).create_index(self.lookup, index_name=f"{self.name}_names", unique=True)

    @property
    def select(self) -> str:
        """All columns of all rows."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"

    @property
    def ordered(self) -> str:
        """The clause that puts rows in order."""
        return f"ORDER BY {', '.join(self.key)}"

    @property
    def replace(self) -> str:
        """The statement that writes a row over the one of the same key."""
        places = ", ".join("?" * len(self.columns))
        return f"INSERT OR REPLACE INTO {self.name} ({', '.join(self.columns)}) VALUES ({places})"

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


SESSIONS: Final = Table("sessions", SessionRow, ("seq",), ("session_id",))
TURNS: Final = Table("turns", TurnRow, ("session_id", "turn"))
PAGE_TABLE: Final = Table("page_table", PageRow, ("seq",), ("session_id", "page_id"))
FAULTS: Final = Table("faults", FaultRow, ("seq",))
DURABLE_STORE: Final = Table("durable_store", FieldRow, ("seq",))
UPDATES: Final = Table("updates", UpdateRow, ("session_id", "update_number"))
TABLES: Final[tuple[Table[Any], ...]] = (SESSIONS, TURNS, PAGE_TABLE, FAULTS, DURABLE_STORE, UPDATES)

POSITION_TABLE: Final = "projections"
"""Where the read models stand: one row, `tables`, with their version and the last event folded."""


def _text_of(commitment: str) -> str:
    """SQL for the text behind a commitment; NULL where it was sealed or erased."""
    return f"(SELECT CAST(body AS TEXT) FROM commitments JOIN blobs USING (blob_id) WHERE commitment = {commitment})"


_AT = "strftime('%Y-%m-%d %H:%M:%f', at / 1000000.0, 'unixepoch')"

DECISION_TRACE: Final = f"""
SELECT session_id, turn, version, type,
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
  cause, {_AT} AS at, seq, data
FROM events WHERE kind = 'decision'"""
"""Every decision on a row of its own; `decision_trace` is a view of this name."""

_VIEWS: Final = {
    "decision_trace": DECISION_TRACE,
    "page_text": f"""
SELECT page.session_id, page.page_id, page.page_type, json_extract(kept.value, '$.level') AS level,
  json_extract(kept.value, '$.tokens') AS tokens, json_extract(kept.value, '$.level') = page.level AS in_prompt,
  page.origin, {_text_of("json_extract(events.data, '$.source')")} AS source,
  {_text_of("json_extract(kept.value, '$.body')")} AS text
FROM page_table AS page
JOIN events ON events.session_id = page.session_id AND events.version = page.written_version,
json_each(events.data, '$.levels') AS kept""",
    "tool_calls": f"""
SELECT session_id, turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.tool') AS tool,
  {_text_of("json_extract(data, '$.name')")} AS name, {_text_of("json_extract(data, '$.arguments')")} AS arguments,
  json_extract(data, '$.served_from') AS served_from, json_extract(data, '$.served_by') AS served_by,
  {_AT} AS at, seq
FROM events WHERE type = 'tool_called'""",
    "tool_results": f"""
SELECT session_id, turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.status') AS status,
  coalesce(json_extract(data, '$.size_bytes'), 0) AS size_bytes,
  {_text_of("json_extract(data, '$.result')")} AS result, {_AT} AS at, seq
FROM events WHERE type = 'tool_returned'""",
    "store_values": f"""
SELECT session_id, scope, field, field_version, op, turn, version, principal, evidence,
  {_text_of("durable_store.value")} AS value
FROM durable_store""",
}

NAMES: Final = (POSITION_TABLE, *(table.name for table in TABLES), *_VIEWS)
"""All tables and views of the read models."""


def create_all(connection: sqlite3.Connection) -> None:
    """Make the empty tables, their indexes and the views, inside the caller's transaction if there is one."""
    from sqlite_utils import Database

    database = Database(connection)
    position = {"name": str, "version": int, "seq": int}
    database.table(POSITION_TABLE).create(position, pk="name", not_null={"version", "seq"}, strict=True)
    for table in TABLES:
        table.create(database)
    for name, query in _VIEWS.items():
        database.create_view(name, query.strip())


Definition = tuple[str, str, str]
"""Type of a schema object, its table, and its statement (empty where SQLite made it itself)."""


def definitions(connection: sqlite3.Connection) -> Mapping[str, Definition]:
    """Name of each table, index, view and trigger → what it is."""
    found = connection.execute("SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_master")
    return {name: (kind, table, sql) for name, kind, table, sql in found}


def same_definition(found: Definition | None, expected: Definition) -> bool:
    """Whether an object is as expected; other versions of the library that made it may quote it otherwise."""
    if found is None or found[:2] != expected[:2]:
        return False
    one, other = found[2], expected[2]
    return one == other or (len(one) != len(other) and _plain(one) == _plain(other))


def _plain(statement: str) -> str:
    """A statement without blanks and quotes, which are no meaning."""
    return re.sub(r"[\s\"`\[\]]+", "", statement).lower()


@cache
def expected_definitions() -> Mapping[str, Definition]:
    """What `definitions` says of a journal whose read models are untouched."""
    with closing(sqlite3.connect(":memory:")) as connection:
        create_all(connection)
        return MappingProxyType(dict(definitions(connection)))
