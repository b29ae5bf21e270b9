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
    """Integer parameters of the utility, in permille. Those marked (paper) are the paper's."""

    pin_hard: int = 2000  # paper
    pin_soft: int = 600  # paper
    recency: int = 600  # paper
    cost: int = 400  # paper
    boot: int = 1000
    plan: int = 800
    scope: int = 300


@attrs.frozen
class Profile:
    """Name, version, capabilities, selection rule, order and integer parameters of a policy."""

    name: str
    version: int = 1
    capabilities: tuple[Capability, ...] = tuple(Capability)
    rule: Rule = Rule.HULL
    order: Order = Order.DENSITY
    weights: Weights = Weights()
    top_k: int = 0
