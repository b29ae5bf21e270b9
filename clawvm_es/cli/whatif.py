"""`clawvm whatif`: the same inputs under other settings. Twin of `clawvm_es.history.whatif`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    OTHER_POLICIES,
    complete_policies,
    journal_argument,
    json_option,
    prices_option,
    session_option,
)
from clawvm_es.cli.runs import RUN_COLUMNS, runs_lines
from clawvm_es.cli.tables import emit_rows, shape_options

if TYPE_CHECKING:
    from clawvm_es.history.whatif import Setting
    from clawvm_es.model.profile import Capability, Profile


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
@click.option("--without", multiple=True, metavar="NAME,…", help="Break mechanisms of the policy.")
@click.option(
    "--from", "version", type=click.IntRange(0), metavar="VERSION", help="Leave all up to this event as is."
)
@click.option("--turn", type=click.IntRange(1), metavar="N", help="Leave all up to the end of this turn as is.")
@prices_option
@shape_options
@json_option
def whatif(
    journal: str,
    session: str | None,
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
    that was recorded without a budget is asked about at 128,000 tokens and its fixed region, unless one is given.

    Weights, in permille: pin_hard, pin_soft, boot, plan, scope, cost; by what a page holds: holds_record (a file or
    record), holds_result (of another tool), holds_said (by the model), holds_told (to the model), holds_stated
    (rules, plans, preferences); under clawvm also reuse (for each use before), under clawvm_paper recency.

    \b
    Example:
      clawvm whatif j.db --budget 8000 --budget 4000 --policy clawvm --policy lru
      clawvm whatif j.db --weights holds_said=400,reuse=0 --from 1500
      clawvm whatif j.db --policy clawvm_paper --weights recency=1200
      clawvm whatif j.db --without resolution --without floors,boundary_floors
    """
    from clawvm_es.cli.output import progress
    from clawvm_es.errors import UsageError
    from clawvm_es.history import whatif as library
    from clawvm_es.journal.lineage import read_session

    if not (budgets or policies or weights or without):
        raise UsageError("nothing is other than recorded", hint="--budget, --policy, --weights or --without")
    if version is not None and turn is not None:
        raise UsageError("--from and --turn name two places", hint="give one of them")
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        after = version or views.version_at(log, session_id, None, turn) or 0
        base = library.recorded_setting(read_session(log, session_id)).profile
        assert base is not None
        others = _settings(base, budgets, policies, weights, without)
        with progress(f"{len(others)} runs") as report:
            found = library.whatif(log, session_id, others, after=after, progress=report)
        document = {"journal": journal} | views.whatif(log, session_id, after, found, prices)
    named = [
        ("recorded", document["recorded"]),
        *((f"{number}", run) for number, run in enumerate(document["runs"], 1)),
    ]
    runs = [{"run": name} | run for name, run in named]
    place = f", after version {after}" if after else ""
    lines = [f"{session_id}{place}", "", *runs_lines(runs), *_cost_lines(document), document["caveat"]]
    emit_rows(document, runs, RUN_COLUMNS, as_json, text=lines)


def _cost_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The price list, and of a recorded harness the cost of its pages alone, with which the runs compare."""
    from clawvm_es.cli.money import at

    yield at(document["prices"])
    if document["harness"] is not None:
        cost = document["harness"]["cost"]["cost"]
        shares = ", ".join(f"run {n} {_percent(r['cost']['cost'], cost)}" for n, r in enumerate(document["runs"], 1))
        yield f"the harness's prompts by their pages alone, as ours are: {cost:,}; of it {shares}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "not known"


def _settings(
    base: Profile, budgets: Sequence[int], policies: Sequence[str], weights: Sequence[str], without: Sequence[str]
) -> tuple[Setting, ...]:
    """Read the options; raises `UsageError` for names and numbers that mean nothing."""
    from clawvm_es.core.profiles import profile
    from clawvm_es.history.whatif import settings

    return settings(
        base,
        budgets=budgets,
        policies=[profile(name) for name in policies],
        weights=[_weights(text) for text in weights],
        missing=[_mechanisms(text) for text in without],
    )


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


def _mechanisms(text: str) -> list[Capability]:
    from clawvm_es.errors import UsageError
    from clawvm_es.model.profile import Capability

    try:
        return [Capability(name.strip()) for name in text.split(",")]
    except ValueError as error:
        raise UsageError(f"unknown mechanism: {error}", hint=f"one of {', '.join(Capability)}") from None
