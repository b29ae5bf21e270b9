"""Prompts as messages: turn a session's layout into blocks, from its bodies and the events of its calls.

Rendering is pure: the same state, events and bodies give the same blocks. The blocks of an entry depend only on the
entries of its run, so that appending never changes earlier blocks.

| entry | block |
|---|---|
| a page of a run | text of the answer, or the result of its call |
| a text of the user or the model, in full | a text of theirs |
| any other page, a lower level, a page that is shown again | a framed text, in the role of its author |

An answer whose entry is in full is sent as its provider wrote it, provided that this form makes the calls of the
run. Blank texts of the model are left out, since providers refuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from clawvm_es.core.groups import Stand, is_plain, number_of
from clawvm_es.core.layout import Shown, digest_of, shown, shown_after, tail
from clawvm_es.core.state import Asked, Content, State
from clawvm_es.engine.render import Piece, Rendered, sealed
from clawvm_es.journal.snapshots import load
from clawvm_es.model.events import Event, ModelResponded, PromptAssembled, ToolCalled, ToolReturned
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import ABSENT, FULL, LADDER, RANK, Author, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import Frame, directory_line, framed
from clawvm_es.representations.messages import Block, Kind, Role, Shape
from clawvm_es.representations.messages.blocks import BLANK, RENDERERS, is_legal_id, legal_name
from clawvm_es.representations.messages.framing import TEXTS, call_tokens, content_tokens, text_tokens
from clawvm_es.representations.messages.shapes import as_items, as_message, calls_in

ERASED: Final = "[erased]"
OPENER: Final = "[Earlier messages are not shown.]"
"""Text of the user's that stands before an answer that would come first."""
STANDS: Final = {Stand.WAITING: "[no result]", Stand.BLANK: "", Stand.GONE: "[not kept]"}
EventAt = Callable[[int], Event]
"""Version of the session → its event."""


@attrs.define
class Made:
    """Blocks of one entry, the commitments whose texts they show, and their tokens once counted."""

    shown: Shown
    blocks: tuple[Block, ...]
    names: tuple[str, ...]
    tokens: int = -1


@attrs.frozen
class _Run:
    """The entries of a group that were laid out together, or a single entry outside any group."""

    number: int
    begins: Shown | None
    shown: tuple[Shown, ...]
    again: bool = False


class Messages:
    """Renders the prompts of one session as blocks, and keeps the blocks of its layout between turns."""

    def __init__(
        self,
        open_all: Callable[[Collection[str]], Mapping[str, bytes]],
        event_at: EventAt,
        name: str,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """Take the means to read: `open_all` gives bodies, `event_at` events; `texts` are bodies at hand."""
        self.name = name
        self.shape: Shape = RENDERERS[name]
        self._open_all = open_all
        self._event_at = event_at
        self._texts: Mapping[str, str] = {} if texts is None else texts
        self._calls: dict[int, _Call] = {}
        self._kept: tuple[int, list[Made], int] = (0, [], 0)  # last place of a layout, what it gave, next run

    def made(self, state: State) -> list[Made]:
        """The entries of the last assembled prompt with their blocks, in sending order."""
        if not state.in_epochs:
            return self._made(state, list(shown(state)), 0)[0]
        last, found, number = self._kept
        if last not in state.entries:  # a later layout has none of its places
            last, found, number = 0, [], 0
        new, number = self._made(state, list(shown_after(state, last)), number)
        found = [*found, *new]
        self._kept = (state.appended, found, number)
        return found + self._made(state, list(tail(state)), 0)[0]

    def render(self, state: State) -> Rendered:
        """The last assembled prompt, without the fixed region; its commitment is made to a digest of it."""
        made = self.made(state)
        blocks = tuple([block for each in made for block in each.blocks])
        line = "".join([transcript(each.blocks) for each in made if not each.shown.page_id])
        behind = sum([len(each.blocks) for each in made if not each.shown.page_id])
        return Rendered(transcript(blocks), sealed(self.name, digest_of(state), line), blocks, len(blocks) - behind)

    def tokens(self, state: State, assembled: PromptAssembled, counter: TokenCounter) -> int:
        """Tokens of the prompt without the fixed region, counted for the session's own shape."""
        made = self.made(state)
        for each in made:
            if each.tokens < 0:
                each.tokens = sum([tokens_of(block, self.shape, counter) for block in each.blocks])
        return sum([each.tokens for each in made])

    def pieces(self, state: State) -> list[Piece]:
        """The entries of the prompt as spans of its transcript; an empty one is counted with the next."""
        found: list[Piece] = []
        tokens, names = 0, tuple[str, ...]()
        for each in self.made(state):
            tokens, names = tokens + each.shown.tokens, (*names, *each.names)
            if each.blocks:
                (first,), text, is_tail = each.blocks, transcript(each.blocks), not each.shown.page_id
                content = each.shown.content
                found.append(Piece(first.page_id, first.level, text, tokens, content, names, is_tail, first))
                tokens, names = 0, ()
        return found

    def _made(self, state: State, pieces: Sequence[Shown], number: int) -> tuple[list[Made], int]:
        load(state.pages, [f"p{piece.page_id[1:]}" for piece in pieces if piece.page_id[:1] in ("p", "i")])
        names = [name for piece in pieces for name in _names(piece) if name not in self._texts]
        self._bodies: Mapping[str, bytes] = self._open_all(list(dict.fromkeys(names)))
        found: list[Made] = []
        for run in _runs(state, pieces, number):
            number = run.number + 1
            found += self._of_run(state, run)
        self._bodies = {}
        return found, number

    # --------------------------------------------------------------------------------------- one run

    def _of_run(self, state: State, run: _Run) -> Iterator[Made]:
        if run.begins is None:
            (piece,) = run.shown
            yield self._alone(piece, run)
            return
        group = state.groups[int(run.begins.page_id[1:])]
        asked = {each.call: each for each in group.calls}
        made_in = [number for piece in run.shown if (number := number_of(piece.page_id, "c")) is not None]
        calls = {number: self._call(state, asked[number]) for number in made_in}
        native, names = self._answer(run, [call.call_id for call in calls.values()])
        covered = None if native is None else ""
        answer = Block(None, Role.ASSISTANT, LADDER[FULL], "", group.number, kind=Kind.THINKING, run=run.number)
        yield Made(run.begins, () if native is None else (attrs.evolve(answer, native=native),), names)
        parts: dict[int, list[Made]] = {}
        for piece in run.shown:
            call = number_of(piece.page_id, "c")
            if call is not None:
                yield self._asked(piece, calls[call], group.number, run.number, covered)
                continue
            call, content = number_of(piece.page_id, "r"), piece.content
            if call is None:
                assert content is not None, "a page has content"
                call = content.call
                if call is None:
                    yield self._said(piece, content, run, group.number, covered)
                    continue
            before = parts.setdefault(call, [])
            first = state.calls[call].page_id == piece.page_id
            part = self._result(piece, asked[call], calls[call].call_id, group.number, run.number, first)
            said = [block for made in before for block in made.blocks]
            if said and (any(block.native for block in said) or not any(block.text for block in part.blocks)):
                part = attrs.evolve(part, blocks=())  # the part before says it, or there is nothing to say
            elif said and not said[0].text:  # a blank one stands only while nothing else does
                for made in before:
                    made.blocks = ()
            before.append(part)
            yield part

    def _answer(self, run: _Run, call_ids: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
        """The answer as its provider wrote it, if the run stands for it; and the commitment to it."""
        assert run.begins is not None
        version = int(run.begins.tag.split(".")[1])
        event = self._event_at(version) if version and run.begins.rank == FULL else None
        if not isinstance(event, ModelResponded) or event.native is None:
            return None, ()
        native = self._open(event.native)
        erased = any(self._open(name) is None for piece in run.shown for name in _names(piece))
        made = native is not None and calls_in(native, self.shape) == tuple(call_ids)
        return (native if made and not erased and _sayable(native, self.shape) else None), (event.native,)

    def _call(self, state: State, asked: Asked) -> _Call:
        if asked.call not in self._calls:
            self._calls[asked.call] = self._read_call(state, asked)
        return self._calls[asked.call]

    def _read_call(self, state: State, asked: Asked) -> _Call:
        event = self._event_at(state.calls[asked.call].version)
        assert isinstance(event, ToolCalled)
        known = self._open(event.call_id) if asked.own_id else None
        call_id = known if known is not None and is_legal_id(known) else f"clawvm_{asked.call}"
        name = event.tool if event.name is None else self._open(event.name) or event.tool
        return _Call(event, call_id, name)

    def _asked(self, piece: Shown, call: _Call, group: int, run: int, native: str | None) -> Made:
        levels = {RANK[level.level]: level.body for level in call.event.levels}
        body = levels.get(piece.rank, call.event.arguments)
        level, text = LADDER[piece.rank], self._text(body)
        block = Block(
            None, Role.ASSISTANT, level, text, group, call.call_id, False, Kind.CALL, call.name, run, native
        )
        return Made(piece, (block,), (body,))

    def _said(self, piece: Shown, content: Content, run: _Run, group: int, native: str | None) -> Made:
        text, names = self._shown(piece, content, plain=True)
        block = Block(piece.page_id, Role.ASSISTANT, LADDER[piece.rank], text, group, run=run.number, native=native)
        return Made(piece, (block,) if text.strip() else (), names)

    def _result(self, piece: Shown, asked: Asked, call_id: str, group: int, run: int, first: bool) -> Made:
        """A part of the result of a call; the page written `first` for it may be sent in native form."""
        content = piece.content
        if content is None:
            stand = _result_block(None, piece, _stands(piece), group, call_id, False, run, None)
            return Made(piece, (stand,), ())
        event = self._event_at(asked.ended) if asked.ended else None
        ended = event if isinstance(event, ToolReturned) else None
        failed = ended is not None and ended.status is not ReturnStatus.OK
        text, names = self._shown(piece, content, plain=True)
        native = None
        if first and ended is not None and ended.native is not None and piece.rank == FULL:
            native, names = self._open(ended.native), (*names, ended.native)
            native = native if as_items(native) is not None and text != ERASED else None
        return Made(piece, (_result_block(piece.page_id, piece, text, group, call_id, failed, run, native),), names)

    # ------------------------------------------------------------------------------------ what stands alone

    def _alone(self, piece: Shown, run: _Run) -> Made:
        content = piece.content
        if content is None:
            text = directory_line(int(piece.tag)) if not piece.page_id else OPENER
            return Made(piece, (Block(None, Role.USER, None, text, run=run.number),), ())
        if piece.rank == ABSENT:  # what says that a page is shown again, and the page says it itself
            return Made(piece, (), ())
        plain = not run.again and is_plain(content.page_type, content.author, content.group, content.call)
        text, names = self._shown(piece, content, plain=plain)
        native = self._open(content.native) if plain and piece.rank == FULL and text != ERASED else None
        native = native if as_items(native) is not None and _sayable(native, self.shape) else None
        names = (*names, content.native) if native is not None and content.native else names
        by_model = not run.again and content.author is Author.MODEL and content.page_type is PageType.CONVERSATION
        role = Role.ASSISTANT if by_model else Role.USER
        text = BLANK if plain and role is Role.USER and not text.strip() else text
        block = Block(f"p{piece.page_id[1:]}", role, LADDER[piece.rank], text, run=run.number, native=native)
        return Made(piece, (block,) if text.strip() or native else (), names)

    def _shown(self, piece: Shown, content: Content, *, plain: bool) -> tuple[str, tuple[str, ...]]:
        """The text of a page as it is sent, and the commitments to the texts in it."""
        names = _names(piece)
        body = content.bodies[piece.rank]
        text = self._text(body)
        if plain and piece.rank == FULL:
            return text, (body,) if body else ()
        frame = Frame(f"p{piece.page_id[1:]}", content.page_type, content.author, self._text(content.source))
        said = is_plain(content.page_type, content.author, content.group, content.call)
        if said and piece.rank == FULL:
            frame = attrs.evolve(frame, source="")  # the line before names it
            names = (body,) if body else ()
        return framed(frame, LADDER[piece.rank], text), names

    # ---------------------------------------------------------------------------------------- bodies

    def _text(self, name: str | None) -> str:
        found = self._open(name)
        return "" if not name else ERASED if found is None else found

    def _open(self, name: str | None) -> str | None:
        if not name:
            return None
        if (text := self._texts.get(name)) is not None:
            return text
        body = self._bodies.get(name) or self._open_all([name]).get(name)
        return None if body is None else decode(body)


@attrs.frozen
class _Call:
    event: ToolCalled
    call_id: str
    name: str


def _result_block(
    page_id: str | None, piece: Shown, text: str, group: int, call_id: str, failed: bool, run: int, native: str | None
) -> Block:
    text = text if text.strip() else ""
    return Block(
        page_id, Role.TOOL, LADDER[piece.rank], text, group, call_id, failed, Kind.RESULT, run=run, native=native
    )


def _runs(state: State, pieces: Iterable[Shown], number: int) -> Iterator[_Run]:
    """Entries grouped by the runs in which they were laid out; runs are numbered from `number`."""
    begins: Shown | None = None
    inside: list[Shown] = []
    calls: set[int] = set()
    again = ""
    for piece in pieces:
        if begins is not None and _continues(piece, begins, calls):
            inside.append(piece)
            if (call := number_of(piece.page_id, "c")) is not None:
                calls.add(call)
            continue
        if begins is not None:
            yield _Run(number, begins, tuple(inside))
            number, begins, inside, calls = number + 1, None, [], set()
        if piece.page_id[:1] == "g":
            begins = piece
            continue
        yield _Run(number, None, (piece,), again=piece.page_id[:1] == "i" or piece.page_id == again)
        again = f"p{piece.page_id[1:]}" if piece.page_id[:1] == "i" else ""
        number += 1
    if begins is not None:
        yield _Run(number, begins, tuple(inside))


def _continues(piece: Shown, begins: Shown, calls: Collection[int]) -> bool:
    kind, content = piece.page_id[:1], piece.content
    if kind in ("c", "r"):
        return True
    if content is None or kind != "p" or f"{content.group}" != begins.page_id[1:]:
        return False
    return content.call in calls if content.call is not None else not calls


def _names(piece: Shown) -> tuple[str, ...]:
    """The commitments whose texts a page shows."""
    if piece.content is None:
        return ()
    return tuple([name for name in (piece.content.source, piece.content.bodies[piece.rank]) if name])


def _stands(piece: Shown) -> str:
    why = int(piece.tag.split(".")[1])
    return f"[see page p{why}]" if why > 0 else STANDS[Stand(why)]


def _sayable(native: str | None, shape: Shape) -> bool:
    """Tell whether a provider accepts its own form back: it is not empty, and no text in it is blank."""
    if shape is Shape.OPENAI and (message := as_message(native)) is not None:
        return bool(message.get("tool_calls") or str(message.get("content") or "").strip())
    items = as_items(native)
    assert items is not None, "what has none is not asked about"
    if shape is Shape.RESPONSES and items[-1]["type"] == "reasoning":
        return False
    return all(_is_taken(item) for item in items)


def _is_taken(item: Mapping[str, Any]) -> bool:
    if item["type"] in TEXTS:
        return bool(str(item.get("text", "")).strip())
    if item["type"] == "message":
        content = item.get("content")
        return bool(content) and (not isinstance(content, list) or all(map(_is_taken, content)))
    if item["type"] == "function_call":
        name = str(item.get("name", ""))
        return isinstance(item.get("arguments"), str) and legal_name(name) == name
    if item["type"] == "tool_use":
        name = str(item.get("name", ""))
        return isinstance(item.get("input"), dict) and legal_name(name) == name
    return True


def tokens_of(block: Block, shape: Shape, counter: TokenCounter) -> int:
    """Tokens of a block by the framing."""
    if block.native == "":  # the native form of the answer says it
        return 0
    if block.native is not None:
        whole = as_message(block.native) if shape is Shape.OPENAI else None
        return content_tokens(whole or as_items(block.native) or (), counter)
    if block.kind is Kind.CALL:
        return call_tokens(block.call_id or "", block.name, block.text, counter)
    return text_tokens(block.text, counter)


def transcript(blocks: Iterable[Block]) -> str:
    """Blocks as a readable text: each speaker and what it said, in order."""
    return "".join([_line(block) for block in blocks])


def _line(block: Block) -> str:
    if block.kind is Kind.CALL:
        return f"[assistant calls {block.name}, {block.call_id}] {block.text}\n"
    if block.kind is Kind.RESULT:
        return f"[{'error' if block.is_error else 'result'} of {block.call_id}] {block.text}\n"
    if block.kind is Kind.THINKING:
        return "[assistant, as its provider wrote it]\n"
    return f"[{block.role}] {block.text}{'' if block.text.endswith(chr(10)) else chr(10)}"
