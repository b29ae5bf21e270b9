"""Typed access to JSON values, and a JSON reader that keeps every digit of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

import attrs

from clawvm_es.limits import NESTING_MAX, TIME_MAX_US, TIME_MIN_US, USAGE_TOKENS_MAX
from clawvm_es.observe.signatures import Lexeme

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND_US: Final = 1_000_000
_SECONDS: Final = (10**8, 10**11)
"""Numbers of this range are seconds; the milliseconds of 1970 to 1973 are no times of agents."""


@attrs.frozen
class Fields:
    """A JSON object of a file, with typed access to its fields: a field of another type counts as missing.

    Parsers reach values only through this class, so they never meet an unexpected type.
    """

    raw: Mapping[str, object] = attrs.field(factory=dict)

    @classmethod
    def of(cls, value: object) -> Fields:
        """The fields of a JSON value; none if it is not an object."""
        return cls(value) if isinstance(value, dict) else cls()

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def __bool__(self) -> bool:
        return bool(self.raw)

    def text(self, name: str) -> str:
        """A string; empty for any other value."""
        return text_of(self.raw.get(name))

    def ident(self, name: str) -> str:
        """An id: a string, or a number as written; empty for any other value."""
        value = self.raw.get(name)
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""

    def texts(self, name: str) -> list[str]:
        """The strings in an array, with an empty string for every other item."""
        return [text_of(item) for item in list_of(self.raw.get(name))]

    def is_text(self, name: str) -> bool:
        """Tell whether there is a string."""
        return is_text(self.raw.get(name))

    def is_list(self, name: str) -> bool:
        """Tell whether there is an array."""
        return isinstance(self.raw.get(name), list)

    def is_odd(self, name: str) -> bool:
        """Tell whether the value is neither a string, an array nor null."""
        value = self.raw.get(name)
        return value is not None and not is_text(value) and not isinstance(value, list)

    def flag(self, name: str) -> bool:
        """Tell whether there is a `true`."""
        return self.raw.get(name) is True

    def count(self, name: str) -> int:
        """A count within the range of event data; 0 for any other value."""
        return count_of(self.raw.get(name))

    def fields(self, name: str) -> Fields:
        """An object; one without fields for any other value."""
        return Fields.of(self.raw.get(name))

    def objects(self, name: str) -> list[Fields]:
        """The objects in an array; any other item becomes one without fields."""
        return [Fields.of(item) for item in list_of(self.raw.get(name))]

    def blocks(self, name: str) -> list[Fields]:
        """The blocks of a message's content; a string is one block of text."""
        value = self.raw.get(name)
        return [Fields({"type": "text", "text": value})] if is_text(value) else self.objects(name)

    def arguments(self, name: str) -> Mapping[str, object]:
        """The arguments of a call, as parsed; a value that is no object becomes the argument `input`."""
        value = self.raw.get(name)
        return value if isinstance(value, dict) else {"input": value}

    def instant(self, name: str, line: int) -> int:
        """A recorded time in UTC µs; see `instant`."""
        return instant(self.raw.get(name), line)

    def told_instant(self, name: str) -> int | None:
        """A recorded time in UTC µs; None if it is missing or invalid."""
        return told_instant(self.raw.get(name))


def arguments_of(value: object) -> Mapping[str, object]:
    """The arguments of a call: an object, or JSON text of one; anything else is the argument `input`."""
    given = value
    if isinstance(value, str) and is_text(value):
        if not value.strip():
            return {}
        try:
            given = parse_json(value)
        except ValueError:
            given = value
        if not isinstance(given, dict):
            given = value
    return {} if given is None else Fields({"given": given}).arguments("given")


def _integer(text: str) -> int | Lexeme:
    return int(text) if len(text) <= 18 and text != "-0" else Lexeme(text)


_DECODER: Final = json.JSONDecoder(parse_float=Lexeme, parse_int=_integer, parse_constant=Lexeme, strict=False)

_BLANK: Final = " \t\r\n\0\ufeff"


class TooDeep(ValueError):
    """JSON nested deeper than `limits.NESTING_MAX`."""


def parse_json(text: str) -> object:
    """The value of a JSON text; numbers other than small integers become `Lexeme`s.

    Raises `ValueError`, and `TooDeep` beyond `limits.NESTING_MAX` levels, independent of the interpreter's stack.
    """
    try:
        return _bounded(_DECODER.decode(text), text)
    except RecursionError:
        raise TooDeep("nested too deep") from None


def parse_some(text: str, start: int) -> tuple[object, int]:
    """The JSON value that begins at `start` of a text, and the place after it. Raises as `parse_json`."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise TooDeep("nested too deep") from None
    while end < len(text) and text[end] in _BLANK:
        end += 1
    return _bounded(value, text), end


def _bounded(value: object, text: str) -> object:
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


def instant(value: object, line: int) -> int:
    """A recorded time in UTC µs: ISO 8601, or the time since 1970; missing or odd: `line` seconds after 1970-01-01.

    A number means seconds if that gives a time in the years 1973 to 5138; otherwise milliseconds, if it is whole.
    A time outside the years 1 to 9999 (UTC) is invalid.
    """
    found = told_instant(value)
    return line * _SECOND_US if found is None else found


def told_instant(value: object) -> int | None:
    """A recorded time in UTC µs; None if it is missing or invalid; see `instant`."""
    found = _instant(value)
    return None if found is None or not TIME_MIN_US <= found <= TIME_MAX_US else found


def _instant(value: object) -> int | None:
    if isinstance(value, str) and not isinstance(value, Lexeme):
        try:
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    if isinstance(value, (int, Lexeme)) and not isinstance(value, bool):
        return _since_1970(value)
    return None


def _since_1970(value: int | Lexeme) -> int | None:
    """A number of seconds or milliseconds, distinguished by its size, as microseconds."""
    try:
        number = Decimal(value)
        if number.is_finite() and _SECONDS[0] <= number < _SECONDS[1]:
            return int(number * _SECOND_US)
    except InvalidOperation:
        return None
    return value * 1000 if isinstance(value, int) and value > 0 else None


def is_text(value: object) -> bool:
    """Tell whether `value` is a string; a number kept in its source form does not count."""
    return isinstance(value, str) and not isinstance(value, Lexeme)


def text_of(value: object) -> str:
    """`value` if it is a string; else the empty string."""
    return value if isinstance(value, str) and not isinstance(value, Lexeme) else ""


def list_of(value: object) -> list[object]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count_of(value: object) -> int:
    """`value` if it is a token count within the range of event data, plus any others; else 0."""
    return value if type(value) is int and 0 <= value <= USAGE_TOKENS_MAX else 0
