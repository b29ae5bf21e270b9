"""A cache beside the journal: places in followed files, and the states of their readers, kept between runs.

LAW-KEPT-1: only time depends on the cache. An entry that is missing, damaged, or of another program or journal is
made again from the file and the log.

A state may hold texts of the recorded file. So cache files are readable by their owner only; none is written with a
credential in it if the journal hides credentials; and an erasure removes all of them (`files.forget_followed`).
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import pickle
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from clawvm_es.files import CLOEXEC, FOLLOWED, NOFOLLOW, NONBLOCK, PRIVATE, write_whole
from clawvm_es.importers.growing import Stamp
from clawvm_es.representations.secrets import hide

_PACKAGES: Final = ("clawvm_es.importers.", "clawvm_es.observe.", "clawvm_es.model.")
_PLAIN: Final = frozenset(
    (("collections", "Counter"), ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "bytearray"))
)
_BYTES_MAX: Final = 1 << 28


@attrs.define
class Place:
    """A followed file up to its last whole line that was taken: the reader's state there, and what was given.

    `given` counts the commands of each session of the journal; `ended` are the lines after which an answer was taken
    although more of its rows could follow. `stamp` identifies the file's content when all of it had been taken.
    """

    format: str
    state: Any
    line: int = 0
    end: int = 0
    digest: str = hashlib.sha256().hexdigest()
    given: dict[str, int] = attrs.field(factory=dict)
    at_us: dict[str, int] = attrs.field(factory=dict)  # of the last command of each session
    names: dict[str, str] = attrs.field(factory=dict)  # recorded session id → id in the journal
    ended: set[tuple[str, int]] = attrs.field(factory=set)
    shown: set[str] = attrs.field(factory=set)  # subagents of which another file shows more
    beside: set[str] = attrs.field(factory=set)  # own files of subagents
    stamp: Stamp | None = None
    final: bool = False


class Head(msgspec.Struct, frozen=True):
    """The first line of a cache file; `check` covers the rest of it."""

    check: str
    made_by: str
    key: str
    stamp: tuple[int, int, int] | None
    final: bool
    given: dict[str, int]
    beside: tuple[str, ...]


@attrs.frozen
class Kept:
    """The cache of one journal for one way of following; without a folder nothing is kept."""

    folder: Path | None
    way: str
    hide_secrets: bool = False

    @classmethod
    def beside(cls, journal: str, way: str, hide_secrets: bool) -> Kept:
        """The cache of the journal at a path; an empty one for a journal that is not a file."""
        return cls(Path(journal + FOLLOWED) if os.path.isfile(journal) else None, way, hide_secrets)

    def unchanged(self, path: str, stamp: Stamp, final: bool) -> Head | None:
        """The head of the cache entry of a file that was taken and has not changed; else None."""
        found = self._read(path, head_only=True)
        if found is None or found[0].stamp != attrs.astuple(stamp) or (final and not found[0].final):
            return None
        return found[0]

    def load(self, path: str) -> Place | None:
        """The place kept for a file; None if there is none to continue from."""
        found = self._read(path)
        if found is None or not found[1]:
            return None
        try:
            place = _Loader(io.BytesIO(found[1])).load()
        except Exception:  # whatever a damaged pickle raises, it is made again
            return None
        return place if isinstance(place, Place) else None

    def save(self, path: str, place: Place, *, resumable: bool = True) -> None:
        """Keep a place; one that is not `resumable` only records that its file was taken."""
        if self.folder is None:
            return
        body = pickle.dumps(place, protocol=5) if resumable else b""
        if self.hide_secrets and hide(body.decode("utf-8", "replace"))[1]:
            body = b""
        stamp = None if place.stamp is None else attrs.astuple(place.stamp)
        check = hashlib.sha256(body).hexdigest()
        head = Head(check, made_by(), self._key(path), stamp, place.final, place.given, tuple(sorted(place.beside)))
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_whole(self._file(path), [msgspec.json.encode(head), b"\n", body], PRIVATE)
        except OSError:  # a cache that cannot be written is none
            return

    def _key(self, path: str) -> str:
        return f"{os.path.abspath(path)}\0{self.way}"

    def _file(self, path: str) -> Path:
        assert self.folder is not None
        return self.folder / hashlib.sha256(self._key(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def _read(self, path: str, head_only: bool = False) -> tuple[Head, bytes] | None:
        if self.folder is None:
            return None
        try:
            with open(os.open(self._file(path), os.O_RDONLY | CLOEXEC | NOFOLLOW | NONBLOCK), "rb") as file:
                head = msgspec.json.decode(file.readline(1 << 20), type=Head)
                body = b"" if head_only else file.read(_BYTES_MAX)
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
        if head.made_by != made_by() or head.key != self._key(path):
            return None
        return None if not head_only and hashlib.sha256(body).hexdigest() != head.check else (head, body)


class _Loader(pickle.Unpickler):
    """Unpickles plain values, and the attrs classes and enums of which states consist; it calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of a name that may occur in a state."""
        if (module, name) in _PLAIN:
            return getattr(importlib.import_module(module), name)
        found = getattr(importlib.import_module(module), name, None) if module.startswith(_PACKAGES) else None
        if isinstance(found, type) and (attrs.has(found) or issubclass(found, (Enum, str))):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a state")


@cache
def made_by() -> str:
    """A digest of the code that makes states, so that another version makes them again."""
    import clawvm_es.importers
    import clawvm_es.observe

    digest = hashlib.sha256()
    for package in (clawvm_es.importers, clawvm_es.observe):
        for source in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()
