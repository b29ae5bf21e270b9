"""Bounds of answers: lists end and texts are cut where the room ends, and each says so.

LAW-WEB-3: no answer is longer than `LIMIT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from clawvm_es.web.encode import encode

LIMIT: Final = 200_000
"""Bytes of an answer."""
TEXT_BYTES: Final = 65_536
"""Bytes of one text, as JSON; more of it is another answer."""
_ROUNDS: Final = ((1_200, 16_384), (420, 4_096), (156, 1_024), (48, 256), (12, 80), (12, 20))
"""(entries of a list, characters of a text) that an answer which is too long keeps; lists of rows stay whole rows."""

T = TypeVar("T")


def part(text: str, offset: int = 0, room: int = TEXT_BYTES) -> str:
    """The part of a text, from a character on, that takes at most `room` bytes as JSON."""
    found = text[offset : offset + room]
    while found and (size := len(encode(found))) > room:
        found = found[: min(len(found) - 1, len(found) * room // size)]
    return found


def taken(items: Iterable[T], room: int, most: int | None = None) -> list[T]:
    """The first items that fit `room` bytes; at least one, if there is any."""
    found: list[T] = []
    for item in items:
        room -= len(encode(item)) + 1
        if found and (room < 0 or len(found) == most):
            break
        found.append(item)
    return found


def bounded(document: dict[str, Any], limit: int = LIMIT) -> dict[str, Any]:
    """A document that fits: the longest lists and texts are shortened, and `cut` says whether any was."""
    document["cut"] = False
    for entries, chars in _ROUNDS:
        if len(encode(document)) <= limit:
            return document
        document = _shortened(document, entries, chars)
        document["cut"] = True
    return document


def _shortened(value: Any, entries: int, chars: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars else f"{value[: chars - 1]}…"
    if isinstance(value, Mapping):
        items = list(value.items())
        return {name: _shortened(each, entries, chars) for name, each in items[: max(entries, 64)]}
    if isinstance(value, list | tuple):
        return [_shortened(each, entries, chars) for each in value[:entries]]
    return value


def shrunk(make: Callable[[int], Mapping[str, Any]], most: int, limit: int = LIMIT) -> Mapping[str, Any]:
    """The longest answer that fits, of those that `make` makes for sizes up to the given one."""
    size = most
    while True:
        found = make(size)
        taken_bytes = len(encode(found))
        if taken_bytes <= limit or size == 1:
            return found
        size = max(1, min(size - 1, size * limit * 9 // (taken_bytes * 10)))


def rows(flat: Sequence[int], width: int, most: int) -> list[int]:
    """At most so many rows of a flat list."""
    return list(flat[: width * most])
