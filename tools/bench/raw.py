"""The peer of the append path: plain sqlite3 writing the very same rows into the same schema.

Like us it finds the stream's head first, writes in one immediate transaction, and returns the new head.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from clawvm_es import limits
from clawvm_es.storage.sqlite import schema
from clawvm_es.storage.sqlite.queries import COLUMNS, INSERT

Row: TypeAlias = tuple[Any, ...]

_HEAD = "SELECT version, seq, hash FROM events WHERE session_id = ? ORDER BY version DESC LIMIT 1"
_TAIL = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"


def rows_of(path: Path) -> list[Row]:
    """All rows of a journal's events, every column."""
    db = sqlite3.connect(path)
    try:
        return db.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq").fetchall()
    finally:
        db.close()


def create(path: Path) -> None:
    """Make a file with the journal's tables, indexes and triggers."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in schema.DDL.values():
        db.execute(statement)
    db.execute("PRAGMA journal_mode=WAL")
    db.close()


def connect(path: Path, synchronous: str = "normal") -> sqlite3.Connection:
    """A connection with the journal's checkpoint interval that waits for other writers up to a minute."""
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.execute(f"PRAGMA synchronous={synchronous}")
    db.execute(f"PRAGMA wal_autocheckpoint={limits.WAL_CHECKPOINT_PAGES}")
    return db


def append(db: sqlite3.Connection, rows: Sequence[Row]) -> tuple[int, int, bytes]:
    """Write rows of one stream in one transaction and return its head: version, seq, hash."""
    db.execute("BEGIN IMMEDIATE")
    db.execute(_HEAD, (rows[0][1],)).fetchone()
    if len(rows) == 1:
        db.execute(INSERT, rows[0])
    else:
        db.executemany(INSERT, rows)
    db.execute("COMMIT")
    last = rows[-1]
    return last[2], last[0], last[13]


def append_next(db: sqlite3.Connection, rows: Sequence[Row]) -> tuple[int, int, bytes]:
    """As `append`, with `seq` given out inside the transaction: others write to the same file."""
    db.execute("BEGIN IMMEDIATE")
    seq = (db.execute(_TAIL).fetchone() or (0,))[0]
    db.execute(_HEAD, (rows[0][1],)).fetchone()
    db.executemany(INSERT, [(seq + number, *row[1:]) for number, row in enumerate(rows, 1)])
    db.execute("COMMIT")
    return rows[-1][2], seq + len(rows), rows[-1][13]
