"""Compare recorded sessions with today's code, and explain differences.

>>> from clawvm_es.testing import Given, page, recorded
>>> session = recorded(Given.session(page(1)))
>>> assert_redecides(session)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.errors import NondeterminismError, UsageError
from clawvm_es.files import write_whole
from clawvm_es.history.accept import Accepted
from clawvm_es.history.recorded_files import read_sessions
from clawvm_es.history.recording import RecordedSession, write_recording
from clawvm_es.history.redecide import Difference, changed_fields, redecide
from clawvm_es.journal.ports import Recorded

FIELDS_SHOWN: Final = 12
"""Differing fields of one event that are shown."""
VALUE_CHARS: Final = 60
"""Longest value that is shown whole."""


def assert_redecides(session: RecordedSession | Iterable[Recorded]) -> None:
    """Fail unless today's code takes every decision of a recorded session as recorded.

    The failure names the first event that differs, with its recorded and its new value, field by field.
    """
    __tracebackhide__ = True
    problem = first_difference(session)
    if problem is not None:
        raise AssertionError(explained(session, problem))


def first_difference(session: RecordedSession | Iterable[Recorded]) -> NondeterminismError | None:
    """Return the first decision of today's code that differs; None if there is none."""
    try:
        redecide(session.rows if isinstance(session, RecordedSession) else session)
    except NondeterminismError as error:
        return error
    return None


def rewrite(session: RecordedSession, accepted: Accepted) -> RecordedSession:
    """Rewrite a session's recording with today's decisions, whole or not at all, and read it back."""
    if session.evidence:
        raise UsageError(f"{session.source} is a bundle: evidence is never rewritten")
    write_whole(session.source, write_recording(accepted.rows, DECIDER_VERSION))
    (now,) = read_sessions(session.source)
    return now


def explained(session: RecordedSession | Iterable[Recorded], problem: NondeterminismError) -> str:
    """Explain the difference: the first line states it, the others give details."""
    difference = problem.difference
    deciders = _deciders(session)
    if not isinstance(difference, Difference):
        return "\n".join([str(problem), *deciders])
    place = f"{difference.session_id} version {difference.version} (turn {difference.turn}, {difference.type})"
    first = f"{difference.path}: golden {_shown(difference.recorded)}, now {_shown(difference.now)}"
    return "\n".join([f"{place}: {first}", "", *_context(difference), *_table(difference), *deciders])


def _context(difference: Difference) -> list[str]:
    """The two events before, and the one that differs."""
    rows = [*difference.before, (difference.version, difference.type)]
    width = max(len(str(version)) for version, _ in rows)
    lines = [f"    {version:>{width}}  {type_}" for version, type_ in rows]
    return [*lines[:-1], lines[-1].replace("    ", "  > ", 1) + _fate(difference)]


def _fate(difference: Difference) -> str:
    if difference.recorded_data is None:
        return "    is decided today, and was not recorded"
    if difference.now_data is None:
        return "    was recorded, and is not decided today"
    if difference.path == "$type":
        return f"    was recorded, today {difference.now} is decided in its place"
    return ""


def _table(difference: Difference) -> list[str]:
    """Every field that differs, golden and now beside each other."""
    was, now = difference.recorded_data, difference.now_data
    if was is None or now is None:
        name, data = ("now", now) if was is None else ("golden", was)
        return ["", f"    {name}  {difference.type} {_shown(data, 4 * VALUE_CHARS)}"]
    changes = list(changed_fields(was, now))
    if difference.path in ("$type", "$turn", "$cause"):
        changes.insert(0, (difference.path, difference.recorded, difference.now))
    cells = [("", "golden", "now"), *((path, _shown(a), _shown(b)) for path, a, b in changes[:FIELDS_SHOWN])]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [f"    {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in cells]
    more = len(changes) - FIELDS_SHOWN
    return ["", *lines, *([f"    and {more} more fields"] if more > 0 else [])]


def _shown(value: Any, chars: int = VALUE_CHARS) -> str:
    """A JSON value on one line; None is nothing."""
    if value is None:
        return "nothing"
    text = msgspec.json.encode(value).decode("utf-8", "replace")
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _deciders(session: object) -> list[str]:
    if not isinstance(session, RecordedSession) or session.decider_version == DECIDER_VERSION:
        return []
    return ["", f"    recorded by decider version {session.decider_version}, today's is {DECIDER_VERSION}"]
