"""Check the file at a journal's place before anything is written near it.

LAW-JUDGE-1: a file is ours if page 1 says so, in the version that SQLite would recover from the file or its
write-ahead log. A file that is not ours, its write-ahead log and its shared memory stay byte for byte unchanged. Even
a connection that only reads makes files beside a database, so none is made to the file itself: its first bytes and
those of page 1 in the log are read, and where they disagree, SQLite recovers a copy elsewhere.

LAW-JUDGE-2: no rollback journal is copied into a journal in WAL mode, which has none.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from clawvm_es import errors, files
from clawvm_es.storage.sqlite import raw, schema, wal
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.watched import Connect

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_ROLLBACK: Final = bytes.fromhex("d9d505f920a163d7")
"""The first bytes of a rollback journal (https://www.sqlite.org/fileformat2.html#the_rollback_journal)."""
_WAL: Final = b"\2\2"
_FORMATS: Final = (_WAL, b"\1\1")
"""The versions for writing and reading in the header: as journals are made, and as some tools copy them."""


def is_new(path: str, connect: Connect = sqlite3.connect) -> bool:
    """Find out whether a journal can be made at `path` (missing or empty); else check that one of ours is there.

    Writes nothing. Raises `UsageError` (no such directory), `NotAJournal`, `JournalTooNew`, `JournalDamaged`.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        directory = os.path.dirname(path)
        if not os.path.isdir(directory):
            raise errors.UsageError(f"{path}: there is no directory {directory}", hint="create it first") from None
        _check_beside(path, "missing")
        return True
    except OSError as error:
        raise errors.NotAJournal(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise errors.NotAJournal(f"{path} is a {'directory' if stat.S_ISDIR(mode) else 'device'}, not a file")
    for suffix in ("-wal", "-shm"):
        _check_kind(path + suffix)
    try:
        with raw.descriptor(path) as fd:
            header = raw.pread(fd, _HEADER_BYTES, 0)
        pages = wal.first_pages(path + "-wal", _HEADER_BYTES)
    except OSError as error:
        raise errors.JournalError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    if not header:
        _check_beside(path, "empty")
        return True
    _judge(path, header, pages, connect)
    _check_rollback(path, (header, *pages))
    return False


def check_marks(path: str, application_id: int, user_version: int) -> None:
    """Raise `NotAJournal` or `JournalTooNew` unless the two numbers in the file's header are ours."""
    if application_id != schema.APPLICATION_ID:
        raise errors.NotAJournal(
            f"{path} is an SQLite file of another program (application_id {application_id:#x}, "
            f"expected {schema.APPLICATION_ID:#x}); it was left untouched"
        )
    if user_version > schema.USER_VERSION:
        raise errors.JournalTooNew(
            f"{path} has format {user_version}, this version knows {schema.USER_VERSION}; it was left untouched",
            hint="install a newer clawvm-es",
        )


def _check_kind(path: str) -> None:
    """Raise where what lies at a place of SQLite's own is no file that SQLite opens."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if stat.S_ISLNK(mode):
        raise errors.JournalDamaged(f"{path} is a link, and SQLite follows none", hint="move the file itself here")
    if not stat.S_ISREG(mode):
        raise errors.JournalDamaged(f"{path} is no file", hint="move it away")


def _check_rollback(path: str, pages: Sequence[bytes]) -> None:
    """Raise where SQLite would roll back a file that is none of this journal's (LAW-JUDGE-2).

    A file in WAL mode keeps no rollback journal. One that lies beside it, of an older copy or of another file, would
    be copied over its pages by the first connection, also by one that only reads; SQLite then removes it, even where
    it is none at all.
    """
    beside = path + "-journal"
    try:
        begins = files.read_regular(beside, len(_ROLLBACK))
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.JournalDamaged(f"{beside} cannot be read: {error.strerror}", hint="move it away") from error
    if begins[:1] in (b"", b"\0"):  # SQLite takes it for ended
        return
    if begins != _ROLLBACK or any(page[18:20] == _WAL for page in pages):
        raise errors.JournalDamaged(
            f"{beside} is there, and a journal has none: SQLite would roll it back into the journal, and remove it",
            hint="move it away; both were left untouched",
        )


def _check_beside(path: str, state: str) -> None:
    """Raise where a journal would be made on top of another file's log: that log may hold what was acknowledged."""
    if size := wal.size_of(path + "-wal"):
        raise errors.JournalDamaged(
            f"{path} is {state}, but its write-ahead log {path}-wal is there ({size} bytes)",
            hint=f"put the journal back beside it, or move {path}-wal away to begin a new journal",
        )
    if wal.size_of(path + "-journal"):
        raise errors.NotAJournal(
            f"{path} is {state}, but {path}-journal is there: another program writes a file here"
        )


def _judge(path: str, header: bytes, pages: list[bytes], connect: Connect) -> None:
    """Check page 1 of the file and its versions in the log, the last of which may be cut or not committed."""
    ours = [_is_ours(page) for page in (header, *pages)]
    if not pages or not any(ours):  # a file that is not ours is refused by its own header
        _check_header(path, header)
        return
    newer = {_user_version(page) > schema.USER_VERSION for page in (header, *pages)}
    if all(ours) and len(newer) == 1:  # else an upgrade may have been interrupted
        check_marks(path, schema.APPLICATION_ID, max(map(_user_version, (header, *pages))))
        return
    marks = _recovered(path, connect)
    if marks is None:
        _check_header(path, header)
        raise errors.JournalDamaged(
            f"{path}: its write-ahead log cannot be read", hint="go back to a copy that verifies"
        )
    if ours[0] and marks[0] != schema.APPLICATION_ID:
        raise errors.NotAJournal(
            f"{path}: the write-ahead log beside it belongs to another program's file; both were left untouched",
            hint=f"move {path}-wal away if it came here by mistake",
        )
    check_marks(path, *marks)


def _check_header(path: str, header: bytes) -> None:
    if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
        raise errors.NotAJournal(f"{path} is no SQLite file, so it is no journal; it was left untouched")
    check_marks(path, _application_id(header), _user_version(header))
    if header[18:20] not in _FORMATS:  # SQLite would read on, but perhaps without the WAL
        raise errors.JournalDamaged(
            f"{path} is damaged: bytes 18 and 19 of its header are {header[18:20].hex()}, not 0202",
            hint="go back to a copy that verifies",
        )


def _recovered(path: str, connect: Connect) -> tuple[int, int] | None:
    """The marks as SQLite recovers them from page 1 and the log, both copied elsewhere; None where it cannot."""
    with tempfile.TemporaryDirectory(prefix="clawvm-") as folder:
        copy = os.path.join(folder, "copy")
        with raw.descriptor(path) as fd, open(copy, "wb") as file:
            file.write(raw.pread(fd, wal.PAGE_BYTES_MAX, 0))
            file.truncate(os.fstat(fd).st_size)
        shutil.copyfile(path + "-wal", copy + "-wal")
        try:
            with closing(connect(copy, isolation_level=None)) as db:
                db.execute("PRAGMA query_only=ON")
                return value(db, "PRAGMA application_id"), value(db, "PRAGMA user_version")
        except sqlite3.Error:
            return None


def _is_ours(page: bytes) -> bool:
    return page.startswith(_MAGIC) and page[18:20] in _FORMATS and _application_id(page) == schema.APPLICATION_ID


def _application_id(page: bytes) -> int:
    return int.from_bytes(page[68:72], "big")


def _user_version(page: bytes) -> int:
    return int.from_bytes(page[60:64], "big", signed=True)
