"""Checkpoints of a log, and a log held against one.

LAW-ANCHOR-1: what a checkpoint was made of is on the disk before it is signed, and goes on from every earlier
checkpoint that is given: two checkpoints of one key never contradict each other unnoticed.
LAW-ANCHOR-2: a log that was cut, whose sessions' events changed places, or that was chained anew does not pass a
checkpoint made before.
"""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import attrs

from clawvm_es import files
from clawvm_es.errors import AnchorRefused, JournalDamaged
from clawvm_es.journal.anchors import merkle
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey
from clawvm_es.journal.anchors.notes import Checkpoint, from_base64, open_note, sign
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite import opening
from clawvm_es.storage.sqlite.log import SQLiteLog

_T = TypeVar("_T")
_CHUNK: Final = 4_096
_TAIL: Final = "SELECT coalesce(max(seq), 0) FROM events"
_HASHES: Final = "SELECT seq, hash FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_DAMAGE: Final = (sqlite3.Error, AttributeError, LookupError, TypeError, UnicodeError)


@attrs.frozen
class Anchored:
    """A log that passed: its first `seq` events are what was signed; `later` ones came after."""

    seq: int
    later: int

    def __str__(self) -> str:
        return f"anchored to seq {self.seq}, {self.later} later events unanchored"


def take_checkpoint(
    log: SQLiteLog | MemoryLog, key: SecretKey, earlier: Iterable[bytes] = ()
) -> tuple[bytes, tuple[bytes, ...]]:
    """The signed note of the log as it stands, and of each earlier note the consistency proof (`proof_text`).

    Raises `AnchorRefused` where an earlier note is not signed by the same key, or the log does not go on from it.
    """
    before = [open_note(raw, key.public) for raw in earlier]
    size = log_size(log)
    for old in before:
        _check_beginning(old, log.journal_id, size)
    spans = {old: merkle.consistency_spans(old.size, size) for old in before}
    wanted = {(0, size), *((0, old.size) for old in before), *(span for found in spans.values() for span in found)}
    roots = _roots(log, size, wanted)
    for old in before:
        _check_root(old, roots[0, old.size])
    if isinstance(log, SQLiteLog):
        _to_disk(log.path)
    note = sign(Checkpoint(log.journal_id, size, roots[0, size]), key)
    return note, tuple(proof_text(old.size, [roots[span] for span in spans[old]], note) for old in before)


def check_anchor(log: SQLiteLog | MemoryLog, note: bytes, key: PublicKey, now_s: int) -> Anchored:
    """Hold a log against a signed note; raises `AnchorRefused`, which names what does not fit.

    The hashes that the log stores are taken as they are: whether they are those of its rows, `verify_log` says.
    """
    checkpoint = open_note(note, key)
    if key.expired(now_s):
        raise AnchorRefused("key", f"the key {key.name} was good until {key.not_after}")
    try:
        size = log_size(log)
        _check_beginning(checkpoint, log.journal_id, size)
        check_root(log, checkpoint)
    except JournalDamaged as error:
        raise AnchorRefused("read", error.message, hint=error.hint) from error
    return Anchored(checkpoint.size, size - checkpoint.size)


def check_root(log: SQLiteLog | MemoryLog, checkpoint: Checkpoint) -> None:
    """Raise `AnchorRefused` unless the log's first events are those of a checkpoint."""
    _check_beginning(checkpoint, log.journal_id, log_size(log))
    _check_root(checkpoint, _roots(log, checkpoint.size, [(0, checkpoint.size)])[0, checkpoint.size])


def inclusion_proofs(log: SQLiteLog | MemoryLog, seqs: Sequence[int], size: int) -> list[list[bytes]]:
    """For each event its inclusion proof in the tree of the first `size` events, lowest node first."""
    spans = [merkle.inclusion_spans(seq - 1, size) for seq in seqs]
    roots = _roots(log, size, {span for found in spans for span in found})
    return [[roots[span] for span in found] for found in spans]


def rest_roots(log: SQLiteLog | MemoryLog, seqs: Sequence[int], size: int) -> list[bytes]:
    """What is needed beside these events (in order) to work out the root of the first `size`: `merkle.rest_spans`."""
    spans = merkle.rest_spans([seq - 1 for seq in seqs], size)
    roots = _roots(log, size, spans)
    return [roots[span] for span in spans]


def proof_text(first: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """A consistency proof with the note that it leads to, in the form of c2sp.org/tlog-witness (add-checkpoint)."""
    lines = [f"old {first}", *(base64.b64encode(node).decode() for node in proof), "", ""]
    return "\n".join(lines).encode() + note


def verify_proof_text(raw: bytes, earlier: bytes, key: PublicKey) -> tuple[Checkpoint, Checkpoint]:
    """The two checkpoints that a proof joins; needs no log. Raises `AnchorRefused` unless all of it verifies."""
    head, gap, note = raw.partition(b"\n\n")
    first, *coded = head.decode("utf-8", "replace").split("\n")
    old, new = open_note(earlier, key), open_note(note, key)
    proof = [node for node in map(from_base64, coded) if node is not None]
    if not gap or first != f"old {old.size}" or len(proof) != len(coded):
        raise AnchorRefused("note", f"this is no consistency proof from {old.size} events on")
    if old.origin != new.origin:
        raise AnchorRefused("origin", f"the checkpoints are of {old.origin} and of {new.origin}")
    if not merkle.consistent(old.size, new.size, old.root, new.root, proof):
        raise AnchorRefused("root", f"the log of {new.size} events does not go on from that of {old.size}")
    return old, new


def log_size(log: SQLiteLog | MemoryLog) -> int:
    """How many events a log has; raises `JournalDamaged`."""
    if isinstance(log, MemoryLog):
        return max((head.seq for head in log.heads()), default=0)
    return _query(log.path, lambda db: int(db.execute(_TAIL).fetchone()[0]))


def _check_beginning(checkpoint: Checkpoint, journal_id: str, size: int) -> None:
    if checkpoint.origin != journal_id:
        raise AnchorRefused("origin", f"the checkpoint is of the journal {checkpoint.origin}, this is {journal_id}")
    if checkpoint.size > size:
        cut = checkpoint.size - size
        raise AnchorRefused("size", f"the checkpoint has {checkpoint.size} events, so {cut} of the last are missing")


def _check_root(checkpoint: Checkpoint, root: bytes) -> None:
    if checkpoint.root != root:
        raise AnchorRefused("root", f"the first {checkpoint.size} events are not those of the checkpoint")


def _roots(log: SQLiteLog | MemoryLog, size: int, spans: Iterable[merkle.Span]) -> dict[merkle.Span, bytes]:
    """The roots of spans that all end within the first `size` events, in one pass over them."""
    empty = {span: merkle.root_of(()) for span in spans if span[0] == span[1]}
    wanted = [span for span in spans if span[0] < span[1]]
    if not wanted:
        return empty
    if isinstance(log, MemoryLog):
        return empty | merkle.roots((row.hash for row in log.read_all(upto_seq=size)), wanted)
    return empty | _query(log.path, lambda db: merkle.roots(_hashes(db, size), wanted))


def _hashes(db: sqlite3.Connection, size: int) -> Iterator[bytes]:
    """The stored hashes of the first `size` events; raises `JournalDamaged` where a number or a hash is missing."""
    seq = 0
    while rows := db.execute(_HASHES, (seq, size, _CHUNK)).fetchall():
        for found, hash_ in rows:
            seq += 1
            if found != seq or not isinstance(hash_, bytes) or len(hash_) != merkle.HASH_BYTES:
                raise JournalDamaged(f"there is no event with seq {seq} and a hash")
            yield hash_
    if seq != size:
        raise JournalDamaged(f"the log ends at seq {seq}, before {size}")


def _query(path: str, query: Callable[[sqlite3.Connection], _T]) -> _T:
    """Ask over a connection of our own, which no lock or cache of the log is needed for."""
    try:
        db = opening.connect_reader(path, read_only=True)
        try:
            return query(db)
        finally:
            db.close()
    except _DAMAGE as error:
        raise opening.translate(error, path) from error


def _to_disk(path: str) -> None:
    """Make what was read durable: the WAL, as far as it is not in the file (SQLite syncs what it copies there).

    The file itself is not opened: closing it would drop the locks that SQLite holds on it for this process.
    """
    for place in (path + "-wal", os.path.dirname(path)):
        with suppress(FileNotFoundError):
            files.sync_path(place)
