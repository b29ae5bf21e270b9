"""Documents of figures: sessions, turns, totals, and runs side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.engine.titles import Openings
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.facts import Boundary, FaultType
from clawvm_es.model.pages import PageType
from clawvm_es.projections import snapshot
from clawvm_es.projections.rows import SessionRow
from clawvm_es.projections.tables import SESSIONS, TURNS
from clawvm_es.views.costs import cost, of_run, summed
from clawvm_es.views.reading import moment_of, with_time

if TYPE_CHECKING:
    from clawvm_es.history.figures import Figures, Parting
    from clawvm_es.importers.replay import Replayed

_BOUNDARIES: Final = {
    Boundary.COMPACT: "compactions",
    Boundary.PRUNE: "prunes",
    Boundary.FLUSH: "flushes",
    Boundary.RESET: "resets",
    Boundary.SAVE: "saves",
    Boundary.END: "ends",
}
_TOTALS: Final = (
    "turns", "tool_calls", "pages", "needs", "hits", "page_ins", "misses", "faults", "alerts", "pressure", "tokens",
    "uncached_tokens", "epochs",
)  # fmt: skip


def sessions(
    log: EventLog,
    session_id: str | None = None,
    *,
    since: str = "",
    until: str = "",
    folder: str = "",
    text: str = "",
    prices: str | None = None,
) -> dict[str, Any]:
    """The sessions of a log (or one of them) with titles, times and figures, in order of opening.

    `since` and `until` are dates (such as `2026-11-22`, UTC, inclusive); `folder` and `text` (in the title or id) are
    matched ignoring case. `prices` names a price list for reported usage.
    """
    with snapshot(log) as view:
        rows = view.rows(SESSIONS, session_id)
    days = ((row, row.opened_at[:10]) for row in rows)
    openings = Openings(log)
    found = [
        session(log, row, prices, openings)
        for row, day in days
        if (not since or day >= since) and (not until or day <= until)
    ]
    return {"sessions": [one for one in found if _has(one, ("folder",), folder) and _has(one, _NAMES, text)]}


def newest(log: EventLog, *, text: str = "", skip: int = 0, limit: int = 50) -> tuple[list[dict[str, Any]], int]:
    """Sessions by their last event, newest first, after the first `skip`; and the number of all.

    `text` selects those whose title, id or folder contains it, ignoring case.
    """
    with snapshot(log) as view:
        rows = sorted(view.rows(SESSIONS), key=lambda row: (row.last_at, row.seq), reverse=True)
    openings = Openings(log)
    if not text:
        return [session(log, row, None, openings) for row in rows[skip : skip + limit]], len(rows)
    found = [
        one for one in (session(log, row, None, openings) for row in rows) if _has(one, (*_NAMES, "folder"), text)
    ]
    return found[skip : skip + limit], len(found)


_NAMES: Final = ("title", "session_id")


def _has(one: Mapping[str, Any], names: Sequence[str], text: str) -> bool:
    """Tell whether one of some members holds a text."""
    return not text or any(text.casefold() in (one[name] or "").casefold() for name in names)


def session(
    log: EventLog, row: SessionRow, prices: str | None = None, openings: Openings | None = None
) -> dict[str, Any]:
    """One session from its row of the read models; `prices` names a price list for reported usage.

    `openings` holds titles and folders looked up before.
    """
    openings = openings or Openings(log)
    title = openings.title(row.session_id)
    return {
        "session_id": row.session_id,
        "title": None if title == row.session_id else title,
        "folder": openings.folder(row.session_id),
        "started": moment_of(row.opened_at),
        "ended": moment_of(row.last_at),
        "format": row.format,
        "policy": row.policy,
        "budget": row.budget_tokens,
        "counter": row.counter,
        "status": row.status,
        "events": row.events,
        "turns": row.turns,
        "tool_calls": row.tool_calls,
        "compactions": row.compactions,
        "boundaries": {str(kind): getattr(row, name) for kind, name in _BOUNDARIES.items()},
        "pages": {**dict.fromkeys(map(str, PageType), 0), **json.loads(row.pages_by_type)},
        "needs": row.needs,
        "hits": row.hits,
        "page_ins": row.page_ins,
        "unmet": row.unmet,
        "misses": row.misses,
        "faults": {str(fault): getattr(row, fault) for fault in FaultType},
        "alerts": row.alerts,
        "repeat_unknown": row.repeat_unknown,
        "pressure": row.pressure,
        "tokens": row.tokens,
        "uncached_tokens": row.uncached_tokens,
        "largest_tokens": row.largest_tokens,
        "usage": {
            "input_tokens": row.input_tokens,
            "cached_tokens": row.cached_tokens,
            "written_tokens": row.written_tokens,
            "output_tokens": row.output_tokens,
        },
        "epochs": row.epochs,
        "cost": cost(log, row, prices),
        "committed": row.committed,
        "rejected": row.rejected,
        "opened_at": row.opened_at,
        "last_at": row.last_at,
        "reproducible": row.reproducible,
        "project": row.project,
        "linked_to": row.linked_to,
        "parent": row.parent,
        "parent_version": row.parent_version,
        "head": {"version": row.head_version, "hash": row.head_hash},
        "decision_digest": row.decision_digest,
    }


def replayed(log: EventLog, done: Sequence[Replayed]) -> list[dict[str, Any]]:
    """The sessions just replayed, with events appended and records skipped; one may come from several files."""
    last = {found.session_id: found for found in done}
    appended = Counter[str]()
    for found in done:
        appended[found.session_id] += found.appended
    with snapshot(log) as view:
        rows = {row.session_id: row for row in view.rows(SESSIONS)}
    return [
        session(log, rows[session_id])
        | {
            "file": found.source,
            "appended": appended[session_id],
            "skipped": dict(sorted(found.skipped.items())),
            "skipped_lines": {reason: list(lines) for reason, lines in found.skipped_lines.items()},
            "recorded_by": found.recorded_by,
            "shown": found.shown,
        }
        for session_id, found in last.items()
    ]


def turns(log: EventLog, session_id: str) -> dict[str, Any]:
    """The figures of a session turn by turn."""
    with snapshot(log) as view:
        found = [with_time(attrs.asdict(row)) for row in view.rows(TURNS, session_id)]
    return {"session_id": session_id, "turns": found}


def stats(log: EventLog, session_id: str | None = None, prices: str | None = None) -> dict[str, Any]:
    """The totals of a log (or of one session): events by type, bodies, sizes, figures, cost."""
    by_type: Counter[str] = Counter()
    bytes_by_type: Counter[str] = Counter()
    for row in log.read_all() if session_id is None else read_session(log, session_id):
        by_type[row.type] += 1
        bytes_by_type[row.type] += len(row.raw)
    with snapshot(log) as view:
        rows = view.rows(SESSIONS, session_id)
    stored, stored_bytes = log.bodies_kept(session_id)
    return {
        "sessions": len(rows),
        "events": sum(by_type.values()),
        "data_bytes": sum(bytes_by_type.values()),
        "bodies": stored,
        "body_bytes": stored_bytes,
        **log.details(),
        **{name: sum(getattr(row, name) for row in rows) for name in _TOTALS},
        "cost": summed(log, rows, prices),
        "events_by_type": dict(sorted(by_type.items())),
        "bytes_by_type": dict(sorted(bytes_by_type.items())),
    }


# ------------------------------------------------------------------------------------ runs side by side


def figures(found: Figures, prices: str | None = None) -> dict[str, Any]:
    """The figures of a run, under the names that a session has; `prices` is a list beyond those that ship."""
    return {
        "turns": found.turns,
        "needs": found.needs,
        "hits": found.hits,
        "page_ins": found.page_ins,
        "unmet": found.unmet,
        "misses": found.misses,
        "faults": {str(fault): count for fault, count in found.faults.items()},
        "alerts": found.alerts,
        "pressure": found.pressure,
        "tokens": found.tokens,
        "uncached_tokens": found.uncached_tokens,
        "epochs": found.epochs,
        "cost": of_run(found, prices),
    }


def parting(parted: Parting | None, titles: Mapping[str, str | None]) -> dict[str, Any] | None:
    """The first turn at which a run differs from the recorded one, and the page that differs."""
    if parted is None:
        return None
    return {
        "turn": parted.turn,
        "version": parted.version,
        "page_id": parted.page_id,
        "title": titles.get(parted.page_id or ""),
        "recorded": str(parted.recorded),
        "now": str(parted.now),
    }
