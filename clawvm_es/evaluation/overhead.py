"""Overhead: time and memory of the policy engine per turn, at the paper's sizes.

A turn's *assembly* is `decide` of one `turn_began` and the fold of its decisions; the *whole turn* is all inputs up
to the next one. Times are of one thread, the best of several runs for each turn, to exclude other load of the
machine; the largest time of any run is shown beside. Memory is a turn's peak allocation.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from time import perf_counter_ns
from typing import Final

from msgspec.structs import replace

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results, Section, Table
from clawvm_es.evaluation.families import FAMILIES
from clawvm_es.evaluation.measures import mean, session
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.run import steps
from clawvm_es.evaluation.workload import Workload, needs_of
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Holder, Need, NeedRule
from clawvm_es.model.pages import PAGE_TYPES, Author, Level, Origin, OriginKind, PageType

PAGES: Final = 24
TURNS: Final = 200
BUDGET_TOKENS: Final = 180
RUNS: Final = 7
MEASURED: Final = ("lru", "clawvm")
SIZES: Final = (f"{PAGES} pages", *FAMILIES)
"""The paper's number of pages, and the sessions of the families."""
PAPER: Final = Table(
    "The paper: policy engine per turn",
    ("p50 µs", "p95 µs", "max µs", "peak KB"),
    (("18-44", "below 60", "114", "83"),),
    "On the paper's machine, at its sizes.",
)


def overhead() -> Experiment:
    """The measurements as an experiment: one timed cell for each size and policy."""
    cells = [
        Cell(f"{size}/{name}", overhead_cell, (size, name), cost=RUNS + 1, timed=True)
        for size in SIZES
        for name in MEASURED
    ]
    return Experiment("overhead", cells, section)


def overhead_cell(size: str, name: str) -> Result:
    """Times in nanoseconds and memory in bytes, over the turns of one workload under one policy."""
    its = of_pages() if size == SIZES[0] else session(size)
    turns = list(_turns(its, name))
    runs = [list(_times(its.opened, turns, name)) for _ in range(RUNS + 1)][1:]  # the first one warms up
    best = [tuple(map(min, zip(*times, strict=True))) for times in zip(*runs, strict=True)]
    memory = list(_peaks(its.opened, turns, name))
    return {
        "turns": len(turns),
        "pages": sum(isinstance(data, e.PageWritten) for data in its.inputs),
        "assembly": _spread([assembly for assembly, _ in best]),
        "assembly_max_of_all": max(assembly for assembly, _ in chain.from_iterable(runs)),
        "turn": _spread([turn for _, turn in best]),
        "memory": _spread(memory),
    }


def _spread(values: Sequence[int]) -> Result:
    """Median, 95th percentile (nearest rank) and maximum."""
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p95": ordered[(len(ordered) * 95 - 1) // 100], "max": ordered[-1]}


def of_pages() -> Workload:
    """A session of the paper's size: 24 pages of all types, of which each turn uses three and rewrites one."""
    kinds = tuple(PageType)
    inputs: list[e.Input] = [_page(number, kinds[number % len(kinds)], 0) for number in range(1, PAGES + 1)]
    for turn in range(TURNS):
        inputs.append(e.TurnBegan())
        used = {1 + (turn * step) % PAGES for step in (5, 7, 11)}
        needs = tuple(Need((Holder(f"p{number}"),), NeedRule.DECLARED, 10) for number in sorted(used))
        inputs.append(e.ModelResponded(needs=needs))
        inputs.append(_page(1 + turn % PAGES, kinds[(1 + turn % PAGES) % len(kinds)], turn))
    return Workload(
        SIZES[0],
        SIZES[0],
        session("coding").opened,
        tuple(inputs),
        tuple(needs_of(inputs)),
        ((),) * TURNS,
    )


def _page(number: int, page_type: PageType, turn: int) -> e.PageWritten:
    """A page of 12 to 60 tokens, each level half as large as the one above."""
    full = 12 + (number * 37 + turn * 11) % 49
    levels = tuple(
        Level(level, full >> place, f"{number:064x}", "overhead/1")
        for place, level in enumerate(PAGE_TYPES[page_type].levels)
    )
    return e.PageWritten(f"p{number}", page_type, Author.TOOL, Origin(OriginKind.RECORD), levels)


def _turns(its: Workload, name: str) -> Iterator[list[e.Input]]:
    """The inputs of a run, turn by turn; those before the first turn belong to it."""
    turn: list[e.Input] = []
    for events in steps(its, POLICIES[name], BUDGET_TOKENS):
        given = events[0]
        assert isinstance(given, e.INPUTS)
        if isinstance(given, e.TurnBegan) and any(isinstance(data, e.TurnBegan) for data in turn):
            yield turn
            turn = []
        turn.append(given)
    yield turn


def _times(opened: e.SessionOpened, turns: Iterable[Sequence[e.Input]], name: str) -> Iterator[tuple[int, int]]:
    """Nanoseconds of each turn's assembly, and of the whole turn."""
    state = _state(opened, name)
    collects = gc.isenabled()
    gc.disable()
    try:
        for turn in turns:
            assembly, began = 0, perf_counter_ns()
            for data in turn:
                if isinstance(data, e.TurnBegan):
                    at = perf_counter_ns()
                    _take(state, data)
                    assembly = perf_counter_ns() - at
                else:
                    _take(state, data)
            yield assembly, perf_counter_ns() - began
    finally:
        if collects:
            gc.enable()


def _peaks(opened: e.SessionOpened, turns: Iterable[Sequence[e.Input]], name: str) -> Iterator[int]:
    """Bytes that each assembly has allocated at its peak, above what was there before it."""
    state = _state(opened, name)
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        for turn in turns:
            for data in turn:
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                _take(state, data)
                if isinstance(data, e.TurnBegan):
                    _, peak = tracemalloc.get_traced_memory()
                    yield peak - before
    finally:
        if not traced:
            tracemalloc.stop()


def _state(opened: e.SessionOpened, name: str) -> State:
    state = State()
    apply(state, replace(opened, profile=POLICIES[name].profile, budget_tokens=BUDGET_TOKENS))
    return state


def _take(state: State, data: e.Input) -> None:
    for event in decide(state, Command(data, 0)):
        apply(state, event)


def section(results: Results) -> Section:
    """One row for each size and policy; it has no gate, since a machine's speed proves nothing."""
    rows: list[tuple[int | str, ...]] = []
    for size in SIZES:
        for name in MEASURED:
            found = results[f"{size}/{name}"]
            times = [_us(found[part][share]) for part in ("assembly", "turn") for share in ("p50", "p95", "max")]
            peak = mean(found["memory"]["max"], 1000)
            rows.append((size, name, found["turns"], found["pages"], *times, _us(found["assembly_max_of_all"]), peak))
    shares = ("p50", "p95", "max")
    columns = (*(f"assembly {share} µs" for share in shares), *(f"turn {share} µs" for share in shares))
    return Section(
        "overhead",
        "Overhead of the policy engine",
        {"budget_tokens": BUDGET_TOKENS, "runs": RUNS, "cells": dict(results)},
        (
            Table(
                f"Time and memory per turn at {BUDGET_TOKENS} tokens",
                ("workload", "policy", "turns", "page writes", *columns, "assembly max of all runs µs", "peak KB"),
                tuple(rows),
                f"Best of {RUNS} runs for each turn but where it says otherwise; Python {sys.version.split()[0]}.",
            ),
        ),
        ("An assembly selects, decides, and folds what follows, in memory; the journal's transaction is not in it.",),
        (PAPER,),
        paper_verdict="p50 18 to 44 µs, max 114 µs, 83 KB",
    )


def _us(nanoseconds: int) -> str:
    return mean(nanoseconds, 1000)
