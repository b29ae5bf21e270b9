"""Copies a journal while others write to it, and leaves a copy only if it verifies.

LAW-BACKUP-1: the destination becomes a whole journal that verifies. It holds every event acknowledged before the
copy began, and none that the original lacks. Until then the destination does not change.

SQLite writes the copy (`VACUUM INTO`) from one state of the file. It copies rows, not pages, so no erased data is
copied.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final, TypeAlias

import attrs

from clawvm_es import files
from clawvm_es.errors import BackupRefused, JournalDamaged, JournalError, UsageError
from clawvm_es.journal.ports import Head
from clawvm_es.storage.sqlite import opening, queries
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log
from clawvm_es.storage.sqlite.watched import Connect

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many bytes are copied, and how many there are about."""
_STEPS: Final = 20_000
"""Steps of SQLite's between two reports of progress, where an interruption also gets its turn."""


@attrs.frozen
class Backup:
    """A copy that was made: its file, how many events and streams it holds, and the last event's hash in hex."""

    path: str
    journal_id: str
    events: int
    streams: int
    hash: str
    bytes: int


def backup(
    path: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    force: bool = False,
    group: bool = False,
    progress: Progress | None = None,
    connect: Connect = sqlite3.connect,
) -> Backup:
    """Copy the journal at `path` to `destination`, whole or not at all; with `force` over a file that is there.

    The copy is its owner's, with `group` its group's too. Raises `UsageError` (the destination is there, in use, or
    in no folder), `UnreadableInput` (no journal at `path`), `BackupRefused` (the copy does not verify, so the journal
    is damaged), `JournalFull`, `JournalReadOnly`, and what opening a journal raises.
    """
    source, target = os.path.realpath(path), os.path.abspath(destination)
    _check_destination(source, target, force)
    mode = files.mode_of(target, files.SHARED if group else files.PRIVATE)
    with open_log(source, connect=connect, read_only=True) as log, _folder_beside(target) as folder:
        copy = os.path.join(folder, "copy")
        with _named(copy, target):
            os.close(files.create(copy, mode))
            before = log.heads()
            _copy(log, copy, target, progress)
            open_log(copy, connect=connect, upgrade=False).close()  # finishes erasures that are pending
            made = _verified(log, before, copy, target)
            files.sync_path(copy)
            _check_destination(source, target, force)
            _put(copy, target)
    return made


@contextmanager
def _named(copy: str, target: str) -> Iterator[None]:
    """Tell errors of the unfinished copy under the name of its destination."""
    try:
        yield
    except JournalError as error:
        error.message = error.message.replace(copy, target)
        raise
    except OSError as error:
        raise opening.translate_os(error, target) from error


def _put(copy: str, target: str) -> None:
    """Give the copy its name; a new name that cannot be made durable is taken back."""
    new = not os.path.lexists(target)
    os.replace(copy, target)
    try:
        files.sync_path(os.path.dirname(target))
    except OSError:
        if new:
            os.unlink(target)
        raise


def _check_destination(source: str, target: str, force: bool) -> None:
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise UsageError(f"{target}: there is no directory {folder}", hint="create it first")
    if os.path.isdir(target):
        raise UsageError(f"{target} is a directory", hint="name a file in it")
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise UsageError(f"{target} is the journal itself", hint="name another file")
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target} is already there", hint="choose another file, or replace it with --force")
    for beside in ("-wal", "-shm", "-journal"):  # SQLite would mix them with the copy
        if os.path.lexists(target + beside):
            raise UsageError(f"{target}{beside} is there: {target} is in use or was not closed", hint="name another")


def _folder_beside(target: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for its owner only, on the same file system, that goes away with everything in it."""
    folder, name = os.path.split(target)
    try:
        return tempfile.TemporaryDirectory(prefix=f".{name[:100]}.", dir=folder)
    except OSError as error:
        raise opening.translate_os(error, target) from error


def _copy(log: SQLiteLog, copy: str, target: str, progress: Progress | None) -> None:
    """Write all rows to the file `copy`, in SQLite's own code, with a look at progress and signals now and then."""
    raised: list[BaseException] = []

    def look() -> int:
        try:
            if progress is not None:
                done = os.stat(copy).st_size
                progress(done, max(done, total))
        except BaseException as error:  # SQLite would hide it, and interrupts; it is raised below
            raised.append(error)
            return 1
        return 0

    try:
        with closing(opening.connect_reader(log.path, read_only=True, connect=log.connect)) as db:
            total = _pages(db) * _page_bytes(db)
            db.execute("PRAGMA query_only=OFF")  # it forbids writing another file too
            db.set_progress_handler(look, _STEPS)
            db.execute("VACUUM INTO ?", (opening.uri(copy),))
        with closing(log.connect(copy, isolation_level=None)) as made:
            opening.log_ahead(made, copy)
    except sqlite3.Error as error:
        if raised:
            raise raised[0] from None
        told = opening.translate(error, target, copy)
        if isinstance(told, JournalDamaged):
            raise BackupRefused(f"{log.path} cannot be copied: {error}", (str(error),)) from error
        raise told from error


def _pages(db: sqlite3.Connection) -> int:
    return int(value(db, "PRAGMA page_count"))


def _page_bytes(db: sqlite3.Connection) -> int:
    return int(value(db, "PRAGMA page_size"))


def _verified(log: SQLiteLog, before: tuple[Head, ...], copy: str, target: str) -> Backup:
    with open_log(copy, connect=log.connect, read_only=True) as copied:
        problems = [str(problem) for problem in copied.verify()]
        problems += _missing(before, copied)
        problems += _foreign(copied.heads(), log)
        last = copied.ask(queries.tail)
        made = Backup(
            path=target,
            journal_id=copied.journal_id,
            events=copied.size(),
            streams=len(copied.heads()),
            hash="" if last is None else last[1].hex(),
            bytes=os.path.getsize(copy),
        )
    if problems:
        raise BackupRefused(
            f"{log.path} was not copied: the copy has {len(problems)} problems, the first: {problems[0]}",
            tuple(problems),
            hint="see: clawvm verify " + log.path,
        )
    return made


def _missing(before: tuple[Head, ...], copied: SQLiteLog) -> Iterator[str]:
    """Heads that were acknowledged before the copy began, and that it does not hold."""
    for head in before:
        if copied.ask(queries.hash_at, head.session_id, head.version) != head.hash:
            yield f"{head.session_id} version {head.version} is not in the copy"


def _foreign(heads: tuple[Head, ...], log: SQLiteLog) -> Iterator[str]:
    """Heads of the copy that the journal does not hold."""
    for head in heads:
        if log.ask(queries.hash_at, head.session_id, head.version) != head.hash:
            yield f"{head.session_id} version {head.version} of the copy is not in the journal"
