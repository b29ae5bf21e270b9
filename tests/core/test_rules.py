"""Selection rules and mechanisms of policies that have no contract, and the thresholds at which a harness acts."""

import attrs
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.lifecycle import due
from clawvm_es.core.profiles import (
    CLAWVM,
    CLAWVM_TURN,
    COMPACTION_HYBRID,
    LRU,
    PROFILES,
    RECORDED,
    RETRIEVAL,
    RETRIEVAL_CACHE,
    fixed,
    profile,
    without,
)
from clawvm_es.errors import UsageError
from clawvm_es.history.refeed import reached
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Trigger
from clawvm_es.model.pages import ABSENT, FULL, POINTER, Author, PageType
from clawvm_es.model.profile import CONTRACT, WEAK, Capability
from clawvm_es.testing.core import Given, need, opened, page
from clawvm_es.testing.strategies import sessions

BASELINES = [RETRIEVAL, RETRIEVAL_CACHE, COMPACTION_HYBRID]


def boundary(given, kind, trigger=Trigger.CALLER):
    """The harness reaches a boundary and writes back what the policy lets it."""
    return given.when(reached(given.state, kind, trigger))


def spoken(number, tokens=20):
    """A message of the user."""
    return page(number, PageType.CONVERSATION, tokens, author=Author.USER)


def test_the_contract_has_all_mechanisms_but_the_weak_ones():
    """`clawvm` and `lru` have the whole contract; what stands in for it is none of it."""
    assert set(CONTRACT) | set(WEAK) == set(Capability)
    assert CLAWVM.capabilities == LRU.capabilities == CONTRACT
    assert not set(CONTRACT) & set(WEAK)


def test_offline_and_unknown_policies_are_wrong_usage():
    """What needs to know the future has no profile, and says where it runs."""
    with pytest.raises(UsageError, match="offline"):
        profile("oracle")
    with pytest.raises(UsageError, match="unknown policy"):
        profile("fifo")


@forall(sessions(tuple(policy for policy in PROFILES.values() if policy is not RECORDED)))
@settings(max_examples=80, deadline=None)
def test_no_rule_exceeds_the_budget(session):
    """LAW-SELECT-1, under every policy that selects; a page stands at a level that it has, unless written anew."""
    state = session.state
    assert all(made.tokens <= made.budget_tokens or not made.pages for made in session.of(e.PromptAssembled))
    standing = {page_id: rank for page_id, rank in state.resident.items() if page_id not in state.rewritten}
    assert all(state.pages[page_id].tokens[rank] >= 0 for page_id, rank in standing.items())


# --------------------------------------------------------------------------------------------- scoring


def test_without_scoring_steps_come_by_page_number():
    """The oldest pages are raised first, whatever their type, size, or use."""
    given = Given.session(profile=without(CLAWVM_TURN, Capability.SCORING), budget_tokens=700)
    for number in range(1, 7):
        given.when(page(number, tokens=300 if number % 2 else 40))
    given.turn()
    given.when(e.ModelResponded(needs=(need(6),)))
    given.turn()
    assert {page_id: rank for page_id, rank in given.state.resident.items() if rank == FULL} == {
        "p1": FULL,
        "p2": FULL,
        "p3": FULL,
        "p4": FULL,
    }
    assert [step[3][0] for step in given.state.index.steps] == sorted(step[3][0] for step in given.state.index.steps)


def test_lru_raises_the_oldest_pages_too_where_there_is_room():
    """Recency ranks pages, it excludes none: a page that nobody used for 70 turns stands if it fits."""
    given = Given.session(page(1, tokens=7), profile=LRU)
    for _ in range(70):
        given.turn()
    assert given.state.resident == {"p1": FULL}


# ------------------------------------------------------------------------------------- fixed bootstrap


@pytest.mark.parametrize("base", BASELINES, ids=lambda p: p.name)
def test_fixed_bootstrap_stands_at_its_floor_after_every_boundary(base):
    """With `fixed_bootstrap` instructions are in every prompt, and no other required page is for that."""
    given = Given.session(profile=fixed(base), budget_tokens=300)
    given.when(page(1, PageType.BOOTSTRAP, 200, author=Author.HARNESS))
    given.when(page(2, PageType.CONSTRAINT, 200, author=Author.HARNESS))
    given.turn()
    for kind in (Boundary.COMPACT, Boundary.RESET, Boundary.PRUNE):
        boundary(given, kind)
        given.turn()
        assert given.state.resident["p1"] >= given.state.required["p1"]
    assert "p2" not in given.state.resident
    assert "post_compaction_bootstrap" not in given.faults()


@pytest.mark.parametrize("base", BASELINES, ids=lambda p: p.name)
def test_without_it_bootstrap_is_lost_at_a_reset_until_retrieved(base):
    """The first assembly after a reset lacks the instructions, and says so; retrieval for a message brings them."""
    given = Given.session(page(1, PageType.BOOTSTRAP, 60), profile=base, budget_tokens=300)
    given.turn()
    boundary(given, Boundary.RESET)
    given.turn()
    assert "post_compaction_bootstrap" in given.faults()
    given.when(spoken(2))
    given.turn(retrieved=("p1",))
    assert given.state.resident["p1"] == FULL


def test_a_bootstrap_that_does_not_fit_is_pressure():
    """What is to be in every prompt and cannot be is reported as pressure, not as a fault."""
    given = Given.session(page(1, PageType.BOOTSTRAP, 900), profile=fixed(RETRIEVAL), budget_tokens=20)
    given.turn()
    (pressure, *_) = given.of(e.InvariantPressureObserved)
    assert pressure.pages == ("p1",) and given.faults() == []
    assert (pressure.required_tokens, pressure.available_tokens) == (given.state.required_sizes["p1"], 20)


# -------------------------------------------------------------------------------------- retrieval cache


def test_a_cache_holds_results_by_last_use_after_what_was_retrieved():
    """Retrieved pages stand first, then tool results in full, those used last first; other pages not at all."""
    given = Given.session(profile=RETRIEVAL_CACHE, budget_tokens=400)
    for number in range(1, 6):
        given.when(page(number, tokens=100))
        given.turn()
    given.when(page(6, PageType.PREFERENCE, 100))
    given.turn()
    given.when(e.ModelResponded(needs=(need(2),)))
    given.turn()
    given.turn(retrieved=("p1",))
    assert given.state.resident == {"p1": FULL, "p2": FULL, "p5": FULL, "p4": FULL}


def test_a_result_that_does_not_fit_is_passed_over():
    """The cache goes on with older results that fit."""
    given = Given.session(page(1, tokens=100), profile=RETRIEVAL_CACHE, budget_tokens=300)
    given.turn()
    given.when(page(2, tokens=290))
    given.turn()
    given.when(page(3, tokens=140))
    given.turn()
    given.turn()
    assert given.state.resident == {"p3": FULL, "p1": FULL}


# ------------------------------------------------------------------------------------------ compaction


def test_a_context_grows_and_nothing_moves_until_it_is_compacted():
    """Pages keep their level from prompt to prompt; arrivals come on top, so that only they are uncached."""
    given = Given.session(page(1, tokens=100), profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.turn()
    for number in range(2, 6):
        given.when(page(number, tokens=100))
        given.turn()
        assert given.state.resident == {f"p{n}": FULL for n in range(1, number + 1)}
        assert given.of(e.PromptAssembled)[-1].uncached_tokens == 100


def test_arrivals_may_take_all_that_an_append_only_context_leaves():
    """There is nothing else to spend the rest on."""
    given = Given.session(page(1, tokens=300), page(2, tokens=600), profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.turn()
    assert given.state.resident == {"p1": FULL, "p2": FULL}


def test_retrieval_adds_pages_only_when_the_user_said_something():
    """A turn that follows on tool results retrieves nothing."""
    given = Given.session(page(1, tokens=100), profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.turn()
    boundary(given, Boundary.RESET)
    given.when(page(2, tokens=20))
    given.turn(retrieved=("p1",))
    assert "p1" not in given.state.resident
    given.when(spoken(3))
    given.turn(retrieved=("p1",))
    assert given.state.resident["p1"] == FULL


def test_a_compaction_leaves_a_summary_and_a_reset_nothing():
    """The newest pages stand at their lowest level, within a tenth of the budget."""
    given = Given.session(profile=COMPACTION_HYBRID, budget_tokens=1000)
    for number in range(1, 7):
        given.when(page(number, tokens=2000 if number == 3 else 90))
        given.turn()
    lowest = {number: given.state.pages[f"p{number}"].tokens[1] for number in range(1, 7)}
    boundary(given, Boundary.COMPACT)
    kept = {page_id for page_id, rank in given.state.resident.items() if rank == 1}
    assert kept == set(given.state.resident) == {f"p{number}" for number in range(1, 7)}
    assert sum(lowest.values()) <= 100
    boundary(given, Boundary.RESET)
    assert given.state.resident == {}


@forall(st.lists(st.tuples(st.sampled_from(PageType), st.integers(1, 400)), max_size=9), st.integers(50, 900))
@settings(max_examples=80, deadline=None)
def test_a_summary_stays_within_its_share(written, budget):
    """Whatever stood in the context, a tenth of the budget holds what a compaction leaves of it."""
    given = Given.session(profile=COMPACTION_HYBRID, budget_tokens=budget)
    for number, (page_type, tokens) in enumerate(written, 1):
        given.when(page(number, page_type, tokens))
        given.turn()
    boundary(given, Boundary.COMPACT)
    state = given.state
    assert sum(state.pages[page_id].tokens[rank] for page_id, rank in state.resident.items()) <= budget // 10


# ----------------------------------------------------------------------------- flushes and thresholds


def test_a_flush_saves_what_a_compaction_would_destroy():
    """With `flush_staging` dirty pages are written back at a flush; those of after are lost at a compaction."""
    given = Given.session(profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.when(page(1, PageType.PLAN, 100, author=Author.MODEL))
    given.turn()
    boundary(given, Boundary.FLUSH)
    given.when(page(2, PageType.PREFERENCE, 100))
    given.turn()
    decisions = boundary(given, Boundary.COMPACT)
    assert [update.field for update in given.of(e.UpdateCommitted)] == ["p1"]
    assert [fault.page_id for fault in decisions if isinstance(fault, e.FaultObserved)] == ["p2"]


@pytest.mark.parametrize("kind", list(Boundary))
def test_what_stages_at_which_boundary(kind):
    """The contract stages at all boundaries, a flush prompt at flush and save, plain retrieval at none."""
    staged = {}
    for policy in (CLAWVM, COMPACTION_HYBRID, RETRIEVAL):
        given = Given.session(page(1, PageType.PLAN, 50), profile=policy)
        boundary(given, kind)
        staged[policy.name] = bool(given.of(e.DirtyPageStaged))
    assert staged == {
        "clawvm": True,
        "compaction_hybrid": kind in (Boundary.FLUSH, Boundary.SAVE),
        "retrieval": False,
    }


def grown(*sizes, page_type=PageType.PREFERENCE, policy=COMPACTION_HYBRID):
    """A session of 1,000 tokens, each page in a turn of its own, but the last one, which has just arrived."""
    given = Given.session(profile=policy)
    for number, tokens in enumerate(sizes, 1):
        if number > 1:
            given.turn()
        given.when(page(number, page_type, tokens))
    return given


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        ((300, 299), None),
        ((300, 300), Boundary.FLUSH),
        ((300, 499), Boundary.FLUSH),
        ((300, 500), Boundary.COMPACT),
        ((900,), Boundary.FLUSH),
    ],
    ids=str,
)
def test_the_harness_acts_by_the_policy_s_thresholds(sizes, kind):
    """Flush at 600 permille, compact at 800, what has just arrived included; an empty context is only flushed."""
    assert due(grown(*sizes).state, 0) is kind


def test_a_jump_past_both_thresholds_is_never_flushed():
    """The threshold-jump race: one large result, and what was dirty is lost."""
    given = grown(100, 800)
    boundary(given, due(given.state, 0), Trigger.THRESHOLD)
    assert given.faults() == ["flush_miss", "flush_miss"]
    assert due(given.state, 0) is None


def test_the_fixed_region_fills_the_context_too():
    """A harness counts its system prompt."""
    given = grown(300, 100)
    assert due(given.state, 0) is None
    assert due(given.state, 400) is Boundary.COMPACT
    assert due(grown(300, 600, policy=CLAWVM).state, 0) is None


def test_a_threshold_of_nothing_is_none():
    """A policy that only compacts never flushes, and one that only flushes never compacts."""
    compacts = attrs.evolve(COMPACTION_HYBRID, flush_permille=0)
    flushes = attrs.evolve(COMPACTION_HYBRID, compact_permille=0)
    assert due(grown(300, 300, policy=compacts).state, 0) is None
    assert due(grown(300, 500, policy=compacts).state, 0) is Boundary.COMPACT
    assert due(grown(300, 900, policy=flushes).state, 0) is Boundary.FLUSH
    assert due(grown(300, 900, policy=attrs.evolve(compacts, compact_permille=0)).state, 10**6) is None


def test_what_is_clean_is_not_flushed():
    """Tool results are in the log: there is nothing to save."""
    assert due(grown(300, 400, page_type=PageType.EVIDENCE).state, 0) is None


def test_a_policy_with_thresholds_does_not_share_a_store():
    """What it commits by itself would have to be synced with the scope first."""
    session = replace(opened(COMPACTION_HYBRID), project="scope:team")
    with pytest.raises(UsageError, match="project"):
        Given().when(session)
    given = Given()
    given.when(replace(session, profile=CLAWVM))
    with pytest.raises(UsageError, match="project"):
        given.when(e.SessionForked("one", given.state.version, "0", COMPACTION_HYBRID))


@pytest.mark.parametrize(
    ("page_type", "author", "asks"),
    [
        (PageType.CONVERSATION, Author.USER, True),
        (PageType.CONVERSATION, Author.MODEL, False),
        (PageType.EVIDENCE, Author.TOOL, False),
        (PageType.EVIDENCE, Author.USER, False),
        (PageType.PREFERENCE, Author.USER, False),
    ],
)
def test_a_retriever_that_is_asked_at_user_messages_is_asked_at_no_other(page_type, author, asks):
    """Of what came since the last assembly only a message of the user brings back what left the prompt."""
    given = Given.session(page(1, tokens=50), profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.turn()
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p1",)))
    assert "p1" not in given.state.resident
    given.when(page(2, page_type, 20, author=author))
    given.turn(retrieved=("p1",))
    assert given.state.resident.get("p1", ABSENT) == (FULL if asks else ABSENT)


def test_a_message_that_was_answered_asks_no_more():
    """A message of the user that comes back by a need is not said again, so the retriever is not asked."""
    given = Given.session(page(1, tokens=50), profile=COMPACTION_HYBRID, budget_tokens=1000)
    given.when(page(2, PageType.CONVERSATION, 20, author=Author.USER))
    given.turn()
    given.when(e.BoundaryReached(Boundary.RESET, Trigger.CALLER))
    given.when(e.ModelResponded(needs=(need(2),)))
    assert "p2" in given.state.arrivals
    given.turn(retrieved=("p1",))
    assert given.state.resident.get("p1", ABSENT) <= POINTER
