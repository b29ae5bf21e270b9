"""Journals in a lake of Parquet files: exports, and questions over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from clawvm_es.journal.ports import Column, EventLog
from clawvm_es.projections import Snapshot, snapshot
from clawvm_es.projections.tables import TABLES, Table
from clawvm_es.representations.sayable import sayable
from clawvm_es.storage.lake.files import ask, write
from clawvm_es.storage.lake.questions import QUESTIONS, query

_EVENTS: Final = (
    *(Column(name, int, False) for name in ("seq",)),
    Column("session_id", str, False),
    Column("version", int, False),
    Column("turn", int, False),
    Column("kind", str, False),
    Column("type", str, False),
    Column("schema_version", int, False),
    Column("at_us", int, False),
    Column("principal", str, False),
    Column("cause", int, True),
    Column("data", str, False),
    Column("hash", str, False),
)
SCHEMA: Final[Mapping[str, Sequence[Column]]] = MappingProxyType(
    {
        "journals": (
            Column("place", str, False),
            Column("events", int, False),
            Column("bodies", int, False),
            Column("bodies_bytes", int, False),
        ),
        "events": _EVENTS,
        **{table.name: table.spec.columns for table in TABLES},
    }
)
"""The tables of a lake: a row a journal, its events as they are stored, and the read models."""

__all__ = ["QUESTIONS", "SCHEMA", "catalogue", "to_lake"]


def to_lake(log: EventLog, folder: str) -> dict[str, Any]:
    """Export a journal to a lake, replacing an earlier export; texts and salts are not exported."""
    with snapshot(log) as view:
        rows: dict[str, Any] = {table.name: _cells(view, table) for table in TABLES}
        bodies, size = log.bodies_kept()
        rows["journals"] = [(sayable(log.place), view.seq, bodies, size)]
        rows["events"] = _events(log, view.seq)
        counts = write(folder, log.journal_id, SCHEMA, rows)
    return {"journal_id": log.journal_id, "folder": folder, "rows": counts}


def _cells(view: Snapshot, table: Table[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, read when its turn comes, so that the rows of all tables are never in memory at once."""
    for row in view.rows(table):
        yield table.values(row)


def _events(log: EventLog, upto: int) -> Iterator[tuple[Any, ...]]:
    for e in log.read_all(0, upto):
        yield (
            e.seq, e.session_id, e.version, e.turn, e.kind, e.type, e.schema_version, e.at_us, e.principal, e.cause,
            e.raw.decode(), e.hash.hex(),
        )  # fmt: skip


def catalogue(folder: str, question: str, turn: int = 0) -> dict[str, Any]:
    """The lake's answer to a ready question, or to SQL."""
    columns, rows = ask(folder, query(question, turn), SCHEMA)
    return {"columns": columns, "rows": [list(row) for row in rows]}
