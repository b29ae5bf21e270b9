"""The port of stored read models: tables of a definition, given as data, with their position in the log.

A storage makes the tables of a `ModelSpec`, keeps their position, and returns rows as plain tuples of cells; it
does not know their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, cast

import attrs

from clawvm_es.journal.ports.capabilities import Capability, declares
from clawvm_es.journal.ports.log import EventLog

RawEvent: TypeAlias = tuple[int, str, int, int, str, str, int, int, str, str, bytes]
"""(seq, session_id, version, turn, kind, type, schema_version, at, principal, data, hash) of one event, undecoded."""
Cells: TypeAlias = tuple[Any, ...]
"""One row: a cell for each column, in their order. A boolean may come back as 0 or 1."""


class Edition(StrEnum):
    """One of the two sets of tables that a journal can hold."""

    LIVE = "live"
    """The tables that people query."""
    NEXT = "next"
    """The tables of a rebuild under way."""


@attrs.frozen
class Column:
    """One column: its Python type (`str`, `int` or `bool`), and whether it may be NULL."""

    name: str
    type: type
    optional: bool


@attrs.frozen(cache_hash=True)
class TableSpec:
    """One table: its columns, those that identify a row, and those that put rows in order.

    `span` names the columns with the versions of a row's first and last event. A fork inherits rows of a table whose
    key begins with the session and has more than that.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    span: tuple[str, str]


@attrs.frozen(cache_hash=True)
class ModelSpec:
    """All tables of the read models; rows stored under another `version` are not read."""

    version: int
    tables: tuple[TableSpec, ...]


class ModelReader(Protocol):
    """One state of a log: its events, and the rows stored for them."""

    def position(self, edition: Edition = Edition.LIVE) -> int | None:
        """Return the last event in the stored rows; None if tables are missing, altered or of another version."""

    def last_seq(self) -> int:
        """Return the last event of the log; 0 if it is empty."""

    def next_input(self, after: int) -> int | None:
        """Return the `seq` of the first input above `after`."""

    def events(self, after: int, upto: int) -> Iterator[RawEvent]:
        """Yield the events in `(after, upto]`, in the order of `seq`."""

    def stream_events(self, stream: str, upto: int) -> Iterator[RawEvent]:
        """Yield a stream's own events up to a version."""

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """Return the name of the tool of a call of a session, or of its parents, as of a version."""

    def moved(self, session_id: str, page_id: str, after: int, upto: int) -> int | None:
        """Return the last version, above `after` and up to `upto`, that changed the level of a session's page."""

    def row(self, table: TableSpec, key: Cells, edition: Edition = Edition.LIVE) -> Cells | None:
        """Return the row with this key."""

    def rows(
        self, table: TableSpec, session_id: str | None = None, edition: Edition = Edition.LIVE
    ) -> Iterator[Cells]:
        """Yield the rows of one session, or of all, in no order."""

    def problems(self) -> list[str]:
        """Name altered live tables and views, and an impossible position, one sentence each."""


class ModelWriter(ModelReader, Protocol):
    """A write transaction on the stored rows: rows, position and text index change together."""

    def begin(self) -> None:
        """Make the empty tables of `Edition.NEXT`, at position 0, in place of any that are there."""

    def write(self, edition: Edition, rows: Iterable[tuple[TableSpec, Iterable[Cells]]], seq: int) -> None:
        """Write rows over those of the same key, and `seq` as their position."""

    def index_texts(self, edition: Edition) -> bool:
        """Index the next piece of the bodies that the text index of an edition lacks; return whether that was all."""

    def switch(self) -> None:
        """Put the tables, the position and the text index of `Edition.NEXT` in the place of the live ones."""


class ModelStore(Protocol):
    """The read models that a log stores (`Capability.MODELS`)."""

    def reading(self) -> AbstractContextManager[ModelReader]:
        """Read one state of the log, for the length of the block. Writes nothing."""

    def current(self) -> bool:
        """Tell whether the live tables are up to date with the log; waits for no writer."""

    def writing(self) -> AbstractContextManager[ModelWriter]:
        """Open a write transaction; raises what `EventLog.transaction` raises."""

    def foreign(self) -> tuple[str, ...]:
        """Name the schema objects that belong neither to the log nor to these models, by type and name."""

    def copies(self) -> tuple[str, ...]:
        """Name the foreign objects that may hold copies of texts: tables with rows, and all virtual ones."""

    def altered(self) -> list[str]:
        """Name caches of the log, other than these models, that were altered and so are not read."""


class Modelled(EventLog, Protocol):
    """A log that keeps read models."""

    def models(self, spec: ModelSpec) -> ModelStore:
        """Return the stored read models of a definition."""


def models_of(log: EventLog, spec: ModelSpec) -> ModelStore | None:
    """Return the stored read models of a log; None if the log keeps none."""
    return cast(Modelled, log).models(spec) if declares(log, Capability.MODELS) else None
