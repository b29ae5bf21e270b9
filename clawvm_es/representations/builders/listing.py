"""Levels for lists of places: search results (``path:12:text``) and paths, one a line.

Lines are grouped by file (search results) or directory (paths); each group gives its best line before any
group gives its second, so that every file that was found stays visible as long as there is room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import filterfalse, islice, zip_longest
from typing import Final

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import (
    clipped,
    compressed_aim,
    excerpt,
    line_limit,
    pointer_line,
    select,
    structured_aim,
)

_NAMED = r"(?=[^\s:]{0,300}[./])(?=[^\s:]{0,300}[A-Za-z])"  # a path has a letter, and a dot or slash
_MATCH = re.compile(_NAMED + r"(?P<path>[^\s:]{1,300}):\d{1,7}:")
_NEAR = re.compile(_NAMED + r"[^\s:]{1,300}?-\d{1,7}-")
_PATH = re.compile(r"\s*(?P<path>(?:[A-Za-z]:)?[\w.@~+ ()\[\]-]{0,120}+[/\\][^\s:<>|]{0,300})\s*$")
_PLACE = re.compile(
    "|".join(re.sub(r"\?P<\w+>", "", p) for p in (r"--\Z", _MATCH.pattern, _NEAR.pattern, _PATH.pattern))
)
_PROBE = 40  # lines
_LINE_CHARS = 160


def is_listing(lines: Sequence[str]) -> bool:
    """Tell whether at least two thirds of the first lines name a place in a file, or are nothing but a path."""
    probe = [line[:400] for line in lines[:_PROBE] if line.strip()]
    too_many = islice(filterfalse(_PLACE.match, probe), len(probe) // 3, None)
    return len(probe) >= 4 and next(too_many, None) is None


class ListingBuilder:
    """Compressed and structured: the groups in turn, matches before the lines around them."""

    name: Final = "listing/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        lines = text.split("\n")
        order = list(_order(lines))
        return {
            Fidelity.COMPRESSED: excerpt(lines, order, compressed_aim(text), _LINE_CHARS),
            Fidelity.STRUCTURED: _structured(lines, order, structured_aim(text)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _structured(lines: Sequence[str], order: Sequence[int], aim: int) -> str:
    """Kept lines without marks between them, and how many there were."""
    limit = line_limit(aim, _LINE_CHARS)
    kept = select(lines, order, aim, limit)
    return "\n".join((*(clipped(lines[i], limit) for i in sorted(kept)), f"[… {len(lines)} lines in all]"))


def _order(lines: Sequence[str]) -> Iterator[int]:
    """Round robin over the groups, first matches, then everything else."""
    matches: dict[str, list[int]] = {}
    others: list[int] = []
    for index, line in enumerate(lines):
        head = line[:400]
        if match := _MATCH.match(head):
            matches.setdefault(match["path"], []).append(index)
        elif path := _PATH.match(head):
            matches.setdefault(path["path"].replace("\\", "/").rpartition("/")[0], []).append(index)
        elif line:
            others.append(index)
    for turn in zip_longest(*matches.values()):
        yield from (index for index in turn if index is not None)
    yield from others
