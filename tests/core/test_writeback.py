"""Writeback check by check: evidence, versions ahead of a commit, hard pins, and pages that another run staged."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from clawvm_es.core.writeback import check, committed_version, rebased
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Evidence, Op, RedactReason, RejectReason, StagedPage, Trigger
from clawvm_es.model.pages import Author, PageType, Pin
from clawvm_es.testing.core import Given, page, update

UNRESOLVED = RejectReason.PROVENANCE_UNRESOLVED


def known() -> Given:
    """Two dirty pages and one that was erased."""
    given = Given.session(*(page(n, PageType.PREFERENCE, 50, author=Author.USER) for n in (1, 2, 3)))
    given.when(e.ContentRedacted(RedactReason.REQUEST, ("0" * 64,), ("p3",)))
    return given


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence(page_id="p1"), None),
        (Evidence(page_id="p3"), UNRESOLVED),
        (Evidence(page_id="p9"), UNRESOLVED),
        (Evidence(version=1), None),
        (Evidence(version=5), None),
        (Evidence(version=6), UNRESOLVED),
        (Evidence(version=0), UNRESOLVED),
        (Evidence(version=-1), UNRESOLVED),
        (Evidence(scope_version=1), None),
        (Evidence(scope_version=4), None),
        (Evidence(scope_version=5), UNRESOLVED),
        (Evidence(scope_version=0), UNRESOLVED),
        (Evidence(), UNRESOLVED),
    ],
)
def test_evidence_resolves_to_what_the_session_has_seen(evidence, reason):
    """A page that is there, an event up to the last, a version of a shared scope up to the last one seen."""
    state = known().state
    assert state.version == 5
    state.scopes = {"scope:a": 2, "scope:b": 4}
    assert check(state, update(evidence=evidence)) == reason


def test_a_commit_counts_what_it_gave_before_within_itself():
    """A version that this commit point already gave is ahead of the store's; other fields keep theirs."""
    state = known().state
    facts = update("note", Op.SET_WITH_VERSION, base_version=2)
    state.store = {("session", "note"): 2, ("session", "other"): 7}
    assert committed_version(state, facts) == committed_version(state, facts, {}) == 2
    assert committed_version(state, facts, {("session", "note"): 3}) == 3
    assert committed_version(state, facts, {("session", "other"): 8}) == 2
    assert committed_version(state, update("new")) == 0
    assert check(state, facts) is None
    assert check(state, facts, {("session", "note"): 3}) is RejectReason.DESTRUCTIVE_OP


@pytest.mark.parametrize(
    ("pin", "size", "refused"),
    [(Pin.HARD, 0, True), (Pin.HARD, 1, False), (Pin.SOFT, 0, False), (Pin.NONE, 0, False)],
)
def test_only_a_hard_pin_keeps_a_page_from_being_emptied(pin, size, refused):
    """Writing nothing over a page is against the policy where it is pinned hard; a field of no page is free."""
    given = known()
    given.when(e.PagePinned("p1", pin))
    facts = update("p1", Op.SET_WITH_VERSION, base_version=0, size_bytes=size)
    assert check(given.state, facts) == (RejectReason.POLICY_VIOLATION if refused else None)
    assert check(given.state, replace(facts, field="note")) is None


def test_staged_pages_of_another_run_are_written_over_what_this_one_committed():
    """Those that are dirty here, each on the version that this run's store has; the others are left out."""
    state = known().state
    state.store = {("session", "p1"): 4}
    state.dirty = {"p1": None, "p2": None}
    staged = [
        StagedPage(page_id, update(page_id, Op.SET_WITH_VERSION, base_version=1)) for page_id in ("p2", "p1", "p3")
    ]
    found = rebased(state, staged)
    assert [(each.page_id, each.update.base_version) for each in found] == [("p2", 0), ("p1", 4)]
    assert all(
        replace(each.update, base_version=1) == update(each.page_id, Op.SET_WITH_VERSION, base_version=1)
        for each in found
    )


def test_facts_that_a_boundary_renews_are_those_that_decide():
    """What was worked out anew, since others committed meanwhile, stands in the state and is judged."""
    given = known()
    given.when(e.UpdateStaged(1, update("note", Op.APPEND)))
    renewed = replace(update("note", Op.APPEND), evidence=Evidence(page_id="p9"))
    reached = e.BoundaryReached(Boundary.SAVE, Trigger.CALLER, restaged=(e.UpdateStaged(1, renewed),))
    decided = given.when(reached)
    assert given.state.updates[1].facts == renewed
    assert [data.reason for data in decided if isinstance(data, e.UpdateRejected)] == [UNRESOLVED]


@pytest.mark.parametrize(
    ("op", "base", "reason"),
    [
        (Op.DELETE, 2, None),
        (Op.DELETE, 1, RejectReason.DESTRUCTIVE_OP),
        (Op.DELETE, None, RejectReason.DESTRUCTIVE_OP),
        (Op.REPLACE, 2, None),
        (Op.REPLACE, 3, RejectReason.DESTRUCTIVE_OP),
    ],
)
def test_a_delete_and_a_replace_need_the_committed_version(op, base, reason):
    """What they take away has to be what the writer saw."""
    state = known().state
    state.store = {("session", "note"): 2}
    stands = ("p1", "p2") if op is Op.REPLACE else ()
    assert check(state, replace(update("note", op, base_version=base), replaces=stands)) == reason


@pytest.mark.parametrize(
    ("op", "pages", "reason"),
    [
        (Op.REPLACE, (), UNRESOLVED),
        (Op.REPLACE, ("p1", "p3"), UNRESOLVED),
        (Op.REPLACE, ("p1", "p9"), UNRESOLVED),
        (Op.APPEND, ("p1",), UNRESOLVED),
        (Op.REPLACE, ("p2",), RejectReason.POLICY_VIOLATION),
    ],
)
def test_a_text_stands_for_pages_that_resolve_and_are_not_pinned_hard(op, pages, reason):
    """An erased or unknown page cannot be replaced, a rule that is pinned hard may not be."""
    given = known()
    given.when(e.PagePinned("p2", Pin.HARD))
    assert check(given.state, replace(update("note", op, base_version=0), replaces=pages)) == reason
