"""Reads a journal's own bytes without touching the locks that SQLite holds on the file.

Closing any descriptor of a file drops all POSIX locks that the process has on it
(https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_). Another
process then takes itself for the last user, removes the write-ahead log, and what is appended to it here is lost.

LAW-RAW-1: no descriptor of a journal is closed while a connection of this process has the file open. Where one has,
its descriptor is borrowed; `connecting` keeps connections from being made between opening and closing one of our own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterator
from typing import Final

from clawvm_es import files

connecting: Final = threading.RLock()
"""Held while a connection is made, and while a descriptor of our own is open."""
_DESCRIPTORS: Final = "/dev/fd"
_BYTES_AT_ONCE: Final = 1 << 20


@contextlib.contextmanager
def descriptor(path: str) -> Iterator[int]:
    """A descriptor to `os.pread` from, for the length of the block. Raises `OSError`."""
    with connecting:
        borrowed = _held(path)
        if borrowed is None:
            own = os.open(path, os.O_RDONLY | files.CLOEXEC | files.NONBLOCK)
            try:
                yield own
            finally:
                os.close(own)
            return
    yield borrowed


def is_held(path: str) -> bool:
    """Tell whether this process has the file open for reading."""
    return _held(path) is not None


def held(path: str, wanted: Collection[bytes]) -> set[bytes]:
    """The pieces that a file holds; a file that is not there holds none."""
    found: set[bytes] = set()
    if not wanted or not os.path.exists(path):
        return found
    longest = max(map(len, wanted))
    with descriptor(path) as fd:
        at, kept = 0, b""
        while piece := pread(fd, _BYTES_AT_ONCE, at):
            window = kept + piece
            found |= {each for each in wanted if each not in found and each in window}
            at += len(piece)
            kept = window[-longest:]
    return found


def read_bytes(path: str, most: int = -1) -> bytes:
    """The first `most` bytes of an input file (-1: all); the file may be a journal that is open here."""
    with connecting:
        borrowed = _held(path)
        if borrowed is None:
            with open(path, "rb") as file:
                return file.read(most)
    size = os.fstat(borrowed).st_size
    return pread(borrowed, size if most < 0 else most, 0)


def pread(fd: int, length: int, at: int) -> bytes:
    """Up to `length` bytes from a place in a file; fewer only at its end."""
    if not hasattr(os, "pread"):  # Windows, where no descriptor is borrowed
        os.lseek(fd, at, os.SEEK_SET)
        return os.read(fd, length)
    return os.pread(fd, length, at)


def _held(path: str) -> int | None:
    """A descriptor of the file that this process has open for reading already."""
    wanted = os.stat(path)
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:
        return None
    for name in names:
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is closed by now
            fd = int(name)
            if os.path.samestat(os.fstat(fd), wanted) and os.read(fd, 0) == b"":  # raises if only to write
                return fd
    return None
