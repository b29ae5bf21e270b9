"""Ablations at 180 tokens of `clawvm` and of the paper's policy: each mechanism taken away, alone, and added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER
from clawvm_es.evaluation.cells import Cell, Chart, Experiment, Results, Section, Table
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.measures import by_type, family_cell, total
from clawvm_es.model.facts import FaultType
from clawvm_es.model.profile import Capability, Profile

BUDGET_TOKENS: Final = 180
ONE: Final = Fraction(1)
MECHANISMS: Final[Mapping[str, tuple[Capability, ...]]] = MappingProxyType(
    {
        "automatic pinning": (Capability.FLOORS, Capability.BOUNDARY_FLOORS),
        "resolution": (Capability.RESOLUTION,),
        "lifecycle writeback": (Capability.STAGING,),
        "prefetch": (Capability.PREFETCH,),
        "scoring": (Capability.SCORING,),
    }
)
"""The five mechanisms of the paper's ablation, in the order in which they are added."""
ALL: Final = tuple(MECHANISMS)
BASES: Final = (CLAWVM_PAPER, CLAWVM)
"""The paper's policy, whose ablation the paper gives, and ours."""
PAPER_FAULTS: Final = {"resolution": 126, "scoring": 0}
"""Mechanism taken away → faults, in the paper."""
PAPER: Final = Table(
    "The paper: faults at 180 tokens with one mechanism taken away",
    ("without", "faults"),
    tuple(PAPER_FAULTS.items()),
    "On the paper's own workloads.",
)


def with_only(kept: Iterable[str], base: Profile = CLAWVM) -> Profile:
    """`base` with only some of the five mechanisms; its other capabilities stay."""
    names = tuple(kept)
    missing = {capability for name, found in MECHANISMS.items() if name not in names for capability in found}
    capabilities = tuple(capability for capability in base.capabilities if capability not in missing)
    return attrs.evolve(base, name=_name(names, base), capabilities=capabilities)


def _name(kept: tuple[str, ...], base: Profile) -> str:
    if kept == ALL:
        return base.name
    return f"{base.name}-with-{'-'.join(kept).replace(' ', '_') or 'none'}"


def variants() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each row of the tables: its table, its label, and the mechanisms that are kept."""
    yield "subtractive", "all", ALL
    for name in ALL:
        yield "subtractive", f"without {name}", tuple(other for other in ALL if other != name)
    yield "additive", "none", ()
    for name in ALL:
        yield "additive", f"{name} alone", (name,)
    for count in range(2, len(ALL) + 1):
        yield "additive", f"and {ALL[count - 1]}" if count > 2 else f"{ALL[0]} and {ALL[1]}", ALL[:count]


def ablation(choice: Choice = WHOLE) -> Experiment:
    """The ablations as an experiment: one cell per family and set of mechanisms."""
    kept = dict.fromkeys(names for _, _, names in variants())
    cells = [
        Cell(
            f"{family}/{_name(names, base)}",
            family_cell,
            (family, with_only(names, base), BUDGET_TOKENS, ONE, choice.seed),
        )
        for base in BASES
        for family in choice.families
        for names in kept
    ]
    return Experiment("ablation", cells, partial(section, choice=choice))


def section(results: Results, choice: Choice = WHOLE) -> Section:
    """Two tables per base: the value of a mechanism within the whole, and alone."""
    tables: list[Table] = []
    says, worst = [], {}
    less: list[tuple[int | str, ...]] = []
    for base in BASES:
        rows = _rows(results, choice, base)
        tables.extend(_tables(base, rows))
        whole, *less = rows["subtractive"]
        worst[base.name] = max(less, key=lambda row: row[1])
        says.append(f"{base.name}: {whole[1]} faults; most {worst[base.name][0]}: {worst[base.name][1]}")
    unbroken = [sum(_faults(results, choice, base)) for base in BASES]
    return Section(
        "ablation",
        f"Ablations at {BUDGET_TOKENS} tokens",
        {"budget_tokens": BUDGET_TOKENS, "cells": dict(results)},
        tuple(tables),
        (
            f"{choice.told_families.capitalize()}, seed {choice.seed}. {'. '.join(says)}.",
            "Under the paper's order a page's pin outweighs its age, so that required pages mostly stand even where "
            "nothing holds their floors; under reuse an old page ranks low however it is pinned, and the floors "
            "alone hold it: there automatic pinning is worth the most.",
            "Prefetch and scoring choose among pages above the floors; without them needs are missed, not lost: "
            "what is not in the prompt can be paged in.",
        ),
        (PAPER,),
        (_chart(less),),
        not any(unbroken),
        "; ".join(says),
        f"without resolution {PAPER_FAULTS['resolution']} faults, without scoring {PAPER_FAULTS['scoring']}",
    )


def _rows(results: Results, choice: Choice, base: Profile) -> Mapping[str, list[tuple[int | str, ...]]]:
    rows: dict[str, list[tuple[int | str, ...]]] = {"subtractive": [], "additive": []}
    for table, says, kept in variants():
        found = [results[f"{family}/{_name(kept, base)}"] for family in choice.families]
        figures = (total(found, key) for key in ("faults", "misses", "hits", "page_ins"))
        rows[table].append((says, *figures, *by_type(found).values()))
    return rows


def _faults(results: Results, choice: Choice, base: Profile) -> Iterator[int]:
    for family in choice.families:
        yield results[f"{family}/{base.name}"]["faults"]


def _tables(base: Profile, rows: Mapping[str, list[tuple[int | str, ...]]]) -> Iterator[Table]:
    columns = ("mechanisms", "faults", "misses", "hits", "page-ins", *map(str, FaultType))
    yield Table(f"Subtractive: {base.name} with one mechanism taken away", columns, tuple(rows["subtractive"]))
    yield Table(
        f"Additive: {base.name} with none of the five, each alone, and one after the other added",
        columns,
        tuple(rows["additive"]),
        "Validity of results and the outcomes of recalls are kept throughout.",
    )


def _chart(rows: Iterable[tuple[int | str, ...]]) -> Chart:
    found = list(rows)
    series = {"faults": tuple(int(row[1]) for row in found), "misses": tuple(int(row[2]) for row in found)}
    names = tuple(str(row[0]) for row in found)
    return Chart("clawvm without one mechanism", names, series, "", "faults, misses", bars=True)
