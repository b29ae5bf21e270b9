"""P2: fold, rebuild and verify a long log of many sessions, beside eventsourcing's fold; memory beyond the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from bench import es
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import interleaved, memory_beyond, ratio, seconds
from bench.workload import again, run
from clawvm_es.core.evolve import fold
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.projections import rebuild
from clawvm_es.storage import verify
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log

UNIT = "events/s"
LEAST = 180_000
LEAST_VERIFY = 150_000
TIMES_PEER = 10.0
GROWTH_MAX = 8.0
"""Flat memory: bytes beyond the result for each event more, less than a pointer to it takes."""
MEMORY_PIECE_EVENTS = 5_000
"""Pieces of a rebuild whose memory is measured: many in both logs, so that only what grows with the log shows."""


def p2(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Events a second of everything that reads the whole log, and the memory it takes."""
    path = folder / "fold.db"
    events = build(path, sizes.fold_events, sizes.fold_sessions)
    over = f"over {events:,} events in {sizes.fold_sessions} sessions"
    with open_log(path) as log:
        sides: dict[str, Callable[[], float]] = {
            "fold": lambda: seconds(lambda: fold_all(log)) / events,
            "rebuild": lambda: seconds(lambda: rebuild(log)) / events,
            "verify --fast": lambda: seconds(lambda: _good(log, fast=True)) / events,
            "verify": lambda: seconds(lambda: _good(log, fast=False)) / events,
        }
        if es.AVAILABLE:
            sides[es.PEER] = _peer_fold(folder / "fold-peer.db", log, sizes.peer_sessions)
        took = interleaved(sides, sizes.rounds)
    speed = {name: 1 / median(values) for name, values in took.items()}
    yield Measure("P2", f"fold {over}", speed["fold"], UNIT, limit=LEAST, at_least=True)
    yield Measure("P2", "rebuild of all projections", speed["rebuild"], UNIT, limit=LEAST, at_least=True)
    for name in ("fold", "rebuild"):
        if es.AVAILABLE:
            times = ratio(took[es.PEER], took[name])
            yield Measure(
                "P2",
                f"{name}, read + fold there",
                speed[name],
                UNIT,
                es.PEER,
                speed[es.PEER],
                times,
                TIMES_PEER,
                True,
            )
        else:
            yield Measure("P2", f"{name}, read + fold there", speed[name], UNIT, note=es.MISSING)
    yield Measure("P2", "verify --fast", speed["verify --fast"], UNIT, limit=LEAST_VERIFY, at_least=True)
    yield Measure("P2", "verify", speed["verify"], UNIT)
    yield from _memory(folder, sizes)


def build(path: Path, events: int, sessions: int) -> int:
    """Make a journal of scripted sessions run through the engine; returns how many events it holds."""
    with closing(Journal.open(path, seed=7)) as journal:
        for number in range(sessions):
            with run(journal, f"session-{number:03}", events // sessions):
                pass
        return sum(head.version for head in journal.log.heads())


def fold_all(log: SQLiteLog) -> list[State]:
    """Read, decode and fold every session; all states are kept."""
    return [fold(row.data for row in log.read(head.session_id)) for head in log.heads()]


def _good(log: SQLiteLog, fast: bool) -> None:
    problems = verify(log, fast=fast)
    if problems:
        raise RuntimeError(f"the log made for this bar does not verify: {problems[0]}")


def _peer_fold(path: Path, log: SQLiteLog, sessions: int) -> Callable[[], float]:
    """What folds the first sessions of the log in the peer's store, all states kept; seconds an event."""
    peer = es.Peer(path)
    streams, events = [], 0
    for head in log.heads()[:sessions]:
        stream, theirs = es.domain_events([again(recorded) for recorded in log.read(head.session_id)])
        peer.append(theirs)
        streams.append(stream)
        events += head.version
    return lambda: seconds(lambda: [peer.fold(stream) for stream in streams]) / events


def _memory(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Bytes beyond the result at the peak, for a log and for one that is several times as long."""
    found: dict[str, list[int]] = {"fold": [], "rebuild": []}
    events: list[int] = []
    for wanted in sizes.memory_events:
        path = folder / f"memory-{wanted}.db"
        events.append(build(path, wanted, sizes.fold_sessions))
        with open_log(path) as log:
            found["fold"].append(memory_beyond(partial(fold_all, log))[0])
            found["rebuild"].append(_rebuild_beyond(log))
    small, large = events
    for name, (at_small, at_large) in found.items():
        growth = max(0, at_large - at_small) / (large - small)
        note = f"{at_small / 1e6:.2f} MB at {small:,} events, {at_large / 1e6:.2f} MB at {large:,}"
        what = f"{name}, memory beyond its result"
        yield Measure("P2", what, growth, "bytes/event more", limit=GROWTH_MAX, note=note)


def _rebuild_beyond(log: SQLiteLog) -> int:
    """The most that a rebuild takes beyond what it leaves behind, which is nothing: its rows go to the file."""
    return memory_beyond(partial(rebuild, log, piece_events=MEMORY_PIECE_EVENTS))[0]
