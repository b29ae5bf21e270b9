"""Open a journal for reading, and find the sessions and versions that a user names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any, Final

from clawvm_es.errors import JournalError, UsageError, no_journal
from clawvm_es.history.places import end_of_turn, range_of_turn
from clawvm_es.journal.ports import Capability, EventLog, declares, erasing
from clawvm_es.model.events import SCOPE_PREFIX
from clawvm_es.projections import Snapshot, snapshot, snapshot_at
from clawvm_es.projections.session import iso
from clawvm_es.storage import exists, open_log
from clawvm_es.urls import place_of

_DIGITS_MAX: Final = 15
"""Digits of a number that is given: JavaScript and the columns of journals hold it exactly."""


@contextmanager
def opened(path: str) -> Iterator[EventLog]:
    """The journal at `path`, for reading only."""
    with open_log(path, read_only=True) as log:
        if not declares(log, Capability.ERASE) or not erasing(log, "redact").pending_erasures():
            yield log
            return
    with suppress(JournalError), open_log(path, wait_s=0):
        pass  # what was asked to be erased is finished by whoever comes next, also by a reader
    with open_log(path, read_only=True) as log:
        yield log


@contextmanager
def at_place(job: str) -> Iterator[EventLog]:
    """The journal that `placed` named, for reading only."""
    with opened(place_of(job)) as log:
        yield log


def require_journal(path: str) -> None:
    """Raise `UnreadableInput` if there is no journal at `path`, so that a verb does not make one by mistake."""
    if not exists(path):
        raise no_journal(path)


def chosen(log: EventLog, wanted: str | None) -> str:
    """The session with an id or unique prefix; raises `UsageError` if none or several match.

    A prefix that several ids share names the one in which each part between slashes begins so: a session before its
    subagents, `s/agent-1` before `s/agent-1/agent-2`.
    """
    if wanted and not wanted.startswith(SCOPE_PREFIX) and log.head(wanted) is not None:
        return wanted  # without a look at all sessions
    ids = known_sessions(log)
    found = [session_id for session_id in ids if session_id.startswith(wanted or "")]
    if len(found) != 1 and wanted:
        found = _by_parts(ids, wanted.split("/")) or found
    if len(found) == 1:
        return found[0]
    if not ids:
        raise UsageError(f"{log.place} holds no session", hint="clawvm replay FILE --journal JOURNAL")
    shown = ", ".join((found or ids)[:5]) + (", …" if len(found or ids) > 5 else "")
    if not found:
        raise UsageError(f"{log.place} holds no session {wanted!r}", hint=f"it holds {shown}")
    what = f"{len(found)} sessions" + (f" that begin with {wanted!r}" if wanted else "")
    raise UsageError(f"{log.place} holds {what}", hint=f"name one with --session: {shown}")


def _by_parts(ids: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The ids of as many parts as `wanted` that begin as its parts do; those that end alike, if there are such."""
    split = [(each, each.split("/")) for each in ids]
    found = [
        (each, parts[-1])
        for each, parts in split
        if len(parts) == len(wanted) and all(map(str.startswith, parts, wanted))
    ]
    return [each for each, last in found if last == wanted[-1]] or [each for each, _ in found]


def chosen_or_all(log: EventLog, wanted: str | None) -> str | None:
    """The named session; None (all sessions) if none is named."""
    return None if wanted is None else chosen(log, wanted)


def known_sessions(log: EventLog) -> list[str]:
    """The ids of all sessions, without the streams of shared scopes."""
    return [head.session_id for head in log.heads() if not head.session_id.startswith(SCOPE_PREFIX)]


def short_ids(log: EventLog, least: int = 8) -> dict[str, str]:
    """Id of a stream → the shortest name by which `chosen` finds it: of each part between slashes a unique prefix.

    A prefix has at least `least` characters; a part with which another part begins is not cut.
    """
    ids = [head.session_id for head in log.heads()]
    parts: dict[str, set[str]] = {"": set()}
    for each in ids:
        parent = ""
        for name in each.split("/"):
            parts.setdefault(parent, set()).add(name)
            parent = f"{parent}{name}/"
    short = {"": ""}
    for parent, names in parts.items():
        for name, begun in _prefixes(sorted(names), least):
            short[f"{parent}{name}/"] = f"{short[parent]}{begun}/"
    return {each: each if each.startswith(SCOPE_PREFIX) else short[f"{each}/"][:-1] for each in ids}


def _prefixes(names: Sequence[str], least: int) -> Iterator[tuple[str, str]]:
    """Each of some sorted names, and its shortest prefix that begins no other one, or all of it."""
    for place, each in enumerate(names):
        near = (*names[max(0, place - 1) : place], *names[place + 1 : place + 2])
        alike = (takewhile(lambda pair: pair[0] == pair[1], zip(each, other, strict=False)) for other in near)
        shared = max((len(list(pairs)) for pairs in alike), default=0)
        yield each, each[: max(least, shared + 1)]


def version_at(log: EventLog, session_id: str, version: int | None, turn: int | None) -> int | None:
    """The version given, or the last version of `turn`; None, for the session's end, if neither is given."""
    if version is not None and turn is not None:
        raise UsageError("--at and --turn name two places", hint="give one of them")
    if turn is not None:
        return end_of_turn(log, session_id, turn)
    head = log.head(session_id)
    if version is not None and head is not None and version > head.version:
        raise UsageError(f"session {session_id} has no version {version}", hint=f"its last is {head.version}")
    return version


def versions_at(log: EventLog, session_id: str, version: int | None, turn: int | None) -> tuple[int, int | None]:
    """The range of versions above the first and up to the second: all up to a version, or those of one turn."""
    upto = version_at(log, session_id, version, turn)
    return (0, upto) if turn is None else range_of_turn(log, session_id, turn)


def number_of(text: str) -> int | None:
    """The whole number that a text of at most 15 digits says; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def is_place(text: str) -> bool:
    """Tell whether a text names a place in a session: VERSION or turn:N."""
    return number_of(text.removeprefix("turn:")) is not None


def version_named(log: EventLog, session_id: str, text: str) -> int | None:
    """The version meant by VERSION or turn:N (the end of that turn); None for no text: the session's end."""
    number = number_of(text.removeprefix("turn:"))
    if text and number is None:
        raise UsageError(f"{text!r} is no place in a session", hint="VERSION or turn:N")
    if text.startswith("turn:"):
        return version_at(log, session_id, None, number)
    return version_at(log, session_id, number, None)


@contextmanager
def models(
    log: EventLog, session_id: str | None = None, version: int | None = None, turn: int | None = None
) -> Iterator[Snapshot]:
    """The read models, as of now or at a place in one session."""
    place = None if session_id is None else version_at(log, session_id, version, turn)
    if session_id is not None and place is not None:
        yield snapshot_at(log, session_id, place)
        return
    with snapshot(log) as view:
        yield view


def moment_of(at: str) -> str | None:
    """A time of a read model as ISO 8601 in UTC: `2026-11-22T10:11:02.000000Z`; None if there is none."""
    return f"{at.replace(' ', 'T')}Z" if at else None


def time_of(at_us: int) -> str | None:
    """A time in microseconds as ISO 8601 in UTC."""
    return moment_of(iso(at_us))


def timed(data: Any) -> Any:
    """Data whose moments are told as those of events: `at` in microseconds, and `time` as ISO 8601 in UTC."""
    if isinstance(data, dict):
        told = {name: timed(value) for name, value in data.items()}
        return told if (at_us := told.pop("at_us", None)) is None else told | {"at": at_us, "time": time_of(at_us)}
    return [timed(each) for each in data] if isinstance(data, list | tuple) else data


def with_time(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a read model with its time as ISO 8601 under `time`, in place of the table's text `at`."""
    told = dict(row)
    return told | {"time": moment_of(told.pop("at"))}
