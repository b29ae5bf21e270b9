"""The prompt's bytes: framed pages in rendered order, and the one line that stands for all others.

Rendering is pure: the same state and bodies give the same bytes. Renderers are named and versioned; old ones
are kept, so that every recorded prompt can be rendered again and checked against its commitment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.engine.edge import decode, encode
from clawvm_es.model.pages import LADDER, Fidelity
from clawvm_es.representations.frame import RENDERER, Frame, directory_line, framed

REDACTED = "[erased]"


@attrs.frozen
class Piece:
    """One span of a rendered prompt: a page at a level (None: the directory line) and its framed text."""

    page_id: str | None
    level: Fidelity | None
    text: str


class Renderer:
    """Renders the prompts of one session; framed texts are kept between turns."""

    name = RENDERER

    def __init__(self, open_body: Callable[[str], bytes | None], texts: Mapping[str, str] | None = None) -> None:
        """`texts` are those of some bodies, by commitment, that need not be opened."""
        self._open = open_body
        self._texts: Mapping[str, str] = {} if texts is None else texts
        self._framed: dict[str, tuple[str, bytes]] = {}

    def render(self, state: State) -> tuple[str, bytes]:
        """The prompt that was assembled last, without the fixed region: as text, and its bytes."""
        tags, known = state.assembled_tags, self._framed
        for tag in tags:
            if tag not in known:
                framed = self._frame(state, tag)
                known[tag] = framed, encode(framed)
        pieces = [known[tag] for tag in tags]
        if len(known) > 4 * len(tags) + 64:
            self._framed = dict(zip(tags, pieces, strict=True))
        return "".join([text for text, _ in pieces]), b"".join([body for _, body in pieces])

    def pieces(self, state: State) -> list[Piece]:
        """The spans of the prompt that was assembled last, in rendered order."""
        return [self._piece(state, tag) for tag in state.assembled_tags]

    def _piece(self, state: State, tag: str) -> Piece:
        known = self._framed.get(tag)
        text = known[0] if known else self._frame(state, tag)
        page, rank = _page_of(state, tag)
        return Piece(page.page_id, LADDER[rank], text) if page else Piece(None, None, text)

    def _frame(self, state: State, tag: str) -> str:
        page, rank = _page_of(state, tag)
        if page is None:
            return directory_line(rank)
        source = self._text(page.source) if page.source else ""
        frame = Frame(page.page_id, page.page_type, page.author, source)
        commitment = page.bodies[rank]
        return framed(frame, LADDER[rank], self._text(commitment) if commitment else "")

    def _text(self, commitment: str) -> str:
        if (text := self._texts.get(commitment)) is not None:
            return text
        body = self._open(commitment)
        return REDACTED if body is None else decode(body)


def _page_of(state: State, tag: str) -> tuple[Page | None, int]:
    """The page and the rank that a tag stands for; of the directory line, None and how many pages it counts."""
    page_id, _, rest = tag.partition(".")
    return (state.pages[page_id], int(rest.partition(".")[2])) if rest else (None, int(page_id))
