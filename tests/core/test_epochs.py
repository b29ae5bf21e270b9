"""Paging in epochs: what a prompt keeps between them, what begins one, and what events in the middle of one do."""

from __future__ import annotations

import math
from fractions import Fraction

import attrs
import pytest
from hypothesis import assume, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.epochs import arrivals, room_of
from clawvm_es.core.evolve import apply, fold
from clawvm_es.core.layout import content_of, shown
from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER, CLAWVM_TURN, LRU, RECORDED, in_epochs, without
from clawvm_es.core.ranking import build_index, index_of
from clawvm_es.core.state import State
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    ChangeReason,
    Cut,
    Entry,
    EpochTrigger,
    PressureReason,
    RecallOutcome,
    RedactReason,
    RetireReason,
    Trigger,
)
from clawvm_es.model.pages import ABSENT, FULL, RANK, Author, Fidelity, PageType, Pin
from clawvm_es.model.profile import Capability, Paging, Rule
from clawvm_es.testing.core import Given, need, opened, page

HASH = "0" * 64
FORCED, HIGH, COLD, RENT = EpochTrigger.FORCED, EpochTrigger.HIGH, EpochTrigger.COLD, EpochTrigger.RENT
POLICIES = st.sampled_from([CLAWVM, LRU, in_epochs(CLAWVM_PAPER)])
TYPES = st.sampled_from([PageType.EVIDENCE] * 4 + [PageType.CONVERSATION, PageType.PREFERENCE])


def prompts(given):
    """Everything that was assembled so far."""
    return given.of(e.PromptAssembled)


def last(given):
    """The newest of it."""
    return prompts(given)[-1]


def tags(state):
    """What a layout shows, piece by piece."""
    return [piece.tag for piece in shown(state) if piece.content is not None]


def running(budget=3_000, profile=CLAWVM, pages=6, tokens=100, directory=0):
    """A session in the middle of an epoch: a rule, a plan, and results that came one a turn."""
    given = Given()
    given.when(opened(profile, budget, directory))
    given.when(page(1, PageType.CONSTRAINT, 60))
    given.when(page(2, PageType.PLAN, 80))
    for number in range(3, 3 + pages):
        given.when(page(number, tokens=tokens))
        given.turn()
    return given


@st.composite
def middles(draw, policies=POLICIES):
    """A session of any sizes in the middle of an epoch."""
    budget, profile = draw(st.integers(1_500, 4_000)), draw(policies)
    given = running(
        budget, profile, draw(st.integers(2, 8)), draw(st.integers(20, 250)), draw(st.sampled_from([0, 40]))
    )
    for number in range(draw(st.integers(0, 3))):
        given.when(page(len(given.state.pages) + 1, draw(TYPES), draw(st.integers(5, 200))))
        if number:
            given.turn()
    assume(last(given).trigger is None)
    return given


def laws(given):
    """LAW-SELECT-1 and -2, LAW-EPOCH-1 and -2, LAW-LAYOUT-1, held against every prompt of a session."""
    state, began = State(), None
    for event in given.log:
        before = state.copy() if isinstance(event, e.TurnBegan) else None
        apply(state, event)
        if before is not None:
            began, known, turn = before, tags(before) if before.in_epochs else [], event
        if isinstance(event, e.PromptAssembled) and state.in_epochs:
            follows(state, began, known, turn, event, given)


def follows(state, before, known, turn, made, given):
    """The laws for one prompt: `known` is what the layout showed `before`."""
    assert made.tokens <= made.budget_tokens or not made.pages
    named = {page_id for each in given.of(e.InvariantPressureObserved) for page_id in each.pages}
    for page_id, floor in state.required.items():
        newest = [entry for entry in state.entries.values() if entry.page_id == page_id][-1:]
        stands = newest and newest[0].content_version == state.pages[page_id].content_version
        assert (stands and RANK[newest[0].level] >= floor) or page_id in named
    for page_id, rank in state.resident.items():
        entry = state.entries[state.standing[page_id]]
        assert (RANK[entry.level], entry.content_version) == (rank, state.pages[page_id].content_version)
    assert made.stale_tokens == state.sent - sum(state.entries[at].tokens for at in state.standing.values())
    new = sum(entry.tokens for entry in made.entries)
    room = made.budget_tokens - turn.fixed_tokens - made.directory_tokens
    if made.trigger is None and room > 0:
        assert tags(state)[: len(known)] == known
        assert made.uncached_tokens == new + made.directory_tokens
        low = room * state.profile.low_permille // 1000
        profile, mark = state.profile, max(low, before.required_tokens)
        due = profile.rent_permille * (profile.write_price - profile.read_price) * mark // 1000
        assert state.sent <= low or before.rent < due
    elif made.trigger is not None:
        assert made.epoch == before.epoch + 1 and state.stale == 0


# ------------------------------------------------------------------------------------------- triggers


def test_between_epochs_a_prompt_only_grows_at_its_end():
    """What came first stays first; a turn costs what arrived, and the rest is served from the cache."""
    given = running()
    assert [made.trigger for made in prompts(given)] == [FORCED] + [None] * 5
    assert tags(given.state) == ["p1.1.4", "p3.1.4", "p2.1.4", "p4.1.4", "p5.1.4", "p6.1.4", "p7.1.4", "p8.1.4"]
    assert [(made.uncached_tokens, made.cached_tokens) for made in prompts(given)[1:]] == [
        (100, 240 + 100 * turn) for turn in range(5)
    ]
    laws(given)


def test_an_epoch_begins_when_the_budget_is_full_and_keeps_what_its_mark_allows():
    """An epoch keeps the highest ranks up to 30 % of the budget, and appends arrivals in full."""
    given = running(1_000, pages=12)
    made = [each for each in prompts(given) if each.trigger is HIGH]
    assert made and all(each.tokens <= 300 + 100 for each in made)
    assert all(each.entries[-1].level is Fidelity.FULL for each in made)
    laws(given)


def test_the_rent_of_what_is_above_the_mark_begins_an_epoch():
    """It grows by the reading price each turn and counts from 0 at an epoch; at the threshold it pays to select."""
    given = running(1_000, pages=8)
    seen = []
    while last(given).trigger is not RENT:
        seen.append(last(given).rent)
        given.turn()
    above = given.log and [made.tokens for made in prompts(given) if made.trigger is None][-1] - 300
    assert seen[-1] - seen[-2] == 100 * above and seen[-1] >= 3_000 * (1_250 - 100) * 300 // 1000 > seen[-2]
    assert (last(given).rent, last(given).tokens <= 300) == (0, True)
    laws(given)


@pytest.mark.parametrize(("idle", "trigger", "cached"), [(None, None, 640), (0, None, 640), (300, None, 640)])
def test_a_warm_cache_is_kept(idle, trigger, cached):
    """A pause up to what the provider holds a prefix for changes nothing, nor one that nobody knows."""
    given = running(1_000, pages=5)
    given.turn(idle_s=idle)
    assert (last(given).trigger, last(given).cached_tokens) == (trigger, cached)


def test_a_cold_cache_begins_an_epoch_under_a_lower_mark():
    """Nothing is lost by selecting then, so that less is kept; a layout below L stays, and is paid for anew."""
    given = running(1_000, pages=5)
    given.turn(idle_s=301)
    assert (last(given).trigger, last(given).cached_tokens) == (COLD, 0)
    assert last(given).tokens <= 210 + 140  # the floors, and what they leave of Lc
    before = tags(given.state)
    given.turn(idle_s=10_000)
    assert (last(given).trigger, last(given).cached_tokens, last(given).uncached_tokens) == (None, 0, 0)
    assert tags(given.state) == before
    laws(given)


@forall(st.lists(st.sampled_from([None, 0, 299, 300, 301, 2**40]), min_size=1, max_size=8), middles())
@settings(max_examples=25, deadline=None)
def test_whatever_the_clock_says_the_laws_hold(idles, given):
    """A clock that jumps or is missing changes when epochs begin and what is taken to be cached, nothing else."""
    for number, idle in enumerate(idles):
        if number % 2:
            given.when(page(len(given.state.pages) + 1, tokens=90))
        given.turn(idle_s=idle)
        assert idle is not None or last(given).trigger is not COLD
        assert last(given).cached_tokens == 0 or not (idle or 0) > 300
    laws(given)


OTHERS = {
    "the fixed region grew": {"fixed_tokens": 8},
    "the fixed region is another": {"fixed_tokens": 7, "fixed": "1" * 64},
    "the model is another": {"fixed_tokens": 7, "model": 2},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_where_the_whole_prefix_is_lost_an_epoch_begins(other):
    """Another fixed region or model is the cheapest moment: nothing of the prompt before is cached."""
    given = running()
    given.turn(fixed_tokens=7, fixed=HASH, model=1)
    given.turn(fixed_tokens=7)
    assert last(given).trigger is None  # neither was told, so that neither is another
    given.turn(**other)
    made = last(given)
    assert (made.trigger, made.cached_tokens, made.uncached_tokens) == (FORCED, 0, made.tokens)
    given.turn(**other)
    assert last(given).trigger is None
    laws(given)


# ------------------------------------------------------------------------- events in the middle of one


@forall(middles(), st.integers(5, 300), st.data())
@settings(max_examples=30, deadline=None)
def test_a_rewritten_page_arrives_and_its_old_copy_goes_stale(given, tokens, data):
    """The old copy is sent on, and meets no need; the new one stands at the end."""
    number = data.draw(st.integers(3, len(given.state.pages)))
    known = given.state.pages[f"p{number}"]
    stood = known.page_id in given.state.resident
    was = given.state.entries[given.state.standing[known.page_id]].tokens if stood else 0
    given.when(page(number, known.page_type, tokens))
    before = tags(given.state)
    assert not given.state.stands(known.page_id, FULL)
    given.turn()
    if last(given).trigger is None:
        assert tags(given.state)[: len(before)] == before and tags(given.state)[-1].startswith(f"p{number}.")
        assert last(given).stale_tokens >= was
    if last(given).trigger is None and stood:
        old = next(entry for entry in given.state.entries.values() if entry.page_id == known.page_id)
        assert content_of(given.state, old).bodies == known.bodies
    assert given.state.resident[known.page_id] >= ABSENT + 1
    laws(given)


@forall(middles(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_retired_result_stays_as_stale_tokens_and_is_never_resident(given, data):
    """Its text is sent on, so that the cache holds; the page is absent and comes in no later prompt."""
    page_id = data.draw(st.sampled_from(sorted(given.state.resident, key=lambda p: int(p[1:]))[2:]))
    tokens = given.state.entries[given.state.standing[page_id]].tokens
    before = tags(given.state)
    given.when(e.PageRetired(page_id, RetireReason.DONE))
    assert page_id not in given.state.resident and tags(given.state) == before
    given.turn()
    if last(given).trigger is None:
        assert last(given).stale_tokens >= tokens
    else:
        assert not any(tag.startswith(f"{page_id}.") for tag in tags(given.state))
    laws(given)


@pytest.mark.parametrize("number", [1, 2])
@forall(given=middles())
@settings(max_examples=12, deadline=None)
def test_a_retired_rule_or_plan_begins_an_epoch(number, given):
    """It must not be read on as if it were in force."""
    given.when(e.PageRetired(f"p{number}", RetireReason.WITHDRAWN))
    given.turn()
    assert last(given).trigger is FORCED
    assert not any(tag.startswith(f"p{number}.") for tag in tags(given.state))
    laws(given)


@pytest.mark.parametrize(
    ("after", "trigger"),
    [
        (page(2, PageType.PLAN, 70), None),
        (page(2, PageType.PLAN, 70, active=False), FORCED),
        (page(2, PageType.EVIDENCE, 70), FORCED),
    ],
    ids=["changed", "ended", "a plan no longer"],
)
def test_a_changed_plan_is_an_arrival_and_one_that_ended_begins_an_epoch(after, trigger):
    """A new version stands at the end; that the old one is no longer in force has to show."""
    given = running()
    given.when(after)
    given.turn()
    assert last(given).trigger is trigger
    assert (tags(given.state)[-1], "p2.1.4" in tags(given.state)) == ("p2.2.4", trigger is None)
    laws(given)


@forall(middles(), st.data())
@settings(max_examples=30, deadline=None)
def test_an_erased_text_leaves_with_its_event_and_the_next_prompt_begins_an_epoch(given, data):
    """No entry shows it any more, whether by its page, by a commitment, or in an older copy of a page."""
    number = data.draw(st.integers(3, len(given.state.pages)))
    page_id, old = f"p{number}", given.state.pages[f"p{number}"].bodies[FULL]
    again = data.draw(st.booleans())
    if again:
        given.when(page(number, tokens=61))
        given.turn()
    stood = any(content_of(given.state, entry).bodies[FULL] == old for entry in given.state.entries.values())
    gone = () if again else (page_id,)
    given.when(e.ContentRedacted(RedactReason.REQUEST, (old,), gone))
    assert all(
        content_of(given.state, entry).bodies[RANK[entry.level]] != old for entry in given.state.entries.values()
    )
    given.turn()
    assert last(given).trigger is FORCED or not stood
    laws(given)


@forall(middles(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_pinned_page_is_appended_at_its_floor_and_an_unpinned_one_stays(given, data):
    """A pin asks for no more than the floor; what stands there already is not sent twice."""
    page_id = data.draw(st.sampled_from(sorted(given.state.pages)))
    stood = given.state.resident.get(page_id, ABSENT)
    given.when(e.PagePinned(page_id, Pin.HARD))
    floor = given.state.required[page_id]
    arrives = page_id in given.state.arrivals
    given.turn()
    added = {entry.page_id: RANK[entry.level] for entry in last(given).entries}
    if last(given).trigger is None and not arrives:
        assert added.get(page_id) == (floor if stood < floor else None)
    given.when(e.PagePinned(page_id, Pin.NONE))
    before = tags(given.state)
    given.turn()
    assert last(given).trigger is not None or tags(given.state) == before
    laws(given)


@forall(middles(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_hinted_pages_are_appended_while_they_fit_and_never_begin_an_epoch(given, numbers):
    """A page that the user names comes in full, unless it stands there or the budget is full."""
    hints = tuple(f"p{number}" for number in dict.fromkeys(numbers) if f"p{number}" in given.state.pages)
    stood = {page_id for page_id in hints if given.state.stands(page_id, FULL)}
    twin = Given(given.state.copy())
    given.turn(hints=hints)
    twin.turn()
    assert (last(given).trigger is HIGH) is (last(twin).trigger is HIGH)
    if last(given).trigger is None:
        added = [entry.page_id for entry in last(given).entries]
        room = last(given).budget_tokens - last(given).tokens
        for page_id in hints:
            assert page_id in stood or page_id in added or given.state.pages[page_id].full_tokens > room
            assert page_id not in stood or page_id not in added
    laws(given)


@forall(middles(), st.data(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_arrives_costs_what_it_is_told_to_cost(given, data, presses):
    """Each page comes once, at its own size; without a press hints come only as far as all of it fits."""
    numbers = st.integers(1, len(given.state.pages))
    for number in data.draw(st.lists(numbers, max_size=3, unique=True)):
        given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=(f"p{number}",)))
        given.when(e.PagePinned(f"p{number}", Pin.HARD))
    turn = e.TurnBegan(hints=tuple(f"p{number}" for number in data.draw(st.lists(numbers, max_size=5))))
    room = room_of(given.state, turn)._replace(tokens=data.draw(st.integers(0, 4_000)))
    found, tokens = arrivals(given.state, turn, room, presses)
    assert len({each.page_id for each in found}) == len(found)
    sizes = {each.page_id: given.state.pages[each.page_id].tokens[each.rank] for each in found}
    assert tokens == sum(sizes.values())
    hinted = [each for each in found if each.reason is ChangeReason.HINT]
    if hinted and not presses:
        upto = found[: found.index(hinted[-1]) + 1]
        assert given.state.sent + sum(sizes[each.page_id] for each in upto) <= room.tokens
    if presses:
        left = {page_id for page_id in turn.hints if not given.state.stands(page_id, FULL)}
        assert {page_id for page_id in left if given.state.holdable(given.state.pages[page_id])} <= sizes.keys()


@pytest.mark.parametrize(
    ("profile", "comes"),
    [(CLAWVM, [("p3", Fidelity.STRUCTURED)]), (without(CLAWVM, Capability.FLOORS), [])],
    ids=["with floors", "without"],
)
@pytest.mark.parametrize("hints", [("p3",), ()], ids=["hinted", "not hinted"])
def test_a_pinned_page_that_is_too_large_comes_at_its_floor_where_there_are_floors(hints, profile, comes):
    """A hint asks for what has no room; the pin's floor comes with it or without, and no epoch begins."""
    given = running(profile=profile, pages=0)
    given.when(page(3, tokens=2_500))
    for number in range(4, 13):
        given.when(page(number, tokens=300))
        given.turn()
    assert given.state.resident.get("p3", ABSENT) < RANK[Fidelity.STRUCTURED]
    given.when(e.PagePinned("p3", Pin.HARD))
    given.turn(hints=hints)
    added = [(entry.page_id, entry.level) for entry in last(given).entries]
    assert (last(given).trigger, added) == (None, comes)
    if comes:
        laws(given)


@forall(middles(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_page_that_is_paged_in_is_appended_in_full(given, data):
    """A need that the prompt does not meet, or a recall, brings the page to the end, once."""
    page_id = data.draw(st.sampled_from(sorted(given.state.pages)[2:] or ["p3"]))
    given.when(e.PageRetired("p3", RetireReason.DONE)) if page_id == "p3" else None
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=(page_id,)))
    given.turn()
    stood = given.state.stands(page_id, FULL)
    given.when(e.RecallAnswered(given.state.recalls + 1, RecallOutcome.OK, HASH, (page_id,)))
    given.turn()
    if last(given).trigger is None and given.state.holdable(given.state.pages[page_id]):
        assert given.state.resident[page_id] == FULL
        assert (page_id in [entry.page_id for entry in last(given).entries]) is not stood
    laws(given)


def test_a_miss_pays_for_the_page_once():
    """What was paged in is resident from the next prompt on, and a hit."""
    given = running()
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p4",)))
    (found,) = given.when(e.ModelResponded(needs=(need(4),)))
    assert found.TYPE == "page_resolved"
    given.turn()
    assert (last(given).trigger, last(given).uncached_tokens, last(given).stale_tokens) == (None, 100, 100)
    assert given.when(e.ModelResponded(needs=(need(4),)))[0].TYPE == "page_used"
    laws(given)


@pytest.mark.parametrize(("pages", "trigger"), [(2, None), (3, FORCED)])
def test_a_pruning_of_more_than_a_quarter_of_the_mark_begins_an_epoch(pages, trigger):
    """Less stays as stale tokens: 2 or 3 pages of 100, where a quarter of L is 281."""
    given = running()
    pruned = tuple(f"p{number}" for number in range(3, 3 + pages))
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=pruned))
    assert not set(pruned) & set(given.state.resident)
    given.turn()
    assert last(given).trigger is trigger
    assert last(given).stale_tokens == (0 if trigger else 100 * pages)
    laws(given)


def test_a_pruning_takes_nothing_out_that_is_required():
    """It would stand in the layout all the same, and at an epoch its floor is held."""
    given = running()
    given.when(e.PagePinned("p4", Pin.HARD))
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.CALLER, pages=("p4", "p5")))
    assert "p4" in given.state.resident and "p5" not in given.state.resident


@pytest.mark.parametrize(
    ("reached", "trigger"),
    [
        (e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER), FORCED),
        (e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, cut=Cut.COMPACT, left=("p3",)), None),
        (e.BoundaryReached(Boundary.RESET, Trigger.CALLER), FORCED),
        (e.BoundaryReached(Boundary.RESET, Trigger.RECORDED, cut=Cut.CLEAR, left=("p3",)), FORCED),
        (e.BoundaryReached(Boundary.RESET, Trigger.RECORDED, cut=Cut.REWIND, left=("p3",)), FORCED),
        (e.BoundaryReached(Boundary.RESET, Trigger.RECORDED, cut=Cut.REWIND, left=("p9",)), None),
        (e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, cut=Cut.MICRO, pages=("p3",)), None),
        (e.BoundaryReached(Boundary.FLUSH, Trigger.CALLER), None),
        (e.BoundaryReached(Boundary.SAVE, Trigger.CALLER), None),
    ],
    ids=lambda each: f"{each.boundary} {each.trigger} {each.cut}" if isinstance(each, e.BoundaryReached) else "",
)
def test_boundaries_that_cut_the_context_begin_an_epoch(reached, trigger):
    """A live compaction, a reset, a clear, a rewind of what was sent; a recorded compaction lowers nothing."""
    given = running()
    given.when(page(9))
    before = dict(given.state.resident)
    given.when(reached)
    if trigger is None:
        assert given.state.resident == before
    given.turn()
    assert last(given).trigger is trigger
    laws(given)


@forall(middles(), st.integers(1, 4_000))
@settings(max_examples=40, deadline=None)
def test_a_changed_budget_begins_an_epoch_only_where_the_layout_no_longer_fits(given, budget):
    """More room changes nothing; less forces an epoch if what is to be sent does not fit, and never exceeds it."""
    new = sum(given.state.pages[page_id].full_tokens for page_id in given.state.arrivals)
    needed = given.state.sent + new + given.state.opened.directory_tokens
    given.when(e.BudgetChanged(budget))
    given.turn()
    assert (last(given).trigger is FORCED) is (needed > budget)
    laws(given)


@forall(middles(), st.sampled_from([CLAWVM, LRU, CLAWVM_TURN, CLAWVM_PAPER, RECORDED]))
@settings(max_examples=30, deadline=None)
def test_a_changed_profile_begins_an_epoch(given, profile):
    """Even the same profile, adopted again; a policy that pages by turn or as recorded has no layout, and back."""
    given.when(e.SettingsAdopted(profile))
    given.turn()
    assert given.state.in_epochs is (profile.paging is Paging.EPOCHS and profile is not RECORDED)
    assert bool(given.state.entries) is given.state.in_epochs
    assert not given.state.in_epochs or last(given).trigger is FORCED
    given.when(e.SettingsAdopted(CLAWVM, 2_000))
    given.turn()
    assert last(given).trigger is FORCED and given.state.entries
    laws(given)


@forall(middles(), st.integers(4_100, 20_000))
@settings(max_examples=20, deadline=None)
def test_an_arrival_larger_than_the_budget_is_degraded_as_in_a_single_turn(given, tokens):
    """It stands as far as it fits, the epoch is the selection of one turn, and nothing exceeds the budget."""
    given.when(page(len(given.state.pages) + 1, tokens=tokens))
    given.turn()
    made = last(given)
    assert (made.trigger, made.tokens <= made.budget_tokens) == (HIGH, True)
    assert all(entry.tokens <= made.budget_tokens for entry in made.entries)
    laws(given)


@forall(middles(st.just(CLAWVM)), st.data())
@settings(max_examples=30, deadline=None)
def test_an_epoch_with_a_large_arrival_leaves_room_for_the_next_turn(given, data):
    """LAW-EPOCH-3: an epoch sends arrivals in full and leaves half of the rest free, so that no epoch follows."""
    given.turn()
    free, number = last(given).budget_tokens - last(given).tokens, len(given.state.pages) + 1
    room = free + given.state.sent - given.state.required_tokens
    assume(free + 1 < room)
    tokens = data.draw(st.integers(free + 1, room - 1))
    given.when(page(number, tokens=tokens))
    given.turn()
    made = last(given)
    assert (made.trigger, made.entries[-1]) == (HIGH, Entry(f"p{number}", 1, Fidelity.FULL, tokens))
    given.when(page(number + 1, tokens=(room - tokens) // 2 or 1))
    given.turn()
    assert last(given).trigger is None
    laws(given)


@pytest.mark.parametrize(("profile", "again"), [(CLAWVM, None), (attrs.evolve(CLAWVM, rule=Rule.REUSE), HIGH)])
def test_a_tight_epoch_is_followed_by_another_only_under_rules_that_leave_no_room(profile, again):
    """Beside an arrival of most of the budget, `reuse` fills its mark as it did, and the next arrival begins one."""
    given = running(1_000, profile, pages=10, tokens=40)
    for number, tokens in ((13, 600), (14, 130)):
        given.when(page(number, tokens=tokens))
        given.turn()
    assert [made.trigger for made in prompts(given)][-2:] == [HIGH, again]
    laws(given)


def test_without_room_nothing_is_sent_and_that_is_pressure():
    """A fixed region as large as the budget empties the layout once; with room again an epoch begins."""
    given = running(directory=40)
    for epoch in (2, 2):
        decided = given.turn(fixed_tokens=2_990)
        made = last(given)
        assert (made.pages, made.entries, made.tokens, made.epoch) == (0, (), 2_990, epoch)
        assert [each.reason for each in decided if isinstance(each, e.InvariantPressureObserved)] == [
            PressureReason.FLOORS
        ]
        assert given.state.resident == {} and not given.faults()
    given.turn()
    assert (last(given).trigger, given.state.required.keys() <= given.state.resident.keys()) == (FORCED, True)
    laws(given)


@pytest.mark.parametrize(("room", "again"), [(0, FORCED), (1, None)])
def test_a_single_token_is_room(room, again):
    """After a prompt with one token of room nothing forces the next epoch; after one without room, more room does."""
    given = Given()
    given.when(opened(CLAWVM, 1_000, 40))
    given.when(page(1, tokens=100))
    given.turn()
    given.turn(fixed_tokens=960 - room)
    assert not last(given).pages
    given.when(e.BudgetChanged(1_000 + (not room)))
    given.turn(fixed_tokens=960 - room)
    assert last(given).trigger is again
    laws(given)


def test_what_arrives_without_room_is_named():
    """Pages that could not come are told beside the rules that could not stand."""
    given = Given()
    given.when(opened(CLAWVM, 30, 40))
    given.when(page(1, PageType.CONSTRAINT, 60))
    given.when(page(2, tokens=50))
    reasons = {each.reason: each.pages for each in given.turn() if isinstance(each, e.InvariantPressureObserved)}
    assert reasons == {PressureReason.FLOORS: ("p1",), PressureReason.ARRIVALS: ("p2",)}
    given.when(e.BudgetChanged(500))
    given.turn()
    assert given.state.resident == {"p1": FULL, "p2": FULL}


def test_a_page_rewritten_as_what_no_prompt_shows_leaves_as_stale_tokens():
    """A harness's summary is shown by no policy that selects."""
    given = running()
    given.when(page(3, PageType.SUMMARY, 50, author=Author.HARNESS))
    (left, made) = given.turn()
    assert (left.page_id, left.after, left.reason) == ("p3", Fidelity.ABSENT, ChangeReason.EVICTED)
    assert (made.trigger, made.stale_tokens) == (None, 100)
    laws(given)


# ---------------------------------------------------------------------------------- the fold and forks


@forall(middles(), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_fork_inside_an_assembly_goes_on_from_the_last_layout(given, cut):
    """Whatever part of the assembly it keeps, the fork's next prompt is the one that its parent would have had."""
    parent = Given(given.state.copy())
    events = list(given.log)
    given.when(page(len(given.state.pages) + 1, tokens=70))
    kept = given.log[len(events) :]
    given.state.turn += 1  # the fork counts the turn that it cuts, so that pages are as old
    given.turn(hints=("p3",))
    began = given.log[len(events) + len(kept) :]
    for event in (*kept, *began[: 1 + min(cut, len(began) - 2)]):
        apply(parent.state, event)
    parent.when(e.SessionForked("parent", parent.state.version, HASH))
    assert parent.state.resident == {
        entry.page_id: RANK[entry.level]
        for entry in (parent.state.entries[at] for at in parent.state.standing.values())
    }
    parent.turn(hints=("p3",))
    assert tags(parent.state) == tags(given.state)
    assert last(parent).entries == last(given).entries
    assert parent.state.rent == given.state.rent


@forall(middles())
@settings(max_examples=15, deadline=None)
def test_the_layout_is_folded_from_what_was_assembled(given):
    """The decisions alone rebuild it, and every digest covers the one before and what was appended."""
    state = fold(given.log)
    assert (tags(state), state.chain) == (tags(given.state), last(given).layout_digest)
    entries = []
    for made in prompts(given):
        entries = [*([] if made.trigger else entries), *made.entries]
    assert list(state.entries.values()) == entries
    digests = [made.layout_digest for made in prompts(given) if made.entries]
    assert len(set(digests)) == len(digests)


# ------------------------------------------------------------------------------------------- admission


@pytest.mark.parametrize(
    "numbers",
    [
        {"cold_low_permille": 0},
        {"cold_low_permille": 376},
        {"low_permille": 1_001},
        {"read_price": 1_251},
        {"write_price": 10_001},
        {"rent_permille": 100_001},
    ],
    ids=str,
)
def test_numbers_by_which_no_epoch_can_be_timed_are_refused(numbers):
    """At the opening, at an adoption, and in a fork; a policy by turn needs none of them."""
    broken = attrs.evolve(CLAWVM, **numbers)
    with pytest.raises(UsageError, match="policy clawvm"):
        Given().when(opened(broken))
    given = Given.session()
    for data in (e.SettingsAdopted(broken), e.SessionForked("s", given.state.version, HASH, broken)):
        with pytest.raises(UsageError):
            given.when(data)
    Given().when(replace(opened(attrs.evolve(broken, paging=Paging.TURN))))


@forall(
    st.integers(1, 200_000), st.integers(0, 3_000), st.sampled_from([0, 40]),
    st.integers(1, 1_000).flatmap(lambda low: st.tuples(st.integers(1, low), st.just(low))),
)  # fmt: skip
def test_the_marks_are_exact_parts_of_the_room(budget, fixed, directory, marks):
    """A mark of so many thousandths is that part of what is left for the layout, rounded down."""
    cold_low, low = marks
    given = Given()
    given.when(opened(attrs.evolve(CLAWVM, cold_low_permille=cold_low, low_permille=low), budget, directory))
    room = room_of(given.state, e.TurnBegan(fixed_tokens=fixed))
    assert room.tokens == budget - fixed - room.directory and room.directory in (0, directory)
    assert [room.low, room.cold_low] == [math.floor(Fraction(room.tokens * part, 1000)) for part in (low, cold_low)]
    assert room.mark == max(room.low, 0)


@pytest.mark.parametrize("profile", [CLAWVM, LRU, CLAWVM_TURN], ids=lambda each: each.name)
def test_a_page_that_comes_back_after_a_rewind_is_ranked_again(profile):
    """The index that a session keeps is the one that is made anew, as by a process that opens the session later."""
    given = running(1_000, profile)
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER, cut=Cut.REWIND, left=("p3",)))
    given.turn()
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER, cut=Cut.COMPACT, left=("p4",), returned=("p3",)))
    given.turn()
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER, cut=Cut.COMPACT, left=("p5",)))
    given.turn()
    assert "p3" in {step[3][0] for step in build_index(given.state).steps}
    assert index_of(given.state).contents() == build_index(given.state).contents()
