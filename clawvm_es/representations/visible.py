r"""Make text safe to show: a reader sees every character, and no terminal, pager or browser obeys one.

LAW-SHOWN-1: no control character, bidirectional control, lone surrogate or invisible character from a journal or
recording reaches a reader unescaped. Each is shown by its number, as Python writes it: `\x1b`, `\u202e`.

    characters                                       | shown
    -------------------------------------------------+------------------------------------------------
    tab                                              | as it is
    controls, lone surrogates, line separators       | escaped
    bidirectional controls, zero-width, fillers,     | escaped
    noncharacters                                    |
    joiners between letters that join, or emoji      | as they are: Persian, Hindi and emoji need them
    a variation selector after what it may vary      | as it is
    any other joiner or variation selector           | escaped
    everything else                                  | as it is

Backslashes stay as they are: the escaped text is for reading, not for parsing. Escaping twice is escaping once.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_CONTROLS: Final = "\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u2028\\u2029"
_UNSEEN: Final = (
    "\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f"
    "\\u3164\\ufdd0-\\ufdef\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff\\U0001d173-\\U0001d17a\\U000e0000-\\U000e00ff\\U000e01f0-\\U000e0fff"
)
_JOINING: Final = "[\\u0600-\\u10ff\\u1200-\\u1cff\\u2190-\\u2bff\\ufe0f\\U0001f000-\\U0001faff]"
_VARIED: Final = "[0-9#*\\xa0-\\u2fff\\u3001-\\ufdff\\ufe10-\\U0003ffff]"
_NAMED: Final = {"\n": "\\n", "\r": "\\r"}


def visible(text: str) -> str:
    """A text on one line, with every character escaped that a reader would not see or a terminal would obey."""
    if text.isascii() and text.isprintable():  # nearly every line
        return text
    return _escaped().sub(_escape, text)


def visible_lines(text: str) -> list[str]:
    """The lines of a text, each made visible; only a line feed, after a carriage return or not, ends one."""
    return [visible(line) for line in text.replace("\r\n", "\n").split("\n")]


@cache
def _escaped() -> re.Pattern[str]:
    """Characters to escape; made when first needed, since that takes as long as many a verb."""
    return re.compile(
        f"[{_CONTROLS}{_UNSEEN}]"
        f"|(?<!{_JOINING})[\\u200c\\u200d]|[\\u200c\\u200d](?!{_JOINING})"
        f"|(?<!{_VARIED})[\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef]"
    )


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    point = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
