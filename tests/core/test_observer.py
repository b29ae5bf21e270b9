"""Needs and recalls row by row: each need has exactly one outcome, told with its page, its rule and its evidence."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import CLAWVM, RECORDED, RETRIEVAL, without
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    FaultReason,
    FaultType,
    NeedRule,
    RecallOutcome,
    RedactReason,
    ReturnStatus,
    Trigger,
)
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.model.profile import Capability
from clawvm_es.testing.core import Given, need, page

FULL, POINTER = Fidelity.FULL, Fidelity.POINTER
WITHOUT_PAGE_IN, WITHOUT_VALIDITY = without(CLAWVM, Capability.RESOLUTION), without(CLAWVM, Capability.VALIDITY)


def shown(policy=CLAWVM) -> Given:
    """Pages p1 and p2 stand in full, p3 was pruned."""
    given = Given.session(*(page(number) for number in (1, 2, 3)), profile=policy)
    given.turn()
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p3",)))
    assert set(given.state.resident) == {"p1", "p2"}
    return given


def asked(given: Given, *needs, call=1, signature=None):
    """The outcomes of needs on a call."""
    called = e.ToolCalled(call, "t", "0" * 64, needs=needs, signature=signature, deterministic=signature is not None)
    return [event for event in given.when(called) if not isinstance(event, e.DuplicateSignatureAlerted)]


def refetch(given: Given, number: int, reason: FaultReason, call=1) -> e.FaultObserved:
    """The fault of a page that is needed again; its evidence is the event that wrote it."""
    written = given.state.pages[f"p{number}"].written_version
    return e.FaultObserved(FaultType.REFETCH, reason, f"p{number}", call, (written,))


def test_a_need_that_the_prompt_meets_is_a_hit_of_its_newest_holder():
    """A holder counts at the levels whose text contains the need, and only as long as its content stands."""
    given = shown()
    assert asked(given, need(1, 2)) == [e.PageUsed("p2", NeedRule.DATA_FLOW)]
    assert asked(given, need(1, 2), call=2) == [], "a need is counted once a turn"
    assert asked(given, need(1), need(1), call=5) == [e.PageUsed("p1", NeedRule.DATA_FLOW)], "and once a call"
    assert asked(given, need(2, at=(POINTER,)), call=3) == [e.PageResolved("p2", NeedRule.DATA_FLOW, 10)]
    given.turn()
    given.when(page(1, tokens=101))
    assert asked(given, need(1), call=4) == [e.PageResolved("p1", NeedRule.DATA_FLOW, 10)]


@pytest.mark.parametrize("rule", list(NeedRule))
@pytest.mark.parametrize("policy", [CLAWVM, WITHOUT_PAGE_IN, WITHOUT_VALIDITY, RETRIEVAL], ids=lambda p: p.name)
def test_what_is_not_in_the_prompt_is_paged_in_or_fetched_again(policy, rule):
    """A page-in needs the mechanism; a file that is read again counts as one only where validity is known, too."""
    given = shown(policy)
    pages_in = Capability.RESOLUTION in policy.capabilities
    if rule is NeedRule.REPEATED_READ:
        pages_in = pages_in and Capability.VALIDITY in policy.capabilities
    (found,) = asked(given, need(3, rule=rule))
    assert found == (e.PageResolved("p3", rule, 10) if pages_in else refetch(given, 3, FaultReason.NOT_RESIDENT))


def test_a_miss_is_charged_to_the_newest_holder_that_can_be_offered():
    """A summary, which stands in no prompt of ours, is charged only where nothing else holds the text."""
    given = shown()
    given.when(page(4, PageType.SUMMARY, 50))
    assert asked(given, need(3, 4)) == [e.PageResolved("p3", NeedRule.DATA_FLOW, 10)]
    assert [found.page_id for found in asked(given, need(4), call=2)] == ["p4"]


def test_erased_content_is_told_before_all_else():
    """Where every holder was erased the reason is the erasure; where one is left, that one is resolved."""
    given = shown()
    given.when(e.ContentRedacted(RedactReason.REQUEST, ("0" * 64,), ("p3",)))
    assert asked(given, need(3)) == [refetch(given, 3, FaultReason.REDACTED)]
    assert asked(given, need(1, 3, at=(POINTER,)), call=2) == [e.PageResolved("p1", NeedRule.DATA_FLOW, 10)]


@pytest.mark.parametrize("repeated", [True, False])
def test_a_call_that_repeats_a_valid_one_is_a_duplicate(repeated):
    """Without page-ins the fault names the call that it repeats, by its event; any other call fetches again."""
    given = shown(WITHOUT_PAGE_IN)
    given.when(e.ToolCalled(1, "t", "0" * 64, signature=1, signature_key="1" * 64, deterministic=True))
    first = given.state.calls[1].version
    given.when(e.ToolReturned(1, ReturnStatus.OK, 5, "2" * 64))
    (found,) = asked(given, need(3), call=2, signature=1 if repeated else None)
    if repeated:
        written = given.state.pages["p3"].written_version
        duplicate = (FaultType.DUPLICATE_TOOL, FaultReason.RERUN, "p3", 2, (written, first))
        assert found == e.FaultObserved(*duplicate)
    else:
        assert found == refetch(given, 3, FaultReason.NOT_RESIDENT, call=2)


@pytest.mark.parametrize("outcome", list(RecallOutcome))
@pytest.mark.parametrize("policy", [CLAWVM, RETRIEVAL], ids=lambda p: p.name)
def test_a_failed_recall_is_silent_where_the_policy_does_not_tell(policy, outcome):
    """Denied, failed and malformed answers without a page are faults of a policy that takes them for empty."""
    for pages in ((), ("p1",)):
        given = shown(policy)
        found = given.when(e.RecallAnswered(1, outcome, "0" * 64, pages))
        failed = outcome not in (RecallOutcome.OK, RecallOutcome.NO_MATCH)
        if failed and not pages and policy is RETRIEVAL:
            reason = FaultReason(str(outcome))
            assert found == (e.FaultObserved(FaultType.SILENT_RECALL, reason, evidence=(given.state.version - 1,)),)
        else:
            assert found == ()


def test_a_recorded_session_has_what_its_harness_had():
    """In its context a page is there in full, arrivals too; what left is unmet, or fetched again by a read."""
    given = Given.session(*(page(number) for number in (1, 2)), profile=RECORDED)
    given.when(page(3, PageType.CONVERSATION, author=Author.USER))
    assert asked(given, need(1)) == [e.PageUsed("p1", NeedRule.DATA_FLOW)]
    given.turn()
    assert asked(given, need(1), call=2) == [e.PageUsed("p1", NeedRule.DATA_FLOW)]
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, left=("p1", "p2")))
    given.turn()
    assert asked(given, need(1), call=3) == [e.NeedUnmet("p1", NeedRule.DATA_FLOW, 10, 3)]
    assert asked(given, need(3, at=(POINTER,)), call=4) == [e.NeedUnmet("p3", NeedRule.DATA_FLOW, 10, 4)]
    assert asked(given, need(2, rule=NeedRule.REPEATED_READ), call=5) == [
        refetch(given, 2, FaultReason.NOT_RESIDENT, call=5)
    ]
