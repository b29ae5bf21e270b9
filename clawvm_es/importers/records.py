"""Bytes of a file → JSON records with line numbers, and counts of unreadable lines by reason."""

from __future__ import annotations

import re
from typing import Final

import attrs

from clawvm_es.importers.recording import Skip, Skips
from clawvm_es.observe.fields import Fields, TooDeep, parse_json, parse_some

BOM: Final = b"\xef\xbb\xbf"
PIECES: Final = 64
"""Objects in one line that are read, whole and torn."""

_MARKS: Final = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HEAD_BYTES: Final = 66  # of a file, to tell whether its mark is one
_PADDING: Final = b" \t\r\0"
_HEAD = re.compile(r'\{\s*"([^"\\]*)"\s*:')


@attrs.frozen
class Record:
    """One JSON object of a file, and its line (from 1)."""

    line: int
    data: Fields
    raw: bytes


def utf8(data: bytes) -> bytes:
    """The bytes of a text file in UTF-8, without a byte order mark; the mark tells the file's encoding."""
    for mark, encoding in _MARKS:
        if data.startswith(mark) and data[2:_HEAD_BYTES].decode(encoding, "replace").lstrip().startswith(("{", "[")):
            whole = data[: len(data) // 2 * 2]
            return whole[len(mark) :].decode(encoding, "replace").encode("utf-8", "surrogatepass")
    return data.removeprefix(BOM)


def read_lines(data: bytes) -> tuple[list[Record], Skips]:
    """The JSON objects of a JSON Lines file, and the reasons why other lines were skipped.

    Blank lines, padding NULs, and byte order marks of concatenated files are ignored. A line may hold several
    objects, if a writer lost a newline or was cut off in the middle.
    """
    records: list[Record] = []
    skipped = Skips()
    lines = utf8(data).split(b"\n")
    for number, raw in enumerate(lines, 1):
        records.extend(read_line(raw, number, skipped, last=number == len(lines)))
    return records, skipped


def read_line(raw: bytes, number: int, skipped: Skips, *, last: bool = False) -> list[Record]:
    """The JSON objects of a line without its end; if there is none, the reason is counted in `skipped`."""
    text = raw.strip(_PADDING).removeprefix(BOM).strip(_PADDING)
    records: list[Record] = []
    if not text:
        return records
    try:
        values = _values(text.decode("utf-8", "surrogatepass"), number, skipped)
    except UnicodeDecodeError:
        skipped.add(Skip.NOT_UTF8, number)
    except TooDeep:
        skipped.add(Skip.TOO_DEEP, number)
    except ValueError:
        skipped.add(Skip.TRUNCATED_LINE if last else Skip.NOT_JSON, number)
    else:
        for place, value in enumerate(values):
            if isinstance(value, dict):
                records.append(Record(number, Fields(value), raw + b"#%d" % place if place else raw))
            else:
                skipped.add(Skip.NOT_AN_OBJECT, number)
    return records


def _values(text: str, number: int, skipped: Skips) -> list[object]:
    """The JSON values of a line; torn ones before the last are counted. Raises `ValueError` if none is whole."""
    try:
        return [parse_json(text)]
    except TooDeep:
        raise
    except ValueError:
        found, torn = _pieces(text)
        if not found:
            raise
        skipped.add(Skip.NOT_JSON, number, torn) if torn else None
        return found


def _pieces(text: str) -> tuple[list[object], int]:
    """The objects in a line, one after another, and the number of torn ones between them.

    After a torn object the next begins where its first key appears again. Objects inside an object are no records, so
    this does not apply to one that begins with `type`, as the parts of messages do.
    """
    head = _HEAD.match(text)
    found: list[object] = []
    place, torn = 0, 0
    while head and place < len(text) and len(found) + torn < PIECES:
        try:
            value, place = parse_some(text, place)
            found.append(value)
        except ValueError:
            torn += 1
            place = text.find(head[0], place + 1) if head[1] != "type" else -1
            if place < 0:
                break
    return found, torn
