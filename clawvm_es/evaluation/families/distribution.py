"""A workload's demands on memory, independent of policy: needs, their distances, repeats, boundaries and recalls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.evaluation.cells import Table
from clawvm_es.evaluation.workload import NeedAt, Workload
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, NeedRule, RecallOutcome
from clawvm_es.model.pages import LADDER, Fidelity, PageType

BUCKETS: Final = ((1, "0-1"), (4, "2-4"), (16, "5-16"), (64, "17-64"))
"""Distances in turns: the last of each bucket, and its name; what is further stands in `65+`."""
FURTHER: Final = "65+"
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "size": ("turns", "inputs", "pages", "page_tokens", "floor_tokens_max", "hints", "hints_used"),
    "needs_by_type": tuple(PageType),
    "needs_by_rule": tuple(NeedRule),
    "needs_by_distance": (*(name for _, name in BUCKETS), FURTHER),
    "needs_by_cheapest_level": tuple(level for level in LADDER if level is not Fidelity.ABSENT),
    "calls": ("all", "first", "repeats", "repeats_after_write", "undeclared"),
    "boundaries": tuple(Boundary),
    "staged": ("dirty_pages", "updates"),
    "recalls": tuple(RecallOutcome),
}
"""Counts, group by group, in the order in which they are told."""


def distribution(workload: Workload) -> Mapping[str, Mapping[str, int]]:
    """Counts by group and name (`GROUPS`). Inputs are folded without deciding, so no policy affects them.

    A need counts once per turn and set of holders, under the type of its newest holder and its cheapest level.
    `repeats` are declared calls whose earlier result still holds, `repeats_after_write` those whose result does not;
    `hints_used` are hints of pages that the turn then needs.
    """
    found = {group: Counter({str(name): 0 for name in names}) for group, names in GROUPS.items()}
    state = State()
    apply(state, workload.opened)
    hinted: set[str] = set()
    for data, needs in zip(workload.inputs, workload.needs, strict=True):
        _calls(found["calls"], state, data)
        _needs(found, state, data, needs)
        if isinstance(data, e.TurnBegan):
            hinted = set(data.hints)
            found["size"]["hints"] += len(hinted)
        for need in needs:
            used = {option.page_id for option in need.options} & hinted
            found["size"]["hints_used"] += len(used)
            hinted -= used
        _others(found, data)
        apply(state, data)
        found["size"]["floor_tokens_max"] = max(found["size"]["floor_tokens_max"], state.required_tokens)
    found["size"]["turns"], found["size"]["inputs"] = workload.turns, len(workload.inputs)
    found["size"]["pages"], found["size"]["page_tokens"] = len(state.pages), workload.page_tokens
    return {group: dict(counts) for group, counts in found.items()}


def _needs(found: Mapping[str, Counter[str]], state: State, data: e.Input, needs: Iterable[NeedAt]) -> None:
    for need in needs:
        page = state.pages[need.options[-1].page_id]
        found["needs_by_type"][page.page_type] += 1
        found["needs_by_distance"][bucket(need.distance)] += 1
        cheapest = min(need.options, key=lambda option: option.tokens)
        found["needs_by_cheapest_level"][LADDER[cheapest.rank]] += 1
    met = set(state.turn_needs)
    for need in getattr(data, "needs", ()):
        key = frozenset(holder.page_id for holder in need.holders)
        if key not in met:
            met.add(key)
            found["needs_by_rule"][need.rule] += 1


def bucket(distance: int) -> str:
    """The name of a distance's bucket."""
    return next((name for last, name in BUCKETS if distance <= last), FURTHER)


def _calls(counts: Counter[str], state: State, data: e.Input) -> None:
    if not isinstance(data, e.ToolCalled):
        return
    counts["all"] += 1
    if not data.deterministic or data.signature is None:
        counts["undeclared"] += 1
    elif data.signature not in state.results:
        counts["first"] += 1
    elif state.valid_call(data.signature) is not None:
        counts["repeats"] += 1
    else:
        counts["repeats_after_write"] += 1


def _others(found: Mapping[str, Counter[str]], data: e.Input) -> None:
    if isinstance(data, e.BoundaryReached):
        found["boundaries"][data.boundary] += 1
        found["staged"]["dirty_pages"] += len(data.staged)
    elif isinstance(data, e.UpdateStaged):
        found["staged"]["updates"] += 1
    elif isinstance(data, e.RecallAnswered):
        found["recalls"][data.outcome] += 1


def distribution_table(workloads: Iterable[Workload]) -> Table:
    """The distributions of workloads side by side, one column each."""
    columns = [(workload.family, distribution(workload)) for workload in workloads]
    return Table(
        "What the workloads ask of memory",
        ("what", "", *(name for name, _ in columns)),
        tuple(_rows([counts for _, counts in columns])),
        "Counts of one session; no policy stands in them.",
    )


def _rows(columns: list[Mapping[str, Mapping[str, int]]]) -> Iterator[tuple[int | str, ...]]:
    for group, names in GROUPS.items():
        for name in names:
            yield group.replace("_", " "), str(name), *(counts[group][name] for counts in columns)
