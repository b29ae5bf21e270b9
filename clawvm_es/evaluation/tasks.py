"""Thirty task replays at budget 180: short sessions of the families, each with what it needs declared.

A task is a session of a family cut to one request, or to two short days with a reset between, under a seed of its
own. It succeeds if no fault was observed and every need was a hit, or a page-in; each need may be paged in once.
Replay is open loop: a success says that what the task needed was there or could be fetched, not that a model would
have done it. Beside that stands a stricter count: the tasks that also never fetched one page twice for declared
needs (rules, constraints, plans, preferences).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clawvm_es.core.profiles import CLAWVM, LRU, RETRIEVAL
from clawvm_es.evaluation import families
from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.families.assistant import Assistant
from clawvm_es.evaluation.families.coding import Coding
from clawvm_es.evaluation.families.parameters import Parameters
from clawvm_es.evaluation.families.research import Research
from clawvm_es.evaluation.families.runbook import Runbook
from clawvm_es.evaluation.run import decided
from clawvm_es.model import events as e
from clawvm_es.model.facts import NeedRule
from clawvm_es.model.profile import Profile

TASKS: Final = 30
BUDGET_TOKENS: Final = 180
POLICIES: Final = (CLAWVM, LRU, RETRIEVAL)
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


def tasks_cell(profile: Profile) -> Result:
    """All tasks under one policy: who succeeded, and what the others failed by."""
    return {"tasks": [_replayed(number, profile) for number in range(1, TASKS + 1)]}


def _replayed(number: int, profile: Profile) -> Result:
    name, seed = task(number)
    fetched: Counter[str] = Counter()
    counts: Counter[str] = Counter(dict.fromkeys(("hits", "page_ins", "faults"), 0))
    for event in decided(families.workload(name, seed, SHORT[name]), profile, BUDGET_TOKENS):
        if isinstance(event, e.PageUsed):
            counts["hits"] += 1
        elif isinstance(event, e.PageResolved):
            counts["page_ins"] += 1
            fetched[event.page_id] += event.rule is NeedRule.DECLARED
        elif isinstance(event, e.FaultObserved):
            counts["faults"] += 1
    again = sum(count > 1 for count in fetched.values())
    return {"family": name, "seed": seed, **counts, "fetched_twice": again, "succeeded": counts["faults"] == 0}


def tasks() -> Experiment:
    """The task replays as an experiment: one cell for each policy."""
    cells = [Cell(profile.name, tasks_cell, (profile,), cost=TASKS) for profile in POLICIES]
    return Experiment("tasks", cells, section)


def section(results: Results) -> Section:
    """Success by policy, and by family."""
    rows, by_family = [], []
    for profile in POLICIES:
        done = results[profile.name]["tasks"]
        good = [task for task in done if task["succeeded"]]
        strict = sum(not task["fetched_twice"] for task in good)
        totals = (sum(task[key] for task in done) for key in ("hits", "page_ins", "faults"))
        rows.append((profile.name, len(good), len(done), len(good) * 1000 // len(done), strict, *totals))
        shares = (_share([task for task in done if task["family"] == name]) for name in SHORT)
        by_family.append((profile.name, *shares))
    return Section(
        "tasks",
        "Task replays",
        {"budget_tokens": BUDGET_TOKENS, "cells": dict(results)},
        (
            Table(
                f"{TASKS} task replays at {BUDGET_TOKENS} tokens",
                ("policy", "succeeded", "tasks", "permille", "none fetched twice", "hits", "page-ins", "faults"),
                tuple(rows),
                "A task succeeds if it shows no fault; each need is then a hit, or one page-in.",
            ),
            Table("Succeeded, by family", ("policy", *SHORT), tuple(by_family)),
        ),
        paper=(Table("The paper: tasks that succeeded", ("policy", "permille"), tuple(PAPER_PERMILLE.items())),),
    )


def _share(done: list[Result]) -> str:
    return f"{sum(task['succeeded'] for task in done)} of {len(done)}"
