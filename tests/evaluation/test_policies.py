"""The policies of the evaluation, a run under each, and what none of the online ones can know."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.core.profiles import MUTATIONS, OFFLINE, PROFILES, without
from clawvm_es.errors import UsageError
from clawvm_es.evaluation import oracle
from clawvm_es.evaluation.policies import POLICIES, policy
from clawvm_es.evaluation.run import decided, run, steps
from clawvm_es.history.figures import Figures
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, FaultType, NeedRule, Trigger
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.model.profile import Rule
from clawvm_es.testing.core import need, page
from tests.evaluation.conftest import turns, workload

ONLINE = [found for found in POLICIES.values() if not found.horizon]
CONTRACT = [found for found in POLICIES.values() if found.contract]


def test_the_policies_stand_in_report_order_and_say_what_they_are():
    """Three baselines, each also with bootstrap fixed, then the contract by recency, utility, reuse, foresight."""
    baselines = ("retrieval", "retrieval_cache", "compaction_hybrid")
    assert tuple(POLICIES) == (
        *(name + more for name in baselines for more in ("", "+fixed")),
        *("lru", "clawvm_paper", "clawvm_turn", "clawvm", "oracle"),
    )
    assert all(found.name == found.profile.name and found.says for found in POLICIES.values())
    assert [found.name for found in CONTRACT] == ["lru", "clawvm_paper", "clawvm_turn", "clawvm", "oracle"]
    with pytest.raises(UsageError, match="unknown policy"):
        policy("fifo")


def test_all_online_policies_can_be_replayed_and_no_offline_one():
    """What the evaluation runs online is what a session can be opened with; the oracle has no profile there."""
    assert {found.name: found.profile for found in ONLINE}.items() <= PROFILES.items()
    assert {found.name for found in POLICIES.values() if found.horizon} == set(OFFLINE)
    assert not set(OFFLINE) & set(PROFILES)
    assert POLICIES["clawvm"].profile is PROFILES["clawvm"]


def assemblies(its, under, budget, count):
    """What is decided up to and including the assembly of turn `count`."""
    found = []
    for events in steps(its, under, budget):
        found.append(events)
        count -= isinstance(events[0], e.TurnBegan)
        if not count:
            return found
    raise AssertionError("the workload has fewer turns")


@st.composite
def forking(draw):
    """Two workloads that part after turn `k`'s assembly, and `k`."""
    past, found = draw(turns(1, 6))
    *before, _answer = past
    known = sum(isinstance(data, e.PageWritten) for data in past)
    futures = []
    for _ in range(2):
        later, more = draw(turns(1, 4, known))
        answer = draw(st.sampled_from([(), *((need(n),) for n in range(1, known + 1))]))
        retrieved = tuple((page_id,) for page_id in (*found, *more))
        futures.append(workload(*before, e.ModelResponded(needs=answer), *later, retrieved=retrieved))
    return (*futures, len(found))


@pytest.mark.parametrize("under", ONLINE, ids=lambda found: found.name)
@given(forking(), st.integers(30, 700))
@settings(max_examples=15, deadline=None)
def test_no_online_policy_sees_what_comes(under, case, budget):
    """Whatever follows an assembly, all that was decided up to it stays as it was."""
    one, other, turn = case
    assert assemblies(one, under, budget, turn) == assemblies(other, under, budget, turn)


def levels(its, under, budget):
    """Page → rank in the last prompt of a run."""
    found: dict[str, int] = {}
    for event in decided(its, under, budget):
        if isinstance(event, e.RepresentationChanged):
            found[event.page_id] = list(Fidelity).index(event.after)
    return {page_id: rank for page_id, rank in found.items() if rank}


def seen_by_the_oracle(distance):
    """Ten pages of which two fit, and a need for the oldest `distance` turns after the last assembly looked at."""
    written = chain.from_iterable((page(number, tokens=100), e.TurnBegan()) for number in range(1, 11))
    later = [e.TurnBegan()] * distance
    return workload(*written, e.TurnBegan(), *later, e.ModelResponded(needs=(need(1),)))


@pytest.mark.parametrize(("distance", "hit"), [(0, True), (2, True)])
def test_the_oracle_meets_what_lru_cannot(distance, hit):
    """A page that nobody used for ten turns stands in the prompt of the turn that needs it."""
    its = seen_by_the_oracle(distance)
    assert run(its, POLICIES["oracle"], 250).hits == [hit]
    assert run(its, POLICIES["lru"], 250).hits == [False]


@pytest.mark.parametrize("distance", range(4))
def test_the_oracle_sees_three_turns_and_no_more(distance):
    """The page is raised by an epoch at most two turns before the one that needs it, or at that turn."""
    turn, raised = 0, 0
    for events in steps(seen_by_the_oracle(distance), POLICIES["oracle"], 250):
        turn += isinstance(events[0], e.TurnBegan)
        if any(isinstance(made, e.RepresentationChanged) and made.page_id == "p1" for made in events):
            raised = turn
    assert 11 + distance - 2 <= raised <= 11 + distance


@given(turns(1, 8), st.integers(30, 700))
@settings(max_examples=60, deadline=None)
def test_the_oracle_keeps_the_contract(case, budget):
    """It exceeds no budget, faults nowhere, and what it meets a need by is the cheapest level that suffices."""
    inputs, found = case
    its = workload(*inputs, retrieved=[(page_id,) for page_id in found])
    events = list(decided(its, POLICIES["oracle"], budget))
    assert all(made.tokens <= budget for made in events if isinstance(made, e.PromptAssembled))
    assert not [event for event in events if isinstance(event, e.FaultObserved)]


def test_the_oracle_raises_to_the_cheapest_level_that_suffices():
    """A need that a compressed page meets costs the compressed page, where an epoch meets it."""
    wanted = need(1, at=(Fidelity.FULL, Fidelity.COMPRESSED))
    written = chain.from_iterable((page(number, tokens=400), e.TurnBegan()) for number in range(1, 6))
    its = workload(*written, e.TurnBegan(), e.ModelResponded(needs=(wanted,)))
    assert oracle.future(its)[6][0].tokens == 160
    at_last = levels(its, POLICIES["oracle"], 600)
    assert at_last["p1"] == 3


@pytest.mark.parametrize("under", CONTRACT, ids=lambda found: found.name)
def test_the_contract_faults_nowhere(sessions, under):
    """Zero faults by construction, on every family and at the smallest budget."""
    for its in sessions.values():
        outcome = run(its, under, 120)
        assert outcome.faults == 0
        assert outcome.figures.needs == len(list(its.all_needs())) == len(outcome.hits)


@pytest.mark.parametrize("missing", MUTATIONS)
def test_every_mutation_faults_on_the_families(sessions, missing):
    """The evidence for the zeros: with one mechanism broken, some family shows a fault."""
    broken = without(PROFILES["clawvm"], missing)
    assert any(run(its, broken, 180).faults for its in sessions.values())


@pytest.mark.parametrize("under", POLICIES.values(), ids=lambda found: found.name)
def test_each_need_of_a_workload_has_one_outcome(sessions, under):
    """Hits and misses of a run are in the order of the workload's needs, under every policy."""
    for its in sessions.values():
        outcome = run(its, under, 240)
        assert len(outcome.hits) == len(list(its.all_needs()))
        assert outcome.misses(its.all_needs(), lambda need: True) == outcome.figures.misses
        assert outcome.misses(its.all_needs(), lambda need: False) == 0


def test_a_fixed_region_that_is_charged_takes_its_place():
    """Tokens that a recording does not hold leave less to the pages."""
    its = seen_by_the_oracle(0)
    plain, charged = (run(its, POLICIES["lru"], 250, fixed_tokens=tokens).figures for tokens in (None, 100))
    assert charged.tokens >= 11 * 100
    assert plain.tokens > charged.tokens - 11 * 100


def test_the_harness_brings_boundaries_about_and_recorded_own_ones_are_left_out():
    """A run under thresholds compacts by its own fill; another policy's are left out."""
    big = [page(number, PageType.PREFERENCE, 300, author=Author.USER) for number in (1, 2, 3)]
    own = e.BoundaryReached(Boundary.COMPACT, Trigger.THRESHOLD)
    its = workload(big[0], e.TurnBegan(), own, big[1], e.TurnBegan(), big[2], e.TurnBegan())
    for name, expected in (("compaction_hybrid", [(Boundary.FLUSH, 2), (Boundary.COMPACT, 3)]), ("clawvm", [])):
        turn, found = 1, []
        for events in steps(its, POLICIES[name], 1000):
            if isinstance(events[0], e.BoundaryReached):
                found.append((events[0].boundary, turn))
            turn += isinstance(events[0], e.TurnBegan)
        assert found == expected


def test_what_is_dirty_in_a_run_is_written_back_at_every_boundary_of_the_contract():
    """A recording whose policy had nothing to save leaves nothing unsaved under one that has."""
    plan = page(1, PageType.PLAN, 50, author=Author.MODEL)
    its = workload(plan, e.TurnBegan(), e.BoundaryReached(Boundary.RESET, Trigger.RECORDED), e.TurnBegan())
    committed = {
        name: [event for event in decided(its, POLICIES[name], 500) if saves(event)]
        for name in ("clawvm", "retrieval")
    }
    assert [len(found) for found in committed.values()] == [1, 0]
    assert run(its, POLICIES["retrieval"], 500).figures.faults[FaultType.FLUSH_MISS] == 1


def saves(event):
    """Whether an event commits an update."""
    return isinstance(event, e.UpdateCommitted)


def test_thrash_is_faults_and_alerts_over_hits():
    """(faults + alerts) / (hits + 1) in permille, rounded down."""
    outcome = run(workload(e.TurnBegan()), POLICIES["clawvm"], 100)
    outcome.figures = Figures(hits=2, alerts=1, faults={FaultType.REFETCH: 3})
    assert outcome.faults == 3
    assert outcome.thrash_permille == 1333


def test_retrieval_ranks_no_steps():
    """Needs under a rule without steps are met by what was retrieved or has just arrived, and by nothing else."""
    its = workload(
        page(1), e.TurnBegan(), page(2), e.TurnBegan(), e.ModelResponded(needs=(need(1), need(2))), retrieved=[(), ()]
    )
    assert POLICIES["retrieval"].profile.rule is Rule.RETRIEVAL
    assert run(its, POLICIES["retrieval"], 1000).hits == [False, True]
    assert all(found.rule is NeedRule.DATA_FLOW for found in its.inputs[-1].needs)
