"""Bytes of a file → JSON records with their line numbers, and what could not be read, counted by reason."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from clawvm_es.engine.signatures import Lexeme
from clawvm_es.importers.recording import Skip
from clawvm_es.limits import INTEGER_MAX, NESTING_MAX

BOM: Final = b"\xef\xbb\xbf"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND_US: Final = 1_000_000


@attrs.frozen
class Record:
    """One JSON object of a file and the line (from 1) that it stands on."""

    line: int
    data: dict[str, object]
    raw: bytes


def _integer(text: str) -> int | Lexeme:
    return int(text) if len(text) <= 18 and text != "-0" else Lexeme(text)


_DECODER: Final = json.JSONDecoder(parse_float=Lexeme, parse_int=_integer, parse_constant=Lexeme, strict=False)


class TooDeep(ValueError):
    """JSON nested deeper than `limits.NESTING_MAX`."""


def parse_json(text: str) -> object:
    """The value of a JSON text; numbers that are not small integers as `Lexeme`.

    Raises `ValueError`, and `TooDeep` beyond `limits.NESTING_MAX` levels, whatever the interpreter's stack allows.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise TooDeep("nested too deep") from None
    if text.count("{") + text.count("[") > NESTING_MAX and _depth(value) > NESTING_MAX:
        raise TooDeep("nested too deep")
    return value


def _depth(value: object) -> int:
    depth, layer = 0, [value]
    while layer:
        layer = [item for node in layer for item in _children(node)]
        depth += 1
    return depth - 1


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def read_lines(data: bytes) -> tuple[list[Record], Counter[str]]:
    """The JSON objects of a JSON Lines file, and why other lines were skipped. Blank lines are no records."""
    records: list[Record] = []
    skipped: Counter[str] = Counter()
    lines = data.removeprefix(BOM).split(b"\n")
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            value = parse_json(raw.decode("utf-8", "surrogatepass").strip())
        except UnicodeDecodeError:
            skipped[Skip.NOT_UTF8] += 1
        except TooDeep:
            skipped[Skip.TOO_DEEP] += 1
        except ValueError:
            skipped[Skip.TRUNCATED_LINE if number == len(lines) else Skip.NOT_JSON] += 1
        else:
            if isinstance(value, dict):
                records.append(Record(number, value, raw))
            else:
                skipped[Skip.NOT_AN_OBJECT] += 1
    return records, skipped


def instant(value: object, line: int) -> int:
    """A recorded time in UTC µs: ISO 8601, or milliseconds; missing or odd: `line` seconds after 1970-01-01."""
    if isinstance(value, str) and not isinstance(value, Lexeme):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return line * _SECOND_US
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= INTEGER_MAX // 1000:
        return value * 1000
    return line * _SECOND_US


def text_of(value: object) -> str:
    """`value` if it is a string, else the empty string."""
    return str(value) if isinstance(value, str) else ""


def dict_of(value: object) -> dict[str, object]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[object]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count_of(value: object) -> int:
    """`value` if it is a count that event data may hold, else 0."""
    return value if type(value) is int and 0 <= value <= INTEGER_MAX else 0
