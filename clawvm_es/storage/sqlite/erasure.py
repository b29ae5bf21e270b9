"""Scrubbing after the erasure of bodies: no trace of them stays in the file or its write-ahead log.

SQLite overwrites deleted rows (`secure_delete`), but older frames of the WAL still hold them. So the WAL is copied
into the file and truncated, then both files are searched for pieces of the erased data. If any is found, the file
is rebuilt (`VACUUM`).

LAW-ERASE-1: an erasure is pending from the transaction that deletes the rows until all this is done. After an
interruption, the next open of the journal finishes it; it no longer knows the pieces, so it rebuilds the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from clawvm_es.errors import JournalDamaged, JournalError
from clawvm_es.journal.ports import Erasure
from clawvm_es.storage.sqlite import foreign, opening, raw
from clawvm_es.storage.sqlite.foreign import Definition
from clawvm_es.storage.sqlite.packing import readable

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog

PIECE_BYTES: Final = 24
"""Length of the pieces of erased bodies that are searched for."""
PIECES_MAX: Final = 64
"""Pieces that are searched for at most; each costs a pass over the files."""
PENDING: Final = "pending_erasures"
"""Table of the erasures that are not finished: `seq` of their first event. Made when it is first needed."""

PLACES: Final = (
    (
        "file",
        "old pages are searched for pieces of the texts once their rows are gone, and rewritten where one is found",
    ),
    ("write-ahead log", "it is copied into the file, cut to nothing, and searched"),
)
"""The files that `scrub` cleans, and how, for certificates."""

OBJECTS: Final[Mapping[str, Definition]] = MappingProxyType(
    {PENDING: ("table", PENDING, f"CREATE TABLE {PENDING} (seq INTEGER PRIMARY KEY) STRICT")}
)


def mark(connection: sqlite3.Connection, seq: int) -> None:
    """Note, in the transaction that deletes rows, that their traces are still to be removed."""
    if not _marked(connection):
        foreign.drop(connection, [PENDING])
        connection.execute(OBJECTS[PENDING][2])
    connection.execute(f"INSERT OR IGNORE INTO {PENDING} VALUES (?)", (seq,))


def pending(connection: sqlite3.Connection) -> tuple[int, ...]:
    """The first events of erasures that are not finished."""
    if not _marked(connection):
        return ()
    return tuple(seq for (seq,) in connection.execute(f"SELECT seq FROM {PENDING} ORDER BY seq"))


def _marked(connection: sqlite3.Connection) -> bool:
    """Tell whether there is a table of pending erasures, as we make it."""
    query = "SELECT type, tbl_name, sql FROM sqlite_master WHERE name = ?"
    return bool(connection.execute(query, (PENDING,)).fetchone() == OBJECTS[PENDING])


def pieces(bodies: Sequence[bytes]) -> tuple[bytes, ...]:
    """Pieces to search for: spread over the bodies, and over each of them."""
    found: dict[bytes, None] = {}
    long = [body for body in bodies if len(body) >= PIECE_BYTES]
    step = max(1, -(-len(long) // PIECES_MAX))
    each = max(1, PIECES_MAX // max(1, len(long)))
    for body in long[::step]:
        last = len(body) - PIECE_BYTES
        for place in range(each):
            at = last * place // max(1, each - 1)
            found[body[at : at + PIECE_BYTES]] = None
    return tuple(found)[:PIECES_MAX]


def scrub(log: SQLiteLog, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
    """Remove traces of erased `bodies` from older pages; if the bodies are unknown, rebuild the file.

    Waits `wait_s` seconds for other writers (None: as long as the log does). It never raises for obstacles (a reader,
    another writer, a full disk): the erasure stays pending.
    """
    wanted = pieces(bodies or ())
    try:
        with log.alone(wait_s) as connection:
            if not pending(connection):
                return Erasure.NOTHING
            if not _truncated(connection):
                return Erasure.PENDING
            if bodies is None or _residue(connection, log.path, wanted):
                connection.execute("VACUUM")
                if not _truncated(connection):
                    return Erasure.PENDING
            residue = _residue(connection, log.path, wanted)
            connection.execute(f"DELETE FROM {PENDING}")
            return Erasure.RESIDUE if residue else Erasure.ERASED
    except JournalError:
        return Erasure.PENDING
    except sqlite3.Error as error:
        told = opening.translate(error, log.path)
        if isinstance(told, JournalDamaged):
            raise told from error
        return Erasure.PENDING


def _truncated(connection: sqlite3.Connection) -> bool:
    """Copy the whole WAL into the file and cut it to nothing; False where a reader is in the way."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def _residue(connection: sqlite3.Connection, path: str, wanted: Iterable[bytes]) -> set[bytes]:
    """The pieces that stand in the journal's files, and in no body that stays, as it is or as it is stored."""
    found = set(wanted)
    found = raw.held(path, found) | raw.held(path + "-wal", found)
    if found:
        for digest, stored in connection.execute("SELECT digest, body FROM blobs"):
            body = readable(stored, digest)
            found -= {piece for piece in found if piece in body or piece in stored}
    return found
