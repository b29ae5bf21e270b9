"""`clawvm whatif`: the same inputs under other settings. Twin of `clawvm_es.history.whatif`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    OTHER_POLICIES,
    Whole,
    complete_names,
    complete_policies,
    executor_option,
    journal_argument,
    json_option,
    mechanisms,
    prices_option,
    session_option,
)
from clawvm_es.cli.runs import RUN_COLUMNS, runs_lines
from clawvm_es.cli.tables import Column, emit_rows, fitted, shape_options

if TYPE_CHECKING:
    from clawvm_es.fleet.executor import Executor
    from clawvm_es.views.runs import Asked


@click.command()
@journal_argument
@session_option
@click.option("--budget", "budgets", multiple=True, type=int, metavar="TOKENS", help="Tokens of one prompt.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_policies,
    help=f"clawvm, {OTHER_POLICIES}.",
)
@click.option("--weights", multiple=True, metavar="K=V,…", help="Change weights of the policy.")
@click.option(
    "--without",
    multiple=True,
    metavar="NAME,…",
    shell_complete=complete_names,
    help="Break mechanisms of the policy.",
)
@click.option(
    "--from",
    "version",
    type=Whole(0),
    metavar="VERSION",
    help="Keep everything up to this event as recorded.",
)
@click.option("--turn", type=Whole(1), metavar="N", help="Keep everything up to the end of this turn as recorded.")
@click.option("--all", "whole", is_flag=True, help="Run every session, and add up.")
@executor_option
@prices_option
@shape_options
@json_option
def whatif(
    journal: str,
    session: str | None,
    whole: bool,
    executor_name: str | None,
    budgets: Sequence[int],
    policies: Sequence[str],
    weights: Sequence[str],
    without: Sequence[str],
    version: int | None,
    turn: int | None,
    prices: str | None,
    as_json: bool,
) -> None:
    """Decide a session's inputs again under other settings, and compare. Nothing is written.

    Options can be given more than once: every combination is a run. The first line is the recorded run. A session
    that was recorded without a budget runs at 128,000 tokens plus its fixed region, unless a budget is given. An
    executor spreads the runs of one session, or the sessions of --all, over processes.

    Weights, in permille: pin_hard, pin_soft, boot, plan, scope, cost; by what a page holds: holds_record (a file or
    record), holds_result (of another tool), holds_said (by the model), holds_told (to the model), holds_stated
    (rules, plans, preferences); under clawvm also reuse (for each use before), under clawvm_paper recency.

    \b
    Example:
      clawvm whatif j.db --budget 8000 --budget 4000 --policy clawvm --policy lru
      clawvm whatif j.db --weights holds_said=400,reuse=0 --from 1500
      clawvm whatif j.db --policy clawvm_paper --weights recency=1200
      clawvm whatif j.db --without resolution --without floors,boundary_floors
      clawvm whatif j.db --all --policy lru --executor local:4
    """
    from clawvm_es.cli.output import counted, progress
    from clawvm_es.core.profiles import profile
    from clawvm_es.errors import UsageError
    from clawvm_es.fleet.executor import executor
    from clawvm_es.history import whatif as library
    from clawvm_es.views.runs import Asked, whatif_runs

    if not (budgets or policies or weights or without):
        raise UsageError(
            "no setting differs from the recorded ones", hint="--budget, --policy, --weights or --without"
        )
    if version is not None and turn is not None:
        raise UsageError("--from and --turn name two places", hint="give one of them")
    asked = Asked(
        tuple(budgets),
        tuple(profile(name) for name in policies),
        tuple(_weights(text) for text in weights),
        tuple(tuple(mechanisms(text.split(","))) for text in without),
    )
    if whole:
        if session is not None or version is not None or turn is not None:
            raise UsageError(
                "--all is of whole sessions, of all of them", hint="leave out --session, --from and --turn"
            )
        _of_all(journal, asked, executor(executor_name), prices, as_json)
        return
    with views.opened(journal) as log, progress(counted(len(asked), "run")) as report:
        session_id = views.chosen(log, session)
        after = version or views.version_at(log, session_id, None, turn) or 0
        if executor_name is None:
            found = library.whatif(log, session_id, asked.of(log, session_id), after=after, progress=report)
            document = views.whatif(log, session_id, after, found, prices)
        else:
            workers = executor(executor_name)
            document = whatif_runs(journal, session_id, asked, workers, after=after, prices=prices, progress=report)
    document = {"journal": journal} | document
    runs = _named(document)
    place = f", after version {after}" if after else ""
    lines = [f"{session_id}{place}", "", *runs_lines(runs), *_notes(document)]
    emit_rows(document, runs, RUN_COLUMNS, as_json, text=lines)


def _of_all(journal: str, asked: Asked, workers: Executor, prices: str | None, as_json: bool) -> None:
    """Run all sessions: the sums for people, a row per session and run for programs."""
    from clawvm_es.cli.output import counted, progress
    from clawvm_es.views.runs import whatif_all

    with progress("sessions") as report:
        document = {"journal": journal} | whatif_all(journal, asked, workers, prices=prices, progress=report)
    rows = [{"session": each["session_id"]} | run for each in document["sessions"] for run in _named(each)]
    various = dict.fromkeys(("policy", "budget"), "various")
    sums = [run | {name: word for name, word in various.items() if run[name] is None} for run in _named(document)]
    lines = [counted(len(document["sessions"]), "session"), "", *fitted(sums, RUN_COLUMNS), ""]
    lines += _notes(document)
    emit_rows(document, rows, (Column("session", "session", 0, True), *RUN_COLUMNS), as_json, text=lines)


def _named(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs of a document with their names: `recorded`, then numbers."""
    runs = [("recorded", document["recorded"]), *((str(n), run) for n, run in enumerate(document["runs"], 1))]
    return [{"run": name} | run for name, run in runs]


def _notes(document: Mapping[str, Any]) -> Iterator[str]:
    """Notes: the price list, the cost of the recorded harness's pages (with which runs compare), and the caveat."""
    from clawvm_es.cli.money import at

    yield at(document["prices"])
    if document["harness"] is not None:
        cost = document["harness"]["cost"]["cost"]
        shares = ", ".join(f"run {n} {_percent(r['cost']['cost'], cost)}" for n, r in enumerate(document["runs"], 1))
        yield f"the harness's prompts by their pages alone, as ours are: {cost:,}; of it {shares}"
    yield document["caveat"]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "not known"


def _weights(text: str) -> dict[str, int]:
    from clawvm_es.errors import UsageError

    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            found[name.strip()] = int(value)
        except ValueError:
            what = f"{value!r} is no whole number" if equals else "expected NAME=PERMILLE"
            raise UsageError(f"--weights {part!r}: {what}", hint="for example reuse=0,plan=800") from None
    return found
