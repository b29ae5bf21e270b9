"""A disk that fails: a system call of the SQLite that Python uses is replaced by one that gives an error."""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import ctypes.util
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs` up to the functions that replace system calls (https://www.sqlite.org/c3ref/vfs.html)."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        *((f"function_{number}", ctypes.c_void_p) for number in range(13)),
        ("set_system_call", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)),
        ("get_system_call", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)),
    ]


_WRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
)


def _library() -> Any:
    """The library behind the module `sqlite3`; None where it cannot be reached."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        version = library.sqlite3_libversion
        version.restype = ctypes.c_char_p
        if version().decode() == sqlite3.sqlite_version:
            return library
    return None


def available() -> bool:
    """Find out whether errors can be injected here."""
    return Path(_sqlite3.__file__).exists() and _library() is not None


@contextlib.contextmanager
def failing_writes(error_number: int, after: int = 0) -> Iterator[list[int]]:
    """Let all but the first writes of SQLite's fail with this `errno`; yields the sizes of those that failed."""
    failed: list[int] = []
    left = iter(range(after))

    def fail(fd: int, data: int, size: int, at: int) -> int:
        if next(left, None) is not None:
            return int(real(fd, data, size, at))
        failed.append(size)
        ctypes.set_errno(error_number)
        return -1

    vfs = _library().sqlite3_vfs_find(None)
    replacement = _WRITE(fail)
    names = [name for name in (b"pwrite", b"pwrite64") if vfs.contents.get_system_call(vfs, name)]
    real = _WRITE(vfs.contents.get_system_call(vfs, names[-1]))
    for name in names:
        vfs.contents.set_system_call(vfs, name, ctypes.cast(replacement, ctypes.c_void_p))
    try:
        yield failed
    finally:
        for name in names:
            vfs.contents.set_system_call(vfs, name, None)
