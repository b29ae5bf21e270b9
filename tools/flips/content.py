"""What a reader sees of a journal, as digests: two files that a reader cannot tell apart have the same."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from clawvm_es.storage.sqlite import schema

JUDGED = ("rows", "schema", "header")
"""The log's rows over each of their paths, the schema, and what a journal sets in the file's header."""
PARTS = (*JUDGED, "derived")
"""Also the rows of all other tables, which can be made again from the log."""
DIGEST = f"substr(digest, 1, {schema.DIGEST_BYTES})"
NAME = f"substr(commitment, 1, {schema.NAME_CHARS})"
_PATHS = (
    *(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid" for table in schema.TABLES),
    "SELECT session_id, version, rowid FROM events INDEXED BY events_versions ORDER BY session_id, version",
    "SELECT session_id, idempotency_key, rowid FROM events INDEXED BY events_keys"
    " WHERE idempotency_key IS NOT NULL ORDER BY session_id, idempotency_key",
    "SELECT rowid FROM events INDEXED BY events_redactions WHERE type = 'content_redacted' ORDER BY seq",
    f"SELECT {DIGEST}, rowid FROM blobs INDEXED BY blobs_digests ORDER BY {DIGEST}",
    f"SELECT {NAME}, rowid FROM commitments INDEXED BY commitments_names ORDER BY {NAME}",
    "SELECT blob_id, session_id, rowid FROM commitments INDEXED BY commitments_blobs ORDER BY blob_id, session_id",
)
_SCHEMA = "SELECT rowid, type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid"
_HEADER = ("application_id", "user_version", "journal_mode")
_MODE = slice(18, 20)
"""The versions for writing and reading, which no pragma tells apart."""
_DERIVED = """SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
    AND name NOT LIKE 'sqlite_%' ORDER BY name"""


def derived_tables(path: Path) -> tuple[str, ...]:
    """The names of all tables but the log's own."""
    with closing(_connect(path)) as db:
        return tuple(name for (name,) in db.execute(_DERIVED) if name not in schema.TABLES)


def content(path: Path, derived: Sequence[str]) -> dict[str, str]:
    """The digest of each part; the name of the error where a part cannot be read. Leaves the file as it is."""
    queries = {
        "rows": _PATHS,
        "schema": (_SCHEMA,),
        "header": tuple(f"PRAGMA {name}" for name in _HEADER),
        "derived": tuple(f"SELECT * FROM {name} NOT INDEXED" for name in derived),
    }
    found = {part: _digest(path, queries[part]) for part in PARTS}
    return found | {"header": found["header"] + path.read_bytes()[_MODE].hex()}


def _connect(path: Path) -> sqlite3.Connection:
    """As a journal's own reader does: with a WAL the file cannot be taken for unchanging."""
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    return sqlite3.connect(f"file:{path}?{mode}", uri=True)


def _digest(path: Path, queries: Sequence[str]) -> str:
    found = hashlib.sha256()
    try:
        with closing(_connect(path)) as db:
            db.text_factory = bytes
            for row in _rows(db, queries):
                found.update(repr(row).encode())
    except (sqlite3.Error, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return found.hexdigest()


def _rows(db: sqlite3.Connection, queries: Sequence[str]) -> Iterator[Any]:
    for query in queries:
        yield from db.execute(query)
