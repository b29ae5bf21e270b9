"""Run an evaluation, from its settings to its report, in a folder where it can be resumed.

>>> from clawvm_es.evaluation.evaluate import Settings, evaluate
>>> report = evaluate("out", Settings(("tier1", "stress")))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

from clawvm_es.evaluation import report as reports
from clawvm_es.evaluation.cells import Experiment, Results
from clawvm_es.evaluation.choice import Choice
from clawvm_es.evaluation.experiments import PARTS, REAL, Settings, experiments
from clawvm_es.evaluation.folder import CELLS, SESSIONS, prepare
from clawvm_es.evaluation.kept import Kept
from clawvm_es.evaluation.pool import compute, missing_cells
from clawvm_es.evaluation.report import Report
from clawvm_es.evaluation.sessions import Sessions, load
from clawvm_es.fleet.executor import Executor
from clawvm_es.fleet.processes import cores

__all__ = ["Choice", "Settings", "evaluate"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""(what is done, how much of it is, how much there is)."""
Say: TypeAlias = Callable[[str], None]
NO_SESSIONS: Final = Sessions((), {}, {})


def evaluate(
    out: Path | str,
    settings: Settings | None = None,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Report:
    """Compute the requested cells that are missing, and write the report into folder `out`.

    `workers` is by default the number of cores; an `executor` replaces them. Neither changes the report. `fresh`
    begins anew. `progress` is called with the progress, `say` with messages for the user. Raises `UsageError` if
    `out` holds something else, `UnreadableInput` if the folder of traces does not exist, `CellFailed` if a cell
    raises.
    """
    settings = settings or Settings()
    folder, say = Path(out).resolve(), say or _silent
    resumes = prepare(folder, fresh)
    with Kept.open(folder / CELLS) as kept:
        if kept.dropped:
            say(f"{out}: {kept.dropped} cells were computed by other code and are computed anew")
        for name, why in settings.left_out.items():
            say(f"{name} is left out: {why}")
        sessions = _sessions(settings, folder, workers or cores(), progress)
        if sessions.unread:
            say(f"{settings.traces}: {len(sessions.unread)} files were not read; the report says why")
        made = experiments(settings, sessions)
        missing, total = missing_cells(made.values(), kept)
        if resumes and missing < total:
            say(f"{out}: resumes, {total - missing} of {total} cells are there (--fresh begins anew)")
        results = compute(
            made.values(), kept, workers=workers, executor=executor, progress=_labelled(progress, "cells")
        )
    report = Report(
        f"clawvm-es {version('clawvm-es')}", settings.told(), tuple(_parts(made, results)), settings.left_out
    )
    reports.write(report, folder)
    return report


def _sessions(settings: Settings, folder: Path, workers: int, progress: Progress | None) -> Sessions:
    """The recorded sessions, if any part is about them."""
    if REAL not in settings.chosen or settings.traces is None:
        return NO_SESSIONS
    return load(settings.traces, folder / SESSIONS, workers, _labelled(progress, "recorded sessions"))


def _parts(made: Mapping[str, Experiment], results: Mapping[str, Results]) -> Iterator[reports.Part]:
    for name, experiment in made.items():
        timed = any(cell.timed for cell in experiment.cells)
        yield reports.Part(PARTS[name].shows, experiment.section(results.get(experiment.name, {})), timed)


def _labelled(progress: Progress | None, label: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(label, done, total)


def _silent(message: str) -> None:
    """Ignore a message."""
