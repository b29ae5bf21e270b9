"""What no order of events can bring about is refused; what is just possible is taken."""

from __future__ import annotations

import attrs
import pytest
from msgspec.structs import replace

from clawvm_es.core.profiles import COMPACTION_HYBRID
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Evidence,
    Need,
    NeedRule,
    Op,
    RecallOutcome,
    RedactReason,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    StagedPage,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Fidelity, Level, PageType, Pin
from clawvm_es.testing.core import Given, need, opened, page, update

HASH = "0" * 64
NOBODY = Need((), NeedRule.DECLARED)
FACTS = UpdateFacts("p9", Op.SET_WITH_VERSION, HASH, 1, Evidence(version=1))


def levels(*kept):
    """A first page with these levels."""
    return replace(page(1), levels=tuple(Level(level, tokens, HASH, "t/1") for level, tokens in kept))


def call(**fields):
    """Call number 2, where call 1 made one resource known."""
    return e.ToolCalled(**{"call": 2, "tool": "T", "arguments": HASH, **fields})


FULL, SMALLER, POINTER, NOTHING = Fidelity.FULL, Fidelity.STRUCTURED, Fidelity.POINTER, Fidelity.ABSENT
FILE = Resource(ResourceClass.FILE, HASH)
FORKED = e.SessionForked("parent", 5, HASH)

REFUSED = {
    "opened twice": opened(),
    "a budget of nothing": e.BudgetChanged(0),
    "forked elsewhere": replace(FORKED, parent_version=4),
    "forked on a budget of nothing": replace(FORKED, budget_tokens=0),
    "reopening what is open": e.SessionReopened(),
    "adopting nothing": e.SettingsAdopted(),
    "adopting a budget of nothing": e.SettingsAdopted(budget_tokens=0),
    "a change of a shared scope": e.ScopeChanged("f", Op.APPEND, 1, 0, HASH, "s", 1, HASH),
    "an unknown hint": e.TurnBegan(hints=("p1", "p9")),
    "an unknown page was retrieved": e.TurnBegan(retrieved=("p9",)),
    "a fixed region below nothing": e.TurnBegan(fixed_tokens=-1),
    "a page out of turn": page(3),
    "a page without levels": replace(page(2), levels=()),
    "a page without full": levels((SMALLER, 5)),
    "full not first": levels((SMALLER, 5), (FULL, 3)),
    "levels that do not fall in fidelity": levels((FULL, 5), (POINTER, 3), (SMALLER, 2)),
    "a level twice": levels((FULL, 5), (SMALLER, 3), (SMALLER, 2)),
    "levels that do not fall in tokens": levels((FULL, 5), (SMALLER, 5)),
    "an absent level": levels((FULL, 5), (NOTHING, 0)),
    "tokens below nothing": levels((FULL, 5), (SMALLER, -1)),
    "pinning an unknown page": e.PagePinned("p9", Pin.HARD),
    "retiring an unknown page": e.PageRetired("p9", RetireReason.DONE),
    "a call that was made before": call(call=1),
    "reading an unknown resource": call(reads=(2,)),
    "reading resource 0": call(reads=(0,)),
    "writing an unknown resource": call(resources=(FILE,), writes=(3,)),
    "served by somebody from nothing": call(served_by="parent"),
    "a call that needs an unknown page": call(needs=(need(9),)),
    "a result that needs an unknown page": e.ToolReturned(1, ReturnStatus.OK, needs=(need(9),)),
    "a need of nobody": e.ModelResponded(needs=(NOBODY,)),
    "an answer that needs an unknown page": e.ModelResponded(needs=(need(1), need(9))),
    "recalling an unknown page": e.RecallAnswered(1, RecallOutcome.OK, HASH, ("p9",)),
    "a recall that needs an unknown page": e.RecallAnswered(1, RecallOutcome.OK, HASH, (), (need(9),)),
    "an update out of turn": e.UpdateStaged(2, update()),
    "update 0": e.UpdateStaged(0, update()),
    "a boundary of an unknown page": e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p9",)),
    "staging an unknown page": e.BoundaryReached(Boundary.SAVE, Trigger.CALLER, (StagedPage("p9", FACTS),)),
    "renewing what is not pending": e.BoundaryReached(
        Boundary.SAVE, Trigger.CALLER, restaged=(e.UpdateStaged(1, update()),)
    ),
    "erasing an unknown page": e.ContentRedacted(RedactReason.REQUEST, pages=("p9",)),
}
TAKEN = {
    "the smallest budget": e.BudgetChanged(1),
    "forked here": FORKED,
    "forked on the smallest budget": replace(FORKED, budget_tokens=1),
    "adopting the smallest budget": e.SettingsAdopted(budget_tokens=1),
    "adopting a policy": e.SettingsAdopted(profile=COMPACTION_HYBRID),
    "known pages": e.TurnBegan(hints=("p1",), retrieved=("p1",), fixed_tokens=0),
    "the next page": page(2),
    "a known page again": page(1),
    "full alone": levels((FULL, 0)),
    "levels that fall": levels((FULL, 2), (SMALLER, 1), (POINTER, 0)),
    "a known resource": call(reads=(1,), writes=(1,)),
    "a resource that it names": call(resources=(FILE,), reads=(1, 2)),
    "served by somebody from something": call(served_by="parent", served_from=3),
    "a result before its call": e.ToolReturned(7, ReturnStatus.OK, unmatched=True),
    "a need of a known page": e.ModelResponded(needs=(need(1),)),
    "the next update": e.UpdateStaged(1, update()),
    "a boundary of known pages": e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p1",)),
}


@pytest.fixture
def given():
    """A session at version 5: one page, one call that made a resource known."""
    found = Given.session(page(1, PageType.EVIDENCE, 50))
    found.when(e.ToolCalled(1, "T", HASH, resources=(FILE,)))
    found.when(e.ToolReturned(1, ReturnStatus.OK))
    found.when(e.RecallAnswered(1, RecallOutcome.NO_MATCH, HASH))
    assert found.state.version == 5
    return found


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(given, what):
    """`decide` raises; the state and the log stay as they are."""
    before = list(given.log)
    with pytest.raises(UsageError):
        given.when(REFUSED[what])
    assert given.log == before and given.state.version == 5


@pytest.mark.parametrize("what", TAKEN)
def test_what_can_just_be_is_taken(given, what):
    """The nearest possible inputs are events, first of what follows."""
    given.when(TAKEN[what])
    assert TAKEN[what] in given.log


@pytest.mark.parametrize("data", [opened(budget_tokens=0), page(1), e.TurnBegan()], ids=lambda data: data.TYPE)
def test_a_session_begins_with_its_opening(data):
    """Nothing comes before it, and it has a budget."""
    with pytest.raises(UsageError):
        Given().when(data)


def test_a_closed_session_takes_erasures_and_forks_only(given):
    """Everything else is refused, until it is opened again."""
    given.when(e.SessionClosed(CloseReason.ENDED))
    given.when(e.SessionReopened())
    given.when(e.SessionClosed(CloseReason.ENDED))
    with pytest.raises(UsageError, match="closed"):
        given.when(e.TurnBegan())
    given.when(e.ContentRedacted(RedactReason.REQUEST, pages=("p1",)))
    given.when(replace(FORKED, parent_version=given.state.version))
    assert given.when(e.TurnBegan())[0].TYPE == "prompt_assembled"


def test_a_project_takes_no_policy_that_writes_back_by_itself():
    """Neither when opened, nor in a fork; without a project it may."""
    flushes, compacts = (
        attrs.evolve(COMPACTION_HYBRID, **{name: 0}) for name in ("compact_permille", "flush_permille")
    )
    for policy in (COMPACTION_HYBRID, flushes, compacts):
        with pytest.raises(UsageError, match="project"):
            Given().when(replace(opened(policy), project="scope:team"))
    Given().when(opened(COMPACTION_HYBRID))
    shared = Given()
    shared.when(replace(opened(), project="scope:team"))
    with pytest.raises(UsageError, match="project"):
        shared.when(e.SessionForked("parent", 1, HASH, profile=COMPACTION_HYBRID))
    with pytest.raises(UsageError, match="project"):
        shared.when(e.SettingsAdopted(profile=COMPACTION_HYBRID))
    assert Given.session().when(e.SessionForked("parent", 1, HASH, profile=COMPACTION_HYBRID)) == ()
