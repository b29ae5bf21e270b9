"""The front of cost and misses in the report: the picture, its tables, and prose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawvm_es.core.budget import OUTPUT_DEFAULT, WINDOW_DEFAULT
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.evaluation.cells import Front, Table
from clawvm_es.evaluation.front import (
    COMPACTED,
    DEFAULT_LIST,
    HARNESS,
    KEPT_WHOLE,
    Beside,
    beside,
    population,
    populations,
    timed,
)
from clawvm_es.evaluation.harness import LISTS
from clawvm_es.evaluation.real_kinds import Kind
from clawvm_es.evaluation.split import below_home
from clawvm_es.evaluation.statistics import Share, percent, tenths
from clawvm_es.evaluation.timing import bound_permille
from clawvm_es.evaluation.verdict import ALL, CANDIDATE, Measured, at
from clawvm_es.evaluation.workload import MESSAGES
from clawvm_es.prices import named

NONE: Final = "–"
PICTURED_LEAST: Final = 16_000
"""Smallest budget in the picture: below it so much is missed that nothing else could be told apart."""
_ALL_TITLE: Final = "all that count"


def headline(kind: Kind) -> int:
    """The budget at which a kind of session is compared with its harness: the largest one run."""
    return kind.budgets[-1]


def origins(rows: Sequence[Measured]) -> int:
    """Count the checkouts (or tasks) of sessions; people's checkouts are compared by the path below the home."""
    return len({below_home(row.found.origin) for row in rows})


def picture(kind: Kind) -> Front:
    """Cost and misses of the harness, and of every policy at the larger budgets."""
    last = at(kind.rows, headline(kind))
    own = beside(last, HARNESS)
    budgets = [budget for budget in kind.budgets if budget >= PICTURED_LEAST] or kind.budgets
    points: dict[str, tuple[tuple[str, float, float], ...]] = {HARNESS: (("its own context", 100.0, own.misses),)}
    for policy in kind.policies:
        found = [(budget, beside(at(kind.rows, budget), policy)) for budget in budgets]
        points[policy] = tuple([_point(budget, its) for budget, its in found if its.shares[DEFAULT_LIST]])
    return Front(
        f"{kind.title}: what a policy costs and loses beside the harness",
        points,
        f"cost, % of the harness's at {DEFAULT_LIST}",
        "needed pages not in the prompt",
        f"Lower left is better. Along each line budgets are {', '.join(f'{budget:,}' for budget in budgets)} tokens; "
        f"the harness has none. {population(last, origins(last))}.",
    )


def _point(budget: int, its: Beside) -> tuple[str, float, float]:
    found = its.shares[DEFAULT_LIST]
    assert found is not None
    return f"{budget:,} tokens", found.permille / 10, its.misses


# --------------------------------------------------------------------------------------------- tables


def tables(kind: Kind) -> Iterator[Table]:
    """Tables: the comparison at one budget, by population, by budget, pages the harness dropped, timing, windows."""
    yield _headline(kind)
    yield _populations(kind)
    yield _budgets(kind)
    yield _dropped(kind)
    if CLAWVM.rent_permille:
        yield _timing(kind)
    yield from _windows(kind)


def _headline(kind: Kind) -> Table:
    rows = at(kind.rows, headline(kind))
    lines: list[tuple[int | str, ...]] = []
    for arm in (HARNESS, *kind.policies):
        its = beside(rows, arm)
        shares = [NONE if (found := its.shares[name]) is None else str(found) for name in LISTS]
        more = NONE if arm == HARNESS else f"{its.more}{' *' if its.more.excludes_zero else ''}"
        epochs = _mean(its.epochs, len(rows)) if its.epochs else NONE
        lines.append((arm, *shares, its.misses, more, epochs, its.rules, its.pressure))
    return Table(
        f"{kind.title} beside the harness at {headline(kind):,} tokens: {population(rows, origins(rows))}",
        (
            "arm",
            *(f"cost at {name}, % of the harness's" for name in LISTS),
            "needs missed",
            "beyond the harness",
            "epochs a session",
            "rules and plans lost",
            "pressure",
        ),
        tuple(lines),
        "Costs are ratios of sums over sessions, with 95 % intervals over sessions; * marks differences whose "
        f"interval excludes 0. {_counted(kind, rows)} A miss costs one more round trip. An epoch of the harness is "
        "a context that a cut began. " + " ".join(f"{name}: {_charges(name)}." for name in LISTS),
    )


def _counted(kind: Kind, rows: Sequence[Measured]) -> str:
    """The parts of a prompt that are counted on both sides."""
    if kind.renderer == MESSAGES:
        return (
            "Prompts are messages on both sides: roles, ids, framing and the arguments of calls are counted by the "
            "same counter, thoughts and system prompt on neither. The harness sends arguments in full until a cut; "
            "policies do in the exchange that is still open, which stands exact, and stubs of long ones before it."
        )
    return (
        "Prompts hold pages alone on both sides: no arguments, no thoughts, no system prompt. With the arguments of "
        f"its calls the harness's own prompts cost {percent(_with_arguments(rows))} of that."
    )


def _with_arguments(rows: Sequence[Measured]) -> int | None:
    """Cost of the harness's prompts with the arguments of its calls over that without, in permille."""
    whole, bare = (
        sum(row.harness[field][DEFAULT_LIST] for row in rows) for field in ("costs_with_arguments", "costs")
    )
    return whole * 1000 // bare if bare else None


def _charges(name: str) -> str:
    its = named(name)
    return (
        f"a cached token {its.read_price / 1000:g}, another {its.write_price / 1000:g} of an input token, kept "
        f"{its.ttl_s:,} s, as of {its.date}"
    )


def _mean(total: int, count: int) -> str:
    return tenths(total * 10 // count) if count else NONE


def _populations(kind: Kind) -> Table:
    lines: list[tuple[int | str, ...]] = []
    arms = [arm for arm in (CANDIDATE, "lru", "compaction_hybrid") if arm in kind.policies] or list(kind.policies[:1])
    for name, rows in populations(at(kind.rows, headline(kind))).items():
        own = beside(rows, HARNESS)
        found = [beside(rows, arm) for arm in arms]
        cells = [cell for its in found for cell in (_told(its), f"{its.misses} ({its.more})")]
        lines.append((_ALL_TITLE if name == ALL else name, str(population(rows, origins(rows))), own.misses, *cells))
    heads = [head for arm in arms for head in (f"{arm}: cost", f"{arm}: misses (beyond the harness)")]
    return Table(
        f"{kind.title}: on whom, at {headline(kind):,} tokens and {DEFAULT_LIST}",
        ("sessions", "how many", "misses of the harness", *heads),
        tuple(lines),
        f"“{KEPT_WHOLE}”: the harness had every page to the end, so that it lost nothing and every miss is one more.",
    )


def _told(its: Beside) -> str:
    found = its.shares[DEFAULT_LIST]
    return NONE if found is None else str(found)


def _budgets(kind: Kind) -> Table:
    lines: list[tuple[int | str, ...]] = []
    for policy in kind.policies:
        cells = []
        for budget in kind.budgets:
            its = beside(at(kind.rows, budget), policy)
            found = its.shares[DEFAULT_LIST]
            cells.append(f"{percent(None if found is None else found.permille)} · {its.misses}")
        lines.append((policy, *cells))
    own = [f"100.0 % · {beside(at(kind.rows, budget), HARNESS).misses}" for budget in kind.budgets]
    lines.append((HARNESS, *own))
    return Table(
        f"{kind.title}: cost beside the harness's · misses, by budget",
        ("policy", *(f"{budget:,}" for budget in kind.budgets)),
        tuple(lines),
        "The points of the picture. The harness has no budget: its figures are those of the sessions that count.",
    )


def _dropped(kind: Kind) -> Table:
    rows = at(kind.rows, headline(kind))
    gone, needs = (sum(row.result[field] for row in rows) for field in ("dropped", "needs"))
    lines: list[tuple[int | str, ...]] = []
    for arm in (HARNESS, *kind.policies):
        its = beside(rows, arm)
        lines.append((arm, its.misses - its.dropped, its.dropped))
    return Table(
        f"{kind.title}: needs whose pages the harness had all dropped, apart, at {headline(kind):,} tokens",
        ("arm", f"misses of the other {needs - gone:,} needs", f"misses of those {gone:,}"),
        tuple(lines),
        "Of those the agent used a text that no page in its context held any more: it may have had it from a "
        "summary. Both arms count the same needs.",
    )


def _timing(kind: Kind) -> Table:
    lines: list[tuple[int | str, ...]] = []
    for budget in kind.budgets:
        its = timed(at(kind.rows, budget))
        if its is not None:
            lines.append((budget, percent(its.pooled), percent(its.worst), percent(bound_permille(CLAWVM))))
    return Table(
        f"{kind.title}: timing of epochs, cost over the offline optimum at the same mark",
        ("budget", "the rule, pooled", "worst session", "at most, (1+α)/min(1,α)"),
        tuple(lines),
        "By dynamic programming over the turns at which an epoch begins, in a model of cost alone: what is selected "
        "is left out. The last column is the bound of the TCP acknowledgement problem (Dooly, Goldman, Scott 2001).",
    )


def _windows(kind: Kind) -> Iterator[Table]:
    rows = [row for row in at(kind.rows, headline(kind)) if row.harness["answers"]]
    if not rows:
        return
    fits = [row for row in rows if row.harness["default_budget_counted"] <= WINDOW_DEFAULT]
    lines = [
        (
            row.found.name,
            row.harness["answers"],
            f"{row.harness['ratio_permille'] / 1000:.2f}",
            row.harness["default_budget"],
            row.harness["default_budget_fixed"],
            row.harness["default_budget_counted"],
        )
        for row in rows
    ]
    yield Table(
        f"{kind.title}: the default budget fits a window of {WINDOW_DEFAULT:,} on {len(fits)} of {len(rows)} "
        "sessions that have usage",
        ("session", "answers", "provider ÷ ours", "default budget", "for what is not recorded", "provider's count"),
        tuple(lines),
        f"The budget is what a window leaves beside an answer of {OUTPUT_DEFAULT:,} tokens, over the median of the "
        "provider's count of what is recorded over ours. The last column is the most that the provider would count "
        "of a prompt of that budget, by the largest such ratio of prompts at least half as large.",
    )


# ---------------------------------------------------------------------------------------------- words


def in_short(kind: Kind) -> str:
    """The comparison with the harness in one sentence, with its population."""
    rows = at(kind.rows, headline(kind))
    arm = CANDIDATE if CANDIDATE in kind.policies else kind.policies[0]
    its, own = beside(rows, arm), beside(rows, HARNESS)
    return (
        f"{kind.title.lower()} at {headline(kind):,} tokens: {arm} costs {_told(its)} of what the harness "
        f"does at {DEFAULT_LIST}, and misses {its.misses} needs where the harness missed {own.misses} ({its.more}), "
        f"over {population(rows, origins(rows))}"
    )


def paragraphs(kind: Kind) -> Iterator[str]:
    """The sessions that were never compacted, and rules and plans in the others."""
    groups = populations(at(kind.rows, headline(kind)))
    arm = CANDIDATE if CANDIDATE in kind.policies else kind.policies[0]
    if KEPT_WHOLE in groups:
        yield f"{kind.title}: {_kept_whole(groups[KEPT_WHOLE], arm)}"
    if COMPACTED in groups:
        own = beside(groups[COMPACTED], HARNESS)
        yield (
            f"{kind.title}: in the {len(groups[COMPACTED])} sessions that it compacted the harness took rules and "
            f"plans out of the prompt {own.rules} times; {arm} {beside(groups[COMPACTED], arm).rules} times."
        )


def _kept_whole(rows: Sequence[Measured], arm: str) -> str:
    its = beside(rows, arm)
    return (
        f"{len(rows)} sessions were never compacted: there the harness lost nothing, {arm} is "
        f"{side_of(its.shares[DEFAULT_LIST])} ({_told(its)}) and misses {its.misses} needed pages that the "
        f"harness kept, {_mean(its.misses, len(rows))} a session."
    )


def side_of(found: Share | None) -> str:
    """Say on which side of the harness's cost a share is, with a note if its interval covers both."""
    if found is None:
        return "without a cost to compare"
    side = "cheaper" if found.permille < 1000 else "dearer"
    return f"{side}, though not for certain" if found.low < 1000 <= found.high else side
