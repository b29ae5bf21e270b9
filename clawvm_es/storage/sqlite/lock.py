"""The writer's advisory lock: one file beside the journal, held while one writes or checkpoints.

SQLite has locks of its own; this one is a fair queue in front of them, and it keeps a checkpoint from racing a
reset of the WAL. The file stays when nobody holds it: removing it would let two writers hold two files.

The lock file also signals failed syncs. After a disk error, a system may treat unwritten data as written, so that
the next sync of any process succeeds (https://www.usenix.org/conference/atc20/presentation/rebello). So a process
that sees a sync fail leaves a mark in the file, and the next holder of the lock writes the WAL again.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Final

from clawvm_es import files
from clawvm_es.errors import JournalBusy, JournalError, JournalReadOnly

try:
    import fcntl
except ImportError:  # Windows: journals can be read there
    fcntl = None  # type: ignore[assignment]
_NOW: Final = 0 if fcntl is None else fcntl.LOCK_EX | fcntl.LOCK_NB

_TAG_BYTES: Final = 16
_UNSYNCED: Final = bytes(_TAG_BYTES)
"""In place of a tag: a sync failed, and nothing written before it has been written again."""
_SLEEP_FIRST_S: Final = 0.000_5
_SLEEP_MAX_S: Final = 0.01


class WriterLock:
    """`flock` on a file descriptor that is kept open; excludes other processes and other `WriterLock`s.

    Not re-entrant, and not for sharing between threads without a lock around it. After a fork the child gets a
    descriptor of its own.
    """

    def __init__(self, path: str, wait_s: float, mode: int = files.PRIVATE) -> None:
        """Take the path of the lock; if its file is made, every user who may write a file of this `mode` may take it.

        Users who may only read the journal may not, since the right to read a file suffices to lock it.
        """
        self.path = path
        self.wait_s = wait_s
        self._mode = files.PRIVATE | (mode & 0o022) | (mode & 0o022) << 1
        self._fd = -1
        self._pid = 0
        self._tag = b""  # what stands in the file while we are the last who held the lock
        self.unsynced = False  # a sync failed before this lock was taken, see `synced`

    def acquire(self, wait_s: float | None = None) -> bool:
        """Take the lock and say whether nobody else held it since this one did.

        Raises `JournalBusy` after `wait_s` seconds (default: as constructed), `JournalReadOnly`, `JournalFull`,
        `DiskFailed`.
        """
        if self._pid != os.getpid():
            self._open()
        try:
            fcntl.flock(self._fd, _NOW)
        except BlockingIOError:
            self._wait(self.wait_s if wait_s is None else wait_s)
        found = os.pread(self._fd, _TAG_BYTES, 0)
        if found == self._tag:
            return True
        self.unsynced = found == _UNSYNCED
        if not self.unsynced:
            try:
                self._write(self._tag)
            except BaseException:
                self.release()
                raise
        return False

    def sync_failed(self) -> None:
        """Signal a failed sync to the next holder of the lock, including this one."""
        self._write(_UNSYNCED)

    def synced(self) -> None:
        """Note, while the lock is held, that data left unsure by a failed sync is on the disk."""
        self._write(self._tag)
        self.unsynced = False

    def release(self) -> None:
        """Let the next writer in."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the descriptor, which releases the lock; the next `acquire` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._pid = -1, 0

    def _open(self) -> None:
        if self._fd >= 0:  # inherited over a fork: closing our copy leaves the parent's lock alone
            os.close(self._fd)
        self._fd = -1
        if fcntl is None:
            raise JournalReadOnly(
                f"{self.path}: journals are written on POSIX systems only (there is no flock here)",
                hint="open it with read_only=True, or use Linux, macOS or WSL",
            )
        try:
            self._fd = _open(self.path, self._mode)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise _foreign(self.path, "a link, a folder or a socket") from error
            raise JournalReadOnly(f"cannot open the writer's lock {self.path}: {error.strerror}") from error
        self._pid = os.getpid()
        self._tag = os.urandom(_TAG_BYTES)

    def _write(self, tag: bytes) -> None:
        try:
            os.pwrite(self._fd, tag, 0)
        except OSError as error:
            raise files.disk_error(error, f"cannot write {self.path}") from error

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, _NOW)
        except BlockingIOError:
            return False
        return True

    def _wait(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        pause = _SLEEP_FIRST_S
        while not self._try():
            left = deadline - time.monotonic()
            if left <= 0:
                raise JournalBusy(
                    f"another process holds {self.path} for more than {wait_s:g} s",
                    hint="wait until the other writer is done, or find it with: fuser " + self.path,
                )
            time.sleep(min(pause, left))
            pause = min(pause * 2, _SLEEP_MAX_S)


def _open(path: str, mode: int) -> int:
    """A descriptor of the lock's file, made if it is not there; nothing but a file that is ours is opened."""
    try:
        return files.create(path, mode)
    except FileExistsError:
        fd = os.open(path, os.O_RDWR | files.CLOEXEC | files.NOFOLLOW | files.NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise _foreign(path, "no regular file")
        if found.st_nlink > 1:
            raise _foreign(path, "a file that has another name too")
        if found.st_size not in (0, _TAG_BYTES):
            raise _foreign(path, f"a file of {found.st_size} bytes")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _foreign(path: str, what: str) -> JournalError:
    return JournalError(f"{path} is {what}, not the writer's lock; it was left untouched", hint="move it away")
