"""Timing of epochs: the offline optimum is one, and the rule is never below it."""

from __future__ import annotations

from itertools import combinations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM
from clawvm_es.evaluation.timing import Arrived, arrivals_of, best_of, bound_permille, timing
from clawvm_es.evaluation.workload import MESSAGES, RENDERERS, Workload
from clawvm_es.model import events as e
from clawvm_es.model.pages import Fidelity, Level
from clawvm_es.testing.core import opened, page

PROFILE = attrs.evolve(
    CLAWVM,
    low_permille=375,
    cold_low_permille=125,
    rent_permille=3_000,
    read_price=100,
    write_price=1_250,
    ttl_s=300,
)
IDLE = st.none() | st.sampled_from([0, 300, 301, 4_000])
TURNS = st.lists(st.builds(Arrived, st.integers(0, 500), IDLE), min_size=1, max_size=9)


@given(TURNS, st.integers(1, 1_500))
def test_the_optimum_is_that_of_trying_everything(turns, room):
    """LAW-TIMING-1: over every set of turns at which an epoch may begin, where each prompt fits."""
    later = range(1, len(turns))
    chosen = [set(some) for count in range(len(turns)) for some in combinations(later, count)]
    costs = [best_of(turns, PROFILE, room, some.__contains__) for some in chosen]
    assert timing(turns, PROFILE, room).best == min(cost for cost in costs if cost is not None)


@given(st.lists(st.builds(Arrived, st.integers(0, 500), IDLE), min_size=1, max_size=80), st.integers(1, 5_000))
def test_the_rule_is_never_below_the_optimum(turns, room):
    """LAW-TIMING-2: whatever arrives, and whenever."""
    found = timing(turns, PROFILE, room)
    assert found.rule >= found.best > 0 or found.rule == found.best == 0


def test_a_session_that_stays_below_its_mark_has_one_epoch():
    """Nothing is to be gained: the rule is the optimum, every prompt reads what was sent."""
    turns = [Arrived(10, 1)] * 20
    found = timing(turns, PROFILE, 10_000)
    read = sum(range(0, 200, 10)) * 100
    assert found.rule == found.best == read + 20 * 10 * 1_250


def test_the_bound_is_that_of_acknowledgements():
    """(1+α)/min(1,α): 4 for a threshold of three changes, 2 for one, 3 for a half."""
    assert bound_permille(PROFILE) == 4_000
    assert bound_permille(attrs.evolve(PROFILE, rent_permille=1_000)) == 2_000
    assert bound_permille(attrs.evolve(PROFILE, rent_permille=500)) == 3_000


def test_what_arrives_as_messages_has_its_arguments():
    """The rule and the optimum are charged for the same; in frames a call is nothing."""
    called = e.ToolCalled(1, "Read", "a" * 64, levels=(Level(Fidelity.FULL, 40, "a" * 64, "full/1"),))
    inputs = (page(1, tokens=100), e.TurnBegan(), called, e.TurnBegan())
    framed = Workload("test", "test", opened(), inputs, ((),) * 4, ((), ()))
    sent = attrs.evolve(framed, opened=replace(opened(), renderer=RENDERERS[MESSAGES]))
    assert [turn.tokens for turn in arrivals_of(framed)] == [100, 0]
    assert [turn.tokens for turn in arrivals_of(sent)] == [100, 40]
