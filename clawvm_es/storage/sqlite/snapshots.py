"""The tables of snapshots, made on demand: they are caches, and the journal is whole without them.

`snapshots` holds one row per place, `snapshot_nodes` what its head points to. Node ids are never used again, and
the check of a node covers its id, so that a pointer never leads to another node than the one it was made for.
LAW-SNAP-2: whatever is read is checked first; what does not fit its check is never used.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.storage.sqlite import foreign
from clawvm_es.storage.sqlite.foreign import Definition, definitions, same_definition

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
_GROUP: Final = 500
_BACK_TO: Final = """UPDATE snapshot_position SET seq = min(seq, (
    SELECT seq - 1 FROM events WHERE session_id = ? ORDER BY version LIMIT 1))"""
_CHECK_BYTES: Final = 8
_SEQUENCE: Final = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?"


class Damaged(Exception):
    """A snapshot, or a part of one, is not what was stored; it must not be used."""


@attrs.frozen
class Row:
    """One snapshot: where it is of, what made it, the one it is a delta of, its nodes and its (unchecked) head."""

    snapshot_id: int
    session_id: str
    version: int
    event_hash: bytes
    made_by: str
    base: int | None
    first_node: int
    nodes: int
    head: bytes

    def payload(self) -> bytes:
        """The head, if it fits its check."""
        return _checked(self._name(), self.head)

    def sealed(self, payload: bytes) -> Row:
        """This row with a head."""
        return attrs.evolve(self, head=_with_check(self._name(), payload))

    def _name(self) -> bytes:
        fields = (self.session_id, self.version, self.event_hash.hex(), self.made_by, self.base, self.first_node)
        return repr((*fields, self.nodes)).encode("utf-8", "surrogatepass")


def exist(db: sqlite3.Connection) -> bool:
    """Whether snapshots were ever made here, in tables as we make them."""
    found = definitions(db)
    return all(same_definition(found.get(name), objects()[name]) for name in TABLES)


@cache
def objects() -> Mapping[str, Definition]:
    """What `definitions` says of untouched tables and indexes of snapshots."""
    with closing(sqlite3.connect(":memory:")) as db:
        _create(db)
        return MappingProxyType(dict(definitions(db)))


def create(db: sqlite3.Connection) -> None:
    """Make the tables, unless they are there; what is not as we make it, is dropped."""
    if not exist(db):
        drop(db)
        _create(db)


def _create(db: sqlite3.Connection) -> None:
    for statement in _DDL:
        db.execute(statement)


def before(db: sqlite3.Connection, session_id: str, version: int, made_by: str) -> Row | None:
    """The last snapshot of one stream at or before `version`."""
    query = f"""SELECT {_COLUMNS} FROM snapshots WHERE session_id = ? AND version <= ? AND made_by = ?
        ORDER BY version DESC LIMIT 1"""
    found = db.execute(query, (session_id, version, made_by)).fetchone()
    return None if found is None else Row(*found)


def rows(db: sqlite3.Connection) -> list[Row]:
    """All snapshots, each after the one it is a delta of."""
    return [Row(*found) for found in db.execute(f"SELECT {_COLUMNS} FROM snapshots ORDER BY snapshot_id")]


def insert(db: sqlite3.Connection, row: Row, nodes: Sequence[tuple[int, bytes]]) -> None:
    """Store a snapshot and its nodes."""
    db.executemany("INSERT INTO snapshot_nodes (node_id, body) VALUES (?, ?)", nodes)
    db.execute(f"INSERT INTO snapshots ({_COLUMNS}) VALUES ({', '.join('?' * 9)})", attrs.astuple(row))


def next_ids(db: sqlite3.Connection) -> tuple[int, int]:
    """The ids of the next snapshot and of its first node; none was ever in use."""
    last = [db.execute(_SEQUENCE, (name,)).fetchone()[0] for name in ("snapshots", "snapshot_nodes")]
    return last[0] + 1, last[1] + 1


def nodes(db: sqlite3.Connection, node_ids: Sequence[int]) -> dict[int, bytes]:
    """Stored nodes, unchecked; those that are missing are left out."""
    found: dict[int, bytes] = {}
    for start in range(0, len(node_ids), _GROUP):
        some = node_ids[start : start + _GROUP]
        found.update(db.execute(f"{_NODES} ({', '.join('?' * len(some))})", some))
    return found


def seal_node(node_id: int, part: int, number: int, payload: bytes) -> bytes:
    """How a node is stored."""
    return _with_check(b"%d.%d.%d" % (node_id, part, number), payload)


def open_node(node_id: int, part: int, number: int, body: bytes | None) -> bytes:
    """The payload of a stored node, if it is the one that was meant."""
    if body is None:
        raise Damaged(f"its node {node_id} is missing")
    return _checked(b"%d.%d.%d" % (node_id, part, number), body)


def position(db: sqlite3.Connection) -> int:
    """The `seq` up to which sessions were looked at for snapshots that are due."""
    found = db.execute("SELECT seq FROM snapshot_position").fetchone()
    return 0 if found is None else found[0]


def set_position(db: sqlite3.Connection, seq: int) -> None:
    """Remember up to where sessions were looked at."""
    db.execute("INSERT OR REPLACE INTO snapshot_position (one, seq) VALUES (1, ?)", (max(seq, position(db)),))


def active(db: sqlite3.Connection, after: int, upto: int) -> list[str]:
    """The streams that have events with `seq` above `after` and up to `upto`."""
    query = "SELECT DISTINCT session_id FROM events WHERE seq > ? AND seq <= ? ORDER BY session_id"
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
    """Throw all snapshots away, whatever is in their tables."""
    foreign.drop(db, TABLES)


def _with_check(name: bytes, payload: bytes) -> bytes:
    packed = zlib.compress(payload, 1)
    return _check(name, packed) + packed


def _checked(name: bytes, body: bytes) -> bytes:
    if not isinstance(body, bytes) or _check(name, body[_CHECK_BYTES:]) != body[:_CHECK_BYTES]:
        raise Damaged("a part of it does not fit its check")
    return zlib.decompress(body[_CHECK_BYTES:])


def _check(name: bytes, packed: bytes) -> bytes:
    return hashlib.blake2b(b"%d:%b%b" % (len(name), name, packed), digest_size=_CHECK_BYTES).digest()
