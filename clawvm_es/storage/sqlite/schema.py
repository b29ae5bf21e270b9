"""The journal's tables, indexes and triggers, and what marks a file as a journal.

The triggers stop accidents: UPDATE, DELETE and INSERT OR REPLACE of events, gaps, a body changed in place. The
hash chain is the evidence against what they miss. Bodies and salts can be deleted, but only after an event
`content_redacted` that names their commitments.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from types import MappingProxyType
from typing import Final

from clawvm_es.storage.sqlite.asking import value

APPLICATION_ID: Final = 0x434C564D  # "CLVM"
USER_VERSION: Final = 3
"""The format that journals are made in.

1 stores bodies as they are. 2 stores long ones packed (`packing`). 3 looks commitments and digests up by their first
bytes, leaves `prev_hash` empty where it is the hash of the stream's row before, and shortens bindings.
"""

_JOURNAL = """CREATE TABLE journal (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    reproducible INTEGER NOT NULL CHECK (reproducible IN (0, 1))
) STRICT"""

_EVENTS = """CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    kind TEXT NOT NULL,
    type TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    cause INTEGER,
    idempotency_key TEXT,
    data TEXT NOT NULL,
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT"""

_BLOBS = """CREATE TABLE blobs (
    blob_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT"""

_COMMITMENTS = """CREATE TABLE commitments (
    commitment_id INTEGER PRIMARY KEY,
    commitment TEXT NOT NULL,
    session_id TEXT NOT NULL,
    salt BLOB NOT NULL,
    blob_id INTEGER,
    binding BLOB NOT NULL
) STRICT"""

_EVENTS_INSERT = """CREATE TRIGGER events_insert BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
    OR EXISTS (SELECT 1 FROM events WHERE session_id = NEW.session_id AND version >= NEW.version)
    OR (NEW.idempotency_key IS NOT NULL AND EXISTS (SELECT 1 FROM events
        WHERE session_id = NEW.session_id AND idempotency_key = NEW.idempotency_key))
BEGIN SELECT raise(ABORT, 'events are append-only'); END"""

_BLOBS_INSERT = """CREATE TRIGGER blobs_insert BEFORE INSERT ON blobs
WHEN EXISTS (SELECT 1 FROM blobs WHERE blob_id = NEW.blob_id)
    OR EXISTS (SELECT 1 FROM blobs WHERE digest = NEW.digest)
BEGIN SELECT raise(ABORT, 'a stored body is never replaced'); END"""

_BLOBS_DELETE = """CREATE TRIGGER blobs_delete BEFORE DELETE ON blobs
WHEN EXISTS (SELECT 1 FROM commitments WHERE blob_id = OLD.blob_id)
BEGIN SELECT raise(ABORT, 'a commitment still needs this body'); END"""

_COMMITMENTS_INSERT = """CREATE TRIGGER commitments_insert BEFORE INSERT ON commitments
WHEN EXISTS (SELECT 1 FROM commitments WHERE commitment_id = NEW.commitment_id)
    OR EXISTS (SELECT 1 FROM commitments WHERE commitment = NEW.commitment)
BEGIN SELECT raise(ABORT, 'a stored commitment is never replaced'); END"""

_COMMITMENTS_UPDATE = """CREATE TRIGGER commitments_update BEFORE UPDATE ON commitments
WHEN NOT (OLD.blob_id IS NULL AND NEW.blob_id IS NOT NULL AND NEW.commitment_id IS OLD.commitment_id
    AND NEW.commitment IS OLD.commitment AND NEW.session_id IS OLD.session_id AND NEW.salt IS OLD.salt)
BEGIN SELECT raise(ABORT, 'of a commitment, only a sealed body may be added'); END"""

_COMMITMENTS_DELETE = """CREATE TRIGGER commitments_delete BEFORE DELETE ON commitments
WHEN NOT EXISTS (SELECT 1 FROM events WHERE type = 'content_redacted' AND instr(data, OLD.commitment))
BEGIN SELECT raise(ABORT, 'no content_redacted names this commitment'); END"""


_UPGRADES = """CREATE TABLE upgrades (
    user_version INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    binding BLOB NOT NULL
) STRICT"""

_UPGRADES_INSERT = """CREATE TRIGGER upgrades_insert BEFORE INSERT ON upgrades
WHEN EXISTS (SELECT 1 FROM upgrades WHERE user_version >= NEW.user_version)
BEGIN SELECT raise(ABORT, 'a journal is upgraded once to a format'); END"""

NAME_CHARS: Final = 8
"""Characters of a commitment that its index holds: its rows are compared in full, and few begin alike."""
DIGEST_BYTES: Final = 4
"""Bytes of a body's digest that its index holds."""
# IS, not =: SQLite puts a value that a column equals into the expression beside it, and then does not see the index
_NAME_IS: Final = f"substr(commitment, 1, {NAME_CHARS}) = substr({{0}}, 1, {NAME_CHARS}) AND commitment IS {{0}}"
_DIGEST_IS: Final = f"substr(digest, 1, {DIGEST_BYTES}) = substr({{0}}, 1, {DIGEST_BYTES}) AND digest IS {{0}}"
_BINDING_BYTES: Final = 8


def name_is(value: str) -> str:
    """SQL that finds a commitment by its index, in every format; `value` is a numbered parameter, or a column."""
    return _NAME_IS.format(value)


def digest_is(value: str) -> str:
    """SQL that finds a body by its digest, as `name_is`."""
    return _DIGEST_IS.format(value)


def stored_binding(binding: bytes) -> bytes:
    """The cell of a binding as today's format stores it: the format's number, then the first bytes.

    A program that knows an older format only and has the file open while it is upgraded writes others: it is refused.
    """
    return bytes((USER_VERSION,)) + binding[:_BINDING_BYTES]


def stored_bindings(binding: bytes) -> tuple[bytes, ...]:
    """The cells of a binding in each format."""
    return binding, b"\2" + binding, stored_binding(binding)


def _refuse_older(verb: str, format_: int, length: int) -> str:
    return f"""CREATE TRIGGER commitments_format_{verb.lower()} BEFORE {verb} ON commitments
WHEN length(NEW.binding) <> {length} OR substr(NEW.binding, 1, 1) <> x'0{format_}'
BEGIN SELECT raise(ABORT, 'this journal has format {format_} now: install a newer clawvm-es'); END"""


def _refuse(table: str, verb: str, why: str) -> str:
    return f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table}\nBEGIN SELECT raise(ABORT, '{why}'); END"


_FORMAT_1: Final[Mapping[str, str]] = MappingProxyType(
    {
        "journal": _JOURNAL,
        "events": _EVENTS,
        "blobs": _BLOBS,
        "commitments": _COMMITMENTS,
        "events_versions": "CREATE UNIQUE INDEX events_versions ON events (session_id, version)",
        "events_keys": "CREATE UNIQUE INDEX events_keys ON events (session_id, idempotency_key)"
        " WHERE idempotency_key IS NOT NULL",
        "events_redactions": "CREATE INDEX events_redactions ON events (seq) WHERE type = 'content_redacted'",
        "blobs_digests": "CREATE UNIQUE INDEX blobs_digests ON blobs (digest)",
        "commitments_names": "CREATE UNIQUE INDEX commitments_names ON commitments (commitment)",
        "commitments_blobs": "CREATE INDEX commitments_blobs ON commitments (blob_id, session_id)",
        "journal_insert": "CREATE TRIGGER journal_insert BEFORE INSERT ON journal\n"
        "WHEN EXISTS (SELECT 1 FROM journal)\nBEGIN SELECT raise(ABORT, 'a journal has one identity'); END",
        "journal_update": _refuse("journal", "UPDATE", "a journal keeps its identity"),
        "journal_delete": _refuse("journal", "DELETE", "a journal keeps its identity"),
        "events_insert": _EVENTS_INSERT,
        "events_update": _refuse("events", "UPDATE", "events are append-only"),
        "events_delete": _refuse("events", "DELETE", "events are append-only"),
        "blobs_insert": _BLOBS_INSERT,
        "blobs_update": _refuse("blobs", "UPDATE", "a stored body is never replaced"),
        "blobs_delete": _BLOBS_DELETE,
        "commitments_insert": _COMMITMENTS_INSERT,
        "commitments_update": _COMMITMENTS_UPDATE,
        "commitments_delete": _COMMITMENTS_DELETE,
    }
)
_FORMAT_2: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_FORMAT_1,
        "upgrades": _UPGRADES,
        "upgrades_insert": _UPGRADES_INSERT,
        "upgrades_update": _refuse("upgrades", "UPDATE", "an upgrade stays on record"),
        "upgrades_delete": _refuse("upgrades", "DELETE", "an upgrade stays on record"),
        "commitments_format_insert": _refuse_older("INSERT", 2, 33),
        "commitments_format_update": _refuse_older("UPDATE", 2, 33),
    }
)
DDL: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_FORMAT_2,
        "blobs_digests": f"CREATE INDEX blobs_digests ON blobs (substr(digest, 1, {DIGEST_BYTES}))",
        "commitments_names": f"CREATE INDEX commitments_names ON commitments (substr(commitment, 1, {NAME_CHARS}))",
        "blobs_insert": _BLOBS_INSERT.replace("digest = NEW.digest", digest_is("NEW.digest")),
        "commitments_insert": _COMMITMENTS_INSERT.replace("commitment = NEW.commitment", name_is("NEW.commitment")),
        "commitments_format_insert": _refuse_older("INSERT", USER_VERSION, 1 + _BINDING_BYTES),
        "commitments_format_update": _refuse_older("UPDATE", USER_VERSION, 1 + _BINDING_BYTES),
    }
)
"""Name of each schema object → its statement, exactly as SQLite keeps it, in the order of creation."""
FORMATS: Final[Mapping[int, Mapping[str, str]]] = MappingProxyType({1: _FORMAT_1, 2: _FORMAT_2, USER_VERSION: DDL})
"""`user_version` of a file → the objects that a journal of this format has; today's format is the last.

A format adds objects, or replaces triggers and indexes, of the one before it: an upgrade rewrites no rows.
"""
TABLES: Final = ("journal", "events", "blobs", "commitments", "upgrades")
"""The tables that are the journal; all others (projections, caches) can be made again."""


@cache
def objects(user_version: int = USER_VERSION) -> Mapping[str, tuple[str, str, str]]:
    """Name of each schema object of a format → its type, table and statement, as SQLite lists them."""
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in FORMATS[user_version].values():
            db.execute(statement)
        found = db.execute("SELECT name, type, tbl_name, sql FROM sqlite_master").fetchall()
    return MappingProxyType({name: (kind, table, sql) for name, kind, table, sql in found})


def format_of(db: sqlite3.Connection) -> int:
    """The format of a connected journal; today's if its number is unknown."""
    version = value(db, "PRAGMA user_version")
    return version if version in FORMATS else USER_VERSION


@cache
def triggers(user_version: int = USER_VERSION) -> Mapping[str, tuple[str, str, str]]:
    """The triggers among `objects`."""
    return MappingProxyType({name: each for name, each in objects(user_version).items() if each[0] == "trigger"})


@cache
def tables(user_version: int = USER_VERSION) -> tuple[str, ...]:
    """The tables of a format."""
    return tuple(name for name in TABLES if name in FORMATS[user_version])


def changes(older: int) -> tuple[str, ...]:
    """The statements that bring a file of an older format to the next one."""
    before, after = FORMATS[older], FORMATS[older + 1]
    replaced = [name for name, statement in before.items() if after.get(name) != statement]
    drops = [f"DROP {objects(older)[name][0]} {name}" for name in replaced]
    return (*drops, *(statement for name, statement in after.items() if before.get(name) != statement))


def upgrade_binding(journal: str, user_version: int, at_us: int, made_by: str) -> bytes:
    """A digest of an upgrade's row, so that no cell of it changes unnoticed."""
    return hashlib.sha256(f"clawvm-es upgrade 1\n{journal}\n{user_version}\n{at_us}\n{made_by}\n".encode()).digest()
