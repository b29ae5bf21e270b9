"""Cost for people: reported dollars, and costs by our own counts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_CENTS_FROM: Final = 0.1
"""Dollars from which on two decimal places are enough."""


def dollars(usd: float | None) -> str:
    """An amount in dollars: `$12.34`, `$0.0042`, or `unknown`."""
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= _CENTS_FROM or not usd else f"${usd:,.4f}"


def reported(cost: Mapping[str, Any]) -> str:
    """The reported cost on one line, with its price list, and the models without a known price."""
    told = cost["reported"]
    if not told["by_model"]:
        return "not known: no answer was recorded with its usage"
    lists = dict.fromkeys(each["prices"] for each in told["by_model"] if each["usd"] is not None)
    known = f"{dollars(told['usd'])} at {', '.join(lists)}" if lists else ""
    unknown = f"no price list knows {', '.join(dict.fromkeys(told['unknown']))}" if told["unknown"] else ""
    return "; ".join(filter(None, (known, unknown)))


def recorded_usage(session: Mapping[str, Any]) -> bool:
    """Tell whether a session's answers record their tokens; if not, its zeros are not figures."""
    return bool(session["cost"]["reported"]["by_model"])


def input_tokens(session: Mapping[str, Any]) -> int | None:
    """Input tokens by the provider's count; None if none is recorded."""
    tokens: int = session["usage"]["input_tokens"]
    return tokens if recorded_usage(session) else None


def by_our_counts(cost: Mapping[str, Any]) -> str:
    """The cost by our counts on one line."""
    told = cost["counted"]
    untimed = told["turns"] - told["timed"]
    warm = f", the cache taken as warm in {untimed:,} turns without times" if untimed > 1 else ""
    return f"{told['cost']:,} input tokens at {told['at']}{warm}"


def at(prices: Mapping[str, Any]) -> str:
    """The price list of the shown costs, in a sentence."""
    kept = f"{prices['ttl_s']:,} s" if prices["ttl_known"] else f"{prices['ttl_s']:,} s, which is our reading"
    return (
        f"cost in input tokens at {prices['name']} ({prices['model']}, {prices['date']}): "
        f"{_times(prices['read_permille'])} for a cached token, {_times(prices['write_permille'])} for another, "
        f"kept {kept}; a miss is one more round trip"
    )


def _times(permille: int) -> str:
    return f"{permille / 1000:g}"
