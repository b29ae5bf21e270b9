"""A VFS for the SQLite that Python uses: it asks before each read, write, truncation, sync and deletion of a file.

Registered under the name `simulated`, it is SQLite's own VFS with five methods of its files and its deletions
replaced (https://www.sqlite.org/vfs.html). A connection takes it by its URI, and names there who asks: `address`.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

NAME: Final = b"simulated"
READ_FAILS: Final = 10 | 1 << 8
WRITE_FAILS: Final = 10 | 3 << 8
SYNC_FAILS: Final = 10 | 4 << 8
TRUNCATE_FAILS: Final = 10 | 6 << 8
DELETE_FAILS: Final = 10 | 10 << 8
FULL: Final = 13
"""Result codes of SQLite (https://www.sqlite.org/rescode.html)."""


class Disk(Protocol):
    """The disk under the files: it answers each question by a result code, 0 to go on, and hears what was done."""

    def asked(self, actor: int, operation: str, path: str, at: int, data: bytes) -> int:
        """Answer whether an operation may be done; a write that may not is done in part, as `partly` says."""

    def partly(self, size: int) -> int:
        """The bytes of a refused write that reach the file all the same."""

    def done(self, operation: str, path: str, at: int, data: bytes) -> None:
        """Note what was done."""


_METHODS: Final = (
    "close", "read", "write", "truncate", "sync", "size", "lock", "unlock", "check_reserved", "control", "sector",
    "characteristics", "shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch",
)  # fmt: skip


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = [("version", ctypes.c_int), *((name, ctypes.c_void_p) for name in _METHODS)]


class _File(ctypes.Structure):
    """`sqlite3_file`, of which a VFS knows more."""

    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
        *((f"function_{number}", ctypes.c_void_p) for number in range(14)),
    ]


_INT, _AT, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_READ = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _AT)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _AT)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, _AT)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT)


def _library() -> Any:
    """The library behind the module `sqlite3`; None where it cannot be reached."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_uri_parameter.restype = ctypes.c_char_p
        library.sqlite3_uri_parameter.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.sqlite3_libversion.restype = ctypes.c_char_p
        if library.sqlite3_libversion().decode() == sqlite3.sqlite_version:
            return library
    return None


def available() -> bool:
    """Find out whether files can be watched here."""
    return Path(_sqlite3.__file__).exists() and _library() is not None


def address(database: str, actor: int) -> str:
    """The URI of a connection over the simulated files, for an actor; `database` is a path or a URI."""
    place = database if database.startswith("file:") else f"file:{quote(database)}?"
    return f"{place}&vfs={NAME.decode()}&actor={actor}"


class Vfs:
    """The VFS over one disk, from `register` to `remove`; there is one at a time in a process."""

    def __init__(self, disk: Disk) -> None:
        if not available():
            raise RuntimeError("the library of Python's sqlite3 cannot be reached through ctypes")
        self._disk = disk
        self._library = _library()
        self._own = self._library.sqlite3_vfs_find(None)
        self._files: dict[int, tuple[str, int]] = {}
        self._methods: dict[int, tuple[Any, ...]] = {}
        self._calls = (_OPEN(self._open), _DELETE(self._delete))
        self._opens, self._deletes = _OPEN(self._own.contents.open), _DELETE(self._own.contents.delete)
        self._vfs = _Vfs.from_buffer_copy(self._own.contents)
        self._vfs.name = NAME
        self._vfs.open, self._vfs.delete = (ctypes.cast(call, ctypes.c_void_p).value for call in self._calls)

    def register(self) -> None:
        """Let connections take it by its name."""
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 0)

    def remove(self) -> None:
        """Take the name away; all connections are closed."""
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        code: int = self._opens(vfs, name, file, flags, out)
        if code or not name:
            return code
        actor = self._library.sqlite3_uri_parameter(name, b"actor")
        if actor is not None:
            self._files[file] = (os.fsdecode(ctypes.string_at(name)), int(actor))
            opened = _File.from_address(file)
            opened.methods = self._replaced(opened.methods)
        return code

    def _replaced(self, methods: Any) -> Any:
        """The methods of a kind of files, five of them ours."""
        at = ctypes.addressof(methods.contents)
        if at not in self._methods:
            own = methods.contents
            calls = _Calls(self._disk, self._files, own)
            made = _Methods.from_buffer_copy(own)
            for name, call in calls.made.items():
                setattr(made, name, ctypes.cast(call, ctypes.c_void_p).value)
            self._methods[at] = (ctypes.pointer(made), made, calls)
        return self._methods[at][0]

    def _delete(self, vfs: int, name: int, sync: int) -> int:
        path = os.fsdecode(ctypes.string_at(name))
        actor = next((actor for known, actor in self._files.values() if known == path), -1)
        if code := self._disk.asked(actor, "delete", path, 0, b""):
            return code
        code = self._deletes(vfs, name, sync)
        if not code:
            self._disk.done("delete", path, 0, b"")
        return code


class _Calls:
    """Five methods of files that ask the disk, then do what SQLite's own do."""

    def __init__(self, disk: Disk, files: dict[int, tuple[str, int]], own: _Methods) -> None:
        self._disk, self._files = disk, files
        self._reads, self._writes = _READ(own.read), _WRITE(own.write)
        self._truncates, self._syncs = _TRUNCATE(own.truncate), _SYNC(own.sync)
        self.made: dict[str, Any] = {
            "read": _READ(self._read),
            "write": _WRITE(self._write),
            "truncate": _TRUNCATE(self._truncate),
            "sync": _SYNC(self._sync),
        }

    def _read(self, file: int, to: int, size: int, at: int) -> int:
        path, actor = self._files[file]
        return self._disk.asked(actor, "read", path, at, b"") or self._reads(file, to, size, at)

    def _write(self, file: int, data: int, size: int, at: int) -> int:
        (path, actor), bytes_ = self._files[file], ctypes.string_at(data, size)
        if refused := self._disk.asked(actor, "write", path, at, bytes_):
            size = self._disk.partly(size)
        code: int = self._writes(file, data, size, at) if size else 0
        if not code and size:
            self._disk.done("write", path, at, bytes_[:size])
        return refused or code

    def _truncate(self, file: int, size: int) -> int:
        path, actor = self._files[file]
        code: int = self._disk.asked(actor, "truncate", path, size, b"") or self._truncates(file, size)
        if not code:
            self._disk.done("truncate", path, size, b"")
        return code

    def _sync(self, file: int, flags: int) -> int:
        path, actor = self._files[file]
        code: int = self._disk.asked(actor, "sync", path, 0, b"") or self._syncs(file, flags)
        if not code:
            self._disk.done("sync", path, 0, b"")
        return code
