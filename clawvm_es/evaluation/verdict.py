"""Claims about a policy compared with another on recorded sessions: pooled differences, and the goal.

A session and its subagents are one draw of the bootstrap, at any number of budgets. A difference is claimed only if
its 95 % interval excludes 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from clawvm_es.evaluation.cells import Result
from clawvm_es.evaluation.sessions import Found
from clawvm_es.evaluation.split import HELD_OUT, TUNE
from clawvm_es.evaluation.statistics import Interval, interval, leave_one_out

ALL: Final = "all"
PARTS: Final = (HELD_OUT, TUNE, ALL)
"""The split; a verdict is that of the part held out, the others stand beside it."""
BASE: Final = "lru"
"""Policy that the others are compared with."""
CANDIDATE: Final = "clawvm"
"""Policy that the goal is set for."""
UNCACHED_PERMILLE: Final = 1_100
"""The goal's limit for uncached tokens against `lru`."""
BOUND_LEAST: Final = 20
"""Below so many misses a bound gives no ratio."""
UNPOOLED: Final = (64_000, 128_000)
"""Budgets at which misses are seen to vanish; they stand in no pooled figure."""


@attrs.frozen
class Measured:
    """Figures of one session at one budget, and of the harness that recorded it, which has none."""

    found: Found
    side: str
    budget: int
    result: Result
    harness: Result = attrs.field(factory=dict)


@attrs.frozen
class Verdict:
    """One policy against `lru`, in misses: by budget, pooled, and the range with one session left out.

    `uncached` and `uncached_pooled` are its uncached tokens in permille of those of `lru`.
    """

    by_budget: Mapping[int, Interval]
    pooled: Interval
    left_out: tuple[int, int]
    uncached: Mapping[int, int | None]
    uncached_pooled: int | None


@attrs.frozen
class Goal:
    """Verdict on `clawvm` compared with `lru`, and on each of the goal's three parts."""

    at_or_below: bool
    below_pooled: bool
    uncached: bool

    @property
    def holds(self) -> bool:
        """Tell whether all three hold."""
        return self.at_or_below and self.below_pooled and self.uncached


def part(rows: Iterable[Measured], name: str) -> list[Measured]:
    """The rows on one side of the split, or all."""
    return [row for row in rows if name in (ALL, row.side)]


def at(rows: Iterable[Measured], budget: int) -> list[Measured]:
    """The rows at one budget."""
    return [row for row in rows if row.budget == budget]


def total(rows: Iterable[Measured], field: str) -> int:
    """A figure of the sessions, added up."""
    return sum(row.result[field] for row in rows)


def figure(rows: Iterable[Measured], policy: str, field: str) -> int:
    """A figure of one policy, added up."""
    return sum(row.result["policies"][policy][field] for row in rows)


def budgets_of(rows: Iterable[Measured]) -> list[int]:
    """The budgets at which any session counts, smallest first."""
    return sorted({row.budget for row in rows})


def pools(rows: Iterable[Measured]) -> list[Measured]:
    """The rows that count in pooled figures."""
    return [row for row in rows if row.budget not in UNPOOLED]


def counting(budgets: Iterable[int]) -> list[int]:
    """The budgets among the given ones that count in pooled figures."""
    return [budget for budget in budgets if budget not in UNPOOLED]


def judge(rows: Sequence[Measured], policy: str) -> Verdict:
    """One policy against `lru` on these sessions."""
    pooled = _differences(pools(rows), policy)
    budgets = budgets_of(rows)
    return Verdict(
        {budget: interval(_differences(at(rows, budget), policy)) for budget in budgets},
        interval(pooled),
        leave_one_out(pooled),
        {budget: _uncached(at(rows, budget), policy) for budget in budgets},
        _uncached(pools(rows), policy),
    )


def _differences(rows: Iterable[Measured], policy: str) -> list[int]:
    """Misses beyond those of `lru`, one figure a session with its subagents, in a fixed order."""
    found: Counter[str] = Counter()
    for row in rows:
        policies = row.result["policies"]
        found[row.found.session] += policies[policy]["misses"] - policies[BASE]["misses"]
    return [found[session] for session in sorted(found)]


def _uncached(rows: Sequence[Measured], policy: str) -> int | None:
    base = figure(rows, BASE, "uncached_tokens")
    return figure(rows, policy, "uncached_tokens") * 1000 // base if base else None


def gap_closed(rows: Sequence[Measured], policy: str, bound: str) -> int | None:
    """(lru − policy) / (lru − bound) in misses, permille; None if the bound is small or `lru` reaches it."""
    below, base = total(rows, bound), figure(rows, BASE, "misses")
    if below < BOUND_LEAST or base <= below:
        return None
    return (base - figure(rows, policy, "misses")) * 1000 // (base - below)


def goal(verdict: Verdict) -> Goal:
    """At most the misses of `lru` at every pooled budget, surely fewer pooled, at most 1.1 × its uncached tokens."""
    counted = counting(verdict.by_budget)
    shares = [share for budget in counted if (share := verdict.uncached[budget]) is not None]
    return Goal(
        all(verdict.by_budget[budget].difference <= 0 for budget in counted),
        verdict.pooled.high < 0,
        all(share <= UNCACHED_PERMILLE for share in shares),
    )


def verdict_data(verdict: Verdict) -> Mapping[str, Any]:
    """A verdict as JSON data."""
    return {
        "by_budget": {str(budget): attrs.asdict(its) for budget, its in verdict.by_budget.items()},
        "pooled": attrs.asdict(verdict.pooled),
        "leave_one_session_out": list(verdict.left_out),
        "uncached_permille": {str(budget): share for budget, share in verdict.uncached.items()},
        "uncached_pooled_permille": verdict.uncached_pooled,
    }
