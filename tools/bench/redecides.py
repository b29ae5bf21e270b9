"""Re-decide: how fast stored inputs go through today's code, on a generated session and on a recorded one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.folds import build
from bench.report import Measure
from bench.sizes import QUICK, Sizes
from bench.starts import recorded_session
from bench.timing import interleaved, seconds
from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide
from clawvm_es.importers.replay import replay
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log

BAR = "redecide"


def redecides(folder: Path, sizes: Sizes, traces: Path) -> Iterator[Measure]:
    """Events and decisions a second, reading and decoding included; every decision must come out the same."""
    path = folder / "generated.db"
    build(path, sizes.redecide_events, 1)
    yield from _speed(path, "generated session", sizes)
    trace = recorded_session(traces, smallest=sizes is QUICK)
    if trace is None:
        yield Measure(BAR, "recorded session", None, note=f"skipped: no traces in {traces.name}/claude_code")
        return
    path = folder / "recorded.db"
    with Journal.open(path, seed=7) as journal:
        replay(journal, trace)
    yield from _speed(path, f"recorded session {trace.name[:8]}", sizes)


def _speed(path: Path, what: str, sizes: Sizes) -> Iterator[Measure]:
    with open_log(path, read_only=True) as log:
        (head,) = log.heads()
        decisions = _again(log, head.session_id)
        took = interleaved({"": lambda: seconds(lambda: _again(log, head.session_id))}, sizes.rounds)[""]
    speed = 1 / median(took)
    note = f"{head.version:,} events"
    yield Measure(BAR, f"{what}, events", head.version * speed, "events/s", note=note)
    yield Measure(BAR, f"{what}, decisions", decisions * speed, "decisions/s", note=f"{decisions:,} decisions")


def _again(log: SQLiteLog, session_id: str) -> int:
    return redecide(log.read(session_id))
