"""Tier 2: four workload families at six budgets, under every policy, and `clawvm` with each mechanism broken.

Zero faults under the contract are by construction. The evidence that this means something is the mutations, each
of which must show the fault that its mechanism prevents. Policies of the contract differ in their misses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from clawvm_es.core.profiles import CLAWVM, MUTATIONS, without
from clawvm_es.evaluation.cells import Cell, Chart, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.families import SWEEP
from clawvm_es.evaluation.measures import BY_CONSTRUCTION, by_type, family_cell, mean, total
from clawvm_es.model.facts import FaultType
from clawvm_es.model.profile import Capability

BUDGETS: Final = (120, 180, 240, 300, 400, 500)
"""Tokens of one prompt."""
SHOWS: Final[Mapping[Capability, FaultType]] = MappingProxyType(
    {
        Capability.FLOORS: FaultType.PINNED_INVARIANT_MISS,
        Capability.BOUNDARY_FLOORS: FaultType.POST_COMPACTION_BOOTSTRAP,
        Capability.STAGING: FaultType.FLUSH_MISS,
        Capability.RESOLUTION: FaultType.REFETCH,
        Capability.VALIDITY: FaultType.DUPLICATE_TOOL,
        Capability.RECALL_OUTCOME: FaultType.SILENT_RECALL,
    }
)
"""Mechanism → the fault that it prevents."""
BROKEN: Final = {missing: without(CLAWVM, missing) for missing in MUTATIONS}
ONE: Final = Fraction(1)
Row: TypeAlias = tuple[int | str, ...]
PAPER_RETRIEVAL_TENTHS: Final = 678
"""Faults of `retrieval` per configuration in the paper, in tenths."""
PAPER: Final = Table(
    "The paper: faults per configuration, and thrash",
    ("policy", "faults per configuration", "thrash"),
    (
        ("retrieval", mean(PAPER_RETRIEVAL_TENTHS, 10), "3.993"),
        ("compaction_hybrid", "1.5", ""),
        ("lru", "0.0", ""),
        ("clawvm", "0.0", "0.901"),
        ("oracle", "0.0", ""),
    ),
    "On the paper's own workloads, which are not published; ours differ in length and in what they need.",
)


def tier2(choice: Choice = WHOLE) -> Experiment:
    """Tier 2 as an experiment: one cell for each family, budget and policy, then the sweep of the families."""
    cells = [
        Cell(_key(factor, family, name, budget), family_cell, (family, policy, budget, factor, choice.seed))
        for factor in (ONE, *SWEEP)
        for family in choice.families
        for name, policy in choice.policies.items()
        for budget in choice.budgets_of(BUDGETS)
    ]
    cells += [
        Cell(_key(ONE, family, profile.name, budget), family_cell, (family, profile, budget, ONE, choice.seed))
        for family in choice.families
        for profile in BROKEN.values()
        for budget in choice.budgets_of(BUDGETS)
    ]
    return Experiment("tier2", cells, partial(section, choice=choice))


def _key(factor: Fraction, family: str, name: str, budget: int) -> str:
    swept = "" if factor == 1 else f"times {factor}/"
    return f"{swept}{family}/{name}/{budget}"


@attrs.frozen
class _Found:
    """The results, and what was chosen."""

    results: Results
    choice: Choice

    @property
    def budgets(self) -> tuple[int, ...]:
        return self.choice.budgets_of(BUDGETS)

    @property
    def whole(self) -> bool:
        """Tell whether every family and budget is there, so that each mutation must show."""
        return self.choice.all_families and self.budgets == BUDGETS

    def of(self, name: str, factor: Fraction = ONE, budget: int = 0, family: str = "") -> Sequence[Result]:
        """The results of a policy, at one budget or in one family where they are named."""
        families = (family,) if family else self.choice.families
        budgets = (budget,) if budget else self.budgets
        return [self.results[_key(factor, family, name, budget)] for family in families for budget in budgets]

    def held(self) -> bool:
        """Tell whether no policy of the contract faults."""
        names = [name for name, policy in self.choice.policies.items() if policy.contract]
        return not any(total(self.of(name, factor), "faults") for name in names for factor in (ONE, *SWEEP))

    def shown(self) -> bool:
        """Tell whether each mutation shows the fault that it must."""
        return all(by_type(self.of(BROKEN[missing].name))[fault] for missing, fault in SHOWS.items())


def section(results: Results, choice: Choice = WHOLE) -> Section:
    """The tables; they hold if the contract shows no fault anywhere, and each mutation shows its own.

    If families or budgets are left out, mutations may have nothing to show.
    """
    its = _Found(results, choice)
    count = len(choice.families) * len(its.budgets)
    return Section(
        "tier2",
        "Tier 2: four families at six budgets" if its.whole else f"Tier 2: {count} of its configurations",
        {"configurations": count, "cells": dict(results)},
        (
            _overview(its, ONE, f"Faults, misses and thrash in {count} configurations"),
            _types(its),
            *(_grid(its, figure, title) for figure, title in (("faults", "Faults"), ("misses", "Misses"))),
            _families(its),
            _mutations(its),
            _policies(its),
            *(_overview(its, factor, f"Appendix: generator parameters times {factor}") for factor in SWEEP),
        ),
        tuple(_prose(its)),
        (PAPER,),
        (_chart(its),),
        its.held() and (its.shown() or not its.whole),
        _verdict(its),
        f"faults per configuration: {', '.join(f'{name} {faults}' for name, faults, _ in PAPER.rows)}",
    )


def _verdict(its: _Found) -> str:
    told = []
    for name in its.choice.headline:
        found = its.of(name)
        told.append(f"{name} {mean(total(found, 'faults'), len(found))}")
    gate = "no fault under the contract, and each broken mechanism shows; " if its.held() and its.shown() else ""
    return f"{gate}faults per configuration: {', '.join(told)}{_order_in_short(its)}"


def _order_in_short(its: _Found) -> str:
    """That two weak policies stand in another order than in the paper, where they do."""
    if not {"retrieval", "compaction_hybrid"} <= {*its.choice.policy_names}:
        return ""
    ours = [total(its.of(name), "faults") for name in ("retrieval", "compaction_hybrid")]
    return "; in the paper compaction_hybrid faults less than retrieval, here more" if ours[0] < ours[1] else ""


def _prose(its: _Found) -> Iterator[str]:
    contract = [name for name, policy in its.choice.policies.items() if policy.contract]
    if contract:
        yield (
            f"Under {', '.join(contract)} zero faults are {BY_CONSTRUCTION}: whatever was written can be resolved, "
            "what is required stands at its floor, and what is dirty is committed before it is destroyed. "
            + ("They show none." if its.held() else "THEY SHOW FAULTS.")
        )
    if its.shown():
        yield (
            "The evidence is that a broken mechanism shows: each of the six mutations of clawvm faults in the way "
            "that its mechanism prevents."
        )
    elif its.whole:
        yield "The evidence would be that a broken mechanism shows: each of the six mutations SHOULD; one DOES NOT."
    else:
        yield "Not every mutation of clawvm shows in what was chosen; in all families and at all budgets each must."
    yield (
        "A page that a boundary destroyed before it was committed is one flush_miss; it is required no more, so that "
        "a policy that loses its rules early shows fewer pinned_invariant_miss later."
    )
    yield from _beside_the_paper(its)


def _beside_the_paper(its: _Found) -> Iterator[str]:
    """Describe the difference and its reason, where there is one."""
    found = its.of("retrieval") if "retrieval" in its.choice.policy_names else ()
    if total(found, "faults") * 10 > PAPER_RETRIEVAL_TENTHS * len(found):
        yield (
            "What differs from the paper, and why: a rule that is out of the prompt is a fault at every assembly "
            "until it is back, and our families state rules that are needed late, compact and reset often. So "
            f"retrieval faults more than the paper's.{_other_order(its)}"
        )


def _other_order(its: _Found) -> str:
    """Why two weak policies stand in another order than in the paper, where they do."""
    names = ("retrieval", "compaction_hybrid")
    if not {*names} <= {*its.choice.policy_names}:
        return ""
    by_name = {name: by_type(its.of(name)) for name in names}
    if sum(by_name["retrieval"].values()) >= sum(by_name["compaction_hybrid"].values()):
        return ""
    again = {name: found[FaultType.REFETCH] + found[FaultType.DUPLICATE_TOOL] for name, found in by_name.items()}
    return (
        " And compaction_hybrid, which loses its rules at each compaction and at small budgets compacts often, "
        "faults more than retrieval, which finds some again; in the paper it is the other way round. By refetch and "
        f"duplicate_tool alone, it has {again['compaction_hybrid']:,} and retrieval {again['retrieval']:,}."
    )


def _policies(its: _Found) -> Table:
    rows = tuple([(policy.name, policy.says) for policy in its.choice.policies.values()])
    return Table("Policies and their settings", ("policy", "what it does"), rows)


def _overview(its: _Found, factor: Fraction, title: str) -> Table:
    rows: list[Row] = []
    for name, policy in its.choice.policies.items():
        found = its.of(name, factor)
        faults, count = total(found, "faults"), len(found)
        told = f"{mean(faults, count)}, {BY_CONSTRUCTION}" if policy.contract and not faults else mean(faults, count)
        sums = (total(found, key) for key in ("hits", "page_ins", "misses", "alerts", "pressure"))
        rows.append((name, faults, told, mean(total(found, "thrash_permille"), 1000 * count, 3), *sums))
    return Table(
        title,
        ("policy", "faults", "per configuration", "thrash", "hits", "page-ins", "misses", "alerts", "pressure"),
        tuple(rows),
        "Thrash is (faults + alerts) / (hits + 1), the mean over configurations; it ranks nothing.",
    )


def _types(its: _Found) -> Table:
    rows: list[Row] = [(name, *by_type(its.of(name)).values()) for name in its.choice.policy_names]
    return Table("Faults by type, all configurations", ("policy", *map(str, FaultType)), tuple(rows))


def _by_budget(its: _Found, name: str, figure: str) -> tuple[int, ...]:
    return tuple(total(its.of(name, budget=budget), figure) for budget in its.budgets)


def _grid(its: _Found, figure: str, title: str) -> Table:
    rows: list[Row] = [(name, *_by_budget(its, name, figure)) for name in its.choice.policy_names]
    title = f"{title} by budget, {its.choice.told_families}"
    return Table(title, ("policy", *map(str, its.budgets)), tuple(rows))


def _families(its: _Found) -> Table:
    rows = []
    for name in its.choice.policy_names:
        row: list[int | str] = [name]
        for family in its.choice.families:
            found = its.of(name, family=family)
            row += (total(found, "faults"), total(found, "misses"))
        rows.append(tuple(row))
    columns = tuple(f"{family} {figure}" for family in its.choice.families for figure in ("faults", "misses"))
    return Table("Faults and misses by family, all budgets", ("policy", *columns), tuple(rows))


def _mutations(its: _Found) -> Table:
    rows = []
    for missing, fault in SHOWS.items():
        found = by_type(its.of(BROKEN[missing].name))
        others = ", ".join(f"{count} {kind}" for kind, count in found.items() if count and kind != fault) or "none"
        rows.append((str(missing), str(fault), found[fault], others))
    return Table("clawvm with one mechanism broken", ("without", "must show", "shown", "others"), tuple(rows))


def _chart(its: _Found) -> Chart:
    series = {name: _by_budget(its, name, "misses") for name in its.choice.policy_names}
    return Chart(f"Misses by budget, {its.choice.told_families}", its.budgets, series, "budget (tokens)", "misses")
