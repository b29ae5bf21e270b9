"""Makes journal files and connects to them; translates SQLite's errors.

A new journal is built aside and renamed into place: there is no half-made one.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeAlias, TypeVar
from urllib.parse import quote

from clawvm_es import errors, files
from clawvm_es.journal.identity import journal_id
from clawvm_es.storage.sqlite import foreign, judging, raw, schema, wal, watched
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.lock import WriterLock
from clawvm_es.storage.sqlite.watched import Connect

_P = ParamSpec("_P")
_T = TypeVar("_T")
Query: TypeAlias = Callable[Concatenate[sqlite3.Connection, _P], _T]
"""A query of one of the journal's modules: it takes the connection first."""
BUSY_MS: Final = 5_000
"""Milliseconds that a connection waits for a lock of another SQLite tool, not a writer of ours."""
_NO_RIGHT: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOT_DAMAGE: Final = (
    "SQLITE_NOMEM",
    "SQLITE_INTERRUPT",
    "SQLITE_TOOBIG",
    "SQLITE_MISUSE",
    "SQLITE_AUTH",
    "SQLITE_ABORT",
)
"""Errors that say nothing about the file."""
_NEAR_BYTES: Final = 2 * wal.PAGE_BYTES_MAX
"""Bytes that SQLite may have tried to write at once."""


def create(path: str, lock: WriterLock, reproducible: bool, mode: int, connect: Connect) -> None:
    """Make an empty journal at `path`, unless another process was faster. Raises `JournalFull`, `JournalReadOnly`.

    An empty file that is there already keeps its permissions; SQLite gives its other files the journal's.
    """
    lock.acquire()
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}")
    try:
        if not judging.is_new(path, connect):
            return
        os.close(files.create(aside, files.mode_of(path, mode)))
        _build(aside, reproducible, connect)
        os.replace(aside, path)
        files.sync_path(folder)
    except sqlite3.Error as error:
        raise translate(error, path, aside) from error
    except OSError as error:
        raise translate_os(error, path) from error
    finally:
        for left in (aside, aside + "-journal", aside + "-wal", aside + "-shm"):
            Path(left).unlink(missing_ok=True)
        lock.release()


def connect_writer(path: str, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """The connection that appends; its transactions are explicit, its checkpoints ours."""
    settings = ["wal_autocheckpoint=0", "secure_delete=ON"]
    if sys.platform == "darwin":  # there a sync leaves bytes in the drive's cache unless it is told not to
        settings += ["fullfsync=ON", "checkpoint_fullfsync=ON"]
    return _connect(path, "mode=rw", connect, settings)


def connect_reader(path: str, read_only: bool = False, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """A connection that only reads and, as far as SQLite allows, leaves no trace.

    Read-only media are opened as immutable. A writable journal is opened writable with `query_only`, because
    then SQLite removes the shared memory and the empty WAL that even a reader makes; but if a WAL was left by
    a crash and we may not write, it is read and left where it is.
    """
    if not read_only:
        mode = "mode=rw"
    elif wal.size_of(path + "-wal"):
        mode = "mode=ro"
    elif os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK):
        mode = "mode=rw"
    else:
        mode = "immutable=1"
    return _connect(path, mode, connect, ["query_only=ON", "wal_autocheckpoint=0"])


def connect_alone(path: str, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """A connection that reads the file without its write-ahead log; closing it drops the locks of all others."""
    return _connect(path, "immutable=1", connect, ["query_only=ON"])


@contextmanager
def reading(path: str, read_only: bool, connect: Connect) -> Iterator[sqlite3.Connection]:
    """Read one state of a journal over a connection of its own, for the length of the block."""
    try:
        with closing(connect_reader(path, read_only, connect)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise translate(error, path) from error


def check_tables(db: sqlite3.Connection, path: str) -> tuple[str, int, bool]:
    """Check a connected journal's marks and tables; returns id, time made (UTC µs) and whether reproducible."""
    application_id = value(db, "PRAGMA application_id")
    user_version = value(db, "PRAGMA user_version")
    judging.check_marks(path, application_id, user_version)
    if user_version < 1:
        raise errors.JournalDamaged(
            f"{path} is damaged: its user_version is {user_version}, which no journal has",
            hint="go back to a copy that verifies",
        )
    found, ours = foreign.definitions(db), schema.objects(user_version)
    tables = schema.tables(user_version)
    missing = [name for name in tables if name not in found]
    if missing:
        raise errors.JournalDamaged(f"{path}: there is no table {', '.join(missing)}")
    altered = list(foreign.altered(found, {name: ours[name] for name in tables}))
    if altered:
        raise errors.JournalDamaged(
            f"{path}: not as made, and so not read: {', '.join(altered)}", hint=f"see: clawvm verify {path}"
        )
    row = db.execute("SELECT id, created_at_us, reproducible FROM journal").fetchone()
    if row is None:
        raise errors.JournalDamaged(f"{path}: its table journal is empty")
    return row[0], row[1], bool(row[2])


def ask(db: sqlite3.Connection, path: str, query: Query[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """Run a query of one of the journal's modules over a connection, and tell SQLite's errors by ours."""
    try:
        return query(db, *args, **options)
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: Exception, path: str, written: str = "") -> errors.JournalError:
    """The error to raise for one of SQLite's; `written` names the file that was written, where it is another one.

    A full or failing disk ends a transaction; to undo a part of it is a wrong statement then, and the first is told.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_ERROR" and isinstance(error.__context__, sqlite3.Error):
        error = error.__context__
        name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return errors.JournalBusy(f"{path} is locked by another program", hint="close it there")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return errors.JournalReadOnly(f"{path} can only be read: {error}")
    if name == "SQLITE_FULL":
        return _full(path, str(error))
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) and (reason := _why_full(written or path)):
        return _full(path, reason)
    if name.startswith("SQLITE_CANTOPEN"):
        return errors.JournalReadOnly(
            f"{path} (or its -wal) cannot be opened: {error}", hint="copy both to a place that you can write"
        )
    if name.startswith("SQLITE_IOERR"):
        return errors.DiskFailed(
            f"{path}: the disk failed: {error} ({name})",
            hint="the last whole transaction stands; look at the system's log, and copy the journal to another disk",
        )
    if name.startswith(_NOT_DAMAGE) and not watched.interrupted(error):
        return errors.JournalError(f"{path}: {error} ({name})")
    said = " ".join(str(error).split())  # of a schema SQLite quotes lines
    return errors.JournalDamaged(f"{path} is damaged: {said}", hint="see: clawvm verify " + path)


def _full(path: str, reason: str) -> errors.JournalFull:
    return errors.JournalFull(f"{path} cannot grow: {reason}", hint="make room; the last whole transaction stands")


def _why_full(path: str) -> str:
    """Why files beside the journal cannot grow, found out by trying; empty where they can.

    SQLite tells a quota and a limit on the size of files by the same name as a disk that fails.
    """
    if limit := _size_limit():
        longest = max(wal.size_of(path + suffix) for suffix in ("", "-wal", "-journal"))
        if longest + _NEAR_BYTES > limit:
            return f"files may not be larger than {limit} bytes (ulimit -f)"
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path)) as probe:
            probe.write(bytes(_NEAR_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return str(error.strerror) if error.errno in files.NO_SPACE else ""
    return ""


def _size_limit() -> int:
    """The largest file that this process may write; 0 for no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return 0 if limit == resource.RLIM_INFINITY else limit


def log_ahead(db: sqlite3.Connection, path: str) -> None:
    """Let a new file have a write-ahead log. Raises `JournalFull` or `DiskFailed`, of which SQLite says nothing."""
    if value(db, "PRAGMA journal_mode=WAL") != "wal":
        reason = _why_full(path)
        raise _full(path, reason) if reason else errors.DiskFailed(f"{path}: the disk failed: no write-ahead log")


def wal_bytes(path: str) -> int:
    """Size of the journal's write-ahead log, 0 if there is none."""
    return wal.size_of(path + "-wal")


def translate_os(error: OSError, path: str) -> Exception:
    """The error to raise where the system does not let a file be made."""
    if isinstance(error, errors.JournalError):
        return error
    message = f"{path} cannot be made: {error.strerror}"
    if error.errno in files.NO_SPACE:
        return errors.JournalFull(message, hint="make room")
    if error.errno in _NO_RIGHT:
        return errors.JournalReadOnly(message)
    return errors.DiskFailed(message) if error.errno == errno.EIO else errors.JournalError(message)


def uri(path: str) -> str:
    """The name of a file as a URI, in which SQLite takes names that are no UTF-8, too."""
    return f"file:{quote(os.fsencode(path))}"


def _connect(path: str, mode: str, connect: Connect, settings: Sequence[str]) -> sqlite3.Connection:
    place = f"{uri(path)}?{mode}"
    wait_s = BUSY_MS / 1000
    with raw.connecting:
        db = connect(place, wait_s, isolation_level=None, check_same_thread=False, factory=watched.Watched, uri=True)
    try:
        for setting in ("trusted_schema=OFF", "cell_size_check=ON", *settings):
            db.execute(f"PRAGMA {setting}")
    except BaseException:
        db.close()  # one that is left open would keep the write-ahead log from being removed
        raise
    return db


def _build(path: str, reproducible: bool, connect: Connect) -> None:
    db = connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA secure_delete=ON")
        db.execute("BEGIN")
        for statement in schema.DDL.values():
            db.execute(statement)
        now_us = time.time_ns() // 1000
        row = (1, journal_id(secrets.token_hex(16), now_us, reproducible), now_us, int(reproducible))
        db.execute("INSERT INTO journal (one, id, created_at_us, reproducible) VALUES (?, ?, ?, ?)", row)
        db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={schema.USER_VERSION}")
        db.execute("COMMIT")
        log_ahead(db, path)
    finally:
        db.close()
    files.sync_path(path)
