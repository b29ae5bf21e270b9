"""A policy as data: the profile that `session_opened` records and that the selector reads."""

from __future__ import annotations

from enum import StrEnum

import attrs


class Capability(StrEnum):
    """One mechanism of the contract; a weak policy, or a mutation under test, lacks some of them."""

    FLOORS = "floors"
    BOUNDARY_FLOORS = "boundary_floors"
    STAGING = "staging"
    RESOLUTION = "resolution"
    VALIDITY = "validity"
    RECALL_OUTCOME = "recall_outcome"
    PREFETCH = "prefetch"


class Rule(StrEnum):
    """How the budget above the floors is spent (§5 phase 2): hulls by utility, recency, or retrieval."""

    HULL = "hull"
    RECENCY = "recency"
    RETRIEVAL = "retrieval"


class Order(StrEnum):
    """In which order the `hull` rule takes steps: gain per token, or gain."""

    DENSITY = "density"
    RANK = "rank"


@attrs.frozen
class Weights:
    """Integer parameters of the utility, in permille; without defaults, so that each log holds its own."""

    pin_hard: int
    pin_soft: int
    recency: int
    cost: int
    boot: int
    plan: int
    scope: int


@attrs.frozen
class Profile:
    """Name, version, capabilities, selection rule, order and integer parameters of a policy.

    Nothing here has a default: the whole profile stands in `session_opened`, whatever later versions ship.
    """

    name: str
    version: int
    capabilities: tuple[Capability, ...]
    rule: Rule
    order: Order
    weights: Weights
    top_k: int
