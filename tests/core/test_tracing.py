"""Tracing: it looks on and changes nothing, its account adds up, and its reasons are those of the table."""

from itertools import pairwise

import attrs
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM, PROFILES, RETRIEVAL, without
from clawvm_es.core.reuse import NEAR
from clawvm_es.core.selector import select
from clawvm_es.core.tracing import Outcome, Stop, trace
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, RetireReason, Trigger
from clawvm_es.model.pages import LADDER, Fidelity, PageType
from clawvm_es.model.profile import Capability, Weights
from clawvm_es.testing.core import Given, page
from tests.core.test_selector import TYPES

POLICIES = (*PROFILES.values(), *[without(CLAWVM, missing) for missing in (Capability.FLOORS, Capability.SCORING)])
NOTHING = attrs.evolve(CLAWVM, weights=Weights(*[0] * 13))
WRITES = st.lists(st.tuples(TYPES, st.integers(1, 400)), max_size=6)


@st.composite
def sessions(draw):
    """A session of a few turns under some profile, and the turn that begins next."""
    given = Given.session(profile=draw(st.sampled_from(POLICIES)), budget_tokens=draw(st.integers(1, 1200)))
    written = 0
    for turn in range(draw(st.integers(1, 4))):
        for page_type, tokens in draw(WRITES):
            written += 1
            given.when(page(written, page_type, tokens))
        if turn and draw(st.booleans()):
            given.when(e.BoundaryReached(draw(st.sampled_from(list(Boundary)[:4])), Trigger.CALLER))
        if turn and written and draw(st.booleans()):
            given.when(e.PageRetired(f"p{draw(st.integers(1, written))}", RetireReason.DONE))
        named = st.lists(st.sampled_from([f"p{n}" for n in range(1, written + 1)] or [""]), max_size=3)
        ids = tuple(draw(named)) if written else ()
        began = e.TurnBegan(hints=ids, retrieved=ids, fixed_tokens=draw(st.sampled_from([0, 7])))
        if turn < 3:
            given.when(began)
    return given, began


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_a_traced_selection_is_the_untraced_one(case):
    """LAW-TRACE-1: with a watcher or without, the same pages stand at the same levels for the same reasons."""
    given, began = case
    traced, plain = trace(given.state, began), select(given.state, began)
    assert traced.selection == plain
    assert {c.page_id: LADDER.index(c.after) for c in traced.candidates if c.after != "absent"} == plain.levels


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_the_account_adds_up_and_every_page_has_a_reason(case):
    """LAW-TRACE-2: the parts are the budget; a page stands by something or is absent, and what misfits misfits."""
    given, began = case
    traced = trace(given.state, began)
    a = traced.account
    if a.fixed <= a.budget:
        spent = a.fixed + a.directory + a.floors + a.kept + a.arrivals + a.hints + a.retrieved + a.steps
        assert a.budget == spent + a.rest
    assert [c.page_id for c in traced.candidates] == list(given.state.pages)
    for candidate in traced.candidates:
        assert (candidate.by is None) == (candidate.after is Fidelity.ABSENT)
        assert (candidate.stop is Stop.TOP) == (candidate.after is Fidelity.FULL)
        if candidate.stop is Stop.MISFIT:
            assert candidate.wanted > candidate.rest >= 0


@forall(sessions())
@settings(max_examples=80, deadline=None)
def test_every_step_has_one_place_and_what_was_left_follows_from_what_was_taken(case):
    """Places count the steps of all pages from 1; each step taken leaves its tokens less to the next."""
    given, began = case
    offers = sorted((o for c in trace(given.state, began).candidates for o in c.steps), key=lambda offer: offer.place)
    assert [offer.place for offer in offers] == list(range(1, len(offers) + 1))
    for one, after in pairwise(offers):
        assert one.priority >= after.priority
        if after.rest is not None:
            assert after.rest == one.rest - (one.tokens if one.outcome is Outcome.TAKEN else 0)
        assert one.outcome is not Outcome.MISFIT or one.tokens > one.rest


def stops(given, **fields):
    """Page → why it stands no higher, at the turn that begins next."""
    return {c.page_id: c.stop for c in trace(given.state, e.TurnBegan(**fields)).candidates}


def test_a_step_that_does_not_fit_tells_what_was_left():
    """The page that lost says how much it wanted and how much there was."""
    given = Given.session(page(1, tokens=300), page(2, tokens=300), budget_tokens=450)
    given.turn()
    one, two = trace(given.state, e.TurnBegan()).candidates
    assert (one.stop, two.stop) == (Stop.TOP, Stop.MISFIT)
    assert two.wanted > two.rest == trace(given.state, e.TurnBegan()).account.rest
    assert two.utility_at(Fidelity.FULL) == two.total == two.reuse.priority // NEAR
    assert (two.reuse.uses, sum(two.score)) == (0, two.score.holds)


@pytest.mark.parametrize(
    ("make", "stop"),
    [
        (lambda: Given.session(page(1), e.PageRetired("p1", RetireReason.DONE)), Stop.RETIRED),
        (lambda: Given.session(page(1), e.ContentRedacted("request", pages=("p1",))), Stop.REDACTED),
        (lambda: Given.session(page(1), budget_tokens=200), Stop.TOP),
        (lambda: Given.session(page(1, PageType.BOOTSTRAP, 900), budget_tokens=20), Stop.PRESSURE),
        (lambda: Given.session(page(1, tokens=9000), budget_tokens=20), Stop.PRESSURE),
    ],
)  # fmt: skip
def test_each_reason_of_phase_1(make, stop):
    """What cannot stand, what stands in full, and what the budget cannot hold."""
    assert stops(make()) == {"p1": stop}


def test_a_page_without_utility_and_one_that_nobody_retrieved():
    """Weights of 0 give no steps; a retrieval policy asks only for what was retrieved."""
    for profile, stop in ((NOTHING, Stop.NO_UTILITY), (RETRIEVAL, Stop.NOT_RETRIEVED)):
        given = Given.session(page(1, tokens=50), profile=profile)
        given.turn()
        assert stops(given) == {"p1": stop}


def test_the_pass_ends_after_so_many_refusals():
    """Steps behind the last refusal were never looked at, and say so."""
    given = Given()
    given.when(replace(Given.session().state.opened, budget_tokens=100, misfits=2))
    for number in range(1, 7):
        given.when(page(number, tokens=6000))
    given.turn()
    found = list(stops(given).values())
    assert found.count(Stop.MISFIT) == 2 and found.count(Stop.NOT_REACHED) == 4


def test_a_hint_stands_by_hint_and_tells_what_its_next_step_wanted():
    """A hinted page is raised as far as it fits; its next step wanted more than was left then."""
    given = Given.session(page(1, tokens=400), page(2, tokens=60), budget_tokens=230)
    given.turn()
    one, two = trace(given.state, e.TurnBegan(hints=("p1", "p2"))).candidates
    assert (one.by, one.stop, two.by, two.stop) == (ChangeReason.HINT, Stop.MISFIT, ChangeReason.HINT, Stop.TOP)
    assert one.wanted > one.rest == 230 - one.tokens
