r"""Bundles: sessions of a journal in one file, which anyone with the signer's public key can verify.

Canonical JSON lines (sorted keys, no blanks, UTF-8, `\n`), by field `line`:

- `header`: `format`, `version`, `journal_id`, and per stream `session_id`, `first` and `last` (versions), by id.
- `event`, in the order of the log: every column of the envelope; `data` is the stored text, hashes are in hex.
- `commitment`, in their own order: `commitment`, `salt` (hex), `body` (base64; null if only its salt is kept).
- `end`: `sha256` of all bytes before the line, `checkpoint` (the signed note), per stream its last event's `seq` with
  its inclusion `proof` (hex, lowest node first), and `rest`, the roots of the largest subtrees without an event of
  the bundle, left to right: with the events they give the signed root, so that every `seq` is proven.

LAW-BUNDLE-1: a bundle holds all that its sessions' chains and folds need: fork parents up to the fork, shared
scopes up to the last version learned or published, and the body of every commitment that an event names, unless an
event of the bundle says that it was erased.
LAW-BUNDLE-2: everything in a bundle is as of the checkpoint. A bundle does not prove that a stream ends there. It
proves the salt of a prompt only once the prompt's text is rendered again.

`clawvm_es/verify_bundle.py` checks all this, with the standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import msgspec

from clawvm_es.errors import AnchorRefused, UsageError
from clawvm_es.journal.anchors import Checkpoint, inclusion_proofs, rest_roots, unverified
from clawvm_es.journal.anchors.anchor import check_root
from clawvm_es.journal.bundled import FORMAT, VERSION
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import ContentRedacted, ScopeChanged, ScopeSynced, SessionForked, SessionOpened

_encode = msgspec.json.Encoder(order="sorted").encode


@attrs.define
class _Stream:
    """Part of one stream that goes into a bundle."""

    first: int
    last: int
    seq: int  # of its last event


def bundle(log: EventLog, session_ids: Iterable[str], note: bytes) -> Iterator[bytes]:
    """The lines of a bundle of these sessions and their dependencies, as of a checkpoint of this log.

    Raises `AnchorRefused` if the log contradicts the checkpoint, or a body was erased after it; `UsageError` for a
    session that the checkpoint does not cover. The reader has to check the checkpoint's signature.
    """
    checkpoint = unverified(note)
    check_root(log, checkpoint)
    streams = _streams(log, session_ids, checkpoint)
    digest = hashlib.sha256()
    seqs = array("q")
    for line in _body(log, streams, seqs):
        digest.update(line)
        yield line
    ids = sorted(streams)
    proofs = inclusion_proofs(log, [streams[session_id].seq for session_id in ids], checkpoint.size)
    yield _line(
        "end",
        sha256=digest.hexdigest(),
        checkpoint=note.decode(),
        inclusion=[
            {"session_id": session_id, "seq": streams[session_id].seq, "proof": [node.hex() for node in proof]}
            for session_id, proof in zip(ids, proofs, strict=True)
        ],
        rest=[node.hex() for node in rest_roots(log, seqs, checkpoint.size)],
    )


def _streams(log: EventLog, session_ids: Iterable[str], checkpoint: Checkpoint) -> dict[str, _Stream]:
    """Every stream that is needed, by its id."""
    found: dict[str, _Stream] = {}
    scopes: dict[str, int] = {}
    waiting: list[tuple[str, int | None]] = [(session_id, None) for session_id in session_ids]
    while waiting:
        session_id, upto = waiting.pop()
        known = found.get(session_id)
        if known is not None and upto is not None and upto <= known.last:
            continue
        for row in log.read(session_id, upto=upto):
            if row.seq > checkpoint.size:
                break
            stream = found.setdefault(session_id, _Stream(row.version, row.version, row.seq))
            if row.version > stream.last:
                stream.last, stream.seq = row.version, row.seq
            if isinstance(row.data, SessionForked):
                waiting.append((row.data.parent, row.data.parent_version))
            elif isinstance(row.data, ScopeSynced):
                scopes[row.data.scope] = max(scopes.get(row.data.scope, 0), row.data.to_version)
            elif isinstance(row.data, SessionOpened) and row.data.project is not None:
                scopes.setdefault(row.data.project, 0)
        if session_id not in found:
            raise UsageError(f"the checkpoint covers no event of a session {session_id}")
    for scope, version in scopes.items():
        _add_scope(log, scope, version, found, checkpoint)
    return found


def _add_scope(log: EventLog, scope: str, learned: int, found: dict[str, _Stream], checkpoint: Checkpoint) -> None:
    """Add a scope's stream up to the last version that the sessions learned or published."""
    for row in log.read(scope):
        if row.seq > checkpoint.size:
            return
        published = isinstance(row.data, ScopeChanged) and _holds(found, row.data.session_id, row.data.version)
        if row.version <= learned or published:
            stream = found.setdefault(scope, _Stream(1, 0, 0))
            if row.version > stream.last:
                stream.last, stream.seq = row.version, row.seq


def _holds(found: dict[str, _Stream], session_id: str, version: int) -> bool:
    stream = found.get(session_id)
    return stream is not None and stream.first <= version <= stream.last


def _body(log: EventLog, streams: dict[str, _Stream], seqs: array[int]) -> Iterator[bytes]:
    """All lines but the last; `seqs` receives the places of the events."""
    ids = sorted(streams)
    listed = [{"session_id": each, "first": streams[each].first, "last": streams[each].last} for each in ids]
    yield _line("header", format=FORMAT, version=VERSION, journal_id=log.journal_id, streams=listed)
    named: set[str] = set()
    erased: set[str] = set()
    for row in heapq.merge(*(log.read(each, upto=streams[each].last) for each in ids), key=lambda row: row.seq):
        if isinstance(row.data, ContentRedacted):
            erased.update(row.data.commitments)
        elif row.kind == "input":
            named.update(named_commitments(row.raw))
        seqs.append(row.seq)
        yield _event(row)
    for commitment in sorted(named):
        stored = log.stored(commitment)
        if stored is not None:
            salt, body = stored
            coded = None if body is None else base64.b64encode(body).decode()
            yield _line("commitment", commitment=commitment, salt=salt.hex(), body=coded)
        elif commitment not in erased:
            raise AnchorRefused(
                "redacted", f"the text behind {commitment} is gone, and no event up to the checkpoint says so",
                hint="make a new checkpoint",
            )  # fmt: skip


def _event(row: Recorded) -> bytes:
    return _line(
        "event",
        seq=row.seq,
        session_id=row.session_id,
        version=row.version,
        turn=row.turn,
        kind=row.kind,
        type=row.type,
        schema_version=row.schema_version,
        at=row.at_us,
        principal=row.principal,
        cause=row.cause,
        idempotency_key=row.idempotency_key,
        data=row.raw.decode(),
        prev_hash=row.prev_hash.hex(),
        hash=row.hash.hex(),
    )


def _line(line: str, /, **fields: Any) -> bytes:
    return _encode({"line": line, **fields}) + b"\n"
