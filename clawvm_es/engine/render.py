"""The prompt's bytes: framed pages in rendered order, and the one line that stands for all others.

Rendering is pure: the same state and bodies give the same bytes. Renderers are named and versioned; old ones
are kept, so that every recorded prompt can be rendered again and checked against its commitment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import attrs

from clawvm_es.core.evolve import tags_of_prompt
from clawvm_es.core.state import Page, State
from clawvm_es.errors import JournalTooNew
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.journal.snapshots import load
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
        open_all: Callable[[Collection[str]], Mapping[str, bytes]],
        texts: Mapping[str, str] | None = None,
        name: str = RENDERER,
    ) -> None:
        """`open_all` gives the bodies behind commitments; `texts` are some that need not be opened.

        Raises `JournalTooNew`.
        """
        if name not in ESCAPINGS:
            raise JournalTooNew(
                f"a prompt was rendered by {name!r}, which this program does not have",
                hint="install the version of clawvm-es that wrote it",
            )
        self.name = name
        self._open_all = open_all
        self._texts: Mapping[str, str] = {} if texts is None else texts
        self._framed: dict[str, _Framed] = {}

    def render(self, state: State) -> tuple[str, bytes]:
        """The prompt that was assembled last, without the fixed region: as text, and its bytes."""
        pieces = self._frames(state)
        if len(self._framed) > 4 * len(pieces) + 64:
            self._framed = dict(zip(tags_of_prompt(state), pieces, strict=True))
        return "".join([piece.text for piece in pieces]), b"".join([piece.body for piece in pieces])

    def surplus(self, state: State, counter: TokenCounter) -> int:
        """Tokens that the prompt has beyond the counts of its pages: 0 but for pages counted in an older frame."""
        tokens = 0
        for tag, framed_ in zip(tags_of_prompt(state), self._frames(state), strict=True):
            if framed_.otherwise:
                page, rank = _page_of(state, tag)
                assert page is not None
                tokens += counter.count(framed_.text) - page.tokens[rank]
        return tokens

    def pieces(self, state: State) -> list[Piece]:
        """The spans of the prompt that was assembled last, in rendered order."""
        found = []
        for tag, framed_ in zip(tags_of_prompt(state), self._frames(state), strict=True):
            page, rank = _page_of(state, tag)
            found.append(Piece(page.page_id if page else None, LADDER[rank] if page else None, framed_.text))
        return found

    def _frames(self, state: State) -> list[_Framed]:
        """The framed pages of the prompt; texts that are not at hand are read in one go."""
        known = self._framed
        for mapping in (state.pages, state.places):
            load(mapping, state.assembled)
        new = {tag: _page_of(state, tag) for tag in tags_of_prompt(state) if tag not in known}
        names = [name for page, rank in new.values() if page for name in (page.source, page.bodies[rank]) if name]
        bodies = self._open_all([name for name in names if name not in self._texts])
        for tag, (page, rank) in new.items():
            known[tag] = self._frame(page, rank, bodies)
        return [known[tag] for tag in tags_of_prompt(state)]

    def _frame(self, page: Page | None, rank: int, bodies: Mapping[str, bytes]) -> _Framed:
        if page is None:
            line = directory_line(rank)
            return _Framed(line, encode(line), otherwise=False)
        frame = Frame(page.page_id, page.page_type, page.author, self._text(page.source, bodies))
        inside = self._text(page.bodies[rank], bodies)
        text = framed(frame, LADDER[rank], inside, self.name)
        return _Framed(text, encode(text), framed_otherwise(frame, inside))

    def _text(self, commitment: str | None, bodies: Mapping[str, bytes]) -> str:
        if not commitment:
            return ""
        if (text := self._texts.get(commitment)) is not None:
            return text
        body = bodies.get(commitment)
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
