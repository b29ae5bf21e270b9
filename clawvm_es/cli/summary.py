"""A session's figures as `replay`, `sessions` and `demo` show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clawvm_es.cli.money import by_our_counts, dollars, input_tokens, recorded_usage, reported
from clawvm_es.cli.output import counted, facts, style
from clawvm_es.cli.runs import budget, budget_words
from clawvm_es.cli.tables import Column
from clawvm_es.cli.times import ago, joined, length, shown_time, told

BY_CONSTRUCTION: Final = ("clawvm", "clawvm_turn", "clawvm_paper", "clawvm_rank", "lru", "lru_turn")
"""Policies with all mechanisms: that they fault nowhere is a theorem, not a measurement."""


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items() if number) or "none"


def faults_text(session: Mapping[str, Any]) -> str:
    """A session's faults by type, or the reason why there are none."""
    if any(session["faults"].values()):
        return _counts(session["faults"])
    return "none, by construction" if session["policy"] in BY_CONSTRUCTION else "none"


def _started(time: str | None) -> str:
    if time is None:
        return "not known: no time was recorded"
    distance = ago(time)
    shown = f"{shown_time(time)} UTC"
    return f"{shown} ({distance})" if distance.endswith("ago") else shown


def _needs(session: Mapping[str, Any]) -> str:
    found = f"{session['needs']}: {counted(session['hits'], 'hit')}, {counted(session['misses'], 'miss')}"
    return f"{found} ({session['page_ins']} paged in, {session['unmet']} unmet)" if session["misses"] else found


def _usage(session: Mapping[str, Any]) -> str:
    if not recorded_usage(session):
        return "not recorded"
    return (
        "{input_tokens:,} input tokens ({cached_tokens:,} cached, {written_tokens:,} written), "
        "{output_tokens:,} output".format(**session["usage"])
    )


def session_lines(session: Mapping[str, Any], extra: Mapping[str, Any]) -> list[str]:
    """All figures of one session, for people."""
    pages, started = sum(session["pages"].values()), told(session["started"])
    took = length(started, session["ended"])
    faults = faults_text(session)
    return facts(
        {
            "session": session["session_id"],
            "title": session["title"],
            "started": joined(_started(started), took and f"took {took}"),
            "format": session["format"],
            "folder": session["folder"] or "not known",
            "policy": f"{session['policy']}, {budget_words(session['budget'])}, counted by {session['counter']}",
            "events": session["events"],
            "turns": session["turns"],
            "tool calls": session["tool_calls"],
            "boundaries": _counts(session["boundaries"]),
            "pages": f"{pages}: {_counts(session['pages'])}" if pages else 0,
            "needs": _needs(session),
            "faults": style(faults, fg="red") if any(session["faults"].values()) else faults,
            "alerts": session["alerts"],
            "pressure": session["pressure"],
            "tokens": "{tokens:,}, of them uncached {uncached_tokens:,}".format(**session),
            "usage": _usage(session),
            "cost": reported(session["cost"]),
            "cost by our counts": by_our_counts(session["cost"]),
            **({"epochs": session["epochs"]} if session["epochs"] else {}),
            "writeback": "{committed} committed, {rejected} rejected".format(**session),
            **{name: _counts(value) if isinstance(value, Mapping) else value for name, value in extra.items()},
            "head": "{version} {hash}".format(**session["head"]),
            "decisions": session["decision_digest"],
        }
    )


SESSION_COLUMNS: Final = (
    Column("session", "session_id"),
    Column("title", "title", least=20),
    Column("started", lambda row: shown_time(told(row["started"])), 9, True),
    Column("when", lambda row: ago(told(row["started"])), 1, True),
    Column("length", lambda row: length(told(row["started"]), row["ended"]), 4, True),
    Column("folder", "folder", 16),
    Column("compactions", "compactions", 5),
    Column("lost", "misses"),
    Column("input tokens", input_tokens, 10),
    Column("cost", lambda row: dollars(row["cost"]["reported"]["usd"]), 9, True),
    Column("policy", "policy", 6, True),
    Column("budget", budget, 8),
    Column("events", "events", 12),
    Column("turns", "turns", 2),
    Column("calls", "tool_calls", 11),
    Column("pages", lambda row: sum(row["pages"].values()), 10),
    Column("needs", "needs", 3),
    Column("hits", "hits", 5),
    Column("page-ins", "page_ins", 7),
    Column("faults", lambda row: sum(row["faults"].values()), 1),
    Column("alerts", "alerts", 13),
    Column("pressure", "pressure", 14),
    Column("uncached", "uncached_tokens", 15),
)
