"""Cost: reported usage in dollars, and our own counts in input tokens."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es import prices

TOKENS = st.integers(0, 10**6)
PROMPTS = st.lists(st.tuples(TOKENS, st.integers(0, 1000), st.none() | st.integers(0, 10_000)), max_size=20)


def spent(prompts) -> prices.Spent:
    """The tokens of some prompts: how many, what share of them is the prefix, how long nothing was asked."""
    found = prices.Spent()
    for tokens, share, idle_s in prompts:
        found.prompt(tokens, tokens * share // 1000, idle_s)
    return found


def test_reported_usage_is_priced_part_by_part():
    """A million tokens each: plain, read, written and answered, at the published prices of one model."""
    used = prices.Used(3_000_000, cached_tokens=1_000_000, written_tokens=1_000_000, output_tokens=1_000_000)
    parts = Decimal("5") + Decimal("0.5") + Decimal("6.25") + Decimal("25")
    assert prices.dollars(used, "claude-opus-4-5-20251101", "anthropic-5m") == parts
    assert prices.dollars(used, "claude-opus-4-5-20251101", "anthropic-1h") == parts + Decimal("3.75")
    assert prices.dollars(used, "claude-opus-4-5-20251101", "openai") is None


def test_a_prompt_is_paid_by_what_the_cache_holds():
    """The first prompt is written, the second reads its prefix; after too long a pause none does."""
    found = spent([(1000, 0, None), (1500, 1000, 10), (2000, 500, 400)])
    assert found.cached(300) == 1500 and found.cached(3600) == 2500
    assert found.cost(prices.named("anthropic-5m")) == (3000 * 1250 + 1500 * 100) // 1000
    assert found.cost(prices.named("anthropic-1h")) == (2000 * 2000 + 2500 * 100) // 1000
    assert (found.turns, found.timed) == (3, 2)


def test_a_missing_page_costs_a_round_trip():
    """The newest prompt is sent once more, all of it from the cache."""
    found = spent([(1000, 0, None)])
    before = found.cost(prices.named("openai"))
    found.missed()
    found.missed()
    assert found.cost(prices.named("openai")) == before + 2 * 1000 // 10


@given(PROMPTS)
def test_a_longer_cache_never_holds_less(prompts):
    """What a cache of five minutes holds, one of an hour does; the whole is between all read and all written."""
    found = spent(prompts)
    assert found.cached(300) <= found.cached(3600) <= found.tokens
    for name, cost in found.costs().items():
        its = prices.named(name)
        assert found.tokens * its.read_price // 1000 <= cost <= found.tokens * its.write_price // 1000


@given(PROMPTS, PROMPTS)
def test_costs_add_up(one, other):
    """The tokens of two runs together are those of the one and of the other."""
    together = spent(one + other)
    assert together.tokens == spent(one).tokens + spent(other).tokens
    assert together.cached(300) == spent(one).cached(300) + spent(other).cached(300)
