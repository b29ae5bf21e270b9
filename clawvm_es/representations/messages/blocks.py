"""Blocks: the pieces of a prompt in order, before they are converted to a provider's messages."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import attrs

from clawvm_es.model.pages import Fidelity


class Shape(StrEnum):
    """Form of a provider's messages."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    """Of its Chat Completions API."""
    RESPONSES = "responses"
    """Of OpenAI's Responses API: messages, calls, results and thoughts are items in a row."""


class Role(StrEnum):
    """Speaker of a block."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Kind(StrEnum):
    """Part that a block plays in an exchange."""

    TEXT = "text"
    THINKING = "thinking"
    CALL = "call"
    RESULT = "result"


@attrs.frozen
class Block:
    """One piece of a prompt: a page at a level, the arguments of a call, the result of one, or a line of ours.

    `group` is its exchange, `call_id` pairs a call with its result, `name` is the called tool. Blocks of one `run`
    were laid out together: those of one role in it form one message. `native` is the provider's own form, as JSON:
    of a whole answer on its first block (empty on the others), or of a result's or message's content on its first
    block. That provider gets the native form in place of the blocks.
    """

    page_id: str | None
    role: Role
    level: Fidelity | None
    text: str
    group: int | None = None
    call_id: str | None = None
    is_error: bool = False
    kind: Kind = Kind.TEXT
    name: str = ""
    run: int = 0
    native: str | None = None


RENDERERS: Final = {f"messages/1:{shape}": shape for shape in Shape}
"""Names of the renderers that make messages → the shape that each makes."""

BLANK: Final = "[blank]"
"""Text in the place of a user's message without a word, which providers refuse."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_CHARS: Final = 64


def is_legal_id(call_id: str) -> bool:
    """Tell whether a call's id is valid in every shape: letters, digits, ``_`` and ``-``, at most 64 of them."""
    return _ID.fullmatch(call_id) is not None


def legal_name(name: str) -> str:
    """The name of a tool in a form valid for every shape: other characters become ``_``, at most 64 of them."""
    return _NAME.sub("_", name)[:_NAME_CHARS] or "_"
