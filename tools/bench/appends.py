"""P1: what an append costs over raw sqlite3. P9: twenty processes that write to one journal."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from bench import es, raw
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import cpu_seconds, interleaved, ratio
from bench.workload import premade
from clawvm_es.journal.ports import Durability, NewEvent
from clawvm_es.storage import verify
from clawvm_es.storage.sqlite.log import open_log

SESSION = "bench"
LIMITS = {1_000: 1.4, 10: 1.65, 1: 2.1}
"""Events a commit → the cost over raw sqlite3 that holds the bar."""
RAW = "raw sqlite3"
Writing: TypeAlias = Callable[[Sequence[str]], AbstractContextManager[Callable[[], None]]]
"""Session names to what writes into them, ready to be called."""


def p1(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Append at several events per commit, beside raw sqlite3 (judged) and eventsourcing (reported)."""
    rows = _rows(folder, events := premade(sizes.append_events))
    for per_commit in (1, 10, 1_000):
        count = min(len(events), sizes.append_commits * per_commit)
        yield from _append(folder, sizes, events[:count], rows[:count], per_commit, Durability.NORMAL)
    count = min(len(events), sizes.append_commits_full)
    yield from _append(folder, sizes, events[:count], rows[:count], 1, Durability.FULL)


def _rows(folder: Path, events: Sequence[NewEvent]) -> list[raw.Row]:
    """The rows that the events come to, hashes included."""
    path = folder / "rows.db"
    with open_log(path) as log:
        log.append(SESSION, events)
    return raw.rows_of(path)


def _append(
    folder: Path,
    sizes: Sizes,
    events: Sequence[NewEvent],
    rows: Sequence[raw.Row],
    per_commit: int,
    durability: Durability,
) -> Iterator[Measure]:
    """Time both sides on fresh files, round by round."""
    fresh = (folder / f"append-{per_commit}-{durability}-{number}.db" for number in range(1_000_000))
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(next(fresh), _cut(events, per_commit), durability),
        RAW: lambda: _raw(next(fresh), _cut(rows, per_commit), durability),
    }
    if es.AVAILABLE and per_commit < 1_000:
        theirs = _cut(es.domain_events(events)[1], per_commit)
        sides[es.PEER] = lambda: _eventsourcing(next(fresh), theirs, durability)
    took = interleaved(sides, sizes.rounds)
    limit = LIMITS[per_commit] if durability is Durability.NORMAL else None
    what = f"append, {per_commit:,} a commit, {durability.name}"
    cost = {name: min(values) / len(events) * 1e6 for name, values in took.items()}
    ours, unit = cost["ours"], "µs/event"
    yield Measure("P1", what, ours, unit, RAW, cost[RAW], ours / cost[RAW], limit)
    if es.PEER in cost:
        yield Measure("P1", what, ours, unit, es.PEER, cost[es.PEER], ours / cost[es.PEER])
    elif per_commit < 1_000:
        yield Measure("P1", what, ours, unit, note=es.MISSING)


def _cut(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _ours(path: Path, batches: Sequence[Sequence[NewEvent]], durability: Durability) -> float:
    with open_log(path) as log:
        with log.transaction(durability):
            pass  # the connection is open, as is that of the peer

        def work() -> None:
            for batch in batches:
                log.append(SESSION, batch, durability=durability)

        return cpu_seconds(work)


def _raw(path: Path, batches: Sequence[Sequence[raw.Row]], durability: Durability) -> float:
    raw.create(path)
    with closing(raw.connect(path, durability.value)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")

        def work() -> None:
            for batch in batches:
                raw.append(db, batch)

        return cpu_seconds(work)


def _eventsourcing(path: Path, batches: Sequence[Sequence[Any]], durability: Durability) -> float:
    with closing(es.Peer(path, durability.value)) as peer:

        def work() -> None:
            for batch in batches:
                peer.append(batch)

        return cpu_seconds(work)


# ------------------------------------------------------------------------------------------------ P9


def p9(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Throughput of many writing processes over that of one with the same work, ours and SQLite's own locking."""
    events = premade(sizes.writer_commits * 10)
    rows = _rows(folder, events)
    writers = sizes.writers
    total = writers * len(events)
    problems: list[str] = []
    fresh = (folder / f"writers-{number}.db" for number in range(1_000_000))

    def ours(processes: int) -> float:
        path = next(fresh)
        open_log(path).close()
        took = _together(partial(_writing_ours, path, events), processes, writers, problems)
        problems.extend(_lost(path, total))
        return took

    def plain(processes: int) -> float:
        path = next(fresh)
        raw.create(path)
        return _together(partial(_writing_raw, path, rows), processes, writers, [])

    took = interleaved(
        {
            "ours": lambda: ours(writers),
            "ours alone": lambda: ours(1),
            RAW: lambda: plain(writers),
            "raw alone": lambda: plain(1),
        },
        sizes.rounds,
    )
    what, unit = f"{writers} processes, 10 a commit", "events/s"
    speed = {name: total / median(values) for name, values in took.items()}
    of_one, raw_of_one = ratio(took["ours alone"], took["ours"]), ratio(took["raw alone"], took[RAW])
    yield Measure("P9", what, speed["ours"], unit, "one process", speed["ours alone"], of_one, 0.75, at_least=True)
    yield Measure("P9", f"{what}, busy handler", speed[RAW], unit, "one process", speed["raw alone"], raw_of_one)
    yield Measure("P9", "errors and lost events", len(problems), limit=0, note="; ".join(problems[:2]))


def _together(writing: Writing, processes: int, sessions: int, problems: list[str]) -> float:
    """Wall seconds from the start of the first writer to the end of the last; every writer has its own sessions."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(processes), context.SimpleQueue()
    names = [f"session-{number:02}" for number in range(sessions)]

    def run(mine: Sequence[str]) -> None:
        with writing(mine) as write:
            barrier.wait()
            began, error = time.monotonic(), ""
            try:
                write()
            except Exception as met:  # whatever a writer meets is what is asked for
                error = f"{type(met).__name__}: {met}"
            answers.put((began, time.monotonic(), error))

    running = [context.Process(target=run, args=(names[number::processes],)) for number in range(processes)]
    for process in running:
        process.start()
    found: list[tuple[float, float, str]] = [answers.get() for _ in running]
    for process in running:
        process.join()
    problems.extend(error for _, _, error in found if error)
    return max(end for _, end, _ in found) - min(start for start, _, _ in found)


@contextmanager
def _writing_ours(path: Path, events: Sequence[NewEvent], names: Sequence[str]) -> Iterator[Callable[[], None]]:
    """An open journal, and what writes the events into the named sessions, ten a commit."""
    with open_log(path) as log:
        with log.transaction():
            pass

        def write() -> None:
            for name in names:
                for batch in _cut(events, 10):
                    log.append(name, batch)

        yield write


@contextmanager
def _writing_raw(path: Path, rows: Sequence[raw.Row], names: Sequence[str]) -> Iterator[Callable[[], None]]:
    """The same over a plain connection."""
    renamed = [_cut([(row[0], name, *row[2:]) for row in rows], 10) for name in names]
    with closing(raw.connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")

        def write() -> None:
            for batches in renamed:
                for batch in batches:
                    raw.append_next(db, batch)

        yield write


def _lost(path: Path, total: int) -> Iterator[str]:
    """What the finished journal says is wrong: a number of events, a broken chain."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT count(*) FROM events").fetchone()[0]
    if found != total:
        yield f"{total - found} events lost"
    yield from (str(problem) for problem in verify(path, fast=True))
