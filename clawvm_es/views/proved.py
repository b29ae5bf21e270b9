"""Documents of proofs and of upkeep: verification, decisions taken again, erasures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.errors import (
    AnchorRefused,
    ClawVMError,
    JournalDamaged,
    JournalError,
    JournalTooNew,
    NondeterminismError,
)
from clawvm_es.fleet.executor import Executor, batches, in_order
from clawvm_es.history import Difference, redecide
from clawvm_es.journal import anchors
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.problems import DAMAGE, Problem
from clawvm_es.journal.snapshots import snapshot_problems
from clawvm_es.projections import foreign_objects, foreign_problems, projections_problems
from clawvm_es.storage import verify
from clawvm_es.urls import placed
from clawvm_es.views.reading import at_place, known_sessions, opened, require_journal
from clawvm_es.views.words import command

if TYPE_CHECKING:
    from clawvm_es.history.redact import Redaction
    from clawvm_es.journal.anchors import Anchored
    from clawvm_es.journal.ports import EventLog

Progress = Callable[[int, int], None]
EVENTS_A_JOB: Final = 2_000
"""Events that a job of an executor decides again at least, where there are as many: half a second of work."""


def verification(
    path: str,
    *,
    fast: bool = False,
    again: bool = False,
    anchor: tuple[str, bytes, str] | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """The verdict on the journal at `path`: its problems, and its oddities.

    `again` decides all inputs again, by an `executor` if given; `anchor` is a checkpoint's path and bytes, and the
    path of its public key.
    """
    problems, notes, events, sessions = verified(path, fast)
    anchored = None
    if anchor is not None:
        anchored, refusals = _anchored(path, *anchor)
        problems = [*refusals, *problems]
    decisions, differences = None, list[dict[str, Any]]()
    if again and not problems:
        with opened(path) as log:
            decisions, differences = redecided(log, path, progress, executor)
        problems = [
            {"what": "re-decide", "where": f"session {each['session_id']}", "detail": each["detail"]}
            for each in differences
        ]
    state = "consistent, unanchored" if anchored is None else f"consistent, {anchored}"
    if problems:
        state = "not consistent" if anchored is None else f"not consistent, {anchored}"
    return {
        "ok": not problems,
        "state": state,
        "fast": fast,
        "events": events,
        "sessions": sessions,
        "redecided": decisions,
        "differences": differences,
        "anchored": None if anchored is None else {"seq": anchored.seq, "later": anchored.later},
        "problems": problems,
        "notes": notes,
    }


def _anchored(path: str, note_path: str, note: bytes, key_path: str) -> tuple[Anchored | None, list[dict[str, str]]]:
    """Anchoring of a journal by a checkpoint, and every mismatch."""
    key = anchors.load_public(key_path)
    try:
        with opened(path) as log:
            return anchors.check_anchor(log, note, key, int(time.time())), []
    except AnchorRefused as error:
        return None, [{"what": error.what, "where": f"anchor {note_path}", "detail": error.message}]
    except JournalError as error:
        return None, [{"what": "read", "where": f"anchor {note_path}", "detail": error.message}]


def verified(path: str, fast: bool) -> tuple[list[dict[str, str]], list[dict[str, str]], int, int]:
    """All problems of a journal, its oddities, and how many events and sessions can be read."""
    with suppress(JournalDamaged, JournalTooNew):  # that is a finding, not wrong usage
        require_journal(path)
    notes: list[Problem] = []
    problems = list(verify(path, fast=fast, note=notes.append))
    events = sessions = 0
    try:
        with opened(path) as log:
            notes += [Problem("foreign", each, "is not ours") for each in foreign_objects(log)]
            problems += [Problem("schema", "caches", detail) for detail in foreign_problems(log)]
            sessions = len(known_sessions(log))
            events = max((head.seq for head in log.heads()), default=0)
            if not fast:
                problems += [Problem("projections", "read models", detail) for detail in projections_problems(log)]
                problems += snapshot_problems(log)
    except ClawVMError as error:
        if all(each.detail != error.message for each in problems):  # what nothing reads is told once
            problems.append(Problem("read", "journal", error.message))
    except DAMAGE as error:
        problems.append(Problem("read", "journal", f"cannot be read on: {error!r}"))
    return [attrs.asdict(each) for each in problems], [attrs.asdict(each) for each in notes], events, sessions


def redecided(
    log: EventLog, journal: str, progress: Progress | None = None, executor: Executor | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """The number of decisions that today's code takes the same, and the differences.

    A fork is decided with its parents; a difference in a parent is reported once. An `executor` opens the journal
    again for its workers, which does not change the result.
    """
    same, found = 0, dict[str, dict[str, Any]]()
    ids = known_sessions(log)
    outcomes = _outcomes(log, journal, ids) if executor is None else _spread(log, journal, ids, executor)
    for number, (count, difference) in enumerate(outcomes, 1):
        same += count
        if difference is not None:
            found.setdefault(difference["detail"], difference)
        if progress is not None:
            progress(number, len(ids))
    return same, list(found.values())


def _outcomes(log: EventLog, journal: str, ids: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """For each session the number of equal decisions, or the difference."""
    for session_id in ids:
        try:
            yield redecide(read_session(log, session_id)), None
        except NondeterminismError as error:
            yield 0, _difference(journal, session_id, error)


def _spread(
    log: EventLog, journal: str, ids: Sequence[str], executor: Executor
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The outcomes by an executor: a job for each long session, or for several short ones."""
    versions = {head.session_id: head.version for head in log.heads()}
    parts = batches([versions[each] for each in ids], EVENTS_A_JOB)
    jobs = [(placed(journal), str(journal), tuple(ids[place] for place in part)) for part in parts]
    return chain.from_iterable(in_order(executor, _part, jobs))


def _part(place: str, journal: str, ids: Sequence[str]) -> list[tuple[int, dict[str, Any] | None]]:
    with at_place(place) as log:
        return list(_outcomes(log, journal, ids))


def _difference(journal: str, session_id: str, error: NondeterminismError) -> dict[str, Any]:
    """A difference; if today's code refuses an input, there is no field to name."""
    difference = error.difference
    document: dict[str, Any] = {"session_id": session_id, "detail": error.message}
    if isinstance(difference, Difference):
        document |= {
            "session_id": difference.session_id,
            "version": difference.version,
            "turn": difference.turn,
            "type": difference.type,
            "path": difference.path,
            "recorded": difference.recorded,
            "now": difference.now,
            "before": [{"version": version, "type": type_} for version, type_ in difference.before],
            "look": command("log", journal, "--session", difference.session_id, "--at", difference.version, "-n", 5),
        }
    return document


def redaction(done: Redaction) -> dict[str, Any]:
    """Return the outcome of an erasure, done or planned: texts by session, events by stream, other holders."""
    return {
        "status": done.status,
        "commitments": done.commitments,
        "bodies": done.bodies,
        "bytes": done.size_bytes,
        "sessions": [
            {"session_id": each.session_id, "title": each.title, "texts": each.texts, "bytes": each.size_bytes}
            for each in done.shares
        ],
        "events": [
            {
                "session_id": trail.session_id,
                "version": trail.version or None,
                "commitments": trail.commitments,
                "pages": list(trail.pages),
            }
            for trail in done.trails
        ],
        "held_by": list(done.held_by),
        "guessable": done.guessable,
        "foreign": list(done.foreign),
        "copies": list(done.copies),
    }


def unconfirmed(plan: Redaction) -> dict[str, Any]:
    """An erasure that nobody confirmed."""
    return redaction(plan) | {"status": "unconfirmed"}
