"""Verification of a journal in a database: guards, identity, events, bodies; all in one state of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from clawvm_es.journal.check_events import EventChecker, place
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.identity import binds
from clawvm_es.journal.problems import DAMAGE, Note, Problem, at_most, first_problems, silent
from clawvm_es.journal.vault import SALT_BYTES, binding, commitment_to
from clawvm_es.model.events import KINDS, ContentRedacted
from clawvm_es.storage.postgres import queries
from clawvm_es.storage.postgres.schema import APPEND_AND_COMMIT, FUNCTIONS, TABLES, TRIGGERS, filled
from clawvm_es.storage.postgres.server import BEGIN_READING, Line, Server

_INPUTS: Final = frozenset(name for name, kind in KINDS.items() if kind == "input")
_ROWS: Final = f"SELECT {queries.COLUMNS} FROM {{s}}.events WHERE seq > %s ORDER BY seq LIMIT 2048"
_BODIES: Final = """SELECT commitment_id, commitment, session_id, salt, blob_id, binding, digest, body
    FROM {s}.commitments LEFT JOIN {s}.blobs USING (blob_id) WHERE commitment_id > %s
    ORDER BY commitment_id LIMIT 256"""
_LONELY: Final = """SELECT blob_id FROM {s}.blobs WHERE NOT EXISTS (
    SELECT 1 FROM {s}.commitments WHERE commitments.blob_id = blobs.blob_id) ORDER BY blob_id"""
_TRIGGERS: Final = """SELECT tgname::text, tgenabled::text, relname::text FROM pg_trigger
    JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = '{s}'::regnamespace AND NOT tgisinternal"""
_FUNCTIONS: Final = "SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = '{s}'::regnamespace"
_JOURNAL: Final = "SELECT id, created_at_us, reproducible FROM {s}.journal"


def problems(server: Server, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
    """All problems of a journal, at most `PROBLEMS_MAX`; empty if it is what was written."""
    with server.line() as line:
        line.run(BEGIN_READING)
        try:
            return first_problems(_all(line, fast, at_most(note)))
        except DAMAGE as error:
            return (Problem("rows", server.address.place, f"cannot be read on: {error}"),)


def _all(line: Line, fast: bool, note: Note) -> Iterator[Problem]:
    yield from guards(line)
    yield from _identity(line)
    named: dict[str, str] = {}
    redacted: set[str] = set()
    events = EventChecker(lambda session_id, version: queries.hash_at(line, session_id, version), fast, note)
    after = 0
    while rows := line.run(_ROWS, (after,)).fetchall():
        after = rows[-1][0]
        for row in rows:
            raw = tuple(cell.encode() if isinstance(cell, str) else cell for cell in row)
            yield from events.check(raw)
            if not fast:
                _note(row, raw, named, redacted)
    if not fast:
        yield from _bodies(line, named, redacted)


def _note(row: tuple[Any, ...], raw: tuple[Any, ...], named: dict[str, str], redacted: set[str]) -> None:
    """Remember the commitments that a row names."""
    if row[5] == ContentRedacted.TYPE:
        redacted.update(part for part in row[11].split('"') if len(part) == 64)
    elif row[5] in _INPUTS:
        for commitment in named_commitments(raw[11]):
            named.setdefault(commitment, place(raw))


def guards(line: Line) -> Iterator[Problem]:
    """The guards that are missing, switched off, or not as made."""
    found = {name: (enabled, table) for name, enabled, table in line.run(_TRIGGERS)}
    for name in TRIGGERS:
        enabled, _ = found.get(name, ("", ""))
        if enabled not in ("O", "A"):
            yield Problem("schema", name, "is switched off" if enabled else "is missing")
    for name, (_, table) in found.items():
        if name not in TRIGGERS and table in TABLES:
            yield Problem("schema", name, f"is a trigger on {table} that is not ours")
    sources: dict[str, str] = dict(line.run(_FUNCTIONS).fetchall())
    for statement in (*FUNCTIONS, APPEND_AND_COMMIT):
        name = statement.split("{s}.", 1)[1].split("(", 1)[0]
        made = filled(statement, line.address).split("$$")[1]
        if sources.get(name) != made and (name in sources or statement is not APPEND_AND_COMMIT):
            yield Problem("schema", name, "is not as made" if name in sources else "is missing")


def _identity(line: Line) -> Iterator[Problem]:
    for row in line.run(_JOURNAL):
        if not binds(*row):
            yield Problem("journal", "schema", "id, created_at_us or reproducible was changed")


def _bodies(line: Line, named: dict[str, str], redacted: set[str]) -> Iterator[Problem]:
    """All problems of bodies and commitments, and the names that lead nowhere."""
    after = 0
    missing = dict(named)
    while rows := line.run(_BODIES, (after,)).fetchall():
        after = rows[-1][0]
        for row in rows:
            missing.pop(row[1], None)
            yield from _body(row, row[1] in named)
    for commitment, where in missing.items():
        if commitment not in redacted:
            yield Problem("commitment", where, f"{commitment} has no row, and no content_redacted names it")
    for (blob_id,) in line.run(_LONELY):
        yield Problem("blob_id", f"blobs {blob_id}", "no commitment stands for this body")


def _body(row: tuple[Any, ...], is_named: bool) -> Iterator[Problem]:
    """The problems of one commitment and of the body behind it."""
    commitment_id, name, session_id, salt, blob_id, bound, digest, body = row
    where = f"commitments {commitment_id} ({name[:12]}…, session {session_id})"
    if not is_named:
        yield Problem("commitment", where, "no input of the log names it")
    if len(salt) != SALT_BYTES:
        yield Problem("salt", where, f"has {len(salt)} bytes, not {SALT_BYTES}")
    bound_right = bound == binding(name, session_id, salt, sealed=blob_id is None)
    if body is not None:
        digest_right = hashlib.sha256(body).digest() == digest
        opens = commitment_to(salt, body) == name
        if not digest_right:
            what, detail = ("digest", "is not the SHA-256 of its body") if opens else ("body", "was changed")
            yield Problem(what, f"blobs {blob_id}", detail)
        elif not opens:
            yield Problem("blob_id" if bound_right else "salt", where, "the body does not open this commitment")
    if not bound_right:
        yield Problem("binding", where, "salt, commitment, session_id or binding was changed, or the body unlinked")
