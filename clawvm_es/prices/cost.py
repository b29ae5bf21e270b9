"""The cost of prompts: by a provider's reported usage, and by our own counts.

| tokens of a prompt | price |
|---|---|
| in the provider's cache | read |
| others | write, since the next prompt begins with them |

A missing page costs one more round trip: its prompt is sent again, all of it from the cache. The model's answer in
that round trip is unknown and not counted. A cache is cold, and holds nothing, once the idle time exceeds its
lifetime; if times are unknown the cache counts as warm.
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
    """US dollars of a reported usage; None if no list (or not the named one) knows the model.

    Also None if tokens were used whose price is not published.
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
    """Tokens of the prompts of a run, split by whether the provider may hold them.

    `tokens` counts all prompts; `held` those of them that repeat the beginning of the last prompt, by the idle
    seconds between the two (0 if unknown); `again` counts the round trips for missing pages. `turns` is the number of
    prompts, `timed` the number of those with a known idle time.
    """

    tokens: int = 0
    held: dict[int, int] = attrs.field(factory=dict)
    again: int = 0
    turns: int = 0
    timed: int = 0
    last: int = 0  # tokens of the newest prompt

    def prompt(self, tokens: int, prefix: int, idle_s: int | None) -> None:
        """Count a prompt whose first `prefix` tokens are those of the last prompt."""
        self.tokens += tokens
        self.turns += 1
        self.timed += idle_s is not None
        self.last = tokens
        self.held[idle_s or 0] = self.held.get(idle_s or 0, 0) + prefix

    def missed(self) -> None:
        """Count a page that was not in the newest prompt: that prompt is sent again."""
        self.again += self.last

    def cached(self, ttl_s: int) -> int:
        """Tokens held by a cache with a lifetime of the given seconds."""
        return sum(tokens for idle_s, tokens in self.held.items() if idle_s <= ttl_s)

    def cost(self, prices: PriceList) -> int:
        """Cost at a price list, in input tokens, rounded down."""
        cached = self.cached(prices.ttl_s)
        uncached = self.tokens - cached
        return (uncached * prices.write_price + (cached + self.again) * prices.read_price) // 1000

    def costs(self, names: Sequence[str] = NAMES) -> dict[str, int]:
        """Cost at some lists, by name, in input tokens."""
        return {name: self.cost(named(name)) for name in names}
