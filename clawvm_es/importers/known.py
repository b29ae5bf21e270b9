"""Files that were imported before, told unchanged by their size, their time and a digest of their beginning.

A small file beside the journal, which only its owner can read. It is a cache: where it is missing, damaged or made by
other importers, files are read again, which appends nothing of what the journal holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from clawvm_es.files import CLOEXEC, NOFOLLOW, PRIVATE, write_whole
from clawvm_es.importers.formats import TABLE

SUFFIX: Final = ".imports"
"""Ending that names the file beside its journal."""
BEGINNING: Final = 1 << 16
"""Bytes at the beginning of a file that its digest covers."""
_SIZE_MAX: Final = 1 << 28


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file as it was imported, under which settings, and the sessions in it."""

    size: int
    mtime_ns: int
    digest: str
    settings: str
    sessions: tuple[str, ...]


class _File(msgspec.Struct, frozen=True):
    made_by: str
    files: dict[str, Entry]


def made_by() -> str:
    """The importers that are here, with their versions."""
    return " ".join(f"{name}/{row.version}" for name, row in sorted(TABLE.items()))


@attrs.define
class KnownFiles:
    """The files that were imported into one journal; `place` is None for a journal that is in no file."""

    place: str | None
    entries: dict[str, Entry] = attrs.field(factory=dict)
    changed: bool = False
    begun: tuple[int, int, str] | None = None  # size, time and digest of the file that is being read

    @classmethod
    def beside(cls, journal: str) -> KnownFiles:
        """The files that were imported into the journal at a path."""
        if not os.path.isfile(journal):
            return cls(None)
        place = f"{journal}{SUFFIX}"
        return cls(place, dict(_read(place)))

    def sessions(self, path: str, settings: str) -> tuple[str, ...] | None:
        """The sessions of a file that is as it was; None where it is new or changed."""
        entry = self.entries.get(os.path.abspath(path))
        if entry is None or entry.settings != settings:
            return None
        return entry.sessions if _looks(path) == (entry.size, entry.mtime_ns, entry.digest) else None

    def begin(self, path: str) -> None:
        """Look at a file that is about to be read; what it was known by is forgotten."""
        self.entries.pop(os.path.abspath(path), None)
        self.begun = _looks(path)

    def finish(self, path: str, settings: str, sessions: Iterable[str]) -> None:
        """Note a file that was imported, as it looked before it was read."""
        if self.begun is not None:
            self.entries[os.path.abspath(path)] = Entry(*self.begun, settings, tuple(sessions))
            self.changed = True

    def save(self) -> None:
        """Write the file, where there is something new to say."""
        if self.place is not None and self.changed:
            document = {"made_by": made_by(), "files": self.entries}
            write_whole(self.place, [msgspec.json.encode(document)], PRIVATE)
            self.changed = False


def _looks(path: str) -> tuple[int, int, str] | None:
    """Size, time and digest of the beginning of a file; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            there = os.fstat(file.fileno())
            return there.st_size, there.st_mtime_ns, hashlib.sha256(file.read(BEGINNING)).hexdigest()
    except OSError:
        return None


def _read(place: str) -> Mapping[str, Entry]:
    """The entries of a file that our importers made; none where it cannot be read or says something else."""
    try:
        fd = os.open(place, os.O_RDONLY | CLOEXEC | NOFOLLOW)
        with open(fd, "rb") as file:
            found = msgspec.json.decode(file.read(_SIZE_MAX), type=_File)
    except (OSError, msgspec.MsgspecError, ValueError):
        return {}
    return found.files if found.made_by == made_by() else {}
