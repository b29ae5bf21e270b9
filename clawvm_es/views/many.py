"""Verification of many journals, spread over an executor: one document, in the order in which they were named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from clawvm_es.errors import ClawVMError
from clawvm_es.fleet.executor import Executor, in_order
from clawvm_es.urls import place_of, placed, shown
from clawvm_es.views.proved import verification

ENDINGS = (".db", ".journal")
"""Ends of the names of files that are taken for journals in a folder."""


def journals(places: Iterable[str]) -> list[str]:
    """The journals at some places: each place itself, or the journal files of a folder."""
    found: list[str] = []
    for place in places:
        if "://" not in place and Path(place).is_dir():
            found += sorted(str(path) for path in Path(place).iterdir() if path.suffix in ENDINGS)
        else:
            found.append(place)
    return list(dict.fromkeys(found))


def verified_many(
    places: Sequence[str],
    executor: Executor,
    *,
    fast: bool,
    again: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """The verification of each journal, in order; an unreadable one has the state `unreadable`."""
    jobs = [(placed(place), fast, again) for place in places]
    found = in_order(executor, _verified, jobs, progress)
    return [{"journal": str(shown(place))} | document for place, document in zip(places, found, strict=True)]


def _verified(job: str, fast: bool, again: bool) -> dict[str, Any]:
    place = place_of(job)
    try:
        return verification(place, fast=fast, again=again)
    except ClawVMError as error:
        problem = {"where": str(place), "what": "journal", "detail": error.message}
        return {"state": "unreadable", "problems": [problem], "sessions": 0, "events": 0}
