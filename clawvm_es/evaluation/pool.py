"""Compute the cells of experiments on all cores. The results do not depend on the number of cores.

LAW-POOL-1: results come in the order of the cells, each as its stored JSON: the same bytes for any number of workers
and any hash seed, and for a run that was interrupted and resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from clawvm_es.errors import CellFailed, InvariantBroken
from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results
from clawvm_es.evaluation.kept import Kept
from clawvm_es.fleet.executor import Executor, Local
from clawvm_es.fleet.processes import cores

Progress: TypeAlias = Callable[[int, int], None]
"""(cost of the cells that this run has computed, cost of all that it has to compute)."""


@attrs.frozen
class _Job:
    experiment: str
    cell: Cell


def compute(
    experiments: Iterable[Experiment],
    kept: Kept,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Mapping[str, Results]:
    """The results of all experiments, by name; cells in `kept` are not computed again.

    Timed cells come last, one at a time, in this process. `workers` is by default the number of cores; an `executor`
    replaces them. If a cell raises, `CellFailed` names its experiment and key; cells finished by then are kept.
    """
    jobs = [_Job(experiment.name, cell) for experiment in experiments for cell in experiment.cells]
    _check_keys(jobs)
    missing = [job for job in jobs if kept.get(job.experiment, job.cell) is None]
    parallel = sorted([job for job in missing if not job.cell.timed], key=lambda job: -job.cell.cost)
    timed = [job for job in missing if job.cell.timed]
    done, total = 0, sum(job.cell.cost for job in missing)
    for batch, runs in ((parallel, executor or Local(workers or cores())), (timed, Local(1))):
        for place, text in runs.as_done(_computed, [(job.experiment, job.cell) for job in batch]):
            job = batch[place]
            kept.add(job.experiment, job.cell, json.loads(text))
            done += job.cell.cost
            if progress is not None:
                progress(done, total)
    results: dict[str, dict[str, Result]] = {job.experiment: {} for job in jobs}
    for job in jobs:
        found = kept.get(job.experiment, job.cell)
        assert found is not None
        results[job.experiment][job.cell.key] = found
    return results


def missing_cells(experiments: Iterable[Experiment], kept: Kept) -> tuple[int, int]:
    """Number of cells to compute, and number of all cells."""
    found = [kept.get(experiment.name, cell) for experiment in experiments for cell in experiment.cells]
    return found.count(None), len(found)


def _check_keys(jobs: Sequence[_Job]) -> None:
    seen: set[tuple[str, str]] = set()
    for job in jobs:
        name = job.experiment, job.cell.key
        if name in seen:
            raise InvariantBroken(f"experiment {job.experiment} has two cells {job.cell.key!r}")
        seen.add(name)


def _computed(experiment: str, cell: Cell) -> str:
    """Result of a cell, as JSON."""
    try:
        result: Any = cell.function(*cell.arguments)
        return json.dumps(result, allow_nan=False)
    except Exception as error:
        raise CellFailed(f"{experiment}: {cell.key}: {type(error).__name__}: {error}") from error
