"""Check that a journal file is unaltered: file, schema, numbers, chains, canonical data, bodies and salts.

Without an anchor kept elsewhere it cannot detect a cut tail, a changed order of events across sessions, or a log that
was chained anew. Projections and re-decide are checked by the layers that own them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from clawvm_es.errors import JournalError, JournalTooNew, UnreadableInput
from clawvm_es.journal.check_events import EventChecker, text
from clawvm_es.journal.identity import binds
from clawvm_es.journal.problems import DAMAGE, Note, Problem, at_most, first_problems
from clawvm_es.storage.sqlite import foreign, judging, opening, queries, schema, stale, watched
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.check_bodies import BodyChecker
from clawvm_es.storage.sqlite.watched import Connect

_DAMAGE: Final = (sqlite3.Error, *DAMAGE)


def verify_file(path: str, *, fast: bool, note: Note, connect: Connect) -> tuple[Problem, ...]:
    """All problems of the journal at `path`; see `Verifying`. Raises `UnreadableInput` where there is no file."""
    return first_problems(_check_file(path, fast, at_most(note), connect))


def _check_file(path: str, fast: bool, note: Note, connect: Connect) -> Iterator[Problem]:
    if not os.path.isfile(path):
        raise UnreadableInput(f"{path}: there is no such file")
    try:
        if judging.is_new(path, connect):
            yield Problem("file", path, "is empty")
            return
        stale.check(path, connect)
    except JournalTooNew:
        pass  # the check of the identity says so, and the others say what they can
    except JournalError as error:
        yield Problem("file", path, error.message)
        return
    try:
        db = opening.connect_reader(path, read_only=True, connect=connect)
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
                watched.distrust(db)  # what is asked from here on may not be what it says
                yield problem
    finally:
        db.close()


def _guarded(check: Callable[[], Iterable[Problem]], path: str) -> Iterator[Problem]:
    """Run one check; what cannot be read is a problem, and ends that check only."""
    try:
        yield from check()
    except _DAMAGE as error:
        late = watched.interrupted(error)
        yield Problem("file", path, f"cannot be read on: {'a statement does not end' if late else error}")


_COMPUTED: Final = """SELECT made.name FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND part.hidden IN (2, 3)
    UNION ALL SELECT made.name FROM sqlite_master AS made, pragma_index_xinfo(made.name) AS part
    WHERE made.type = 'index' AND part.cid = -2"""
"""Names of the tables and indexes of the file of which some column is worked out by an expression."""


def _check_schema(db: sqlite3.Connection) -> Iterator[Problem]:
    """The tables, indexes and triggers are exactly those of the file's format, and nobody added any to our tables."""
    found, ours = foreign.definitions(db), schema.objects(schema.format_of(db))
    for name, expected in ours.items():
        if name not in found:
            yield Problem("schema", name, "is missing")
        elif found[name] != expected:
            kind, table, sql = found[name]
            yield Problem("schema", name, f"is not as made: {kind} on {table}: {sql}")
    for name, (kind, table, _) in found.items():
        if name not in ours and kind == "trigger":
            yield Problem("schema", name, f"is a trigger on {table} that is not ours; no verb writes beside it")
        elif name not in ours and table in schema.TABLES:
            yield Problem("schema", name, f"does not belong on the table {table}")


def _check_identity(db: sqlite3.Connection) -> Iterator[Problem]:
    application_id, user_version = (value(db, f"PRAGMA {n}") for n in ("application_id", "user_version"))
    if application_id != schema.APPLICATION_ID:
        yield Problem("application_id", "file", f"is {application_id:#x}, not {schema.APPLICATION_ID:#x}")
    if user_version not in schema.FORMATS:
        known = ", ".join(map(str, schema.FORMATS))
        yield Problem("user_version", "file", f"is {user_version}, not {known}")
    yield from _check_journal(db)
    if user_version in schema.FORMATS and "upgrades" in schema.tables(user_version):
        yield from _check_upgrades(db, user_version)


def _check_journal(db: sqlite3.Connection) -> Iterator[Problem]:
    rows = db.execute("SELECT id, created_at_us, reproducible FROM journal").fetchall()
    if len(rows) != 1:
        yield Problem("journal", "file", "the table journal does not hold one row")
    elif not binds(text(rows[0][0]), rows[0][1], rows[0][2]):
        yield Problem("journal", "file", "id, created_at_us or reproducible was changed: they do not fit each other")


def _check_upgrades(db: sqlite3.Connection, user_version: int) -> Iterator[Problem]:
    """Each upgrade is as it was recorded, and the last one led to the file's format."""
    rows = db.execute(
        "SELECT u.user_version, at_us, made_by, binding, id FROM upgrades AS u, journal ORDER BY u.user_version"
    ).fetchall()
    for version, at_us, made_by, binding, journal_id in rows:
        if schema.upgrade_binding(text(journal_id), version, at_us, text(made_by)) != binding:
            yield Problem("upgrades", f"format {version}", "was changed: its cells do not fit each other")
    if rows and rows[-1][0] != user_version:
        yield Problem("upgrades", "file", f"the last upgrade led to format {rows[-1][0]}, not to {user_version}")


def _check_integrity(db: sqlite3.Connection) -> Iterator[Problem]:
    """SQLite's own check. Where a view comes first in its schema it leaves out free pages, so they are asked for.

    It works out generated columns and expressions of indexes: those that are not ours are bounded in size.
    """
    ours, found = schema.objects(schema.format_of(db)), foreign.definitions(db)
    if any(found.get(text(name)) != ours.get(text(name), ()) for (name,) in db.execute(_COMPUTED)):
        watched.distrust(db)
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
