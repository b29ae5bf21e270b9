"""Certificates of erasures: a file that lists what was erased, by which events, and the places checked for traces.

A certificate is one object in canonical JSON. It holds events, commitments and outcomes, but no text. A signature, by
a key of `journal.anchors`, covers the bytes of the object without its member `signature`. A checkpoint's text never
begins with a brace, so a signature of one kind never passes for the other.

LAW-CERTIFICATE-1: a certificate says `erased` only if no row of any commitment is left and no erasure is pending.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from clawvm_es import projections
from clawvm_es.errors import AnchorRefused, UsageError
from clawvm_es.history.redact import Redaction, Target, asked
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey
from clawvm_es.journal.anchors.notes import from_base64
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import Capability, Erasure, EventLog, Recorded, declares, erasing, texts_of
from clawvm_es.model.events import ContentRedacted

FORMAT: Final = "clawvm-erasure-certificate"
VERSION: Final = 1
HELD: Final = "held"
"""The outcome of rows that are still there."""


def certify(
    log: EventLog,
    events: Sequence[Recorded],
    *,
    at_us: int,
    key: SecretKey | None = None,
    done: Redaction | None = None,
) -> bytes:
    """The certificate of the erasure in these `content_redacted` events, as of now; signed if a key is given.

    With `done`, the outcome of the erasure, it also lists the sessions that hold the same texts under commitments of
    their own. Raises `UsageError` if there are no events.
    """
    if not events:
        raise UsageError(
            "nothing was erased, so there is nothing to certify",
            hint="certify an earlier erasure with --session and --certificate alone, or with --at VERSION",
        )
    told = [_event(row) for row in events]
    commitments = list(dict.fromkeys(name for each in told for name in each["commitments"]))
    scanned = list(_scanned(log, commitments, done is not None and done.status == Erasure.RESIDUE))
    document: dict[str, Any] = {
        "commitments": len(commitments),
        "events": told,
        "format": FORMAT,
        "journal_id": log.journal_id,
        "made_at": at_us,
        "program": f"clawvm-es {version('clawvm-es')}",
        "scanned": scanned,
        "status": _worst(each["outcome"] for each in scanned),
        "version": VERSION,
    }
    if done is not None:
        document["held_by"] = list(done.held_by)
    if key is not None:
        document["signature"] = {
            "ed25519": base64.b64encode(key.sign(canonical(document))).decode(),
            "key_id": key.public.key_id.hex(),
            "name": key.public.name,
        }
    return canonical(document) + b"\n"


def canonical(document: dict[str, Any]) -> bytes:
    """The bytes of a document: keys sorted, no blanks."""
    return msgspec.json.encode(document, order="sorted")


def events_of(log: EventLog, done: Redaction) -> list[Recorded]:
    """The events that a redaction appended."""
    return [event_at(log, trail.session_id, trail.version) for trail in done.trails if trail.version]


def events_about(log: EventLog, target: Target) -> list[Recorded]:
    """The events of all earlier erasures of a target; none for a target given by `matches`."""
    names = asked(log, target)
    own = [
        row
        for row in log.read_all()
        if isinstance(row.data, ContentRedacted) and not names.isdisjoint(row.data.commitments)
    ]
    return _whole(log, own)


def earlier_events(log: EventLog, session_id: str, at: int | None = None) -> list[Recorded]:
    """The events of an earlier erasure: all of a session's, or the one at version `at`.

    Events that the same erasures appended to other streams are included. Raises `UsageError` if there are none.
    """
    after = 0 if at is None else at - 1
    own = [row for row in read_session(log, session_id, after, at) if isinstance(row.data, ContentRedacted)]
    if not own:
        where = "tells of no erasure" if at is None else f"has no content_redacted at version {at}"
        raise UsageError(f"session {session_id} {where}", hint="clawvm log JOURNAL --type content_redacted")
    return _whole(log, own)


def _whole(log: EventLog, own: Sequence[Recorded]) -> list[Recorded]:
    """These events, with those that the same erasures appended to other streams."""
    wanted = {(row.at_us, row.principal, row.data.reason) for row in own if isinstance(row.data, ContentRedacted)}
    return [
        row
        for row in log.read_all()
        if isinstance(row.data, ContentRedacted) and (row.at_us, row.principal, row.data.reason) in wanted
    ]


def check_certificate(raw: bytes, key: PublicKey | None = None, log: EventLog | None = None) -> dict[str, Any]:
    """Check a certificate and return its document; with a key also its signature, with a log also its events.

    Raises `AnchorRefused`, which names the first mismatch.
    """
    try:
        document = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AnchorRefused("note", f"this is no certificate of an erasure: {error}") from error
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise AnchorRefused("note", f"this is no certificate of an erasure in version {VERSION}")
    if canonical(document) + b"\n" != raw:
        raise AnchorRefused("note", "the certificate is not canonical, so it is not as it was made")
    if key is not None:
        _check_signature(document, key)
    if log is not None:
        _check_events(document, log)
    return document


def _check_signature(document: dict[str, Any], key: PublicKey) -> None:
    signature = document.get("signature")
    coded = signature.get("ed25519") if isinstance(signature, dict) else None
    found = from_base64(coded) if isinstance(coded, str) else None
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    named = {"ed25519": coded, "key_id": key.key_id.hex(), "name": key.name}
    if found is None or signature != named or not key.verifies(found, canonical(unsigned)):
        raise AnchorRefused("signature", f"the certificate is not signed by {key.name} {key.key_id.hex()}")


def _check_events(document: dict[str, Any], log: EventLog) -> None:
    if document["journal_id"] != log.journal_id:
        raise AnchorRefused("origin", f"the certificate is of the journal {document['journal_id']}")
    for told in document["events"]:
        row = next(read_session(log, told["session_id"], told["version"] - 1, told["version"]), None)
        if row is None or _event(row) != told:
            raise AnchorRefused(
                "redacted", f"session {told['session_id']} version {told['version']} is another event"
            )
        held = [name for name in told["commitments"] if log.stored(name) is not None]
        if held:
            raise AnchorRefused("redacted", f"{len(held)} of the erased commitments have rows, first {held[0]}")


def _event(row: Recorded) -> dict[str, Any]:
    """Return the entry of one event in a certificate."""
    assert isinstance(row.data, ContentRedacted)
    return {
        "at": row.at_us,
        "commitments": list(row.data.commitments),
        "hash": row.hash.hex(),
        "pages": list(row.data.pages),
        "principal": row.principal,
        "reason": str(row.data.reason),
        "seq": row.seq,
        "session_id": row.session_id,
        "version": row.version,
    }


# ----------------------------------------------------------------------------------------- scanning


def _scanned(log: EventLog, commitments: Iterable[str], residue: bool) -> Iterator[dict[str, Any]]:
    """Each place where a text may be, how it was searched, and the outcome."""
    held = sum(log.stored(name) is not None for name in commitments)
    yield _place("rows", "the row of each commitment, with its salt and text, was looked for", HELD if held else None)
    erased = erasing(log, "a certificate")
    pending = Erasure.PENDING if erased.pending_erasures() else None
    for what, how in erased.scrubbed():
        yield _place(what, how, Erasure.RESIDUE if residue else pending)
    for what in erased.known_copies():
        yield _place(what, "it cannot be cleaned from here, and may hold copies", Erasure.REMOVED)
    if (index := texts_of(log)) is not None:
        how = "it was searched for texts that the journal does not hold"
        yield _place("full-text index", how, HELD if index.stray() else None)
    if declares(log, Capability.SNAPSHOTS):
        yield _place("snapshots", "they hold no texts; those of the sessions were dropped with the rows", None)
    if declares(log, Capability.MODELS):
        how = "tables that are not ours were looked for; one with rows may hold copies"
        yield _place("foreign objects", how, HELD if projections.holders(log) else None)


def _place(what: str, how: str, outcome: str | None) -> dict[str, Any]:
    """One place; its outcome is `erased` if nothing was found."""
    return {"how": how, "outcome": str(outcome or Erasure.ERASED), "what": what}


def _worst(outcomes: Iterable[str]) -> str:
    """The outcome of all places together."""
    order = (HELD, str(Erasure.RESIDUE), str(Erasure.PENDING), str(Erasure.REMOVED), str(Erasure.ERASED))
    return min(outcomes, key=order.index)
