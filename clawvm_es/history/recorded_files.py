"""Files that hold recorded sessions with their decisions: recordings and bundles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.history import bundle_reading, recording
from clawvm_es.history.recording import RecordedSession

SUFFIXES: Final = (recording.SUFFIX, bundle_reading.SUFFIX)
"""Suffixes of files that are collected as tests."""


def read_sessions(path: str | os.PathLike[str]) -> tuple[RecordedSession, ...]:
    """All sessions of a file, checked; raises `UnreadableInput`, which names file, line and the problem."""
    raw, first_line = _bytes(path)
    if bundle_reading.is_bundle(first_line):
        return bundle_reading.read_bundle(raw, str(path))
    return (recording.read_recording(raw, str(path)),)


def session_ids(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The ids of the sessions that `read_sessions` returns; only the parts that tell them are read and checked."""
    raw, first_line = _bytes(path)
    if bundle_reading.is_bundle(first_line):
        return bundle_reading.ids_in_bundle(raw, str(path))
    return (recording.read_header(first_line, str(path)).session_id,)


def _bytes(path: str | os.PathLike[str]) -> tuple[bytes, bytes]:
    """A file's bytes, and its first line."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}") from error
    first_line = raw[: raw.find(b"\n")] if b"\n" in raw else raw
    if not (bundle_reading.is_bundle(first_line) or recording.is_recording(first_line)):
        raise UnreadableInput(
            f"{path}: line 1: neither a recording nor a bundle",
            hint="clawvm export JOURNAL --as recording writes one",
        )
    return raw, first_line
