"""`clawvm eval`: the paper's tables and recorded sessions, in one report. Twin of `clawvm_es.evaluation.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from clawvm_es.cli.options import Whole, complete_names, executor_option, json_option
from clawvm_es.cli.output import progress_bars, say

if TYPE_CHECKING:
    from clawvm_es.evaluation.report import Report

_WIDEST: Final = 104
"""Columns that a verdict takes at most, however wide the terminal is."""


@click.command("eval")
@click.argument("parts", nargs=-1, metavar="[PART]…", shell_complete=complete_names)
@click.option("--out", required=True, type=click.Path(), metavar="DIR", help="Folder for the report.")
@click.option(
    "--traces",
    type=click.Path(),
    envvar="CLAWVM_TRACES",
    metavar="DIR",
    help="Folder of recorded sessions, for the real part. Default: $CLAWVM_TRACES.",
)
@click.option("--budget", "budgets", multiple=True, type=int, metavar="TOKENS", help="Only at this budget.")
@click.option(
    "--policy", "policies", multiple=True, metavar="NAME", shell_complete=complete_names, help="Only this policy."
)
@click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_names,
    help="Only this family of workloads.",
)
@click.option("--seed", type=int, metavar="N", default=1, show_default=True, help="Seed of the families' sessions.")
@click.option(
    "--fixed",
    type=Whole(0),
    default=0,
    metavar="TOKENS",
    help="Charge recorded turns for a fixed region of this size.",
)
@click.option(
    "--renderer",
    "renderers",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_names,
    help="Only as messages (arguments of calls counted), or in frames (pages alone). Default: both, each apart.",
)
@click.option("--workers", type=Whole(1), metavar="N", help="Processes. Default: one for each core.")
@executor_option
@click.option("--fresh", is_flag=True, help="Begin anew: remove what an evaluation left in the folder.")
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    parts: Sequence[str],
    out: str,
    traces: str | None,
    budgets: Sequence[int],
    policies: Sequence[str],
    families: Sequence[str],
    seed: int,
    fixed: int,
    renderers: Sequence[str],
    workers: int | None,
    executor_name: str | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Evaluate policies on seeded workloads and recorded sessions, beside the paper's figures.

    Parts: tier1, tier2, ablation, weights, stress, tasks, real, overhead, or all (the default). Writes report.md,
    report.json, report.csv and report.html to the folder; timings stand in files of their own. An interrupted run
    continues with the same command. Exit code 1: a gate fails. --budget, --policy, --family and --renderer can
    be given more than once; parts that have no such choice ignore them.

    \b
    Example:
      clawvm eval all --out out --traces ~/.claude/projects
      clawvm eval tier1 stress --out out --json
      clawvm eval tier2 --out out2 --family coding --policy clawvm --policy lru --budget 180
    """
    from pathlib import Path

    from clawvm_es.cli.output import emit
    from clawvm_es.errors import UsageError
    from clawvm_es.evaluation.evaluate import Choice, Settings
    from clawvm_es.evaluation.evaluate import evaluate as run
    from clawvm_es.fleet.executor import executor

    if workers is not None and executor_name is not None:
        raise UsageError("--workers and --executor say the same", hint="give one of them")
    runs = None if executor_name is None else executor(executor_name)
    choice = Choice(tuple(policies), tuple(families), tuple(budgets), seed)
    settings = Settings(tuple(parts) or ("all",), Path(traces) if traces else None, fixed, choice, tuple(renderers))
    with progress_bars() as progress:
        report = run(out, settings, workers=workers, executor=runs, fresh=fresh, progress=progress, say=say)
    emit(report.document(), _lines(report, out), as_json)
    if not report.holds:
        context.exit(1)


def _lines(report: Report, out: str) -> list[str]:
    import textwrap

    from clawvm_es.cli.output import bad, good, terminal_width
    from clawvm_es.evaluation.report import verdict

    marks = {True: good("✓"), False: bad("✗"), None: "·"}
    width = min(terminal_width() or _WIDEST, _WIDEST) - 4
    lines: list[str] = []
    for part in report.parts:
        first, *rest = textwrap.wrap(f"{part.section.title}: {verdict(part)}", width)
        lines += [f"{marks[part.section.holds]} {first}", *(f"    {line}" for line in rest)]
    lines += [f"· {name}: left out: {why}" for name, why in report.left_out.items()]
    return [*lines, "", f"{out}/report.html, report.md, report.json, report.csv"]
