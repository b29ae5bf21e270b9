"""The policies that the evaluation compares, in report order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.core.profiles import (
    CLAWVM,
    CLAWVM_PAPER,
    CLAWVM_TURN,
    COMPACTION_HYBRID,
    LRU,
    RECORDED,
    RETRIEVAL,
    RETRIEVAL_CACHE,
    fixed,
)
from clawvm_es.errors import UsageError
from clawvm_es.model.profile import Profile

HORIZON: Final = 3
"""Turns that the oracle sees, the one that begins included."""


@attrs.frozen
class Policy:
    """A policy under evaluation: its profile, its description in one line, and how many turns it looks ahead.

    With a `horizon` it is offline: it knows the needs of this many turns, from the present one on (`oracle`).
    """

    name: str
    profile: Profile
    horizon: int = 0
    says: str = ""

    @property
    def contract(self) -> bool:
        """Tell whether it shows no faults by construction."""
        return self.profile.capabilities == CLAWVM.capabilities


def _with(base: Profile, says: str) -> tuple[Policy, Policy]:
    """A baseline, and the same with bootstrap in every prompt."""
    more = f"{base.name}, and the instructions (bootstrap, at its floor) in every prompt"
    return Policy(base.name, base, says=says), Policy(f"{base.name}+fixed", fixed(base), says=more)


_ALL: Final = (
    *_with(
        RETRIEVAL,
        "what is new, and the 8 best full-text matches (BM25) for what user and model said last, whole pages",
    ),
    *_with(
        RETRIEVAL_CACHE,
        "retrieval, and tool results whole, those used last first, as long as they fit: an LRU cache of results",
    ),
    *_with(
        COMPACTION_HYBRID,
        "an append-only context: a flush prompt saves what is dirty at 60 % fill, at 80 % it is compacted to a "
        "summary of 10 % (newest pages at their lowest level); the 8 best matches are added for each message "
        "of the user",
    ),
    Policy(
        "lru",
        LRU,
        says="the whole contract; at epochs, between which the prompt only grows, pages above the floors are taken "
        "by how recently they were used",
    ),
    Policy(
        "clawvm_paper",
        CLAWVM_PAPER,
        says="the whole contract; above the floors levels stand by the paper's utility per token",
    ),
    Policy(
        "clawvm_turn",
        CLAWVM_TURN,
        says="clawvm as the last release had it: selected anew at every turn",
    ),
    Policy(
        "clawvm",
        CLAWVM,
        says="the whole contract; at epochs, between which the prompt only grows, pages above the floors are taken "
        "by how likely they are needed again (core.reuse)",
    ),
    Policy(
        "oracle",
        attrs.evolve(LRU, name="oracle"),
        HORIZON,
        f"offline: lru that first raises what this and the next {HORIZON - 1} turns need",
    ),
)
POLICIES: Final[Mapping[str, Policy]] = MappingProxyType({policy.name: policy for policy in _ALL})
"""All policies by name, in report order."""


HARNESS: Final = Policy(
    "recorded", RECORDED, says="the recorded harness itself: everything in full until it dropped it; it has no budget"
)
"""The arm of recorded sessions that is no policy of ours, and in no table beside workloads."""


def policy(name: str) -> Policy:
    """The policy called `name`; raises `UsageError`, which lists the known names."""
    try:
        return POLICIES[name]
    except KeyError:
        raise UsageError(f"unknown policy {name!r}", hint=f"one of {', '.join(POLICIES)}") from None
