"""Make files that only their owner can read, and write files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from io import BufferedReader
from typing import Final

from clawvm_es.errors import DiskFailed, JournalError, JournalFull, UsageError

PRIVATE: Final = 0o600
SHARED: Final = 0o660
"""For the owner and the file's group."""
FOLLOWED: Final = ".follow"
"""Ending, added to a journal's name, of the folder with what is kept of followed files."""
SPOOL: Final = ".spool"
"""Ending, added to a journal's name, of the folder with what live harnesses told and no engine has taken yet."""
ARCHIVES: Final = ".archives"
"""Ending, added to a journal's name, of the file with the folders that hold archives of it, each ended by a NUL."""
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, a full quota and a limit on the size of files."""
_PIECE_BYTES: Final = 1 << 20
CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
"""For the last component of a path: `os.open` then fails on a symbolic link (`errno.ELOOP`)."""
NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
"""So that opening a pipe does not wait for its other end."""


def disk_error(error: OSError, what: str, hint: str = "") -> JournalError:
    """The error to raise if a disk fails to do `what`: it is full, or it failed."""
    kind = JournalFull if error.errno in NO_SPACE else DiskFailed
    return kind(f"{what}: {error.strerror}", hint=hint)


def named(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return an error of the system with the name of a file, if it has none; any other error is unchanged."""
    if error.errno is None or error.filename is not None:
        return error
    return type(error)(error.errno, error.strerror, os.fspath(path))


def create(path: str | os.PathLike[str], mode: int = PRIVATE) -> int:
    """Make a new file with exactly this mode, under any umask; returns a descriptor for reading and writing.

    Raises `FileExistsError` if anything is there, even a dangling link.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOEXEC | NOFOLLOW, mode & PRIVATE)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)
    return fd


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading. Raises `OSError`, also for a pipe, a terminal and a folder: it never waits."""
    file = open(os.open(path, os.O_RDONLY | CLOEXEC | NONBLOCK), "rb")  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    return file


def read_regular(path: str | os.PathLike[str], most: int = -1) -> bytes:
    """The bytes of a regular file. Raises `OSError` as `open_regular` does."""
    with open_regular(path) as file:
        return file.read(most)


def archives_of(journal: str) -> list[str]:
    """The archives' folders that are noted beside a journal."""
    try:
        noted = read_regular(journal + ARCHIVES)
    except OSError:
        return []
    lines = noted.split(b"\0" if b"\0" in noted else b"\n")  # earlier versions ended a name by a line feed
    return [os.fsdecode(line) for line in lines if line]


def mode_of(path: str | os.PathLike[str], otherwise: int = PRIVATE) -> int:
    """The permissions of a regular file; `otherwise` if there is none."""
    try:
        found = os.lstat(path).st_mode
    except OSError:
        return otherwise
    return stat.S_IMODE(found) if stat.S_ISREG(found) else otherwise


def write_whole(path: str | os.PathLike[str], chunks: Iterable[bytes], mode: int = PRIVATE) -> int:
    """Write a file aside, sync it and rename it to `path`; returns its bytes. An error leaves `path` as it was.

    A new file gets `mode`; a replaced one keeps its own. A link is replaced, never written through. Anything there
    that is no regular file (a terminal, a pipe) is written into. Raises `UsageError` (no such folder) and
    `OSError`, both with the given name.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open(path, "wb") as there:
            return sum(there.write(chunk) for chunk in chunks)
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: there is no directory {os.path.dirname(path)}", hint="create it first")
    aside = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}")
    try:
        written = _write_new(aside, chunks, mode_of(path, mode))
        try:
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        sync_path(folder)
    except OSError as error:
        if error.filename in (aside, folder, None):
            raise type(error)(error.errno, error.strerror, path) from error
        raise
    return written


def _write_new(path: str, chunks: Iterable[bytes], mode: int) -> int:
    fd = create(path, mode)
    written = 0
    try:
        with open(fd, "wb") as file:
            for chunk in chunks:
                written += file.write(chunk)
            file.flush()
            sync(fd)
    except BaseException:
        os.unlink(path)
        raise
    return written


def forget_followed(journal: str) -> None:
    """Remove the cache of files that a journal follows: it may hold texts, and can be made again."""
    folder = journal + FOLLOWED
    if not os.path.isdir(folder) or os.path.islink(folder):
        return
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


def sync(fd: int) -> None:
    """Flush a file to the disk; on macOS also past the drive's own cache, which `fsync` alone does not empty."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError:  # a file system without it
            os.fsync(fd)
    else:
        os.fsync(fd)


def rewrite(path: str) -> None:
    """Rewrite the bytes of a file in place, so that the next sync has to flush all of them."""
    fd = os.open(path, os.O_RDWR | CLOEXEC | NOFOLLOW)
    try:
        at = 0
        while chunk := os.pread(fd, _PIECE_BYTES, at):
            at += os.pwrite(fd, chunk, at)
    finally:
        os.close(fd)


def sync_path(path: str | os.PathLike[str]) -> None:
    """Flush a file, or the names in a folder, to the disk.

    Not for a file that SQLite has open, since closing a descriptor of it drops its locks. Raises `OSError`, which
    names the file.
    """
    if os.name != "posix" and os.path.isdir(path):  # where the system lets no folder be opened
        return
    fd = os.open(path, (os.O_RDONLY if os.name == "posix" else os.O_RDWR) | CLOEXEC)
    try:
        sync(fd)
    except OSError as error:
        raise named(error, path) from error
    finally:
        os.close(fd)
