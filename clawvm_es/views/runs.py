"""Spread what-ifs over an executor: one job for each run of a session, or one for each session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.fleet.executor import Executor, in_order
from clawvm_es.history import whatif as library
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.profile import Capability, Profile
from clawvm_es.urls import placed, shown
from clawvm_es.views.compared import whatif
from clawvm_es.views.reading import at_place, known_sessions, opened

Progress = Callable[[int, int], None]


@attrs.frozen
class Asked:
    """The requested settings, as changes to a session's recorded ones; see `whatif.settings`."""

    budgets: tuple[int, ...] = ()
    policies: tuple[Profile, ...] = ()
    weights: tuple[Mapping[str, int], ...] = ()
    missing: tuple[tuple[Capability, ...], ...] = ()

    def __len__(self) -> int:
        """The number of settings."""
        return prod(max(1, len(axis)) for axis in (self.budgets, self.policies, self.weights, self.missing))

    def of(self, log: EventLog, session_id: str) -> tuple[library.Setting, ...]:
        """The settings for a session; raises `UsageError` for invalid numbers and unknown names."""
        base = library.recorded_setting(read_session(log, session_id)).profile
        assert base is not None
        return library.settings(
            base, budgets=self.budgets, policies=self.policies, weights=self.weights, missing=self.missing
        )


def whatif_runs(
    journal: str,
    session_id: str,
    asked: Asked,
    executor: Executor,
    *,
    after: int = 0,
    prices: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The document of `views.whatif`, with one job per run on an executor."""
    jobs = [(placed(journal), session_id, asked, number, after, prices) for number in range(len(asked))]
    parts = list(in_order(executor, _document, jobs, progress))
    return parts[0] | {"runs": [run for part in parts for run in part["runs"]]}


def whatif_all(
    journal: str, asked: Asked, executor: Executor, *, prices: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """The documents of `views.whatif` of all sessions, in order of ids, and the sums over all runs.

    `harness` is a sum if each session has one. Raises `UsageError` for a journal without sessions.
    """
    with opened(journal) as log:
        ids = known_sessions(log)
    if not ids:
        raise UsageError(f"{shown(journal)} holds no session", hint="clawvm replay FILE --journal JOURNAL")
    jobs = [(placed(journal), each, asked, None, 0, prices) for each in ids]
    found = list(in_order(executor, _document, jobs, progress))
    harness = [document.pop("harness") for document in found]
    recorded, *runs = (_sum(run) for run in zip(*([each["recorded"], *each["runs"]] for each in found), strict=True))
    return {
        "open_loop": True,
        "caveat": found[0]["caveat"],
        "prices": found[0]["prices"],
        "recorded": recorded,
        "harness": None if None in harness else _sum(harness),
        "runs": runs,
        "sessions": [each | {"harness": own} for each, own in zip(found, harness, strict=True)],
    }


def _document(
    place: str, session_id: str, asked: Asked, number: int | None, after: int, prices: str | None
) -> dict[str, Any]:
    """A session under all requested settings, or under one of them."""
    with at_place(place) as log:
        settings = asked.of(log, session_id)
        wanted = settings if number is None else settings[number : number + 1]
        return whatif(log, session_id, after, library.whatif(log, session_id, wanted, after=after), prices)


_SAME: Final = ("policy", "budget", "weights", "capabilities", "at")
"""Members that are no figures: told where all sessions have the same, else None."""


def _sum(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of figures, including nested ones; the first difference belongs to one session, and is left out."""
    found: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if name in _SAME:
            found[name] = value if all(each == value for each in values) else None
        elif isinstance(value, Mapping) and name != "parted":
            found[name] = _sum(values)
        elif isinstance(value, int):
            found[name] = sum(values)
    return found
