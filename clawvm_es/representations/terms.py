"""Terms: the words of a text as searches compare them, in scripts with blanks between words and without.

A word is a run of letters and digits, without case and accents. Where a script writes no blanks between words
(Chinese, Japanese, Korean with its particles, Thai, …), and of emoji, each character is a term, so that a search
finds any part of a run. `spaced` writes a text as its terms: one blank around each such character, blanks
for all that is no term.

LAW-TERMS-1: the terms of a text never change: characters newer than Unicode 3.2 are terms of their own, and all
others keep their properties in every version.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_UNSEPARATED: Final = (
    range(0x0E00, 0x1100),  # Thai, Lao, Tibetan, Myanmar
    range(0x1100, 0x1200),  # Hangul letters
    range(0x1780, 0x1800),  # Khmer
    range(0x2E80, 0x2FE0),  # radicals
    range(0x3005, 0x3008),
    range(0x3021, 0x3030),
    range(0x3031, 0x303D),
    range(0x3040, 0x3400),  # Kana, Bopomofo, Hangul letters, and what is built of them
    range(0x3400, 0xA4D0),  # Han, Yi
    range(0xAC00, 0xD7B0),  # Hangul
    range(0xF900, 0xFB00),  # Han
    range(0xFF66, 0xFFDD),  # Kana and Hangul of half width
    range(0x20000, 0x30000),  # Han
)
_KEPT_MARKS: Final = frozenset((7, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132))
"""Combining classes of marks that make another letter: nuktas, voicing, viramas, vowels, tones."""
_OLD: Final = unicodedata.ucd_3_2_0


def _term(char: str) -> str:
    """A character of a text in its terms: itself, blanks around it, a blank, or nothing."""
    category = _OLD.category(char)
    if category == "Cn":
        return f" {char} "
    if category == "Cs":
        return " "
    if category[0] == "M" and _OLD.combining(char) and _OLD.combining(char) not in _KEPT_MARKS:
        return ""
    if any(ord(char) in block for block in _UNSEPARATED):
        return "".join(f" {each} " if _is_letter(each) else " " for each in _OLD.normalize("NFKC", char))
    plain = (each for each in unicodedata.normalize("NFKD", char).casefold() if _term_mark(each))
    return "".join(each if _is_letter(each) else " " for each in plain)


def _term_mark(char: str) -> bool:
    """Tell whether a character of a decomposition stays in the term."""
    combining = _OLD.combining(char)
    return not combining or combining in _KEPT_MARKS


def _is_letter(char: str) -> bool:
    return _OLD.category(char)[0] in "LNM" or _OLD.category(char) == "Co"


class _Terms(dict[int, str]):
    """Code point → its terms, worked out when it is first met."""

    def __missing__(self, point: int) -> str:
        self[point] = found = _term(chr(point))
        return found


_TERMS: Final = _Terms()
_SPACED: Final = re.compile("( *)([^ ]+)")
_WORD: Final = re.compile(r"\w{2,}")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def spaced(text: str) -> str:
    """A text as its terms, with blanks between them; equal for texts that differ in case, accents and composition."""
    return composed(text).translate(_TERMS)


def composed(text: str) -> str:
    """A text in NFC, in which positions of `located` count."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def indexed(text: str) -> str:
    """A text for an index whose own words are runs of ASCII letters and digits and all that is not ASCII."""
    return text if text.isascii() else _NOT_ASCII.sub(lambda found: found[0].translate(_TERMS), composed(text))


def terms(text: str) -> tuple[str, ...]:
    """The terms of a text, in order."""
    return tuple(spaced(text).split())


def pattern(words: str) -> re.Pattern[str] | None:
    """Pattern that finds `words` together in a spaced text; None if they hold no term.

    Between two words anything but a term may stand; characters that are adjacent here must be adjacent.
    """
    parts: list[str] = []
    before = ""
    for word in words.split():
        for place, found in enumerate(_SPACED.finditer(spaced(word).strip())):
            gap, term = found.groups()
            parts += [
                (gap if place and len(gap) == _beside(before, term) else " +") if parts else "",
                re.escape(term),
            ]
            before = term
    return re.compile(f"(?<![^ ]){''.join(parts)}(?![^ ])") if parts else None


def _beside(one: str, other: str) -> int:
    """Blanks between two terms that stand side by side; 0 for two words, which never do."""
    return _alone(one) + _alone(other)


def _alone(term: str) -> bool:
    """Tell whether a term is a character that is one by itself."""
    return len(term) == 1 and " " in _TERMS[ord(term)]


def located(text: str, start: int, end: int) -> tuple[int, int]:
    """The span in `composed(text)` of a span in `spaced(text)`."""
    first = last = at = 0
    for place, char in enumerate(composed(text)):
        size = len(_TERMS[ord(char)])
        if at <= start < at + size:
            first = place
        if at < end <= at + size:
            return first, place + 1
        at += size
    return first, last


def phrases(text: str) -> Iterator[tuple[str, ...]]:
    """The series of terms by which a text is looked up where any part may match: its words, and pairs of characters.

    A word of at least two characters is one series, also where signs such as ``_`` part it; of a run without blanks
    each two characters that stand together are one.
    """
    for word in dict.fromkeys(_WORD.findall(composed(text).lower())):
        found = terms(word)
        if not any(_alone(term) for term in found):
            yield found
            continue
        for first, second in pairwise(found):
            if _alone(first) and _alone(second):
                yield first, second
        yield from ((term,) for term in found if not _alone(term))
