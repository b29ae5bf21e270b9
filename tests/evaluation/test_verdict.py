"""What is claimed of a policy: pooled differences, the goal, and the gap to a bound."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from clawvm_es.evaluation.sessions import Found
from clawvm_es.evaluation.split import HELD_OUT, TUNE
from clawvm_es.evaluation.statistics import Interval
from clawvm_es.evaluation.verdict import Goal, Measured, Verdict, gap_closed, goal, judge, part, verdict_data

FOUND = Found("s", "claude_code", "/u/cli", "s.jsonl", "s.pickle", "0" * 64, 1, 1, 1, 9_000, 0)


def measured(
    name: str, budget: int, lru: int, clawvm: int, *, side: str = HELD_OUT, bound: int = 0, uncached: int = 100
) -> Measured:
    """A session with so many misses at a budget; under `lru` 100 tokens were not cached."""

    def policy(misses: int, tokens: int) -> Mapping[str, int]:
        return {"misses": misses, "uncached_tokens": tokens}

    result = {
        "fit": bound,
        "demand": bound,
        "policies": {"lru": policy(lru, 100), "clawvm": policy(clawvm, uncached)},
    }
    return Measured(attrs.evolve(FOUND, name=name), side, budget, result)


def test_a_difference_is_pooled_over_budgets_but_for_the_largest():
    """64k shows misses vanish; it makes no claim."""
    rows = [measured("a", 2_000, 9, 5), measured("a", 4_000, 5, 4), measured("a", 64_000, 5, 0)]
    found = judge(rows, "clawvm")
    assert found.pooled.difference == -5
    assert {budget: its.difference for budget, its in found.by_budget.items()} == {2_000: -4, 4_000: -1, 64_000: -5}


def test_a_subagent_is_drawn_with_its_session():
    """Two rows of one session are one draw, so that one session alone has no spread."""
    rows = [measured("a", 2_000, 9, 5), measured("a/agent-1", 2_000, 5, 9)]
    assert judge(rows, "clawvm").pooled == Interval(0, 0, 0)
    assert judge(rows, "clawvm").left_out == (0, 0)


def test_uncached_tokens_stand_beside_misses_in_permille():
    """By budget and pooled, against what `lru` had."""
    rows = [measured("a", 2_000, 1, 1, uncached=110), measured("b", 4_000, 1, 1, uncached=50)]
    found = judge(rows, "clawvm")
    assert found.uncached == {2_000: 1_100, 4_000: 500}
    assert found.uncached_pooled == 800


def verdict(rows: list[Measured]) -> Verdict:
    """Of `clawvm` on these rows."""
    return judge(rows, "clawvm")


def test_the_goal_holds_where_all_three_things_do():
    """Fewer misses in every session, at every budget, at the same uncached tokens."""
    rows = [measured(name, budget, 9, 5) for name in "abcdefgh" for budget in (2_000, 4_000)]
    assert goal(verdict(rows)) == Goal(True, True, True)
    assert goal(verdict(rows)).holds


def test_the_goal_does_not_hold_where_one_thing_is_missing():
    """Above at one budget; not surely below; too many uncached tokens; nothing at all to go by."""
    better = [measured(name, 2_000, 90, 50) for name in "abcdefgh"]
    assert goal(verdict([*better, measured("a", 4_000, 1, 2)])) == Goal(False, True, True)
    assert goal(verdict([measured("a", 2_000, 9, 5), measured("b", 2_000, 5, 6)])) == Goal(True, False, True)
    assert goal(verdict([*better, measured("a", 4_000, 2, 1, uncached=112)])) == Goal(True, True, False)
    assert not goal(verdict([])).holds


def test_the_largest_budgets_do_not_decide_the_goal():
    """One miss more at 128k, where there are next to none, is no failure."""
    better = [measured(name, 2_000, 90, 50) for name in "abcdefgh"]
    assert goal(verdict([*better, measured("a", 128_000, 0, 1, uncached=900)])).holds


def test_the_gap_closed_has_no_ratio_where_the_bound_is_small():
    """Half of what lies between `lru` and a bound of 20; none below 20, and none where `lru` is at the bound."""
    assert gap_closed([measured("a", 2_000, 40, 30, bound=20)], "clawvm", "fit") == 500
    assert gap_closed([measured("a", 2_000, 40, 50, bound=20)], "clawvm", "demand") == -500
    assert gap_closed([measured("a", 2_000, 40, 30, bound=19)], "clawvm", "fit") is None
    assert gap_closed([measured("a", 2_000, 20, 20, bound=20)], "clawvm", "fit") is None


def test_parts_are_the_sides_of_the_split():
    """What is tuned on and what is held out make up all."""
    rows = [measured("a", 2_000, 1, 1), measured("b", 2_000, 1, 1, side=TUNE)]
    assert [row.found.name for row in part(rows, HELD_OUT)] == ["a"]
    assert [row.found.name for row in part(rows, TUNE)] == ["b"]
    assert part(rows, "all") == rows


def test_a_verdict_is_told_in_json_data():
    """Keys are strings, figures integers."""
    told = verdict_data(judge([measured("a", 2_000, 9, 5)], "clawvm"))
    assert told["by_budget"] == {"2000": {"difference": -4, "low": -4, "high": -4}}
    assert told["pooled"] == {"difference": -4, "low": -4, "high": -4}
    assert told["leave_one_session_out"] == [0, 0]
    assert told["uncached_pooled_permille"] == 1_000
