"""`why`: the reasons of a turn's prompt, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import journal_argument, json_option, place_options, session_option
from clawvm_es.cli.output import style
from clawvm_es.model.pages import LADDER
from clawvm_es.model.profile import RULES

if TYPE_CHECKING:
    from clawvm_es.core.tracing import Candidate
    from clawvm_es.history.why import Why

SHOWN = 24
"""Candidates printed unless all are asked for."""


@click.command()
@journal_argument
@click.argument("page", metavar="PAGE")
@session_option
@place_options
@click.option("--all", "every", is_flag=True, help="Print every candidate of the turn.")
@json_option
def why(
    journal: str, page: str, session: str | None, version: int | None, turn: int | None, every: bool, as_json: bool
) -> None:
    """Tell why a page stood where it stood in a turn's prompt, or why it was missing.

    The turn is decided again with tracing on. Each candidate has a place in the order in which steps were
    offered; of a page that is missing, the event that made it leave is told. Exit code 1 says that today's code
    decides the turn otherwise than the log recorded.

    \b
    Example:
      clawvm why j.db p3 --turn 40
      clawvm why j.db p3 --turn 40 --all
    """
    from clawvm_es.cli.options import chosen, opened
    from clawvm_es.cli.output import emit

    with opened(journal) as log:
        session_id = chosen(log, session)
        found = _ask(log, session_id, page, version, turn)
        emit(_document(journal, found), _lines(journal, found, every), as_json)
    if found.differs:
        raise click.exceptions.Exit(1)


def _ask(log: Any, session_id: str, page: str, version: int | None, turn: int | None) -> Why:
    from clawvm_es.cli.options import version_at
    from clawvm_es.history.why import why as ask

    at = version_at(log, session_id, version, turn)
    return ask(log, session_id, page, turn, at if turn is None else None)


def _document(journal: str, found: Why) -> dict[str, Any]:
    import attrs

    from clawvm_es.cli.tell import verdict

    return {
        "journal": journal,
        "session_id": found.session_id,
        "turn": found.turn,
        "began": found.began,
        "assembled": found.assembled,
        "policy": found.policy,
        "rule": found.rule,
        "order": found.order,
        "says": verdict(found),
        "differs": found.differs,
        "account": attrs.asdict(found.account),
        "page": _candidate_document(found, found.page),
        "provenance": attrs.asdict(found.provenance),
        "changed": None if found.changed is None else attrs.asdict(found.changed),
        "candidates": [_candidate_document(found, each) for each in found.candidates],
    }


def _candidate_document(found: Why, each: Candidate) -> dict[str, Any]:
    import attrs

    from clawvm_es.cli.tell import standing

    return {
        "page_id": each.page_id,
        "page_type": each.page_type,
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
        "says": standing(each, found.account),
        "steps": [attrs.asdict(step) for step in each.steps],
    }


def _lines(journal: str, found: Why, every: bool) -> list[str]:
    """The answer, where the page came from and how it left, its steps, the account, and the other candidates."""
    from clawvm_es.cli.output import bad, facts, one_line
    from clawvm_es.cli.tell import change, origin, spent, verdict

    page, provenance = found.page, found.provenance
    parts = {**page.score._asdict(), "recency": page.recency}
    reuse = page.reuse
    times = f"; uses {reuse.uses}; turns since use or write {reuse.age} (nearness {reuse.nearness})" if reuse else ""
    told = {
        "page": f"{page.page_id}, {page.page_type}, version {provenance.content_version}, {origin(provenance)}",
        "source": one_line(provenance.source or "", 84),
        "level": change(found.changed, page),
        "utility": f"{page.total} in full: "
        + ", ".join(f"{name} {value}" for name, value in parts.items() if value)
        + times,
        "order": _order(found),
        "budget": spent(found.account),
    }
    lines = [style(verdict(found), bold=True), ""]
    lines += facts({name: value for name, value in told.items() if value})
    lines += ["", *_levels(page), "", *_table(found, every)]
    if found.changed is not None and found.changed.after == "absent" and found.changed.event.turn < found.turn:
        lines += ["", f"why it left: {_again(journal, found, found.changed.event.turn)}"]
    if found.differs:
        lines += ["", bad("today's code decides this turn otherwise than the log recorded: clawvm verify --redecide")]
    return lines


def _order(found: Why) -> str:
    account = found.account
    ended = f", ended after {account.refusals} pages were refused" if account.refusals >= account.misfits else ""
    order = RULES[found.rule].says or found.order
    return f"{found.policy}, by {order}; {account.offered} steps offered{ended}"


def _again(journal: str, found: Why, turn: int) -> str:
    from clawvm_es.cli.tell import command

    return command("why", journal, found.page.page_id, "--turn", turn, "--session", found.session_id)


def _levels(page: Candidate) -> list[str]:
    """The page's kept levels, what each would add, and what became of the step to it."""
    from clawvm_es.cli.output import table

    steps = {step.level: step for step in page.steps}
    rows = []
    for level, tokens in page.levels.items():
        step = steps.get(level)
        offer = (step.place, step.tokens, step.gain, step.rest, step.outcome) if step else (None,) * 5
        here = "◀" if level == page.after else ""
        rows.append((level, tokens, page.utility_at(level), *offer, here))
    return table(rows, ("level", "tokens", "utility", "place", "+tokens", "+utility", "rest", "step", ""))


def _table(found: Why, every: bool) -> list[str]:
    from clawvm_es.cli.output import table
    from clawvm_es.cli.tell import brief

    shown = found.candidates if every else _around(found)
    rows = [
        (
            each.page_id, each.page_type, f"{each.after}{_moved(each)}", each.tokens, each.utility, each.rank,
            brief(each),
        )
        for each in shown
    ]  # fmt: skip
    lines = table(rows, ("page", "type", "level", "tokens", "utility", "place", "why"))
    lines[2] = style(lines[2], bold=True)
    lines += ["↑ ↓: raised or lowered by this assembly; +tokens for +utility is what the next step asked and gave"]
    left = len(found.candidates) - len(shown)
    return [*lines, f"… and {left} more of {len(found.candidates)} candidates: --all"] if left else lines


def _moved(each: Candidate) -> str:
    rank = LADDER.index
    return "" if each.after == each.before else " ↑" if rank(each.after) > rank(each.before) else " ↓"


def _around(found: Why) -> list[Candidate]:
    """The page asked about, then the candidates nearest to it in the order."""
    asked, *others = found.candidates
    rank = asked.rank or 0
    near = sorted(others, key=lambda each: (each.rank is None, abs((each.rank or 0) - rank)))[: SHOWN - 1]
    kept = {each.page_id for each in near}
    return [asked, *(each for each in others if each.page_id in kept)]
