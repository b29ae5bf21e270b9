"""SERVERS: a journal on a PostgreSQL server beside one in a file, and beside raw inserts of the same rows.

The server's work is not in our CPU time, so these are seconds of the clock: both sides in turns, the best tenth of
each. A step by default waits for the server's disk, and leaves a file to the system; a durable one waits on both.
Writers at once, each with a stream and a connection of its own, run beside the same writers who hold the lock until
their commit is on the disk; that is a bar where the disk takes two milliseconds, which the run measures.
`$CLAWVM_BENCH_POSTGRES` names the server; schemas of its own are made there and dropped.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from time import process_time
from typing import Any, Final

import attrs

from bench.durable import FAKE, Ours, texts
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import best_ratio, interleaved, seconds
from clawvm_es.core.evolve import fold
from clawvm_es.engine.journal import Journal
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import Durability, Head
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget

BAR: Final = "SERVERS"
VARIABLE: Final = "CLAWVM_BENCH_POSTGRES"
MS: Final = "ms"
FOLD_ROUNDS: Final = 12
"""Rounds of folds for each of others: a read of some milliseconds is disturbed in many of them."""
BUSY: Final = 1.2
"""Times its CPU time that the best fold from a file, which waits for nobody, takes by the clock on a busy machine.

There a fold that two processes work on waits for both of them to have a turn: 0.9 to 1.7 times as long, run by run.
"""
FLUSH_MS: Final = 2.0
"""What a flush takes at least where many writers have to be four times those that hold the lock over it."""


def servers(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """An append beside a raw insert, a durable step and a fold beside those of a file."""
    server = os.environ.get(VARIABLE, "")
    if not server:
        yield Measure(BAR, "not measured", None, note=f"skipped: ${VARIABLE} names no server")
        return
    schema = f"bench_{secrets.token_hex(4)}"
    url = f"{server}{'&' if '?' in server else '?'}schema={schema}"
    with ExitStack() as stack:
        stack.callback(_drop, server, schema)
        there = stack.enter_context(Journal.open(url))
        here = stack.enter_context(Journal.open(folder / "j.db"))
        yield _appends(there, server, schema, sizes)
        for name, what, limit in (("live", "step with prompt", None), ("full", "durable step with prompt", 2.5)):
            steps = {"there": Ours(there, there.session(name, counter=FAKE), prompts=True)}
            steps["here"] = Ours(here, here.session(name, counter=FAKE), prompts=True)
            yield _steps(steps, sizes, what, limit)
            _wait_for_disks(there, here)
        yield _folds(there, here, sizes)
        yield _writers(url, sizes)


def _wait_for_disks(*journals: Journal) -> None:
    """Let every append from now on be on the disk before it returns."""
    for journal in journals:
        append = journal.log.append

        def durable(
            session_id: str, events: Any, expected: Any, _: Durability, append: Any = append, **options: Any
        ) -> Head:
            head: Head = append(session_id, events, expected, Durability.FULL, **options)
            return head

        journal.log.append = durable  # type: ignore[method-assign, assignment]


def _appends(journal: Journal, server: str, schema: str, sizes: Sizes) -> Measure:
    import psycopg

    number = iter(range(10**9))
    with psycopg.connect(server, autocommit=True) as db:
        journal.log.append("bench", [budget(1)])
        db.execute(f"CREATE TABLE {schema}.raw (LIKE {schema}.events INCLUDING INDEXES)".encode())
        row = list(db.execute(f"SELECT * FROM {schema}.events".encode()).fetchone() or ())
        names = [each.name for each in db.execute(f"SELECT * FROM {schema}.events".encode()).description or ()]
        seq, version = names.index("seq"), names.index("version")
        insert = f"INSERT INTO {schema}.raw VALUES ({', '.join(['%s'] * len(row))})".encode()

        def raw() -> None:
            row[seq] = row[version] = next(number) + 1
            db.execute(insert, row)

        took = _turns({"ours": lambda: journal.log.append("bench", [budget(2)]), "raw": raw}, sizes.durable_steps)
    return _measure("one-trip append", "raw INSERT, committed", took["ours"], took["raw"], 2.0)


def _steps(steps: dict[str, Ours], sizes: Sizes, what: str, limit: float | None) -> Measure:
    random, told = Random(5), dict[str, Any]()

    def step(name: str) -> None:
        if name == "there":
            told["next"] = texts(random, steps["there"].number)
        steps[name].step(*told["next"])

    took = _turns({name: lambda name=name: step(name) for name in steps}, sizes.durable_steps)  # type: ignore[misc]
    return _measure(what, "the same in a file", took["there"], took["here"], limit)


def _folds(there: Journal, here: Journal, sizes: Sizes) -> Measure:
    def folded(journal: Journal) -> None:
        fold(each.data for each in read_session(journal.log, "live"))

    def work(name: str, journal: Journal) -> float:
        return seconds(lambda: cpu[name].append(_cpu_s(lambda: folded(journal))))

    cpu: dict[str, list[float]] = {"there": [], "here": []}
    sides = {"there": partial(work, "there", there), "here": partial(work, "here", here)}
    took = {name: 1000 * min(every) for name, every in interleaved(sides, FOLD_ROUNDS * sizes.rounds).items()}
    busy = took["here"] > BUSY * 1000 * min(cpu["here"])
    limit, why = (None, "not judged: the machine is busy; ") if busy else (1.1, "")
    found = _measure("read and fold a session", "the same in a file", took["there"], took["here"], limit)
    ours = best_ratio(cpu["there"], cpu["here"])
    note = f"{why}{found.note}, the best round of each; CPU time without the server's: {ours:.2f}"
    return attrs.evolve(found, note=note)


def _cpu_s(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def _writers(url: str, sizes: Sizes) -> Measure:
    """Durable commits a second of many writers, and of those that hold the lock over the flush."""
    commits, names = sizes.writer_commits // 10 + 1, [f"writer{number}" for number in range(sizes.writers)]
    with ExitStack() as stack:
        logs = {name: [stack.enter_context(open_log(url, wait_s=60)) for _ in names] for name in ("ours", "held")}
        for log in logs["held"]:
            log._call = partial(_over_the_flush, log)
        for kind, opened in logs.items():
            for name, log in zip(names, opened, strict=True):
                log.append(kind + name, [budget(1)])
        flush = _flush_ms(logs["held"][0])

        def together(kind: str) -> float:
            def write(name: str, log: Any) -> None:
                for number in range(commits):
                    log.append(kind + name, [budget(number)], durability=Durability.FULL)

            with ThreadPoolExecutor(len(names)) as pool:
                return seconds(lambda: list(pool.map(write, names, logs[kind])))

        took = interleaved({kind: partial(together, kind) for kind in logs}, min(sizes.rounds, 5))
    speed = {kind: len(names) * commits / min(values) for kind, values in took.items()}
    return Measure(
        BAR, f"{len(names)} writers, durable", speed["ours"], "commits/s", "lock held over the flush", speed["held"],
        speed["ours"] / speed["held"], 4.0 if flush >= FLUSH_MS else None, at_least=True,
        note=f"a flush takes {flush:.1f} ms",
    )  # fmt: skip


def _over_the_flush(log: Any, rows: Sequence[Any], named: Sequence[Any], _: bool) -> int:
    """Append in one statement whose own commit waits for the disk, the lock held until it is there."""
    from clawvm_es.storage.postgres import appending

    values = appending.arguments(rows, named, False, appending.milliseconds(log.server.wait_s), True)
    with log.server.line() as line:
        return int(line.run(appending.CALL, values).fetchone()[1])


def _flush_ms(log: Any) -> float:
    """Take the fastest of some commits of nothing that wait for the server's disk."""
    from clawvm_es.storage.postgres import appending

    return min(seconds(lambda: appending.barrier(log.server)) * 1000 for _ in range(20))


def _turns(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The mean of the fastest tenth of each side, in ms; they take turns."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            took[name].append(seconds(work) * 1000)
    best = {name: sorted(values)[: max(1, len(values) // 10)] for name, values in took.items()}
    return {name: sum(values) / len(values) for name, values in best.items()}


def _measure(what: str, peer: str, ours: float, theirs: float, limit: float | None) -> Measure:
    return Measure(BAR, what, ours, MS, peer, theirs, ours / theirs, limit, note="seconds of the clock")


def _drop(server: str, schema: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
