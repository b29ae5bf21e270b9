"""A cache of imported files, which are recognised as unchanged by size, time and a digest of their beginning.

The cache is a small file beside the journal, readable by its owner only, or also by its group if the journal is. If
it is missing, damaged or made by other importers, or if a session went on since, files are read again; that appends
nothing that the journal already holds.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from clawvm_es.files import CLOEXEC, NOFOLLOW, NONBLOCK, SHARED, mode_of, write_whole
from clawvm_es.importers.formats import TABLE
from clawvm_es.journal.ports import EventLog

if TYPE_CHECKING:
    from clawvm_es.importers.replay import Replayed

SUFFIX: Final = ".imports"
"""Ending that names the file beside its journal."""
BEGINNING: Final = 1 << 16
"""Bytes at the beginning of a file that its digest covers."""
_SIZE_MAX: Final = 1 << 28


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """A session of a file: the head of its stream after the import, and the reported outcome."""

    session_id: str
    head: str
    source: str
    format: str
    skipped: dict[str, int]
    skipped_lines: dict[str, tuple[int, ...]]
    recorded_by: int | None
    shown: bool


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One imported file, the settings of the import, and the sessions in the file."""

    size: int
    mtime_ns: int
    digest: str
    settings: str
    sessions: tuple[Taken, ...]


class _File(msgspec.Struct, frozen=True):
    made_by: str
    files: dict[str, Entry]


def made_by() -> str:
    """The present importers, with their versions."""
    return " ".join(f"{name}/{row.version}" for name, row in sorted(TABLE.items()))


@attrs.define
class KnownFiles:
    """The files imported into one journal; `place` is None for a journal that is not a file."""

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

    def sessions(self, log: EventLog, path: str, settings: str) -> tuple[Taken, ...] | None:
        """The sessions of an unchanged file whose streams did not change either; None otherwise."""
        entry = self.entries.get(os.path.abspath(path))
        if entry is None or entry.settings != settings:
            return None
        if _looks(path) != (entry.size, entry.mtime_ns, entry.digest):
            return None
        return entry.sessions if all(_head(log, each.session_id) == each.head for each in entry.sessions) else None

    def begin(self, path: str) -> None:
        """Look at a file before it is read, and forget its old entry."""
        self.entries.pop(os.path.abspath(path), None)
        self.begun = _looks(path)

    def finish(self, log: EventLog, path: str, settings: str, replayed: Iterable[Replayed]) -> None:
        """Note an imported file, as it looked before it was read."""
        if self.begun is not None:
            sessions = tuple(_taken(log, each) for each in replayed)
            self.entries[os.path.abspath(path)] = Entry(*self.begun, settings, sessions)
            self.changed = True

    def save(self) -> None:
        """Write the file if there is anything new; if it cannot be written, nothing is known later."""
        if self.place is not None and self.changed:
            document = {"made_by": made_by(), "files": self.entries}
            with suppress(OSError):
                write_whole(
                    self.place, [msgspec.json.encode(document)], mode_of(self.place.removesuffix(SUFFIX)) & SHARED
                )
            self.changed = False


def _taken(log: EventLog, found: Replayed) -> Taken:
    return Taken(
        found.session_id,
        _head(log, found.session_id),
        found.source,
        found.format,
        dict(found.skipped),
        dict(found.skipped_lines),
        found.recorded_by,
        found.shown,
    )


def _head(log: EventLog, session_id: str) -> str:
    """The hash of the last event of a session; None if there is no such session."""
    head = log.head(session_id)
    return "" if head is None else head.hash.hex()


def _looks(path: str) -> tuple[int, int, str] | None:
    """Size, time and digest of the beginning of a file; None if it cannot be read, or is a pipe."""
    try:
        with open(os.open(path, os.O_RDONLY | CLOEXEC | NONBLOCK), "rb") as file:
            there = os.fstat(file.fileno())
            if not stat.S_ISREG(there.st_mode):
                return None
            return there.st_size, there.st_mtime_ns, hashlib.sha256(file.read(BEGINNING)).hexdigest()
    except OSError:
        return None


def _read(place: str) -> Mapping[str, Entry]:
    """The entries of a file made by our importers; none if it cannot be read or has another form."""
    try:
        fd = os.open(place, os.O_RDONLY | CLOEXEC | NOFOLLOW | NONBLOCK)
        with open(fd, "rb") as file:
            found = msgspec.json.decode(file.read(_SIZE_MAX), type=_File)
    except (OSError, msgspec.MsgspecError, ValueError):
        return {}
    return found.files if found.made_by == made_by() else {}
