"""Frames: what stands around a page's text in the prompt, and the escaping that keeps the text inside.

LAW-FRAME-1: a framed text starts with ``<``, ends with a newline, and has exactly one opening and one closing
tag of ours, its own. LAW-FRAME-2: `unescaped` undoes `escaped`, and text without our tags is left as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs

from clawvm_es.limits import SOURCE_CHARS
from clawvm_es.model.pages import Author, Fidelity, PageType

RENDERER: Final = "frames/1"
"""Name and version of this rendering; recorded with every rendered prompt."""


@attrs.frozen
class Frame:
    """What a frame states: the page's id and type, who wrote the text (its trust), and where it came from.

    `source` is one line: a tool and its arguments, or a path. It may hold anything; `framed` escapes it.
    """

    page_id: str
    page_type: PageType
    author: Author
    source: str = ""


_TAG = re.compile(r"<(?=\\*\s*(?:/\s*)?(?:page|directory))", re.IGNORECASE)
_TAG_ESCAPED = re.compile(r"<\\(?=\\*\s*(?:/\s*)?(?:page|directory))", re.IGNORECASE)


def escaped(text: str) -> str:
    r"""`text` with a backslash after each ``<`` that would open or close a frame: ``</page>`` → ``<\/page>``."""
    return _TAG.sub(r"<\\", text) if "<" in text else text


def unescaped(text: str) -> str:
    """The text that `escaped` was given."""
    return _TAG_ESCAPED.sub("<", text)


_ATTRIBUTE = re.compile(r'["<>\x00-\x1f\x7f-\x9f\u2028\u2029]|&(?=(?:quot|lt|gt|amp|#\d+);)')
_NAMED = {'"': "&quot;", "<": "&lt;", ">": "&gt;", "&": "&amp;"}


@lru_cache(maxsize=64)
def _attribute(value: str) -> str:
    """`value` for use between double quotes: one line, no quotes or angle brackets, clipped to `SOURCE_CHARS`."""
    if len(value) > SOURCE_CHARS:
        value = value[: SOURCE_CHARS - 1] + "…"
    return _ATTRIBUTE.sub(lambda m: _NAMED.get(m[0]) or f"&#{ord(m[0])};", value)


def framed(frame: Frame, level: Fidelity, text: str) -> str:
    """The page as it stands in the prompt: text of `level` inside a frame that states type, level, author, source.

    A pointer is a single line whose text already names the source.
    """
    head = f'<page id="{_attribute(frame.page_id)}" type="{frame.page_type}" level="{level}" author="{frame.author}"'
    if level is Fidelity.POINTER:
        return f"{head}>{escaped(text)}</page>\n"
    source = f' source="{_attribute(frame.source)}"' if frame.source else ""
    return f"{head}{source}>\n{escaped(text)}\n</page>\n"


def directory_line(pages: int) -> str:
    """The line that stands for the `pages` stored pages that are not in the prompt; empty when there are none.

    At most `limits.DIRECTORY_TOKENS` tokens under every counter, whatever the number.
    """
    if pages == 0:
        return ""
    told = "stored pages that are not shown; name a page id such as p12 to read one"
    return f'<directory pages="{pages}">{told}</directory>\n'
