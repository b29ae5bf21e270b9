"""The hash chain of a session.

LAW-CHAIN-1: `hash` = SHA-256 over one header of every column but `seq`: a fixed domain tag, the integers as signed
64-bit big endian, the byte lengths of the texts as signed 32-bit (-1 for NULL), the previous hash, then the texts
(UTF-8) one after the other. `cause` has a flag of its own, so that NULL differs from every number.
LAW-CHAIN-2: a stream's first event chains to 32 zero bytes, a fork's to its parent's event.
Vectors: tests/journal/chain_vectors.json.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import Final

from clawvm_es.journal.ports import Recorded

GENESIS: Final = bytes(32)
"""Hash that the first event of a stream chains to."""
HASH_BYTES: Final = 32

_EVENT_TAG: Final = b"clawvm-es event 1\0\0\0"
_SHARED_LENGTHS: Final = struct.Struct(">iiii").pack
# tag; version, turn, schema_version, at, cause; cause given; lengths of four texts, packed; of two more; prev_hash
_EVENT_HEADER: Final = struct.Struct(">20sqqqqq?16sii32s").pack
_SHARED_CACHED: Final = 512
_sha256 = hashlib.sha256


def event_hash(  # noqa: PLR0913, PLR0917 - one argument a column, positional for speed
    session_id: bytes,
    version: int,
    turn: int,
    kind: bytes,
    type_: bytes,
    schema_version: int,
    at_us: int,
    principal: bytes,
    cause: int | None,
    idempotency_key: bytes | None,
    data: bytes,
    prev_hash: bytes,
) -> bytes:
    """The 32-byte hash of one row; texts are given as UTF-8. Raises `struct.error` beyond 64 (lengths: 32) bits."""
    lengths, texts = shared(session_id, kind, type_, principal)
    return chained(version, turn, schema_version, at_us, cause, idempotency_key, data, prev_hash, lengths, texts)


@lru_cache(maxsize=_SHARED_CACHED)
def shared(*texts: bytes) -> tuple[bytes, bytes]:
    """Lengths and bytes of session, kind, type and principal, which many events share, as `chained` takes them."""
    return _SHARED_LENGTHS(*map(len, texts)), b"".join(texts)


def chained(
    version: int,
    turn: int,
    schema_version: int,
    at_us: int,
    cause: int | None,
    idempotency_key: bytes | None,
    data: bytes,
    prev_hash: bytes,
    lengths: bytes,
    texts: bytes,
) -> bytes:
    """The hash that `event_hash` gives, with the first four texts as `shared` gives them."""
    key = idempotency_key
    header = _EVENT_HEADER(
        _EVENT_TAG,
        version,
        turn,
        schema_version,
        at_us,
        0 if cause is None else cause,
        cause is not None,
        lengths,
        -1 if key is None else len(key),
        len(data),
        prev_hash,
    )
    return _sha256(header + texts + data if key is None else header + texts + key + data).digest()


def row_hash(row: Recorded) -> bytes:
    """The hash that a row should have by all its other columns. Raises `struct.error`, `UnicodeEncodeError`."""
    key = row.idempotency_key
    return event_hash(
        row.session_id.encode(),
        row.version,
        row.turn,
        row.kind.encode(),
        row.type.encode(),
        row.schema_version,
        row.at_us,
        row.principal.encode(),
        row.cause,
        None if key is None else key.encode(),
        row.raw,
        row.prev_hash,
    )
