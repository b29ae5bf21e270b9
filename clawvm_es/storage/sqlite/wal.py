"""Length of the write-ahead log, read from the file itself, so that all processes agree on when to checkpoint.

After a checkpoint SQLite writes from the start of the file again, with new salts in its header, and never shrinks
it (emptying it each time would cost a third of the throughput). So the file's size says nothing, but a frame
whose salts equal the header's belongs to the present log (https://www.sqlite.org/fileformat2.html#walformat).
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

from clawvm_es import files, limits
from clawvm_es.storage.sqlite import raw

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_FRAME_BYTES: Final = _FRAME_HEADER_BYTES + 4096
_SALTS_AT: Final = 16  # in the header
_FRAME_SALTS_AT: Final = 8  # in a frame
_SALT_BYTES: Final = 8
_PAGE_ONE: Final = (1).to_bytes(4)
_MAGICS: Final = (0x377F0682, 0x377F0683)
PAGE_BYTES_MAX: Final = 65_536


def size_of(path: str) -> int:
    """Size of a file, 0 if there is none."""
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def first_pages(path: str, length: int) -> list[bytes]:
    """The first bytes of each version of page 1 in a write-ahead log, the oldest first.

    Frames are recognised by their salts; only SQLite can tell whether the last ones are complete and committed.
    Empty if there is no log, or its header was cut. Raises `OSError`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | files.CLOEXEC | files.NOFOLLOW | files.NONBLOCK)
    except FileNotFoundError:
        return []
    try:
        header = raw.pread(fd, _HEADER_BYTES, 0)
        page_bytes = int.from_bytes(header[8:12], "big")
        known = int.from_bytes(header[:4], "big") in _MAGICS and 512 <= page_bytes <= PAGE_BYTES_MAX
        if not known or len(header) < _HEADER_BYTES or not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        salts, at, found = header[_SALTS_AT : _SALTS_AT + _SALT_BYTES], _HEADER_BYTES, []
        while (frame := raw.pread(fd, _FRAME_HEADER_BYTES, at))[_FRAME_SALTS_AT:][:_SALT_BYTES] == salts:
            if frame[:4] == _PAGE_ONE:
                found.append(raw.pread(fd, length, at + _FRAME_HEADER_BYTES))
            at += _FRAME_HEADER_BYTES + page_bytes
        return found
    finally:
        os.close(fd)


class Wal:
    """The WAL of one journal, as seen by the writer that holds the lock."""

    def __init__(self, path: str) -> None:
        self._path = path + "-wal"
        self._fd = -1
        self._salts = b""  # of the log that was last checkpointed
        self._frames = 0  # how many frames it had then

    def is_long(self) -> bool:
        """Tell whether `limits.WAL_CHECKPOINT_PAGES` frames were written since the last checkpoint or restart."""
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | files.CLOEXEC)
            except FileNotFoundError:
                return False
        salts = self._present()
        frame = limits.WAL_CHECKPOINT_PAGES + (self._frames if salts == self._salts else 0)
        at = _HEADER_BYTES + (frame - 1) * _FRAME_BYTES + _FRAME_SALTS_AT
        return bool(salts) and raw.pread(self._fd, _SALT_BYTES, at) == salts

    def checkpointed(self, frames: int) -> None:
        """Note a checkpoint of a log with `frames` frames."""
        self._salts, self._frames = self._present(), frames

    def went_on(self) -> bool:
        """Tell whether this is still the log that was checkpointed last, because a reader prevented its restart."""
        return self._fd >= 0 and bool(self._salts) and self._present() == self._salts

    def bytes_of(self, frames: int) -> int:
        """The size of a log with `frames` frames."""
        return _HEADER_BYTES + frames * _FRAME_BYTES

    def renew(self) -> None:
        """Write the whole log again and sync it, since a failed sync may have left it only in memory.

        The lock is held; concurrent readers see the same bytes. Raises `OSError`.
        """
        with contextlib.suppress(FileNotFoundError):
            files.rewrite(self._path)
            files.sync_path(self._path)

    def close(self) -> None:
        """Close the file; the next question opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _present(self) -> bytes:
        return raw.pread(self._fd, _SALT_BYTES, _SALTS_AT)
