"""Tier 2: four workload families at six budgets, under every policy, and `clawvm` with each mechanism broken.

Zero faults under the contract are by construction; the evidence that they mean something are the mutations, each of
which must show the fault that its mechanism prevents. What tells policies of the contract apart are their misses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeAlias

from clawvm_es.core.profiles import CLAWVM, MUTATIONS, without
from clawvm_es.evaluation.cells import Cell, Chart, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.families import FAMILIES, SWEEP
from clawvm_es.evaluation.measures import BY_CONSTRUCTION, by_type, family_cell, mean, total
from clawvm_es.evaluation.policies import POLICIES
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
PAPER: Final = Table(
    "The paper: faults per configuration, and thrash",
    ("policy", "faults per configuration", "thrash"),
    (
        ("retrieval", "67.8", "3.993"),
        ("compaction_hybrid", "1.5", ""),
        ("lru", "0.0", ""),
        ("clawvm", "0.0", "0.901"),
        ("oracle", "0.0", ""),
    ),
    "On the paper's own workloads, which are not published; ours differ in length and in what they need.",
)


def tier2() -> Experiment:
    """Tier 2 as an experiment: one cell for each family, budget and policy, then the sweep of the families."""
    cells = [
        Cell(_key(factor, family, name, budget), family_cell, (family, policy, budget, factor))
        for factor in (ONE, *SWEEP)
        for family in FAMILIES
        for name, policy in POLICIES.items()
        for budget in BUDGETS
    ]
    cells += [
        Cell(_key(ONE, family, profile.name, budget), family_cell, (family, profile, budget))
        for family in FAMILIES
        for profile in BROKEN.values()
        for budget in BUDGETS
    ]
    return Experiment("tier2", cells, section)


def _key(factor: Fraction, family: str, name: str, budget: int) -> str:
    swept = "" if factor == 1 else f"times {factor}/"
    return f"{swept}{family}/{name}/{budget}"


def section(results: Results) -> Section:
    """The tables; it holds if the contract shows no fault anywhere, and each mutation the one that it must."""
    held = all(
        not total(_of(results, name, factor), "faults")
        for name, policy in POLICIES.items()
        if policy.contract
        for factor in (ONE, *SWEEP)
    )
    shown = all(by_type(_of(results, BROKEN[missing].name))[fault] for missing, fault in SHOWS.items())
    return Section(
        "tier2",
        "Tier 2: four families at six budgets",
        {"configurations": len(FAMILIES) * len(BUDGETS), "cells": dict(results)},
        (
            _overview(results, ONE, "Faults, misses and thrash in 24 configurations"),
            _types(results),
            *(_grid(results, figure, title) for figure, title in (("faults", "Faults"), ("misses", "Misses"))),
            _families(results),
            _mutations(results),
            *(_overview(results, factor, f"Appendix: generator parameters times {factor}") for factor in SWEEP),
        ),
        tuple(_prose(held, shown)),
        (PAPER,),
        (_chart(results),),
        held and shown,
    )


def _prose(held: bool, shown: bool) -> Iterator[str]:
    yield (
        f"Under clawvm, lru and oracle zero faults are {BY_CONSTRUCTION}: whatever was written can be resolved, what "
        "is required stands at its floor, and what is dirty is committed before it is destroyed. "
        + ("They show none." if held else "THEY SHOW FAULTS.")
    )
    yield (
        "The evidence is that a broken mechanism shows: each of the six mutations of clawvm "
        + ("faults in the way that its mechanism prevents." if shown else "SHOULD fault; one DOES NOT.")
    )
    yield (
        "A page that a boundary destroyed before it was committed is one flush_miss; it is required no more, so that "
        "a policy that loses its rules early shows fewer pinned_invariant_miss later."
    )
    yield from (f"{policy.name}: {policy.says}." for policy in POLICIES.values())


def _of(results: Results, name: str, factor: Fraction = ONE, budgets: Iterable[int] = BUDGETS) -> Sequence[Result]:
    """The results of a policy in all families."""
    return [results[_key(factor, family, name, budget)] for family in FAMILIES for budget in budgets]


def _overview(results: Results, factor: Fraction, title: str) -> Table:
    rows: list[Row] = []
    for name, policy in POLICIES.items():
        found = _of(results, name, factor)
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


def _types(results: Results) -> Table:
    rows: list[Row] = [(name, *by_type(_of(results, name)).values()) for name in POLICIES]
    return Table("Faults by type, all configurations", ("policy", *map(str, FaultType)), tuple(rows))


def _grid(results: Results, figure: str, title: str) -> Table:
    rows: list[Row] = [
        (name, *(total(_of(results, name, budgets=(budget,)), figure) for budget in BUDGETS)) for name in POLICIES
    ]
    return Table(f"{title} by budget, all families", ("policy", *map(str, BUDGETS)), tuple(rows))


def _families(results: Results) -> Table:
    rows = []
    for name in POLICIES:
        row: list[int | str] = [name]
        for family in FAMILIES:
            found = [results[_key(ONE, family, name, budget)] for budget in BUDGETS]
            row += (total(found, "faults"), total(found, "misses"))
        rows.append(tuple(row))
    columns = tuple(f"{family} {figure}" for family in FAMILIES for figure in ("faults", "misses"))
    return Table("Faults and misses by family, all budgets", ("policy", *columns), tuple(rows))


def _mutations(results: Results) -> Table:
    rows = []
    for missing, fault in SHOWS.items():
        found = by_type(_of(results, BROKEN[missing].name))
        others = ", ".join(f"{count} {kind}" for kind, count in found.items() if count and kind != fault) or "none"
        rows.append((str(missing), str(fault), found[fault], others))
    return Table("clawvm with one mechanism broken", ("without", "must show", "shown", "others"), tuple(rows))


def _chart(results: Results) -> Chart:
    series = {
        name: tuple(total(_of(results, name, budgets=(budget,)), "misses") for budget in BUDGETS) for name in POLICIES
    }
    return Chart("Misses by budget, all families", BUDGETS, series, "budget (tokens)", "misses")
