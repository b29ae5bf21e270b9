"""The writer's advisory lock: one file beside the journal, held while one writes or checkpoints.

SQLite has locks of its own; this one is a fair queue in front of them, and it keeps a checkpoint from racing a
reset of the WAL. The file stays when nobody holds it: removing it would let two writers hold two files.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Final

from clawvm_es.errors import JournalBusy, JournalFull, JournalReadOnly

_TAG_BYTES: Final = 16
_SLEEP_FIRST_S: Final = 0.000_5
_SLEEP_MAX_S: Final = 0.01


class WriterLock:
    """`flock` on a file descriptor that is kept open; excludes other processes and other `WriterLock`s.

    Not re-entrant, and not for sharing between threads without a lock around it. After a fork the child gets a
    descriptor of its own.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self.path = path
        self.wait_s = wait_s
        self._fd = -1
        self._pid = 0
        self._tag = b""  # what stands in the file while we are the last who held the lock

    def acquire(self, wait_s: float | None = None) -> bool:
        """Take the lock and say whether nobody else held it since this one did.

        Raises `JournalBusy` after `wait_s` seconds (default: as constructed), `JournalReadOnly`, `JournalFull`.
        """
        if self._pid != os.getpid():
            self._open()
        if not self._try():
            self._wait(self.wait_s if wait_s is None else wait_s)
        if os.pread(self._fd, _TAG_BYTES, 0) == self._tag:
            return True
        try:
            os.pwrite(self._fd, self._tag, 0)
        except OSError as error:
            self.release()
            raise JournalFull(f"cannot write {self.path}: {error.strerror}") from error
        return False

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
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self._fd = -1
            raise JournalReadOnly(f"cannot open the writer's lock {self.path}: {error.strerror}") from error
        self._pid = os.getpid()
        self._tag = os.urandom(_TAG_BYTES)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
