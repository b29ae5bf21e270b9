"""The rule `reuse`: what makes a page rank before another."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.evolve import fold
from clawvm_es.core.profiles import CLAWVM, CLAWVM_TURN
from clawvm_es.core.ranking import build_index, index_of, scored, since
from clawvm_es.core.reuse import NEAR, NEARNESS, USES_MAX, worth
from clawvm_es.core.utility import RECENCY
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, Resource, ResourceClass, ReturnStatus
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.model.profile import Key, Rule
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


def again(call, *, rule=NeedRule.REPEATED_READ):
    """The end of a call whose result p1 held, by one rule or the other."""
    return e.ToolReturned(call=call, status=ReturnStatus.OK, needs=(Need((Holder("p1"),), rule),))


@pytest.mark.parametrize(
    "place", ["before its call", "with its call", "before its page", "after its page", "after its page was ranked"]
)
def test_a_result_that_stood_whole_in_an_earlier_page_counts_as_what_the_model_said(place):
    """The earlier page tells it, and goes before; an older version of the policy does not look at that."""
    for policy, first in ((CLAWVM, "p1"), (attrs.evolve(CLAWVM, rule=Rule.EXCHANGE_REUSE), "p2")):
        given = Given.session(profile=policy, budget_tokens=4000)
        given.when(called(1, reads=(1,), resources=FILE))
        given.when(about(1, 1, 1, tokens=400))
        for _ in range(9):
            given.turn()
        told = again(2).needs if place == "with its call" else ()
        if place == "before its call":
            given.when(again(2))
        given.when(replace(called(2, reads=(1,)), needs=told))
        if place == "before its page":
            given.when(again(2))
        given.when(about(2, 2, 1, tokens=20))
        given.turn()
        if place == "after its page was ranked":
            given.turn()
            assert order(given)[0] == "p2"
        if place.startswith("after"):
            given.when(again(2))
        given.turn()
        assert order(given)[0] == first
        assert index_of(given.state).contents() == build_index(given.state).contents()


@pytest.mark.parametrize("place", ["with two pages", "before its call", "before its call, which says it"])
def test_all_pages_of_a_copy_are_ranked_again_that_were_ranked_before_it_was_known(place):
    """A session held open ranks them as one that is folded anew, however late the result said what it is."""
    given = Given.session(page(1), budget_tokens=4000)
    if place == "with two pages":
        given.when(called(1))
        given.when(page(2, call=1))
    given.when(page(3 if place == "with two pages" else 2, call=1))
    for _ in range(3):
        given.turn()
        index_of(given.state)
    if place == "before its call":
        given.when(called(1))
    elif place == "before its call, which says it":
        given.when(replace(called(1), needs=again(1).needs))
    given.when(again(1))
    anew = fold(given.log)
    assert all(scored(given.state, page) == scored(anew, page) for page in anew.pages.values())
    assert index_of(given.state).contents() == build_index(anew).contents()


def test_a_result_whose_text_was_used_is_no_copy():
    """A need of another kind says nothing of the whole result, nor does the end of a call that is not known."""
    given = Given.session(budget_tokens=4000)
    given.when(called(1, reads=(1,), resources=FILE))
    given.when(about(1, 1, 1))
    given.when(again(1, rule=NeedRule.DATA_FLOW))
    given.when(again(7))
    assert not given.state.calls[1].copied


ENDS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(list(NeedRule)), st.booleans()), max_size=12)


@forall(ENDS)
def test_copies_alone_rank_lower_than_under_the_rule_before(ends):
    """LAW-REUSE-3: `copy_reuse` never ranks a copy above its rank under `exchange_reuse`; other pages rank alike."""
    found = []
    for rule in (Rule.EXCHANGE_REUSE, Rule.COPY_REUSE):
        given = Given.session(profile=attrs.evolve(CLAWVM, rule=rule), budget_tokens=4000)
        given.when(called(1, reads=(1,), resources=FILE))
        given.when(about(1, 1, 1))
        for number, (holder, need_rule, turns) in enumerate(ends, 2):
            given.when(called(number, reads=(1,)))
            need = Need((Holder(f"p{min(holder, number - 1)}"),), need_rule)
            given.when(e.ToolReturned(call=number, status=ReturnStatus.OK, needs=(need,)))
            given.when(about(number, number, 1))
            if turns:
                given.turn()
        found.append([scored(given.state, shown) for shown in given.state.pages.values()])
    copied = [False, *(need_rule is NeedRule.REPEATED_READ for _, need_rule, _ in ends)]
    for before, after, is_copy in zip(*found, copied, strict=True):
        assert after < before if is_copy else after == before


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
    """Nearness and recency at every age, beside the plain model's; and the last age before each falls."""
    reuse, epoch = NEARNESS[Key.REUSE], NEARNESS[Key.EPOCH_REUSE]
    for steps, plain in ((reuse, nearness), (epoch, epoch_nearness), (RECENCY, recency)):
        for age in range(400):
            assert steps.at(age) == plain(age)
            falls = next((later for later in range(age + 1, 1000) if steps.at(later) != steps.at(age)), None)
            assert steps.step(age) == (steps.at(age), None if falls is None else falls - 1)
