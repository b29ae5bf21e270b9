"""The tables of snapshots, made on demand: they are caches, and the journal is whole without them.

`snapshots` holds one row per place, `snapshot_nodes` what its head points to. Node ids are never used again.
`SQLiteSnapshots` fills the port `SnapshotStore`: over the log's reading connection, in one read transaction
(`at_once`), or in a write transaction (`within`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar, cast

import attrs

from clawvm_es.journal.ports import SnapshotRow, Transaction
from clawvm_es.model.events import Event
from clawvm_es.storage.sqlite import foreign, opening, queries
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.foreign import Definition, definitions, same_definition

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog
    from clawvm_es.storage.sqlite.transaction import SQLiteTransaction

_P = ParamSpec("_P")
_T = TypeVar("_T")

TABLES: Final = ("snapshots", "snapshot_nodes", "snapshot_position")
_DDL: Final = (
    """CREATE TABLE snapshots (
    snapshot_id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    event_hash BLOB NOT NULL,
    made_by TEXT NOT NULL,
    base INTEGER,
    first_node INTEGER NOT NULL,
    nodes INTEGER NOT NULL,
    head BLOB NOT NULL
) STRICT""",
    "CREATE UNIQUE INDEX snapshots_places ON snapshots (session_id, version)",
    "CREATE INDEX snapshots_bases ON snapshots (base)",
    """CREATE TABLE snapshot_nodes (
    node_id INTEGER PRIMARY KEY AUTOINCREMENT,
    body BLOB NOT NULL
) STRICT""",
    """CREATE TABLE snapshot_position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT""",
)
_COLUMNS: Final = "snapshot_id, session_id, version, event_hash, made_by, base, first_node, nodes, head"
_NODES: Final = "SELECT node_id, body FROM snapshot_nodes WHERE node_id IN"
_NODES_AT_ONCE: Final = 500
_BACK_TO: Final = """UPDATE snapshot_position SET seq = min(seq, (
    SELECT seq - 1 FROM events WHERE session_id = ? ORDER BY version LIMIT 1))"""
_SEQUENCE: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?"


class Ask(Protocol):
    """Runs a query: over a log's reading connection, or inside a transaction."""

    def __call__(self, query: opening.Query[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """The query's result."""


class SQLiteSnapshots:
    """The snapshots of a journal, outside of a write transaction."""

    def __init__(self, log: SQLiteLog, ask: Ask) -> None:
        self._log = log
        self._ask = ask

    @contextmanager
    def at_once(self) -> Iterator[SQLiteSnapshots]:
        """Read one state of the file for the length of the block."""
        with self._log.reading() as db:
            yield SQLiteSnapshots(self._log, partial(opening.ask, db, self._log.path))

    def within(self, transaction: Transaction) -> SnapshotsInside:
        """The same snapshots inside a write transaction."""
        db = cast("SQLiteTransaction", transaction).connection
        return SnapshotsInside(self._log, partial(opening.ask, db, self._log.path))

    def before(self, stream: str, version: int, made_by: str) -> SnapshotRow | None:
        """The last snapshot of a stream at or before `version` that `made_by` made."""
        return self._ask(before, stream, version, made_by)

    def others(self, made_by: str) -> list[str]:
        """The streams that have snapshots which `made_by` did not make."""
        return self._ask(others, made_by)

    def rows(self) -> list[SnapshotRow]:
        """All snapshots, each after the one it is a delta of."""
        return self._ask(rows)

    def nodes(self, node_ids: Sequence[int]) -> dict[int, bytes]:
        """Stored nodes, unchecked; those that are missing are left out."""
        return self._ask(nodes, node_ids)

    def hash_at(self, stream: str, version: int) -> bytes | None:
        """The hash of one event of a stream."""
        return self._ask(queries.hash_at, stream, version)

    def events_at(self, stream: str, versions: Sequence[int]) -> dict[int, Event]:
        """The events of a stream at some versions; those that are missing are left out."""
        return dict(self._ask(queries.events_at, stream, versions))

    def events_after(self, stream: str, after: int, upto: int) -> list[tuple[int, Event]]:
        """The next versions and events of a stream above `after`, up to `upto`."""
        return self._ask(queries.events_after, stream, after, upto)

    def news(self) -> tuple[int, int]:
        """The `seq` up to which streams were looked at, and the log's last."""
        return self._ask(position), self._ask(queries.last_seq)

    def active(self, after: int, upto: int) -> list[str]:
        """The streams that have events with `seq` above `after` and up to `upto`."""
        return self._ask(active, after, upto)


class SnapshotsInside(SQLiteSnapshots):
    """The snapshots of a journal inside a write transaction; its tables are made when something is written."""

    def next_ids(self) -> tuple[int, int]:
        """The ids of the next snapshot and of its first node."""
        self._ask(create)
        return self._ask(next_ids)

    def insert(self, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
        """Store a snapshot and its nodes."""
        self._ask(insert, row, nodes)

    def set_position(self, seq: int) -> None:
        """Remember up to where streams were looked at."""
        self._ask(create)
        self._ask(set_position, seq)

    def forget(self, streams: Iterable[str]) -> int:
        """Delete the snapshots of streams, and those that rest on them; returns how many there were."""
        return self._ask(forget, streams)

    def forget_others(self, stream: str, made_by: str) -> None:
        """Delete a stream's snapshots that another program made, and those that rest on them."""
        if self._ask(exist):
            self._ask(forget_others, stream, made_by)

    def clear(self) -> None:
        """Throw all snapshots away."""
        self._ask(drop)


def exist(db: sqlite3.Connection) -> bool:
    """Tell whether snapshots were ever made here, in tables as we make them."""
    found, ours = definitions(db, TABLES), objects()
    return all(same_definition(found.get(name), ours[name]) for name in TABLES)


@cache
def objects() -> Mapping[str, Definition]:
    """Return the definitions of untouched tables and indexes of snapshots."""
    with closing(sqlite3.connect(":memory:")) as db:
        _create(db)
        return MappingProxyType(dict(definitions(db)))


def create(db: sqlite3.Connection) -> None:
    """Make the tables, unless they exist; tables with another definition are dropped."""
    if not exist(db):
        drop(db)
        _create(db)


def _create(db: sqlite3.Connection) -> None:
    for statement in _DDL:
        db.execute(statement)


def before(db: sqlite3.Connection, session_id: str, version: int, made_by: str) -> SnapshotRow | None:
    """The last snapshot of one stream at or before `version`."""
    if not exist(db):
        return None
    query = f"""SELECT {_COLUMNS} FROM snapshots WHERE session_id = ? AND version <= ? AND made_by = ?
        ORDER BY version DESC LIMIT 1"""
    found = db.execute(query, (session_id, version, made_by)).fetchone()
    return None if found is None else SnapshotRow(*found)


def others(db: sqlite3.Connection, made_by: str) -> list[str]:
    """The streams that have snapshots which `made_by` did not make; heads of rows are not read."""
    if not exist(db):
        return []
    query = "SELECT DISTINCT session_id FROM snapshots WHERE made_by IS NOT ? ORDER BY session_id"
    return [session_id for (session_id,) in db.execute(query, (made_by,))]


def rows(db: sqlite3.Connection) -> list[SnapshotRow]:
    """All snapshots, each after the one it is a delta of."""
    if not exist(db):
        return []
    return [SnapshotRow(*found) for found in db.execute(f"SELECT {_COLUMNS} FROM snapshots ORDER BY snapshot_id")]


def insert(db: sqlite3.Connection, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
    """Store a snapshot and its nodes."""
    db.executemany("INSERT INTO snapshot_nodes (node_id, body) VALUES (?, ?)", nodes)
    db.execute(f"INSERT INTO snapshots ({_COLUMNS}) VALUES ({', '.join('?' * 9)})", attrs.astuple(row))


def next_ids(db: sqlite3.Connection) -> tuple[int, int]:
    """The ids of the next snapshot and of its first node; none was ever in use."""
    return value(db, _SEQUENCE, ("snapshots",)) + 1, value(db, _SEQUENCE, ("snapshot_nodes",)) + 1


def nodes(db: sqlite3.Connection, node_ids: Sequence[int]) -> dict[int, bytes]:
    """Stored nodes, unchecked; those that are missing are left out."""
    found: dict[int, bytes] = {}
    for start in range(0, len(node_ids), _NODES_AT_ONCE):
        some = node_ids[start : start + _NODES_AT_ONCE]
        try:
            found.update(db.execute(f"{_NODES} ({', '.join('?' * len(some))})", some))
        except sqlite3.OperationalError:
            if exist(db):
                raise
            return {}
    return found


def position(db: sqlite3.Connection) -> int:
    """The `seq` up to which sessions were looked at for snapshots that are due."""
    if not exist(db):
        return 0
    return value(db, "SELECT coalesce(max(seq), 0) FROM snapshot_position")  # type: ignore[no-any-return]


def set_position(db: sqlite3.Connection, seq: int) -> None:
    """Remember up to where sessions were looked at."""
    db.execute("INSERT OR REPLACE INTO snapshot_position (one, seq) VALUES (1, ?)", (max(seq, position(db)),))


def active(db: sqlite3.Connection, after: int, upto: int) -> list[str]:
    """The streams that have events with `seq` above `after` and up to `upto`."""
    query = "SELECT session_id FROM events WHERE seq > ? AND seq <= ? GROUP BY session_id ORDER BY min(seq)"
    return [session_id for (session_id,) in db.execute(query, (after, upto))]


def forget(db: sqlite3.Connection, session_ids: Iterable[str]) -> int:
    """Delete the snapshots of sessions, and those that rest on them; returns how many there were.

    For the caller's write transaction. The journal loses nothing: states are folded from further back.
    """
    if not exist(db):
        drop(db)  # what is there in their place may hold anything
        return 0
    found = 0
    for session_id in session_ids:
        gone = _forget(db, "session_id = ?", (session_id,))
        if gone:  # the next catch-up is to look at the session again
            db.execute(_BACK_TO, (session_id,))
        found += gone
    return found


def forget_others(db: sqlite3.Connection, session_id: str, made_by: str) -> int:
    """Delete the snapshots of one stream that we did not make and cannot use, and those that rest on them."""
    return _forget(db, "session_id = ? AND made_by IS NOT ?", (session_id, made_by))


def _forget(db: sqlite3.Connection, which: str, values: tuple[str | int, ...]) -> int:
    query = f"""WITH RECURSIVE doomed (id) AS (
            SELECT snapshot_id FROM snapshots WHERE {which}
            UNION SELECT snapshot_id FROM snapshots JOIN doomed ON base = doomed.id
        ) SELECT snapshot_id, first_node, nodes FROM snapshots JOIN doomed ON snapshot_id = doomed.id"""
    doomed = {found: (first, count) for found, first, count in db.execute(query, values)}
    nodes = [(first, first + count) for first, count in doomed.values()]
    db.executemany("DELETE FROM snapshot_nodes WHERE node_id >= ? AND node_id < ?", nodes)
    db.executemany("DELETE FROM snapshots WHERE snapshot_id = ?", [(found,) for found in doomed])
    return len(doomed)


def drop(db: sqlite3.Connection) -> None:
    """Delete all snapshots, and anything else in their tables."""
    foreign.drop(db, TABLES)
