"""Whether a log is what was written: file, schema, numbers, chains, canonical data, bodies and salts.

What it cannot see without an anchor kept elsewhere: a tail that was cut off whole, the order of events of
different sessions, and a log that someone chained anew. Projections and re-decide are checked by the layers
that own them.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from clawvm_es.errors import JournalError, JournalTooNew, UnreadableInput
from clawvm_es.journal.check_events import EventChecker, text
from clawvm_es.journal.problems import DAMAGE, Problem
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite import foreign, judging, opening, queries, schema, watched
from clawvm_es.storage.sqlite.check_bodies import BodyChecker
from clawvm_es.storage.sqlite.log import SQLiteLog

__all__ = ["PROBLEMS_MAX", "Problem", "verify_log"]

Note: TypeAlias = Callable[[Problem], object]
"""Is told what is odd."""
PROBLEMS_MAX: Final = 1_000
"""Problems after which the search stops."""


def verify_log(
    log: SQLiteLog | MemoryLog | str | os.PathLike[str],
    *,
    fast: bool = False,
    note: Note = lambda noted: None,
) -> tuple[Problem, ...]:
    """All problems of a log, given as such or as a path; empty if it is consistent.

    `fast` checks numbers and chains only. Nothing is written. `note` is told what is odd and yet consistent: what an
    older program took and today's would not (`journal.admission`). What the file holds never raises: it is a problem.
    Raises `UnreadableInput` where there is no file.
    """
    note = _at_most(PROBLEMS_MAX, note)
    if isinstance(log, MemoryLog):
        found = _check_memory(log, fast, note)
    else:
        found = _check_file(log.path if isinstance(log, SQLiteLog) else os.path.realpath(log), fast, note)
    problems = tuple(itertools.islice(found, PROBLEMS_MAX + 1))
    if len(problems) > PROBLEMS_MAX:
        return (*problems[:-1], Problem("more", "log", f"there are more than {PROBLEMS_MAX} problems"))
    return problems


def _at_most(most: int, note: Note) -> Note:
    """The same, told no more than so often."""
    rest = itertools.count(1)

    def told(noted: Problem) -> None:
        if next(rest) <= most:
            note(noted)

    return told


def _check_memory(log: MemoryLog, fast: bool, note: Note) -> Iterator[Problem]:
    def hash_at(session_id: str, version: int) -> bytes | None:
        return next((recorded.hash for recorded in log.read(session_id, version - 1, version)), None)

    checker = EventChecker(hash_at, fast, note)
    for e in log.read_all():
        key = None if e.idempotency_key is None else e.idempotency_key.encode()
        texts = (e.kind.encode(), e.type.encode())
        yield from checker.check(
            (e.seq, e.session_id.encode(), e.version, e.turn, *texts, e.schema_version, e.at_us,
             e.principal.encode(), e.cause, key, e.raw, e.prev_hash, e.hash)
        )  # fmt: skip


def _check_file(path: str, fast: bool, note: Note) -> Iterator[Problem]:
    if not os.path.isfile(path):
        raise UnreadableInput(f"{path}: there is no such file")
    try:
        if judging.is_new(path):
            yield Problem("file", path, "is empty")
            return
    except JournalTooNew:
        pass  # the check of the identity says so, and the others say what they can
    except JournalError as error:
        yield Problem("file", path, error.message)
        return
    try:
        db = opening.connect_reader(path, read_only=True)
    except sqlite3.Error as error:
        yield Problem("file", path, opening.translate(error, path).message)
        return
    try:
        db.text_factory = bytes
        checks: list[Callable[[], Iterable[Problem]]] = [lambda: _check_schema(db), lambda: _check_identity(db)]
        if not fast:
            checks.append(lambda: _check_integrity(db))
        checks.append(lambda: _check_rows(db, fast, note))
        for check in checks:
            for problem in _guarded(check, path):
                db.distrust()  # what is asked from here on may not be what it says
                yield problem
    finally:
        db.close()


def _guarded(check: Callable[[], Iterable[Problem]], path: str) -> Iterator[Problem]:
    """Run one check; what cannot be read is a problem, and ends that check only."""
    try:
        yield from check()
    except DAMAGE as error:
        late = watched.interrupted(error)
        yield Problem("file", path, f"cannot be read on: {'a statement does not end' if late else error}")


def _check_schema(db: sqlite3.Connection) -> Iterator[Problem]:
    """Our tables, indexes and triggers are exactly as expected, and nobody added any to our tables."""
    found = foreign.definitions(db)
    for name, expected in schema.objects().items():
        if name not in found:
            yield Problem("schema", name, "is missing")
        elif found[name] != expected:
            kind, table, sql = found[name]
            yield Problem("schema", name, f"is not as made: {kind} on {table}: {sql}")
    for name, (kind, table, _) in found.items():
        if name not in schema.DDL and kind == "trigger":
            yield Problem("schema", name, f"is a trigger on {table} that is not ours; no verb writes beside it")
        elif name not in schema.DDL and table in schema.TABLES:
            yield Problem("schema", name, f"does not belong on the table {table}")


def _check_identity(db: sqlite3.Connection) -> Iterator[Problem]:
    application_id, user_version = (
        db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("application_id", "user_version")
    )
    if application_id != schema.APPLICATION_ID:
        yield Problem("application_id", "file", f"is {application_id:#x}, not {schema.APPLICATION_ID:#x}")
    if user_version != schema.USER_VERSION:
        yield Problem("user_version", "file", f"is {user_version}, not {schema.USER_VERSION}")
    rows = db.execute("SELECT id, created_at_us, reproducible FROM journal").fetchall()
    if len(rows) != 1:
        yield Problem("journal", "file", "the table journal does not hold one row")
    elif not schema.binds(text(rows[0][0]), rows[0][1], rows[0][2]):
        yield Problem("journal", "file", "id, created_at_us or reproducible was changed: they do not fit each other")


def _check_integrity(db: sqlite3.Connection) -> Iterator[Problem]:
    """SQLite's own check. Where a view comes first in its schema it leaves out free pages, so they are asked for."""
    lines: dict[str, None] = {}
    for scope in ("", "(sqlite_master)"):
        lines |= dict.fromkeys(text(line) for (line,) in db.execute(f"PRAGMA integrity_check{scope}"))
    yield from (Problem("integrity", "file", line) for line in lines if line != "ok")


def _check_rows(db: sqlite3.Connection, fast: bool, note: Note) -> Iterator[Problem]:
    """Events, then bodies, in one read transaction."""
    db.execute("BEGIN")
    try:
        events = EventChecker(lambda session_id, version: queries.hash_at(db, session_id, version), fast, note)
        bodies = None if fast else BodyChecker(db)
        for row in db.execute(f"SELECT {queries.COLUMNS} FROM events ORDER BY seq"):
            yield from events.check(row)
            if bodies is not None:
                bodies.note(row)
        if bodies is not None:
            yield from bodies.check()
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
