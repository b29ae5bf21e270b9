"""The section on recorded sessions: tables, charts, the verdict on the held-out part, and whether the goal holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from clawvm_es.evaluation.cells import Chart, Section, Table
from clawvm_es.evaluation.policies import Policy
from clawvm_es.evaluation.sessions import CHAT, CODING, KINDS, Sessions
from clawvm_es.evaluation.split import HELD_OUT, TUNE, split_file
from clawvm_es.evaluation.statistics import RESAMPLES, Interval
from clawvm_es.evaluation.verdict import (
    ALL,
    BASE,
    BOUND_LEAST,
    CANDIDATE,
    PARTS,
    Measured,
    Verdict,
    at,
    budgets_of,
    counting,
    figure,
    gap_closed,
    goal,
    judge,
    part,
    total,
    verdict_data,
)

TITLES: Final[Mapping[str, str]] = {CODING: "Coding sessions", CHAT: "Chat sessions"}
PART_TITLES: Final[Mapping[str, str]] = {HELD_OUT: "held out", TUNE: "tuned on", ALL: "all"}
BOUNDS: Final = ("fit", "demand")
NONE: Final = "–"
"""Stands where a ratio has no meaning."""


@attrs.frozen
class _Kind:
    """Everything measured on one kind of session, and the verdict on each policy in each part."""

    name: str
    rows: Sequence[Measured]
    policies: Sequence[str]
    verdicts: Mapping[str, Mapping[str, Verdict]]

    @property
    def budgets(self) -> list[int]:
        return budgets_of(self.rows)

    def part(self, name: str) -> list[Measured]:
        return part(self.rows, name)


def section(sessions: Sessions, rows: Sequence[Measured], policies: Sequence[Policy], fixed_tokens: int) -> Section:
    """What recorded sessions say of the policies, compared with `lru`."""
    names = [policy.name for policy in policies]
    kinds = [_kind(name, rows, names) for name in KINDS if any(row.found.kind == name for row in rows)]
    return Section(
        "real",
        "Recorded sessions",
        _data(sessions, kinds, fixed_tokens),
        (*(table for kind in kinds for table in _tables(kind)), _settings(policies), *_sources(sessions)),
        tuple(_paragraphs(sessions, kinds, fixed_tokens)),
        charts=tuple(chart for kind in kinds for chart in _charts(kind)),
        verdict="; ".join(_goal_in_short(kind) for kind in kinds),
    )


def _kind(name: str, rows: Sequence[Measured], policies: Sequence[str]) -> _Kind:
    its = [row for row in rows if row.found.kind == name]
    verdicts = {place: {policy: judge(part(its, place), policy) for policy in policies} for place in PARTS}
    return _Kind(name, its, policies, verdicts)


# ---------------------------------------------------------------------------------------------- prose


def _paragraphs(sessions: Sessions, kinds: Sequence[_Kind], fixed_tokens: int) -> Iterator[str]:
    yield (
        "Replay is open loop: a miss says that text which this agent used would have been out of the prompt, never "
        "whether the task would have failed. Misses and uncached tokens are a pair: the first cost a round trip, the "
        "second a slower and dearer one."
    )
    yield (
        f"Differences to {BASE} are pooled over sessions, with the 95 % percentile interval of {RESAMPLES} bootstrap "
        "draws of sessions (subagents are drawn with the session that started them); * marks those whose interval "
        "excludes 0, and no other difference is claimed. Pooled figures leave out 64k and 128k. Sessions of one "
        "checkout, and trials of one task, stand on one side of the split; checkouts of one repository by different "
        "people stand on both."
    )
    yield (
        "`fit` bounds the misses of every policy with all mechanisms, `demand` (PFOO-L) of those that raise nothing "
        f"speculatively. {BASE} and {CANDIDATE} raise hinted pages, and others when room is left, so that `demand` "
        "is no law for them."
    )
    yield from _unrecorded(sessions, fixed_tokens)
    for kind in kinds:
        yield _goal_told(kind)


def _unrecorded(sessions: Sessions, fixed_tokens: int) -> Iterator[str]:
    by_format: dict[str, list[int]] = {}
    for found in sessions.found:
        if found.first_call_tokens and found.name == found.session:
            by_format.setdefault(found.format, []).append(found.first_call_tokens)
    told = [f"{name} {min(tokens):,} to {max(tokens):,}" for name, tokens in sorted(by_format.items())]
    if told:
        charged = f"each turn is charged {fixed_tokens:,} tokens for it" if fixed_tokens else "it is not charged"
        yield (
            "Unrecorded context (system prompt, tool schemas), as the provider's count of the first call less what "
            f"is recorded by then, in tokens: {'; '.join(told)}; here {charged} (--fixed N charges it)."
        )


def _goal_told(kind: _Kind) -> str:
    """Whether the goal holds on the part held out, in a sentence for each thing it asks."""
    title = TITLES[kind.name]
    if CANDIDATE not in kind.policies or not kind.part(HELD_OUT):
        return f"{title}: no held-out session counts at any budget, so nothing is said of the goal."
    verdict = kind.verdicts[HELD_OUT][CANDIDATE]
    its = goal(verdict)
    counted = counting(verdict.by_budget)
    differences = {budget: verdict.by_budget[budget].difference for budget in counted}
    above = [f"{budget:,}: {difference:+d}" for budget, difference in differences.items() if difference > 0]
    shares = [share for budget in counted if (share := verdict.uncached[budget]) is not None]
    low, high = verdict.left_out
    return (
        f"{title}, goal on the part held out: {'holds' if its.holds else 'does not hold'}. "
        f"{CANDIDATE} at or below {BASE} at every budget: {_yes(its.at_or_below)}"
        f"{' (above at ' + ', '.join(above) + ')' if above else ''}; significantly below it pooled: "
        f"{_yes(its.below_pooled)} ({verdict.pooled}; {low:+d} to {high:+d} with any one session left out); at most "
        f"1.1 times its uncached tokens at every budget: {_yes(its.uncached)} "
        f"(at most {max(shares, default=0)} permille)."
    )


def _goal_in_short(kind: _Kind) -> str:
    """The goal on the part held out in a few words, for a summary."""
    if CANDIDATE not in kind.policies or not kind.part(HELD_OUT):
        return f"{TITLES[kind.name].lower()}: nothing is said of the goal"
    verdict = kind.verdicts[HELD_OUT][CANDIDATE]
    return (
        f"{TITLES[kind.name].lower()}, held out: the goal {'holds' if goal(verdict).holds else 'does not hold'} "
        f"({CANDIDATE} against {BASE}, pooled: {verdict.pooled} misses)"
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


# --------------------------------------------------------------------------------------------- tables


def _tables(kind: _Kind) -> Iterator[Table]:
    yield _counts(kind)
    for name in PARTS:
        if kind.part(name):
            yield _pairs(kind, name)
            yield _differences(kind, name)
    yield _uncached(kind)
    yield _gaps(kind)
    yield _apart(kind)
    yield _coverage(kind)


def _title(kind: _Kind, what: str, name: str = "") -> str:
    return f"{TITLES[kind.name]}: {what}" + (f" ({PART_TITLES[name]})" if name else "")


def _columns(kind: _Kind, *others: str) -> tuple[str, ...]:
    return (*others, *(f"{budget:,}" for budget in kind.budgets))


def _counts(kind: _Kind) -> Table:
    rows = []
    for budget in kind.budgets:
        its = at(kind.rows, budget)
        held_out = part(its, HELD_OUT)
        figures = [total(its, field) for field in ("needs", "near", "large", *BOUNDS)]
        pressure = figure(its, BASE, "pressure")
        rows.append(
            (budget, len(its), len(held_out), *figures, total(held_out, "needs"), total(its, "turns"), pressure)
        )
    return Table(
        _title(kind, "what counts at a budget"),
        (
            *("budget", "sessions", "held out", "needs", "at distance ≤ 1 turn", "larger than the budget"),
            *("bound fit", "bound demand", "needs held out", "turns", f"pressure under {BASE}"),
        ),
        tuple(rows),
        "A session (a subagent's is one of its own) counts at a budget only if its pages exceed it. Pressure: times "
        "that floors, or what just came, did not fit. What floors leave no room for is in both bounds.",
    )


def _pairs(kind: _Kind, name: str) -> Table:
    its = kind.part(name)
    rows: list[tuple[int | str, ...]] = []
    for policy in kind.policies:
        pairs = [
            f"{figure(at(its, budget), policy, 'misses')} · {figure(at(its, budget), policy, 'uncached_tokens'):,}"
            for budget in kind.budgets
        ]
        rows.append((policy, *pairs))
    rows += [(f"bound {bound}", *(total(at(its, budget), bound) for budget in kind.budgets)) for bound in BOUNDS]
    rows.append(("needs", *(total(at(its, budget), "needs") for budget in kind.budgets)))
    return Table(_title(kind, "misses · uncached tokens", name), _columns(kind, "policy"), tuple(rows))


def _differences(kind: _Kind, name: str) -> Table:
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


def _uncached(kind: _Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for name in PARTS:
        for policy in kind.policies:
            verdict = kind.verdicts[name][policy]
            if policy != BASE and kind.part(name):
                shares = [_or_none(verdict.uncached.get(budget)) for budget in kind.budgets]
                rows.append((PART_TITLES[name], policy, *shares, _or_none(verdict.uncached_pooled)))
    title = _title(kind, f"uncached tokens, permille of {BASE}'s")
    return Table(title, (*_columns(kind, "part", "policy"), "pooled"), tuple(rows))


def _or_none(value: int | None) -> int | str:
    return NONE if value is None else value


def _gaps(kind: _Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for name in (HELD_OUT, ALL):
        its = kind.part(name)
        for bound in BOUNDS:
            for policy in kind.policies:
                if policy != BASE and its:
                    gaps = [_or_none(gap_closed(at(its, budget), policy, bound)) for budget in kind.budgets]
                    rows.append((PART_TITLES[name], bound, policy, *gaps))
    return Table(
        _title(kind, f"gap between {BASE} and the bound closed, permille"),
        _columns(kind, "part", "bound", "policy"),
        tuple(rows),
        f"({BASE} − policy) / ({BASE} − bound), in misses; none where the bound is below {BOUND_LEAST} or {BASE} at "
        "it. Policies that hold no floors are not bound: they have the room that floors take; oracle, which raises "
        "ahead, is not bound by demand.",
    )


def _apart(kind: _Kind) -> Table:
    rows: list[tuple[int | str, ...]] = []
    for field, what in (("near", "at distance ≤ 1 turn"), ("large", "larger than the budget")):
        for policy in kind.policies:
            rows.append((what, policy, *(figure(at(kind.rows, budget), policy, field) for budget in kind.budgets)))
    title = _title(kind, "misses of needs at distance ≤ 1, and of those larger than the budget")
    return Table(title, _columns(kind, "needs", "policy"), tuple(rows))


def _coverage(kind: _Kind) -> Table:
    policies = [policy for policy in kind.policies if policy in kind.rows[0].result["full_only"]]
    rows: list[tuple[int | str, ...]] = []
    for policy in policies:
        for what in ("all levels", "full only"):
            shares = [_or_none(_covered(at(kind.rows, budget), policy, what)) for budget in kind.budgets]
            rows.append((policy, what, *shares))
    title = _title(kind, "needs met in the prompt, permille, with our levels and with full pages only")
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
    return Table("Policies on recorded sessions", ("policy", "what it does"), rows)


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


def _charts(kind: _Kind) -> Iterator[Chart]:
    budgets = kind.budgets
    for field, what in (("misses", "misses"), ("uncached_tokens", "uncached tokens")):
        series: dict[str, tuple[int | None, ...]] = {
            policy: tuple([figure(at(kind.rows, budget), policy, field) for budget in budgets])
            for policy in kind.policies
        }
        if field == "misses":
            for bound in BOUNDS:
                series[f"bound {bound}"] = tuple([total(at(kind.rows, budget), bound) for budget in budgets])
        yield Chart(_title(kind, f"{what} by budget"), tuple(budgets), series, "budget, tokens", what)


def _data(sessions: Sessions, kinds: Sequence[_Kind], fixed_tokens: int) -> Mapping[str, Any]:
    return {
        "fixed_tokens": fixed_tokens,
        "sessions": len(sessions.found),
        "unread": dict(sorted(sessions.unread.items())),
        "twins": dict(sorted(sessions.twins.items())),
        "split": split_file()["rule"],
        "kinds": {kind.name: _kind_data(kind) for kind in kinds},
    }


def _kind_data(kind: _Kind) -> Mapping[str, Any]:
    told = kind.verdicts[HELD_OUT].get(CANDIDATE) if kind.part(HELD_OUT) else None
    return {
        "goal": None if told is None else {**attrs.asdict(goal(told)), "holds": goal(told).holds},
        "parts": {name: _part_data(kind, name) for name in PARTS},
    }


def _part_data(kind: _Kind, name: str) -> Mapping[str, Any]:
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
