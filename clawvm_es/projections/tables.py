"""The tables of the read models, as data made from the row classes.

`VERSION` is part of every stored projection: rows of another version are folded again. Raise it whenever the
meaning of a row class, of a storage's view or of the fold changes.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType, UnionType
from typing import Any, Final, Generic, TypeVar

import attrs

from clawvm_es.journal.ports import Column, ModelSpec, TableSpec
from clawvm_es.projections.rows import (
    BoundaryRow,
    FaultRow,
    FieldRow,
    LossRow,
    PageRow,
    SessionRow,
    TurnRow,
    UpdateRow,
)

VERSION: Final = 9

R = TypeVar("R")


@attrs.frozen(slots=False)
class Table(Generic[R]):
    """One read model: its name, its row class, the columns that identify a row, and those that put rows in order.

    `span` names the columns with the versions of the first and the last event that a row is made of.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    order: tuple[str, ...]
    span: tuple[str, str] = ("version", "version")

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

    @cached_property
    def span_of(self) -> Callable[[R], tuple[int, int]]:
        """A function from a row to the versions of its first and last event."""
        return operator.attrgetter(*self.span)

    @cached_property
    def spec(self) -> TableSpec:
        """The table as a storage makes it."""
        columns = tuple(Column(name, kind, optional) for name, (kind, optional) in self.types.items())
        return TableSpec(self.name, columns, self.key, self.order, self.span)

    @cached_property
    def _booleans(self) -> tuple[int, ...]:
        return tuple(place for place, (kind, _) in enumerate(self.types.values()) if kind is bool)

    def parse(self, values: Sequence[Any]) -> R:
        """A row from the cells of its columns."""
        if not self._booleans:
            return self.row(*values)
        cells = list(values)
        for place in self._booleans:
            cells[place] = bool(cells[place])
        return self.row(*cells)


_IN_THE_LOG: Final = ("seq", "session_id")  # a fork has rows of the events of its parent, too
SESSIONS: Final = Table("sessions", SessionRow, ("session_id",), ("seq",), ("head_version", "head_version"))
_CHANGED: Final = ("first_version", "changed_version")
TURNS: Final = Table(
    "turns", TurnRow, ("session_id", "turn"), ("session_id", "turn"), ("first_version", "last_version")
)
PAGE_TABLE: Final = Table("page_table", PageRow, ("session_id", "page_id"), _IN_THE_LOG, _CHANGED)
FAULTS: Final = Table("faults", FaultRow, ("session_id", "seq"), _IN_THE_LOG)
DURABLE_STORE: Final = Table("durable_store", FieldRow, ("session_id", "seq"), _IN_THE_LOG)
UPDATES: Final = Table(
    "updates", UpdateRow, ("session_id", "update_number"), ("session_id", "update_number"), _CHANGED
)
LOSSES: Final = Table("losses", LossRow, ("session_id", "seq"), _IN_THE_LOG)
BOUNDARIES: Final = Table(
    "boundaries", BoundaryRow, ("session_id", "version"), ("session_id", "version"), ("version", "changed_version")
)
TABLES: Final[tuple[Table[Any], ...]] = (
    *(SESSIONS, TURNS, PAGE_TABLE, FAULTS, DURABLE_STORE, UPDATES),
    *(LOSSES, BOUNDARIES),
)

MODELS: Final = ModelSpec(VERSION, tuple(table.spec for table in TABLES))
"""The read models as a storage makes them."""
