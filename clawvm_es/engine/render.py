"""The prompt's bytes: framed pages in rendered order, and the one line that stands for all others.

Rendering is pure: the same state and bodies give the same bytes. Renderers are named and versioned; old ones
are kept, so that every recorded prompt can be rendered again and checked against its commitment.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from clawvm_es.core.evolve import DIRECTORY, rendered_order
from clawvm_es.core.state import Page, State
from clawvm_es.engine.edge import decode
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
    """Renders the prompts of one session; framed texts of resident pages are kept between turns."""

    name = RENDERER

    def __init__(self, open_body: Callable[[str], bytes | None]) -> None:
        self._open = open_body
        self._framed: dict[tuple[str, int, int], str] = {}

    def pieces(self, state: State) -> list[Piece]:
        """The pieces of the prompt that was assembled last, in rendered order."""
        levels = state.assembled
        kept: dict[tuple[str, int, int], str] = {}
        found: list[Piece] = []
        for page_id in rendered_order(state, levels, state.assembled_last, state.assembled_directory):
            if page_id == DIRECTORY:
                found.append(Piece(None, None, directory_line(state.assembled_directory)))
                continue
            page, rank = state.pages[page_id], levels[page_id]
            key = (page_id, page.content_version, rank)
            text = self._framed.get(key) or self._frame(page, rank)
            kept[key] = text
            found.append(Piece(page_id, LADDER[rank], text))
        self._framed = kept
        return found

    def render(self, state: State) -> str:
        """The bytes (as text) of the prompt that was assembled last, without the fixed region."""
        return "".join([piece.text for piece in self.pieces(state)])

    def _frame(self, page: Page, rank: int) -> str:
        source = self._text(page.source) if page.source else ""
        frame = Frame(page.page_id, page.page_type, page.author, source)
        commitment = page.bodies[rank]
        return framed(frame, LADDER[rank], self._text(commitment) if commitment else "")

    def _text(self, commitment: str) -> str:
        body = self._open(commitment)
        return REDACTED if body is None else decode(body)
