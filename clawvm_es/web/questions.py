"""Slow questions: what-if, and bisect."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

from clawvm_es import views
from clawvm_es.core.profiles import profile
from clawvm_es.errors import UsageError
from clawvm_es.history import bisect as search
from clawvm_es.history.bisect import Bisection
from clawvm_es.history.expressions import question
from clawvm_es.history.levels import Levels
from clawvm_es.history.whatif import Setting, WhatIf, recorded_setting, settings, whatif
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.views import timelines
from clawvm_es.views.reading import number_of
from clawvm_es.web.answers import Answer, Asked, keyed, parted
from clawvm_es.web.jobs import Long, Progress
from clawvm_es.web.sizes import LIMIT, bounded, shrunk

_ROOM: Final = LIMIT - 6_000
"""Bytes of a what-if's map, beside its figures."""

# ----------------------------------------------------------------------------------------------- what-if


def _setting(log: EventLog, session_id: str, asked: Asked) -> Hashable:
    """Policy, budget and weights that were asked for, as a setting."""
    budget = asked.number("budget", least=1)
    name, weights = asked.query.get("policy"), asked.every.get("weight", ())
    if budget is None and not name and not weights:
        raise UsageError("no setting differs from the recorded ones", hint="budget=, policy= or weight=NAME=VALUE")
    base = recorded_setting(read_session(log, session_id, 0, 1)).profile if name is None else profile(name)
    assert base is not None
    changed = dict(map(_weight, weights))
    (found,) = settings(
        base,
        budgets=[] if budget is None else [budget],
        policies=[base],
        weights=[changed] if changed else [],
    )
    return found


def _weight(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    number = number_of(value.removeprefix("-"))
    if number is None:
        raise UsageError(f"weight={text!r}: must be NAME=VALUE, a whole number")
    return name, -number if value.startswith("-") else number


def _decided(log: EventLog, session_id: str, setting: Setting, progress: Progress) -> WhatIf:
    return whatif(log, session_id, (setting,), keep="levels", progress=progress)


def _compared(log: EventLog, session_id: str, asked: Asked, found: WhatIf) -> Answer:
    """The figures of both runs, and a map of the one under other settings, as `/map` has it."""
    told = views.whatif(log, session_id, 0, found)
    (run,) = told.pop("runs")
    (levels,) = (each.levels for each in found.runs)
    assert levels is not None
    return told | {"run": run, "map": _map(log, session_id, asked, levels) | _under(run)}


def _under(run: Mapping[str, Any]) -> Answer:
    return {"mode": timelines.mode_of(run["policy"]), "policy": run["policy"], "budget_tokens": run["budget"]}


def _map(log: EventLog, session_id: str, asked: Asked, levels: Levels) -> Answer:
    """The window that was asked for, of levels that were collected."""
    first, last = asked.number("from", least=1), asked.number("to", least=1)
    if (bins := asked.number("bins", least=1)) is not None:
        return keyed(timelines.binned(log, session_id, levels, bins))
    most = timelines.WINDOW_TURNS
    end = min(levels.last, levels.last if last is None else last)
    start = max(1, end - most + 1) if first is None else first
    part = levels.between(start, min(end, start + most - 1))

    def made(size: int) -> Answer:
        return keyed(timelines.told(log, session_id, parted(part, size, from_end=first is None), levels.last))

    return dict(shrunk(made, max(1, part.last - part.first + 1), _ROOM))


# ------------------------------------------------------------------------------------------------ bisect


def _ends(log: EventLog, session_id: str, asked: Asked) -> Hashable:
    """The expression, and the places between which it begins to hold."""
    text = asked.text("q")
    question(text)  # an error is told before anything is folded
    good, bad = (asked.version(log, session_id, name) for name in ("good", "bad"))
    return text, good, bad


def _searched(
    log: EventLog, session_id: str, ends: tuple[str, int | None, int | None], progress: Progress
) -> Bisection:
    text, good, bad = ends
    return search.bisect(log, session_id, question(text), good, bad, progress=progress)


def _found(log: EventLog, session_id: str, asked: Asked, found: Bisection) -> Answer:
    told = views.bisect(log, asked.journal, found, asked.text("q"))
    return bounded(told | {"turn": found.prompt_turn})


QUESTIONS: Final[Mapping[str, Long]] = {
    "whatif": Long(_setting, _decided, _compared),
    "bisect": Long(_ends, _searched, _found),
}
"""Address below `/api/s/{session}/` → its question."""
