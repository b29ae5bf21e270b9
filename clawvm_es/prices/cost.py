"""The cost of prompts: of what a provider reported, and of what we count.

| tokens of a prompt | price |
|---|---|
| that the provider holds in its cache | read |
| others | write, since the prompt that comes next begins with them |

A page that was missing costs one more round trip: its prompt is sent again, all of it from the cache. What the model
answers in it is not known and not counted. A cache is cold, and holds nothing, after more idle seconds than it lasts;
where times are not known it is taken to be warm.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs

from clawvm_es.prices.lists import NAMES, PriceList, named, of_model

_MILLION: Final = Decimal(1_000_000)


@attrs.frozen
class Used:
    """Usage that a provider reported: `input_tokens` include those read from its cache and those written to it."""

    input_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 0


def dollars(used: Used, model: str, prices: str | Path | None = None) -> Decimal | None:
    """US dollars that a reported usage cost; None where no list (or not the one named) knows the model.

    A price of the model that is not published makes it None too, if tokens were used that it is the price of.
    """
    if prices is None:
        found = of_model(model)
    else:
        its = named(prices)
        known = its.family(model)
        found = None if known is None else (its, known)
    if found is None:
        return None
    its, family = found
    plain = max(used.input_tokens - used.cached_tokens - used.written_tokens, 0)
    parts = (
        (plain, family.input),
        (used.cached_tokens, family.cache_read),
        (used.written_tokens, its.written(family)),
        (used.output_tokens, family.output),
    )
    if any(tokens and price is None for tokens, price in parts):
        return None
    return sum((tokens * (price or 0) / _MILLION for tokens, price in parts), Decimal(0))


@attrs.define
class Spent:
    """Tokens of the prompts of a run, told apart by whether the provider may hold them.

    `tokens` of all prompts; `held` those of them with which the prompt before began too, by the idle seconds between
    the two (0 where times are not known); `again` is what the round trips send that missing pages cost. `turns`
    counts prompts, `timed` those of which the idle time is known.
    """

    tokens: int = 0
    held: dict[int, int] = attrs.field(factory=dict)
    again: int = 0
    turns: int = 0
    timed: int = 0
    last: int = 0  # tokens of the newest prompt

    def prompt(self, tokens: int, prefix: int, idle_s: int | None) -> None:
        """Count a prompt of which the first `prefix` tokens are those of the prompt before."""
        self.tokens += tokens
        self.turns += 1
        self.timed += idle_s is not None
        self.last = tokens
        self.held[idle_s or 0] = self.held.get(idle_s or 0, 0) + prefix

    def missed(self) -> None:
        """Count a page that was not in the newest prompt: that prompt is sent again."""
        self.again += self.last

    def cached(self, ttl_s: int) -> int:
        """Tokens that a cache held which lasts so many seconds."""
        return sum(tokens for idle_s, tokens in self.held.items() if idle_s <= ttl_s)

    def cost(self, prices: PriceList) -> int:
        """Cost at a price list, in input tokens, rounded down."""
        cached = self.cached(prices.ttl_s)
        uncached = self.tokens - cached
        return (uncached * prices.write_price + (cached + self.again) * prices.read_price) // 1000

    def costs(self, names: Sequence[str] = NAMES) -> dict[str, int]:
        """Cost at some lists, by name, in input tokens."""
        return {name: self.cost(named(name)) for name in names}
