"""The folder of an evaluation: its report, finished cells, and workloads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from clawvm_es.errors import UsageError
from clawvm_es.evaluation.kept import is_ours
from clawvm_es.evaluation.report import FILES, TIMINGS

CELLS: Final = "cells.jsonl"
SESSIONS: Final = "sessions"


def prepare(out: Path, fresh: bool = False) -> bool:
    """Make the folder ready; tells whether it holds an evaluation to resume. `fresh` removes its contents first.

    Raises `UsageError` for a folder with other contents, which is left alone.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is no folder", hint="name another one with --out")
    ours = is_ours(out / CELLS)
    if not ours and out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: holds something that is no evaluation", hint="name a new folder with --out")
    if ours and fresh:
        _remove(out)
    out.mkdir(parents=True, exist_ok=True)
    return ours and not fresh


def _remove(out: Path) -> None:
    """Remove the files of an evaluation, and nothing else. The file that marks the folder as ours goes last."""
    if (out / SESSIONS).is_dir():
        shutil.rmtree(out / SESSIONS)
    for name in (*FILES, *TIMINGS, CELLS):
        (out / name).unlink(missing_ok=True)
