"""The policies that ship, number by number: recorded sessions name them, so a version never changes what it says."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import PROFILES, fixed
from clawvm_es.model.profile import WEAK, Capability, Order, Paging, Rule

PAPER = {"pin_hard": 2000, "pin_soft": 600, "recency": 600, "cost": 400, "boot": 1000, "plan": 800, "scope": 300}
NOTHING = dict.fromkeys(("holds_record", "holds_result", "holds_said", "holds_told", "holds_stated", "reuse"), 0)
KINDS = {"holds_record": 1000, "holds_result": 300, "holds_said": 80, "holds_told": 150, "holds_stated": 1000}
REUSE = {**PAPER, "recency": 0, "cost": 0, **KINDS, "reuse": 500}
CONTRACT = tuple(each for each in Capability if each not in WEAK)
SCORING, FLUSH, BOOTSTRAP = Capability.SCORING, Capability.FLUSH_STAGING, Capability.FIXED_BOOTSTRAP
STAGING, RECALL = Capability.STAGING, Capability.RECALL_OUTCOME
EPOCHS = (Paging.EPOCHS, 300, 210, 3_000, 100, 1_250, 300)
POLICIES = {
    "clawvm": (7, CONTRACT, Rule.COPY_REUSE, Order.RANK, REUSE, (0, 0, 0, 0)),
    "clawvm_turn": (2, CONTRACT, Rule.REUSE, Order.RANK, REUSE, (0, 0, 0, 0)),
    "clawvm_paper": (1, CONTRACT, Rule.HULL, Order.DENSITY, {**PAPER, **NOTHING}, (0, 0, 0, 0)),
    "clawvm_rank": (1, CONTRACT, Rule.HULL, Order.RANK, {**PAPER, **NOTHING}, (0, 0, 0, 0)),
    "lru": (5, CONTRACT, Rule.RECENCY, Order.DENSITY, {**PAPER, **NOTHING}, (0, 0, 0, 0)),
    "lru_turn": (1, CONTRACT, Rule.RECENCY, Order.DENSITY, {**PAPER, **NOTHING}, (0, 0, 0, 0)),
    "retrieval": (1, (SCORING,), Rule.RETRIEVAL, Order.DENSITY, {**PAPER, **NOTHING}, (8, 0, 0, 0)),
    "retrieval_cache": (1, (SCORING,), Rule.RETRIEVAL_CACHE, Order.DENSITY, {**PAPER, **NOTHING}, (8, 0, 0, 0)),
    "recorded": (
        1,
        (STAGING, RECALL),
        Rule.RECORDED,
        Order.RANK,
        {**dict.fromkeys(PAPER, 0), **NOTHING},
        (0, 0, 0, 0),
    ),
    "compaction_hybrid": (
        *(1, (SCORING, FLUSH), Rule.COMPACTION, Order.DENSITY),
        *({**PAPER, **NOTHING}, (8, 600, 800, 100)),
    ),
}
"""Name → version, mechanisms, rule, order, weights, (top_k, flush, compact, summary)."""


def numbers(profile):
    """A policy as a row of that table."""
    weights = {name: getattr(profile.weights, name) for name in {**PAPER, **NOTHING}}
    shares = (profile.top_k, profile.flush_permille, profile.compact_permille, profile.summary_permille)
    return profile.version, profile.capabilities, profile.rule, profile.order, weights, shares


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_what_its_version_says(name):
    """Change a number and you have another version."""
    assert PROFILES[name].name == name and numbers(PROFILES[name]) == POLICIES[name]


PAGED = {"clawvm": EPOCHS, "lru": EPOCHS, "recorded": (Paging.EPOCHS, 0, 0, 0, 0, 0, 0)}
"""Name → paging, marks for a warm and a cold cache, rent, prices of reading and writing, seconds; else by turn."""


@pytest.mark.parametrize("name", PROFILES)
def test_a_policy_pages_as_its_version_says(name):
    """Two policies and the recorded one page in epochs, at the marks and prices that they were measured with."""
    profile = PROFILES[name]
    marks = (profile.paging, profile.low_permille, profile.cold_low_permille, profile.rent_permille)
    prices = (profile.read_price, profile.write_price, profile.ttl_s)
    assert (*marks, *prices) == PAGED.get(name, (Paging.TURN, 0, 0, 0, 0, 0, 0))


def test_weak_policies_come_with_a_fixed_bootstrap_too():
    """The three baselines, each as `+fixed`, and nothing else."""
    weak = ("retrieval", "retrieval_cache", "compaction_hybrid")
    assert set(PROFILES) == {*POLICIES, *(f"{name}+fixed" for name in weak)}
    for name in weak:
        version, capabilities, *rest = POLICIES[name]
        assert numbers(PROFILES[f"{name}+fixed"]) == (version, (*capabilities, BOOTSTRAP), *rest)
        assert fixed(PROFILES[name]) == PROFILES[f"{name}+fixed"]
