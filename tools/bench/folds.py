"""P2: fold, rebuild and verify a long log of many sessions, beside eventsourcing and plain reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import es
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import cpu_seconds, interleaved, memory_beyond
from bench.workload import again, run
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import replay
from clawvm_es.journal import snapshots
from clawvm_es.journal.chain import GENESIS, event_hash
from clawvm_es.projections import rebuild
from clawvm_es.storage import verify
from clawvm_es.storage.sqlite import queries
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log

US = "µs/event"
READ = "read and hash"
TIMES_PEER = 10.0
FAST_LIMIT = 1.3
FULL_LIMIT = 4.0
FULL_OF_FAST = 6.0
GROWTH_MAX = 8.0
"""Flat memory: bytes beyond the result for each event more, less than a pointer to it takes."""
MEMORY_PIECE_EVENTS = 5_000
"""Pieces of a rebuild whose memory is measured: many in both logs, so that only what grows with the log shows."""


def p2(folder: Path, sizes: Sizes, traces: Path) -> Iterator[Measure]:
    """CPU time of everything that reads the whole log, beside its peers, and the memory it takes."""
    path = folder / "fold.db"
    events = build(path, sizes.fold_events, sizes.fold_sessions)
    over = f"{events:,} events in {sizes.fold_sessions} sessions"
    with open_log(path) as log:
        sides: dict[str, Callable[[], float]] = {
            "fold": lambda: cpu_seconds(lambda: fold_all(log)) / events,
            "rebuild": lambda: cpu_seconds(lambda: rebuild(log)) / events,
            READ: lambda: cpu_seconds(lambda: read_and_hash(path)) / events,
            "verify --fast": lambda: cpu_seconds(lambda: _good(log, fast=True)) / events,
            "verify": lambda: cpu_seconds(lambda: _good(log, fast=False)) / events,
        }
        if es.AVAILABLE:
            sides[es.PEER] = _peer_fold(folder / "fold-peer.db", log, sizes.peer_sessions)
        took = interleaved(sides, sizes.rounds)
    cost = {name: min(values) * 1e6 for name, values in took.items()}
    for name in ("fold", "rebuild"):
        if es.AVAILABLE:
            times = cost[es.PEER] / cost[name]
            peer = (es.PEER, cost[es.PEER], times, TIMES_PEER, True)
            yield Measure("P2", f"{name}, {over}", cost[name], US, *peer, note="times as fast")
        else:
            yield Measure("P2", f"{name}, {over}", cost[name], US, note=es.MISSING)
    for name, limit in (("verify --fast", FAST_LIMIT), ("verify", FULL_LIMIT)):
        yield Measure("P2", name, cost[name], US, READ, cost[READ], cost[name] / cost[READ], limit)
    yield from _verify_recorded(folder, sizes, traces)
    yield from _memory(folder, sizes)


def read_and_hash(path: Path) -> int:
    """Read all rows over a plain connection and hash each onto the one before it in its stream."""
    last: dict[bytes, bytes] = {}
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        for row in db.execute(f"SELECT {queries.COLUMNS} FROM events ORDER BY seq"):
            found = event_hash(*row[1:12], last.get(row[1], GENESIS))
            if found != row[13]:
                raise RuntimeError(f"the event with seq {row[0]} has another hash")
            last[row[1]] = found
    return len(last)


def _verify_recorded(folder: Path, sizes: Sizes, traces: Path) -> Iterator[Measure]:
    """Full and fast verify of recorded sessions, whose bodies are as long as they are in practice."""
    files = sorted((traces / "claude_code").glob("*.jsonl"), key=lambda file: file.stat().st_size)
    what = "verify, recorded sessions"
    if not files:
        yield Measure("P2", what, None, note=f"skipped: no traces in {traces.name}/claude_code")
        return
    with Journal.open(folder / "recorded.db", seed=7) as journal:
        for file in files[: sizes.recorded_sessions]:
            replay(journal, file)
    with open_log(folder / "recorded.db") as log:
        events = log.size()
        took = interleaved(
            {
                "full": lambda: cpu_seconds(lambda: _good(log, fast=False)) / events,
                "fast": lambda: cpu_seconds(lambda: _good(log, fast=True)) / events,
            },
            sizes.rounds,
        )
    full, fast = (min(took[name]) * 1e6 for name in ("full", "fast"))
    yield Measure("P2", what, full, US, "verify --fast", fast, full / fast, FULL_OF_FAST, note=f"{events:,} events")


def build(path: Path, events: int, sessions: int) -> int:
    """Make a journal of scripted sessions run through the engine; returns how many events it holds."""
    with closing(Journal.open(path, seed=7)) as journal:
        for number in range(sessions):
            with run(journal, f"session-{number:03}", events // sessions):
                pass
        return sum(head.version for head in journal.log.heads())


def fold_all(log: SQLiteLog) -> list[State]:
    """Read, decode and fold every session from its first event; all states are kept."""
    return [snapshots.from_zero(log, head.session_id) for head in log.heads()]


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
    return lambda: cpu_seconds(lambda: [peer.fold(stream) for stream in streams]) / events


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
