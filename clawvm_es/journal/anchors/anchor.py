"""Checkpoints of a log, and the check of a log against one.

LAW-ANCHOR-1: before a checkpoint is signed, its events are on the disk and it is checked to continue every earlier
checkpoint given. So two checkpoints of one key never contradict each other unnoticed.
LAW-ANCHOR-2: a log fails an earlier checkpoint if it was cut, if events changed places across sessions, or if it was
chained anew.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import attrs

from clawvm_es.errors import AnchorRefused, JournalDamaged
from clawvm_es.journal.anchors import merkle
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey
from clawvm_es.journal.anchors.notes import Checkpoint, from_base64, open_note, sign
from clawvm_es.journal.ports import Anchoring, EventLog, anchoring


@attrs.frozen
class Anchored:
    """A log that passed: its first `seq` events are the signed ones; `later` events came after."""

    seq: int
    later: int

    def __str__(self) -> str:
        return f"anchored to seq {self.seq}, {self.later} later events unanchored"


def take_checkpoint(log: EventLog, key: SecretKey, earlier: Iterable[bytes] = ()) -> tuple[bytes, tuple[bytes, ...]]:
    """The signed note of the log's present state, and for each earlier note the consistency proof (`proof_text`).

    Raises `AnchorRefused` if an earlier note is not signed by the same key, or the log does not continue it.
    """
    anchored = anchoring(log, "a checkpoint")
    before = [open_note(raw, key.public) for raw in earlier]
    size = anchored.size()
    for old in before:
        _check_beginning(old, log.journal_id, size)
    spans = {old: merkle.consistency_spans(old.size, size) for old in before}
    wanted = {(0, size), *((0, old.size) for old in before), *(span for found in spans.values() for span in found)}
    roots = _roots(anchored, size, wanted)
    for old in before:
        _check_root(old, roots[0, old.size])
    anchored.sync()
    note = sign(Checkpoint(log.journal_id, size, roots[0, size]), key)
    return note, tuple(proof_text(old.size, [roots[span] for span in spans[old]], note) for old in before)


def check_anchor(log: EventLog, note: bytes, key: PublicKey, now_s: int) -> Anchored:
    """Check a log against a signed note; raises `AnchorRefused`, which names the mismatch.

    The stored hashes are taken as given; `verify` checks that they are the hashes of their rows.
    """
    anchored = anchoring(log, "an anchor")
    checkpoint = open_note(note, key)
    if key.expired(now_s):
        raise AnchorRefused("key", f"the key {key.name} was good until {key.not_after}")
    try:
        size = anchored.size()
        check_root(log, checkpoint)
    except JournalDamaged as error:
        raise AnchorRefused("read", error.message, hint=error.hint) from error
    return Anchored(checkpoint.size, size - checkpoint.size)


def check_root(log: EventLog, checkpoint: Checkpoint) -> None:
    """Raise `AnchorRefused` unless the log begins with the events of a checkpoint."""
    anchored = anchoring(log, "an anchor")
    _check_beginning(checkpoint, log.journal_id, anchored.size())
    _check_root(checkpoint, _roots(anchored, checkpoint.size, [(0, checkpoint.size)])[0, checkpoint.size])


def inclusion_proofs(log: EventLog, seqs: Sequence[int], size: int) -> list[list[bytes]]:
    """For each event its inclusion proof in the tree of the first `size` events, lowest node first."""
    spans = [merkle.inclusion_spans(seq - 1, size) for seq in seqs]
    roots = _roots(anchoring(log, "a proof"), size, {span for found in spans for span in found})
    return [[roots[span] for span in found] for found in spans]


def rest_roots(log: EventLog, seqs: Sequence[int], size: int) -> list[bytes]:
    """Return the hashes that give, with these events in order, the root of the first `size` (`merkle.rest_spans`)."""
    spans = merkle.rest_spans([seq - 1 for seq in seqs], size)
    roots = _roots(anchoring(log, "a proof"), size, spans)
    return [roots[span] for span in spans]


def proof_text(first: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """A consistency proof with the note to which it leads, in the form of c2sp.org/tlog-witness (add-checkpoint)."""
    lines = [f"old {first}", *(base64.b64encode(node).decode() for node in proof), "", ""]
    return "\n".join(lines).encode() + note


def verify_proof_text(raw: bytes, earlier: bytes, key: PublicKey) -> tuple[Checkpoint, Checkpoint]:
    """The two checkpoints that a proof connects; needs no log. Raises `AnchorRefused` if anything does not verify."""
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


def _check_beginning(checkpoint: Checkpoint, journal_id: str, size: int) -> None:
    if checkpoint.origin != journal_id:
        raise AnchorRefused("origin", f"the checkpoint is of the journal {checkpoint.origin}, this is {journal_id}")
    if checkpoint.size > size:
        cut = checkpoint.size - size
        raise AnchorRefused("size", f"the checkpoint has {checkpoint.size} events, so {cut} of the last are missing")


def _check_root(checkpoint: Checkpoint, root: bytes) -> None:
    if checkpoint.root != root:
        raise AnchorRefused("root", f"the first {checkpoint.size} events are not those of the checkpoint")


def _roots(log: Anchoring, size: int, spans: Iterable[merkle.Span]) -> dict[merkle.Span, bytes]:
    """The roots of spans that all end within the first `size` events, in one pass over them."""
    empty = {span: merkle.root_of(()) for span in spans if span[0] == span[1]}
    wanted = [span for span in spans if span[0] < span[1]]
    return empty | merkle.roots(log.hashes(0, size), wanted) if wanted else empty
