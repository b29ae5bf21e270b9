"""Steps: what it costs to keep every step of a session, and to have an old one again, beside a checkpointer.

A step adds one message; the state is the last messages. Ours appends what changed, through the engine; the peer
stores the whole state. Judged, as a part of P3, are an old step and the bytes that all of them take.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from bench import langgraph_peer as peer
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import best_ratio, cpu_seconds, interleaved, ratio, seconds
from bench.workload import make_text
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.history import state_at
from clawvm_es.journal import snapshots
from clawvm_es.model.events import PageWritten
from clawvm_es.model.pages import FULL

WINDOW = 50
BAR = "steps"
GET_LIMIT = 12.0
BYTES_LIMIT = 0.25
US = "µs"


class Ours:
    """A session that the user speaks in, and the version after each message."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal.open(path, seed=7)
        self.session: Session = self.journal.session("live", counter="lines4", budget_tokens=8_000)
        self.steps: list[int] = []
        self.forks = count()

    def put(self, text: str) -> None:
        """Make one more message durable."""
        self.session.user_says(text)
        self.steps.append(self.session.state.version)

    def get(self, step: int) -> list[str]:
        """The last messages as of an old step."""
        state = state_at(self.journal.log, "live", self.steps[step])
        vault = self.journal.log.vault("live")
        first = max(1, len(state.pages) - WINDOW + 1)
        ids = [f"p{number}" for number in range(first, len(state.pages) + 1)]
        snapshots.load(state.pages, ids)
        names = [state.pages[page_id].bodies[FULL] or "" for page_id in ids]
        bodies = vault.open_all(names)
        return [bodies[name].decode() for name in names]

    def history(self) -> int:
        """Go through the states of all steps with the messages that came; how many there are."""
        state, vault, found = State(), self.journal.log.vault("live"), 0
        for row in self.journal.log.read("live"):
            apply(state, row.data)
            if isinstance(row.data, PageWritten):
                vault.open(row.data.levels[0].body)
                found += 1
        return found

    def fork(self, step: int) -> None:
        """Go on from an old step in a session of its own."""
        self.journal.fork("live", f"fork-{next(self.forks)}", at=self.steps[step])

    def bytes(self) -> int:
        """The size of the file, read models and snapshots included, all of it checkpointed."""
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * size)


def steps(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Record steps, have old ones again, go through all, fork; and what all of it takes on disk."""
    random = Random(3)
    texts = [make_text(random, 200) for _ in range(sizes.steps)]
    ours = Ours(folder / "ours.db")
    theirs = peer.Peer(folder / "theirs.db") if peer.available() else None
    sides: dict[str, Callable[[str, int], object]] = {"ours": lambda text, _: ours.put(text)}
    if theirs is not None:
        sides[peer.PEER] = lambda _, number: theirs.put(texts[max(0, number - WINDOW + 1) : number + 1])
    took = _recorded(sides, texts)
    yield _beside("record a step (one message)", took, 1)
    ours.journal.catch_up()  # read models and snapshots, as at a boundary
    sizes_on_disk = {"ours": ours.bytes()} | ({} if theirs is None else {peer.PEER: theirs.bytes()})
    olds = [random.randrange(len(texts)) for _ in range(20)]
    took = _olds(ours, theirs, olds, sizes)
    yield _beside(f"state at an old step, with its {WINDOW} messages", took, len(olds), "P3", GET_LIMIT)
    yield _beside("all steps, one after the other", _whole(ours, theirs, sizes), len(texts))
    forked = [len(texts) // 2 - 1] * 3
    yield _beside(f"fork at step {forked[0] + 1:,}", _forks(ours, theirs, forked, sizes), len(forked))
    yield _disk(f"file after {len(texts):,} steps", sizes_on_disk)
    ours.journal.close()
    if theirs is not None:
        theirs.close()


def _recorded(sides: dict[str, Callable[[str, int], object]], texts: list[str]) -> dict[str, list[float]]:
    """Seconds of each step on each side, the sides taking turns."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for number, text in enumerate(texts):
        for name, put in sides.items():
            began = perf_counter()
            put(text, number)
            took[name].append(perf_counter() - began)
    return took


def _olds(ours: Ours, theirs: peer.Peer | None, olds: list[int], sizes: Sizes) -> dict[str, list[float]]:
    """Seconds to have all these old steps again, round by round; both sides must give the same."""
    if theirs is not None and any(ours.get(step) != theirs.get(step) for step in olds):
        raise RuntimeError("the two sides do not give the same messages")
    sides = {"ours": lambda: cpu_seconds(lambda: [ours.get(step) for step in olds])}
    if theirs is not None:
        sides[peer.PEER] = lambda: cpu_seconds(lambda: [theirs.get(step) for step in olds])
    return interleaved(sides, sizes.rounds)


def _whole(ours: Ours, theirs: peer.Peer | None, sizes: Sizes) -> dict[str, list[float]]:
    sides = {"ours": lambda: seconds(ours.history)}
    if theirs is not None:
        sides[peer.PEER] = lambda: seconds(theirs.history)
    return interleaved(sides, sizes.rounds)


def _forks(ours: Ours, theirs: peer.Peer | None, at: list[int], sizes: Sizes) -> dict[str, list[float]]:
    sides = {"ours": lambda: seconds(lambda: [ours.fork(step) for step in at])}
    if theirs is not None:
        names = count()
        sides[peer.PEER] = lambda: seconds(lambda: [theirs.fork(step, f"fork-{next(names)}") for step in at])
    return interleaved(sides, sizes.rounds)


def _beside(
    what: str, took: dict[str, list[float]], items: int, bar: str = BAR, limit: float | None = None
) -> Measure:
    """Our µs an item beside the peer's."""
    cost = {name: median(values) / items * 1e6 for name, values in took.items()}
    if peer.PEER not in took:
        return Measure(bar, what, cost["ours"], US, note=peer.MISSING)
    times = best_ratio(took["ours"], took[peer.PEER]) if limit else ratio(took["ours"], took[peer.PEER])
    return Measure(bar, what, cost["ours"], US, peer.PEER, cost[peer.PEER], times, limit)


def _disk(what: str, found: dict[str, int]) -> Measure:
    ours = found["ours"]
    if peer.PEER not in found:
        return Measure("P3", what, ours, "bytes", note=peer.MISSING)
    return Measure("P3", what, ours, "bytes", peer.PEER, found[peer.PEER], ours / found[peer.PEER], BYTES_LIMIT)
