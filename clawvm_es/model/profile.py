"""A policy as data: the profile that `session_opened` records and that the selector reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.model.bounds import Count, Permille, Price, Rent, Weight


class Capability(StrEnum):
    """One mechanism of a policy; a weak policy, or a mutation under test, lacks some of the contract's mechanisms.

    Without `scoring` all pages have the same score, so that steps come by page number. Two mechanisms model harnesses
    without a contract: `flush_staging` stages dirty pages at flush and save boundaries only, and `fixed_bootstrap`
    installs the floors of bootstrap pages, and of no others, at every assembly.
    """

    FLOORS = "floors"
    BOUNDARY_FLOORS = "boundary_floors"
    STAGING = "staging"
    RESOLUTION = "resolution"
    VALIDITY = "validity"
    RECALL_OUTCOME = "recall_outcome"
    PREFETCH = "prefetch"
    SCORING = "scoring"
    FLUSH_STAGING = "flush_staging"
    FIXED_BOOTSTRAP = "fixed_bootstrap"


WEAK: Final = (Capability.FLUSH_STAGING, Capability.FIXED_BOOTSTRAP)
"""Substitutes for mechanisms of the contract, in policies that have none."""
CONTRACT: Final = tuple(capability for capability in Capability if capability not in WEAK)
"""All mechanisms of the contract."""


class Rule(StrEnum):
    """Names of the rules that spend the budget above the floors (phase 2); each has a row in `RULES`."""

    HULL = "hull"
    RECENCY = "recency"
    REUSE = "reuse"
    EPOCH_REUSE = "epoch_reuse"
    EXCHANGE_REUSE = "exchange_reuse"
    COPY_REUSE = "copy_reuse"
    RETRIEVAL = "retrieval"
    RETRIEVAL_CACHE = "retrieval_cache"
    COMPACTION = "compaction"
    RECORDED = "recorded"


class Key(StrEnum):
    """Order in which the selection index holds the steps of pages."""

    GAIN = "gain"
    """By gain, or gain per token: the profile's `Order` says."""
    RECENCY = "recency"
    """By the turn of the last use."""
    REUSE = "reuse"
    """By how likely the page is needed in the next turn, over the root of its size."""
    EPOCH_REUSE = "epoch_reuse"
    """The same by how likely it is needed until the next epoch."""


@attrs.frozen
class RuleRow:
    """One row of the table of selection rules.

    - `key` orders the steps that phase 2 takes, if the rule `spends` on steps.
    - `whole_results`: the steps are tool results in full, and nothing else.
    - `retrieves`: the rule asks a retriever and installs its findings in full; with `at_user_messages` only after the
      user said something.
    - `keeps`: the last prompt's pages stay, there is no phase 2, and a compaction of the harness leaves a summary.
    - `recorded`: nothing is selected; everything stands in full until the harness took it out.
    - `leaves_room`: an epoch spends at most half of what floors and arrivals leave.
    - `spares_exchange`: no rent for the open exchange of messages, which an epoch would only write again.
    - `knows_copies`: a result that stood whole in an earlier page is scored as the model's own words.
    - `says` is the name that `why` gives to the order.
    """

    says: str = ""
    key: Key = Key.RECENCY
    spends: bool = True
    whole_results: bool = False
    retrieves: bool = False
    at_user_messages: bool = False
    keeps: bool = False
    recorded: bool = False
    leaves_room: bool = False
    spares_exchange: bool = False
    knows_copies: bool = False

    @property
    def compacts(self) -> bool:
        """Tell whether a recorded compaction or pruning of the harness moves pages under the rule."""
        return self.keeps or self.recorded


RULES: Final[Mapping[Rule, RuleRow]] = MappingProxyType(
    {
        Rule.HULL: RuleRow(key=Key.GAIN),
        Rule.RECENCY: RuleRow("recency"),
        Rule.REUSE: RuleRow("how likely it is needed again", key=Key.REUSE),
        Rule.EPOCH_REUSE: RuleRow("how likely it is needed in an epoch", key=Key.EPOCH_REUSE, leaves_room=True),
        Rule.EXCHANGE_REUSE: RuleRow(
            "how likely it is needed in an epoch", key=Key.EPOCH_REUSE, leaves_room=True, spares_exchange=True
        ),
        Rule.COPY_REUSE: RuleRow(
            "how likely it is needed in an epoch",
            key=Key.EPOCH_REUSE,
            leaves_room=True,
            spares_exchange=True,
            knows_copies=True,
        ),
        Rule.RETRIEVAL: RuleRow("retrieved", spends=False, retrieves=True),
        Rule.RETRIEVAL_CACHE: RuleRow("retrieved, then recency", whole_results=True, retrieves=True),
        Rule.COMPACTION: RuleRow(
            "kept, then retrieved", spends=False, retrieves=True, at_user_messages=True, keeps=True
        ),
        Rule.RECORDED: RuleRow("as recorded", spends=False, recorded=True),
    }
)
"""The table of selection rules: adding a rule is a member of `Rule`, a row here, and a profile that names it."""
if missing := [rule for rule in Rule if rule not in RULES]:
    raise AssertionError(f"rules without a row in RULES: {', '.join(missing)}")


class Paging(StrEnum):
    """Times at which the prompt is selected again: at every turn, or only at epochs, between which it only grows."""

    TURN = "turn"
    EPOCHS = "epochs"


class Order(StrEnum):
    """Order in which the `hull` rule takes steps: by gain per token, or by gain."""

    DENSITY = "density"
    RANK = "rank"


@attrs.frozen
class Weights:
    """Integer parameters of the utility, in permille; without defaults, so that each log holds its own.

    The last six say how likely a page is needed again by its kind of content: one file or record, another tool
    result, the model's words, words to the model, or permanent statements (rules, plans, preferences). `reuse` is
    added for each of its first three uses.
    """

    pin_hard: Weight
    pin_soft: Weight
    recency: Weight
    cost: Weight
    boot: Weight
    plan: Weight
    scope: Weight
    holds_record: Weight
    holds_result: Weight
    holds_said: Weight
    holds_told: Weight
    holds_stated: Weight
    reuse: Weight


@attrs.frozen
class Profile:
    """Name, version, capabilities, selection rule, order and integer parameters of a policy.

    No field has a default: `session_opened` records the whole profile, so later versions cannot change it. The
    harness compacts before a turn whose context fills `compact_permille` of the budget, and flushes dirty pages
    before a turn that fills `flush_permille` (0: never). A compaction leaves a summary of `summary_permille` of
    the budget (0: none).

    The other fields time epochs, and are 0 if paging is by turn: the fill levels kept with a warm and a cold cache,
    the rent after which an epoch pays, the provider's prices of reading from and writing to its cache (in permille of
    its input price), and the seconds for which it holds a prefix.
    """

    name: str
    version: Count
    capabilities: tuple[Capability, ...]
    rule: Rule
    order: Order
    weights: Weights
    top_k: Count
    flush_permille: Permille
    compact_permille: Permille
    summary_permille: Permille
    paging: Paging
    low_permille: Permille
    cold_low_permille: Permille
    rent_permille: Rent
    read_price: Price
    write_price: Price
    ttl_s: Count

    @property
    def retrieves(self) -> bool:
        """True if the profile's rule asks a retriever."""
        return RULES[self.rule].retrieves
