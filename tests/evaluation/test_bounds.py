"""Lower bounds on misses: below the optimum over all choices on small cases, below every policy on larger ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM, CLAWVM_RANK, LRU
from clawvm_es.errors import UnreadableInput
from clawvm_es.evaluation import families
from clawvm_es.evaluation.bounds import Bounds, bounds
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.run import run
from clawvm_es.evaluation.workload import RENDERERS, Workload, from_recording, needs_of
from clawvm_es.importers import Recording, read
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule
from clawvm_es.model.pages import RANK, Fidelity, PageType
from clawvm_es.representations.counter import counter
from clawvm_es.testing import Given, strategies
from clawvm_es.testing.core import need, opened, page

ORACLE = POLICIES["oracle"]
TURN = e.TurnBegan()
DIRECTORY = 3


def workload(*inputs: e.Input, directory_tokens: int = 0) -> Workload:
    """A workload of these inputs, for which a retriever finds nothing."""
    turns = sum(isinstance(data, e.TurnBegan) for data in inputs)
    start = opened(directory_tokens=directory_tokens)
    return Workload("test", "test", start, inputs, tuple(needs_of(inputs)), ((),) * turns, (False,) * turns)


def uses(*page_numbers: int) -> e.ModelResponded:
    """An answer that needs the full text of any of these pages."""
    return e.ModelResponded(needs=(need(*page_numbers),))


# ---------------------------------------------------------------------------------------- brute force


@st.composite
def small(draw: st.DrawFn) -> tuple[e.Input, ...]:
    """Up to three pages, written once or again, over a few turns that need some of them at some levels."""
    inputs: list[e.Input] = [page(1, draw(TYPES), draw(SIZES))]
    types = {1: inputs[0].page_type}  # type: ignore[union-attr]
    for step in draw(st.lists(st.sampled_from("wtttnnn"), min_size=2, max_size=9)):
        if step == "t":
            inputs.append(TURN)
        elif step == "w":
            number = draw(st.integers(1, min(3, len(types) + 1)))
            types.setdefault(number, draw(TYPES))
            inputs.append(page(number, types[number], draw(SIZES)))
        else:
            numbers = draw(st.lists(st.sampled_from(sorted(types)), min_size=1, max_size=2, unique=True))
            at = draw(st.sampled_from([(Fidelity.FULL,), (Fidelity.FULL, Fidelity.COMPRESSED), tuple(Fidelity)[1:]]))
            holders = tuple(Holder(f"p{number}", at) for number in numbers)
            inputs.append(e.ModelResponded(needs=(Need(holders, NeedRule.DATA_FLOW, 1),)))
    return tuple(inputs)


TYPES = st.sampled_from([PageType.EVIDENCE, PageType.CONVERSATION, PageType.CONSTRAINT])
SIZES = st.integers(1, 30)


def fewest_misses(inputs: Sequence[e.Input], budget_tokens: int, *, speculates: bool) -> int:
    """The fewest misses over every sequence of choices that the rules of assembly allow."""
    numbers = (1, 2, 3)

    @cache
    def best(place: int, held: tuple[int, ...], arrived: frozenset[int], met: frozenset[frozenset[int]]) -> int:
        """`held` has a rank a page, −1 if its text is not that of the prompt."""
        if place == len(inputs):
            return 0
        data = inputs[place]
        if isinstance(data, e.PageWritten):
            number = int(data.page_id[1:])
            stale = tuple(-1 if number == n else rank for n, rank in zip(numbers, held, strict=True))
            return best(place + 1, stale, arrived | {number}, met)
        if isinstance(data, e.TurnBegan):
            known = sizes(inputs[:place])
            return min(
                best(place + 1, levels, frozenset(), frozenset())
                for levels in choices(known, budget_tokens, held, arrived, speculates)
            )
        assert isinstance(data, e.ModelResponded)
        (wanted,) = data.needs
        holders = frozenset(int(holder.page_id[1:]) for holder in wanted.holders)
        if holders in met:
            return best(place + 1, held, arrived, met)
        met |= {holders}
        for holder in wanted.holders:
            if held[int(holder.page_id[1:]) - 1] in [RANK[level] for level in holder.levels]:
                return best(place + 1, held, arrived, met)
        newest = int(wanted.holders[-1].page_id[1:])
        return 1 + best(place + 1, held, arrived | {newest}, met)

    return best(0, (0, 0, 0), frozenset(), frozenset())


def sizes(inputs: Sequence[e.Input]) -> Mapping[int, tuple[PageType, Mapping[int, int]]]:
    """Page number → type and tokens by rank, as last written."""
    return {
        int(data.page_id[1:]): (data.page_type, {RANK[level.level]: level.tokens for level in data.levels})
        for data in inputs
        if isinstance(data, e.PageWritten)
    }


def choices(
    known: Mapping[int, tuple[PageType, Mapping[int, int]]],
    budget_tokens: int,
    held: tuple[int, ...],
    arrived: frozenset[int],
    speculates: bool,
) -> Iterator[tuple[int, ...]]:
    """Every set of ranks that a prompt may have: floors first, arrivals above pointer where all of them fit so."""
    floors = {n: min(rank for rank in tokens if rank >= 2) for n, (kind, tokens) in known.items() if required(kind)}
    rest = budget_tokens
    if DIRECTORY + sum(known[n][1][floor] for n, floor in floors.items()) <= rest:
        rest -= DIRECTORY
    whole = rest
    for number in sorted(floors):
        if known[number][1][floors[number]] <= rest:
            rest -= known[number][1][floors[number]]
        else:
            floors[number] = 0  # stands at no level
    lowest = {n: min(rank for rank in known[n][1] if rank >= 2) for n in arrived if n not in floors}
    forced = sum(known[n][1][rank] for n, rank in lowest.items()) <= rest
    offers: list[list[int]] = []
    for number in (1, 2, 3):
        ranks = [0, *known[number][1]] if number in known else [0]
        if number in floors:
            ranks = [rank for rank in ranks if rank >= floors[number]] if floors[number] else [0]
        elif number in lowest and forced:
            ranks = [rank for rank in ranks if rank >= lowest[number]]
        if not speculates and number not in arrived:
            ranks = [rank for rank in ranks if rank <= max(held[number - 1], floors.get(number, 0))]
        offers.append(ranks)
    for levels in product(*offers):
        if sum(known[n][1][rank] for n, rank in zip((1, 2, 3), levels, strict=True) if rank) <= whole:
            yield levels


def required(page_type: PageType) -> bool:
    """Of the types that are drawn."""
    return page_type is PageType.CONSTRAINT


@given(small(), st.integers(1, 70))
@settings(max_examples=300, deadline=None)
def test_no_choices_come_below_the_bounds(inputs, budget_tokens):
    """LAW-BOUND-1 and LAW-BOUND-2: the optimum over all choices has at least as many misses."""
    found = bounds(workload(*inputs, directory_tokens=DIRECTORY), budget_tokens)
    assert found.fit <= fewest_misses(inputs, budget_tokens, speculates=True)
    assert found.demand <= fewest_misses(inputs, budget_tokens, speculates=False)


# --------------------------------------------------------------------------------------------- policies


@given(
    strategies.sessions(max_steps=40),
    st.integers(1, 600),
    st.sampled_from([CLAWVM, CLAWVM_RANK, LRU, ORACLE]),
    st.sampled_from(list(RENDERERS.values())),
)
@settings(max_examples=200, deadline=None)
def test_no_policy_comes_below_fit(session: Given, budget_tokens, policy, renderer):
    """LAW-BOUND-1 on sessions with every input, budgets that change, erasures and retired pages."""
    inputs = tuple(data for data in session.log if isinstance(data, e.Input) and not isinstance(data, FRAMES))
    assume(any(isinstance(data, e.TurnBegan) for data in inputs))
    its = workload(*inputs, directory_tokens=20)
    its = attrs.evolve(its, opened=replace(its.opened, renderer=renderer))
    assert bounds(its, budget_tokens).fit <= run(its, policy, budget_tokens).figures.misses


FRAMES = (e.SessionOpened, e.SessionClosed, e.SessionReopened, e.SettingsAdopted)


@pytest.mark.parametrize("budget_tokens", [120, 240, 500])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_no_policy_comes_below_the_bounds_on_generated_sessions(family, budget_tokens):
    """`oracle`, which knows what comes, keeps above `fit`; `lru` and `clawvm` keep above `demand`, too, here."""
    assert_keeps_above(families.workload(family), budget_tokens)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("budget_tokens", [1_000, 3_000, 9_000])
def test_no_policy_comes_below_the_bounds_on_a_recorded_session(traces, budget_tokens, renderer):
    """A session with a subagent."""
    for found in read(traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl"):
        assert_keeps_above(from_recording(found, counter("lines4"), renderer=renderer), budget_tokens)


PARTS = 32


@pytest.mark.sweep(sample=2)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("budget_tokens", [500, 2_000, 8_000, 16_000])
def test_no_policy_comes_below_fit_on_any_recorded_session(traces, budget_tokens, renderer, part):
    """Each session under each budget; `lru` raises pages again where room is left, so `demand` does not bind it."""
    for path in sorted(path for path in traces.rglob("*.json*") if path.is_file())[part::PARTS]:
        for found in recordings(path):
            its = from_recording(found, counter("lines4"), renderer=renderer)
            misses = [run(its, policy, budget_tokens).figures.misses for policy in (LRU, CLAWVM, ORACLE)]
            assert bounds(its, budget_tokens).fit <= min(misses)


def recordings(path: Path) -> tuple[Recording, ...]:
    """The sessions of a file, none if it is of a format that is not read."""
    try:
        return read(path)
    except UnreadableInput:
        return ()


def assert_keeps_above(its: Workload, budget_tokens: int) -> None:
    """`lru` and `clawvm` raise pages again when room is left, so that `demand` is no law for them, but it holds."""
    below = bounds(its, budget_tokens)
    for policy in (LRU, CLAWVM, ORACLE):
        misses = run(its, policy, budget_tokens).figures.misses
        assert below.fit <= misses, policy.name
        assert below.demand <= misses or policy is ORACLE, policy.name


# ---------------------------------------------------------------------------------------------- by hand


def test_a_page_larger_than_the_budget_is_missed():
    """No level that would do fits."""
    assert bounds(workload(page(1, tokens=100), TURN, uses(1)), 99) == Bounds(1, 1)
    assert bounds(workload(page(1, tokens=100), TURN, uses(1)), 100) == Bounds(0, 0)


def test_of_two_pages_that_do_not_fit_together_one_is_missed():
    """One prompt cannot hold both, whichever is chosen."""
    two = workload(page(1, tokens=60), page(2, tokens=60), TURN, uses(1), uses(2))
    assert bounds(two, 119) == Bounds(1, 1)


def test_pages_wanted_in_turn_fit_one_by_one_but_cannot_all_be_kept():
    """Whoever may fetch ahead meets every need; who may not has no room to keep two pages of three."""
    pages = [page(number, tokens=60) for number in (1, 2, 3)]
    later = [data for number in (1, 2, 3) for data in (TURN, uses(number))]
    assert bounds(workload(*pages, *later), 110) == Bounds(0, 1)


def test_what_was_written_after_the_assembly_is_missed():
    """A prompt holds the text of when it was assembled."""
    assert bounds(workload(page(1), TURN, page(1), uses(1), TURN, uses(1)), 1_000) == Bounds(1, 1)
    assert bounds(workload(page(1), uses(1)), 1_000) == Bounds(1, 1)


def test_floors_take_room_and_stand_for_free():
    """A rule's floor is paid for before any choice, and a need that it meets costs nothing."""
    rule, text = page(1, PageType.CONSTRAINT, 300), page(2, tokens=75)  # floor of 30 tokens
    at_floor = e.ModelResponded(needs=(need(1, at=(Fidelity.FULL, Fidelity.STRUCTURED)),))
    both = workload(rule, text, TURN, TURN, uses(2), at_floor)
    assert bounds(both, 105) == Bounds(0, 0)
    assert bounds(both, 104) == Bounds(1, 1)


def test_the_fixed_region_takes_room():
    """What the harness puts before all pages is not to be had."""
    its = workload(page(1, tokens=100), e.TurnBegan(fixed_tokens=50), uses(1))
    assert bounds(its, 149) == Bounds(1, 1)
    assert bounds(its, 150) == Bounds(0, 0)


def test_a_floor_that_does_not_fit_leaves_its_page_out():
    """A rule that is too long stands at no level, so what it says is missed."""
    assert bounds(workload(page(1, PageType.CONSTRAINT, 300), TURN, uses(1)), 29) == Bounds(1, 1)
    pointer = e.ModelResponded(needs=(need(2, at=(Fidelity.POINTER,)),))
    assert bounds(workload(page(1, PageType.CONSTRAINT, 300), page(2), TURN, pointer), 29) == Bounds(0, 0)


def test_what_was_just_written_takes_room_at_the_lowest_level_that_it_may_come_at():
    """An arrival of 100 tokens stands at 10 or more, so 100 tokens beside it need a budget of 110."""
    its = workload(page(1), TURN, page(2), TURN, uses(1))
    assert bounds(its, 109) == Bounds(1, 1)
    assert bounds(its, 110) == Bounds(0, 0)


def test_an_arrival_may_be_crowded_out_by_a_page_that_comes_back():
    """A page that a need brings back comes before a larger one just written, which then takes no room for sure."""
    its = workload(page(1, tokens=450), page(2, tokens=37), TURN, uses(1), page(3, tokens=900), TURN, uses(2))
    assert bounds(its, 100) == Bounds(1, 1)
    assert run(its, LRU, 100).hits == [False, True]


def test_a_page_that_does_not_fit_one_prompt_on_the_way_cannot_be_kept():
    """Without fetching ahead a page has to fit every prompt since it was last at hand."""
    wide = workload(page(1, tokens=90), TURN, e.TurnBegan(fixed_tokens=50), TURN, TURN, uses(1))
    assert bounds(wide, 100) == Bounds(0, 1)
