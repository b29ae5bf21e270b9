"""The policies that ship, by name, and the mutations that prove the observer sees what they break."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.model.profile import Capability, Order, Profile, Rule

CLAWVM: Final = Profile("clawvm")
"""The paper's policy: floors, hulls in density order, page-ins, validated writeback."""
CLAWVM_RANK: Final = Profile("clawvm_rank", order=Order.RANK)
"""The same with steps taken by gain, not by gain per token."""
LRU: Final = Profile("lru", rule=Rule.RECENCY)
"""All of ClawVM's structure; what is above the floors is ranked by recency alone."""
RETRIEVAL: Final = Profile("retrieval", capabilities=(), rule=Rule.RETRIEVAL, top_k=8)
"""A prompt of what is new and of the `top_k` best full-text matches for the last user message; no contract."""

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {profile.name: profile for profile in (CLAWVM, CLAWVM_RANK, LRU, RETRIEVAL)}
)


def profile(name: str) -> Profile:
    """The profile called `name`; raises `UsageError` that lists the known ones."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
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
    """`base` with mechanisms broken; its name says which."""
    if not missing:
        return base
    kept = tuple(capability for capability in base.capabilities if capability not in missing)
    name = f"{base.name}-without-{'-'.join(missing)}"
    return attrs.evolve(base, name=name, capabilities=kept)
