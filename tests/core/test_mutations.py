"""Zero faults under `clawvm` is by construction; each mechanism, once broken, must show its own fault."""

import pytest

from clawvm_es.core.profiles import CLAWVM, LRU, MUTATIONS, RETRIEVAL, without
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    Evidence,
    NeedRule,
    Op,
    RecallOutcome,
    Resource,
    ResourceClass,
    ReturnStatus,
    StagedPage,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Author, PageType
from clawvm_es.model.profile import Capability
from clawvm_es.testing.core import Given, need, page

HASH = "0" * 64


def read(call, needs=(), resources=()):
    """A call of a declared, deterministic tool that reads resource 1."""
    return e.ToolCalled(
        call=call,
        tool="Read",
        arguments=HASH,
        signature=1,
        deterministic=True,
        resources=resources,
        reads=(1,),
        needs=needs,
    )


def life(profile):
    """A short session that leans on every mechanism once: what it shows is what the mechanism is for."""
    given = Given.session(profile=profile, budget_tokens=400)
    given.when(page(1, PageType.BOOTSTRAP, 200, author=Author.HARNESS))
    given.when(page(2, PageType.CONSTRAINT, 200, author=Author.HARNESS))
    given.when(page(3, PageType.PLAN, 200, author=Author.MODEL))
    given.turn()
    given.when(e.ModelResponded())
    given.when(read(1, resources=(Resource(ResourceClass.FILE, HASH),)))
    given.when(e.ToolReturned(call=1, status=ReturnStatus.OK))
    given.when(page(4, tokens=120, signature=1, call=1))
    for number in range(5, 9):
        given.turn()
        given.when(page(number, tokens=150))
    given.turn()
    given.when(page(9, tokens=3900))  # even its lowest level would fill the whole prompt
    given.turn()
    given.when(e.ModelResponded(needs=(need(5),)))
    given.when(read(2, needs=(need(4, rule=NeedRule.REPEATED_READ),)))
    given.when(e.RecallAnswered(1, RecallOutcome.DENIED, HASH))
    staged = ()
    if given.state.can(Capability.STAGING):
        staged = tuple(
            StagedPage(page_id, UpdateFacts(page_id, Op.SET_WITH_VERSION, HASH, 1, Evidence(page_id=page_id)))
            for page_id in given.state.dirty
        )
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, staged))
    given.turn()
    return given


SHOWS = {
    Capability.FLOORS: "pinned_invariant_miss",
    Capability.BOUNDARY_FLOORS: "post_compaction_bootstrap",
    Capability.STAGING: "flush_miss",
    Capability.RESOLUTION: "refetch",
    Capability.VALIDITY: "duplicate_tool",
    Capability.RECALL_OUTCOME: "silent_recall",
}


@pytest.mark.parametrize("profile", [CLAWVM, LRU], ids=lambda p: p.name)
def test_with_all_mechanisms_no_fault_is_observed(profile):
    """The contract holds under `clawvm` and under `lru`: page-ins and alerts, but no fault."""
    given = life(profile)
    assert given.faults() == []
    assert given.of(e.PageResolved)
    assert given.of(e.DuplicateSignatureAlerted)
    assert given.of(e.UpdateCommitted)


@pytest.mark.parametrize("missing", MUTATIONS)
def test_each_broken_mechanism_shows_its_fault(missing):
    """Without one mechanism the observer reports the fault that this mechanism prevents."""
    assert SHOWS[missing] in life(without(CLAWVM, missing)).faults()


def test_the_six_mutations_show_six_different_faults():
    """No fault type is left without a mutation that shows it."""
    assert set(MUTATIONS) == set(SHOWS)
    assert len(set(SHOWS.values())) == 6


def test_a_policy_without_a_contract_faults_in_several_ways():
    """Plain retrieval, in the same session, loses rules and has to fetch again."""
    faults = set(life(RETRIEVAL).faults())
    assert {"refetch", "flush_miss", "post_compaction_bootstrap"} <= faults
