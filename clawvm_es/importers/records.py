"""Bytes of a file → JSON records with their line numbers, and what could not be read, counted by reason."""

from __future__ import annotations

from typing import Final

import attrs

from clawvm_es.importers.recording import Skip, Skips
from clawvm_es.observe.fields import Fields, TooDeep, parse_json

BOM: Final = b"\xef\xbb\xbf"


@attrs.frozen
class Record:
    """One JSON object of a file and the line (from 1) that it stands on."""

    line: int
    data: Fields
    raw: bytes


def read_lines(data: bytes) -> tuple[list[Record], Skips]:
    """The JSON objects of a JSON Lines file, and why other lines were skipped. Blank lines are no records."""
    records: list[Record] = []
    skipped = Skips()
    lines = data.removeprefix(BOM).split(b"\n")
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            value = parse_json(raw.decode("utf-8", "surrogatepass").strip())
        except UnicodeDecodeError:
            skipped.add(Skip.NOT_UTF8, number)
        except TooDeep:
            skipped.add(Skip.TOO_DEEP, number)
        except ValueError:
            skipped.add(Skip.TRUNCATED_LINE if number == len(lines) else Skip.NOT_JSON, number)
        else:
            if isinstance(value, dict):
                records.append(Record(number, Fields(value), raw))
            else:
                skipped.add(Skip.NOT_AN_OBJECT, number)
    return records, skipped
