"""`clawvm whatif`: the same inputs under other settings. Twin of `clawvm_es.history.whatif`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import OTHER_POLICIES, journal_argument, json_option, session_option

if TYPE_CHECKING:
    from clawvm_es.history.whatif import Run, Setting
    from clawvm_es.model.profile import Capability, Profile


@click.command()
@journal_argument
@session_option
@click.option("--budget", "budgets", multiple=True, type=int, metavar="TOKENS", help="Tokens of one prompt.")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help=f"clawvm, {OTHER_POLICIES}.")
@click.option("--weights", multiple=True, metavar="K=V,…", help="Change weights of the policy.")
@click.option("--without", multiple=True, metavar="NAME,…", help="Break mechanisms of the policy.")
@click.option(
    "--from", "version", type=click.IntRange(0), metavar="VERSION", help="Leave all up to this event as is."
)
@click.option("--turn", type=click.IntRange(1), metavar="N", help="Leave all up to the end of this turn as is.")
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
    as_json: bool,
) -> None:
    """Decide a session's inputs again under other settings, and compare. Nothing is written.

    Options can be given more than once: every combination is a run. The first line is the recorded run.

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
    from clawvm_es.cli.options import chosen, opened, version_at
    from clawvm_es.cli.output import emit, progress
    from clawvm_es.errors import UsageError
    from clawvm_es.history import whatif as library
    from clawvm_es.journal.lineage import read_session

    if not (budgets or policies or weights or without):
        raise UsageError("nothing is other than recorded", hint="--budget, --policy, --weights or --without")
    if version is not None and turn is not None:
        raise UsageError("--from and --turn name two places", hint="give one of them")
    with opened(journal) as log:
        session_id = chosen(log, session)
        after = version or version_at(log, session_id, None, turn) or 0
        base = library.recorded_setting(read_session(log, session_id)).profile
        assert base is not None
        others = _settings(base, budgets, policies, weights, without)
        with progress(f"{len(others)} runs") as report:
            found = library.whatif(log, session_id, others, after=after, progress=report)
    named = [("recorded", found.recorded), *((f"{number}", run) for number, run in enumerate(found.runs, 1))]
    document = {
        "journal": journal,
        "session_id": session_id,
        "from": after,
        "open_loop": True,
        "recorded": _document(found.recorded),
        "runs": [_document(run) for run in found.runs],
    }
    emit(document, _lines(session_id, after, named), as_json)


def _lines(session_id: str, after: int, named: Sequence[tuple[str, Run]]) -> list[str]:
    from clawvm_es.cli.runs import run_row, runs_lines
    from clawvm_es.history.whatif import OPEN_LOOP

    place = f", after version {after}" if after else ""
    rows = [run_row(name, run.profile.name, run.budget_tokens, run.figures) for name, run in named]
    others = [(name, run.figures, run.parted) for name, run in named[1:]]
    return [f"{session_id}{place}", "", *runs_lines(rows, others), OPEN_LOOP]


def _document(run: Run) -> dict[str, Any]:
    import attrs

    from clawvm_es.cli.runs import figures_document, parting_document

    profile = run.profile
    return {
        "policy": profile.name,
        "budget": run.budget_tokens,
        "weights": attrs.asdict(profile.weights),
        "capabilities": [str(capability) for capability in profile.capabilities],
        **figures_document(run.figures),
        "parted": parting_document(run.parted),
    }


def _settings(
    base: Profile, budgets: Sequence[int], policies: Sequence[str], weights: Sequence[str], without: Sequence[str]
) -> tuple[Setting, ...]:
    """What the options mean; raises `UsageError` for names and numbers that mean nothing."""
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
