"""Exact numbers of the policies: scores, ages, worths, and the steps of a page under each rule, to the last unit."""

from __future__ import annotations

import math
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.core.index import PLACE_BITS, Index, priority_of
from clawvm_es.core.reuse import worth
from clawvm_es.core.utility import (
    QUALITY,
    RECENCY,
    UNSCORED,
    Ages,
    Score,
    hull,
    recency,
    recompute_cost,
    static_score,
)
from clawvm_es.limits import DENSITY_SHIFT
from clawvm_es.model.pages import PageType, Pin, Scope
from clawvm_es.model.profile import Key, Order, Weights

HULL = ((1, 100, 5), (4, 900, 95))
"""A pointer of five tokens, then the full level for 95 more."""
STEPS = {
    (Key.REUSE, Order.RANK, 16_000): [(16_000 * 3_535, 565), (16_000 * 3_535, 5_090)],
    (Key.EPOCH_REUSE, Order.RANK, 1_000): [(1_000 * 9_545, 95), (1_000 * 9_545, 859)],
    (Key.REUSE, Order.DENSITY, 1): [(3_535, 0), (3_535, 0)],
    (Key.GAIN, Order.DENSITY, 1_000): [
        ((145_000 << DENSITY_SHIFT) // 5_000, 145),
        ((1_305_000 << DENSITY_SHIFT) // 95_000, 1_305),
    ],
    (Key.GAIN, Order.RANK, 1_000): [(145, 145), (145, 1_305)],
    (Key.RECENCY, Order.DENSITY, 1_000): [(8, 145), (8, 1_305)],
    (Key.GAIN, None, 1_000): [(0, 145), (0, 1_305)],
    (Key.REUSE, None, 1_000): [(0, 145), (0, 1_305)],
    (Key.RECENCY, Order.RANK, -450): [(8, 0), (8, 0)],
    (Key.GAIN, Order.RANK, -450): [],
    (Key.GAIN, Order.DENSITY, -449): [((100 << DENSITY_SHIFT) // 5_000, 0), ((900 << DENSITY_SHIFT) // 95_000, 0)],
    (Key.REUSE, Order.RANK, 0): [],
}
"""Key, order, score → priority and gain of each step, at an age of two turns and a recency weight of 600."""


@pytest.mark.parametrize(("key", "order", "score"), STEPS)
def test_the_steps_of_a_page_have_these_keys_and_gains(key, order, score):
    """Nearness or recency, quality, the weight of recency and the density's shift, each with its own rounding."""
    index = Index(key, order, 600, 10)
    steps = index.steps_of("p3", 3, HULL, score, since=8)
    told = [(priority_of(step[0]), step[2]) for step in steps]
    assert told == STEPS[key, order, score]
    for (number, cost, _, (page_id, rank)), (wanted_rank, _, wanted_cost) in zip(steps, HULL, strict=False):
        assert (page_id, rank, cost) == ("p3", wanted_rank, wanted_cost)
        assert number + (priority_of(number) << PLACE_BITS) == 3 * 8 + rank
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)


def aged(index: Index, turn: int) -> set[str]:
    """The pages whose steps lie elsewhere after the index moved to a turn."""
    before = set(index.steps)
    index.advance(turn)
    return {page_id for *_, (page_id, _) in before ^ set(index.steps)}


def test_an_index_moves_each_page_at_the_turn_at_which_it_ages():
    """By the table of recency: two turns after its last use, then five, 17 and 65; none before, and none twice."""
    index = Index(Key.GAIN, Order.DENSITY, 600, 10)
    index.put("p1", 1, HULL, 1_000, since=10)
    assert [turn - 10 for turn in range(11, 90) if aged(index, turn)] == [2, 5, 17, 65]
    index = Index(Key.GAIN, Order.DENSITY, 600, 10)
    for number, since in enumerate((8, 10, 9), 1):
        index.put(f"p{number}", number, HULL, 1_000, since)
    index.drop("p3")
    assert [aged(index, turn) for turn in (11, 20, 24, 30)] == [set(), {"p1", "p2"}, set(), {"p1", "p2"}]


def test_an_index_ranks_pages_again_as_they_age():
    """After any turns it holds what one holds that was told of its pages at the last of them."""
    index = Index(Key.GAIN, Order.DENSITY, 600, 10)
    sinces = {f"p{number}": since for number, since in enumerate((8, 10, 9), 1)}
    for number, (page_id, since) in enumerate(sinces.items(), 1):
        index.put(page_id, number, HULL, 1_000, since)
    for turn in (11, 12, 20, 30, 90):
        index.advance(turn)
        fresh = Index(Key.GAIN, Order.DENSITY, 600, turn)
        for number, (page_id, since) in enumerate(sinces.items(), 1):
            fresh.put(page_id, number, HULL, 1_000, since)
        assert index.contents() == fresh.contents()


def test_a_page_that_is_used_again_ages_from_then_on():
    """Its old turn is forgotten; a page that is put again as it was keeps its turn."""
    index = Index(Key.GAIN, Order.DENSITY, 600, 10)
    index.put("p1", 1, HULL, 1_000, since=10)
    index.put("p1", 1, HULL, 1_000, since=10)
    assert aged(index, 11) == set()
    index.put("p1", 1, HULL, 1_000, since=11)
    assert [aged(index, turn) for turn in (12, 13)] == [set(), {"p1"}]
    assert len(index.steps) == len(HULL)


def test_indexes_are_equal_if_they_select_the_same():
    """Turn, steps and the turns of ageing make the contents; each of them tells two indexes apart."""

    def made(turn=10, since=8, score=1_000):
        index = Index(Key.GAIN, Order.DENSITY, 600, turn)
        index.put("p1", 1, HULL, score, since)
        return index.contents()

    assert made() == made()
    assert len({made(), made(turn=11), made(since=7), made(score=999)}) == 4


def test_ages_are_steps_whose_bounds_belong_to_the_younger():
    """Up to a bound a value holds, right behind it the next one."""
    ages = Ages((2, 5), (30, 20, 10))
    assert [ages.at(age) for age in range(8)] == [30, 30, 30, 20, 20, 20, 10, 10]
    assert [ages.step(age) for age in range(7)] == [*[(30, 2)] * 3, *[(20, 5)] * 3, (10, None)]
    assert [recency(age) for age in (0, 1, 2, 4, 5, 16, 17, 64, 65, 1_000)] == [
        *(1_000, 1_000, 750, 750, 500, 500, 250, 250, 0, 0)
    ]
    assert RECENCY.step(64) == (250, 64) and RECENCY.step(65) == (0, None)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [(0, 0), (8, 0), (9, 1), (4_096, 500), (8_183, 998), (8_191, 999), (8_192, 1_000), (9_999, 1_000)],
)
def test_what_it_costs_to_get_a_page_again_saturates(tokens, cost):
    """Its tokens in thousandths of 8,192, rounded down, and never more than a thousand."""
    assert recompute_cost(tokens) == cost


@pytest.mark.parametrize(
    ("score", "reuse", "uses", "tokens", "found"),
    [
        (1_000, 500, 0, 256, 16_000),
        (1_000, 500, 1, 256, 24_000),
        (1_000, 500, 3, 256, 40_000),
        (1_000, 500, 4, 256, 40_000),
        (7, 333, 2, 50, 284),
        (1, 0, 0, 0, 64),
        (1, 0, 0, 1, 64),
        (1, 0, 0, 2, 53),
        (0, 500, 3, 1, 0),
    ],
)
def test_worth_is_score_and_uses_over_the_fourth_root_of_the_size(score, reuse, uses, tokens, found):
    """In integers: 1,024 × score × (1,000 + reuse × uses up to three) / 1,000 / (16 × the root of the root)."""
    assert worth(score, reuse, uses, tokens) == found


PRIMES = Weights(*(2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41))


@pytest.mark.parametrize(
    ("facts", "score"),
    [
        ((PageType.BOOTSTRAP, Pin.HARD, Scope.SESSION, True, 8_192, False, False), Score(2, 11, 0, 0, 7, 37)),
        ((PageType.CONSTRAINT, Pin.SOFT, Scope.PROJECT, True, 4_096, False, False), Score(3, 0, 0, 17, 3, 37)),
        ((PageType.PLAN, Pin.NONE, Scope.SESSION, True, 0, False, True), Score(0, 0, 13, 0, 0, 37)),
        ((PageType.PLAN, Pin.NONE, Scope.SESSION, False, 0, False, True), Score(0, 0, 0, 0, 0, 37)),
        ((PageType.PREFERENCE, Pin.NONE, Scope.PROJECT, True, 9_999, False, False), Score(0, 0, 0, 17, 7, 37)),
        ((PageType.EVIDENCE, Pin.NONE, Scope.SESSION, True, 1_171, True, False), Score(0, 0, 0, 0, 0, 19)),
        ((PageType.EVIDENCE, Pin.NONE, Scope.SESSION, True, 1_180, False, True), Score(0, 0, 0, 0, 1, 23)),
        ((PageType.CONVERSATION, Pin.NONE, Scope.SESSION, True, 0, True, True), Score(0, 0, 0, 0, 0, 29)),
        ((PageType.CONVERSATION, Pin.NONE, Scope.SESSION, True, 0, False, False), Score(0, 0, 0, 0, 0, 31)),
    ],
)
def test_a_score_adds_the_weights_of_what_is_true_of_a_page(facts, score):
    """Each weight by itself: pin, bootstrap, active plan, scope, cost, and what the page holds."""
    found = static_score(PRIMES, *facts)
    assert found == score and sum(found) == sum(score[:6])


@given(weight=st.integers(0, 5_000), tokens=st.integers(0, 10_000))
def test_the_cost_in_a_score_is_an_exact_part_of_its_weight(weight, tokens):
    """So many thousandths of the weight as the page costs to get again, rounded down."""
    weights = attrs.evolve(PRIMES, cost=weight)
    found = static_score(weights, PageType.EVIDENCE, Pin.NONE, Scope.SESSION, True, tokens, False, False)
    assert found.cost == math.floor(Fraction(weight * recompute_cost(tokens), 1_000))


def test_without_scoring_every_page_scores_a_thousand():
    """Nothing that is true of a page counts then, and all pages score the same."""
    assert tuple(UNSCORED) == (0, 0, 0, 0, 0, 0, 1_000)


@pytest.mark.parametrize(
    ("tokens", "base", "steps"),
    [
        ((0, 2, 10, 40, 100), 0, ((1, 100, 2), (2, 350, 8), (3, 300, 30), (4, 250, 60))),
        ((0, 2, 10, 40, 100), 2, ((3, 300, 30), (4, 250, 60))),
        ((0, 2, -1, -1, 100), 0, ((1, 100, 2), (4, 900, 98))),
        (
            (0, 50, 60, 70, 100),
            0,
            ((3, 750, 70), (4, 250, 30)),
        ),  # a step that is steeper than the one before joins it
        ((0, 10, 45, -1, 100), 0, ((4, 1_000, 100),)),  # so does one that is exactly as steep
        ((0, 0, -1, -1, 5), 0, ((4, 1_000, 5),)),  # a level of no tokens is no step
        ((0, -1, -1, -1, 0), 0, ()),
        ((0, 2, 10, 40, 100), 4, ()),
    ],
)
def test_a_hull_takes_the_levels_that_are_worth_their_room(tokens, base, steps):
    """Quality per token falls strictly from step to step, and the steps end at the full level."""
    assert QUALITY == (0, 100, 450, 750, 1_000)
    assert hull(tokens, base) == steps
