"""The decision digest: SHA-256 over (turn, type, schema_version, data) of a session's decisions, one link each.

Two runs with equal digests took the same decisions, whatever their session ids, times and salts. The digest is a
chain, so that it can be continued from the 32 bytes in a stored row when the log grows.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from clawvm_es.journal.ports import Recorded

START = sha256(b"clawvm-es decision 1").digest()
"""The digest of a session without decisions."""


def words(turn: int, event_type: str, schema_version: int) -> bytes:
    """Prefix of the data of a decision: three words, each ended by a blank."""
    return f"{turn} {event_type} {schema_version} ".encode()


def link(digest: bytes, before_data: bytes, data: bytes) -> bytes:
    """The digest after one more decision; the hashed bytes can be split in one way only."""
    return sha256(digest + before_data + data).digest()


def decision_digest(events: Iterable[Recorded]) -> str:
    """The digest of the decisions among a session's events, in order, as 64 hex digits."""
    digest = START
    for event in events:
        if event.kind == "decision":
            digest = link(digest, words(event.turn, event.type, event.schema_version), event.raw)
    return digest.hex()
