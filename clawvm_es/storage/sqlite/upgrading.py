"""Upgrade a journal of an older format to today's, at its first writable open.

LAW-UPGRADE-1: an upgrade is one transaction under the writer's lock. An interrupted upgrade leaves the old file
intact. A finished one is recorded in the table `upgrades`, with the format, the time, and the program's version. It
rewrites no event and no body, so every digest stays the same.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clawvm_es.storage.sqlite import opening, schema
from clawvm_es.version import __version__

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog


def upgrade(log: SQLiteLog) -> None:
    """Bring the file to today's format, unless it has it.

    Raises `JournalBusy`, `JournalFull`, `ForeignObject`, `JournalTooNew`; then the file is as it was.
    """
    if log.ask(schema.format_of) == schema.USER_VERSION:
        return
    try:
        with log.alone() as connection, _transaction(connection):
            journal_id, _, _ = opening.check_tables(connection, log.path)  # another program may have been faster
            for version in range(schema.format_of(connection), schema.USER_VERSION):
                _step(connection, journal_id, version)
    except sqlite3.Error as error:
        raise opening.translate(error, log.path) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute(f"PRAGMA busy_timeout={opening.BUSY_MS}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _step(connection: sqlite3.Connection, journal_id: str, version: int) -> None:
    """One format further, in the caller's transaction."""
    for statement in schema.changes(version):
        connection.execute(statement)
    now_us, made_by = time.time_ns() // 1000, f"clawvm-es {__version__}"
    row = (version + 1, now_us, made_by, schema.upgrade_binding(journal_id, version + 1, now_us, made_by))
    connection.execute("INSERT INTO upgrades (user_version, at_us, made_by, binding) VALUES (?, ?, ?, ?)", row)
    connection.execute(f"PRAGMA user_version={version + 1}")
