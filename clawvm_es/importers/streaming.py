"""Read files of lines one line at a time: neither their bytes nor their steps are in memory as a whole.

LAW-STREAM-1: reading line by line gives the same recordings as reading all bytes.

A file that is one JSON document is read whole, since it cannot be parsed before its end.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from clawvm_es import limits
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.format import Reader
from clawvm_es.importers.growing import Line
from clawvm_es.importers.recording import Recording, Skips
from clawvm_es.importers.records import BOM, read_line
from clawvm_es.importers.spool import Spool
from clawvm_es.storage import read_bytes

_PEEKED: Final = 64
"""Bytes at the beginning of a file that tell whether it may be one of lines."""


def opened_lines(path: Path) -> BinaryIO | None:
    """A file that is long enough to be read line by line, if it begins as JSON lines; else None."""
    try:
        if os.stat(path).st_size < limits.STEPS_AT_HAND_BYTES:
            return None
        if not read_bytes(str(path), _PEEKED).removeprefix(BOM).lstrip().startswith(b"{"):
            return None
        return open(path, "rb")
    except OSError:  # told by whoever reads it whole
        return None


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file as it is now; lines appended meanwhile are left for the next time."""
    file.seek(0, io.SEEK_END)
    left, number, end = file.tell(), 0, 0
    file.seek(0)
    while left > 0 and (given := file.readline(left)):
        number, end, left = number + 1, end + len(given), left - len(given)
        raw = given.removesuffix(b"\n")
        yield Line(number, raw.removeprefix(BOM) if number == 1 else raw, end, given.endswith(b"\n"))


def lines_on_disk(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file to which others may write.

    Raises `UnreadableInput` if reading fails, and at the end if the file was rewritten meanwhile.
    """
    began, end, number = os.fstat(file.fileno()), 0, 0
    try:
        for line in lines_of(file):
            end, number = line.end, line.number
            yield line
    except OSError as error:
        told = f"{file.name}: line {number + 1}: {error.strerror}"
        raise UnreadableInput(told, hint="check the disk that it is on") from error
    now = os.fstat(file.fileno())
    if end < began.st_size or (now.st_mtime_ns != began.st_mtime_ns and now.st_size <= began.st_size):
        raise UnreadableInput(f"{file.name}: was rewritten while it was read", hint="import it again")


def read_one(reader: Reader, state: object, line: Line, skips: Skips) -> None:
    """Give a reader one line."""
    for record in read_line(line.raw, line.number, skips, last=not line.whole):
        reader.read(state, record)


def read_all(reader: Reader, lines: Iterable[Line], name: str) -> tuple[Recording, ...]:
    """The recordings of a file of lines; a long file's steps are spooled. Raises what its `end` raises."""
    assert reader.end is not None
    state, skips, spool, held = reader.begin(), Skips(), Spool(), 0
    for line in lines:
        read_one(reader, state, line, skips)
        held += len(line.raw)
        if held >= limits.STEPS_AT_HAND_BYTES:
            held = 0
            for part in reader.parts(state):
                part.into.put_by(spool)
    return reader.end(state, name, skips)
