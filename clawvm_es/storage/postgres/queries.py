"""Every statement that reads the log, and the way from a row to a `Recorded`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from clawvm_es.errors import ClawVMError, JournalDamaged, UnknownEvent
from clawvm_es.journal import planning
from clawvm_es.journal.codec import decode
from clawvm_es.journal.planning import Spot
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.events import Event
from clawvm_es.storage.postgres.server import Line

CHUNK: Final = 512
"""Rows fetched by one statement, so that no reader keeps the server from removing dead rows."""
LAST: Final = 2**63 - 1
"""The highest version that there can be."""
COLUMNS: Final = ", ".join(planning.COLUMNS)

_TAIL = "SELECT coalesce(max(seq), 0) FROM {s}.events"
_SPOT = "SELECT version, seq, hash FROM {s}.events WHERE session_id = %s ORDER BY version DESC LIMIT 1"
_SPOTS = """WITH RECURSIVE ids (id) AS (
    (SELECT session_id FROM {s}.events ORDER BY session_id LIMIT 1)
    UNION ALL
    SELECT (SELECT session_id FROM {s}.events WHERE session_id > id ORDER BY session_id LIMIT 1)
    FROM ids WHERE id IS NOT NULL
) SELECT id, head.* FROM ids CROSS JOIN LATERAL (
    SELECT version, seq, hash FROM {s}.events WHERE session_id = id ORDER BY version DESC LIMIT 1
) AS head WHERE id IS NOT NULL ORDER BY id"""
_PLACED = "SELECT seq, hash FROM {s}.events WHERE session_id = %s AND version = %s"
_HASHES = "SELECT seq, hash FROM {s}.events WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT 4096"
_FIRST = f"SELECT {COLUMNS} FROM {{s}}.events WHERE session_id = %s ORDER BY version LIMIT 1"
_STREAM = (
    f"SELECT {COLUMNS} FROM {{s}}.events WHERE session_id = %s AND version > %s AND version <= %s"
    f" ORDER BY version LIMIT {CHUNK}"
)
_NAMING = (
    f"SELECT {COLUMNS} FROM {{s}}.events WHERE session_id = %s AND version > %s AND version <= %s"
    f" AND kind = 'input' AND data LIKE ANY (%s) ORDER BY version LIMIT {CHUNK}"
)
_ALL = f"SELECT {COLUMNS} FROM {{s}}.events WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT {CHUNK}"
_KEYED = f"SELECT {COLUMNS} FROM {{s}}.events WHERE session_id = %s AND idempotency_key = ANY (%s)"
_NEXT_INPUT = (
    "SELECT version FROM {s}.events WHERE session_id = %s AND version > %s AND kind <> 'decision'"
    " ORDER BY version LIMIT 1"
)
_DATA_AT = "SELECT version, type, schema_version, data FROM {s}.events WHERE session_id = %s AND version = ANY (%s)"
_DATA_AFTER = (
    "SELECT version, type, schema_version, data FROM {s}.events"
    f" WHERE session_id = %s AND version > %s AND version <= %s ORDER BY version LIMIT {CHUNK}"
)
_ACTIVE = "SELECT session_id FROM {s}.events WHERE seq > %s AND seq <= %s GROUP BY session_id ORDER BY min(seq)"
_STORED = """SELECT salt, body FROM {s}.commitments LEFT JOIN {s}.blobs USING (blob_id) WHERE commitment = %s"""
_BODIES = "SELECT commitment, body FROM {s}.commitments JOIN {s}.blobs USING (blob_id) WHERE commitment = ANY (%s)"
_COMMITMENT_OF = """SELECT commitment FROM {s}.blobs JOIN {s}.commitments USING (blob_id)
    WHERE digest = %s AND session_id = %s ORDER BY commitment_id LIMIT 1"""
_HOLDERS = """SELECT DISTINCT other.commitment_id, other.session_id, other.commitment
    FROM {s}.commitments AS own JOIN {s}.commitments AS other
    ON other.blob_id = own.blob_id OR other.commitment_id = own.commitment_id
    WHERE own.commitment = %s ORDER BY other.commitment_id"""
_KEPT = "SELECT count(*), coalesce(sum(length(body)), 0)::bigint FROM {s}.blobs"
_OF_SESSION = " WHERE blob_id IN (SELECT blob_id FROM {s}.commitments WHERE session_id = %s)"
_UNHELD = """SELECT blob_id, body FROM {s}.blobs WHERE blob_id = ANY (%s)
    AND NOT EXISTS (SELECT 1 FROM {s}.commitments WHERE commitments.blob_id = blobs.blob_id) ORDER BY blob_id"""


def tail(line: Line) -> int:
    """The last `seq` of the log; 0 if it is empty."""
    return int(line.value(_TAIL))


def spot(line: Line, session_id: str) -> Spot | None:
    """Return the head of one stream."""
    found = line.run(_SPOT, (session_id,)).fetchone()
    return None if found is None else (found[0], found[1], found[2])


def spots(line: Line) -> dict[str, Spot]:
    """Return the heads of all streams by session id: one probe of the index a stream."""
    return {row[0]: (row[1], row[2], row[3]) for row in line.run(_SPOTS)}


def placed(line: Line, session_id: str, version: int) -> tuple[int, bytes] | None:
    """Seq and hash of one event."""
    found = line.run(_PLACED, (session_id, version)).fetchone()
    return None if found is None else (found[0], found[1])


def hash_at(line: Line, session_id: str, version: int) -> bytes | None:
    """The hash of one event."""
    found = placed(line, session_id, version)
    return None if found is None else found[1]


def hashes(line: Line, after: int, upto: int) -> list[tuple[Any, ...]]:
    """The next seqs and hashes of the log above seq `after`, up to `upto`, some thousands at most."""
    return line.run(_HASHES, (after, upto)).fetchall()


def first(line: Line, session_id: str) -> Recorded | None:
    """The first event of a stream, if it has any."""
    return next(recordeds(line.run(_FIRST, (session_id,)).fetchall()), None)


def stream_chunk(line: Line, session_id: str, after: int, upto: int) -> list[tuple[Any, ...]]:
    """The next rows of one stream above version `after`, up to `upto`, at most `CHUNK`."""
    return line.run(_STREAM, (session_id, after, upto)).fetchall()


def naming_chunk(line: Line, session_id: str, names: Sequence[str], after: int, upto: int) -> list[tuple[Any, ...]]:
    """The next inputs of one stream, as `stream_chunk`, that name one of some commitments."""
    return line.run(_NAMING, (session_id, after, upto, [f"%{name}%" for name in names])).fetchall()


def all_chunk(line: Line, after: int, upto: int) -> list[tuple[Any, ...]]:
    """The next rows of the log above seq `after`, up to `upto`, at most `CHUNK`."""
    return line.run(_ALL, (after, upto)).fetchall()


def keyed(line: Line, session_id: str, keys: Sequence[str]) -> dict[str, Recorded]:
    """The inputs of one stream that are recorded under any of `keys`, by key."""
    found = recordeds(line.run(_KEYED, (session_id, list(keys))).fetchall())
    return {str(each.idempotency_key): each for each in found}


def group(line: Line, first: Recorded) -> tuple[Recorded, ...]:
    """An input and the decisions that directly follow it in its stream."""
    found = [first]
    before = line.run(_NEXT_INPUT, (first.session_id, first.version)).fetchone()
    upto = 2**62 if before is None else before[0] - 1
    while rows := stream_chunk(line, first.session_id, found[-1].version, upto):
        found.extend(recordeds(rows))
    return tuple(found)


def recordeds(rows: Iterable[tuple[Any, ...]]) -> Iterator[Recorded]:
    """Decode rows that hold `COLUMNS`; raises `UnknownEvent`, `JournalDamaged`."""
    for row in rows:
        raw = row[11].encode()
        try:
            data = decode(row[5], row[6], raw)
        except (ClawVMError, AttributeError, TypeError) as error:
            kind = UnknownEvent if isinstance(error, UnknownEvent) else JournalDamaged
            where = f"session {row[1]} version {row[2]} (seq {row[0]})"
            raise kind(f"{where}: {getattr(error, 'message', error)}", hint=getattr(error, "hint", "")) from error
        yield Recorded._make((*row[:11], raw, row[12], row[13], data))


def events_at(line: Line, session_id: str, versions: Sequence[int]) -> dict[int, Event]:
    """The events of a stream at some versions; those that are not there are left out."""
    return dict(_events(session_id, line.run(_DATA_AT, (session_id, list(versions))).fetchall()))


def events_after(line: Line, session_id: str, after: int, upto: int) -> list[tuple[int, Event]]:
    """Versions and events of one stream above version `after`, up to `upto`, at most `CHUNK`."""
    return list(_events(session_id, line.run(_DATA_AFTER, (session_id, after, upto)).fetchall()))


def _events(session_id: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Event]]:
    for version, type_, schema_version, data in rows:
        where = f"session {session_id} version {version}"
        try:
            yield version, decode(type_, schema_version, data.encode(), where=where)
        except (AttributeError, TypeError) as error:
            raise JournalDamaged(f"{where}: {error}") from error


def active(line: Line, after: int, upto: int) -> list[str]:
    """The streams that have events with `seq` above `after` and up to `upto`."""
    return [session_id for (session_id,) in line.run(_ACTIVE, (after, upto))]


def commitment_of(line: Line, session_id: str, digest: bytes) -> str | None:
    """The first commitment of a session to a stored body, by the body's SHA-256."""
    return line.value_or_none(_COMMITMENT_OF, (digest, session_id))  # type: ignore[no-any-return]


def stored(line: Line, commitment: str) -> tuple[bytes, bytes | None] | None:
    """Salt and body (None: sealed) behind a commitment."""
    found = line.run(_STORED, (commitment,)).fetchone()
    return None if found is None else (found[0], found[1])


def bodies(line: Line, commitments: Sequence[str]) -> dict[str, bytes]:
    """Commitment → body, of those that are stored with one."""
    return dict(line.run(_BODIES, (list(commitments),)).fetchall())


def holders(line: Line, commitment: str) -> tuple[tuple[str, str], ...]:
    """(session, commitment) of all that stand for the same body, by age; only itself where it is sealed."""
    return tuple((row[1], row[2]) for row in line.run(_HOLDERS, (commitment,)))


def bodies_kept(line: Line, session_id: str | None) -> tuple[int, int]:
    """The number of bodies, of one session or of all, and their bytes."""
    query, values = (_KEPT, ()) if session_id is None else (_KEPT + _OF_SESSION, (session_id,))
    ((count, size),) = line.run(query, values)
    return count, size


def unheld(line: Line, blob_ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """The bodies among some for which no commitment stands."""
    return line.run(_UNHELD, (list(blob_ids),)).fetchall()
