"""The two-phase selector: its laws, its examples, and its bound against brute force."""

from itertools import pairwise, product

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM_PAPER, CLAWVM_RANK, CLAWVM_TURN, LRU_TURN
from clawvm_es.core.selector import Selection, fill, select
from clawvm_es.core.utility import QUALITY, hull, recency
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT, FULL, Fidelity, Level, PageType, Pin
from clawvm_es.testing.core import Given, opened, page

TYPES = st.sampled_from(list(PageType))
PAGES = st.lists(st.tuples(TYPES, st.integers(1, 400)), min_size=1, max_size=9)


def session(pages, budget, profile=CLAWVM_TURN, turns=1):
    """A session that wrote `pages` (type, tokens), then began `turns` turns."""
    given = Given.session(profile=profile, budget_tokens=budget)
    for number, (page_type, tokens) in enumerate(pages, 1):
        given.when(page(number, page_type, tokens))
    for _ in range(turns):
        given.turn()
    return given


POLICIES = st.sampled_from([CLAWVM_TURN, CLAWVM_PAPER, CLAWVM_RANK, LRU_TURN])


@forall(PAGES, st.integers(1, 1500), POLICIES, st.sampled_from([1, 2, 6, 20, 70]))
def test_the_budget_is_never_exceeded(pages, budget, profile, turns):
    """LAW-SELECT-1: what an assembly installs fits the budget, and its total is the sum of its pages."""
    given = session(pages, budget, profile, turns)
    for assembled in given.of(e.PromptAssembled):
        assert assembled.tokens <= budget
    state = given.state
    total = sum(state.pages[page_id].tokens[rank] for page_id, rank in state.resident.items())
    assert total == given.of(e.PromptAssembled)[-1].tokens


@forall(PAGES, st.integers(1, 1500), st.integers(1, 4))
def test_required_pages_stand_at_their_floor_unless_pressure_says_otherwise(pages, budget, turns):
    """LAW-SELECT-2: below its floor is only what an `invariant_pressure_observed` of this turn names."""
    given = session(pages, budget, turns=turns)
    last = next(i for i in range(len(given.log) - 1, -1, -1) if isinstance(given.log[i], e.TurnBegan))
    named = {p for event in given.log[last:] if isinstance(event, e.InvariantPressureObserved) for p in event.pages}
    for page_id, floor in given.state.required.items():
        assert given.state.resident.get(page_id, ABSENT) >= floor or page_id in named
    assert given.faults() == []


@forall(st.lists(st.integers(2, 300), min_size=1, max_size=5), st.integers(10, 500))
@settings(max_examples=60)
def test_the_bound_is_above_every_choice_of_levels(sizes, budget):
    """LAW-SELECT-3: no choice of levels within the budget has more utility than the recorded bound."""
    given = session([(PageType.EVIDENCE, size) for size in sizes], budget, CLAWVM_PAPER, turns=2)
    state = given.state
    selection = select(state, e.TurnBegan())
    assert selection.utility <= selection.bound
    index = state.index
    gains = []
    for known in state.pages.values():
        total = known.score + given.state.profile.weights.recency * recency(index.turn - known.last_used) // 1000
        ranks = [rank for rank, size in enumerate(known.tokens) if size >= 0]
        gains.append([(known.tokens[rank], QUALITY[rank] * total // 1000) for rank in ranks])
    best = max(
        sum(gain for _, gain in choice) for choice in product(*gains) if sum(size for size, _ in choice) <= budget
    )
    assert selection.bound >= best - len(sizes) * 4  # each step's integer division may lose up to one


@forall(st.lists(st.integers(1, 1000), min_size=4, max_size=4, unique=True), st.integers(0, 2))
def test_a_hull_has_strictly_falling_slopes(sizes, base):
    """Steps of a hull gain less and less per token, and end at the full level."""
    tokens = (0, *sorted(sizes))
    steps = hull(tokens, base)
    slopes = [(quality, cost) for _, quality, cost in steps]
    for (q1, c1), (q2, c2) in pairwise(slopes):
        assert q1 * c2 > q2 * c1
    assert steps[-1][0] == FULL
    assert sum(cost for _, cost in slopes) == tokens[FULL] - tokens[base]


def test_arrivals_come_at_full_if_they_fit_in_half_of_the_rest():
    """New pages stand in the next prompt at full, as far as half of what the floors leave."""
    given = session([(PageType.EVIDENCE, 100), (PageType.EVIDENCE, 150)], 500)
    assert given.state.resident == {"p1": FULL, "p2": FULL}


def test_arrivals_are_degraded_from_the_largest_down():
    """When arrivals do not fit in half of the rest, the largest loses levels first; the rest raises it again."""
    given = Given.session(profile=CLAWVM_TURN, budget_tokens=450)
    given.when(page(1, tokens=400))
    given.when(page(2, tokens=100))
    given.turn()
    assert given.state.resident["p2"] == FULL
    assert given.state.resident["p1"] == 3


def test_hinted_pages_are_raised_before_others():
    """A hint raises an old page for this turn, though others have more utility per token."""
    given = session([(PageType.EVIDENCE, 300), *[(PageType.EVIDENCE, 60)] * 8], 500)
    for _ in range(20):
        given.turn()
    given.turn(hints=("p1",))
    assert given.state.resident["p1"] == FULL


def test_pages_that_were_used_lately_win_under_lru():
    """Under `lru` the page used last stands in the prompt whatever its size."""
    given = session(
        [(PageType.EVIDENCE, 200), (PageType.EVIDENCE, 200), (PageType.EVIDENCE, 200)], 450, LRU_TURN, turns=3
    )
    given.when(e.ModelResponded(needs=()))
    order = []
    for number in (1, 2, 3):
        given.when(page(number, tokens=201))
        given.turn()
        order.append(given.state.resident.get(f"p{number}"))
    assert order == [FULL, FULL, FULL]
    assert given.state.resident.get("p1", ABSENT) < FULL


def test_a_budget_below_the_fixed_region_is_pressure_and_no_page_stands():
    """A fixed region beyond the budget is reported with both figures."""
    given = session([(PageType.BOOTSTRAP, 10)], 50)
    decisions = given.turn(fixed_tokens=80)
    pressure = [event for event in decisions if isinstance(event, e.InvariantPressureObserved)]
    assert pressure[0].required_tokens >= 80
    assert pressure[0].available_tokens == 50
    assert given.state.resident == {}


def test_a_page_that_a_caller_pins_hard_is_required():
    """A hard pin makes any page required at its structured level."""
    given = session([(PageType.EVIDENCE, 300), *[(PageType.EVIDENCE, 90)] * 10], 250)
    given.when(e.PagePinned("p1", Pin.HARD))
    for _ in range(30):
        given.turn()
    assert given.state.resident["p1"] >= 2


def test_an_unchanged_prompt_is_served_from_the_cache():
    """When nothing changed, no token is uncached; a new page costs itself."""
    given = session([(PageType.EVIDENCE, 100), (PageType.EVIDENCE, 100)], 1000, turns=2)
    assert given.of(e.PromptAssembled)[-1].uncached_tokens == 0
    given.when(page(3, tokens=50))
    given.turn()
    assert given.of(e.PromptAssembled)[-1].uncached_tokens == 50


def test_a_changed_page_makes_everything_after_it_uncached():
    """Tokens are counted from the first page that differs in rendered order."""
    given = session([(PageType.BOOTSTRAP, 30), (PageType.EVIDENCE, 100), (PageType.EVIDENCE, 100)], 1000, turns=2)
    given.when(page(2, tokens=80))
    given.turn()
    assert given.of(e.PromptAssembled)[-1].uncached_tokens == 180


def test_a_small_old_page_that_is_hinted_is_raised():
    """A hint raises a page whatever its utility, even one so old and small that it has none."""
    given = session([(PageType.EVIDENCE, 7)], 10_000, turns=70)
    given.turn(hints=("p1",))
    assert given.state.resident == {"p1": FULL}


def test_the_directory_line_never_pushes_a_floor_out():
    """Where floors fit only without the directory line, the line goes."""
    given = Given()
    given.when(opened(CLAWVM_TURN, budget_tokens=60, directory_tokens=40))
    given.when(page(1, PageType.BOOTSTRAP, 30))
    given.turn()
    assert given.of(e.InvariantPressureObserved) == []
    assert "p1" in given.state.resident


def test_steps_of_a_page_keep_their_order_in_the_index():
    """Keys rise along a hull, whatever rounding does to gains: found as an assembly over its budget."""
    given = Given.session(profile=CLAWVM_TURN, budget_tokens=150)
    kept = (Level(Fidelity.FULL, 328, "0", "t/1"), Level(Fidelity.STRUCTURED, 136, "0", "t/1"))
    kept += (Level(Fidelity.POINTER, 30, "0", "t/1"),)
    given.when(replace(page(1), levels=kept))
    for _ in range(70):
        given.turn()
    assert all(assembled.tokens <= 150 for assembled in given.of(e.PromptAssembled))
    steps = [step for step in given.state.index.steps if step[3][0] == "p1"]
    assert [step[3][1] for step in steps] == sorted(step[3][1] for step in steps)


def test_pages_that_a_caller_raised_go_on_from_there_and_others_as_ever():
    """Each page is offered once: a raised one from where it stands, every other one from below."""
    given = session([(PageType.EVIDENCE, 100)] * 6, 2_000, turns=3)
    alone = fill(given.state, e.TurnBegan(), Selection({}, 450, 0), ())
    raised = Selection({}, 450, 0)
    raised.install(given.state.pages["p1"], 1, ChangeReason.RAISED)
    fill(given.state, e.TurnBegan(), raised, (), raised=("p1",))
    assert raised.levels.keys() == alone.levels.keys() == {f"p{number}" for number in range(1, 7)}
    for found in (alone, raised):
        spent = sum(given.state.pages[page_id].tokens[rank] for page_id, rank in found.levels.items())
        assert found.rest == 450 - spent >= 0
        assert sorted(found.levels.values()) == sorted(alone.levels.values())
