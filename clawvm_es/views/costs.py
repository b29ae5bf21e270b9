"""Documents of cost: what a provider reported in dollars, and our own counts in input tokens, never mixed.

`reported` is the usage of a session's answers, priced model by model; it includes the system prompt and tool
schemas, which transcripts lack. `counted` are the prompts by our own counts, at each price list; for an imported
session they hold only what was recorded, so that two policies can be compared on the same inputs. An unknown price
is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from clawvm_es import prices as lists
from clawvm_es.engine.titles import opened_text
from clawvm_es.prices import Spent, Used
from clawvm_es.projections.session import USAGES

if TYPE_CHECKING:
    from clawvm_es.history.figures import Figures
    from clawvm_es.journal.ports import EventLog
    from clawvm_es.projections.rows import SessionRow

_FIVE_MINUTES_S: Final = 300
_HOUR_S: Final = 3600
DEFAULT: Final = "anthropic-5m"
"""The list at which costs are shown where none is named."""
_PLACES: Final = 6
"""Decimal places of dollars."""


def cost(log: EventLog, row: SessionRow, prices: str | None = None) -> dict[str, Any]:
    """The cost of one session; `prices` names the list for reported usage (None: that of each model's provider)."""
    by_model = [_model(name, used, prices) for name, used in _usages(log, row)]
    return {"reported": _reported(by_model), "counted": counted(spent(row), prices)}


def summed(log: EventLog, rows: Iterable[SessionRow], prices: str | None = None) -> dict[str, Any]:
    """The total cost of several sessions, by model, largest first; by our counts, the sum over all sessions."""
    usages: dict[str | None, dict[str, int]] = {}
    ours = counted(Spent(), prices)
    for row in rows:
        for name, used in _usages(log, row):
            so_far = usages.setdefault(name, dict.fromkeys(used, 0))
            usages[name] = {key: so_far[key] + tokens for key, tokens in used.items()}
        one = counted(spent(row), prices)
        costs = {name: tokens + one["input_tokens"][name] for name, tokens in ours["input_tokens"].items()}
        ours |= {name: ours[name] + one[name] for name in ("cost", "turns", "timed")} | {"input_tokens": costs}
    ordered = sorted(usages.items(), key=lambda each: (-each[1]["input_tokens"], each[0] or ""))
    by_model = [_model(name, used, prices) for name, used in ordered]
    return {"reported": _reported(by_model), "counted": ours}


def of_run(found: Figures, prices: str | None = None) -> dict[str, Any]:
    """The cost of a run by our counts."""
    return counted(found.spent, prices)


def counted(found: Spent, prices: str | None = None) -> dict[str, Any]:
    """Cost by our counts, in input tokens: at the shown list, and at every list.

    `timed` counts the turns with a known idle time; in the others the cache counts as warm.
    """
    names = (*lists.NAMES, *((prices,) if prices and prices not in lists.NAMES else ()))
    costs = found.costs(names)
    return {
        "at": prices or DEFAULT,
        "cost": costs[prices or DEFAULT],
        "input_tokens": costs,
        "turns": found.turns,
        "timed": found.timed,
    }


def priced(prices: str | None = None) -> dict[str, Any]:
    """The price list of the shown costs: its prices, source and date."""
    found = lists.named(prices or DEFAULT)
    return {
        "name": prices or DEFAULT,
        "source": found.source,
        "date": found.date,
        "says": found.says,
        "model": found.reference,
        "read_permille": found.read_price,
        "write_permille": found.write_price,
        "ttl_s": found.ttl_s,
        "ttl_known": found.ttl_known,
    }


def spent(row: SessionRow) -> Spent:
    """The tokens of a session's prompts, from its row of the read models."""
    held = {_FIVE_MINUTES_S: row.held_5m_tokens, _HOUR_S: row.held_1h_tokens - row.held_5m_tokens}
    return Spent(row.tokens, held, row.again_tokens, row.turns, row.timed_turns)


def _usages(log: EventLog, row: SessionRow) -> list[tuple[str | None, dict[str, int]]]:
    """The models of a session (None: unknown, or erased) that reported usage, with their usage."""
    vault, found = log.vault(row.session_id), []
    for usage in USAGES.decode(row.usage_by_model).values():
        used = {
            "answers": usage.answers,
            "input_tokens": usage.input_tokens,
            "cached_tokens": usage.cached_tokens,
            "written_tokens": usage.written_tokens,
            "output_tokens": usage.output_tokens,
        }
        if usage.input_tokens or usage.output_tokens:
            found.append((opened_text(vault, usage.name), used))
    return found


def _model(name: str | None, used: Mapping[str, int], prices: str | None) -> dict[str, Any]:
    told = {key: tokens for key, tokens in used.items() if key != "answers"}
    known = None if name is None else lists.of_model(name, (prices,) if prices else lists.NAMES)
    usd = None if known is None else lists.dollars(Used(**told), name or "", prices if prices else known[0].name)
    return {
        "model": name,
        **used,
        "prices": None if known is None else known[0].name,
        "family": None if known is None else known[1].name,
        "usd": _usd(usd),
    }


def _reported(by_model: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The models together; `usd` is the sum over known prices, `unknown` names the other models."""
    known = [Decimal(str(each["usd"])) for each in by_model if each["usd"] is not None]
    return {
        "usd": _usd(sum(known, Decimal(0))) if known else None,
        "unknown": [each["model"] or "a model that is not named" for each in by_model if each["usd"] is None],
        "by_model": list(by_model),
    }


def _usd(amount: Decimal | None) -> float | None:
    return None if amount is None else round(float(amount), _PLACES)
