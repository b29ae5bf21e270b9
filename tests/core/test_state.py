"""The state itself: its fill, what can stand in a prompt, the time before it was opened, and errors below it."""

import attrs
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from clawvm_es.core.evolve import apply, evolve
from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER, COMPACTION_HYBRID, LRU, RETRIEVAL
from clawvm_es.core.state import UNOPENED, State, known_by
from clawvm_es.errors import JournalDamaged, UnknownEvent
from clawvm_es.model import events as e
from clawvm_es.model.facts import Resource, ResourceClass, RetireReason
from clawvm_es.model.pages import LADDER, PageType, Pin
from clawvm_es.testing.core import Given, page

FILE = ResourceClass.FILE
SIZES = st.lists(st.integers(1, 3000), max_size=6)


@forall(SIZES, st.integers(1, 2500))
def test_fill_is_the_exact_share_of_the_budget_rounded_down(sizes, budget):
    """Arrivals count in full, whatever fits: thousand times their tokens over the budget, to the last permille."""
    given = Given.session(*(page(n, tokens=size) for n, size in enumerate(sizes, 1)), budget_tokens=budget)
    fill = given.state.fill_permille
    assert fill * budget <= sum(sizes) * 1000 < (fill + 1) * budget


@forall(SIZES.filter(bool), st.integers(1, 2500), st.integers(1, 900))
def test_fill_counts_pages_in_the_prompt_at_their_level_and_the_next_ones_in_full(sizes, budget, more):
    """After an assembly each page counts what it stands at; a page written since then counts in full."""
    given = Given.session(*(page(n, tokens=size) for n, size in enumerate(sizes, 1)), budget_tokens=budget)
    given.turn()
    state = given.state
    standing = sum(state.pages[page_id].tokens[rank] for page_id, rank in state.resident.items())
    assert state.fill_permille == standing * 1000 // budget
    given.when(page(len(sizes) + 1, tokens=more))
    assert state.fill_permille == (standing + more) * 1000 // budget


def test_a_budget_of_exactly_the_context_is_filled_to_a_thousand():
    """A full context has a fill of 1000 permille, an empty one of 0, and one without a budget divides by one."""
    assert Given.session(page(1, tokens=700), budget_tokens=700).state.fill_permille == 1000
    assert Given.session(page(1, tokens=1400), budget_tokens=700).state.fill_permille == 2000
    assert State().fill_permille == 0


@pytest.mark.parametrize("policy", [CLAWVM, CLAWVM_PAPER, LRU, RETRIEVAL, COMPACTION_HYBRID], ids=lambda p: p.name)
def test_a_summary_stands_in_no_prompt(policy):
    """A summary records what a harness wrote; we never offer it, though there is room and the turn asks for it."""
    given = Given.session(page(1, PageType.SUMMARY, 10), page(2, tokens=10), profile=policy)
    assert not given.state.holdable(given.state.pages["p1"])
    assert given.state.holdable(given.state.pages["p2"])
    for _ in range(2):
        given.turn(hints=("p1",), retrieved=("p1",))
        assert "p1" not in given.state.resident


@pytest.mark.parametrize("page_type", list(PageType))
def test_all_types_but_summaries_can_stand_in_a_prompt(page_type):
    """What a page may be offered as depends on its type until it is retired."""
    given = Given.session(page(1, page_type, 10))
    assert given.state.holdable(given.state.pages["p1"]) is (page_type is not PageType.SUMMARY)
    given.when(e.PageRetired("p1", RetireReason.WITHDRAWN))
    assert not given.state.holdable(given.state.pages["p1"])


def test_a_state_that_was_not_opened_has_no_policy():
    """Before `session_opened` nothing is allowed, weighed or bounded: every number of the policy is 0."""
    numbers = [value for value in attrs.astuple(UNOPENED) if isinstance(value, int)]
    weights = attrs.astuple(UNOPENED.weights)
    assert set(numbers) == set(weights) == {0}
    assert UNOPENED.capabilities == () and State().capabilities == frozenset()
    counters = {f.name: getattr(State(), f.name) for f in attrs.fields(State) if f.type == "int"}
    assert counters.pop("assembled_fixed") == -1
    assert set(counters.values()) == {0}


class Unreadable(dict):
    """Pages that are read when they are looked at, from a log that does not have their event."""

    def __getitem__(self, key):
        raise UnknownEvent("event 3 of session s is of a type that this program does not know")


def test_an_error_of_the_log_stays_itself_while_an_event_is_folded():
    """What a page's event turns out to be when it is read is no misfit of the event that looks at the page."""
    state = Given.session(page(1)).state
    state.pages = Unreadable(state.pages)
    with pytest.raises(UnknownEvent, match="event 3 of session s"):
        apply(state, e.PagePinned("p1", Pin.HARD))


@pytest.mark.parametrize("fold", [apply, evolve])
def test_an_event_that_cannot_follow_is_damage_and_names_its_place(fold):
    """An event about a page that never was is told by its version and its type."""
    with pytest.raises(JournalDamaged, match=r"event 4, a page_pinned, does not fit .* KeyError\('p9'\)"):
        fold(Given.session(page(1), page(2)).state, e.PagePinned("p9", Pin.HARD))


@pytest.mark.parametrize("page_type", list(PageType))
def test_a_page_has_one_entry_for_each_level(page_type):
    """By rank, absent to full, go tokens, bodies, builders and tags; what is not kept is -1 and names no body."""
    known = Given.session(page(1, page_type, 500)).state.pages["p1"]
    assert {len(each) for each in (known.tokens, known.bodies, known.builders)} == {len(LADDER)}
    for rank, level in enumerate(LADDER):
        kept = level in {found.level for found in page(1, page_type, 500).levels}
        assert (known.tokens[rank] > 0, known.bodies[rank] is not None) == (kept, kept)
        assert known.tag(rank) == f"p1.1.{rank}"
    assert known.tokens[0] == 0


def test_keys_that_occur_first_are_known_by_their_number():
    """A handle that resumes finds the ordinals of signatures and resources again, by short names of their keys."""
    given = Given.session()
    file, other = ("ab" * 32), ("cd" * 32)
    given.when(e.ToolCalled(1, "read", other, signature=1, signature_key=file, resources=(Resource(FILE, other),)))
    given.when(e.ToolCalled(2, "read", other, signature=2, signature_key=other, resources=(Resource(FILE, file),)))
    assert given.state.signature_keys == {1: known_by(file), 2: known_by(other)}
    assert given.state.resource_keys == {1: known_by(other), 2: known_by(file)}
