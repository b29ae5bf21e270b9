"""The policies that ship, by name, and deliberately broken ones that prove the observer sees each fault."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.model.profile import CONTRACT, Capability, Order, Paging, Profile, Rule, Weights

PAPER_WEIGHTS: Final = Weights(
    pin_hard=2000,  # paper
    pin_soft=600,  # paper
    recency=600,  # paper
    cost=400,  # paper
    boot=1000,  # ours
    plan=800,  # ours
    scope=300,  # ours
    holds_record=0,
    holds_result=0,
    holds_said=0,
    holds_told=0,
    holds_stated=0,
    reuse=0,
)
"""The weights of the ClawVM paper, and ours where it gives none; permille."""
REUSE_WEIGHTS: Final = attrs.evolve(
    PAPER_WEIGHTS,
    recency=0,
    cost=0,
    holds_record=1000,
    holds_result=300,
    holds_said=80,
    holds_told=150,
    holds_stated=1000,
    reuse=500,
)
"""Weights of likely need, as measured on recorded coding sessions; pins, plans and scopes add to it."""

CLAWVM_TURN: Final = Profile(
    name="clawvm_turn",
    version=2,
    capabilities=CONTRACT,
    rule=Rule.REUSE,
    order=Order.RANK,
    weights=REUSE_WEIGHTS,
    top_k=0,
    flush_permille=0,
    compact_permille=0,
    summary_permille=0,
    paging=Paging.TURN,
    low_permille=0,
    cold_low_permille=0,
    rent_permille=0,
    read_price=0,
    write_price=0,
    ttl_s=0,
)
"""The contract, and what is above the floors ranked by how likely it is needed again, anew at every turn."""


def in_epochs(base: Profile) -> Profile:
    """`base` with paging in epochs, at the prices of the list `anthropic-5m`.

    The prices are part of a profile's version, so they are fixed here: the core reads no file, and a renewed price
    list must not change the decisions of a version. A test compares both; where they differ, add a version. Marks and
    threshold were chosen by simulation on recorded coding sessions. The marks are near each other, because holding a
    page for an epoch costs nearly the same after a pause.
    """
    return attrs.evolve(
        base,
        paging=Paging.EPOCHS,
        low_permille=300,
        cold_low_permille=210,
        rent_permille=3_000,
        read_price=100,
        write_price=1_250,
        ttl_s=300,
    )


CLAWVM: Final = attrs.evolve(in_epochs(CLAWVM_TURN), name="clawvm", version=7, rule=Rule.COPY_REUSE)
"""The same in epochs, between which the prompt only grows, so that a provider's cache serves it; what is above the
floors is ranked by how likely it is needed in an epoch."""
CLAWVM_PAPER: Final = attrs.evolve(
    CLAWVM_TURN, name="clawvm_paper", version=1, rule=Rule.HULL, order=Order.DENSITY, weights=PAPER_WEIGHTS
)
"""The paper's policy: the contract, with its weights, and hulls in density order."""
CLAWVM_RANK: Final = attrs.evolve(CLAWVM_PAPER, name="clawvm_rank", order=Order.RANK)
"""The same with steps taken by gain, not by gain per token."""
LRU_TURN: Final = attrs.evolve(CLAWVM_PAPER, name="lru_turn", rule=Rule.RECENCY)
"""All of ClawVM's structure; what is above the floors is ranked by recency alone."""
LRU: Final = attrs.evolve(in_epochs(LRU_TURN), name="lru", version=5)
"""The same in epochs."""
RETRIEVAL: Final = attrs.evolve(
    CLAWVM_PAPER, name="retrieval", capabilities=(Capability.SCORING,), rule=Rule.RETRIEVAL, top_k=8
)
"""A prompt of what is new and of the `top_k` best full-text matches for the last user message; no contract."""

RETRIEVAL_CACHE: Final = attrs.evolve(RETRIEVAL, name="retrieval_cache", rule=Rule.RETRIEVAL_CACHE)
"""The same, and what is left holds tool results, those used last first: none is fetched twice while it fits."""
COMPACTION_HYBRID: Final = attrs.evolve(
    RETRIEVAL,
    name="compaction_hybrid",
    capabilities=(Capability.SCORING, Capability.FLUSH_STAGING),
    rule=Rule.COMPACTION,
    flush_permille=600,
    compact_permille=800,
    summary_permille=100,
)
"""A context that grows until it is compacted to a summary; a flush prompt saves what is dirty before that, and what
is retrieved for a message of the user is added."""


RECORDED: Final = attrs.evolve(
    CLAWVM_TURN,
    name="recorded",
    version=1,
    capabilities=(Capability.STAGING, Capability.RECALL_OUTCOME),
    rule=Rule.RECORDED,
    weights=Weights(*[0] * 13),
    paging=Paging.EPOCHS,
)
"""The harness's own residency: everything in full until it took it out; the budget is 0 for none, and binds nothing.

It writes back at boundaries, so that the durable store holds what was written; it selects and resolves nothing.
"""


def fixed(base: Profile) -> Profile:
    """`base` with the floors of bootstrap pages in every prompt, like a harness that sends its instructions each
    time.
    """
    capabilities = (*base.capabilities, Capability.FIXED_BOOTSTRAP)
    return attrs.evolve(base, name=f"{base.name}+fixed", capabilities=capabilities)


_BASELINES: Final = (RETRIEVAL, RETRIEVAL_CACHE, COMPACTION_HYBRID)
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            *(CLAWVM, CLAWVM_TURN, CLAWVM_PAPER, CLAWVM_RANK, LRU, LRU_TURN, RECORDED),
            *(each for base in _BASELINES for each in (base, fixed(base))),
        )
    }
)
OFFLINE: Final = ("oracle",)
"""Policies that look ahead, which no session can: the evaluation alone runs them."""


def profile(name: str) -> Profile:
    """The profile called `name`; raises `UsageError`, which lists the known names."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        if name in OFFLINE:
            hint = f"it needs to know what comes, so that only `clawvm eval` runs it; known policies: {known}"
            raise UsageError(f"policy {name!r} is offline", hint=hint) from None
        raise UsageError(f"unknown policy {name!r}", hint=f"known policies: {known}") from None


MUTATIONS: Final = (
    Capability.FLOORS,
    Capability.BOUNDARY_FLOORS,
    Capability.STAGING,
    Capability.RESOLUTION,
    Capability.VALIDITY,
    Capability.RECALL_OUTCOME,
)
"""The six mechanisms whose absence must show as a fault (§6)."""


def without(base: Profile, *missing: Capability) -> Profile:
    """`base` without the given mechanisms; its name lists them."""
    if not missing:
        return base
    kept = tuple(capability for capability in base.capabilities if capability not in missing)
    name = f"{base.name}-without-{'-'.join(missing)}"
    return attrs.evolve(base, name=name, capabilities=kept)
