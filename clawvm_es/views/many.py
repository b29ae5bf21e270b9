"""Verification of many journals, spread over an executor: one document, in the order in which they were named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clawvm_es.errors import ClawVMError
from clawvm_es.fleet.executor import Executor
from clawvm_es.urls import shown, whole
from clawvm_es.views.proved import verification

ENDINGS = (".db", ".journal")
"""Ends of the names of files that are taken for journals in a folder."""


def journals(places: Iterable[str]) -> list[str]:
    """The journals that some places mean: each itself, or, for a folder, the files in it that are called so."""
    found: list[str] = []
    for place in places:
        if "://" not in place and Path(place).is_dir():
            found += sorted(str(path) for path in Path(place).iterdir() if path.suffix in ENDINGS)
        else:
            found.append(place)
    return list(dict.fromkeys(found))


def verified_many(places: Sequence[str], executor: Executor, *, fast: bool, again: bool) -> list[dict[str, Any]]:
    """The verification of each journal, in their order; one that cannot be read has the state `unreadable`."""
    there = [place if "://" in place else os.path.abspath(place) for place in map(whole, places)]
    jobs = [(f"{_PLACE}{place}", fast, again) for place in there]
    found = dict(executor.as_done(_verified, jobs))
    return [{"journal": str(shown(place))} | found[at] for at, place in enumerate(places)]


_PLACE = "journal "
"""Before the place of a journal in a job: its file is looked at where it is, not sent to a worker."""


def _verified(job: str, fast: bool, again: bool) -> dict[str, Any]:
    place = shown(job.removeprefix(_PLACE))
    try:
        return verification(place, fast=fast, again=again)
    except ClawVMError as error:
        problem = {"where": str(place), "what": "journal", "detail": error.message}
        return {"state": "unreadable", "problems": [problem], "sessions": 0, "events": 0}
