"""Intervals of pooled differences: seeded, in integers, and as wide as theory says."""

from __future__ import annotations

from math import isqrt

from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.evaluation.statistics import Interval, interval, leave_one_out

DIFFERENCES = st.lists(st.integers(-20, 20), min_size=1, max_size=12)


@given(DIFFERENCES)
@settings(max_examples=25)
def test_an_interval_lies_within_what_sessions_can_add_up_to(differences):
    """No draw exceeds as many times the largest difference as there are sessions."""
    found = interval(differences, resamples=200)
    n = len(differences)
    assert n * min(differences) <= found.low <= found.high <= n * max(differences)
    assert found.difference == sum(differences)


@given(DIFFERENCES)
@settings(max_examples=25)
def test_exchanging_the_policies_mirrors_the_interval(differences):
    """Which policy is called the first has no influence."""
    found = interval(differences, resamples=200)
    assert interval([-d for d in differences], resamples=200) == Interval(-found.difference, -found.high, -found.low)


def test_the_same_differences_give_the_same_interval_and_another_seed_another():
    """What is drawn follows from the seed alone."""
    differences = [3, -1, 4, -1, 5, -9, 2, -6]
    assert interval(differences) == interval(tuple(differences))
    assert interval(differences, seed=2) != interval(differences)


def test_an_interval_is_as_wide_as_the_spread_of_a_sum():
    """Of 100 sessions, half +1 and half −1, the sum's standard deviation is 10: ±19.6 holds 95 %."""
    found = interval([1, -1] * 50)
    spread = isqrt(100)
    assert -22 * spread <= 10 * found.low <= -17 * spread
    assert 17 * spread <= 10 * found.high <= 22 * spread
    assert not found.excludes_zero


def test_a_difference_that_every_session_shows_is_claimed_and_one_that_a_single_session_makes_is_not():
    """One odd session cannot carry a claim."""
    assert interval([-1] * 8).excludes_zero
    assert interval([-1] * 8) == Interval(-8, -8, -8)
    assert not interval([-100, 1, 1, 1, 1, 1, 1, 1]).excludes_zero
    assert not interval([]).excludes_zero


def test_an_interval_is_told_with_signs():
    """A report shows at once on which side of zero it lies."""
    assert str(interval([-2] * 3)) == "-6 [-6, -6]"


def test_leaving_out_the_odd_session_shows_what_it_carried():
    """The range of pooled differences without any one session."""
    assert leave_one_out([-10, 1, 1]) == (-9, 2)
    assert leave_one_out([]) == (0, 0)
