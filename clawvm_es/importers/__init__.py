"""Recorded sessions: bytes → steps, one file and one row of `formats` for each format; the observer does the rest.

`read` gives the recordings of a file, `commands` what to execute for one of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers.detect import detect, detect_bytes, load
from clawvm_es.importers.export import export_trace
from clawvm_es.importers.formats import FORMATS, TABLE
from clawvm_es.importers.packed import unpacked
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.records import utf8
from clawvm_es.importers.trace import write_inputs, write_trace
from clawvm_es.importers.translate import commands

__all__ = [
    "FORMATS",
    "Recording",
    "commands",
    "detect",
    "export_trace",
    "read",
    "read_bytes",
    "write_inputs",
    "write_trace",
]

_AGENT: Final = re.compile(r"agent-[\w-]+")


def read(path: Path | str, format: str | None = None) -> tuple[Recording, ...]:
    """The recorded sessions of a file, main ones before those of their subagents.

    A subagent that has a file of its own beside this one is read from there.

    The format is detected unless named; a file that gzip or zstd packed is unpacked first. Raises `UnreadableInput`
    if the file cannot be read or has no known format, or holds nothing of the format named, `UsageError` if `format`
    is not one of `FORMATS`.
    """
    _known(format)
    return tuple(_own(Path(path), each) for each in _read(load(Path(path)), str(path), format))


def read_bytes(data: bytes, name: str, format: str | None = None) -> tuple[Recording, ...]:
    """The recorded sessions in the bytes of a file, packed or not; `name` stands in errors. Raises as `read` does."""
    _known(format)
    return _read(unpacked(data, name), name, format)


def _read(data: bytes, name: str, format: str | None) -> tuple[Recording, ...]:
    data = utf8(data)
    recordings = TABLE[format or detect_bytes(data, name)].parse(data, name)
    if not any(recording.steps for recording in recordings):
        unknown = sum(recording.skipped.get(Skip.UNKNOWN_RECORD, 0) for recording in recordings)
        if unknown:
            raise UnreadableInput(
                f"{name}: holds no session of format {format}, only {unknown} unknown records",
                hint="leave --format out to have it detected",
            )
    return recordings


def _own(path: Path, recording: Recording) -> Recording:
    """The recording in a subagent's own file, where it has one, in place of what its parent's file shows of it."""
    agent = recording.session_id.rpartition("/")[2]
    if not recording.partial or not _AGENT.fullmatch(agent):
        return recording
    for place in (path.parent, path.parent / "subagents", path.with_suffix("") / "subagents"):
        file = place / f"{agent}.jsonl"
        if file.is_file():
            whole = _read(load(file), str(file), None)
            return next((each for each in whole if each.session_id == recording.session_id), recording)
    return recording


def _known(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}", hint=f"one of {', '.join(FORMATS)}")
