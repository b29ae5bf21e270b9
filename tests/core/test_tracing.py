"""Tracing: it looks on and changes nothing, its account adds up, and its reasons are those of the table."""

from collections import Counter
from itertools import pairwise

import attrs
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM_TURN, PROFILES, RETRIEVAL, without
from clawvm_es.core.reuse import NEAR
from clawvm_es.core.selector import select
from clawvm_es.core.tracing import Kept, Outcome, Stop, trace
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, RetireReason, Trigger
from clawvm_es.model.pages import LADDER, Author, Fidelity, PageType
from clawvm_es.model.profile import Capability, Paging, Rule, Weights
from clawvm_es.testing.core import Given, opened, page
from tests.core.plain_epochs import FOR_EPOCHS
from tests.core.plain_model import QUALITY, Plain, epoch_nearness, nearness, recency
from tests.core.test_selector import TYPES

POLICIES = (
    *(policy for policy in PROFILES.values() if policy.paging is Paging.TURN),
    attrs.evolve(CLAWVM_TURN, rule=Rule.EXCHANGE_REUSE),
    attrs.evolve(CLAWVM_TURN, rule=Rule.COPY_REUSE),
    *(without(CLAWVM_TURN, missing) for missing in (Capability.FLOORS, Capability.SCORING)),
)
NOTHING = attrs.evolve(CLAWVM_TURN, weights=Weights(*[0] * 13))
WRITES = st.lists(st.tuples(TYPES, st.integers(1, 400)), max_size=6)


@st.composite
def sessions(draw):
    """A session of a few turns under some profile, and the turn that begins next."""
    given = Given.session(profile=draw(st.sampled_from(POLICIES)), budget_tokens=draw(st.integers(1, 1200)))
    written = 0
    for turn in range(draw(st.integers(1, 4))):
        for page_type, tokens in draw(WRITES):
            written += 1
            given.when(page(written, page_type, tokens))
        if turn and draw(st.booleans()):
            given.when(e.BoundaryReached(draw(st.sampled_from(list(Boundary)[:4])), Trigger.CALLER))
        if turn and written and draw(st.booleans()):
            given.when(e.PageRetired(f"p{draw(st.integers(1, written))}", RetireReason.DONE))
        named = st.lists(st.sampled_from([f"p{n}" for n in range(1, written + 1)] or [""]), max_size=3)
        ids = tuple(draw(named)) if written else ()
        began = e.TurnBegan(hints=ids, retrieved=ids, fixed_tokens=draw(st.sampled_from([0, 7])))
        if turn < 3:
            given.when(began)
    return given, began


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_a_traced_selection_is_the_untraced_one(case):
    """LAW-TRACE-1: with a watcher or without, the same pages stand at the same levels for the same reasons."""
    given, began = case
    traced, plain = trace(given.state, began), select(given.state, began)
    assert traced.selection == plain
    assert {c.page_id: LADDER.index(c.after) for c in traced.candidates if c.after != "absent"} == plain.levels


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_the_account_adds_up_and_every_page_has_a_reason(case):
    """LAW-TRACE-2: the parts are the budget; a page stands by something or is absent, and what misfits misfits."""
    given, began = case
    traced = trace(given.state, began)
    a = traced.account
    if a.fixed <= a.budget:
        spent = a.fixed + a.directory + a.floors + a.kept + a.arrivals + a.hints + a.retrieved + a.steps
        assert a.budget == spent + a.rest
    assert [c.page_id for c in traced.candidates] == list(given.state.pages)
    for candidate in traced.candidates:
        assert (candidate.by is None) == (candidate.after is Fidelity.ABSENT)
        assert (candidate.stop is Stop.TOP) == (candidate.after is Fidelity.FULL)
        if candidate.stop is Stop.MISFIT:
            assert candidate.wanted > candidate.rest >= 0


@forall(sessions())
@settings(max_examples=80, deadline=None)
def test_every_step_has_one_place_and_what_was_left_follows_from_what_was_taken(case):
    """Places count the steps of all pages from 1; each step taken leaves its tokens less to the next."""
    given, began = case
    offers = sorted((o for c in trace(given.state, began).candidates for o in c.steps), key=lambda offer: offer.place)
    assert [offer.place for offer in offers] == list(range(1, len(offers) + 1))
    for one, after in pairwise(offers):
        assert one.priority >= after.priority
        if after.rest is not None:
            assert after.rest == one.rest - (one.tokens if one.outcome is Outcome.TAKEN else 0)
        assert one.outcome is not Outcome.MISFIT or one.tokens > one.rest


def told(given):
    """The model that has seen a session."""
    plain = Plain()
    for event in given.log:
        plain.sees(event)
    return plain


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_the_account_is_that_of_the_plain_model(case):
    """Where the tokens went, part by part, worked out from the specification alone."""
    given, began = case
    plain, account = told(given), trace(given.state, began).account
    plan = plain.plan(began)
    installed, parts = plan.levels if plan.installed is None else plan.installed, Counter()
    for page_id, rank in installed.items():
        page = plain.pages[page_id]
        floor = min(plain.held(page), rank)
        stayed = plain.profile.rule is Rule.COMPACTION and page_id not in plain.changed
        kept = max(floor, min(plain.resident.get(page_id, 0), rank)) if stayed else floor
        parts["floors"] += page.sizes[floor]
        parts["kept"] += page.sizes[kept] - page.sizes[floor]
        parts[PARTS.get(plan.why.get(page_id), "floors")] += page.sizes[rank] - page.sizes[kept]
    wanted = {"budget": plain.budget, "fixed": began.fixed_tokens, "directory": plan.directory, "rest": plan.rest}
    wanted |= {name: parts[name] for name in ("floors", "kept", "arrivals", "hints", "retrieved")}
    wanted |= {"steps": plan.spent, "refusals": len(plan.misfits), "misfits": plain.opened.misfits}
    if plan.rest == 0:  # a step of a page that is settled may end the pass, too
        assert account.refusals <= wanted.pop("refusals")
    assert wanted == {name: getattr(account, name) for name in wanted}


PARTS = {
    ChangeReason.ARRIVAL: "arrivals",
    ChangeReason.PRESSURE: "arrivals",
    ChangeReason.HINT: "hints",
    ChangeReason.RETRIEVED: "retrieved",
}


@forall(sessions())
@settings(max_examples=150, deadline=None)
def test_every_candidate_is_told_as_the_plain_model_knows_it(case):
    """Levels, sizes and scores of each page, what put it there, and the first reason why it stands no higher."""
    given, began = case
    plain = told(given)
    plan = plain.plan(began)
    for candidate in trace(given.state, began).candidates:
        page = plain.pages[candidate.page_id]
        rank, weights = plan.levels.get(page.id, 0), plain.profile.weights
        assert (candidate.number, candidate.page_type) == (page.number, page.written.page_type)
        assert candidate.before is LADDER[plain.resident.get(page.id, 0)] and candidate.after is LADDER[rank]
        assert candidate.floor is (LADDER[page.floor] if page.required else None)
        assert candidate.levels == {LADDER[at]: size for at, size in page.sizes.items() if at}
        assert candidate.tokens == page.sizes[rank]
        steps = candidate.steps
        deciding = next((step for step in steps if step.outcome is not Outcome.TAKEN), steps[-1] if steps else None)
        assert candidate.rank == (deciding.place if deciding else None)
        age, scores = plain.turn + 1 - page.last_used, plain.has(Capability.SCORING)
        assert candidate.recency == (weights.recency * recency(age) // 1000 if scores else 0)
        if scores and plain.profile.rule in (Rule.REUSE, *FOR_EPOCHS):
            since = plain.turn + 1 - max(page.last_used, page.edited)
            near = nearness(since) if plain.profile.rule is Rule.REUSE else epoch_nearness(since)
            priority = plain.score(page) * near
            found = candidate.reuse
            assert (found.uses, found.age, found.nearness, found.priority) == (page.uses, since, near, priority)
            assert candidate.total == priority // 10_000
        else:
            assert candidate.reuse is None and candidate.total == plain.score(page) + candidate.recency
        assert candidate.utility == QUALITY[rank] * candidate.total // 1000
        found = (candidate.by, candidate.stop, candidate.wanted, candidate.rest)
        assert one_end(*found) == one_end(*because(plain, plan, page))


def one_end(by, stop, wanted, rest):
    """The reason, where nothing was left: a step that came then did not fit, or was not looked at any more."""
    return (by, Stop.NOT_REACHED, wanted, None) if stop is Stop.MISFIT and rest == 0 else (by, stop, wanted, rest)


def because(plain, plan, page):
    """What put a page where it stands, the first row of the table of reasons, and what was wanted and left."""
    rank, installed = plan.levels.get(page.id, 0), plan.levels if plan.installed is None else plan.installed
    quiet = ChangeReason.FLOOR
    if plain.profile.rule is Rule.COMPACTION and rank > plain.held(page):
        quiet = Kept.KEPT
    if rank != installed.get(page.id, 0):
        quiet = ChangeReason.RAISED
    by = plan.why.get(page.id, quiet) if rank else None
    if not page.offered:
        return (
            by,
            Stop.RETIRED
            if page.retired
            else Stop.REDACTED
            if page.redacted
            else Stop.DESTROYED
            if not page.alive
            else Stop.NOT_OFFERED,
            None,
            None,
        )
    if rank == 4:
        return by, Stop.TOP, None, None
    for pressure in plan.pressure:
        if page.id in pressure.pages:
            lowest = page.floor if page.required else min(at for at in page.sizes if at)
            return by, Stop.PRESSURE, page.sizes[lowest], pressure.available_tokens
    if page.id in plan.refused:
        return by, Stop.MISFIT, *plan.refused[page.id]
    if page.id in plan.final:
        return by, Stop.BOUNDARY, None, None
    if page.id not in plan.untaken:
        shares = Stop.SHARE if rank and page.id in plain.arrivals else Stop.NOT_RETRIEVED
        return by, shares if plain.profile.retrieves else Stop.NO_UTILITY, None, None
    wanted, rest = plan.untaken[page.id]
    return by, Stop.NOT_REACHED if rest is None else Stop.MISFIT, wanted, rest


def stops(given, **fields):
    """Page → why it stands no higher, at the turn that begins next."""
    return {c.page_id: c.stop for c in trace(given.state, e.TurnBegan(**fields)).candidates}


def test_a_step_that_does_not_fit_tells_what_was_left():
    """The page that lost says how much it wanted and how much there was."""
    given = Given.session(page(1, tokens=300), page(2, tokens=300), profile=CLAWVM_TURN, budget_tokens=450)
    given.turn()
    one, two = trace(given.state, e.TurnBegan()).candidates
    assert (one.stop, two.stop) == (Stop.TOP, Stop.MISFIT)
    assert two.wanted > two.rest == trace(given.state, e.TurnBegan()).account.rest
    assert two.utility_at(Fidelity.FULL) == two.total == two.reuse.priority // NEAR
    assert (two.reuse.uses, sum(two.score)) == (0, two.score.holds)


@pytest.mark.parametrize(
    ("make", "stop"),
    [
        (lambda: Given.session(page(1), e.PageRetired("p1", RetireReason.DONE)), Stop.RETIRED),
        (lambda: Given.session(page(1), e.ContentRedacted("request", pages=("p1",))), Stop.REDACTED),
        (lambda: Given.session(page(1), budget_tokens=200), Stop.TOP),
        (lambda: Given.session(page(1, PageType.BOOTSTRAP, 900), budget_tokens=20), Stop.PRESSURE),
        (lambda: Given.session(page(1, tokens=9000), budget_tokens=20), Stop.PRESSURE),
    ],
)  # fmt: skip
def test_each_reason_of_phase_1(make, stop):
    """What cannot stand, what stands in full, and what the budget cannot hold."""
    assert stops(make()) == {"p1": stop}


def test_a_page_without_utility_and_one_that_nobody_retrieved():
    """Weights of 0 give no steps; a retrieval policy asks only for what was retrieved."""
    for profile, stop in ((NOTHING, Stop.NO_UTILITY), (RETRIEVAL, Stop.NOT_RETRIEVED)):
        given = Given.session(page(1, tokens=50), profile=profile)
        given.turn()
        assert stops(given) == {"p1": stop}


def test_the_pass_ends_after_so_many_refusals():
    """Steps behind the last refusal were never looked at, and say so."""
    given = Given()
    given.when(replace(Given.session(profile=CLAWVM_TURN).state.opened, budget_tokens=100, misfits=2))
    for number in range(1, 7):
        given.when(page(number, tokens=6000))
    given.turn()
    found = list(stops(given).values())
    assert found.count(Stop.MISFIT) == 2 and found.count(Stop.NOT_REACHED) == 4


def test_a_page_stands_by_its_floor_up_to_there_and_is_kept_above():
    """After a compaction a rule stands at its floor because of it; what no floor holds is kept."""
    compacting = PROFILES["compaction_hybrid"]
    policy = attrs.evolve(compacting, capabilities=(*compacting.capabilities, Capability.FLOORS))
    given = Given.session(page(1, PageType.BOOTSTRAP, 300), page(2), profile=policy, budget_tokens=1000)
    given.turn()
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER))
    given.turn()
    rule, result = trace(given.state, e.TurnBegan()).candidates
    assert (rule.after, rule.by) == (rule.floor, ChangeReason.FLOOR)
    assert (result.after, result.by, result.floor) == (Fidelity.POINTER, Kept.KEPT, None)


def test_a_hint_stands_by_hint_and_tells_what_its_next_step_wanted():
    """A hinted page is raised as far as it fits; its next step wanted more than was left then."""
    given = Given.session(page(1, tokens=400), page(2, tokens=60), profile=CLAWVM_TURN, budget_tokens=230)
    given.turn()
    one, two = trace(given.state, e.TurnBegan(hints=("p1", "p2"))).candidates
    assert (one.by, one.stop, two.by, two.stop) == (ChangeReason.HINT, Stop.MISFIT, ChangeReason.HINT, Stop.TOP)
    assert one.wanted > one.rest == 230 - one.tokens


def ends(offers, misfits, by_groups):
    """The place of the step at which the pass has to end, worked out from what was offered; None if it looks at all.

    A step that does not fit ends it if nothing is left, or if it is that of the last page that may be refused. In
    frames a step of a settled or refused page may find that nothing is left, too.
    """
    refused = 0
    for offer in offers:
        if offer.outcome is Outcome.MISFIT:
            refused += 1
        elif by_groups or not refused or offer.outcome is Outcome.TAKEN:
            continue
        if offer.tokens > offer.rest and (offer.rest <= 0 or refused >= misfits):
            return offer.place
    return None


@pytest.mark.parametrize("misfits", [1, 2, 3, 32])
@pytest.mark.parametrize("renderer", ["", "messages/1:anthropic"])
def test_a_pass_ends_where_nothing_is_left_or_so_many_pages_were_refused(renderer, misfits):
    """Exactly there, under every budget; each step before was looked at, and none behind."""
    given = Given()
    given.when(replace(opened(CLAWVM_TURN, 1), misfits=misfits, renderer=renderer))
    for number in range(1, 9):
        given.when(page(number, PageType.CONVERSATION, 10 + 7 * number, author=Author.USER))
    given.turn()
    reached = Counter()
    for budget in range(20, 400):
        given.state.budget_tokens = budget
        offers = [offer for each in trace(given.state, e.TurnBegan()).candidates for offer in each.steps]
        offers.sort(key=lambda offer: offer.place)
        seen = [offer for offer in offers if offer.rest is not None]
        assert seen == offers[: len(seen)]
        assert (ends(seen, misfits, bool(renderer)) or len(offers)) == len(seen)
        reached["all" if seen == offers else "nothing left" if seen[-1].rest == 0 else "refused"] += 1
    assert reached["nothing left"] and (reached["refused"] or misfits > 8) and (reached["all"] or misfits < 3)


CACHE = PROFILES["retrieval_cache"]


@pytest.mark.parametrize(
    ("policy", "budget", "misfits", "stop"),
    [
        (RETRIEVAL, 700, 9, [Stop.NOT_RETRIEVED, Stop.MISFIT, Stop.TOP, Stop.NOT_RETRIEVED, Stop.SHARE]),
        (CACHE, 700, 9, [Stop.MISFIT, Stop.MISFIT, Stop.TOP, Stop.NOT_RETRIEVED, Stop.MISFIT]),
        (CACHE, 700, 1, [Stop.MISFIT, Stop.MISFIT, Stop.TOP, Stop.NOT_RETRIEVED, Stop.NOT_REACHED]),
    ],
)
def test_a_policy_that_retrieves_gives_the_first_reason_that_matches(policy, budget, misfits, stop):
    """What its cache offered and could not take is a misfit or was not reached; it was not retrieved otherwise."""
    given = Given()
    given.when(replace(opened(policy, budget), misfits=misfits))
    for number, tokens in enumerate((600, 640, 300), 1):
        given.when(page(number, tokens=tokens))
    given.when(page(4, PageType.CONVERSATION))
    given.turn()
    given.when(page(5, tokens=900))
    found = trace(given.state, e.TurnBegan(retrieved=("p2", "p3"))).candidates
    assert [each.stop for each in found] == stop
