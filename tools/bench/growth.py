"""P6: bytes of steps, what a turn adds to the log early and late in a long session, and bodies stored twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from bench.durable import FAKE, Ours, texts
from bench.report import Measure
from bench.sizes import Sizes
from clawvm_es.storage.sqlite.packing import unpack

STEP_LIMITS = {False: 6_000.0, True: 9_000.0}
"""With prompts or without → bytes a step of the closed file, read models and snapshots included."""

_EVENT_BYTES = """SELECT coalesce(sum(8 * 6 + length(session_id) + length(kind) + length(type) + length(principal)
    + coalesce(length(idempotency_key), 0) + length(data) + length(prev_hash) + length(hash)), 0) FROM events"""
_COMMITMENT_BYTES = """SELECT coalesce(sum(8 * 2 + length(commitment) + length(session_id) + length(salt)
    + length(binding)), 0) FROM commitments"""
_BODY_BYTES = "SELECT coalesce(sum(8 + length(digest) + length(body)), 0) FROM blobs"


def p6(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Bytes of log a turn, early and late in one long session; every tenth result repeats an earlier one."""
    yield from _steps(folder, sizes)
    path = folder / "long.db"
    early, late = sizes.session_turns
    half = sizes.turns_around // 2
    marks = dict.fromkeys((early - half, early + half, late - half, late + half), (0, 0))
    results: list[str] = []
    random, ours = Random(5), Ours.at(path, FAKE, prompts=True)
    for number in range(1, late + half + 1):
        message, result = texts(random, number)
        results.append(random.choice(results) if number % 10 == 0 else result)
        ours.step(message, results[-1])
        if number % 100 == 50:
            ours.session.save()
        if number in marks:
            marks[number] = _sizes(path)
    ours.journal.close()
    (e0, f0), (e1, f1), (l0, g0), (l1, g1) = marks.values()
    around = f"mean of {2 * half} turns around it"
    growth = (l1 - l0) / (e1 - e0)
    yield Measure(
        "P6", f"log of turn {late:,} ({around})", (l1 - l0) / (2 * half), "bytes",
        f"turn {early:,}:", (e1 - e0) / (2 * half), growth, 1.1,
    )  # fmt: skip
    yield Measure(
        "P6", f"file, read models included, turn {late:,}", (g1 - g0) / (2 * half), "bytes",
        f"turn {early:,}:", (f1 - f0) / (2 * half), (g1 - g0) / max(1, f1 - f0),
    )  # fmt: skip
    with closing(sqlite3.connect(path)) as db:
        bodies = {unpack(*row) for row in db.execute("SELECT body, digest FROM blobs")}
        count = db.execute("SELECT count(*) FROM blobs").fetchone()[0]
    missing = len({text.encode() for text in results} - bodies)
    yield Measure(
        "P6", "bodies stored twice, or not at all", count - len(bodies) + missing, limit=0,
        note=f"{len(results):,} results, {len(set(results)):,} different",
    )  # fmt: skip


def _steps(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Bytes of the file after many steps and its close."""
    for prompts, limit in STEP_LIMITS.items():
        path, random = folder / f"steps-{prompts}.db", Random(5)
        ours = Ours.at(path, FAKE, prompts)
        for number in range(sizes.steps):
            ours.step(*texts(random, number))
        ours.journal.close()
        what = f"file after {sizes.steps:,} steps, {'with' if prompts else 'without'} prompts"
        yield Measure("P6", what, path.stat().st_size / sizes.steps, "bytes a step", limit=limit, note=_largest(path))


def _largest(path: Path) -> str:
    """The largest tables and indexes, in kB."""
    query = "SELECT name, sum(pgsize) AS size FROM dbstat GROUP BY name ORDER BY size DESC LIMIT 5"
    with closing(sqlite3.connect(path)) as db:
        return ", ".join(f"{name} {size // 1000}" for name, size in db.execute(query))


def _sizes(path: Path) -> tuple[int, int]:
    """(bytes in the columns of the log's tables, bytes of the database in whole pages) as committed now."""
    with closing(sqlite3.connect(path)) as db:
        parts = [db.execute(query).fetchone()[0] for query in (_EVENT_BYTES, _COMMITMENT_BYTES, _BODY_BYTES)]
        pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return sum(parts), pages * size
