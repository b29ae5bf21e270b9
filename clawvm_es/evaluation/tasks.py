"""Thirty task replays at budget 180: short sessions of the families, each with the needs that its goal declares.

A task is a session of a family cut to one request, or to two short days with a reset in between, with its own
seed. Its goal declares needs: the rules, constraints, plan steps and preferences that it must follow. A task
succeeds if each declared need is a hit or a single page-in. A second figure counts the tasks without any fault,
including undeclared needs. Replay is open loop: success means that the declared texts were there or could be
fetched, not that a model would have done the task.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

from clawvm_es.core.state import holder_set
from clawvm_es.evaluation import families
from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.families.assistant import Assistant
from clawvm_es.evaluation.families.coding import Coding
from clawvm_es.evaluation.families.parameters import Parameters
from clawvm_es.evaluation.families.research import Research
from clawvm_es.evaluation.families.runbook import Runbook
from clawvm_es.evaluation.policies import Policy, policy
from clawvm_es.evaluation.run import decided
from clawvm_es.evaluation.statistics import percent
from clawvm_es.evaluation.workload import Workload
from clawvm_es.history.figures import NEED_FAULTS
from clawvm_es.model import events as e
from clawvm_es.model.facts import NeedRule

TASKS: Final = 30
BUDGET_TOKENS: Final = 180
SHORT: Final[Mapping[str, Parameters]] = MappingProxyType(
    {
        "coding": Coding(requests=1, compact_every=5, prune_every=7, recall_every=6),
        "research": Research(questions=1, compact_every=6, prune_every=8, recall_every=5),
        "assistant": Assistant(days=2, requests=2, recall_every=4, flush_every=9),
        "runbook": Runbook(shifts=2, steps=1, recall_every=4, prune_every=5),
    }
)
"""The parameters of a task, by family: one request or two short days, with a boundary in it."""
PAPER_PERMILLE: Final = {"clawvm": 1000, "compaction_hybrid": 767}
"""Success in the paper, in permille of its 30 tasks."""


def task(number: int) -> tuple[str, int]:
    """Family and seed of task `number`, from 1: the families in turn."""
    return list(SHORT)[(number - 1) % len(SHORT)], number


def tasks_cell(name: str) -> Result:
    """All tasks under one policy: the successes, and the reasons for the failures."""
    return {"tasks": [_replayed(number, policy(name)) for number in range(1, TASKS + 1)]}


@lru_cache(maxsize=TASKS)
def _session(number: int) -> Workload:
    """The session of a task; made once a process, as every policy replays it."""
    name, seed = task(number)
    return families.workload(name, seed, SHORT[name])


def _replayed(number: int, under: Policy) -> Result:
    name, seed = task(number)
    counts = Counter(dict.fromkeys(("declared", "hits", "page_ins", "missed", "faults"), 0))
    asked: deque[NeedRule] = deque()  # rules of the needs whose outcomes are still to come
    met: set[frozenset[str]] = set()  # holders of this turn's needs: each set counts once
    for event in decided(_session(number), under, BUDGET_TOKENS):
        if isinstance(event, e.TurnBegan):
            met.clear()
        for need in getattr(event, "needs", ()):
            if holder_set(need) not in met:
                met.add(holder_set(need))
                asked.append(need.rule)
        outcome = _outcome(event)
        if outcome and asked.popleft() is NeedRule.DECLARED:
            counts["declared"] += 1
            counts[outcome] += 1
        counts["faults"] += isinstance(event, e.FaultObserved)
    assert not asked
    return {"family": name, "seed": seed, **counts, "succeeded": counts["missed"] == 0}


def _outcome(event: e.Event) -> str | None:
    """Return the outcome of a need in an event: a hit, a page-in, or a miss; None if the event is about no need."""
    if isinstance(event, e.PageUsed):
        return "hits"
    if isinstance(event, e.PageResolved):
        return "page_ins"
    return "missed" if isinstance(event, e.FaultObserved) and event.fault in NEED_FAULTS else None


def tasks(choice: Choice = WHOLE) -> Experiment:
    """The task replays as an experiment: one cell for each policy."""
    cells = [Cell(name, tasks_cell, (name,), cost=TASKS) for name in choice.policy_names]
    return Experiment("tasks", cells, partial(section, choice=choice))


def section(results: Results, choice: Choice = WHOLE) -> Section:
    """Success by policy, and by family."""
    rows, by_family, told = [], [], []
    whole: dict[str, int] = {}
    for under in choice.policy_names:
        done = results[under]["tasks"]
        good = sum(task["succeeded"] for task in done)
        faultless = sum(not task["faults"] for task in done)
        totals = (sum(task[key] for task in done) for key in ("declared", "hits", "page_ins", "missed", "faults"))
        if choice.policies[under].contract:
            whole[under] = good
        if under in choice.headline:
            told.append(f"{under} {good}")
        rows.append((under, good, percent(good * 1000 // len(done)), faultless, *totals))
        by_family.append((under, *(_share([task for task in done if task["family"] == name]) for name in SHORT)))
    return Section(
        "tasks",
        "Task replays",
        {"budget_tokens": BUDGET_TOKENS, "cells": dict(results)},
        (
            Table(
                f"{TASKS} task replays at {BUDGET_TOKENS} tokens",
                (
                    "policy",
                    "succeeded",
                    "share",
                    "no fault at all",
                    "declared",
                    "hits",
                    "page-ins",
                    "missed",
                    "faults",
                ),
                tuple(rows),
                "A task succeeds if each need that its goal declares is a hit or one page-in. Declared, hits, "
                "page-ins and missed are over those needs; faults over everything.",
            ),
            Table("Succeeded, by family", ("policy", *SHORT), tuple(by_family)),
        ),
        (
            "The tasks are ours, not the paper's: each of them loses its context to a compaction or a reset on the "
            "way, and is then held to what it was told before. The order of the policies can be compared with the "
            "paper's, the shares cannot.",
        ),
        holds=all(good == len(results[name]["tasks"]) for name, good in whole.items()) if whole else None,
        verdict=f"of {TASKS} tasks succeed: {', '.join(told)}",
        paper=(
            Table(
                "The paper: tasks that succeeded",
                ("policy", "share"),
                tuple((name, percent(its)) for name, its in PAPER_PERMILLE.items()),
            ),
        ),
        paper_verdict=", ".join(f"{name} {percent(share)}" for name, share in PAPER_PERMILLE.items()),
    )


def _share(done: list[Result]) -> str:
    return f"{sum(task['succeeded'] for task in done)} of {len(done)}"
