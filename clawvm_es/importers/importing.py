"""Import files and folders of recorded sessions into a journal, each session as its harness had it.

One file at a time is in memory. A file that cannot be read stops no other. A file that did not change since it was
imported is not read again (`known`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, JournalError, UnreadableInput
from clawvm_es.importers.known import KnownFiles, Taken
from clawvm_es.importers.replay import Replayed, ReplaySettings, replay_file, way_of

SUFFIXES: Final = (".jsonl", ".json", ".ndjson", ".eval", ".traj", ".gz", ".zst")
"""Endings of names that a walk through a folder looks at; a file that is named is read whatever it is called."""
DEFAULT_FOLDER: Final = Path("~/.claude/projects")
"""Folder of Claude Code's sessions."""
SAVE_EVERY: Final = 64
"""Files after which what is known of them is written down."""

Progress = Callable[[int, int], None]
"""(bytes looked at, bytes in all)."""


@attrs.frozen
class Found:
    """A file to import: its size, and whether it was named or found in a folder."""

    path: str
    size: int
    named: bool


@attrs.frozen
class Imported:
    """Outcome of one file: its sessions, or its error.

    For an `unchanged` file only the ids of its sessions are given. A `skipped` file is no recording, and was not
    named. An error with `cause` is an internal error of this program.
    """

    path: str
    replayed: tuple[Replayed, ...] = ()
    sessions: tuple[str, ...] = ()
    unchanged: bool = False
    skipped: bool = False
    error: str = ""
    hint: str = ""
    cause: Exception | None = None


def find(paths: Iterable[str | os.PathLike[str]], latest: bool = False) -> tuple[Found, ...]:
    """The files that some paths mean; folders are walked in order of names, without following links to folders.

    With `latest`, only the file that changed last. Raises `UnreadableInput` for a path that does not exist.
    """
    found = {each.path: each for path in paths for each in _under(os.fspath(path))}
    if latest and found:
        newest = max(found.values(), key=lambda each: (os.stat(each.path).st_mtime_ns, each.path))
        return (newest,)
    return tuple(found.values())


def _under(path: str) -> Iterator[Found]:
    if not os.path.lexists(path):
        raise UnreadableInput(f"{path}: no such file or folder", hint="check the path")
    if not os.path.isdir(path):
        yield Found(path, _size(path), named=True)
        return
    for inside in _walked(path):
        if inside.lower().endswith(SUFFIXES):
            yield Found(inside, _size(inside), named=False)


def _walked(path: str) -> Iterator[str]:
    """The files under a folder."""
    for folder, folders, names in os.walk(path):
        folders.sort()
        inside = (os.path.join(folder, name) for name in sorted(names))
        yield from (each for each in inside if os.path.isfile(each))


def passed_over(paths: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The files in folders that `find` leaves out, since their names do not end like a recording's."""
    inside = (each for path in paths for each in _walked(os.fspath(path)))
    return tuple(dict.fromkeys(each for each in inside if not each.lower().endswith(SUFFIXES)))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def import_files(
    journal: Journal,
    files: Sequence[Found],
    *,
    name: str | None = None,
    counter: str | None = None,
    format: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> Iterator[Imported]:
    """Import files as recorded, one outcome each; the journal's read models catch up when it is closed.

    `name` names the session of a file, in place of its own id. With `again`, unchanged files are read too. Raises
    `JournalError` and `OSError` if the journal itself cannot be written.
    """
    settings = ReplaySettings(counter=counter, name=name, as_recorded=True)
    known = KnownFiles.beside(journal.log.place)
    way = way_of(journal, settings, format)
    total, done = sum(each.size for each in files), 0
    try:
        for number, file in enumerate(files, 1):
            before = None if again else known.sessions(journal.log, file.path, way)
            if before is not None:
                yield Imported(file.path, sessions=_ids(before), unchanged=True)
            else:
                yield _import_one(journal, file, settings, known, way, format)
            done += file.size
            if number % SAVE_EVERY == 0:
                known.save()
            if progress is not None:
                progress(done, total)
    finally:
        known.save()


def _import_one(
    journal: Journal, file: Found, settings: ReplaySettings, known: KnownFiles, way: str, format: str | None
) -> Imported:
    known.begin(file.path)
    try:
        replayed = replay_file(journal, file.path, settings, format=format)
    except JournalError:
        raise
    except UnreadableInput as error:
        return Imported(file.path, skipped=not file.named, error=_named(error.message, file.path), hint=error.hint)
    except ClawVMError as error:
        return Imported(file.path, error=_named(error.message, file.path), hint=error.hint)
    except OSError:
        raise
    except Exception as error:
        message = f"{file.path}: internal error: {type(error).__name__}"
        return Imported(file.path, error=message, cause=error)
    known.finish(journal.log, file.path, way, replayed)
    return Imported(file.path, replayed, _ids(replayed))


def _ids(sessions: Iterable[Replayed | Taken]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.session_id for each in sessions))


def _named(message: str, path: str) -> str:
    """A message on one line that names its file."""
    line = " ".join(message.split())
    return line if path in line else f"{path}: {line}"
