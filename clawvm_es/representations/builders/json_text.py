"""Levels for JSON (also one document a line): its facts, and a skeleton of keys, shapes and counts.

Numbers keep their source lexeme. A skeleton is rendered under ever tighter limits until it fits its aim. A file is
edited by its lines, so whole lines from its head stand for the facts.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.limits import NESTING_MAX
from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import compressed_aim, excerpt, pointer_line, structured_aim
from clawvm_es.representations.builders.json_facts import Lexeme, facts

_Document: TypeAlias = Any


_DECODER = json.JSONDecoder(parse_float=Lexeme, parse_int=Lexeme, parse_constant=Lexeme)


def parsed(text: str) -> _Document | None:
    """The document, or a list of documents when each line is one; None when the text is not JSON.

    Only objects and arrays count: a bare word or number is no document.
    """
    stripped = text.strip()
    if stripped[:1] not in ("{", "[") or stripped[-1:] not in ("}", "]"):
        return None
    try:
        document, end = _DECODER.raw_decode(stripped)
        documents = [document]
        while end < len(stripped):
            if stripped[end] != "\n":
                return None
            start = end
            while stripped[start].isspace():
                start += 1
            document, end = _DECODER.raw_decode(stripped, start)
            documents.append(document)
    except (ValueError, RecursionError):
        return None
    return documents if len(documents) > 1 else documents[0]


@attrs.frozen
class _Limits:
    """Share of a document that a skeleton shows: `chars` of strings with blanks, `word_chars` of those without."""

    items: int
    keys: int
    chars: int
    word_chars: int
    depth: int


_STEPS: Final = (
    _Limits(items=200, keys=200, chars=2000, word_chars=2000, depth=30),
    _Limits(items=60, keys=100, chars=500, word_chars=500, depth=20),
    _Limits(items=20, keys=60, chars=240, word_chars=240, depth=12),
    _Limits(items=8, keys=60, chars=120, word_chars=160, depth=9),
    _Limits(items=4, keys=40, chars=60, word_chars=120, depth=7),
    _Limits(items=2, keys=40, chars=40, word_chars=100, depth=5),
    _Limits(items=1, keys=30, chars=30, word_chars=80, depth=4),
    _Limits(items=1, keys=24, chars=20, word_chars=64, depth=3),
    _Limits(items=1, keys=24, chars=20, word_chars=64, depth=2),
    _Limits(items=1, keys=16, chars=12, word_chars=40, depth=1),
)
_BLANK = re.compile(r"\s")
_CONSTANTS: Final[Mapping[bool | None, str]] = {True: "true", False: "false", None: "null"}


class _OverAim(Exception):
    """The skeleton under these limits is longer than its aim."""


_FILE = re.compile(r"\.json[c5]?(?![\w.])")
_FILE_SOURCE_CHARS, _FILE_LINES = 1000, 8


class JsonBuilder:
    """Compressed: facts, of a file whole lines from its head. Structured: the widest skeleton that fits."""

    name: Final = "json/2"

    def __init__(self, document: _Document) -> None:
        self._document = document

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        return {
            Fidelity.COMPRESSED: self._compressed(text, source),
            Fidelity.STRUCTURED: _skeleton(self._document, structured_aim(text)),
            Fidelity.POINTER: pointer_line(text, source),
        }

    def _compressed(self, text: str, source: str) -> str:
        """Lines of a file; else the facts, or a skeleton where they fill less than half of the aim."""
        lines, aim = text.split("\n"), compressed_aim(text)
        if len(lines) >= _FILE_LINES and _FILE.search(source[:_FILE_SOURCE_CHARS]):
            return excerpt(lines, range(len(lines)), aim)
        found = facts(self._document, aim)
        return found if 2 * len(found) >= aim else _skeleton(self._document, aim)


def _skeleton(document: _Document, aim: int) -> str:
    """The widest skeleton that fits, found by bisection."""
    fitting: dict[_Limits, str] = {}

    def fits(limits: _Limits) -> bool:
        try:
            fitting[limits] = "".join(_Renderer(limits, aim).rendered(document))
        except _OverAim:
            return False
        return True

    step = bisect_left(_STEPS, True, key=fits)
    if step < len(_STEPS):
        return fitting[_STEPS[step]]
    return "".join(_Renderer(_STEPS[-1], 2 * aim).cut(document))


class _Renderer:
    """Writes one skeleton and gives up as soon as it is longer than its aim."""

    def __init__(self, limits: _Limits, aim: int) -> None:
        self._limits = limits
        self._least_chars = min(limits.chars, limits.word_chars)
        self._left = aim
        self._out: list[str] = []

    def rendered(self, document: _Document) -> list[str]:
        self._value(document, 0)
        return self._out

    def cut(self, document: _Document) -> list[str]:
        """Text written before the aim was passed, with a mark at the end."""
        try:
            self._value(document, 0)
        except _OverAim:
            self._out.append("…")
        return self._out

    def _write(self, piece: str) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise _OverAim
        self._out.append(piece)

    def _value(self, value: _Document, depth: int) -> None:
        if isinstance(value, dict):
            self._object(value, depth)
        elif isinstance(value, list):
            self._array(value, depth)
        else:
            self._write(self._scalar(value))

    def _scalar(self, value: _Document) -> str:
        if isinstance(value, Lexeme):
            return str(value)
        if isinstance(value, str):
            if len(value) > self._least_chars:
                chars = self._limits.chars if _BLANK.search(value) else self._limits.word_chars
                if len(value) > chars:
                    return f'{encode_basestring(value[:chars])[:-1]}…" ({len(value)} chars)'
            return encode_basestring(value)
        return _CONSTANTS[value]

    def _object(self, value: dict[str, _Document], depth: int) -> None:
        if value and depth >= min(self._limits.depth, NESTING_MAX):
            self._write(f"{{{len(value)} keys}}")
            return
        self._write("{")
        for place, (key, item) in enumerate(value.items()):
            if place == self._limits.keys:
                self._write(f", … {len(value) - place} more keys")
                break
            self._write((", " if place else "") + encode_basestring(key[: self._limits.chars * 2]) + ": ")
            self._value(item, depth + 1)
        self._write("}")

    def _array(self, value: list[_Document], depth: int) -> None:
        if value and depth >= min(self._limits.depth, NESTING_MAX):
            self._write(f"[{len(value)} items]")
            return
        self._write("[")
        for place, item in enumerate(value):
            if place == self._limits.items:
                self._write(f", … {len(value) - place} more")
                break
            if place:
                self._write(", ")
            self._value(item, depth + 1)
        self._write("]")
