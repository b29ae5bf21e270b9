"""The selection index beside the state: after every event it is the one that would be built anew."""

from __future__ import annotations

import pytest

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply, fold
from clawvm_es.core.index import Index
from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER, CLAWVM_TURN, LRU, PROFILES, RECORDED, without
from clawvm_es.core.ranking import build_index, index_of
from clawvm_es.core.state import UNOPENED, State
from clawvm_es.core.utility import hull
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import FaultReason, NeedRule, RedactReason, RetireReason
from clawvm_es.model.pages import ABSENT, FULL, Fidelity, PageType, Pin
from clawvm_es.model.profile import Capability, Key, Order
from clawvm_es.testing.core import Given, need, page


def session(profile=CLAWVM, budget_tokens=150) -> Given:
    """Four pages, all in the index, the last two in no prompt at full."""
    given = Given.session(
        *(page(number, tokens=100) for number in range(1, 5)), profile=profile, budget_tokens=budget_tokens
    )
    given.turn()
    given.turn()
    index_of(given.state)
    assert not given.state.arrivals
    return given


def indexed(given: Given) -> set[str]:
    """The pages that have steps in the index."""
    return {step[3][0] for step in index_of(given.state).steps}


DOINGS = {
    "a page is written": lambda g: g.when(page(5)),
    "a page is written again": lambda g: g.when(page(1, tokens=50)),
    "a page is retired": lambda g: g.when(e.PageRetired("p1", RetireReason.DONE)),
    "a page is pinned": lambda g: g.when(e.PagePinned("p1", Pin.HARD)),
    "a page is redacted": lambda g: g.when(e.ContentRedacted(RedactReason.REQUEST, ("1" * 64,), ("p1",))),
    "a page is needed": lambda g: g.when(e.ToolCalled(1, "t", "0" * 64, needs=(need(1),))),
    "an absent page is needed": lambda g: g.when(e.ToolCalled(1, "t", "0" * 64, needs=(need(4),))),
    "turns pass": lambda g: [g.turn() for _ in range(20)],
}


@pytest.mark.parametrize(
    "profile", [each for each in PROFILES.values() if each is not RECORDED], ids=lambda p: p.name
)
@pytest.mark.parametrize("doing", DOINGS.values(), ids=DOINGS)
def test_the_index_is_kept_as_it_would_be_built(doing, profile) -> None:
    """LAW-INDEX-1 for each thing that can happen to a page, right after it and a turn later."""
    given = session(profile)
    doing(given)
    assert index_of(given.state).contents() == build_index(given.state).contents()
    given.turn()
    assert index_of(given.state).contents() == build_index(given.state).contents()


def test_what_arrives_has_no_steps_until_it_was_shown() -> None:
    """A page that is paged in leaves the index like one that is written, and is back after the assembly."""
    given = session()
    absent = next(p for p in ("p4", "p3", "p2", "p1") if given.state.resident.get(p, 0) < 4)
    assert absent in indexed(given)
    found = given.when(e.ToolCalled(1, "t", "0" * 64, needs=(need(int(absent[1:])),)))
    assert [event.TYPE for event in found] == ["page_resolved"]
    assert absent in given.state.arrivals and absent not in indexed(given)
    given.turn()
    assert absent not in given.state.arrivals and absent in indexed(given)


def redacted(given: Given, *numbers: int) -> None:
    """Redact pages."""
    given.when(e.ContentRedacted(RedactReason.REQUEST, ("1" * 64,), tuple(f"p{number}" for number in numbers)))


def test_a_need_is_met_by_the_newest_holder_that_can() -> None:
    """A resident holder is a hit, the newest one first; then the newest that was not redacted; then none is left."""
    given = Given.session(*(page(number, tokens=100) for number in range(1, 4)), budget_tokens=1000)
    given.turn()
    (hit,) = given.when(e.ToolCalled(1, "t", "0" * 64, needs=(need(1, 2, 3),)))
    assert hit == e.PageUsed("p3", NeedRule.DATA_FLOW)
    redacted(given, 3)
    given.turn()
    (hit,) = given.when(e.ToolCalled(2, "t", "0" * 64, needs=(need(1, 2, 3),)))
    assert hit.TYPE == "page_used" and hit.page_id == "p2"
    (paged_in,) = given.when(e.ToolCalled(3, "t", "0" * 64, needs=(need(2, 3, at=(Fidelity.POINTER,)),)))
    assert (paged_in.TYPE, paged_in.page_id) == ("page_resolved", "p2")
    redacted(given, 1, 2)
    (fault,) = given.when(e.ToolCalled(4, "t", "0" * 64, needs=(need(1, 2),)))
    assert (fault.reason, fault.page_id) == (FaultReason.REDACTED, "p2")


def test_before_its_opening_a_session_has_no_policy() -> None:
    """The state of no event has nothing, keeps nothing and ranks nothing; the policy is adopted by the opening."""
    state = State()
    assert state.profile is UNOPENED and state.capabilities == frozenset() and not state.closed
    assert not (state.keeps_floors or state.keeps_bootstrap or state.ranks_reuse)
    assert UNOPENED.capabilities == ()
    assert "index" not in repr(state) and (state.opened, state.index, state.assembled_fixed) == (None, None, -1)
    given = session()
    assert given.state.keeps_floors is (Capability.FLOORS in CLAWVM.capabilities)
    assert repr(given.state.index) not in repr(given.state)
    assert given.state == given.state.copy() and given.state.copy().index is None


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_policy_keeps_floors_of_all_required_pages_or_of_bootstrap_pages_or_none(profile) -> None:
    """At most one of the two mechanisms keeps a page above its floor, and it holds for the right types."""
    given = Given.session(page(1, PageType.BOOTSTRAP), page(2, PageType.CONSTRAINT), profile=profile)
    state, can = given.state, profile.capabilities
    assert not (state.keeps_floors and state.keeps_bootstrap)
    kept = [bool(state.held_floor(state.pages[page_id])) for page_id in ("p1", "p2")]
    floors = Capability.FLOORS in can
    assert kept == [floors or Capability.FIXED_BOOTSTRAP in can, floors]


@pytest.mark.parametrize(
    ("key", "order", "best_first"),
    [
        (Key.GAIN, Order.DENSITY, "small large stale"),  # 500/10, 900/1000, 300/1000 per token
        (Key.GAIN, Order.RANK, "large small stale"),
        (Key.RECENCY, Order.DENSITY, "large small stale"),  # used in turns 9, 8, 2
        (Key.RECENCY, Order.RANK, "large small stale"),
        (Key.REUSE, Order.DENSITY, "large small stale"),
        (Key.REUSE, Order.RANK, "large small stale"),
        (Key.EPOCH_REUSE, Order.RANK, "large small stale"),
        (Key.GAIN, None, "stale small large"),  # by number
        (Key.RECENCY, None, "stale small large"),
        (Key.REUSE, None, "stale small large"),
    ],
)
def test_steps_come_in_the_order_of_the_rule_s_key(key, order, best_first):
    """Gain per token, gain, last use, or likely reuse; without an order the page number; a bound is density's."""
    index = Index(key, order, 0, 10)
    index.put("stale", 1, ((FULL, 1000, 1000),), 300, since=2)
    index.put("small", 2, ((FULL, 1000, 10),), 500, since=8)
    index.put("large", 3, ((FULL, 1000, 1000),), 900, since=9)
    assert [page_id for *_, (page_id, _) in index.steps] == best_first.split()
    assert index.bounds_utility is (key is Key.GAIN and order is Order.DENSITY)


def test_recency_alone_orders_pages_of_no_utility():
    """Under recency a page that gains nothing has its steps, by last use; under gain it has none."""
    for key, count in ((Key.RECENCY, 1), (Key.GAIN, 0), (Key.REUSE, 0)):
        index = Index(key, Order.DENSITY, 0, 10)
        index.put("p1", 1, ((FULL, 1000, 10),), 0, since=9)
        assert len(index.steps) == count


@pytest.mark.parametrize("policy", [CLAWVM, CLAWVM_PAPER, LRU], ids=lambda p: p.name)
def test_without_scoring_the_rule_has_no_key(policy):
    """The lower number comes first, under every rule: neither recency nor reuse nor gain decides."""
    given = Given.session(profile=without(policy, Capability.SCORING), budget_tokens=1000)
    for number in range(1, 5):
        given.when(page(number, tokens=100 * (5 - number)))
    for number in (1, 4, 2):
        given.turn()
        given.when(e.ModelResponded(needs=(need(number),)))
    given.turn()
    steps = [page_id for *_, (page_id, _) in index_of(given.state).steps]
    assert steps == sorted(steps) and set(steps) == {"p1", "p2", "p3", "p4"}


def test_steps_begin_above_the_floor_that_a_page_has_now() -> None:
    """A page that is pinned hard is required, so its steps begin at its floor; freed, they begin at none."""
    given = session()
    state = given.state
    known = state.pages["p3"]
    for pin in (Pin.NONE, Pin.HARD, Pin.NONE, Pin.HARD):
        given.when(e.PagePinned("p3", pin))
        base = state.held_floor(known)
        assert (base > ABSENT) is (pin is Pin.HARD)
        steps = [(rank, cost) for _, cost, _, (page_id, rank) in index_of(state).steps if page_id == "p3"]
        assert steps == [(rank, cost) for rank, _, cost in hull(known.tokens, base)] != []


@pytest.mark.parametrize("profile", [CLAWVM, CLAWVM_PAPER, CLAWVM_TURN, LRU], ids=lambda each: each.name)
def test_the_turn_that_a_fork_cuts_counts_for_the_ages_of_pages(profile):
    """A fork that begins within a turn is decided again, in one go with its parent, as it was decided."""
    given = session(profile)
    began, *_ = decide(given.state, Command(e.TurnBegan(), 0))
    given.log.append(began)
    apply(given.state, began)
    given.when(e.SessionForked("parent", given.state.version, "0" * 64))
    assert index_of(given.state).contents() == build_index(fold(given.log)).contents()
