"""Levels for source code: outlines with line numbers, then whole lines from the head on.

An edit replaces a run of whole lines, and agents read from where they mean to edit: one unbroken run from the head
holds more of what edits replace than as many lines of small definitions.

Definitions come from tree-sitter, whose parsers go on after errors, so files that a tool cut off have outlines too.
Line-number gutters (``12→``) are kept; where there are none, structured levels get them.

Parsers take quadratic time and worse on text that is not code, so code is parsed in chunks, and a parse ends when it
takes many more steps (counted, not timed) than code needs; such a chunk has no definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

import attrs

from clawvm_es.limits import LINE_CHARS
from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import (
    GUTTER,
    clipped,
    compressed_aim,
    excerpt,
    has_gutter,
    line_limit,
    pointer_line,
    select,
    spread,
    structured_aim,
)
from clawvm_es.representations.builders.languages import LANGUAGES, Language

if TYPE_CHECKING:
    import tree_sitter


_EXTENSION = re.compile(r"[\w)\]-]\.([A-Za-z]{1,5})(?=$|[\s\"',;:)}\]])")
_SIGNATURE_LINES = 6
_STRUCTURED_LINE_CHARS = 200
_PARSED_CHARS = 1 << 18  # beyond this, only the head has an outline
_CHUNK_CHARS = 1 << 15
_STEPS_LEAST, _BYTES_A_STEP = 50, 40  # of a parse; real code in nine languages needs a step per 64 bytes or fewer
_READ_BYTES = 4096
_DEPTH = 6
_AT_MARGIN = ("@", "#", "_")


def extension(source: str) -> str:
    """Lower-case extension of the first path in `source` that has a language, else an empty string."""
    found = (match[1].lower() for match in _EXTENSION.finditer(source))
    return next((name for name in found if name in LANGUAGES), "")


@cache
def _grammar(language: Language) -> tree_sitter.Language:
    from tree_sitter import Language as Grammar

    return Grammar(getattr(import_module(language.module), language.entry)())


@attrs.frozen
class _Definition:
    """Line indices of a definition: first, last of its signature, last; and how deep it is nested."""

    first: int
    signature: int
    last: int
    depth: int


def _definitions(lines: Sequence[str], language: Language) -> list[_Definition]:
    """Definitions in `lines`, as far as `_PARSED_CHARS` reaches."""
    found: list[_Definition] = []
    for start, chunk in _chunks(lines):
        tree = _parsed(chunk, language)
        if tree:
            found.extend(_walk(tree.root_node, language, _Place(start)))
    return found


def _chunks(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Stretches of code with the index of their first line, cut where a line starts at the margin if one is near."""
    start = size = total = 0
    for index, line in enumerate(lines):
        if size > _CHUNK_CHARS and (size > 2 * _CHUNK_CHARS or line[:1].isalnum() or line.startswith(_AT_MARGIN)):
            yield start, "\n".join(lines[start:index])
            start, size = index, 0
            if total > _PARSED_CHARS:
                return
        size += len(line) + 1
        total += len(line) + 1
    yield start, "\n".join(lines[start:])


def _parsed(code: str, language: Language) -> tree_sitter.Tree | None:
    """The syntax tree, or None when the parser took many more steps than code of that length needs."""
    from tree_sitter import Parser

    data, piece = code.encode("utf-8", "replace"), bytearray()  # the binding never lets go of what a read returns
    left = _STEPS_LEAST + len(data) // _BYTES_A_STEP

    def read(at: int, _place: object) -> bytearray:
        piece[:] = data[at : at + _READ_BYTES]
        return piece

    def cancels(_offset: int, _has_error: bool) -> bool:
        nonlocal left
        left -= 1
        return left < 0

    try:
        return Parser(_grammar(language)).parse(read, progress_callback=cancels)
    except ValueError:  # what the binding raises when the callback ends a parse
        return None
    finally:
        piece.clear()


@attrs.frozen
class _Place:
    """Position of a walk: the line its chunk starts at, enclosing definitions, and levels of nodes below the root."""

    line: int
    depth: int = 0
    level: int = 0


def _walk(node: tree_sitter.Node, language: Language, place: _Place) -> Iterator[_Definition]:
    """Definitions under `node` in the order of the text."""
    for child in node.named_children:
        depth = place.depth
        if child.type in language.definitions:
            first, last = child.start_point[0], child.end_point[0]
            body = child.child_by_field_name("body")
            end = min(body.start_point[0] if body else first, first + _SIGNATURE_LINES - 1)
            yield _Definition(first + place.line, end + place.line, last + place.line, depth)
            depth += 1
        if (child.type in language.containers or child.type == "ERROR") and place.level < _DEPTH:
            yield from _walk(child, language, _Place(place.line, depth, place.level + 1))


class CodeBuilder:
    """Structured: signatures, outermost first. Compressed: the same signatures, then lines from the head on."""

    name: Final = "code/2"

    def __init__(self, extension: str) -> None:
        self._language = LANGUAGES[extension]

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels; code without a definition keeps its ends."""
        lines = text.split("\n")
        gutter = has_gutter(lines)
        definitions = _definitions(_without_gutter(lines) if gutter else [*map(_short, lines)], self._language)
        outline = select(lines, _signatures(definitions), structured_aim(text))
        return {
            Fidelity.COMPRESSED: excerpt(lines, [*sorted(outline), *range(len(lines))], compressed_aim(text)),
            Fidelity.STRUCTURED: "\n".join(_structured(lines, definitions, structured_aim(text), gutter)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _short(line: str) -> str:
    return line[:LINE_CHARS]


def _without_gutter(lines: Sequence[str]) -> list[str]:
    """The code alone, line by line; lines without a number (what a tool said around the file) are left empty."""
    matches = ((line, GUTTER.match(line)) for line in lines)
    return [line[found.end() : found.end() + LINE_CHARS] if found else "" for line, found in matches]


def _signatures(definitions: Sequence[_Definition]) -> Iterator[int]:
    for definition in sorted(definitions, key=lambda d: (d.depth, d.first)):
        yield from range(definition.first, definition.signature + 1)


def _structured(lines: Sequence[str], definitions: Sequence[_Definition], aim: int, gutter: bool) -> Iterator[str]:
    order = _signatures(definitions) if definitions else spread(len(lines))
    limit = line_limit(aim, _STRUCTURED_LINE_CHARS)
    kept = select(lines, order, aim, limit)
    for index in sorted(kept):
        line = clipped(lines[index], limit)
        yield line if gutter else f"{index + 1}→{line}"
