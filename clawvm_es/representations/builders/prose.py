"""Levels for prose and Markdown: headings and first lines, then lines that hold facts, then the rest from the head.

Paragraphs on one long line are cut into sentences first, so that what is kept stays verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import (
    any_word,
    compressed_aim,
    excerpt,
    pointer_line,
    spread,
    structured_aim,
)

_LONG_LINE = 240  # characters
_PROBE_CHARS = 400  # of a line, when looking for facts
_SENTENCE_END = re.compile(r"\s(?<=[.!?;:]\s)\s*(?=\S)")
_HEADING = re.compile(
    r"(?:\s{0,8}\d{1,7}(?:→|\t))?\s*(?:#{1,6}\s+\S|\*\*[^*]{1,120}\*\*:?\s*$|[A-Z][^.!?]{2,80}:\s*$)"
)
_NAME = re.compile(
    r"[`/._(\d](?:(?<=`)[^`]+`|(?<=[\w.-]/)[\w./-]|(?<=\w\.)\w{1,5}\b|(?<=\w_)\w|(?<=\w\()\)|(?<=:/)/|(?<=\d)\d)"
)
"""Quoted code, paths, file names, identifiers, calls, URLs, numbers: told by a character inside, which is quick."""
_WORDS = (
    "must", "never", "always", "should", "decided", "decision", "because", "instead", "need", "todo", "fix", "fixed",
    "root cause", "error",
)  # fmt: skip
_WEIGHTY = re.compile(any_word(*_WORDS) + r"|fail(?<!\wfail)")


def sentences(text: str) -> list[str]:
    """Lines of `text`, long ones cut into sentences."""
    lines = text.split("\n")
    if max(map(len, lines)) <= _LONG_LINE:
        return lines
    out: list[str] = []
    for line in lines:
        if len(line) > _LONG_LINE:
            out.extend(_SENTENCE_END.split(line))
        else:
            out.append(line)
    return out


class ProseBuilder:
    """Compressed: headings, the ends, lines with facts. Structured: headings and the first lines under them."""

    name: Final = "prose/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        lines = sentences(text)
        headings = [
            i for i, line in enumerate(lines) if ("#" in line or ":" in line or "**" in line) and _HEADING.match(line)
        ]
        return {
            Fidelity.COMPRESSED: excerpt(lines, _compressed_order(lines, headings), compressed_aim(text)),
            Fidelity.STRUCTURED: excerpt(lines, _structured_order(lines, headings), structured_aim(text)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _first_filled(lines: Sequence[str], start: int) -> Iterator[int]:
    for index in range(start, min(start + 3, len(lines))):
        if lines[index].strip():
            yield index
            return


def _landmarks(lines: Sequence[str], headings: Sequence[int]) -> Iterator[int]:
    """The first and the last filled line, headings, and the first filled line under each."""
    yield from _first_filled(lines, 0)
    yield next((i for i in range(len(lines) - 1, -1, -1) if lines[i].strip()), 0)
    yield from headings
    for heading in headings:
        yield from _first_filled(lines, heading + 1)


def _compressed_order(lines: Sequence[str], headings: Sequence[int]) -> Iterator[int]:
    facts = (i for i, line in enumerate(lines) if line and _states_fact(line[:_PROBE_CHARS]))
    return chain(_landmarks(lines, headings), facts, spread(len(lines)))


def _states_fact(line: str) -> bool:
    return bool(_NAME.search(line) or _WEIGHTY.search(line.lower()))


def _structured_order(lines: Sequence[str], headings: Sequence[int]) -> Iterator[int]:
    return chain(_landmarks(lines, headings), (i for i, line in enumerate(lines) if line and not line.isspace()))
