"""Stress: three sessions that ask for more than any budget gives, under each policy.

*Starvation*: the required pages never fit. *Churn*: every page is rewritten every turn. *Cascade*: several resets in
a row, with dirty state. Under the contract none of them is a fault: pages that physically do not fit are `pressure`.
A fault is a failure that could have been avoided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.families import as_workload
from clawvm_es.evaluation.families.script import Script, Texts
from clawvm_es.evaluation.families.story import constraint_page, plan_page, rules_page
from clawvm_es.evaluation.policies import policy
from clawvm_es.evaluation.run import run
from clawvm_es.model.facts import Boundary, FaultType, NeedRule
from clawvm_es.model.pages import Author, PageType

BUDGET_TOKENS: Final = 180
TURNS: Final = 24
GAUGES: Final = 16


@attrs.frozen
class Stress:
    """One session: its name, its description, and its writer."""

    name: str
    title: str
    write: Callable[[Script], None]


def _starvation(script: Script) -> None:
    """Thirty constraints of about ten tokens each: their floors alone are more than the budget."""
    for number in range(30):
        constraint_page(
            script, f"never open valve {number + 10} by hand", f"told at meeting {number + 40}, kept since"
        )
    script.says(Author.USER, "Walk through the valves.")
    for turn in range(TURNS):
        script.begin()
        script.respond([script.need(f"never open valve {turn * 7 % 30 + 10} by hand", NeedRule.DECLARED)])
        if turn % 8 == 7:
            script.boundary(Boundary.COMPACT)
    script.close()


def _churn(script: Script) -> None:
    """Sixteen readings of about thirty tokens, all written anew in every turn.

    Each turn needs the present content of three: the reading of two, and of one a text that only full holds.
    """
    pages: list[str | None] = [None] * GAUGES
    script.says(Author.USER, "Watch the gauges.")
    for turn in range(TURNS):
        script.begin()
        script.respond([script.need(text) for text in _three(turn)] if turn else [])
        call = script.call("watch", {"turn": str(turn)})
        script.returned(call, "all readings")
        for number, page_id in enumerate(pages):
            now, seal = _shown(number, turn + 1)
            full = f"reading {number}\n{now}\nlast checked by the night shift, no leak at the flange; {seal}"
            texts = Texts(full, f"reading {number}\n{now}", "", f"reading {number}")
            pages[number] = script.evidence(call, texts, f"gauge {number}", page_id)
    script.close()


def _shown(number: int, turn: int) -> tuple[str, str]:
    """Reading of a gauge before a turn, and the remark on its seal."""
    return f"gauge {number} shows {turn * 100 + number} bar", f"seal {turn * 100 + number} intact"


def _three(turn: int) -> tuple[str, str, str]:
    """Needs of a turn."""
    first, second, third = (_shown((turn + offset) % GAUGES, turn) for offset in (0, 5, 11))
    return first[0], second[0], third[1]


def _cascade(script: Script) -> None:
    """Three resets after every third turn, with a plan and two preferences that are dirty at the first of them."""
    rules_page(script, "house rules", (("tell before you switch", ", by radio"), ("two keys for the pump room", "")))
    script.says(Author.USER, "Keep the station running.")
    steps = [f"round {number + 1}" for number in range(TURNS // 3)]
    plan: str | None = None
    wishes: list[str | None] = [None, None]
    for turn in range(TURNS):
        script.begin()
        needs = [script.need("tell before you switch", NeedRule.DECLARED)]
        if turn >= 3:
            needs.append(script.need(f"pressure wish {turn % 2}: {turn // 3 + 3}", NeedRule.DECLARED))
            needs.append(script.need(steps[turn // 3 - 1], NeedRule.DECLARED))
        script.respond(needs)
        if turn % 3 == 2:
            plan = plan_page(script, "a quiet night", steps, turn // 3, plan)
            for number, page_id in enumerate(wishes):
                wish = f"pressure wish {number}: {turn // 3 + 4}"
                texts = Texts(f"{wish}\nsaid by the shift leader", wish, "", f"wish {number}")
                wishes[number] = script.page(PageType.PREFERENCE, texts, Author.USER, page_id=page_id)
            for _ in range(3):
                script.boundary(Boundary.RESET)
    script.close()


TESTS: Final[Mapping[str, Stress]] = MappingProxyType(
    {
        test.name: test
        for test in (
            Stress("starvation", "starvation: what is required is larger than the budget", _starvation),
            Stress("churn", "churn: every page is written anew every turn", _churn),
            Stress("cascade", "cascade: resets in a row with dirty state", _cascade),
        )
    }
)
"""All stress tests by name."""


def stress_cell(name: str, policy_name: str) -> Result:
    """One test under one policy: faults by type, and pressure, hits and page-ins."""
    script = Script(f"stress/{name}")
    TESTS[name].write(script)
    figures = run(as_workload(script.lines(), name), policy(policy_name), BUDGET_TOKENS).figures
    return {
        "faults": sum(figures.faults.values()),
        "faults_by_type": {str(fault): figures.faults[fault] for fault in FaultType if figures.faults[fault]},
        "pressure": figures.pressure,
        "needs": figures.needs,
        "hits": figures.hits,
        "page_ins": figures.page_ins,
        "turns": figures.turns,
    }


def stress(choice: Choice = WHOLE) -> Experiment:
    """The stress tests as an experiment: one cell for each test and policy."""
    cells = [Cell(f"{name}/{other}", stress_cell, (name, other)) for name in TESTS for other in choice.policy_names]
    return Experiment("stress", cells, partial(section, choice=choice))


def section(results: Results, choice: Choice = WHOLE) -> Section:
    """The table of tests."""
    rows = []
    faults = Counter(dict.fromkeys(choice.policy_names, 0))
    for name, test in TESTS.items():
        for other in choice.policy_names:
            result = results[f"{name}/{other}"]
            kinds = ", ".join(f"{count} {fault}" for fault, count in result["faults_by_type"].items()) or "none"
            faults[other] += result["faults"]
            figures = (result[key] for key in ("faults", "pressure", "needs", "hits", "page_ins"))
            rows.append((test.title, other, *figures, kinds))
    under = [name for name, policy in choice.policies.items() if policy.contract]
    return Section(
        "stress",
        "Stress tests",
        {"budget_tokens": BUDGET_TOKENS, "cells": dict(results)},
        (
            Table(
                f"Three stress tests, {TURNS} turns each, at {BUDGET_TOKENS} tokens",
                ("test", "policy", "faults", "pressure", "needs", "hits", "page-ins", "faults by type"),
                tuple(rows),
                "Pressure is what cannot fit whatever is chosen; it is no fault.",
            ),
        ),
        holds=not any(faults[name] for name in under) if under else None,
        verdict=f"faults: {', '.join(f'{name} {faults[name]}' for name in choice.headline)}",
    )
