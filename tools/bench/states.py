"""P3: the state of a long session at any version, through its snapshots, and what they take on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median, quantiles

from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import seconds
from bench.workload import Script
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.history import state_at
from clawvm_es.journal import snapshots
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import counter
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log

LOOK_UPS = 20
TURNS_AT_ONCE = 8
SESSION = "long"


def p3(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """States at random versions, warm, each with its resident set and pages at random; then the bytes."""
    path = folder / "states.db"
    last = build(path, sizes.state_turns)
    random = Random(3)
    with open_log(path) as log:
        taking = seconds(lambda: snapshots.rebuild(log))
        versions = [random.randrange(last.version) + 1 for _ in range(sizes.state_samples)]
        look(log, versions[0], random)
        took = [seconds(lambda at=at: look(log, at, random)) * 1000 for at in versions]  # type: ignore[misc]
        zero = [seconds(lambda at=at: from_zero(log, at)) * 1000 for at in versions[:3]]  # type: ignore[misc]
    what = f"{last.version:,} events, {last.turn:,} turns, {len(last.pages):,} pages, {len(last.resident)} resident"
    yield Measure("P3", f"state_at and {LOOK_UPS} look-ups, p95: {what}", percentile_95(took), "ms")
    yield Measure("P3", f"the same, p50 of {len(took)}", median(took), "ms", note=f"from zero {median(zero):,.0f} ms")
    kept, events, file = disk(path)
    share = f"{kept / 1e6:.2f} MB beside {events / 1e6:.2f} MB"
    yield Measure("P3", "all snapshots, of the log", kept / events * 100, "%", note=share)
    yield Measure("P3", "all snapshots, of the whole file", kept / file * 100, "%")
    yield Measure("P3", "taking all snapshots", taking / last.version * 1e6, "µs/event")


def build(path: Path, turns: int) -> State:
    """Make a journal of one long session; returns its state."""
    with closing(Journal.open(path, seed=7)) as journal:
        session = journal.resume(SESSION, "lines4")
        script = Script(Edge(journal.log.vault(SESSION, journal.seed), counter("lines4")))
        commands = list(script.opening())
        for number in range(1, turns + 1):
            commands.extend(script.talk())
            if number % TURNS_AT_ONCE == 0 or number == turns:
                session.execute(*commands)
                commands.clear()
        return session.state


def look(log: SQLiteLog, version: int, random: Random) -> None:
    """A state with its resident set, and pages at random."""
    state = state_at(log, SESSION, version)
    for page_id in state.resident:
        assert state.pages[page_id].page_id == page_id
    for _ in range(LOOK_UPS if state.pages else 0):
        number = random.randrange(len(state.pages)) + 1
        assert state.pages[f"p{number}"].number == number


def from_zero(log: SQLiteLog, version: int) -> State:
    """The same state without snapshots."""
    return snapshots.from_zero(log, SESSION, version)


def disk(path: Path) -> tuple[int, int, int]:
    """Bytes of the snapshots, of the log (events with their indexes), and of the whole file."""
    with closing(sqlite3.connect(path)) as db:
        sizes = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    kept = sum(size for name, size in sizes.items() if name.startswith("snapshot"))
    events = sum(size for name, size in sizes.items() if name.startswith("events"))
    return kept, events, sum(sizes.values())


def percentile_95(values: list[float]) -> float:
    """The value that 95 of 100 are below."""
    return quantiles(values, n=20, method="inclusive")[-1]
