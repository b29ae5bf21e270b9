"""The rule `reuse`: what makes a page rank before another."""

from __future__ import annotations

from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM, CLAWVM_TURN
from clawvm_es.core.ranking import index_of, since
from clawvm_es.core.reuse import NEAR, NEARNESS, USES_MAX, worth
from clawvm_es.core.utility import RECENCY
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, Resource, ResourceClass
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.model.profile import Key
from clawvm_es.testing.core import Given, page
from tests.core.plain_model import epoch_nearness, nearness, recency


def order(given):
    """Page ids in the order in which their first steps are taken."""
    return list(dict.fromkeys(page_id for *_, (page_id, _) in index_of(given.state).steps))


def called(call, *, reads=(), writes=(), resources=()):
    """A call on resources."""
    return e.ToolCalled(call=call, tool="Read", arguments="a" * 64, reads=reads, writes=writes, resources=resources)


def about(number, call, resource, tokens=100, **changes):
    """A result that shows one resource."""
    origin = Origin(OriginKind.TOOL_CALL, call=call, resource=resource)
    return replace(page(number, tokens=tokens, **changes), origin=origin)


FILE = (Resource(ResourceClass.FILE, "b" * 64),)


def test_what_shows_a_file_goes_before_other_results_and_before_what_was_said():
    """Of pages of one size and age: a file's content, another result, the user's words, the model's."""
    given = Given.session(budget_tokens=4000)
    given.when(called(1, reads=(1,), resources=FILE))
    said = replace(page(1, PageType.CONVERSATION), author=Author.MODEL)
    told = replace(page(2, PageType.CONVERSATION), author=Author.USER)
    for written in (said, told, page(3), about(4, 1, 1)):
        given.when(written)
    given.turn()
    given.turn()
    assert order(given) == ["p4", "p3", "p2", "p1"]


def test_what_was_used_goes_before_what_was_not():
    """A need of a page, met or not, moves it before pages of the same kind and age."""
    given = Given.session(budget_tokens=4000)
    for number in (1, 2):
        given.when(page(number))
    given.turn()
    given.when(e.ModelResponded(needs=(Need((Holder("p2"), Holder("p1")), NeedRule.DECLARED),)))
    assert [given.state.pages[page_id].uses for page_id in ("p1", "p2")] == [1, 1]
    given.turn()
    given.when(e.ModelResponded(needs=(Need((Holder("p2"),), NeedRule.DECLARED),)))
    given.turn()
    assert order(given) == ["p2", "p1"]


def test_a_write_makes_the_newest_page_of_what_it_changes_young_and_no_other():
    """An edit of a file refreshes what was read of it last; the edit's own result is not that."""
    given = Given.session(budget_tokens=4000)
    given.when(called(1, reads=(1,), resources=FILE))
    given.when(about(1, 1, 1))
    given.when(about(2, 1, 1))
    for _ in range(9):
        given.turn()
    given.when(called(2, writes=(1,)))
    given.when(about(3, 2, 1))
    given.turn()
    state = given.state
    assert [since(state, state.pages[page_id]) for page_id in ("p1", "p2")] == [1, 9]
    assert order(given)[:2] == ["p2", "p1"]
    assert state.shown == {1: "p2"}


def test_the_result_of_a_write_counts_as_what_the_model_said_in_epochs_alone():
    """It tells what the model wrote: an epoch ranks it behind what was read, the selection of one turn as that."""
    for policy, first in ((CLAWVM, "p1"), (CLAWVM_TURN, "p2")):
        given = Given.session(profile=policy, budget_tokens=4000)
        given.when(called(1, reads=(1,), resources=FILE))
        given.when(about(1, 1, 1))
        given.turn()
        given.turn()
        given.when(called(2, writes=(1,)))
        given.when(about(2, 2, 1, tokens=20))
        given.turn()
        assert order(given)[0] == first


@forall(st.integers(1, 10**6), st.integers(0, 2000), st.integers(0, 9), st.integers(1, 10**6), st.integers(1, 10**5))
def test_worth_rises_with_score_and_uses_and_falls_with_size(score, reuse, uses, tokens, more):
    """LAW-REUSE-1: more score or uses never rank a page lower, more tokens never higher; uses count up to three."""
    at = worth(score, reuse, uses, tokens)
    assert worth(score + more, reuse, uses, tokens) >= at
    assert worth(score, reuse, uses + 1, tokens) >= at >= worth(score, reuse, uses, tokens + more)
    assert worth(score, reuse, USES_MAX, tokens) == worth(score, reuse, USES_MAX + more, tokens)


@forall(st.sampled_from(sorted(NEARNESS)), st.integers(0, 400))
def test_nearness_falls_with_age(key, age):
    """LAW-REUSE-2: an older page is never nearer, and never lost: it keeps a place in the order."""
    assert NEAR >= NEARNESS[key].at(age) >= NEARNESS[key].at(age + 1) > 0


def test_what_an_epoch_needs_falls_off_more_slowly_than_what_the_next_turn_does():
    """A page that is twenty turns old is half as near for an epoch; for the next turn it is lost by then."""
    assert NEARNESS[Key.EPOCH_REUSE].at(24) * 2 > NEAR * 9 // 10
    assert NEARNESS[Key.REUSE].at(24) * 50 < NEAR


def test_the_default_policy_ranks_by_reuse():
    """What a session is opened with unless it is told otherwise."""
    assert Given.session().state.ranks_reuse and CLAWVM.weights.reuse > 0


def test_steps_of_age_are_those_that_are_written_down():
    """Nearness and recency at every age, beside the plain model's; and the turn at which each falls next."""
    reuse, epoch = NEARNESS[Key.REUSE], NEARNESS[Key.EPOCH_REUSE]
    for steps, plain in ((reuse, nearness), (epoch, epoch_nearness), (RECENCY, recency)):
        for age in range(400):
            assert steps.at(age) == plain(age)
            falls = next((later for later in range(age + 1, 1000) if steps.at(later) != steps.at(age)), None)
            assert steps.next_change(7, 7 + age) == (None if falls is None else 7 + falls)
