"""The finished cells of an evaluation in a file, so that an interrupted run can continue.

The file has one JSON line per cell, under a digest of its experiment, key, function and arguments. The first line
holds a digest of the code; results of other code are dropped, never reused (LAW-KEPT-1). A truncated line is ignored.
One process at a time has the file open.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import IO, Any, Final

import attrs

from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.evaluation.cells import Cell, Result
from clawvm_es.files import NOFOLLOW, PRIVATE

FORMAT: Final = "clawvm-eval"
VERSION: Final = 1
_BEGINS: Final = f'{{"format":"{FORMAT}"'.encode()
"""First bytes of the file."""
_WAIT_S: Final = 5.0
"""Seconds that the workers of a killed run may take to end: they hold its lock."""


def is_ours(path: Path) -> bool:
    """Tell whether a file is one of finished cells."""
    try:
        with path.open("rb") as file:
            return _head(file.readline()) is not None
    except OSError:
        return False


def _head(line: bytes) -> Mapping[str, Any] | None:
    """The first line of such a file, empty if it was cut; None for another file."""
    if not line.endswith(b"\n") and (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def identity(experiment: str, cell: Cell) -> str:
    """SHA-256 over everything that determines a cell's result."""
    function = f"{cell.function.__module__}.{cell.function.__qualname__}"
    text = "\0".join((experiment, cell.key, function, repr(cell.arguments)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@attrs.define
class Kept:
    """Finished cells by identity; `add` appends one. Use it as a context manager, which closes the file."""

    path: Path
    _file: IO[bytes]
    _found: dict[str, Result]
    dropped: int  # cells that other code had computed

    @classmethod
    def open(cls, path: Path, code: str | None = None) -> Kept:
        """Open or make the file. `code` identifies the computing code (default: `code_digest`).

        Raises `UsageError` if the file is not ours, or another process has it open.
        """
        code = code_digest() if code is None else code
        file = open(path, "a+b", buffering=0, opener=_private)  # noqa: SIM115  unbuffered, and closed by `__exit__`
        try:
            _lock(file, path)
            file.seek(0)
            lines = file.read().splitlines(keepends=True)
            head = _head(lines[0] if lines else b"")
            if head is None:
                raise UsageError(f"{path}: holds no cells of an evaluation", hint="name another folder")
            cells = list(_cells(lines[1:]))
            if (head.get("version"), head.get("code")) == (VERSION, code):
                kept = cls(path, file, dict(cells), 0)
                kept._cut_to(lines)
            else:
                kept = cls(path, file, {}, len(cells))
                kept._begin(code)
        except BaseException:
            file.close()
            raise
        return kept

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, experiment: str, cell: Cell) -> Result | None:
        """Return the result of a cell; None if it is not there."""
        return self._found.get(identity(experiment, cell))

    def add(self, experiment: str, cell: Cell, result: Result) -> None:
        """Store the result of a cell; raises `ClawVMError` if it cannot be written."""
        its = identity(experiment, cell)
        self._write({"cell": its, "experiment": experiment, "key": cell.key, "result": result})
        self._found[its] = result

    def _begin(self, code: str) -> None:
        self._file.truncate(0)
        self._write({"format": FORMAT, "version": VERSION, "code": code})

    def _cut_to(self, lines: list[bytes]) -> None:
        """Cut off a last line that has no end, so that the next one begins a line of its own."""
        if lines and not lines[-1].endswith(b"\n"):
            self._file.truncate(sum(map(len, lines[:-1])))

    def _write(self, line: Mapping[str, Any]) -> None:
        rest = json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise ClawVMError(
                f"{self.path}: {error.strerror}", hint="make room; the same command goes on from here"
            ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | NOFOLLOW, PRIVATE)


def _cells(lines: list[bytes]) -> Iterator[tuple[str, Result]]:
    for line in lines:
        try:
            found = json.loads(line)
            yield found["cell"], found["result"]
        except (ValueError, KeyError, TypeError):
            continue  # cut: it is computed again


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        raise UsageError("evaluations run on POSIX systems only", hint="use Linux, macOS or WSL") from None
    last = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > last:
                raise UsageError(
                    f"{path.parent}: another run writes here", hint="wait, or name another folder"
                ) from None
            time.sleep(0.05)
        else:
            return


@cache
def code_digest() -> str:
    """SHA-256 over the package's files, and the versions of the packages that it requires."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix in (".py", ".json")]
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for name in _required():
        with suppress(PackageNotFoundError):
            digest.update(f"{name}\0{version(name)}\n".encode())
    return digest.hexdigest()


def _required() -> Iterator[str]:
    try:
        found = requires("clawvm-es") or []
    except PackageNotFoundError:
        return
    for requirement in sorted(found):
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement:
            yield name[0]
