"""The section on recorded sessions: tables, charts, the verdict on the held-out part, and whether the goal holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import attrs

from clawvm_es.evaluation import front_report
from clawvm_es.evaluation.cells import Chart, Section, Table
from clawvm_es.evaluation.policies import Policy
from clawvm_es.evaluation.real_kinds import Kind, measured
from clawvm_es.evaluation.real_prose import paragraphs
from clawvm_es.evaluation.sessions import CHAT, CODING, KINDS, Sessions
from clawvm_es.evaluation.split import HELD_OUT, TUNE, split_file
from clawvm_es.evaluation.statistics import Interval, percent
from clawvm_es.evaluation.verdict import (
    ALL,
    BASE,
    BOUND_LEAST,
    CANDIDATE,
    PARTS,
    Measured,
    at,
    budgets_of,
    figure,
    gap_closed,
    goal,
    part,
    total,
    verdict_data,
)
from clawvm_es.evaluation.workload import RENDERERS

PART_TITLES: Final[Mapping[str, str]] = {HELD_OUT: "held out", TUNE: "tuned on", ALL: "all"}
BOUNDS: Final = ("fit", "demand")
COUNTS: Final[Mapping[str, str]] = {
    CODING: "A session counts with at least 25 turns and 16,000 tokens of pages (in frames), whatever the budget.",
    CHAT: "A session counts at a budget that its pages exceed.",
}
"""By kind, when a session counts."""
NONE: Final = "–"
"""Stands where a ratio has no meaning."""


def section(sessions: Sessions, rows: Sequence[Measured], policies: Sequence[Policy], fixed_tokens: int) -> Section:
    """Report on the policies over recorded sessions, compared with `lru`."""
    names = [policy.name for policy in policies]
    kinds = [
        found for name, renderer in product(KINDS, RENDERERS) if (found := measured(name, rows, names, renderer)).rows
    ]
    return Section(
        "real",
        "Recorded sessions",
        _data(sessions, kinds, fixed_tokens),
        (
            *(table for kind in kinds for table in (*front_report.tables(kind), *_tables(kind))),
            _settings(policies),
            *_sources(sessions),
        ),
        (
            *(told for kind in kinds for told in front_report.paragraphs(kind)),
            *paragraphs(sessions, kinds, policies, fixed_tokens),
        ),
        charts=tuple(chart for kind in kinds for chart in _charts(kind)),
        verdict="; ".join(front_report.in_short(kind) for kind in kinds),
        pictures=tuple(front_report.picture(kind) for kind in kinds if kind.name == CODING),
    )


# --------------------------------------------------------------------------------------------- tables


def _tables(kind: Kind) -> Iterator[Table]:
    yield _counts(kind)
    for name in PARTS:
        if kind.part(name):
            yield _pairs(kind, name)
            yield _differences(kind, name)
    yield _uncached(kind)
    yield _gaps(kind)
    yield _apart(kind)
    yield _coverage(kind)


def _title(kind: Kind, what: str, name: str = "") -> str:
    return f"{kind.title}: {what}" + (f" ({PART_TITLES[name]})" if name else "")


def _columns(kind: Kind, *others: str) -> tuple[str, ...]:
    return (*others, *(f"{budget:,}" for budget in kind.budgets))


def _counts(kind: Kind) -> Table:
    rows = []
    for budget in kind.budgets:
        its = at(kind.rows, budget)
        held_out = part(its, HELD_OUT)
        figures = [total(its, field) for field in ("needs", "near", "large", *BOUNDS)]
        pressure = figure(its, BASE, "pressure")
        rows.append(
            (
                budget,
                len(its),
                len(held_out),
                front_report.origins(its),
                *figures,
                total(held_out, "needs"),
                total(its, "turns"),
                pressure,
            )
        )
    return Table(
        _title(kind, "what counts at a budget"),
        (
            *(
                "budget",
                "sessions",
                "held out",
                "checkouts or tasks",
                "needs",
                "at distance ≤ 1 turn",
                "larger than the budget",
            ),
            *("bound fit", "bound demand", "needs held out", "turns", f"pressure under {BASE}"),
        ),
        tuple(rows),
        f"{COUNTS[kind.name]} A subagent's session is one of its own. Pressure: times that floors, or what just "
        "came, did not fit. What floors leave no room for is in both bounds.",
    )


def harness(rows: Iterable[Measured]) -> tuple[int, int]:
    """Misses and uncached tokens of the recorded harness itself, which had a context of its own size."""
    arms = [row.harness for row in rows]
    return sum(arm["misses"] for arm in arms), sum(arm["uncached_tokens"] for arm in arms)


def _pairs(kind: Kind, name: str) -> Table:
    its = kind.part(name)
    rows: list[tuple[int | str, ...]] = []
    for policy in kind.policies:
        pairs = [
            f"{figure(at(its, budget), policy, 'misses')} · {figure(at(its, budget), policy, 'uncached_tokens'):,}"
            for budget in kind.budgets
        ]
        rows.append((policy, *pairs))
    told = [harness(at(its, budget)) for budget in kind.budgets]
    rows.append(("the harness", *(f"{misses} · {uncached:,}" for misses, uncached in told)))
    rows += [(f"bound {bound}", *(total(at(its, budget), bound) for budget in kind.budgets)) for bound in BOUNDS]
    rows.append(("needs", *(total(at(its, budget), "needs") for budget in kind.budgets)))
    return Table(_title(kind, "misses · uncached tokens", name), _columns(kind, "policy"), tuple(rows))


def _differences(kind: Kind, name: str) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for policy in kind.policies:
        verdict = kind.verdicts[name][policy]
        if policy != BASE:
            low, high = verdict.left_out
            by_budget = [_claimed(verdict.by_budget.get(budget)) for budget in kind.budgets]
            rows.append((policy, *by_budget, _claimed(verdict.pooled), f"{low:+d} to {high:+d}"))
    return Table(
        _title(kind, f"misses beyond {BASE}, with 95 % intervals", name),
        (*_columns(kind, "policy"), "pooled", "one session left out"),
        tuple(rows),
        "* The interval excludes 0.",
    )


def _claimed(found: Interval | None) -> str:
    return NONE if found is None else f"{found} *" if found.excludes_zero else str(found)


def _uncached(kind: Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for name in PARTS:
        for policy in kind.policies:
            verdict = kind.verdicts[name][policy]
            if policy != BASE and kind.part(name):
                shares = [percent(verdict.uncached.get(budget)) for budget in kind.budgets]
                rows.append((PART_TITLES[name], policy, *shares, percent(verdict.uncached_pooled)))
    title = _title(kind, f"uncached tokens beside {BASE}'s")
    return Table(title, (*_columns(kind, "part", "policy"), "pooled"), tuple(rows))


def _gaps(kind: Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for name in (HELD_OUT, ALL):
        its = kind.part(name)
        for bound in BOUNDS:
            for policy in kind.policies:
                if policy != BASE and its:
                    gaps = [percent(gap_closed(at(its, budget), policy, bound)) for budget in kind.budgets]
                    rows.append((PART_TITLES[name], bound, policy, *gaps))
    return Table(
        _title(kind, f"gap between {BASE} and the bound closed"),
        _columns(kind, "part", "bound", "policy"),
        tuple(rows),
        f"({BASE} − policy) / ({BASE} − bound), in misses; none where the bound is below {BOUND_LEAST} or {BASE} at "
        "it. Policies that hold no floors are not bound: they have the room that floors take; oracle, which raises "
        "ahead, is not bound by demand.",
    )


def _apart(kind: Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for field, what in (("near", "at distance ≤ 1 turn"), ("large", "larger than the budget")):
        for policy in kind.policies:
            rows.append((what, policy, *(figure(at(kind.rows, budget), policy, field) for budget in kind.budgets)))
    title = _title(kind, "misses of needs at distance ≤ 1, and of those larger than the budget")
    return Table(title, _columns(kind, "needs", "policy"), tuple(rows))


def _coverage(kind: Kind) -> Table:
    policies = [policy for policy in kind.policies if policy in kind.rows[0].result["full_only"]]
    rows: list[tuple[int | str, ...]] = []
    for policy in policies:
        for what in ("all levels", "full only"):
            shares = [percent(_covered(at(kind.rows, budget), policy, what)) for budget in kind.budgets]
            rows.append((policy, what, *shares))
    title = _title(kind, "needs met in the prompt, with our levels and with full pages only")
    return Table(title, _columns(kind, "policy", "levels"), tuple(rows))


def _covered(rows: Sequence[Measured], policy: str, what: str) -> int | None:
    needs = total(rows, "needs")
    if what == "full only":
        misses = sum(row.result["full_only"][policy] for row in rows)
    else:
        misses = figure(rows, policy, "misses")
    return (needs - misses) * 1000 // needs if needs else None


def _settings(policies: Sequence[Policy]) -> Table:
    rows = tuple([(policy.name, policy.says) for policy in policies])
    return Table("Policies and their settings", ("policy", "what it does"), rows)


def _sources(sessions: Sessions) -> Iterator[Table]:
    if sessions.unread:
        rows = tuple(sorted(sessions.unread.items()))
        reasons = Counter(sessions.unread.values())
        told = "; ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        yield Table("Files that were not read", ("file", "reason"), rows, f"Skipped by reason: {told}.")
    if sessions.twins:
        rows = tuple(sorted(sessions.twins.items()))
        yield Table("Sessions recorded twice, counted once", ("left out", "counted in"), rows)


# ------------------------------------------------------------------------------------- charts and data


def _charts(kind: Kind) -> Iterator[Chart]:
    budgets = kind.budgets
    for field, what in (("misses", "misses"), ("uncached_tokens", "uncached tokens")):
        series: dict[str, tuple[int | None, ...]] = {
            policy: tuple([figure(at(kind.rows, budget), policy, field) for budget in budgets])
            for policy in kind.policies
        }
        if field == "misses":
            for bound in BOUNDS:
                series[f"bound {bound}"] = tuple([total(at(kind.rows, budget), bound) for budget in budgets])
        yield Chart(
            _title(kind, f"{what} by budget, all sessions that count at it"),
            tuple(budgets),
            series,
            "budget, tokens",
            what,
        )


def _data(sessions: Sessions, kinds: Sequence[Kind], fixed_tokens: int) -> Mapping[str, Any]:
    return {
        "fixed_tokens": fixed_tokens,
        "sessions": len(sessions.each),
        "unread": dict(sorted(sessions.unread.items())),
        "twins": dict(sorted(sessions.twins.items())),
        "split": split_file()["rule"],
        "kinds": {f"{kind.name}/{kind.renderer}": _kind_data(kind) for kind in kinds},
    }


def _kind_data(kind: Kind) -> Mapping[str, Any]:
    told = kind.verdicts[HELD_OUT].get(CANDIDATE) if kind.part(HELD_OUT) else None
    return {
        "goal": None if told is None else {**attrs.asdict(goal(told)), "holds": goal(told).holds},
        "parts": {name: _part_data(kind, name) for name in PARTS},
    }


def _part_data(kind: Kind, name: str) -> Mapping[str, Any]:
    its = kind.part(name)
    fields = ("misses", "near", "large", "tokens", "uncached_tokens", "faults", "pressure")
    budgets: dict[str, Any] = {}
    for budget in budgets_of(its):
        rows = at(its, budget)
        budgets[str(budget)] = {
            "sessions": len(rows),
            **{field: total(rows, field) for field in ("needs", "near", "large", *BOUNDS)},
            "policies": {
                policy: {
                    **{field: figure(rows, policy, field) for field in fields},
                    **{f"gap_closed_{bound}": gap_closed(rows, policy, bound) for bound in BOUNDS},
                }
                for policy in kind.policies
            },
        }
    verdicts = {policy: verdict_data(its) for policy, its in kind.verdicts[name].items() if policy != BASE}
    return {"budgets": budgets, "verdicts": verdicts}
