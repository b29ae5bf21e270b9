"""What a measurement is, and how a run of them is shown: a table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from typing import Any

import attrs
from tabulate import tabulate

from bench import peers
from bench.timing import iteration_seconds


@attrs.frozen
class Measure:
    """One measured number of a bar.

    With a peer, `ratio` (ours to the peer's) is judged, else `value`; without a `limit` nothing is judged.
    `at_least` says that more is better.
    """

    bar: str
    what: str
    value: float | None
    unit: str = ""
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def judged(self) -> float | None:
        """The number that the limit is for."""
        return self.ratio if self.peer else self.value

    @property
    def of_limit(self) -> float | None:
        """The ratio to show: to the peer, or to the limit where there is no peer."""
        if self.peer or not self.limit or self.value is None:
            return self.ratio
        return self.value / self.limit

    @property
    def holds(self) -> bool | None:
        """Whether the bar holds; None where there is nothing to judge."""
        if self.limit is None or self.judged is None:
            return None
        return self.judged >= self.limit if self.at_least else self.judged <= self.limit

    def as_json(self) -> dict[str, Any]:
        """All fields, and what follows from them."""
        return {**attrs.asdict(self), "ratio": self.of_limit, "holds": self.holds}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "peers": peers.versions(),
        "loop_ns": round(1e9 * iteration_seconds(), 1),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def table(measures: Sequence[Measure]) -> str:
    """The measures as a table, one line each."""
    head = ("bar", "what", "measured", "beside", "limit", "ratio", "holds", "note")
    text: str = tabulate([_line(measure) for measure in measures], head, disable_numparse=True)
    return text


def _line(m: Measure) -> tuple[str, ...]:
    beside = f"{m.peer} {_number(m.peer_value, m.unit)}" if m.peer else ""
    limit = ""
    if m.limit is not None:
        limit = f"{'≥' if m.at_least else '≤'} {m.limit:,.6g} {'×' if m.peer else m.unit}"
    ratio = "" if m.of_limit is None else f"{m.of_limit:.2f}"
    holds = {True: "yes", False: "NO", None: ""}[m.holds]
    return m.bar, m.what, _number(m.value, m.unit), beside, limit, ratio, holds, m.note


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "—"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
