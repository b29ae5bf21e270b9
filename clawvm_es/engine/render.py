"""The prompt's bytes: framed pages in rendered order, and the one line that stands for all others.

Rendering is pure: the same state and bodies give the same bytes. Renderers are named and versioned; old ones
are kept, so that every recorded prompt can be rendered again and checked against its commitment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.errors import JournalTooNew
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import PromptRendered
from clawvm_es.model.pages import LADDER, Fidelity
from clawvm_es.observe.edge import decode, encode
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import ESCAPINGS, RENDERER, Frame, directory_line, framed, framed_otherwise

REDACTED = "[erased]"


@attrs.frozen
class Piece:
    """One span of a rendered prompt: a page at a level (None: the directory line) and its framed text."""

    page_id: str | None
    level: Fidelity | None
    text: str


@attrs.frozen
class _Framed:
    text: str
    body: bytes
    otherwise: bool  # in an older frame it is another text


class Renderer:
    """Renders the prompts of one session; framed texts are kept between turns.

    New prompts are rendered by the newest renderer, also in sessions that an older one began: a hole in a frame is
    closed for them too. A page of such a session may have been counted in its older frame; `surplus` counts it anew.
    """

    def __init__(
        self,
        open_body: Callable[[str], bytes | None],
        texts: Mapping[str, str] | None = None,
        name: str = RENDERER,
    ) -> None:
        """`texts` are those of some bodies, by commitment, that need not be opened. Raises `JournalTooNew`."""
        if name not in ESCAPINGS:
            raise JournalTooNew(
                f"a prompt was rendered by {name!r}, which this program does not have",
                hint="install the version of clawvm-es that wrote it",
            )
        self.name = name
        self._open = open_body
        self._texts: Mapping[str, str] = {} if texts is None else texts
        self._framed: dict[str, _Framed] = {}

    def render(self, state: State) -> tuple[str, bytes]:
        """The prompt that was assembled last, without the fixed region: as text, and its bytes."""
        pieces = [self._known(state, tag) for tag in state.assembled_tags]
        if len(self._framed) > 4 * len(pieces) + 64:
            self._framed = dict(zip(state.assembled_tags, pieces, strict=True))
        return "".join([piece.text for piece in pieces]), b"".join([piece.body for piece in pieces])

    def surplus(self, state: State, counter: TokenCounter) -> int:
        """Tokens that the prompt has beyond the counts of its pages: 0 but for pages counted in an older frame."""
        tokens = 0
        for tag in state.assembled_tags:
            if self._known(state, tag).otherwise:
                page, rank = _page_of(state, tag)
                assert page is not None
                tokens += counter.count(self._framed[tag].text) - page.tokens[rank]
        return tokens

    def pieces(self, state: State) -> list[Piece]:
        """The spans of the prompt that was assembled last, in rendered order."""
        return [self._piece(state, tag) for tag in state.assembled_tags]

    def _piece(self, state: State, tag: str) -> Piece:
        page, rank = _page_of(state, tag)
        text = self._known(state, tag).text
        return Piece(page.page_id, LADDER[rank], text) if page else Piece(None, None, text)

    def _known(self, state: State, tag: str) -> _Framed:
        if (known := self._framed.get(tag)) is None:
            known = self._framed[tag] = self._frame(state, tag)
        return known

    def _frame(self, state: State, tag: str) -> _Framed:
        page, rank = _page_of(state, tag)
        if page is None:
            line = directory_line(rank)
            return _Framed(line, encode(line), otherwise=False)
        frame = Frame(page.page_id, page.page_type, page.author, self._text(page.source) if page.source else "")
        commitment = page.bodies[rank]
        inside = self._text(commitment) if commitment else ""
        text = framed(frame, LADDER[rank], inside, self.name)
        return _Framed(text, encode(text), framed_otherwise(frame, inside))

    def _text(self, commitment: str) -> str:
        if (text := self._texts.get(commitment)) is not None:
            return text
        body = self._open(commitment)
        return REDACTED if body is None else decode(body)


def _page_of(state: State, tag: str) -> tuple[Page | None, int]:
    """The page and the rank that a tag stands for; of the directory line, None and how many pages it counts."""
    page_id, _, rest = tag.partition(".")
    return (state.pages[page_id], int(rest.partition(".")[2])) if rest else (None, int(page_id))


def renderer_of(log: EventLog, session_id: str, assembled_version: int) -> str:
    """The renderer that the prompt of a `prompt_assembled` was recorded under; the newest where none was recorded."""
    for row in read_session(log, session_id, assembled_version):
        if row.kind == "input":
            return row.data.renderer if isinstance(row.data, PromptRendered) else RENDERER
    return RENDERER
