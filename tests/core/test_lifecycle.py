"""Boundaries to the last token: thresholds, what is lost and where it is proven, and the summary of a compaction."""

from __future__ import annotations

import attrs
import pytest
from msgspec.structs import replace

from clawvm_es.core.lifecycle import due, stages
from clawvm_es.core.profiles import CLAWVM, CLAWVM_TURN, COMPACTION_HYBRID, RETRIEVAL
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    Cut,
    FaultReason,
    FaultType,
    PressureReason,
    RedactReason,
    RetireReason,
    ReturnStatus,
    Trigger,
)
from clawvm_es.model.pages import FULL, Author, PageType, Pin
from clawvm_es.testing.core import Given, opened, page

FLUSH, COMPACT = COMPACTION_HYBRID.flush_permille, COMPACTION_HYBRID.compact_permille


@pytest.mark.parametrize(
    ("tokens", "fixed", "dirty", "found"),
    [
        (FLUSH - 1, 0, True, None),
        (FLUSH, 0, True, Boundary.FLUSH),
        (FLUSH, 0, False, None),
        (FLUSH - 10, 9, True, None),
        (FLUSH - 10, 10, True, Boundary.FLUSH),
        (COMPACT - 1, 0, True, Boundary.FLUSH),
        (COMPACT - 1, 0, False, None),
        (COMPACT, 0, True, Boundary.COMPACT),
        (COMPACT, 0, False, Boundary.COMPACT),
        (COMPACT - 5, 5, False, Boundary.COMPACT),
        (0, COMPACT, False, None),
    ],
)
def test_thresholds_are_reached_by_exactly_their_fill(tokens, fixed, dirty, found):
    """Of a budget of a thousand tokens each is a permille; the fixed region counts, and nothing compacts nothing."""
    given = Given.session(profile=COMPACTION_HYBRID, budget_tokens=1_000)
    if tokens:
        given.when(page(1, PageType.EVIDENCE, tokens, dirty=dirty))
        given.turn()
        assert given.state.fill_permille == tokens
    assert due(given.state, fixed) == found


@pytest.mark.parametrize(("budget", "fixed", "found"), [(1_500, 899, None), (1_500, 900, Boundary.FLUSH)])
def test_the_fixed_region_is_rounded_down_by_itself(budget, fixed, found):
    """600 permille of 1,500 tokens are 900, and one token less is 599."""
    given = Given.session(page(1, PageType.PREFERENCE, 1), profile=COMPACTION_HYBRID, budget_tokens=budget)
    assert given.state.fill_permille == 0 and given.state.dirty
    assert due(given.state, fixed) == found


@pytest.mark.parametrize(
    ("flush", "compact", "fixed", "found"),
    [
        (1_000, 0, 1_999, None),
        (1_000, 0, 2_000, Boundary.FLUSH),
        (0, 1_000, 1_996, None),
        (0, 1_000, 1_998, Boundary.COMPACT),
        (1, 0, 0, Boundary.FLUSH),
        (0, 1, 0, Boundary.COMPACT),
        (0, 0, 4_000, None),
    ],
)
def test_each_threshold_counts_without_the_other(flush, compact, fixed, found):
    """A policy may only flush, only compact, or neither; a threshold of one permille is one."""
    policy = attrs.evolve(COMPACTION_HYBRID, flush_permille=flush, compact_permille=compact)
    given = Given.session(page(1, PageType.PREFERENCE, 2), profile=policy, budget_tokens=2_000)
    given.turn()
    assert given.state.fill_permille == 1 and given.state.dirty
    if flush == 1_000:
        given = Given.session(page(1, PageType.PREFERENCE, 1), profile=policy, budget_tokens=2_000)
    assert due(given.state, fixed) == found


def test_after_a_compaction_comes_none_before_the_next_turn():
    """A context that is full again at once waits for its turn; a policy without thresholds is never due."""
    given = Given.session(page(1, tokens=900), profile=COMPACTION_HYBRID, budget_tokens=1_000)
    given.turn()
    assert due(given.state, 0) is Boundary.COMPACT
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.THRESHOLD))
    given.when(page(2, tokens=900))
    assert due(given.state, 0) is None
    given = Given.session(page(1, PageType.PREFERENCE, 2_000), profile=CLAWVM, budget_tokens=1_000)
    given.turn()
    assert due(given.state, 5_000) is None


@pytest.mark.parametrize("boundary", list(Boundary))
def test_policies_write_back_where_their_mechanism_says(boundary):
    """With staging at every boundary, with flushes alone at flush and save, without either nowhere."""
    assert stages(Given.session(profile=CLAWVM).state, boundary)
    flushes = boundary in (Boundary.FLUSH, Boundary.SAVE)
    assert stages(Given.session(profile=COMPACTION_HYBRID).state, boundary) is flushes
    assert not stages(Given.session(profile=RETRIEVAL).state, boundary)


@pytest.mark.parametrize("boundary", list(Boundary))
def test_what_is_lost_is_proven_by_its_writing_and_the_boundary(boundary):
    """A dirty page that a boundary destroys: the fault names the event that wrote it and the boundary's own."""
    given = Given.session(page(1, PageType.PREFERENCE, 50, author=Author.USER), page(2), profile=RETRIEVAL)
    given.turn()
    written, reached = given.state.pages["p1"].written_version, given.state.version + 1
    pages = ("p1", "p2") if boundary is Boundary.PRUNE else ()
    found = given.when(e.BoundaryReached(boundary, Trigger.CALLER, pages=pages))
    faults = [event for event in found if isinstance(event, e.FaultObserved)]
    if boundary in (Boundary.FLUSH, Boundary.SAVE):
        assert faults == []
    else:
        lost = (FaultType.FLUSH_MISS, FaultReason.DESTROYED_BEFORE_COMMIT, "p1")
        assert faults == [e.FaultObserved(*lost, evidence=(written, reached))]
    changed = [event for event in found if isinstance(event, e.RepresentationChanged)]
    assert isinstance(found[-1], e.BoundaryCompleted) and found[-1].lowered == len(changed)


@pytest.mark.parametrize(("tokens", "kept"), [(100, 5), (99, 4)])
def test_a_summary_holds_as_many_pages_as_its_share_and_no_more(tokens, kept):
    """The newest pages at their lowest level, while their sizes add up to no more than the summary's share."""
    policy = attrs.evolve(COMPACTION_HYBRID, summary_permille=tokens)
    given = Given.session(*(page(n, tokens=1_000) for n in range(1, 8)), profile=policy, budget_tokens=10_000)
    given.turn()
    lowest = given.state.pages["p1"].tokens[1]
    given.when(e.BudgetChanged(lowest * 50))  # a share of a tenth is then five pages of that size
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER))
    assert list(given.state.resident) == [f"p{number}" for number in range(8 - kept, 8)]
    assert set(given.state.resident.values()) == {1}


def test_pages_leave_at_once_and_a_required_one_is_told_with_its_floor():
    """A retired page leaves without pressure; an erased one that was required is pressure of its floor's tokens."""
    given = Given.session(page(1, PageType.CONSTRAINT, 100), page(2), page(3), budget_tokens=1_000)
    given.when(e.PagePinned("p2", Pin.HARD))
    given.turn()
    (left,) = given.when(e.PageRetired("p3", RetireReason.WITHDRAWN))
    assert (left.page_id, left.after) == ("p3", "absent")
    sizes = sum(given.state.required_sizes[page_id] for page_id in ("p1", "p2"))
    assert given.state.resident == {"p1": FULL, "p2": FULL}
    *gone, pressure = given.when(e.ContentRedacted(RedactReason.REQUEST, ("0" * 64,), ("p1", "p2")))
    assert [change.page_id for change in gone] == ["p1", "p2"]
    assert pressure == e.InvariantPressureObserved(PressureReason.REDACTED, sizes, 0, ("p1", "p2"))
    assert given.when(e.PageRetired("p3", RetireReason.WITHDRAWN)) == ()


@pytest.mark.parametrize("profile", [CLAWVM_TURN, CLAWVM])
def test_a_pruning_of_a_required_page_leaves_its_floor(profile):
    """Where pages are selected at every turn it falls to its floor at once; a layout that is sent keeps it whole."""
    given = Given.session(page(1), page(2), page(3), profile=profile)
    given.when(e.PagePinned("p1", Pin.HARD))
    given.turn()
    floor = given.state.required["p1"]
    assert 0 < floor < FULL and set(given.state.resident.values()) == {FULL}
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p1", "p2")))
    assert given.state.resident == {"p1": FULL if profile is CLAWVM else floor, "p3": FULL}


def test_of_an_answer_with_several_calls_each_ends_once_and_by_its_own_result():
    """The first result of a call counts, whatever comes after it and however many calls still wait."""
    given = Given()
    given.when(replace(opened(), renderer="messages/1:anthropic"))
    given.when(e.ModelResponded(group=1))
    for number in (1, 2, 3):
        given.when(e.ToolCalled(number, "t", "0" * 64, group=1))
    ended = {}
    for number in (2, 1, 2, 1, 3):
        given.when(e.ToolReturned(number, ReturnStatus.OK))
        ended.setdefault(number, given.state.version)
        assert {each.call: each.ended for each in given.state.groups[1].calls} == {1: 0, 2: 0, 3: 0} | ended


def test_a_page_that_a_rewind_took_out_comes_back_as_dirty_as_it_was():
    """What was not written back before the harness went back is not lost when it returns."""
    given = Given()
    given.when(opened())
    given.when(page(1, PageType.PLAN, dirty=True))
    given.when(page(2, PageType.EVIDENCE))
    dirty = list(given.state.dirty)
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, left=("p1", "p2"), cut=Cut.REWIND))
    assert not given.state.dirty and given.state.pages["p1"].away
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, returned=("p1", "p2"), cut=Cut.REWIND))
    assert list(given.state.dirty) == dirty == ["p1"] and not given.state.pages["p1"].away
