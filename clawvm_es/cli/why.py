"""`why`: the reasons of a turn's prompt, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from clawvm_es import views
from clawvm_es.cli.options import complete_pages, journal_argument, json_option, prompt_options, session_option
from clawvm_es.cli.output import counted, style
from clawvm_es.cli.tables import Column, fitted

_OTHERWISE = "today's code decides this turn otherwise than the log recorded"
SHOWN = 24
"""Candidates printed unless all are asked for."""


@click.command()
@journal_argument
@click.argument("page", metavar="PAGE", shell_complete=complete_pages)
@session_option
@prompt_options
@click.option("--all", "every", is_flag=True, help="Print every candidate of the turn.")
@json_option
def why(
    journal: str, page: str, session: str | None, version: int | None, turn: int | None, every: bool, as_json: bool
) -> None:
    """Explain the level of a page in a turn's prompt, or why the page was missing.

    The turn is decided again with tracing on. Each candidate has a place in the order in which steps were offered.
    For a missing page, the event by which it left is shown. Exit code 1: today's code decides the turn differently
    from the log.

    \b
    Example:
      clawvm why j.db p3 --turn 40
      clawvm why j.db p3 --turn 40 --all
    """
    from clawvm_es.cli.output import emit

    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        document = {"journal": journal} | views.why(log, session_id, page, version=version, turn=turn)
    emit(document, _lines(journal, document, every), as_json)
    if document["differs"]:
        raise click.exceptions.Exit(1)


def _lines(journal: str, found: Mapping[str, Any], every: bool) -> list[str]:
    """The answer: where the page came from and how it left, its steps, the account, and the other candidates."""
    from clawvm_es.cli.output import bad, facts, one_line, whole
    from clawvm_es.views.words import change, origin, spent

    page, provenance, changed = found["page"], found["provenance"], found["changed"]
    reuse = page["reuse"]
    times = "; uses {uses}; turns since use or write {age} (nearness {nearness})".format(**reuse) if reuse else ""
    parts = ", ".join(f"{name} {value}" for name, value in page["score_parts"].items() if value)
    of = f"version {provenance['content_version']}, {origin(provenance)}"
    told = {
        "page": f"{page['page_id']}, {page['page_type']}, {of}",
        "source": one_line(provenance["source"] or ""),
        "level": change(changed, page["after"]),
        "utility": f"{page['score']} in full: {parts}{times}",
        "order": _order(found),
        "budget": spent(found["account"]),
    }
    lines = [style(found["says"], bold=True), ""]
    lines += facts({name: value for name, value in told.items() if value})
    lines += ["", *_levels(page), "", *_table(found, every)]
    if changed is not None and changed["after"] == "absent" and changed["event"]["turn"] < found["turn"]:
        lines += ["", f"why it left: {whole(_again(journal, found, changed['event']['turn']))}"]
    if found["differs"]:
        lines += ["", bad(f"{_OTHERWISE}: {whole('clawvm verify --redecide')}")]
    return lines


def _order(found: Mapping[str, Any]) -> str:
    from clawvm_es.model.profile import RULES

    account = found["account"]
    closed = account["refusals"] >= account["misfits"]
    ended = f", ended after {counted(account['refusals'], 'page')} did not fit" if closed else ""
    order = RULES[found["rule"]].says or found["order"]
    return f"{found['policy']}, by {order}; {counted(account['offered'], 'step')} offered{ended}"


def _again(journal: str, found: Mapping[str, Any], turn: int) -> str:
    from clawvm_es.views.words import command

    return command("why", journal, found["page"]["page_id"], "--turn", turn, "--session", found["session_id"])


def _levels(page: Mapping[str, Any]) -> list[str]:
    """The page's kept levels, the gain of each, and the outcome of the step to it."""
    steps = {step["level"]: step for step in page["steps"]}
    rows = [
        {"level": level, "size": size, "step": steps.get(level), "here": level == page["after"]}
        for level, size in page["levels"].items()
    ]
    return fitted(rows, _LEVELS)


def _of_step(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row["step"][name] if row["step"] else None


_LEVELS = (
    Column("level", "level", 0, True),
    Column("tokens", lambda row: row["size"]["tokens"]),
    Column("utility", lambda row: row["size"]["utility"], 3),
    Column("place", _of_step("place"), 4),
    Column("+tokens", _of_step("tokens"), 1),
    Column("+utility", _of_step("gain"), 1),
    Column("rest", _of_step("rest"), 5),
    Column("step", _of_step("outcome")),
    Column("here", lambda row: "◀" if row["here"] else ""),
)

_CANDIDATES = (
    Column("page", "page_id", 0, True),
    Column("type", "page_type", 3, True),
    Column("level", lambda each: f"{each['after']}{_moved(each)}", 0, True),
    Column("tokens", "tokens"),
    Column("utility", "utility", 2),
    Column("place", "rank", 4),
    Column("title", "title", 1),
    Column("why", "brief"),
)


def _table(found: Mapping[str, Any], every: bool) -> list[str]:
    candidates = found["candidates"]
    shown = candidates if every else _around(candidates)
    lines = fitted(shown, _CANDIDATES)
    lines[2] = style(lines[2], bold=True)
    lines += ["↑ ↓: raised or lowered by this assembly; +tokens for +utility is what the next step asked and gave"]
    left = len(candidates) - len(shown)
    return [*lines, f"… and {left} more of {len(candidates)} candidates: --all"] if left else lines


def _moved(each: Mapping[str, Any]) -> str:
    from clawvm_es.model.pages import LADDER

    rank = [str(level) for level in LADDER].index
    before, after = rank(str(each["before"])), rank(str(each["after"]))
    return "" if after == before else " ↑" if after > before else " ↓"


def _around(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The page asked about, then its nearest candidates in the order."""
    asked, *others = candidates
    rank = asked["rank"] or 0
    near = sorted(others, key=lambda each: (each["rank"] is None, abs((each["rank"] or 0) - rank)))[: SHOWN - 1]
    kept = {each["page_id"] for each in near}
    return [asked, *(each for each in others if each["page_id"] in kept)]
