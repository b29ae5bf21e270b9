"""The weight sweep: 84 points around the paper's weights. Faults do not depend on them; misses do.

The grid: the weight of recency from none to four times the paper's (7), that of recompute cost from none to twice
(4), and those of a soft pin and of the active plan together by half, once and twice (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Final

import attrs

from clawvm_es.core.profiles import CLAWVM, PAPER_WEIGHTS
from clawvm_es.evaluation.cells import Cell, Chart, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.measures import family_cell, total
from clawvm_es.model.profile import Order, Profile, Rule

BUDGET_TOKENS: Final = 180
RECENCY: Final = (0, 150, 300, 600, 900, 1200, 2400)
COST: Final = (0, 200, 400, 800)
PLAN: Final = ((300, 400), (600, 800), (1200, 1600))
"""Weights in permille: of recency, of recompute cost, and (of a soft pin, of the active plan)."""
PAPER: Final = Table(
    "The paper: 84 points",
    ("points", "fault counts"),
    ((84, "one: the same at all points"),),
    "On the paper's own workloads.",
)


@attrs.frozen
class Point:
    """One point of the grid: three choices of weights, in permille."""

    recency: int
    cost: int
    pin_soft: int
    plan: int

    @property
    def key(self) -> str:
        """Its name among the cells."""
        return f"recency {self.recency}/cost {self.cost}/plan {self.plan}"

    @property
    def profile(self) -> Profile:
        """The paper's profile with these weights."""
        weights = attrs.evolve(
            PAPER_WEIGHTS, recency=self.recency, cost=self.cost, pin_soft=self.pin_soft, plan=self.plan
        )
        return attrs.evolve(CLAWVM, name="paper", rule=Rule.HULL, order=Order.DENSITY, weights=weights)

    @property
    def is_the_paper_s(self) -> bool:
        """Tell whether it is where the paper stands."""
        return self.profile.weights == PAPER_WEIGHTS


def points() -> Iterator[Point]:
    """All points of the grid."""
    for recency, cost, (pin_soft, plan) in product(RECENCY, COST, PLAN):
        yield Point(recency, cost, pin_soft, plan)


def weights_cell(point: Point, families: Sequence[str] = WHOLE.families, seed: int = WHOLE.seed) -> Result:
    """The families at one point: their faults, misses and hits."""
    found = [family_cell(family, point.profile, BUDGET_TOKENS, seed=seed) for family in families]
    return {key: total(found, key) for key in ("faults", "misses", "hits", "uncached_tokens")}


def weights(choice: Choice = WHOLE) -> Experiment:
    """The sweep as an experiment: one cell a point."""
    chosen, cost = (choice.families, choice.seed), len(choice.families)
    cells = [Cell(point.key, weights_cell, (point, *chosen), cost=cost) for point in points()]
    return Experiment("weights", cells, partial(section, choice=choice))


def section(results: Results, choice: Choice = WHOLE) -> Section:
    """Misses at every point; the section holds if no point shows a fault."""
    faults = {result["faults"] for result in results.values()}
    misses = [result["misses"] for result in results.values()]
    paper = next(results[point.key]["misses"] for point in points() if point.is_the_paper_s)
    best = min(points(), key=lambda point: results[point.key]["misses"])
    rows = tuple(
        (recency, plan, *(results[Point(recency, cost, pin, plan).key]["misses"] for cost in COST))
        for recency in RECENCY
        for pin, plan in PLAN
    )
    return Section(
        "weights",
        f"Weight sweep at {BUDGET_TOKENS} tokens",
        {"points": len(results), "faults": sorted(faults), "cells": dict(results)},
        (
            Table(
                f"Misses by weights (permille), {choice.told_families}",
                ("recency", "plan", *(f"cost {cost}" for cost in COST)),
                rows,
                "The weight of a soft pin moves with that of the plan: 300, 600, 1200. The paper's point: "
                f"recency {PAPER_WEIGHTS.recency}, plan {PAPER_WEIGHTS.plan}, cost {PAPER_WEIGHTS.cost}.",
            ),
        ),
        (
            f"{len(results)} points, {len(faults)} fault count{'s' * (len(faults) != 1)}: "
            f"{', '.join(map(str, sorted(faults)))}. Misses from {min(misses)} to {max(misses)}; {paper} at the "
            f"paper's weights, fewest at {best.key.replace('/', ', ')}.",
        ),
        (PAPER,),
        (_chart(results),),
        faults == {0},
        f"{len(results)} points, {min(faults)} faults at each; misses {min(misses)} to {max(misses)}"
        if len(faults) == 1
        else f"{len(faults)} fault counts",
        "one fault count at all 84 points",
    )


def _chart(results: Results) -> Chart:
    pin, plan = PLAN[1]
    series = {
        f"cost {cost}": tuple(results[Point(recency, cost, pin, plan).key]["misses"] for recency in RECENCY)
        for cost in COST
    }
    return Chart("Misses by the weight of recency", RECENCY, series, "weight of recency (permille)", "misses")
