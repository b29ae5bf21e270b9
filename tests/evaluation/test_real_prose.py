"""What the report says of recorded sessions follows from its figures, whichever way they fall."""

from __future__ import annotations

import pytest

from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.real_kinds import measured
from clawvm_es.evaluation.real_prose import paragraphs
from clawvm_es.evaluation.sessions import CHAT, Found, Sessions
from clawvm_es.evaluation.verdict import Measured

NAMES = ("compaction_hybrid", "lru", "clawvm")
NOTHING = Sessions((), {}, {})


def told(clawvm=(4, 900), hybrid=(9, 2_000), fit=3):
    """A kind and its paragraphs: five sessions, one budget; `lru` misses 5 of 8 needs, at 1,000 uncached tokens."""
    policies = {"compaction_hybrid": (*hybrid, 7), "lru": (5, 1_000, 0), "clawvm": (*clawvm, 0)}
    figures = {
        name: {"misses": misses, "uncached_tokens": uncached, "tokens": 2_000, "faults": faults}
        for name, (misses, uncached, faults) in policies.items()
    }
    rows = [
        Measured(
            Found(f"s{number}", "openai_chat", "", "", "", "", 1, 8, 1, 9_000, 0),
            "held_out",
            2_000,
            {"needs": 8, "fit": fit, "policies": figures},
            {"misses": 0, "uncached_tokens": 0},
        )
        for number in range(5)
    ]
    kind = measured(CHAT, rows, NAMES)
    return kind, list(paragraphs(NOTHING, [kind], [POLICIES[name] for name in NAMES], 0))


def test_the_goal_and_what_the_part_held_out_can_show_come_first():
    """A reader knows what was aimed at, and what was chosen with which sessions in sight, before any figure."""
    _, found = told()
    assert found[0].startswith("The goal: ") and "1.1 times" in found[0]
    assert "exponents and weights" in found[1] and "explored with all sessions" in found[1]


@pytest.mark.parametrize(("uncached", "word"), [(1_100, "holds"), (1_101, "does not hold")])
def test_uncached_tokens_beyond_the_limit_are_named_with_their_budget(uncached, word):
    """The goal fails by the first token beyond it, and the report says where."""
    _, found = told(clawvm=(4, uncached))
    (sentence,) = [text for text in found if "goal on the part held out" in text]
    assert f"held out: {word}." in sentence
    assert ("110.1 % at 2,000 tokens" in sentence) == (word != "holds")
    assert ("100.0 % of the tokens of lru's" in sentence) == (word != "holds")


def test_more_misses_than_lru_are_named_with_their_budget():
    """A goal that is not met by misses says by how many."""
    _, found = told(clawvm=(6, 900))
    assert any("at every budget: no (above at 2,000: +5)" in text for text in found)


def test_policies_outside_the_contract_that_miss_less_are_named():
    """A policy that lets rules go is not passed over where it misses less; its faults stand beside its misses."""
    _, found = told(hybrid=(2, 2_000))
    (sentence,) = [text for text in found if "that hold no floors" in text]
    assert "compaction_hybrid -15 [-15, -15], 35 faults" in sentence
    assert "what is required fills the prompt" not in sentence
    assert not any("that hold no floors" in text for text in told(hybrid=(5, 2_000))[1])


def test_budgets_that_leave_no_room_are_named():
    """Where no choice could meet a need, the report says so instead of leaving a row of misses unexplained."""
    _, found = told(hybrid=(2, 2_000), fit=8)
    assert any("At 2,000 tokens what is required fills the prompt" in text for text in found)


@pytest.mark.parametrize(("uncached", "said"), [(500, True), (900, False)])
def test_the_cheapest_policy_is_named_if_it_is_outside_the_contract(uncached, said):
    """Misses are not the only cost: who sends the fewest uncached tokens stands beside them."""
    _, found = told(hybrid=(9, uncached))
    price = [text for text in found if "the fewest uncached tokens" in text]
    assert bool(price) == said
    assert all("50.0 % of lru's at +20 [+20, +20] misses; clawvm: 90.0 %" in text for text in price)
