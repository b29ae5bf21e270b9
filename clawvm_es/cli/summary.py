"""A session's figures as `replay`, `sessions` and `demo` show them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clawvm_es.cli.output import facts, style, table
from clawvm_es.model.facts import Boundary, FaultType
from clawvm_es.model.pages import PageType
from clawvm_es.projections.rows import SessionRow

_BOUNDARIES: Final = {
    Boundary.COMPACT: "compactions",
    Boundary.PRUNE: "prunes",
    Boundary.FLUSH: "flushes",
    Boundary.RESET: "resets",
    Boundary.SAVE: "saves",
    Boundary.END: "ends",
}
BY_CONSTRUCTION: Final = ("clawvm", "clawvm_paper", "clawvm_rank", "lru")
"""Policies with all mechanisms: that they fault nowhere is a theorem, not a measurement."""


def session_document(row: SessionRow) -> dict[str, Any]:
    """One session as a JSON object."""
    return {
        "session_id": row.session_id,
        "format": row.format,
        "policy": row.policy,
        "budget": row.budget_tokens,
        "counter": row.counter,
        "status": row.status,
        "events": row.events,
        "turns": row.turns,
        "tool_calls": row.tool_calls,
        "boundaries": {str(kind): getattr(row, name) for kind, name in _BOUNDARIES.items()},
        "pages": {**dict.fromkeys(map(str, PageType), 0), **json.loads(row.pages_by_type)},
        "needs": row.needs,
        "hits": row.hits,
        "page_ins": row.page_ins,
        "misses": row.misses,
        "faults": {str(fault): getattr(row, fault) for fault in FaultType},
        "alerts": row.alerts,
        "repeat_unknown": row.repeat_unknown,
        "pressure": row.pressure,
        "tokens": row.tokens,
        "uncached_tokens": row.uncached_tokens,
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


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items() if number) or "none"


def faults_text(row: SessionRow) -> str:
    """A session's faults by type, or why there are none."""
    if row.faults:
        return _counts({fault: getattr(row, fault) for fault in FaultType})
    return "none, by construction" if row.policy in BY_CONSTRUCTION else "none"


def session_lines(row: SessionRow, extra: Mapping[str, Any]) -> list[str]:
    """All figures of one session, for people."""
    document = session_document(row)
    return facts(
        {
            "session": row.session_id,
            "format": row.format,
            "policy": f"{row.policy}, budget {row.budget_tokens} tokens, counted by {row.counter}",
            "events": row.events,
            "turns": row.turns,
            "tool calls": row.tool_calls,
            "boundaries": _counts(document["boundaries"]),
            "pages": f"{row.pages}: {_counts(document['pages'])}" if row.pages else 0,
            "needs": f"{row.needs}: {row.hits} hits, {row.misses} misses ({row.page_ins} of them page-ins)",
            "faults": style(faults_text(row), fg="red") if row.faults else faults_text(row),
            "alerts": row.alerts,
            "pressure": row.pressure,
            "tokens": f"{row.tokens}, of them uncached {row.uncached_tokens}",
            "writeback": f"{row.committed} committed, {row.rejected} rejected",
            **{name: _counts(value) if isinstance(value, Mapping) else value for name, value in extra.items()},
            "head": f"{row.head_version} {row.head_hash}",
            "decisions": row.decision_digest,
        }
    )


def sessions_table(rows: Sequence[SessionRow]) -> list[str]:
    """Several sessions, a line each."""
    headers = (
        "session", "policy", "budget", "events", "turns", "calls", "pages",
        "needs", "hits", "page-ins", "faults", "alerts", "pressure", "uncached",
    )  # fmt: skip
    return table(
        (
            (
                r.session_id, r.policy, r.budget_tokens, r.events, r.turns, r.tool_calls, r.pages,
                r.needs, r.hits, r.page_ins, r.faults, r.alerts, r.pressure, r.uncached_tokens,
            )
            for r in rows
        ),
        headers,
    )  # fmt: skip
