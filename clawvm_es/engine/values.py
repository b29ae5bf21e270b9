"""Differences between two JSON values: the path of each differing field, and both values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

import attrs

from clawvm_es.observe.signatures import Lexeme
from clawvm_es.representations.visible import visible

PREVIEW_CHARS: Final = 120
"""Longest value that a line shows whole."""
DEPTH_MAX: Final = 100
"""Deepest nesting of JSON that is compared field by field."""


class Mark:
    """A value outside JSON, by the word that stands for it."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


NOTHING: Final = Mark("nothing")
"""The value of a field that one side does not have."""
ERASED: Final = Mark("(erased)")
"""The value of a text that was erased."""


@attrs.frozen
class Change:
    """One differing field: its path, and its value on both sides (`NOTHING` or `ERASED` if it has none).

    `line` is the first differing line, from 1, if both values are texts and one has several lines.
    """

    path: str
    was: Any
    now: Any

    @property
    def line(self) -> int | None:
        """The first differing line in texts of several lines."""
        if not (isinstance(self.was, str) and isinstance(self.now, str)) or "\n" not in self.was + self.now:
            return None
        pairs = zip_longest(self.was.split("\n"), self.now.split("\n"))
        return next((number for number, (a, b) in enumerate(pairs, 1) if a != b), None)

    @property
    def shown(self) -> tuple[str, str]:
        """Both values, shortened and escaped; of texts of several lines, the first differing line."""
        was, now = self.was, self.now
        if (line := self.line) is not None:
            was, now = (_line(text, line) for text in (was, now))
        skip = _alike(was, now) if isinstance(was, str) and isinstance(now, str) else 0
        return preview(was, skip), preview(now, skip)

    def __str__(self) -> str:
        was, now = self.shown
        path = self.path if self.line is None else f"{self.path} line {self.line}"
        return f"{path}: {was} → {now}"


def changed_values(was: Any, now: Any, path: str = "") -> Iterator[Change]:
    """Every difference between two JSON values; `NOTHING` marks a field that one of them lacks."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in sorted(was.keys() | now.keys()):
            yield from changed_values(was.get(name, NOTHING), now.get(name, NOTHING), _member(path, name))
    elif isinstance(was, list) and isinstance(now, list):
        for index, (a, b) in enumerate(zip_longest(was, now, fillvalue=NOTHING)):
            yield from changed_values(a, b, f"{path}[{index}]")
    elif type(was) is not type(now) or was != now:
        yield Change(path, was, now)  # True is not 1, 1 is not 1.0, and the text "1.0" is no number


def parsed(text: str) -> Any:
    """The JSON object or array in a text, with numbers as written; any other text as it is.

    Values nested deeper than `DEPTH_MAX` stay text, so that walking them needs no deep stack.
    """
    if text[:1] not in ("{", "["):
        return text
    try:
        value = json.loads(text, parse_float=Lexeme)
    except (ValueError, RecursionError):
        return text
    return text if _is_deep(value) else value


def preview(value: Any, skip: int = 0) -> str:
    """A value as one short line of JSON, control characters escaped; `skip` leaves out the start of a text."""
    if isinstance(value, Mark):
        return value.word
    if isinstance(value, Lexeme):
        return str(value)
    if isinstance(value, str):
        cut = value[skip : skip + PREVIEW_CHARS]
        before, after = "…" if skip else "", "…" if len(value) > skip + PREVIEW_CHARS else ""
        return visible(f'"{before}{json.dumps(cut, ensure_ascii=False)[1:-1]}{after}"')
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return visible(text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + "…")


def _is_deep(value: Any) -> bool:
    """Tell whether a value is nested beyond `DEPTH_MAX`."""
    level = [value]
    for _ in range(DEPTH_MAX):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return False
    return True


def _member(path: str, name: str) -> str:
    """The path of a member of an object; names that are no identifiers are quoted."""
    if not (name.isidentifier() and name.isascii()):
        return f"{path}[{visible(json.dumps(name, ensure_ascii=False))}]"
    return f"{path}.{name}" if path else name


def _line(text: str, number: int) -> Any:
    lines = text.split("\n")
    return lines[number - 1] if number <= len(lines) else NOTHING


def _alike(was: str, now: str) -> int:
    """Return the length of the common start of two long texts that may be left out."""
    if max(len(was), len(now)) <= PREVIEW_CHARS:
        return 0
    same = next(
        (place for place, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now))
    )
    return max(0, same - PREVIEW_CHARS // 4)
