"""Functions that builders share: verbatim lines within an aim of characters, marks for gaps, pointers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from clawvm_es.limits import (
    COMPRESSED_CHARS,
    COMPRESSED_PERMILLE,
    LINE_CHARS,
    POINTER_CHARS,
    STRUCTURED_CHARS,
    STRUCTURED_PERMILLE,
)

_GAP_CHARS = 8  # what a mark for left-out lines costs a line that stands alone, on average
_LINE_CHARS_LEAST = 80
_REFUSALS = 64  # lines that do not fit any more before a selection ends


def compressed_aim(text: str) -> int:
    """Characters that a compressed level of `text` aims at."""
    low, high = COMPRESSED_CHARS
    return min(max(len(text) * COMPRESSED_PERMILLE // 1000, low), high)


def structured_aim(text: str) -> int:
    """Characters that a structured level of `text` aims at."""
    low, high = STRUCTURED_CHARS
    return min(max(len(text) * STRUCTURED_PERMILLE // 1000, low), high)


def clipped(line: str, chars: int = LINE_CHARS) -> str:
    """`line`, or its head and tail with a mark between them when it is longer than `chars`."""
    if len(line) <= chars:
        return line
    tail = chars // 3
    return f"{line[: chars - tail]}[… {len(line) - chars} chars]{line[-tail:]}"


def line_limit(aim: int, chars: int = LINE_CHARS) -> int:
    """Longest line kept whole under an aim: one line takes at most half of it."""
    return min(chars, max(aim // 2, _LINE_CHARS_LEAST))


def excerpt(lines: Sequence[str], order: Iterable[int], aim: int, chars: int = LINE_CHARS) -> str:
    """The lines that `select` takes, `rendered`, each of at most `chars` characters and half the aim."""
    limit = line_limit(aim, chars)
    return rendered(lines, select(lines, order, aim, limit), limit)


def select(lines: Sequence[str], order: Iterable[int], aim: int, line_chars: int = LINE_CHARS) -> set[int]:
    """Take lines in `order` (indices, best first; repeats are ignored) until `aim` characters are spent."""
    kept: set[int] = set()
    refusals = 0
    least = min(line_chars, *map(len, lines)) + 1
    for index in order:
        if index in kept:
            continue
        cost = len(lines[index]) + 1
        if cost > line_chars:
            cost = line_chars + 1
        if index - 1 not in kept and index + 1 not in kept:
            cost += _GAP_CHARS
        if cost > aim:
            refusals += 1
            if refusals > _REFUSALS:
                break
            continue
        kept.add(index)
        aim -= cost
        if aim < least:
            break
    return kept


def rendered(lines: Sequence[str], kept: Collection[int], line_chars: int = LINE_CHARS) -> str:
    """The kept lines in their order, long ones clipped, with ``[… n lines]`` where lines are left out."""
    out: list[str] = []
    after = 0
    for index in sorted(kept):
        if index > after:
            _mark_gap(out, lines, after, index)
        line = lines[index]
        out.append(line if len(line) <= line_chars else clipped(line, line_chars))
        after = index + 1
    _mark_gap(out, lines, after, len(lines))
    return "\n".join(out)


def _mark_gap(out: list[str], lines: Sequence[str], first: int, end: int) -> None:
    if end - first == 1 and len(lines[first]) <= _GAP_CHARS:
        out.append(lines[first])
    elif end > first:
        out.append(f"[… {end - first} line{'s' * (end - first > 1)}]")


def spread(count: int, head_permille: int = 650) -> Iterable[int]:
    """Indices 0 … count-1 from both ends inward, `head_permille` of them from the head at any time."""
    head, tail = 0, count - 1
    while head <= tail:
        if head * 1000 <= (head + count - 1 - tail) * head_permille:
            yield head
            head += 1
        else:
            yield tail
            tail -= 1


GUTTER = re.compile(r"\s{0,8}\d{1,7}(?:→|\t)")
"""A line number as file viewers print it before a line."""


def has_gutter(lines: Sequence[str]) -> bool:
    """Tell whether most of the first lines start with a line number."""
    probe = lines[:40]
    return len([line for line in probe if ("→" in line or "\t" in line) and GUTTER.match(line)]) * 2 > len(probe)


def any_word(*words: str) -> str:
    r"""A pattern that finds one of `words` as a whole word.

    It looks last at what stands before a word, so that a search that minds case (lower the text first) skips to
    the first letters of the words, which is several times faster than a leading ``\b`` and `re.IGNORECASE`.
    """
    return "|".join(rf"{word}(?<!\w{word})\b" for word in words)


_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def one_line(text: str, chars: int) -> str:
    """The start of `text` on one line, blanks folded, its middle cut out where it is longer than `chars`.

    Text outside ASCII costs more tokens a character, so it gets half the characters.
    """
    line = _BLANKS.sub(" ", text[: 8 * chars]).strip()
    if not line.isascii():
        chars //= 2
    if len(line) <= chars:
        return line
    tail = (chars - 1) // 2
    return f"{line[: chars - 1 - tail]}…{line[-tail:]}"


def pointer_line(text: str, source: str) -> str:
    """One line of at most about 30 tokens: the source (or the first words of the text) and the size of the text."""
    size = f"{text.count(chr(10)) + 1} lines" if "\n" in text else f"{len(text)} chars"
    return f"{one_line(source or text, POINTER_CHARS - len(size) - 3)} · {size}"
