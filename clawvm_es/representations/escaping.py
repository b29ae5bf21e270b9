"""Escaping of page texts and attributes, one version per renderer; no version ever changes, a new one is added.

LAW-FRAME-2: `Escaping.undone` undoes `Escaping.text`, and text without anything like our tags is not changed.
LAW-FRAME-3: text escaped by version 2 opens and closes no frame, even for a reader that drops invisible characters
and treats compatible characters as equal (Unicode NFKC and case folding).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

import attrs

from clawvm_es.limits import SOURCE_CHARS


@attrs.frozen
class Escaping:
    """One version: how text inside a frame is escaped, how that is undone, and how an attribute is escaped."""

    text: Callable[[str], str]
    undone: Callable[[str], str]
    attribute: Callable[[str], str]


def _clipped(value: str) -> str:
    return value if len(value) <= SOURCE_CHARS else value[: SOURCE_CHARS - 1] + "…"


_NAMED = {'"': "&quot;", "<": "&lt;", ">": "&gt;", "&": "&amp;"}


def _reference(found: re.Match[str]) -> str:
    return _NAMED.get(found[0]) or f"&#{ord(found[0])};"


# ------------------------------------------------------------------------------------------- version 1

_TAG_1: Final = re.compile(r"<(?=\\*\s*(?:/\s*)?(?:page|directory))", re.IGNORECASE)
_ESCAPED_1: Final = re.compile(r"<\\(?=\\*\s*(?:/\s*)?(?:page|directory))", re.IGNORECASE)
_ATTRIBUTE_1: Final = re.compile(r'["<>\x00-\x1f\x7f-\x9f\u2028\u2029]|&(?=(?:quot|lt|gt|amp|#\d+);)')


def _text_1(text: str) -> str:
    r"""`text` with a backslash after each ``<`` that would open or close a frame: ``</page>`` → ``<\/page>``."""
    return _TAG_1.sub(r"<\\", text) if "<" in text else text


def _undone_1(text: str) -> str:
    return _ESCAPED_1.sub("<", text)


@lru_cache(maxsize=64)
def _attribute_1(value: str) -> str:
    """`value` for use between double quotes: one line, no quotes or angle brackets, clipped to `SOURCE_CHARS`."""
    return _ATTRIBUTE_1.sub(_reference, _clipped(value))


V1: Final = Escaping(_text_1, _undone_1, _attribute_1)
"""Knows our tags by their exact letters, in any case."""

# ------------------------------------------------------------------------------------------- version 2

_CONTROLS: Final = r"\x00-\x08\x0e-\x1f\x7f-\x9f"
_INVISIBLE: Final = (  # Default_Ignorable_Code_Point, other format characters, and what no encoder lets through
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\ufdd0-\ufdef"
    r"\U000110bd\U000110cd\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_MARKS: Final = (
    r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe20-\ufe2f"
)
_OPENING: Final = "<\uff1c\ufe64\u226e\u2039\u2329\u3008\u27e8\u276e\u276c\u02c2\u1438"
_CLOSING: Final = ">\uff1e\ufe65\u226f\u203a\u232a\u3009\u27e9\u276f\u276d\u02c3\u1433"
_SLASHES: Final = "/\uff0f\u2215\u2044\u29f8\u2571\u27cb"
_LIKE: Final = {  # letters that NFKC makes these, then letters of other scripts that look like them
    "a": "\xaa\u1d2c\u1d43\u2090" "\u0430\u0410\u03b1\u0391\u0251",
    "c": "\u1d9c\u2102\u212d\u216d\u217d\ua7f2\U0001f12b" "\u0441\u0421\u03f2\u03f9\u1d04",
    "d": "\u1d30\u1d48\u2145\u2146\u216e\u217e" "\u0501\u0500",
    "e": "\u1d31\u1d49\u2091\u212f\u2130\u2147" "\u0435\u0415\u03b5\u0395\u04bd",
    "g": "\u1d33\u1d4d\u210a" "\u0261\u0581\u050d\u050c",
    "i": "\u1d35\u1d62\u2071\u2110\u2111\u2139\u2148\u2160\u2170" "\u0456\u0406\u03b9\u0399\u0131\u04cf\u04c0",
    "o": "\xba\u1d3c\u1d52\u2092\u2134" "\u043e\u041e\u03bf\u039f\u0585\u0555",
    "p": "\u1d3e\u1d56\u209a\u2119" "\u0440\u0420\u03c1\u03a1\u03f1",
    "r": "\u02b3\u1d3f\u1d63\u211b\u211c\u211d\U0001f12c" "\u0433\u1d26\uab47\uab48",
    "t": "\u1d40\u1d57\u209c" "\u0442\u0422\u03c4\u03a4",
    "y": "\u02b8" "\u0443\u0423\u03b3\u03a5\u04af\u04ae\u028f",
}  # fmt: skip
_ACCENTED: Final = (range(0xC0, 0x250), range(0x1E00, 0x1F00))
_STYLED: Final = (0xFF21, 0xFF41, 0x24B6, 0x24D0, 0x1F130, *range(0x1D400, 0x1D6A4, 26))
"""Alphabets in the order of ours: full width, circled, squared, and the mathematical ones."""


@cache
def _accented() -> dict[str, str]:
    """Letter → the letters of the Latin script that have it for their base."""
    found: dict[str, str] = {}
    for char in (chr(point) for block in _ACCENTED for point in block):
        base = unicodedata.normalize("NFD", char)[0].casefold()
        if base in _LIKE:
            found[base] = found.get(base, "") + char
    return found


def _letter(letter: str) -> str:
    """The characters that read as `letter`, as a part of a character class."""
    styled = "".join(chr(first + ord(letter) - ord("a")) for first in _STYLED)
    return letter + letter.upper() + _accented().get(letter, "") + styled + _LIKE[letter]


def _pattern(opening: str, slashes: str, ignored: str, letter: Callable[[str], str], other: str) -> tuple[str, str]:
    """Pattern of an opening tag of ours, and of what follows; `other` are further forms of the letters ``pa``."""
    between, blank = f"[{ignored}]*+", rf"[\s{ignored}]*+"
    page, directory = (between.join(f"[{letter(char)}]" for char in word) for word in ("page", "directory"))
    if other:
        page = f"(?:{page}|[{other}]{between}{between.join(f'[{letter(char)}]' for char in 'ge')})"
    return f"[{opening}]", rf"(?=[\\\s{ignored}]*+(?:[{slashes}]{blank})?(?:{page}|{directory}))"


def _compiled(parts: tuple[str, str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    opening, rest = parts
    return re.compile(f"({opening}){rest}"), re.compile(rf"({opening})\\{rest}")


@cache
def _ascii_2() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return _compiled(_pattern("<", "/", _CONTROLS, lambda char: char + char.upper(), ""))


@cache
def _any_2() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return _compiled(_pattern(_OPENING, _SLASHES, _CONTROLS + _INVISIBLE + _MARKS, _letter, "\u3380\u33a9"))


_BRACKET_2: Final = re.compile(f"[{_OPENING}]")
_ATTRIBUTE_2: Final = re.compile(
    rf'["\uff02{_OPENING}{_CLOSING}{_CONTROLS}\t-\r\u2028\u2029{_INVISIBLE}]|&(?=(?:quot|lt|gt|amp|#\d+);)'
)


def _text_2(text: str) -> str:
    r"""`text` with a backslash after each bracket that would open or close a frame: ``</pAge>`` → ``<\/pAge>``."""
    if text.isascii():
        return _ascii_2()[0].sub(r"\1\\", text) if "<" in text else text
    return _any_2()[0].sub(r"\1\\", text) if _BRACKET_2.search(text) else text


def _undone_2(text: str) -> str:
    return (_ascii_2() if text.isascii() else _any_2())[1].sub(r"\1", text)


@lru_cache(maxsize=64)
def _attribute_2(value: str) -> str:
    """`value` between double quotes: one line, nothing invisible, no quotes or brackets, at most `SOURCE_CHARS`."""
    return _ATTRIBUTE_2.sub(_reference, _clipped(value))


V2: Final = Escaping(_text_2, _undone_2, _attribute_2)
"""Knows our tags also with invisible characters in them, in other widths, styles and scripts of the same shape."""
