"""Import recorded sessions: parse bytes into steps; each format is one module and one row of `formats`.

`read` returns the recordings of a file, `commands` the commands that replay one of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawvm_es.engine.given import path as named
from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers.detect import detect, detect_bytes, load
from clawvm_es.importers.export import export_trace
from clawvm_es.importers.formats import FORMATS, TABLE
from clawvm_es.importers.packed import unpacked
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.records import utf8
from clawvm_es.importers.rows import reader_of
from clawvm_es.importers.streaming import lines_on_disk, opened_lines, read_all
from clawvm_es.importers.trace import write_inputs, write_trace
from clawvm_es.importers.translate import commands

if TYPE_CHECKING:
    from clawvm_es.engine.journal import Journal
    from clawvm_es.importers.following import Followed
    from clawvm_es.importers.replay import ReplaySettings

__all__ = [
    "FORMATS",
    "Recording",
    "commands",
    "detect",
    "export_trace",
    "follow",
    "read",
    "read_bytes",
    "write_inputs",
    "write_trace",
]

_AGENT: Final = re.compile(r"agent-[\w-]+")


def read(path: str | os.PathLike[str], format: str | None = None) -> tuple[Recording, ...]:
    """The recorded sessions of a file, main sessions before their subagents.

    A subagent that has a file of its own beside this one is read from there.

    The format is detected unless named; a file packed with gzip or zstd is unpacked first. Raises `UnreadableInput`
    if the file cannot be read, has no known format, or holds nothing of the named format; `UsageError` if `format` is
    not one of `FORMATS`.
    """
    _known(format)
    file = Path(named("file", path))
    return tuple(_own(file, each) for each in _read_file(file, format))


def read_bytes(data: bytes, name: str, format: str | None = None) -> tuple[Recording, ...]:
    """The recorded sessions in the bytes of a file, packed or not; errors show `name`. Raises as `read` does."""
    _known(format)
    return _read(unpacked(data, name), name, format)


def follow(
    journal: Journal,
    path: str | os.PathLike[str],
    settings: ReplaySettings | None = None,
    *,
    format: str | None = None,
    final: bool = False,
) -> Followed:
    """Import what is new in a growing file, or in the files of a folder (`following.follow`)."""
    from clawvm_es.importers import following

    return following.follow(journal, named("file", path), settings, format=format, final=final)


def _read_file(path: Path, format: str | None) -> tuple[Recording, ...]:
    """The recordings of a file; a long file of lines is read line by line."""
    file = opened_lines(path)
    if file is not None:
        with file:
            reader = reader_of(file, str(path), format)
            recordings = () if reader is None else read_all(reader, lines_on_disk(file), str(path))
        if recordings and all(recording.session_id for recording in recordings):
            return _checked(recordings, str(path), format)
    return _read(load(path), str(path), format)


def _read(data: bytes, name: str, format: str | None) -> tuple[Recording, ...]:
    data = utf8(data)
    return _checked(TABLE[format or detect_bytes(data, name)].parse(data, name), name, format)


def _checked(recordings: tuple[Recording, ...], name: str, format: str | None) -> tuple[Recording, ...]:
    """The recordings of a file, at least one. Raises `UnreadableInput`."""
    if not any(recording.steps for recording in recordings):
        unknown = sum(recording.skipped.get(Skip.UNKNOWN_RECORD, 0) for recording in recordings)
        if unknown:
            raise UnreadableInput(
                f"{name}: holds no session of format {format}, only {unknown} unknown records",
                hint="leave --format out to have it detected",
            )
    return recordings


def _own(path: Path, recording: Recording) -> Recording:
    """The recording in a subagent's own file, if it has one, in place of the part in its parent's file."""
    file = own_file(path, recording.session_id) if recording.partial else None
    if file is None:
        return recording
    whole = _read_file(file, None)
    return next((each for each in whole if each.session_id == recording.session_id), recording)


def own_file(path: Path, session_id: str) -> Path | None:
    """The own file of a subagent, beside its parent's file; None if there is none."""
    agent = session_id.rpartition("/")[2]
    places = (path.parent, path.parent / "subagents", path.with_suffix("") / "subagents")
    files = (place / f"{agent}.jsonl" for place in places)
    return next((file for file in files if file.is_file()), None) if _AGENT.fullmatch(agent) else None


def _known(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}", hint=f"one of {', '.join(FORMATS)}")
