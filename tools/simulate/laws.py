"""The laws that hold after each run, whatever the world did; each raises `Broken` with its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from clawvm_es import projections
from clawvm_es.core.evolve import fold
from clawvm_es.errors import ClawVMError
from clawvm_es.history.redecide import redecide
from clawvm_es.journal import snapshots
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, verifying
from clawvm_es.model.events import SCOPE_PREFIX


class Broken(AssertionError):
    """A law that does not hold; the message names it."""


def durable(log: EventLog, acknowledged: Sequence[bytes]) -> None:
    """Check that every event that was there when a `full` commit was acknowledged is there, in its place."""
    stored = [each.hash for each in log.read_all()]
    if stored[: len(acknowledged)] != list(acknowledged):
        raise Broken(f"LAW-LOG-2: {len(acknowledged)} events were acknowledged as durable, and not all are there")


def ended(log: EventLog, ends: set[bytes]) -> None:
    """Check that the log ends where a transaction ended (none are known: there nothing is checked)."""
    last = next(log.read_all(max(0, log.size() - 1)), None)
    if ends and last is not None and last.hash not in ends:
        raise Broken(f"LAW-LOG-1: the log ends in the middle of a transaction, at seq {last.seq}")


def whole(log: EventLog) -> None:
    """Check order, chains, bodies and keys."""
    problems = verifying(log, "verify").verify()
    if problems:
        raise Broken(f"verify: {problems[0]}")
    events = list(log.read_all())
    if [each.seq for each in events] != list(range(1, len(events) + 1)):
        raise Broken("LAW-LOG-1: seq is not gapless")
    keys = Counter((each.session_id, each.idempotency_key) for each in events if each.idempotency_key is not None)
    doubled = [key for key, count in keys.items() if count > 1]
    if doubled:
        raise Broken(f"LAW-LOG-3: the key {doubled[0][1]} of {doubled[0][0]} was recorded {keys[doubled[0]]} times")


def folds(log: EventLog) -> None:
    """Check states, decisions and read models against the events."""
    for head in log.heads():
        if head.session_id.startswith(SCOPE_PREFIX):
            continue
        events = list(read_session(log, head.session_id))
        if snapshots.state_at(log, head.session_id) != fold(each.data for each in events):
            raise Broken(f"LAW-SNAP-1: the state of {head.session_id} is not the fold of its events")
        try:
            redecide(events)
        except ClawVMError as error:
            raise Broken(f"re-decide: {error}") from error
    found = [*projections.projections_problems(log), *snapshots.snapshot_problems(log)]
    if found:
        raise Broken(f"LAW-PROJ-1: {found[0]}")


def gone(log: EventLog, canaries: Sequence[str], files: Sequence[bytes] = ()) -> None:
    """Check that erased texts are in no body, no read model and no file."""
    names = {name for each in log.read_all() for name in named_commitments(each.raw)}
    bodies: list[Any] = [(log.stored(name) or (b"", b""))[1] or b"" for name in sorted(names)]
    for canary in canaries:
        if any(canary.encode() in body for body in (*bodies, *files)):
            raise Broken(f"LAW-ERASE-1: {canary} was erased, and is there")
