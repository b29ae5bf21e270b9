"""Documents of decisions: faults, the decision trace, and the reasons behind one page's level."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from clawvm_es.history.origins import tool_names
from clawvm_es.history.why import why as ask
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import UNKNOWN_TOOL, PromptAssembled
from clawvm_es.projections import decisions
from clawvm_es.projections.rows import FaultRow
from clawvm_es.projections.tables import FAULTS
from clawvm_es.views.held import require_pages
from clawvm_es.views.reading import models, timed, version_at, versions_at, with_time
from clawvm_es.views.titles import Titles
from clawvm_es.views.words import brief, layout, standing, verdict

if TYPE_CHECKING:
    from clawvm_es.core.tracing import Candidate
    from clawvm_es.history.why import Since, Why


def faults(
    log: EventLog, session_id: str | None = None, *, version: int | None = None, turn: int | None = None
) -> dict[str, Any]:
    """The faults of a log, or of one session up to a place, with page or tool and the events that show them."""
    upto = None if session_id is None else version_at(log, session_id, version, turn)
    titles, named = Titles(log), dict[str, dict[str, str | None]]()
    with models(log) as view:  # a fault's row stays as it was made
        rows = [row for row in view.rows(FAULTS, session_id) if upto is None or row.version <= upto]
        for name in dict.fromkeys(row.session_id for row in rows):
            ids = (row.page_id for row in rows if row.session_id == name and row.page_id is not None)
            named[name] = titles.in_models(view, name, ids)
    tools = {row.session_id: tool_names(log, row.session_id) for row in rows if row.tool == UNKNOWN_TOOL}
    return {"faults": [_fault(row, named[row.session_id], tools.get(row.session_id, {})) for row in rows]}


def _fault(row: FaultRow, titles: Mapping[str, str | None], tools: Mapping[int, str]) -> dict[str, Any]:
    """A fault; an undeclared tool is given by name."""
    tool = tools.get(row.call, row.tool) if row.tool == UNKNOWN_TOOL and row.call is not None else row.tool
    found = attrs.asdict(row) | {"tool": tool, "evidence": json.loads(row.evidence)}
    return with_time(found) | {"title": titles.get(row.page_id or "")}


def trace(
    log: EventLog,
    session_id: str,
    *,
    version: int | None = None,
    turn: int | None = None,
    page: str | None = None,
) -> dict[str, Any]:
    """The decisions of a session up to a version or of one turn; only those about one page, if given."""
    after, upto = versions_at(log, session_id, version, turn)
    titles = Titles(log)
    require_pages(log, session_id, () if page is None else (page,))
    rows = [row for row in decisions(log, session_id, upto, after) if page in (None, row["page_id"])]
    titles.load(session_id, (row["page_id"] for row in rows))
    found = [
        with_time(row) | {"title": titles.of(session_id, row["page_id"]), "layout": _layout(row)} for row in rows
    ]
    return {"session_id": session_id, "decisions": found}


def _layout(row: Mapping[str, Any]) -> str | None:
    """The epoch of an assembly in words; None for other decisions, and if the policy selects at every turn."""
    if row["type"] != PromptAssembled.TYPE:
        return None
    return layout(msgspec.convert(row["data"], PromptAssembled)) or None


def why(
    log: EventLog, session_id: str, page_id: str, *, version: int | None = None, turn: int | None = None
) -> dict[str, Any]:
    """The reasons for a page's level in a turn's prompt, beside all other candidates of that turn."""
    at = None if version is None else version_at(log, session_id, version, turn)
    found = ask(log, session_id, page_id, turn, at)
    titles = Titles(log)
    titles.load(session_id, (each.page_id for each in found.candidates))
    return {
        "session_id": found.session_id,
        "turn": found.turn,
        "began": found.began,
        "assembled": found.assembled,
        "policy": found.policy,
        "rule": found.rule,
        "order": found.order,
        "says": verdict(found),
        "epoch": found.epoch,
        "trigger": found.trigger,
        "since": None if found.since is None else _since(found.since),
        "differs": found.differs,
        "account": attrs.asdict(found.account),
        "page": _candidate(found, found.page, titles),
        "provenance": timed(attrs.asdict(found.provenance)),
        "changed": None if found.changed is None else timed(attrs.asdict(found.changed)),
        "candidates": [_candidate(found, each, titles) for each in found.candidates],
    }


def _since(found: Since) -> dict[str, Any]:
    """The epoch to which a prompt belongs, without its candidate, whose reasons are given in words."""
    told = timed(attrs.asdict(found, filter=lambda field, _: field.name != "candidate"))
    assert isinstance(told, dict)
    return told


def _candidate(found: Why, each: Candidate, titles: Titles) -> dict[str, Any]:
    return {
        "page_id": each.page_id,
        "page_type": each.page_type,
        "title": titles.of(found.session_id, each.page_id),
        "before": each.before,
        "after": each.after,
        "floor": each.floor,
        "tokens": each.tokens,
        "utility": each.utility,
        "score": each.total,
        "score_parts": {**each.score._asdict(), "recency": each.recency},
        "reuse": attrs.asdict(each.reuse) if each.reuse else None,
        "levels": {level: {"tokens": size, "utility": each.utility_at(level)} for level, size in each.levels.items()},
        "rank": each.rank,
        "by": each.by,
        "stop": each.stop,
        "wanted": each.wanted,
        "rest": each.rest,
        "entry": each.entry,
        "says": standing(each, found.account),
        "brief": brief(each),
        "steps": [attrs.asdict(step) for step in each.steps],
    }
