"""Levels for the output of commands: alarming lines first, then the ends, then one line of each kind.

Lines are of one kind when they differ only in numbers and hexadecimal ids (the idea of log templates; Zhu et
al., *Tools and Benchmarks for Automated Log Parsing*, ICSE 2019). A few passes over the whole text find kinds and
alarms in a fraction of the time that drain3 takes for its tree, and all kept lines stay verbatim.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.bounded import alarming
from clawvm_es.representations.builders.extract import (
    clipped,
    compressed_aim,
    excerpt,
    line_limit,
    pointer_line,
    select,
    spread,
    structured_aim,
)

_HEXADECIMAL = bytes.maketrans(b"123456789abcdefABCDEF", b"0" * 21)
_LONG = re.compile(b"0000000+")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_HEAD, _TAIL, _AROUND = 3, 6, 2  # lines
_STRUCTURED_LINE_CHARS = 200
_ALARMS_PERMILLE = 600  # a compressed level may grow to this much of the text to keep every alarm


@attrs.frozen
class _Scan:
    """Findings of one pass over the lines: alarms, and the first line of each kind with how many there are."""

    alarms: Sequence[int]
    counts: Mapping[int, int]


def _scan(text: str, lines: Sequence[str]) -> _Scan:
    kinds = _kinds(text)
    counts = Counter(kinds)
    first_of: dict[bytes, int] = {}
    for index, kind in enumerate(kinds):
        first_of.setdefault(kind, index)
    return _Scan(alarming(text), {i: counts[kind] for kind, i in first_of.items() if lines[i].strip()})


def _kinds(text: str) -> list[bytes]:
    """Each line with every number and every long hexadecimal id replaced by ``0``."""
    data = text.encode("utf-8", "surrogatepass")
    kept, at = [], 0
    for found in _LONG.finditer(data.translate(_HEXADECIMAL)):
        kept.append(data[at : found.start()])
        at = found.end()
    data = b"0".join((*kept, data[at:])).translate(_DIGITS)
    for zeros in (b"0000", b"00", b"00"):  # no run is longer than six
        data = data.replace(zeros, b"0")
    return data.split(b"\n")


class LogBuilder:
    """Compressed: every alarm, both ends, lines around alarms, one of each kind. Structured: alarms, ends, kinds."""

    name: Final = "logs/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        lines = text.split("\n")
        scan = _scan(text, lines)
        alarm_chars = sum(len(lines[i]) + 9 for i in scan.alarms)
        aim = max(compressed_aim(text), min(alarm_chars, len(text) * _ALARMS_PERMILLE // 1000))
        return {
            Fidelity.COMPRESSED: excerpt(lines, _compressed_order(lines, scan), aim),
            Fidelity.STRUCTURED: _structured(lines, scan, structured_aim(text)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _ends(lines: Sequence[str]) -> list[int]:
    """Filled lines of both ends, the last first."""
    ends = (*range(len(lines) - 1, max(0, len(lines) - _TAIL) - 1, -1), *range(min(_HEAD, len(lines)) - 1, -1, -1))
    return [i for i in ends if lines[i]]


def _compressed_order(lines: Sequence[str], scan: _Scan) -> Iterator[int]:
    yield from [i for i in scan.alarms if i in scan.counts]
    yield from scan.alarms
    yield from _ends(lines)
    for alarm in scan.alarms:
        yield from range(max(0, alarm - _AROUND), min(len(lines), alarm + _AROUND + 1))
    yield from scan.counts
    yield from spread(len(lines))


def _structured(lines: Sequence[str], scan: _Scan, aim: int) -> str:
    """Kept lines without marks between them; a line that stands for n of its kind ends with ``[×n]``."""
    order = [*[i for i in scan.alarms if i in scan.counts], *_ends(lines), *scan.counts]
    limit = line_limit(aim, _STRUCTURED_LINE_CHARS)
    kept = select(lines, order, aim, limit)
    out = []
    for index in sorted(kept):
        count = scan.counts.get(index, 1)
        line = clipped(lines[index], limit)
        out.append(f"{line} [×{count}]" if count > 1 else line)
    return "\n".join(out)
