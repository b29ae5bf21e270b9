"""Output of `redact --certificate`: a file that lists what was erased. Twin of `clawvm_es.history.certificate`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from clawvm_es.errors import UsageError

if TYPE_CHECKING:
    from clawvm_es.history.redact import Redaction, Target
    from clawvm_es.journal.anchors.keys import SecretKey
    from clawvm_es.journal.ports import EventLog, Recorded


def certificate_key(path: str | None, key: str | None, at: int | None, dry_run: bool) -> SecretKey | None:
    """The key to sign with; refuses, before anything is erased, a certificate that could not be made."""
    from clawvm_es.journal import anchors

    if path is None:
        if key is not None or at is not None:
            raise UsageError("--key and --at are for a certificate", hint="give --certificate FILE")
        return None
    if dry_run:
        raise UsageError("a dry run erases nothing, so there is nothing to certify", hint="leave --dry-run out")
    if os.path.lexists(path):
        raise UsageError(f"{path} is already there", hint="a certificate is never overwritten; choose another file")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise UsageError(f"{path}: there is no directory {os.path.dirname(path)}", hint="create it first")
    return None if key is None else anchors.load_secret(key, int(time.time()))


def certify_earlier(
    log: EventLog, session: str | None, at: int | None, path: str, key: SecretKey | None
) -> dict[str, Any]:
    """Write the certificate of an earlier erasure; returns its document."""
    from clawvm_es.history.certificate import earlier_events
    from clawvm_es.views.reading import chosen

    return _written(log, earlier_events(log, chosen(log, session), at), path, key)


def certify_done(log: EventLog, done: Redaction, target: Target, path: str, key: SecretKey | None) -> dict[str, Any]:
    """Write the certificate of an erasure just done, or if it was done before, of that; returns its document."""
    from clawvm_es.history.certificate import events_about, events_of

    return _written(log, events_of(log, done) or events_about(log, target), path, key, done)


def certificate_lines(document: dict[str, Any], path: str) -> list[str]:
    """A certificate for people: each place with its outcome, then where it is."""
    from clawvm_es.cli.tables import table

    cells = [(each["what"], each["outcome"], each["how"]) for each in document["scanned"]]
    signed = document.get("signature")
    by = f", signed by {signed['name']} {signed['key_id']}" if signed else ", not signed"
    number = len(document["events"])
    return [
        "",
        *table(cells, ("place", "outcome", "how")),
        f"{path}: certificate of {number} {'event' if number == 1 else 'events'}: {document['status']}{by}",
    ]


def _written(
    log: EventLog, events: list[Recorded], path: str, key: SecretKey | None, done: Redaction | None = None
) -> dict[str, Any]:
    from clawvm_es.files import disk_error, write_whole
    from clawvm_es.history.certificate import certify, check_certificate

    raw = certify(log, events, at_us=time.time_ns() // 1000, key=key, done=done)
    try:
        write_whole(path, [raw])
    except OSError as error:
        asked = f"clawvm redact {log.place} --session ID --certificate FILE"
        raise disk_error(
            error, f"{path} cannot be written", hint=f"the erasure stands in the log; to certify it: {asked}"
        ) from error
    return check_certificate(raw)
