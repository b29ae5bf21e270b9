"""Token counts of a session's texts in its renderer's form: framed texts, or parts of messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from clawvm_es.core.groups import FRAME_TOKENS, is_plain
from clawvm_es.model.pages import Author, Fidelity, Origin
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import ESCAPINGS, RENDERER, Frame, framed
from clawvm_es.representations.messages import Shape
from clawvm_es.representations.messages.blocks import BLANK, RENDERERS, is_legal_id
from clawvm_es.representations.messages.framing import call_tokens, content_tokens, text_tokens
from clawvm_es.representations.messages.shapes import as_items, is_call

Size = Callable[[Fidelity, str], int]
"""Level and text of a page → its tokens."""
_CALL_ID: Final = "clawvm_1000"
"""An id like those that we give to calls without one."""
_SAID: Final = ("text", "message")
"""Types of items of an answer that its text page says."""


@attrs.frozen
class Sizes:
    """Token counts for a session's renderer; `shape` is that of its messages, None for frames."""

    counter: TokenCounter
    shape: Shape | None = None

    @classmethod
    def of(cls, counter: TokenCounter, renderer: str) -> Sizes:
        """The sizes under a renderer."""
        return cls(counter, RENDERERS.get(renderer))

    def page(self, frame: Frame, origin: Origin, group: int | None, native: str) -> Size | None:
        """The function that counts the levels of a page; None if each is counted in its frame."""
        if self.shape is None:
            return None
        plain = is_plain(frame.page_type, frame.author, group, origin.call)
        extra = self._native(native, frame.author) if native else 0

        def size(level: Fidelity, text: str) -> int:
            if not (plain and level is Fidelity.FULL):
                return text_tokens(framed(frame, level, text), self.counter)
            said = BLANK if frame.author is Author.USER and not text.strip() else text
            return max(text_tokens(said, self.counter), self._again(frame, text), extra)

        return size

    def _again(self, frame: Frame, text: str) -> int:
        """Tokens of a text shown again in a frame, beyond those of an ordinary one."""
        if ESCAPINGS[RENDERER].text(text) == text:
            return 0
        shown = framed(attrs.evolve(frame, source=""), Fidelity.FULL, text)
        return text_tokens(shown, self.counter) - FRAME_TOKENS

    def _native(self, native: str, author: Author) -> int:
        """Tokens of a native form: for an answer its texts, otherwise all of it."""
        items = as_items(native) or []
        if author is Author.MODEL:
            items = [item for item in items if item["type"] in _SAID]
        return content_tokens(items, self.counter)

    def call(self, call_id: str, name: str, arguments: str) -> int:
        """Tokens of the arguments of a call; in messages, of the whole call plus its id in the result."""
        if self.shape is None:
            return self.counter.count(arguments)
        return call_tokens(call_id if is_legal_id(call_id) else _CALL_ID, name, arguments, self.counter)

    def thoughts(self, native: str, calls: Mapping[str, int]) -> int | None:
        """Tokens of a native answer beyond its texts and calls; None if it is not sent back.

        `calls` gives the tokens of the recorded calls by id: the native form of a call may be larger.
        """
        if self.shape not in (Shape.ANTHROPIC, Shape.RESPONSES) or not native:
            return None
        tokens = 0
        for item in as_items(native) or []:
            if item["type"] in _SAID or (item["type"] == "tool_use" and not isinstance(item.get("input"), dict)):
                continue
            is_known = item["type"] == "tool_use" or is_call(item)
            known = calls.get(str(item.get("call_id") or item.get("id"))) if is_known else 0
            if known is not None:
                tokens += max(content_tokens([{"name": "", **item}], self.counter) - known, 0)
        return tokens
