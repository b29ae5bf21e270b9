"""The tables of snapshots: caches, which writers change inside their transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

import attrs

from clawvm_es.journal.ports import SnapshotRow, Transaction
from clawvm_es.model.events import Event
from clawvm_es.storage.postgres import queries
from clawvm_es.storage.postgres.server import BEGIN_READING, Line

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.log import PostgresLog
    from clawvm_es.storage.postgres.transaction import PostgresTransaction

_P = ParamSpec("_P")
_T = TypeVar("_T")

_COLUMNS: Final = "snapshot_id, session_id, version, event_hash, made_by, base, first_node, nodes, head"
_BEFORE: Final = f"""SELECT {_COLUMNS} FROM {{s}}.snapshots WHERE session_id = %s AND version <= %s AND made_by = %s
    ORDER BY version DESC LIMIT 1"""
_OTHERS: Final = "SELECT DISTINCT session_id FROM {s}.snapshots WHERE made_by <> %s"
_ROWS: Final = f"SELECT {_COLUMNS} FROM {{s}}.snapshots ORDER BY snapshot_id"
_NODES: Final = "SELECT node_id, body FROM {s}.snapshot_nodes WHERE node_id = ANY (%s)"
_POSITION: Final = """SELECT coalesce(max(seq), 0), coalesce(max(last_snapshot), 0), coalesce(max(last_node), 0)
    FROM {s}.snapshot_position"""
_PUT_NODES: Final = "INSERT INTO {s}.snapshot_nodes SELECT * FROM unnest(%s::bigint[], %s::bytea[])"
_PUT: Final = f"INSERT INTO {{s}}.snapshots ({_COLUMNS}) VALUES ({', '.join(['%s'] * 9)})"
_MOVE: Final = """INSERT INTO {s}.snapshot_position AS old VALUES (1, %s, %s, %s) ON CONFLICT (one) DO UPDATE
    SET seq = greatest(old.seq, excluded.seq), last_snapshot = greatest(old.last_snapshot, excluded.last_snapshot),
    last_node = greatest(old.last_node, excluded.last_node)"""
_BACK: Final = """UPDATE {s}.snapshot_position SET seq = least(seq, (
    SELECT e.seq - 1 FROM {s}.events AS e WHERE session_id = %s ORDER BY version LIMIT 1))"""
_DOOMED: Final = """WITH RECURSIVE doomed (id) AS (
        SELECT snapshot_id FROM {s}.snapshots WHERE """
_DOOMED_END: Final = """
        UNION SELECT snapshot_id FROM {s}.snapshots JOIN doomed ON base = doomed.id
    ) DELETE FROM {s}.snapshots USING doomed WHERE snapshot_id = doomed.id RETURNING first_node, nodes"""
_DROP_NODES: Final = "DELETE FROM {s}.snapshot_nodes WHERE node_id >= %s AND node_id < %s"


class Ask(Protocol):
    """Runs a query: over a connection of the log, or inside a transaction."""

    def __call__(self, query: Callable[Concatenate[Line, _P], _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """The query's result."""


class PostgresSnapshots:
    """The snapshots of a journal, outside of a write transaction."""

    def __init__(self, log: PostgresLog, ask: Ask | None = None) -> None:
        self._log = log
        self._ask: Ask = log.ask if ask is None else ask

    @contextmanager
    def at_once(self) -> Iterator[PostgresSnapshots]:
        """Read one state of the journal for the length of the block."""
        with self._log.server.line() as line:
            line.run(BEGIN_READING)
            yield PostgresSnapshots(self._log, partial(_inside, line))

    def within(self, transaction: Transaction) -> SnapshotsInside:
        """The same snapshots inside a write transaction."""
        return SnapshotsInside(self._log, partial(_inside, cast("PostgresTransaction", transaction).line))

    def before(self, stream: str, version: int, made_by: str) -> SnapshotRow | None:
        """The last snapshot of a stream at or before `version` that `made_by` made."""
        return self._ask(_before, stream, version, made_by)

    def others(self, made_by: str) -> list[str]:
        """The streams that have snapshots which `made_by` did not make."""
        return self._ask(_others, made_by)

    def rows(self) -> list[SnapshotRow]:
        """All snapshots, each after the one it is a delta of."""
        return self._ask(_rows)

    def nodes(self, node_ids: Sequence[int]) -> dict[int, bytes]:
        """Stored nodes, unchecked; those that are missing are left out."""
        return self._ask(_nodes, node_ids)

    def hash_at(self, stream: str, version: int) -> bytes | None:
        """The hash of one event of a stream."""
        return self._ask(queries.hash_at, stream, version)

    def events_at(self, stream: str, versions: Sequence[int]) -> dict[int, Event]:
        """The events of a stream at some versions; those that are missing are left out."""
        return self._ask(queries.events_at, stream, versions)

    def events_after(self, stream: str, after: int, upto: int) -> list[tuple[int, Event]]:
        """The next versions and events of a stream above `after`, up to `upto`."""
        return self._ask(queries.events_after, stream, after, upto)

    def news(self) -> tuple[int, int]:
        """The `seq` up to which streams were looked at, and the log's last."""
        return self._ask(_position)[0], self._ask(queries.tail)

    def active(self, after: int, upto: int) -> list[str]:
        """The streams that have events with `seq` above `after` and up to `upto`."""
        return self._ask(queries.active, after, upto)


class SnapshotsInside(PostgresSnapshots):
    """The snapshots of a journal inside a write transaction."""

    def next_ids(self) -> tuple[int, int]:
        """The ids of the next snapshot and of its first node; none was ever in use."""
        _, snapshot_id, node_id = self._ask(_position)
        return snapshot_id + 1, node_id + 1

    def insert(self, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
        """Store a snapshot and its nodes."""
        self._ask(_insert, row, nodes)

    def set_position(self, seq: int) -> None:
        """Remember up to where streams were looked at."""
        self._ask(_move, seq, 0, 0)

    def forget(self, streams: Iterable[str]) -> int:
        """Delete the snapshots of streams, and those that rest on them; returns how many there were."""
        return self._ask(forget, streams)

    def forget_others(self, stream: str, made_by: str) -> None:
        """Delete a stream's snapshots that another program made, and those that rest on them."""
        self._ask(_doom, "session_id = %s AND made_by <> %s", (stream, made_by))

    def clear(self) -> None:
        """Delete all snapshots; the next look begins at the start."""
        self._ask(_clear)


def _inside(line: Line, query: Callable[Concatenate[Line, _P], _T], *args: _P.args, **options: _P.kwargs) -> _T:
    return query(line, *args, **options)


def _before(line: Line, stream: str, version: int, made_by: str) -> SnapshotRow | None:
    found = line.run(_BEFORE, (stream, version, made_by)).fetchone()
    return None if found is None else SnapshotRow(*found)


def _others(line: Line, made_by: str) -> list[str]:
    return sorted(session_id for (session_id,) in line.run(_OTHERS, (made_by,)))


def _rows(line: Line) -> list[SnapshotRow]:
    return [SnapshotRow(*found) for found in line.run(_ROWS)]


def _nodes(line: Line, node_ids: Sequence[int]) -> dict[int, bytes]:
    return dict(line.run(_NODES, (list(node_ids),)).fetchall())


def _position(line: Line) -> tuple[int, int, int]:
    """The `seq` up to which streams were looked at, and the last ids that were in use."""
    (found,) = line.run(_POSITION)
    return found


def _insert(line: Line, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
    line.run(_PUT_NODES, ([node for node, _ in nodes], [body for _, body in nodes]))
    line.run(_PUT, attrs.astuple(row))
    _move(line, 0, row.snapshot_id, row.first_node + row.nodes - 1)


def _move(line: Line, seq: int, last_snapshot: int, last_node: int) -> None:
    line.run(_MOVE, (seq, last_snapshot, last_node))


def forget(line: Line, streams: Iterable[str]) -> int:
    """Delete the snapshots of streams, and those that rest on them; the next catch-up looks at them again."""
    found = 0
    for stream in streams:
        gone = _doom(line, "session_id = %s", (stream,))
        if gone:
            line.run(_BACK, (stream,))
        found += gone
    return found


def _doom(line: Line, which: str, values: tuple[str, ...]) -> int:
    doomed = line.run(_DOOMED + which + _DOOMED_END, values).fetchall()
    for first, count in doomed:
        line.run(_DROP_NODES, (first, first + count))
    return len(doomed)


def _clear(line: Line) -> None:
    line.run("DELETE FROM {s}.snapshots")
    line.run("DELETE FROM {s}.snapshot_nodes")
    line.run("UPDATE {s}.snapshot_position SET seq = 0")
