"""Policies beside the harness: ratios of costs, differences of misses, and on whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.evaluation.front import COMPACTED, HARNESS, KEPT_WHOLE, beside, population, populations, timed
from clawvm_es.evaluation.front_report import side_of
from clawvm_es.evaluation.harness import LISTS
from clawvm_es.evaluation.sessions import Found
from clawvm_es.evaluation.statistics import Share, percent, share
from clawvm_es.evaluation.verdict import Measured


def row(name: str, cost: int, misses: int, own_cost: int = 1_000, own: int = 3, cuts: int = 1, side="tune"):
    """One session at one budget: what a policy and its harness came to."""
    arm = {"costs": dict.fromkeys(LISTS, cost), "misses": misses, "dropped": 0, "epochs": 5, "pressure": 1}
    harness = {"costs": dict.fromkeys(LISTS, own_cost), "misses": own, "dropped": 1, "epochs": cuts, "rules": 2}
    result = {"turns": 30, "needs": 8, "timing": {"rule": 110, "best": 100}, "policies": {"clawvm": arm}}
    return Measured(
        Found(name, "claude_code", "/home/a/x", "", "", "", 30, 8, 1, 20_000, 0), side, 1, result, harness
    )


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 50)), min_size=1, max_size=8))
def test_the_harness_beside_itself_is_all_of_it(arms):
    """LAW-FRONT-1: 100 % at every list, no miss more or fewer, in every resample."""
    rows = [row(f"s{place}", 1, 1, cost, misses) for place, (cost, misses) in enumerate(arms)]
    found = beside(rows, HARNESS)
    assert all(its == Share(1000, 1000, 1000) for its in found.shares.values())
    assert (found.more.low, found.more.difference, found.more.high) == (0, 0, 0)


def test_costs_are_ratios_of_sums_and_misses_differences():
    """A long session weighs more than a short one; a subagent's belongs to the one that started it."""
    rows = [row("a", 800, 1), row("a/agent-1", 200, 0, own_cost=100, own=0), row("b", 9_000, 4, own_cost=10_000)]
    found = beside(rows, "clawvm")
    its = found.shares["anthropic-5m"]
    assert its is not None and its.permille == 10_000 * 1000 // 11_100
    assert (found.misses, found.more.difference, found.epochs, found.pressure) == (5, -1, 15, 3)
    assert (its.low, its.high) == (900, 909)  # both drawn twice: b alone, a with its subagent alone


def test_populations_are_told_with_every_figure():
    """By what the harness did and by the split; those that are empty are left out."""
    rows = [row("a", 1, 1), row("b", 1, 1, cuts=3), row("b/agent-2", 1, 1, side="held_out")]
    found = {name: len(its) for name, its in populations(rows).items()}
    assert found == {"all": 3, COMPACTED: 1, KEPT_WHOLE: 2, "held out": 1, "tuned on": 2}
    assert COMPACTED not in populations(rows[:1])
    told = str(population(rows, 1))
    assert told == "3 sessions (1 of a subagent) on 1 checkout or task, 90 turns, 24 needs"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((613, 573, 1_020), "cheaper, though not for certain"),
        ((613, 573, 999), "cheaper"),
        ((1_071, 1_049, 1_092), "dearer"),
        ((1_010, 999, 1_092), "dearer, though not for certain"),
    ],
)
def test_a_side_is_certain_where_its_whole_interval_is_on_it(found, said):
    """The cost of a policy beside the harness's, in a word."""
    assert side_of(Share(*found)) == said


def test_timing_is_pooled_and_of_the_worst():
    """Over the sessions whose model costs anything."""
    rows = [row("a", 1, 1), row("b", 1, 1)]
    rows[1].result["timing"].update(rule=300, best=200)
    found = timed(rows)
    assert found is not None and (found.pooled, found.worst) == (410 * 1000 // 300, 1_500)
    rows[0].result["timing"].update(rule=0, best=0)
    assert timed(rows[:1]) is None


def test_a_share_without_a_whole_is_none():
    """Nothing is divided by nothing; a share is shown in percent."""
    assert share([1, 2], [0, 0]) is None
    assert percent(None) == "–" and percent(884) == "88.4 %"
    assert str(Share(884, 802, 1_031)) == "88.4 % [80.2, 103.1]"
