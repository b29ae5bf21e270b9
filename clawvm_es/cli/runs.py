"""Runs of the same inputs side by side, as `whatif` and `fork --rerun` show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from clawvm_es.cli.output import table

if TYPE_CHECKING:
    from clawvm_es.history.figures import Figures, Parting

HEADERS: Final = (
    "run", "policy", "budget", "needs", "hits", "misses", "page-ins", "faults", "pressure", "alerts",
    "tokens", "uncached",
)  # fmt: skip


def figures_document(figures: Figures) -> dict[str, Any]:
    """The figures of a run as a JSON object, with the names that `sessions` has."""
    return {
        "turns": figures.turns,
        "needs": figures.needs,
        "hits": figures.hits,
        "page_ins": figures.page_ins,
        "misses": figures.misses,
        "faults": {str(fault): count for fault, count in figures.faults.items()},
        "alerts": figures.alerts,
        "pressure": figures.pressure,
        "tokens": figures.tokens,
        "uncached_tokens": figures.uncached_tokens,
    }


def parting_document(parted: Parting | None) -> dict[str, Any] | None:
    """Where a run parts from the recorded one, as a JSON object."""
    if parted is None:
        return None
    return {
        "turn": parted.turn,
        "version": parted.version,
        "page_id": parted.page_id,
        "recorded": str(parted.recorded),
        "now": str(parted.now),
    }


def run_row(name: str, policy: str, budget: int, figures: Figures) -> tuple[Any, ...]:
    """One line of the table."""
    return (
        name, policy, budget, figures.needs, figures.hits, figures.misses, figures.page_ins,
        sum(figures.faults.values()), figures.pressure, figures.alerts, figures.tokens, figures.uncached_tokens,
    )  # fmt: skip


def runs_lines(rows: Sequence[tuple[Any, ...]], others: Sequence[tuple[str, Figures, Parting | None]]) -> list[str]:
    """The table, then for each other run where it parts and which faults it makes; `others` by the names in it."""
    lines = table(rows, HEADERS)
    lines.append("")
    for name, figures, parted in others:
        if parted is None:
            lines.append(f"{name}: the recorded prompts, turn by turn")
        else:
            lines.append(
                f"{name}: parts at turn {parted.turn} (version {parted.version}): "
                f"{parted.page_id} {parted.recorded}, here {parted.now}"
            )
        if faults := ", ".join(f"{fault} {count}" for fault, count in figures.faults.items() if count):
            lines.append(f"   faults: {faults}")
    return lines
