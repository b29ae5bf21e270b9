"""Claims about a session, held against its prompts."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import CLAWVM, RECORDED, RETRIEVAL
from clawvm_es.errors import UsageError
from clawvm_es.history.checking import check, check_recording, claim
from clawvm_es.history.whatif import Setting
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Cut, RetireReason, Trigger
from clawvm_es.model.pages import Author, PageType
from clawvm_es.testing import recorded
from clawvm_es.testing.core import Given, need, page


def given() -> Given:
    """Two rules, a plan and a result; a compaction takes out all but the first rule and the plan before turn 3."""
    session = Given.session(
        page(1, PageType.CONSTRAINT, author=Author.HARNESS),
        page(2, PageType.CONSTRAINT),
        page(3, PageType.PLAN, author=Author.MODEL),
        page(4),
        profile=RECORDED,
        budget_tokens=0,
    )
    session.turn()
    session.turn()
    session.when(e.ModelResponded(needs=(need(4),)))
    session.when(e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, cut=Cut.COMPACT, left=("p2", "p4")))
    session.turn()
    session.when(e.ModelResponded(needs=(need(4),)))
    session.when(page(5, PageType.PREFERENCE))
    return session


HOLDS = [
    "resident(plan) at turn 3",
    "resident(constraint) at turn 2",
    "resident(p1) and absent(p2)",
    "absent(p2) at turn 3",
    "never absent(p1)",
    "always resident(plan)",
    "misses < 2",
    "misses == unmet and hits == 1 and needs == 2",
    "misses == 0 at turn 3",
    "page.p4.level == full at turn 2",
    "always page.plan.level == full",
    "never turn > 3",
    "faults == 1",
]
BREAKS = [
    ("resident(constraint) at turn 3", 3, ("p2",)),
    ("resident(constraint)", 3, ("p2",)),
    ("never absent(constraint)", 3, ("p2",)),
    ("always resident(p4)", 3, ()),
    ("misses < 1", 3, ()),
    ("never resident(plan)", 1, ("p3",)),
    ("absent(plan) at turn 1", 1, ("p3",)),
    ("resident(constraint) and resident(plan) at turn 3", 3, ("p2", "p3")),
]
REFUSED = [
    ("resident(p9) at turn 2", "no page p9"),
    ("resident(preference) at turn 3", "no page of type preference"),
    ("resident(preference)", "no page of type preference"),
    ("never absent(bootstrap)", "no page of type bootstrap"),
    ("never absent(p9)", "no page p9"),
    ("resident(plan) at turn 9", "no turn 9"),
    ("never resident(plan) at turn 2", "every prompt"),
    ("", "empty"),
    ("resident(plan", "never closed"),
    ("level(plan)", "not part of the language"),
    ("page.plan.colour == 3", "no attribute"),
    ("turn", "is a number"),
]


@pytest.mark.parametrize("text", HOLDS)
def test_claims_that_hold(text):
    """Of the prompt of a turn, of every one, of none, or of the last; a page type stands for each of its pages."""
    verdict = check(given().log, claim(text))
    assert verdict.holds and verdict.claim.text == text


@pytest.mark.parametrize(("text", "turn", "pages"), BREAKS)
def test_claims_that_do_not_hold_say_where(text, turn, pages):
    """The first prompt and the first page that show it."""
    verdict = check(given().log, claim(text))
    assert (verdict.holds, verdict.turn, verdict.pages) == (False, turn, pages)


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_claims_about_nothing_are_refused(text, why):
    """LAW-CHECK-1: no such page or turn, and what is no claim, are wrong usage."""
    with pytest.raises(UsageError, match=why):
        check(given().log, claim(text))


def test_a_page_that_was_withdrawn_is_none_that_a_prompt_could_hold():
    """Of a type, pages that were retired are left out."""
    session = given()
    session.when(e.PageRetired("p2", RetireReason.WITHDRAWN))
    session.turn()
    assert check(session.log, claim("resident(constraint)")).holds
    assert not check(session.log, claim("never absent(constraint)")).holds


def test_a_session_without_a_prompt_has_none_to_ask_of():
    """What is only counted can be asked all the same."""
    session = Given.session(page(1))
    with pytest.raises(UsageError, match="no prompt"):
        check(session.log, claim("resident(p1)"))
    assert check(session.log, claim("misses == 0 and pages == 1")).holds


def test_under_another_policy_the_same_inputs_are_decided():
    """What the harness dropped, clawvm would have kept; a retriever needs texts, which a recording does not hold."""
    session = recorded(given())
    assert not check_recording(session, "never absent(constraint)").holds
    assert check_recording(session, "never absent(constraint)", Setting(CLAWVM, 600)).holds
    with pytest.raises(UsageError, match="searches"):
        check_recording(session, "misses < 9", Setting(RETRIEVAL, 600))


def test_too_many_choices_of_pages_are_refused():
    """A claim about several types is asked of every choice of their pages, up to a bound."""
    session = Given.session(*(page(n, kind) for n, kind in enumerate([PageType.EVIDENCE, PageType.PLAN] * 400, 1)))
    session.turn()
    with pytest.raises(UsageError, match="too many choices"):
        check(session.log, claim("known(evidence) and known(plan)"))
