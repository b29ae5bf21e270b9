"""The default budget: what fits a window by the provider's count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.core.budget import RATIO_DEFAULT, Ratio, default_budget


@given(st.integers(10_000, 2_000_000), st.integers(1, 9_000), st.integers(500, 5_000))
def test_a_prompt_of_the_default_budget_fits_the_window(window, max_output, ratio):
    """LAW-BUDGET-1: by the provider's count it fits beside the longest answer, and one token more would not."""
    budget = default_budget(window, max_output, ratio)
    assert budget * ratio // 1000 + max_output <= window
    assert (budget + 1) * ratio > (window - max_output) * 1000


def test_a_window_that_holds_no_prompt_leaves_one_token():
    """A budget is never 0, which is none."""
    assert default_budget(1_000, 2_000) == 1


def test_the_ratio_is_1300_until_an_answer_tells_it():
    """Then it is the median of what was told; prompts that one side counts as empty tell nothing."""
    found = Ratio()
    assert found.permille == RATIO_DEFAULT and found.budget() == 168_000 * 1000 // 1300
    found.answered(0, 10)
    found.answered(10, 0)
    assert found.told == []
    for told in (5_000, 1_100, 1_200):
        found.answered(told, 1_000)
    assert found.permille == 1_200


def test_a_region_that_is_not_recorded_is_no_part_of_the_ratio():
    """What the provider counts of the first prompt beyond ours is told apart, and takes its part of the budget."""
    found = Ratio(records_all=False)
    for ours in (1_000, 10_000, 20_000):
        found.answered(30_000 + ours * 12 // 10, ours)
    assert found.unrecorded == 30_200 and found.told == [1_180, 1_190] and found.permille == 1_180
    assert found.fixed == 30_200 * 1000 // 1_180


def test_a_provider_that_counts_less_than_we_do_leaves_no_more_room():
    """Some of what we count was not sent then: the budget is at most what the window leaves."""
    found = Ratio()
    found.answered(500, 1_000)
    assert found.budget(200_000, 32_000) == 168_000


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=30))
def test_the_ratio_is_the_lower_median_of_all_answers(told):
    """Whatever their order: as many answers told a smaller ratio as a larger one, or one fewer."""
    found = Ratio()
    for provider, ours in told:
        found.answered(provider, ours)
    ordered = sorted(provider * 1000 // ours for provider, ours in told)
    assert found.permille == max(ordered[(len(ordered) - 1) // 2], 1000)
