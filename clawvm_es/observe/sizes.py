"""Sizes of a session's texts as its renderer counts them: framed texts, or parts of messages."""

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
    """Sizes in a session of a renderer; `shape` is that of its messages, None where it sends frames."""

    counter: TokenCounter
    shape: Shape | None = None

    @classmethod
    def of(cls, counter: TokenCounter, renderer: str) -> Sizes:
        """The sizes under a renderer."""
        return cls(counter, RENDERERS.get(renderer))

    def page(self, frame: Frame, origin: Origin, group: int | None, native: str) -> Size | None:
        """The counting of the levels of a page; None where each is counted in its frame."""
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
        """Tokens of a text that is shown again in a frame, beside those of an ordinary one."""
        if ESCAPINGS[RENDERER].text(text) == text:
            return 0
        shown = framed(attrs.evolve(frame, source=""), Fidelity.FULL, text)
        return text_tokens(shown, self.counter) - FRAME_TOKENS

    def _native(self, native: str, author: Author) -> int:
        """Tokens of a native form: of an answer its texts, of anything else all of it."""
        items = as_items(native) or []
        if author is Author.MODEL:
            items = [item for item in items if item["type"] in _SAID]
        return content_tokens(items, self.counter)

    def call(self, call_id: str, name: str, arguments: str) -> int:
        """Tokens of the arguments of a call; of messages, those of the whole call and of its id in the result."""
        if self.shape is None:
            return self.counter.count(arguments)
        return call_tokens(call_id if is_legal_id(call_id) else _CALL_ID, name, arguments, self.counter)

    def thoughts(self, native: str, calls: Mapping[str, int]) -> int | None:
        """Tokens that a native answer has beside its texts and calls; None where that is not sent back.

        `calls` are the tokens of the recorded calls by their ids: the native form may say more of one.
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
