"""Detect the format of a file of lines by its first rows."""

from __future__ import annotations

from typing import BinaryIO

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.detect import LOOKED_AT, detect_bytes, detect_lines
from clawvm_es.importers.format import Reader
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.records import utf8
from clawvm_es.observe.fields import parse_json


def format_of(
    path: str, file: BinaryIO, named: str | None = None, final: bool = False
) -> tuple[str, Reader | None] | None:
    """The format of a file, and its reader of lines, if it has lines; None until the file has a whole value.

    A `named` format is not searched for. Raises `UnreadableInput`.
    """
    file.seek(0)
    head = [line for line in (file.readline() for _ in range(LOOKED_AT)) if final or line.endswith(b"\n")]
    if named is not None:
        return named, TABLE[named].reader if _is_row(head, named) else None
    if found := detect_lines(b"".join(head), path):
        return found, TABLE[found].reader
    file.seek(0)
    data = file.read()
    if not data.strip():
        return None
    try:
        found = detect_bytes(data, path)
    except UnreadableInput:
        if b"\n" in data or final or _value(data) is not None:
            raise
        return None  # its first line is being written
    return found, TABLE[found].reader if _is_row(data.splitlines(), found) else None


def reader_of(file: BinaryIO, path: str, named: str | None) -> Reader | None:
    """The reader of a file of rows, by its first lines, if it need not keep what it read; else None."""
    head = [file.readline() for _ in range(LOOKED_AT)]
    data = b"".join(head)
    format_ = named or (None if any(row.is_file(data) for row in TABLE.values()) else detect_lines(data, path))
    reader = TABLE[format_].reader if format_ and _is_row(head, format_) else None
    return reader if reader is not None and reader.end is not None else None


def _is_row(head: list[bytes], format_: str) -> bool:
    """Tell whether the first line of a file is a row, not a whole session or the beginning of one."""
    first = next((line for line in head if line.strip()), b"")
    value = _value(utf8(first))
    return isinstance(value, dict) and not TABLE[format_].is_session(value)


def _value(data: bytes) -> object:
    """The value of bytes that are one JSON text; None for other bytes."""
    try:
        return parse_json(data.decode("utf-8", "surrogatepass").strip())
    except ValueError:
        return None
