"""The rule `recorded`, given events, when a command, then events: the prompt is what the harness itself held."""

import pytest

from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.profiles import CLAWVM, COMPACTION_HYBRID, PROFILES, RECORDED
from clawvm_es.core.tracing import Kept, Stop, trace
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    ChangeReason,
    Cut,
    EpochTrigger,
    FaultReason,
    FaultType,
    NeedRule,
    RedactReason,
    Trigger,
)
from clawvm_es.model.pages import FULL, Author, Fidelity, Level, PageType
from clawvm_es.testing.core import Given, need, page

ABSENT, ALL = Fidelity.ABSENT, Fidelity.FULL
REREAD = NeedRule.REPEATED_READ
POLICIES = [*PROFILES.values()]


def recorded(*inputs, budget_tokens=0):
    """A session under the policy `recorded`, which took some inputs."""
    return Given.session(*inputs, profile=RECORDED, budget_tokens=budget_tokens)


def cut(kind, left=(), returned=(), boundary=Boundary.COMPACT, pages=()):
    """A boundary at which the harness took some pages out, or put some back."""
    named = [tuple(f"p{number}" for number in numbers) for numbers in (left, returned, pages)]
    return e.BoundaryReached(boundary, Trigger.RECORDED, pages=named[2], cut=kind, left=named[0], returned=named[1])


def said(events):
    """The changes of levels among decisions, as page and level."""
    return [(event.page_id, event.after) for event in events if isinstance(event, e.RepresentationChanged)]


def prompt(events):
    """The assembly among decisions."""
    return next(event for event in events if isinstance(event, e.PromptAssembled))


def test_everything_stands_in_full_in_the_order_in_which_it_came():
    """LAW-RECORDED-1: no budget binds, pages enter the prompt in full, and stay."""
    given = recorded(page(1, PageType.PLAN, tokens=10**6), page(2, tokens=5))
    assert said(given.turn()) == [("p1", ALL), ("p2", ALL)]
    assert said(given.when(page(3))) == []
    assert said(given.turn()) == [("p3", ALL)]
    assert list(given.state.assembled.items()) == [("p1", FULL), ("p2", FULL), ("p3", FULL)]


def test_a_turn_at_which_nothing_happened_is_one_event():
    """LAW-RECORDED-3: no page is named again, and the whole prompt is cached."""
    given = recorded(*(page(number, tokens=100) for number in range(1, 200)))
    given.turn(fixed_tokens=7)
    (assembled,) = given.turn(fixed_tokens=7)
    before = given.of(e.PromptAssembled)[0]
    assert (assembled.tokens, assembled.uncached_tokens, assembled.pages) == (199 * 100 + 7, 0, 199)
    assert (assembled.epoch, assembled.trigger, assembled.digest) == (1, None, before.digest)
    assert (before.epoch, before.trigger, before.uncached_tokens) == (1, EpochTrigger.FORCED, before.tokens)


def test_only_what_was_appended_is_uncached():
    """LAW-RECORDED-2: a prompt begins with the one before it, until something is cut."""
    given = recorded(page(1, tokens=100), page(2, tokens=30))
    given.turn()
    given.when(page(3, tokens=7))
    grown = prompt(given.turn())
    assert (grown.tokens, grown.uncached_tokens, grown.epoch) == (137, 7, 1)
    given.when(cut(Cut.MICRO, boundary=Boundary.PRUNE, pages=[2]))
    shrunk = prompt(given.turn())
    assert (shrunk.tokens, shrunk.uncached_tokens, shrunk.epoch, shrunk.trigger) == (107, 7, 2, EpochTrigger.FORCED)
    assert prompt(given.turn(fixed_tokens=1)).uncached_tokens == 108


def test_a_page_that_is_written_again_leaves_its_old_copy_standing():
    """The harness does not take back what it sent: both copies count, until a cut takes the page out."""
    given = recorded(page(1, tokens=100), page(2, tokens=10))
    given.turn()
    given.when(page(1, tokens=60))
    assert said(decided := given.turn()) == []
    assert (prompt(decided).tokens, prompt(decided).uncached_tokens, prompt(decided).pages) == (170, 60, 2)
    assert list(given.state.assembled) == ["p2", "p1"]
    given.when(cut(Cut.COMPACT, left=[1]))
    assert prompt(given.turn()).tokens == 10


def answer(tokens, passes=False):
    """An answer that the model thought about, in so many tokens."""
    return e.ModelResponded(thinking="0" * 64, thinking_tokens=tokens, thinking_passes=passes)


def test_thoughts_stand_as_long_as_their_answer():
    """What the model thought is counted, and leaves the context with the answer that follows it."""
    given = recorded(page(1, tokens=100), page(2, tokens=10))
    tokens = [prompt(given.turn()).tokens]
    for number, thought in ((3, 7), (4, 5)):
        given.when(answer(thought))
        given.when(page(number, tokens=1))
        tokens.append(prompt(given.turn()).tokens)
    assert tokens == [110, 118, 124]
    given.when(e.ModelResponded(thinking_tokens=1000))  # thoughts that nobody has do not go back to the model
    given.when(cut(Cut.MICRO, boundary=Boundary.PRUNE, pages=[2]))
    assert prompt(given.turn()).tokens == 114  # of single results: all thoughts stay
    given.when(cut(Cut.COMPACT, left=[1, 3]))
    shrunk = prompt(given.turn())
    assert (shrunk.tokens, shrunk.uncached_tokens) == (6, 6)  # those of p4 stay
    given.when(answer(9))
    given.when(page(5, tokens=1))
    given.when(cut(Cut.CLEAR, left=[4, 5], boundary=Boundary.RESET))
    assert prompt(given.turn()).tokens == 0


def asked(number):
    """The user's words, as a page of ten tokens."""
    return page(number, PageType.CONVERSATION, tokens=10, author=Author.USER)


def test_thoughts_that_pass_leave_as_the_user_speaks():
    """Within an exchange they stand; at the user's next word they leave, and the prompt is cached up to them."""
    for passes, sizes in (
        (True, [(10, 10, 1), (18, 8, 1), (22, 12, 2), (28, 6, 2), (35, 13, 3)]),
        (False, [(10, 10, 1), (18, 8, 1), (29, 11, 1), (35, 6, 1), (51, 16, 1)]),
    ):
        given, found = recorded(asked(1)), []
        for inputs in (
            [],
            [answer(7, passes), page(2, tokens=1)],
            [page(3, tokens=1), asked(4)],
            [answer(5, passes), page(5, tokens=1)],
            [page(6, tokens=1), answer(4, passes), page(7, tokens=1), asked(8)],
        ):
            for data in inputs:
                given.when(data)
            now = prompt(given.turn())
            found.append((now.tokens, now.uncached_tokens, now.epoch))
        assert found == sizes


def test_thoughts_that_no_prompt_held_leave_without_a_cut():
    """LAW-RECORDED-2: an exchange of one answer closes, and the prompt before stays the beginning of the next."""
    given = recorded(asked(1))
    given.turn()
    for data in (answer(7, passes=True), page(2, tokens=1), asked(3)):
        given.when(data)
    grown = prompt(given.turn())
    assert (grown.tokens, grown.uncached_tokens, grown.epoch, grown.trigger) == (21, 11, 1, None)


def test_arguments_of_calls_stand_beside_their_results():
    """What the model wrote into a call counts where it was counted; single results may leave without it."""
    arguments = (Level(ALL, 30, "0" * 64, "test/1"),)
    given = recorded(page(1, tokens=100))
    given.turn()
    for call in (1, 2, 3):
        given.when(e.ToolCalled(call, "T", "0" * 64, levels=arguments))
    given.when(page(2, tokens=5, call=1))
    given.when(page(3, tokens=5, call=2))
    assert (prompt(given.turn()).tokens, prompt(given.log[::-1]).uncached_tokens) == (200, 100)
    given.when(cut(Cut.MICRO, boundary=Boundary.PRUNE, pages=[2]))
    assert prompt(given.turn()).tokens == 195
    given.when(cut(Cut.COMPACT, left=[1]))
    assert prompt(given.turn()).tokens == 35


def test_a_compaction_takes_out_what_it_names_and_keeps_the_rest():
    """What the harness kept stands on; a page that was just written leaves before any prompt showed it."""
    given = recorded(page(1), page(2), page(3))
    given.turn()
    given.when(page(4))
    decided = given.when(cut(Cut.COMPACT, left=[1, 3, 4]))
    assert said(decided) == [("p1", ABSENT), ("p3", ABSENT)]
    assert decided[-1] == e.BoundaryCompleted(Boundary.COMPACT, 2)
    given.when(page(5, PageType.SUMMARY, author=Author.HARNESS))
    given.turn()
    assert list(given.state.assembled) == ["p2", "p5"]


def test_a_boundary_that_does_not_say_what_it_cut_leaves_system_messages():
    """Older logs and live harnesses name nothing: rules that the harness stated stay, all other pages leave."""
    given = recorded(
        page(1, PageType.BOOTSTRAP, author=Author.HARNESS),
        page(2, PageType.CONSTRAINT, author=Author.HARNESS),
        page(3, PageType.BOOTSTRAP, author=Author.TOOL),
        page(4),
        page(5, PageType.CONVERSATION, author=Author.USER),
    )
    given.turn()
    given.when(e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED))
    assert list(given.state.resident) == ["p1", "p2", "p3", "p5"]
    given.when(e.BoundaryReached(Boundary.FLUSH, Trigger.CALLER))
    given.when(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER))
    assert list(given.state.resident) == ["p1", "p2"]


def test_what_returns_stands_again_at_the_end():
    """A page that the harness put back arrives like a new one."""
    given = recorded(page(1), page(2))
    given.turn()
    given.when(cut(Cut.COMPACT, left=[1, 2]))
    given.when(cut(Cut.COMPACT, returned=[1]))
    assert said(given.turn()) == [("p1", ALL)]


def test_a_rule_that_a_compaction_took_out_is_one_fault():
    """It is told by the first prompt without it, and not again at every turn."""
    given = recorded(page(1, PageType.BOOTSTRAP), page(2, PageType.PLAN, author=Author.MODEL))
    given.turn()
    given.when(cut(Cut.COMPACT, left=[1, 2]))
    decided = given.turn()
    assert [(event.fault, event.reason, event.page_id) for event in decided[1:]] == [
        (FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY, "p1"),
        (FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR, "p2"),
    ]
    assert len(given.turn()) == 1
    given.when(cut(Cut.COMPACT))
    assert len(given.turn()) == 1


def test_a_need_is_met_while_the_harness_has_the_page():
    """A hit, also of a page that came after the last prompt; after a cut none."""
    given = recorded(page(1))
    assert given.when(e.ModelResponded(needs=(need(1),))) == (e.PageUsed("p1", NeedRule.DATA_FLOW),)
    given.turn()
    assert given.when(e.ModelResponded(needs=(need(1),))) == (e.PageUsed("p1", NeedRule.DATA_FLOW),)
    given.when(cut(Cut.COMPACT, left=[1]))
    given.turn()
    called = e.ToolCalled(call=1, tool="T", arguments="0" * 64, needs=(need(1),))
    assert given.when(called) == (e.NeedUnmet("p1", NeedRule.DATA_FLOW, 10, 1),)


def test_what_is_read_again_is_a_refetch_and_the_new_copy_stands():
    """A repeated read of a dropped page is a fault, also of a call that still holds; the old page stays away."""
    given = recorded(page(1))
    given.turn()
    given.when(cut(Cut.COMPACT, left=[1]))
    given.turn()
    (fault,) = given.when(e.ModelResponded(needs=(need(1, rule=REREAD),)))
    assert (fault.fault, fault.reason, fault.page_id) == (FaultType.REFETCH, FaultReason.NOT_RESIDENT, "p1")
    given.when(page(2))
    assert said(given.turn()) == [("p2", ALL)]


def test_a_summary_can_meet_a_need_and_no_miss_is_charged_to_it():
    """Under `recorded` it is a page like any other; other policies never show it."""
    writes = (page(1), page(2, PageType.SUMMARY, author=Author.HARNESS))
    given = recorded(*writes)
    given.turn()
    given.when(cut(Cut.COMPACT, left=[1]))
    assert given.when(e.ModelResponded(needs=(need(1, 2),))) == (e.PageUsed("p2", NeedRule.DATA_FLOW),)
    others = Given.session(*writes, profile=CLAWVM, budget_tokens=100)
    others.when(page(3, tokens=90))
    others.turn()
    others.turn()
    assert others.state.resident.get("p1") != FULL and "p2" not in others.state.resident
    assert others.when(e.ModelResponded(needs=(need(1, 2),))) == (e.PageResolved("p1", NeedRule.DATA_FLOW, 10),)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_a_rewind_withdraws_under_every_policy_until_it_is_returned_to(policy):
    """Pages of an abandoned branch stand in no prompt, whatever their floor; they arrive again when put back."""
    given = Given.session(page(1, PageType.BOOTSTRAP, 40), page(2, tokens=40), profile=policy, budget_tokens=400)
    given.turn()
    given.when(cut(Cut.REWIND, left=[1, 2], boundary=Boundary.RESET))
    assert given.state.resident == {} and given.state.present == 0 and not given.state.required
    given.turn(hints=("p2",), retrieved=("p2",))
    assert levels_of_prompt(given.state) == {}
    assert "flush_miss" not in given.faults() and "post_compaction_bootstrap" not in given.faults()
    given.when(cut(Cut.REWIND, returned=[2], boundary=Boundary.RESET))
    given.turn()
    assert list(levels_of_prompt(given.state)) == ["p2"]
    given.when(page(1, PageType.BOOTSTRAP, 40))
    given.turn()
    assert "p1" in levels_of_prompt(given.state)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
@pytest.mark.parametrize("boundary", [Boundary.COMPACT, Boundary.PRUNE])
def test_a_recorded_compaction_moves_pages_only_under_rules_that_compact(policy, boundary):
    """All others write back and keep what they hold; one that a caller brings about moves pages as ever."""
    given = Given.session(page(1, tokens=100), page(2, tokens=100), profile=policy, budget_tokens=900)
    given.turn(retrieved=("p1", "p2"))
    before = dict(given.state.resident)
    assert set(before) == {"p1", "p2"}
    kind = Cut.COMPACT if boundary is Boundary.COMPACT else Cut.MICRO
    given.when(cut(kind, left=[1], boundary=boundary, pages=[1] if boundary is Boundary.PRUNE else []))
    kept = given.state.resident.get("p1") == before["p1"]
    assert kept is not (policy is RECORDED or policy.rule is COMPACTION_HYBRID.rule)
    given.when(e.BoundaryReached(boundary, Trigger.CALLER))
    assert given.state.resident.get("p1") != before["p1"]


def test_a_clear_acts_under_every_policy():
    """The user emptied the context: what may go is gone."""
    for policy in POLICIES:
        given = Given.session(page(1, tokens=100), profile=policy, budget_tokens=900)
        given.turn()
        given.when(cut(Cut.CLEAR, left=[1], boundary=Boundary.RESET))
        assert given.state.resident == {}, policy.name


def test_erased_and_retired_pages_leave_as_under_any_policy():
    """They are taken out at once, with all their copies."""
    given = recorded(page(1), page(2), page(3))
    given.turn()
    given.when(e.ContentRedacted(RedactReason.REQUEST, pages=("p1",)))
    given.when(e.PageRetired("p2", e.RetireReason.WITHDRAWN))
    assert prompt(given.turn()).tokens == 100
    (fault,) = given.when(e.ModelResponded(needs=(need(1),)))
    assert (fault.fault, fault.reason) == (FaultType.REFETCH, FaultReason.REDACTED)


def test_without_a_budget_only_the_harness_s_own_residency_is_known():
    """A budget of 0 is none; a policy that selects needs one, also in a fork."""
    given = recorded(page(1))
    with pytest.raises(UsageError, match="no budget") as refused:
        given.when(e.SettingsAdopted(CLAWVM))
    assert refused.value.hint
    given.when(e.SettingsAdopted(CLAWVM, 500))
    with pytest.raises(UsageError, match="budget"):
        Given.session(profile=CLAWVM, budget_tokens=0)


def test_another_policy_goes_on_with_what_stood_and_back():
    """Summaries leave with the rule, and come back with it; from then on all that stood stands in full."""
    given = recorded(page(1, tokens=100), page(2, PageType.SUMMARY), page(3, tokens=100))
    given.turn()
    given.when(e.SettingsAdopted(CLAWVM, 120))
    assert (given.state.present, given.state.assembled_tags) == (2, ())
    given.turn()
    held = set(levels_of_prompt(given.state))
    assert "p2" not in held
    given.when(e.SettingsAdopted(RECORDED))
    given.turn()
    assert given.state.assembled == dict.fromkeys(held, FULL)


def test_why_says_that_the_harness_took_a_page_out():
    """What stands is new or was kept; what is absent left, or was rewound."""
    given = recorded(page(1), page(2), page(3))
    given.turn()
    given.when(cut(Cut.COMPACT, left=[1]))
    given.when(cut(Cut.REWIND, left=[2], boundary=Boundary.PRUNE))
    given.when(page(4))
    told = {each.page_id: (each.by, each.stop) for each in trace(given.state, e.TurnBegan()).candidates}
    assert told == {
        "p1": (None, Stop.LEFT),
        "p2": (None, Stop.REWOUND),
        "p3": (Kept.KEPT, Stop.TOP),
        "p4": (ChangeReason.ARRIVAL, Stop.TOP),
    }


def test_a_rewind_takes_the_thoughts_of_an_answer_that_no_prompt_had_shown():
    """The session goes back right after an answer: its thoughts leave with it."""
    given = recorded(page(1, tokens=100))
    given.turn()
    given.when(e.ModelResponded(thinking="0" * 64, thinking_tokens=30))
    given.when(page(2, PageType.CONVERSATION, tokens=10, author=Author.MODEL))
    given.when(cut(Cut.REWIND, left=[2], boundary=Boundary.PRUNE))
    assert prompt(given.turn()).tokens == 100
