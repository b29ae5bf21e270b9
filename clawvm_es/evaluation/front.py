"""Cost and misses of policies beside the recorded harness, on the same sessions with the same needs.

A session and its subagents are one draw of the bootstrap. A ratio of costs is a ratio of sums over sessions, so
that long sessions weigh more.

LAW-FRONT-1: compared with itself, the harness costs 100 % at every price list, with no difference in misses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from clawvm_es.evaluation.harness import LISTS
from clawvm_es.evaluation.statistics import Interval, Share, interval, share
from clawvm_es.evaluation.verdict import ALL, Measured, part

HARNESS: Final = "the harness"
DEFAULT_LIST: Final = LISTS[0]
"""Price list of the front, and of the profiles that ship."""
COMPACTED: Final = "compacted by the harness"
KEPT_WHOLE: Final = "never compacted"


@attrs.frozen
class Population:
    """The sessions behind a figure, as a reader needs to know them."""

    sessions: int
    subagents: int
    origins: int
    turns: int
    needs: int

    def __str__(self) -> str:
        """`20 sessions (1 of a subagent) on 4 checkouts or tasks, 3,987 turns, 889 needs`."""
        agents = f" ({self.subagents} of {'a subagent' if self.subagents == 1 else 'subagents'})"
        named = "session" if self.sessions == 1 else "sessions"
        places = "checkout or task" if self.origins == 1 else "checkouts or tasks"
        return (
            f"{self.sessions} {named}{agents if self.subagents else ''} on {self.origins} {places}, "
            f"{self.turns:,} turns, {self.needs:,} needs"
        )


@attrs.frozen
class Beside:
    """One arm compared with the harness: costs at each list, misses, misses of pages the harness had dropped, epochs.

    `shares` are None if the harness cost nothing.
    """

    cost: Mapping[str, int]
    shares: Mapping[str, Share | None]
    misses: int
    more: Interval
    dropped: int
    epochs: int
    pressure: int
    rules: int


def population(rows: Sequence[Measured], origins: int) -> Population:
    """The sessions of some rows of one budget."""
    return Population(
        len(rows),
        sum(row.found.name != row.found.session for row in rows),
        origins,
        sum(row.result["turns"] for row in rows),
        sum(row.result["needs"] for row in rows),
    )


def beside(rows: Sequence[Measured], arm: str) -> Beside:
    """Compare a policy, or the harness itself, with the harness, on the rows of one budget."""
    own = [figures_of(row, arm) for row in rows]
    return Beside(
        MappingProxyType({name: sum(its["costs"][name] for its in own) for name in LISTS}),
        MappingProxyType({name: _share(rows, arm, name) for name in LISTS}),
        sum(its["misses"] for its in own),
        interval(_by_session(rows, lambda row: figures_of(row, arm)["misses"] - row.harness["misses"])),
        sum(its["dropped"] for its in own),
        sum(its["epochs"] for its in own),
        sum(its.get("pressure", 0) for its in own),
        sum(its.get("rules", 0) for its in own),
    )


def figures_of(row: Measured, arm: str) -> Mapping[str, Any]:
    """The figures of a policy, or of the harness, in one row."""
    found: Mapping[str, Any] = row.harness if arm == HARNESS else row.result["policies"][arm]
    return found


def _share(rows: Sequence[Measured], arm: str, name: str) -> Share | None:
    ours = _by_session(rows, lambda row: figures_of(row, arm)["costs"][name])
    theirs = _by_session(rows, lambda row: row.harness["costs"][name])
    return share(ours, theirs)


def _by_session(rows: Iterable[Measured], figure: Callable[[Measured], int]) -> list[int]:
    """A figure of each session with its subagents, in a fixed order."""
    found: Counter[str] = Counter()
    for row in rows:
        found[row.found.session] += figure(row)
    return [found[session] for session in sorted(found)]


def populations(rows: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Rows of one budget by population: all, by the harness's behaviour, and by the split; no empty ones."""
    found = {
        ALL: list(rows),
        COMPACTED: [row for row in rows if row.harness["epochs"] > 1],
        KEPT_WHOLE: [row for row in rows if row.harness["epochs"] <= 1],
        "held out": part(rows, "held_out"),
        "tuned on": part(rows, "tune"),
    }
    return {name: its for name, its in found.items() if its}


@attrs.frozen
class Timed:
    """Cost of the rule's epochs relative to the offline optimum, in permille: pooled, and of the worst session."""

    pooled: int
    worst: int


def timed(rows: Sequence[Measured]) -> Timed | None:
    """The timing of the rows of one budget; None if the model costs nothing."""
    told = [row.result["timing"] for row in rows if row.result["timing"]["best"]]
    if not told:
        return None
    pooled = sum(its["rule"] for its in told) * 1000 // sum(its["best"] for its in told)
    return Timed(pooled, max(its["rule"] * 1000 // its["best"] for its in told))
