"""Tells a write-ahead log that is not the newest part of the file beside which it lies.

SQLite takes whatever log lies beside a file and, where the last connection closes, copies it into the file. A log of
an older moment, or of another journal, so takes away events that the file itself holds, and what is left verifies.

LAW-STALE-1: events are only ever added, so the last event of the file alone is there with its log, too. Where it is
not the log is refused, and both files stay as they were. A file into which a log was being copied when the power
went may say anything, so an event counts if its hash holds.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from contextlib import closing
from typing import Any, Final

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.chain import event_hash
from clawvm_es.storage.sqlite import foreign, opening, queries, raw, schema, watched
from clawvm_es.storage.sqlite.watched import Connect

_TABLES: Final = ("journal", "events")
_LOOKS_S: Final = (0.0, 0.2)
"""Seconds before each look: a log that another process is copying into the file meanwhile is looked at again."""
_MIXED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Errors that a log makes whose pages do not fit those of the file."""


def check(path: str, connect: Connect = sqlite3.connect) -> None:
    """Raise `JournalDamaged` where the log beside a journal takes events away. What cannot be read is not judged.

    A journal that this process has open was looked at before: SQLite closes a file that it opens without its log in
    a way that drops the locks of all other connections.
    """
    with raw.connecting:
        for wait_s in _LOOKS_S:
            time.sleep(wait_s)
            if not opening.wal_bytes(path) or raw.is_held(path) or _agree(path, connect):
                return
    raise JournalDamaged(
        f"{path}-wal is of an older moment, of another journal or damaged: it takes away what {path} alone holds",
        hint=f"move {path}-wal away if it came here by mistake; both were left untouched",
    )


def _agree(path: str, connect: Connect) -> bool:
    """Tell whether the file's last event is there with its write-ahead log, too; True if the file has none."""
    try:
        with closing(opening.connect_alone(path, connect)) as alone:
            last = _last(alone) if _is_ours(alone) else None
    except sqlite3.Error as error:
        _tell(error, path)
        return True
    if last is None:
        return True
    try:
        with closing(opening.connect_reader(path, read_only=True, connect=connect)) as whole:
            return not _is_ours(whole) or queries.hash_at(whole, *last[:2]) == last[2]
    except sqlite3.Error as error:
        _tell(error, path)
        return getattr(error, "sqlite_errorname", None) not in _MIXED


def _tell(error: sqlite3.Error, path: str) -> None:
    """Raise `DiskFailed` for an error of the disk, which may not recur; a short file is no such error."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_IOERR") and name != "SQLITE_IOERR_SHORT_READ":
        raise opening.translate(error, path) from error


def _last(db: sqlite3.Connection) -> tuple[str, int, bytes] | None:
    """Session, version and hash of the last event; None where its hash is another: the file is half written."""
    seq = queries.last_seq(db)
    for row in queries.all_chunk(db, seq - 1, seq):
        told: list[Any] = [cell.encode() if isinstance(cell, str) else cell for cell in row[1:-1]]
        try:
            whole = event_hash(*told) == row[-1]
        except (AttributeError, TypeError, struct.error):
            return None
        return (row[1], row[2], row[-1]) if whole else None
    return None


def _is_ours(db: sqlite3.Connection) -> bool:
    """Tell whether the queried tables are as made by this program; others might run foreign code."""
    watched.distrust(db)
    ours = schema.objects(schema.format_of(db))
    found = foreign.definitions(db, _TABLES)
    return all(name in found and foreign.same_definition(found[name], ours[name]) for name in _TABLES)
