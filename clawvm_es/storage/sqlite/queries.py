"""Every statement of the log, over one connection, and the way from a row to a `Recorded`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from clawvm_es.errors import ClawVMError, JournalDamaged, UnknownEvent
from clawvm_es.journal import planning
from clawvm_es.journal.codec import decode
from clawvm_es.journal.planning import Spot
from clawvm_es.journal.ports import Erased, Recorded
from clawvm_es.journal.vault import Body
from clawvm_es.model.events import Event
from clawvm_es.storage.sqlite.asking import value, value_or_none
from clawvm_es.storage.sqlite.packing import body_bytes, can_be_packed, pack, readable, unpack
from clawvm_es.storage.sqlite.schema import digest_is, name_is, stored_binding

CHUNK: Final = 512
"""Rows fetched by one statement, so that no reader keeps an old snapshot alive and the WAL from shrinking."""

LAST: Final = 2**63 - 1
"""The highest version that there can be."""
COLUMNS: Final = ", ".join(planning.COLUMNS)
INSERT: Final = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join(f'?{place}' for place in range(1, 15))})"
"""Stores a row as it is."""
INSERT_NEXT: Final = INSERT.replace("?13", "x''")
"""Stores a row without its `prev_hash`: the row before it in its stream is stored, too."""

_TAIL = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM events"
_HASHES = "SELECT seq, hash FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_SPOT = "SELECT version, seq, hash FROM events WHERE session_id = ? ORDER BY version DESC LIMIT 1"
_HASH_AT = "SELECT hash FROM events WHERE session_id = ? AND version = ?"
_DATA_AT = "SELECT version, type, schema_version, data FROM events WHERE session_id = ? AND version IN"
_DATA_AFTER = (
    "SELECT version, type, schema_version, data FROM events"
    " WHERE session_id = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?"
)
_STREAM = (
    f"SELECT {COLUMNS} FROM events WHERE session_id = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?"
)
_NAMING = (
    f"SELECT {COLUMNS} FROM events WHERE session_id = ? AND version > ? AND version <= ? AND kind = 'input'"
    " AND ({}) ORDER BY version LIMIT ?"
)
_FIRST = f"SELECT {COLUMNS} FROM events WHERE session_id = ? ORDER BY version LIMIT 1"
_ALL = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_LAST_OF_GROUP = f"""SELECT coalesce((SELECT version - 1 FROM events WHERE session_id = ? AND version > ?
    AND kind <> 'decision' ORDER BY version LIMIT 1), {LAST})"""
_KEYED = "SELECT idempotency_key, version FROM events WHERE session_id = ? AND idempotency_key IN ("
_KEYS_AT_ONCE = 64
_HASHES_AT_ONCE = 4_096
_MARKS = ",".join("?" * _KEYS_AT_ONCE)
_SESSIONS = """WITH RECURSIVE ids (id) AS (
    SELECT min(session_id) FROM events
    UNION ALL SELECT (SELECT min(session_id) FROM events WHERE session_id > id) FROM ids WHERE id IS NOT NULL
) SELECT id FROM ids WHERE id IS NOT NULL"""
_BLOB = f"SELECT blob_id FROM blobs WHERE {digest_is('?1')}"
_INSERT_NEW_BLOB = "INSERT INTO blobs (digest, body) VALUES (?1, ?2)"
_INSERT_BLOB = f"INSERT INTO blobs (digest, body) SELECT ?1, ?2 WHERE NOT EXISTS ({_BLOB})"
"""Takes half as long again: SQLite puts by in a table what it reads from the one that it writes."""
_INSERT_COMMITMENT = (
    f"INSERT INTO commitments (commitment, session_id, salt, blob_id, binding) VALUES (?2, ?3, ?4, ({_BLOB}), ?5)"
)
"""Parameter 1 is the digest of the body; NULL for a sealed one, which has no row."""
_UNSEAL = f"UPDATE commitments SET blob_id = ({_BLOB}), binding = ?3 WHERE {name_is('?2')}"
_VERSIONS_AT_ONCE: Final = 500
_COMMITMENT_OF = f"""SELECT commitment FROM blobs b JOIN commitments c ON c.blob_id = b.blob_id
    WHERE {digest_is("?1")} AND session_id = ?2 ORDER BY commitment_id LIMIT 1"""
_HOLDERS = f"""SELECT DISTINCT o.session_id, o.commitment
    FROM (SELECT blob_id, commitment_id FROM commitments WHERE {name_is("?1")}) c
    JOIN commitments o ON o.blob_id = c.blob_id OR o.commitment_id = c.commitment_id ORDER BY o.commitment_id"""
_UNHELD = """SELECT blob_id, digest, body FROM blobs WHERE blob_id = ?1
    AND NOT EXISTS (SELECT 1 FROM commitments WHERE blob_id = ?1)"""
_AMONG = f"FROM json_each(?1) AS wanted CROSS JOIN commitments ON {name_is('wanted.value')}"
_BODIES = f"SELECT commitment, digest, body {_AMONG} JOIN blobs USING (blob_id)"
_BLOBS_OF = f"SELECT commitment, blob_id {_AMONG}"
_STORED = f"""SELECT salt, digest, body FROM commitments c LEFT JOIN blobs b ON b.blob_id = c.blob_id
    WHERE {name_is("?1")}"""


def tail(db: sqlite3.Connection) -> tuple[int, bytes] | None:
    """Seq and hash of the log's last event."""
    return db.execute(_TAIL).fetchone()  # type: ignore[no-any-return]


def last_seq(db: sqlite3.Connection) -> int:
    """Seq of the log's last event; 0 if it is empty."""
    return value(db, _LAST_SEQ)  # type: ignore[no-any-return]


def hashes(db: sqlite3.Connection, after: int, upto: int) -> list[tuple[Any, Any]]:
    """The next seqs and hashes of the log above seq `after`, up to `upto`, some thousands at most."""
    return db.execute(_HASHES, (after, upto, _HASHES_AT_ONCE)).fetchall()


def spot(db: sqlite3.Connection, session_id: str) -> Spot | None:
    """Return the head of one stream."""
    return db.execute(_SPOT, (session_id,)).fetchone()  # type: ignore[no-any-return]


def spots(db: sqlite3.Connection) -> dict[str, Spot]:
    """Return the heads of all streams by session id: one index probe a stream, whatever their length."""
    found = ((session_id, spot(db, session_id)) for (session_id,) in db.execute(_SESSIONS).fetchall())
    return {session_id: place for session_id, place in found if place is not None}


def hash_at(db: sqlite3.Connection, session_id: str, version: int) -> bytes | None:
    """The hash of one event."""
    return value_or_none(db, _HASH_AT, (session_id, version))  # type: ignore[no-any-return]


def events_at(db: sqlite3.Connection, session_id: str, versions: Sequence[int]) -> list[tuple[int, Event]]:
    """Versions and events of one stream at some versions; those that are not there are left out."""
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(versions), _VERSIONS_AT_ONCE):
        some = versions[start : start + _VERSIONS_AT_ONCE]
        rows += db.execute(f"{_DATA_AT} ({', '.join('?' * len(some))})", (session_id, *some))
    return _events(session_id, rows)


def events_after(db: sqlite3.Connection, session_id: str, after: int, upto: int) -> list[tuple[int, Event]]:
    """Versions and events of one stream above version `after`, up to `upto`, at most `CHUNK`."""
    return _events(session_id, db.execute(_DATA_AFTER, (session_id, after, upto, CHUNK)).fetchall())


def _events(session_id: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, Event]]:
    """Versions and events of rows of one stream."""
    try:
        return [(row[0], decode(row[1], row[2], row[3].encode())) for row in rows]
    except (ClawVMError, AttributeError, TypeError):
        return [(row[0], _event(session_id, *row)) for row in rows]  # raises with the place of the row


def _event(session_id: str, version: int, type_: str, schema_version: int, data: str) -> Event:
    where = f"session {session_id} version {version}"
    try:
        return decode(type_, schema_version, data.encode(), where=where)
    except (AttributeError, TypeError) as error:
        raise JournalDamaged(f"{where}: {error}") from error


def append(db: sqlite3.Connection, rows: Sequence[planning.Row], begins: bool) -> None:
    """Write rows of one stream, the first of which may begin it."""
    if begins:
        db.execute(INSERT, rows[0])
        rows = rows[1:]
    if len(rows) == 1:
        db.execute(INSERT_NEXT, rows[0])
    else:
        db.executemany(INSERT_NEXT, rows)


def _chained(db: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows in rising order, each with its `prev_hash`, also where that is not stored."""
    last: dict[str, tuple[int, bytes]] = {}
    for place, row in enumerate(rows):
        session_id, version = row[1:3]
        if row[12] == b"":
            before = last.get(session_id)
            known = before is not None and before[0] == version - 1
            prev_hash = before[1] if before and known else hash_at(db, session_id, version - 1)
            rows[place] = (*row[:12], prev_hash or b"", row[13])
        last[session_id] = (version, row[13])
    return rows


def first(db: sqlite3.Connection, session_id: str) -> list[tuple[Any, ...]]:
    """The first row of one stream, if it has any."""
    return _chained(db, db.execute(_FIRST, (session_id,)).fetchall())


def stream_chunk(
    db: sqlite3.Connection, session_id: str, after: int, upto: int, most: int = CHUNK
) -> list[tuple[Any, ...]]:
    """The next rows of one stream above version `after`, up to `upto`, at most so many."""
    return _chained(db, db.execute(_STREAM, (session_id, after, upto, most)).fetchall())


def naming_chunk(
    db: sqlite3.Connection, session_id: str, names: Sequence[str], after: int, upto: int
) -> list[tuple[Any, ...]]:
    """The next inputs of one stream, as `stream_chunk`, that name one of some commitments."""
    query = _NAMING.format(" OR ".join(["data GLOB ?"] * len(names)))
    asked = (session_id, after, upto, *(f"*{name}*" for name in names), CHUNK)
    return _chained(db, db.execute(query, asked).fetchall())


def all_chunk(db: sqlite3.Connection, after: int, upto: int) -> list[tuple[Any, ...]]:
    """The next rows of the log above seq `after`, up to `upto`, at most `CHUNK`."""
    return _chained(db, db.execute(_ALL, (after, upto, CHUNK)).fetchall())


def keyed(db: sqlite3.Connection, session_id: str, keys: Sequence[str]) -> dict[str, Recorded]:
    """The inputs of one stream that are recorded under any of `keys`, by key."""
    found: dict[str, Recorded] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        for key, version in db.execute(_KEYED + _MARKS[: 2 * len(some) - 1] + ")", (session_id, *some)).fetchall():
            found.update(
                (key, recorded) for recorded in recordeds(stream_chunk(db, session_id, version - 1, version))
            )
    return found


def group(db: sqlite3.Connection, first: Recorded) -> tuple[Recorded, ...]:
    """An input and the decisions that directly follow it in its stream."""
    found = [first]
    upto = value(db, _LAST_OF_GROUP, (first.session_id, first.version))
    while rows := stream_chunk(db, first.session_id, found[-1].version, upto):
        found.extend(recordeds(rows))
    return tuple(found)


def recordeds(rows: Iterable[tuple[Any, ...]]) -> Iterator[Recorded]:
    """Decode rows that hold `COLUMNS`; raises `UnknownEvent`, `JournalDamaged`."""
    for row in rows:
        try:
            raw = row[11].encode()
            data = decode(row[5], row[6], raw)
        except (ClawVMError, AttributeError, TypeError) as error:
            kind = UnknownEvent if isinstance(error, UnknownEvent) else JournalDamaged
            where = f"session {row[1]} version {row[2]} (seq {row[0]})"
            raise kind(f"{where}: {getattr(error, 'message', error)}", hint=getattr(error, "hint", "")) from error
        yield Recorded._make((*row[:11], raw, row[12], row[13], data))


def commitment_of(db: sqlite3.Connection, session_id: str, digest: bytes) -> str | None:
    """The first commitment of a session to a stored body, by the body's SHA-256."""
    return value_or_none(db, _COMMITMENT_OF, (digest, session_id))  # type: ignore[no-any-return]


def stored(db: sqlite3.Connection, commitment: str) -> tuple[bytes, bytes | None] | None:
    """Salt and body (None: sealed) behind a commitment."""
    row = db.execute(_STORED, (commitment,)).fetchone()
    if row is None:
        return None
    salt, digest, body = row
    return salt, None if body is None else unpack(body, digest)


def bodies(db: sqlite3.Connection, commitments: Sequence[str]) -> dict[str, bytes]:
    """Commitment → body, of those that are stored with one."""
    return {name: unpack(stored, digest) for name, digest, stored in _named(db, _BODIES, commitments)}


def blobs_of(db: sqlite3.Connection, commitments: Collection[str]) -> list[tuple[str, int | None]]:
    """Commitments with the ids of their bodies (None: sealed); those that are not stored are left out."""
    return list(_named(db, _BLOBS_OF, commitments))


def store(db: sqlite3.Connection, bodies: Sequence[Body]) -> None:
    """Write commitments and, unless sealed or already there, their bodies; a sealed one may get its body later."""
    names = [body.commitment for body in bodies if not body.fresh]
    known = dict(blobs_of(db, names))
    blobs: list[tuple[bytes, bytes]] = []
    fresh: list[tuple[bytes | None, str, str, bytes, bytes]] = []
    unsealed: list[tuple[bytes, str, bytes]] = []
    for body in bodies:
        name, digest, text = body.commitment, body.digest, body.body
        if name not in known:
            named = None if body.sealed else digest
            fresh.append((named, name, body.session_id, body.salt, stored_binding(body.binding)))
        elif not body.sealed and known[name] is None:
            unsealed.append((digest, name, stored_binding(body.binding)))
        else:
            continue
        if not body.sealed and not (can_be_packed(text) and db.execute(_BLOB, (digest,)).fetchone()):
            blobs.append((digest, pack(text)))
    try:
        db.executemany(_INSERT_NEW_BLOB, blobs)
    except sqlite3.IntegrityError:  # another session keeps one of them
        db.executemany(_INSERT_BLOB, blobs)
    db.executemany(_INSERT_COMMITMENT, fresh)
    if unsealed:
        db.executemany(_UNSEAL, unsealed)


def bodies_kept(db: sqlite3.Connection, session_id: str | None = None) -> tuple[int, int]:
    """The number of bodies, of one session or of all, and their bytes."""
    which = "" if session_id is None else " WHERE blob_id IN (SELECT blob_id FROM commitments WHERE session_id = ?)"
    rows = db.execute(f"SELECT body, digest FROM blobs{which}", () if session_id is None else (session_id,))
    sizes = [body_bytes(stored, digest) for stored, digest in rows]
    return len(sizes), sum(sizes)


def holders(db: sqlite3.Connection, commitment: str) -> tuple[tuple[str, str], ...]:
    """(session, commitment) of all that stand for the same body, by age; only itself where it is sealed."""
    return tuple(db.execute(_HOLDERS, (commitment,)).fetchall())


def erase(db: sqlite3.Connection, commitments: Sequence[str]) -> tuple[Erased, ...]:
    """Delete commitments, and the bodies that nothing stands for then; returns those bodies."""
    ids = {blob_id for _, blob_id in blobs_of(db, commitments)}
    gone = f"DELETE FROM commitments WHERE {name_is('?1')}"
    db.executemany(gone, [(commitment,) for commitment in commitments])
    lonely = [
        Erased(blob_id, readable(stored, digest), stored)
        for blob_id in sorted(blob_id for blob_id in ids if blob_id is not None)
        for _, digest, stored in db.execute(_UNHELD, (blob_id,)).fetchall()
    ]
    db.executemany("DELETE FROM blobs WHERE blob_id = ?", [(erased.blob_id,) for erased in lonely])
    return tuple(lonely)


def _named(db: sqlite3.Connection, query: str, names: Collection[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query over `_AMONG` for all commitments; the statement is the same, however many there are."""
    return db.execute(query, (msgspec.json.encode(names).decode(),)) if names else iter(())
