"""The interface of bundles for `clawvm_es.storage`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from clawvm_es.errors import ClawVMError, JournalReadOnly, NotAJournal, UnreadableInput, UsageError, no_journal
from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.storage.bundles import index
from clawvm_es.storage.bundles.log import BundleLog
from clawvm_es.storage.bundles.reading import read

PACKED: Final = ".clawvm.bundle.gz"
SUFFIXES: Final = (".clawvm.bundle", PACKED)
INSTEAD: Final = {"backup": "copy the files"}

__all__ = ["exists", "is_place", "open_log", "verify"]


def is_place(path: str) -> bool:
    """Tell whether a path names a bundle, or a folder that holds one."""
    return path.endswith(SUFFIXES) or (
        os.path.isdir(path) and bool(bundles_in(path) or os.path.lexists(os.path.join(path, index.NAME)))
    )


def bundles_in(folder: str) -> list[str]:
    """The bundles of a folder, by name. Raises `NotAJournal`."""
    try:
        return sorted(str(Path(folder, name)) for name in os.listdir(folder) if name.endswith(SUFFIXES))
    except OSError as error:
        raise NotAJournal(f"{folder}: {error.strerror}") from error


def _whole(folder: str) -> list[str]:
    """The bundles of a folder. Raises `UnreadableInput` if its index lists one that is gone."""
    if gone := index.missing(folder):
        more = f", as are {len(gone) - 1} more" if len(gone) > 1 else ""
        hint = "put it back, or archive its sessions again: clawvm archive J -o DIR"
        raise UnreadableInput(f"{gone[0]}: missing, though {index.NAME} lists it{more}", hint=hint)
    return bundles_in(folder)


def exists(place: str) -> bool:
    """Find out whether there is a bundle."""
    return os.path.exists(place)


def open_log(place: str, *, wait_s: float, read_only: bool, reproducible: bool, group: bool) -> BundleLog:
    """Read a bundle, or all bundles of a folder, into memory. Raises `JournalReadOnly` if it is to be written."""
    if not exists(place):
        raise no_journal(place)
    if not read_only:
        raise JournalReadOnly(f"{place} is a bundle, which is only read", hint="write to the journal that it is from")
    paths = _whole(place) if os.path.isdir(place) else [place]
    if not paths:
        raise UsageError(f"{place} holds no bundle")
    return BundleLog(place, [read(path) for path in paths])


def verify(place: str, *, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
    """All problems of a bundle's events and bodies; `clawvm_es.verify_bundle` checks its signature."""
    try:
        with open_log(place, wait_s=0, read_only=True, reproducible=False, group=False) as log:
            return log.verify(fast, note)
    except UnreadableInput as error:
        if not exists(place):
            raise
        return (Problem("file", place, error.message),)
    except ClawVMError as error:
        return (Problem("file", place, error.message),)
