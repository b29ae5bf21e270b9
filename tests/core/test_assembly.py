"""What an assembly decides beside its selection: changes and their order, reasons, totals and the uncached part."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import example, settings
from hypothesis import given as forall
from hypothesis import strategies as st

from clawvm_es.core import evolve
from clawvm_es.core.layout import by_turn
from clawvm_es.core.profiles import CLAWVM_PAPER, CLAWVM_TURN, COMPACTION_HYBRID, LRU_TURN
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT, RANK, PageType
from clawvm_es.testing.core import Given, opened, page

TYPES = [PageType.EVIDENCE, PageType.CONVERSATION, PageType.CONSTRAINT, PageType.PREFERENCE, PageType.PLAN]
PAGES = st.lists(st.tuples(st.sampled_from(TYPES), st.integers(1, 200)), min_size=1, max_size=14)
TURNS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([40, 150, 400, 2_000]), st.sampled_from([0, 0, 30])),
    min_size=1,
    max_size=5,
)
"""How many pages are written anew before a turn, its budget, and its fixed region."""


def turns(pages, changes, policy, directory):
    """Play the turns; yields each turn's state before, its decisions, and the state after."""
    given = Given()
    given.when(opened(policy, 1_000, directory))
    for number, (page_type, tokens) in enumerate(pages, 1):
        given.when(page(number, page_type, tokens))
    for anew, budget, fixed in changes:
        if budget != given.state.budget_tokens:
            given.when(e.BudgetChanged(budget))
        for number, (page_type, tokens) in enumerate(pages[:anew], 1):
            given.when(page(number, page_type, tokens + 1))
        before = given.state.copy()
        decisions = given.turn(fixed_tokens=fixed)
        yield before, fixed, decisions, given.state


CROWDED = [(PageType.EVIDENCE, 200)] * 12
"""Pages whose pointers alone do not fit a small budget, so that the directory line stands for some."""
POLICIES = st.sampled_from([CLAWVM_TURN, CLAWVM_PAPER, LRU_TURN, COMPACTION_HYBRID])


@forall(PAGES, TURNS, POLICIES, st.sampled_from([0, 20]))
@example(CROWDED, [(0, 40, 0), (2, 40, 0), (0, 2_000, 0), (0, 40, 0)], CLAWVM_TURN, 20)
@settings(max_examples=60, deadline=None)
def test_changes_say_how_the_prompt_became_what_it_is(pages, changes, policy, directory):
    """Each page whose level differs, once: first those that leave, then the others, in the prompt's order."""
    for before, _, decisions, after in turns(pages, changes, policy, directory):
        made = [event for event in decisions if isinstance(event, e.RepresentationChanged)]
        differing = {
            page_id
            for page_id in (before.resident | after.resident)
            if before.resident.get(page_id, ABSENT) != after.resident.get(page_id, ABSENT)
        }
        assert {change.page_id for change in made} == differing and len(made) == len(differing)
        keys = [(RANK[change.after] != ABSENT, after.place(change.page_id)) for change in made]
        assert keys == sorted(keys)
        for change in made:
            was, now = before.resident.get(change.page_id, ABSENT), after.resident.get(change.page_id, ABSENT)
            assert (RANK[change.before], RANK[change.after]) == (was, now)
            assert (change.reason is ChangeReason.EVICTED) is (now == ABSENT)
            assert change.reason is not ChangeReason.FLOOR or now >= before.required[change.page_id]
            assert change.reason is not ChangeReason.RAISED or now > was
            assert change.reason is not ChangeReason.LOWERED or now < was
            assert change.reason is not ChangeReason.ARRIVAL or change.page_id in before.arrivals


@forall(PAGES, TURNS, POLICIES, st.sampled_from([0, 20]))
@example(CROWDED, [*[(0, 40, 0)] * 4, (2, 40, 0), (0, 40, 3)], CLAWVM_TURN, 20)
@settings(max_examples=60, deadline=None)
def test_totals_are_those_of_the_pieces(pages, changes, policy, directory):
    """The fixed region, every page at its level, and what the directory line reserves whether it stands or not."""
    last = None
    for before, fixed, decisions, after in turns(pages, changes, policy, directory):
        (made,) = (event for event in decisions if isinstance(event, e.PromptAssembled))
        standing = {page_id: after.pages[page_id].tokens[rank] for page_id, rank in after.resident.items()}
        assert made.directory_tokens in (0, directory)
        assert made.tokens == fixed + sum(standing.values()) + made.directory_tokens
        assert (made.pages, made.budget_tokens) == (len(standing), after.budget_tokens)
        hidden = after.present - len(standing)
        assert after.assembled_directory == (hidden if made.directory_tokens else 0)
        line = [str(hidden)] if hidden and made.directory_tokens else []
        assert [tag for tag in after.assembled_tags if "." not in tag] == line
        assert made.digest == sha256("\n".join(after.assembled_tags).encode()).hexdigest()
        sizes = [
            standing[tag.partition(".")[0]] if "." in tag else made.directory_tokens for tag in after.assembled_tags
        ]
        if last is None or fixed != last:
            cached = 0
        elif after.assembled_tags == before.assembled_tags:
            cached = made.tokens
        else:
            same = [now == was for now, was in zip(after.assembled_tags, before.assembled_tags, strict=False)]
            cached = fixed + sum(sizes[: [*same, False].index(False)])
        assert made.uncached_tokens == made.tokens - cached
        last = fixed


def test_of_pages_that_are_raised_floored_and_lowered_the_reason_is_told():
    """A required page at its floor is floored, whichever way it came there; others are raised or lowered."""
    given = Given.session(
        page(1, PageType.CONSTRAINT, 400),
        *(page(n, tokens=100) for n in (2, 3)),
        profile=CLAWVM_TURN,
        budget_tokens=1_000,
    )
    given.turn()
    reasons = {}
    for budget in (60, 330, 1_000):
        given.when(e.BudgetChanged(budget))
        for event in given.turn():
            if isinstance(event, e.RepresentationChanged):
                reasons.setdefault(event.page_id, []).append(str(event.reason))
    assert reasons["p1"] == ["floor", "raised"]
    assert set(reasons["p2"]) <= {"evicted", "lowered", "raised"} and "raised" in reasons["p2"]


@pytest.mark.parametrize("policy", [CLAWVM_TURN, COMPACTION_HYBRID], ids=lambda policy: policy.name)
def test_a_fold_after_its_assembly_lays_nothing_out_again(policy, monkeypatch):
    """Whether the policy ranks pages or not, what its assembly found is at hand; another fold comes to the same."""
    given = Given()
    given.when(opened(policy, 1_000, 20))
    given.when(page(1, PageType.EVIDENCE, 40))
    apart = given.state.copy()
    laid: list[object] = []
    monkeypatch.setattr(evolve, "by_turn", lambda *asked: laid.append(asked) or by_turn(*asked))
    decided = given.turn()
    assert not laid
    for event in (e.TurnBegan(0), *decided):
        evolve.apply(apart, event)
    assert len(laid) == 1 and apart == given.state and apart.assembled_tags
