"""Marks around text that we put into a harness's own context, so that it is recognised when the harness shows it
again.

A marked text is recorded as a rendering of its page: not as a new page, and not as a need.

LAW-MARK-1: a mark hides nothing. It counts only if its text occurs in the page that it names; otherwise it is
ordinary text. The directory line counts only in its exact form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import attrs

_OPENING: Final = "<clawvm "
_MARK = re.compile(
    r'<clawvm page="(?P<page>p[1-9]\d{0,9})" lines="(?P<lines>\d{1,9}-\d{1,9})" mark="(?P<mark>[0-9a-f]{16})">\n'
    r'(?P<text>.*?)\n</clawvm mark="(?P=mark)">\n?',
    re.DOTALL,
)
_DIRECTORY = re.compile(r'<clawvm pages="(?P<pages>[1-9]\d{0,9})">.*?</clawvm>\n?')


@attrs.frozen
class Mark:
    """A marked text, which claims to be lines `lines` (first-last) of a page."""

    page_id: str
    lines: str
    text: str


def marked(page_id: str, first: int, last: int, text: str) -> str:
    """The text of lines `first` to `last` of a page inside its mark."""
    digest = _digest(page_id, text)
    return f'<clawvm page="{page_id}" lines="{first}-{last}" mark="{digest}">\n{text}\n</clawvm mark="{digest}">\n'


def directory(pages: int) -> str:
    """The line about the `pages` stored pages of a session; empty if there are none."""
    if pages == 0:
        return ""
    told = (
        f"p1 to p{pages} are stored: page_in(page, lines) of the MCP server clawvm reads one, or clawvm show p{pages}"
    )
    return f'<clawvm pages="{pages}">{told}</clawvm>\n'


def parted(text: str, renders: Callable[[Mark], bool]) -> tuple[str, tuple[Mark, ...]]:
    """A text without the marked parts that `renders` confirms; and the marks of those parts, in order."""
    if _OPENING not in text:
        return text, ()
    found: list[Mark] = []

    def cut(match: re.Match[str]) -> str:
        mark = Mark(match["page"], match["lines"], match["text"])
        if match["mark"] != _digest(mark.page_id, mark.text) or not renders(mark):
            return match[0]
        found.append(mark)
        return ""

    rest = _MARK.sub(cut, text)
    return _DIRECTORY.sub(_without_directory, rest), tuple(found)


def _without_directory(match: re.Match[str]) -> str:
    return "" if match[0].rstrip("\n") == directory(int(match["pages"])).rstrip("\n") else match[0]


def _digest(page_id: str, text: str) -> str:
    return sha256(f"{page_id}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
