"""Runs of the same inputs side by side, as `whatif` and `fork --rerun` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clawvm_es.cli.tables import Column, fitted


def budget(row: Mapping[str, Any]) -> int | str:
    """The budget of a run or session in a table: its tokens, or `none`."""
    tokens: int | str = row["budget"]
    return tokens or "none"


def budget_words(tokens: int) -> str:
    """The budget of a session in a sentence."""
    return f"budget {tokens:,} tokens" if tokens else "no budget"


RUN_COLUMNS: Final = (
    Column("run", "run", 0, True),
    Column("policy", "policy", 0, True),
    Column("budget", budget),
    Column("needs", "needs", 4),
    Column("hits", "hits", 3),
    Column("misses", "misses"),
    Column("page-ins", "page_ins", 2),
    Column("unmet", "unmet", 8),
    Column("faults", lambda run: sum(run["faults"].values())),
    Column("pressure", "pressure", 7),
    Column("alerts", "alerts", 6),
    Column("tokens", "tokens", 5),
    Column("uncached", "uncached_tokens", 1),
    Column("epochs", "epochs", 9),
    Column("cost", lambda run: run["cost"]["cost"]),
)


def runs_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table, then for each run after the first (the recorded one) its first difference and its faults."""
    lines = [*fitted(runs, RUN_COLUMNS), ""]
    for run in runs[1:]:
        name, parted = run["run"], run["parted"]
        if parted is None:
            lines.append(f"{name}: the recorded prompts, turn by turn")
        else:
            title = f" “{parted['title']}”" if parted["title"] else ""
            place = "{0}: parts at turn {turn} (version {version})".format(name, **parted)
            lines.append(f"{place}: {parted['page_id']}{title} {parted['recorded']}, here {parted['now']}")
        if faults := ", ".join(f"{fault} {count}" for fault, count in run["faults"].items() if count):
            lines.append(f"   faults: {faults}")
    return lines
