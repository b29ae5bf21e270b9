"""An assembly explained by the levels that came of it: its levels, reasons and tokens as by the trace."""

from __future__ import annotations

import attrs
from hypothesis import given as forall
from hypothesis import settings

from clawvm_es.core.retracing import retrace
from clawvm_es.core.tracing import trace
from clawvm_es.model import events as e
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.testing.core import page
from tests.core.test_epochs import middles, running
from tests.core.test_tracing import one_end, sessions


def assert_explained(state, began) -> None:
    """LAW-RETRACE-1 where all pages are candidates: nothing but the way of finding out differs."""
    traced = trace(state, began)
    again = retrace(state, began, traced.selection.levels, state.pages)
    assert again.selection.levels == traced.selection.levels and again.selection.reasons == traced.selection.reasons
    for page_id in list(state.pages)[:2]:
        told = retrace(state, began, traced.selection.levels, state.pages, [page_id])
        assert told.candidates == tuple(each for each in again.candidates if each.page_id == page_id)
    assert again.steps == sum(len(each.steps) for each in again.candidates)
    for now, was in zip(again.candidates, traced.candidates, strict=True):
        assert (now.page_id, now.before, now.after) == (was.page_id, was.before, was.after)
        assert one_end(now.by, now.stop, now.wanted, now.rest) == one_end(was.by, was.stop, was.wanted, was.rest)
    counts = {"offered": 0, "refusals": 0}
    assert attrs.evolve(again.account, **counts) == attrs.evolve(traced.account, **counts)


@forall(sessions())
@settings(max_examples=60, deadline=None)
def test_a_selection_of_one_turn_is_explained_as_it_was_made(case) -> None:
    """Under every policy that selects at every turn."""
    given, began = case
    assert_explained(given.state, began)


@forall(middles())
@settings(max_examples=30, deadline=None)
def test_an_epoch_is_explained_as_it_was_made(given) -> None:
    """In the middle of an epoch, and at one that begins since the budget became too small for what is sent."""
    assert_explained(given.state, e.TurnBegan())
    given.when(e.BudgetChanged(max(1, given.state.sent // 2)))
    assert_explained(given.state, e.TurnBegan())


def test_an_epoch_without_room_for_what_arrives_is_explained_by_its_second_selection() -> None:
    """The mark is given up then and pages are offered anew: what was offered under it counts for nothing."""
    given = running(budget=1_000, pages=6, tokens=100)
    given.when(page(9, tokens=300))
    given.when(page(10, tokens=900))
    assert_explained(given.state, e.TurnBegan())
    given.turn()
    made = given.of(e.PromptAssembled)[-1]
    assert made.trigger in (EpochTrigger.HIGH, EpochTrigger.FORCED)
    assert given.state.resident["p10"] < 4
