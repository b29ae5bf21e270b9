"""The prompt's bytes: framed pages in rendered order, and the directory line, which stands for all other pages.

Rendering is pure: the same state and bodies give the same bytes. Renderers are named and versioned; old ones are
kept, so that every recorded prompt can be rendered again and checked against its commitment.

LAW-EPOCH-1 in bytes: within an epoch, the text of each layout is a prefix of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from clawvm_es.core.layout import Shown, levels_of_prompt, shown, shown_after, tail
from clawvm_es.core.state import Content, State
from clawvm_es.errors import JournalTooNew
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.journal.snapshots import load
from clawvm_es.model.events import PromptAssembled, PromptRendered
from clawvm_es.model.pages import LADDER, Fidelity
from clawvm_es.observe.edge import decode, encode
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import ESCAPINGS, RENDERER, Frame, directory_line, framed, framed_otherwise
from clawvm_es.representations.messages import Block

REDACTED = "[erased]"


@attrs.frozen
class Piece:
    """One span of a rendered prompt: a page at a level (None: the directory line), its framed text and its tokens.

    `content` is the page's content when it was sent, which may be an older copy.
    """

    page_id: str | None
    level: Fidelity | None
    text: str
    tokens: int = 0
    content: Content | None = None
    names: tuple[str, ...] = ()  # commitments to what it shows
    is_tail: bool = False
    block: Block | None = None  # where the prompt is messages: the first that it shows


@attrs.frozen
class _Framed:
    text: str
    otherwise: bool  # in an older frame it is another text


@attrs.frozen
class Rendered:
    """A prompt without the fixed region: its text, the bytes committed to, and its blocks.

    The first `layout` blocks stand before the tail. A prompt that is one text has no blocks.
    """

    text: str
    sealed: bytes
    blocks: tuple[Block, ...] = ()
    layout: int = 0


class Rendering(Protocol):
    """Renders the prompts of one session."""

    name: str

    def render(self, state: State) -> Rendered:
        """The last assembled prompt."""

    def tokens(self, state: State, assembled: PromptAssembled, counter: TokenCounter) -> int:
        """Tokens of that prompt, without the fixed region."""

    def pieces(self, state: State) -> list[Piece]:
        """The spans of that prompt, in the order in which they are sent."""


class Renderer:
    """Renders the prompts of one session; framed texts are kept between turns.

    New prompts use the newest renderer, even in sessions that began with an older one, so that fixes of the frame
    reach them too. A page of such a session may have been counted in its older frame; `surplus` corrects the
    count.
    """

    def __init__(
        self,
        open_all: Callable[[Collection[str]], Mapping[str, bytes]],
        texts: Mapping[str, str] | None = None,
        name: str = RENDERER,
    ) -> None:
        """Take the means to read: `open_all` gives bodies; `texts` are bodies at hand.

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
        self._laid = (0, "")  # last place and text of a layout, whose places no later one has

    def render(self, state: State) -> Rendered:
        """The last assembled prompt without the fixed region: its text, and the bytes committed to.

        The commitment is made to the text. If the policy pages in epochs, it is made to the digest of the layout and
        the tail, so that the cost of a turn depends only on what was appended.
        """
        if state.in_epochs:
            line = self._text_of(state, tail(state))
            return Rendered(self._laid_out(state) + line, sealed(self.name, state.chain, line))
        pieces = _all(state)
        frames = self._frames(state, pieces)
        self._forget(pieces)
        text = "".join([frame.text for frame in frames])
        return Rendered(text, encode(text))

    def tokens(self, state: State, assembled: PromptAssembled, counter: TokenCounter) -> int:
        """Tokens of the prompt without the fixed region; the directory line counts as it is, not its reserve."""
        tokens = assembled.tokens - assembled.directory_tokens - max(state.assembled_fixed, 0)
        if state.assembled_directory:
            tokens += counter.count(directory_line(state.assembled_directory))
        return tokens + self.surplus(state, counter)

    def _laid_out(self, state: State) -> str:
        """The text of the layout; entries of the last prompt keep the text they were rendered with."""
        last, text = self._laid
        if last not in state.entries:
            last, text = 0, ""
        new = _all(state) if not last else list(shown_after(state, last))
        text += self._text_of(state, (piece for piece in new if piece.content is not None))
        self._laid = (state.appended, text)
        if not last:
            self._forget(new)
        return text

    def _text_of(self, state: State, pieces: Iterable[Shown]) -> str:
        return "".join([frame.text for frame in self._frames(state, list(pieces))])

    def _forget(self, pieces: Sequence[Shown]) -> None:
        """Drop frames outside a prompt, once there are many."""
        if len(self._framed) > 4 * len(pieces) + 64:
            self._framed = {piece.tag: self._framed[piece.tag] for piece in pieces if piece.tag in self._framed}

    def surplus(self, state: State, counter: TokenCounter) -> int:
        """Tokens of the prompt beyond the counts of its pages: 0 unless pages were counted in an older frame."""
        if not any(frame.otherwise for frame in self._framed.values()):
            return 0
        pieces = _all(state)
        framed_ = zip(pieces, self._frames(state, pieces), strict=True)
        return sum(counter.count(frame.text) - piece.tokens for piece, frame in framed_ if frame.otherwise)

    def pieces(self, state: State) -> list[Piece]:
        """The spans of the last assembled prompt, in sending order."""
        pieces = _all(state)
        return [
            Piece(piece.page_id, LADDER[piece.rank], frame.text, piece.tokens, piece.content, tuple(_names(piece)))
            if piece.content is not None
            else Piece(None, None, frame.text, piece.tokens, is_tail=True)
            for piece, frame in zip(pieces, self._frames(state, pieces), strict=True)
        ]

    def _frames(self, state: State, pieces: Sequence[Shown]) -> list[_Framed]:
        """The framed pieces; texts that are not at hand are read in one query."""
        known = self._framed
        new = {piece.tag: piece for piece in pieces if piece.tag not in known}
        bodies = self._open_all([name for piece in new.values() for name in _names(piece) if name not in self._texts])
        for tag, piece in new.items():
            known[tag] = self._frame(piece, bodies)
        return [known[piece.tag] for piece in pieces]

    def _frame(self, piece: Shown, bodies: Mapping[str, bytes]) -> _Framed:
        content = piece.content
        if content is None:
            return _Framed(directory_line(int(piece.tag)), otherwise=False)
        frame = Frame(piece.page_id, content.page_type, content.author, self._text(content.source, bodies))
        inside = self._text(content.bodies[piece.rank], bodies)
        return _Framed(framed(frame, LADDER[piece.rank], inside, self.name), framed_otherwise(frame, inside))

    def _text(self, commitment: str | None, bodies: Mapping[str, bytes]) -> str:
        if not commitment:
            return ""
        if (text := self._texts.get(commitment)) is not None:
            return text
        body = bodies.get(commitment)
        return REDACTED if body is None else decode(body)


def _all(state: State) -> list[Shown]:
    """The pieces of the last assembled prompt; the pages that they show are read in one query."""
    entries = [entry.page_id for entry in state.entries.values()]
    load(state.pages, entries if state.in_epochs else levels_of_prompt(state))
    return list(shown(state))


def _names(piece: Shown) -> list[str]:
    """The commitments whose texts a piece shows."""
    if piece.content is None:
        return []
    return [name for name in (piece.content.source, piece.content.bodies[piece.rank]) if name]


def sealed(renderer: str, layout: str, line: str) -> bytes:
    """Bytes committed to for a prompt in epochs: the digest of its layout, and its tail."""
    return encode("\n".join((renderer, layout, line)))


def renderer_of(log: EventLog, session_id: str, assembled_version: int) -> str:
    """The renderer recorded for a `prompt_assembled`; the newest if none was recorded."""
    for row in read_session(log, session_id, assembled_version):
        if row.kind == "input":
            return row.data.renderer if isinstance(row.data, PromptRendered) else RENDERER
    return RENDERER
