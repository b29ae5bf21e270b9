"""Tracing of prompts that are messages: what a group takes beside its pages is told, and the account adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from clawvm_es import views
from clawvm_es.core import groups
from clawvm_es.core.evolve import apply
from clawvm_es.core.groups import Dues, exchange_tokens
from clawvm_es.core.selector import select
from clawvm_es.core.state import State
from clawvm_es.core.tracing import Kept, Outcome, Stop, Traced, trace
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.run import decided
from clawvm_es.evaluation.workload import MESSAGES, Workload, from_recording
from clawvm_es.history import why as asking
from clawvm_es.importers import read
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.pages import LADDER, Fidelity
from clawvm_es.representations.counter import counter
from clawvm_es.testing import memory_journal
from clawvm_es.testing.histories import histories, play
from clawvm_es.views.words import standing
from tests.engine.test_message_laws import opened


def assert_told(state: State, began: e.TurnBegan) -> Traced:
    """LAW-TRACE-1 and LAW-TRACE-2 of one assembly, and what each step left to the next."""
    traced = trace(state, began)
    account = traced.account
    if traced.plan is None:
        assert traced.selection == select(state, began)
    if account.fixed <= account.budget:
        spent = account.fixed + account.directory + account.groups + account.floors + account.kept
        spent += account.arrivals + account.hints + account.retrieved + account.steps
        assert account.budget == spent + account.rest
    levels = {each.page_id: LADDER.index(each.after) for each in traced.candidates if each.after != "absent"}
    assert levels == traced.selection.levels
    offers = sorted((offer for each in traced.candidates for offer in each.steps), key=lambda offer: offer.place)
    for one, after in pairwise(offers):
        if after.rest is not None and one.rest is not None:
            assert after.rest == one.rest - (one.tokens if one.outcome is Outcome.TAKEN else 0)
        assert one.outcome is not Outcome.MISFIT or one.rest is None or one.tokens > one.rest
    for each in traced.candidates:
        assert (each.by is None) == (each.after is Fidelity.ABSENT)
        if each.stop is Stop.MISFIT:
            assert each.wanted > each.rest >= 0 and each.entry <= each.wanted
    return traced


def turns(events: Iterable[e.Event]) -> Iterator[tuple[State, e.TurnBegan]]:
    """The state before each turn of a session, folded as they are asked for."""
    state = State()
    for event in events:
        if isinstance(event, e.TurnBegan):
            yield state, event
        apply(state, event)


@given(histories())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_account_of_messages_adds_up(history):
    """LAW-TRACE-2 under every policy, with calls that are parallel, late, twice, failed or without a result.

    The tokens of the open exchange, kept up as prompts grow, are those that its entries add up to.
    """
    with memory_journal() as journal:
        with opened(journal, history) as session:
            list(play(session, history))
        for state, began in turns(row.data for row in read_session(journal.log, "session")):
            assert_told(state, began)
            assert state.exchange == exchange_tokens(state, state.entries.values())


@pytest.fixture(scope="module")
def recorded(traces) -> Workload:
    """A recorded session of a few exchanges, as messages."""
    found, *_ = read(traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl")
    return from_recording(found, counter("lines4"), renderer=MESSAGES)


def traced(its: Workload, policy: str, budget: int) -> Iterator[Traced]:
    """The trace of each turn of a workload under a policy."""
    profile = POLICIES[policy].profile
    opening = replace(its.opened, profile=profile, budget_tokens=budget)
    for state, began in turns(chain([opening], decided(its, profile, budget))):
        yield assert_told(state, began)


@pytest.mark.parametrize("budget", [1_500, 4_000])
@pytest.mark.parametrize("policy", ["clawvm", "clawvm_turn", "compaction_hybrid", "retrieval_cache"])
def test_the_account_of_recorded_messages_adds_up(recorded, policy, budget):
    """LAW-TRACE-2 on a recorded session; arguments and stands took something."""
    taken = [its.account.groups for its in traced(recorded, policy, budget)]
    assert max(taken) > 0


def test_a_step_that_did_not_fit_says_what_its_group_asked(recorded):
    """The fee of entry is a part of what the step wanted, and stands in the sentence."""
    found = [
        (candidate, its)
        for its in traced(recorded, "clawvm_turn", 1_500)
        for candidate in its.candidates
        if candidate.entry and candidate.stop is Stop.MISFIT
    ]
    assert found
    for candidate, its in found:
        beside = candidate.wanted - candidate.entry
        assert beside == candidate.levels[next(o.level for o in candidate.steps if o.outcome is Outcome.MISFIT)]
        wanted = f"takes {candidate.wanted:,} tokens ({candidate.entry:,} of them for its group)"
        assert f"{wanted}, {candidate.rest:,} were left" in standing(candidate, its.account)


def test_a_selection_works_out_a_group_once(recorded, monkeypatch):
    """However many of its pages are tried: what a group costs, what it brings, and who its members are."""
    asked: Counter[int] = Counter()
    known = groups.members
    monkeypatch.setattr(groups, "members", lambda state, group: asked.update([group.number]) or known(state, group))
    state = State()
    apply(state, replace(recorded.opened, profile=POLICIES["clawvm_turn"].profile, budget_tokens=4_000))
    for event in decided(recorded, POLICIES["clawvm_turn"], 4_000):
        if isinstance(event, e.TurnBegan):
            asked.clear()
            dues = Dues(state)
            for _ in range(3):
                for page in state.pages.values():
                    dues.due(page, {})
            assert max(asked.values(), default=1) == 1
        apply(state, event)
    assert len(asked) > 3


def test_a_page_that_came_with_its_group_says_so(recorded):
    """Neither a step nor a floor put it there; what is in the open exchange stands exact."""
    by = {candidate.by for its in traced(recorded, "clawvm_turn", 4_000) for candidate in its.candidates}
    assert {Kept.GROUP, Kept.EXCHANGE} <= by


def test_a_long_session_of_messages_is_explained_whole(traces, monkeypatch):
    """A group is not looked at in part: where frames would look at touched pages alone, all are candidates."""
    monkeypatch.setattr(asking, "MANY", 0)
    path = traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl"
    with memory_journal() as journal:
        settings = ReplaySettings(budget_tokens=4_000, renderer="messages/1:anthropic", counter="lines4")
        session_id = replay(journal, path, settings)[0].session_id
        found = asking.why(journal.log, session_id, "p5")
        assert not found.differs and len(found.candidates) > 20
        told = views.why(journal.log, session_id, "p5")
        assert told["account"]["groups"] == found.account.groups > 0
        rows = views.trace(journal.log, session_id)["decisions"]
        assert any("beside their pages" in (row["layout"] or "") for row in rows)
