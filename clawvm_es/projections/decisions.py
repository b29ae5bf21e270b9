"""The decisions of a session as rows, with the columns of the view `decision_trace`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.projections.session import iso

_FIELDS: Final = {
    "page_id": ("page_id",),
    "before": ("before",),
    "after": ("after",),
    "reason": ("reason", "rule"),
    "fault": ("fault",),
    "tokens": ("tokens", "required_tokens"),
    "budget_tokens": ("budget_tokens", "available_tokens"),
    "call": ("call",),
    "update_number": ("update",),
    "boundary": ("boundary",),
}
"""Column → the members of an event's data that may say it; the first that does counts."""

_UNIX_EPOCH_MS: Final = 210_866_760_000_000
"""1970-01-01 as milliseconds since Julian day 0."""


def decisions(log: EventLog, session_id: str, upto: int | None = None, after: int = 0) -> list[dict[str, Any]]:
    """The decisions of a session above one version and up to another, those of its parents included."""
    return [_row(session_id, each) for each in read_session(log, session_id, after, upto) if each.kind == "decision"]


def _row(session_id: str, recorded: Recorded) -> dict[str, Any]:
    data = msgspec.json.decode(recorded.raw)
    return {
        "session_id": session_id,
        "turn": recorded.turn,
        "version": recorded.version,
        "type": recorded.type,
        **{name: _first(data, members) for name, members in _FIELDS.items()},
        "cause": recorded.cause,
        "at": moment(recorded.at_us),
        "seq": recorded.seq,
        "data": data,
    }


def moment(at_us: int) -> str:
    """A time in milliseconds, rounded in floating point on a Julian day as SQLite does for the view."""
    at_ms = int(at_us / 1_000_000 * 1_000 + _UNIX_EPOCH_MS + 0.5) - _UNIX_EPOCH_MS
    return iso(at_ms * 1_000)[:-3]


def _first(data: dict[str, Any], members: tuple[str, ...]) -> Any:
    return next((data[each] for each in members if data.get(each) is not None), None)
