"""Frames: the tags around a page's text in the prompt, and the escaping that keeps the text inside.

LAW-FRAME-1: a framed text starts with ``<``, ends with a newline, and has exactly one opening and one closing
tag of ours, its own. LAW-FRAME-2 and LAW-FRAME-3 are those of `escaping`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.representations.escaping import V1, V2, Escaping

RENDERER: Final = "frames/2"
"""Name and version of the rendering of new prompts; recorded with each of them."""


@attrs.frozen
class Frame:
    """Contents of a frame's tag: the page's id and type, the text's author (its trust), and its source.

    `source` is one line: a tool and its arguments, or a path. It may hold anything; `framed` escapes it.
    """

    page_id: str
    page_type: PageType
    author: Author
    source: str = ""


ESCAPINGS: Final[Mapping[str, Escaping]] = MappingProxyType({"frames/1": V1, RENDERER: V2})
"""Renderer → its escaping; those of stored prompts are kept, so that they can be rendered again."""


def framed(frame: Frame, level: Fidelity, text: str, renderer: str = RENDERER) -> str:
    """The page as it stands in the prompt: text of `level` inside a frame that states type, level, author, source.

    A pointer is a single line whose text already names the source.
    """
    escaping = ESCAPINGS[renderer]
    named = escaping.attribute(frame.page_id)
    head = f'<page id="{named}" type="{frame.page_type}" level="{level}" author="{frame.author}"'
    if level is Fidelity.POINTER:
        return f"{head}>{escaping.text(text)}</page>\n"
    source = f' source="{escaping.attribute(frame.source)}"' if frame.source else ""
    return f"{head}{source}>\n{escaping.text(text)}\n</page>\n"


def framed_otherwise(frame: Frame, text: str) -> bool:
    """Tell whether an older renderer frames this text differently, so that its recorded count may differ."""
    now = ESCAPINGS[RENDERER]
    source, inside = now.attribute(frame.source), now.text(text)
    return any(old.attribute(frame.source) != source or old.text(text) != inside for old in ESCAPINGS.values())


def directory_line(pages: int) -> str:
    """The line about the `pages` stored pages that are not in the prompt; empty if there are none.

    It has at most `limits.DIRECTORY_TOKENS` tokens under every counter, for any number of pages.
    """
    if pages == 0:
        return ""
    told = "stored pages that are not shown; name a page id such as p12 to read one"
    return f'<directory pages="{pages}">{told}</directory>\n'
