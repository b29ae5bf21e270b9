"""The framing by which messages of every shape are counted.

| part of a message | tokens |
|---|---|
| a text, a result, a thought | of the text |
| a call | of its name, of its arguments as canonical JSON, and twice of its id: the result names it too |
| any of these | 4 more, for the role and what stands around it |
| an image or a document | 1,600, the most that a provider counts for one that it does not scale down |
| an item of the provider's own | of its canonical JSON |

Signatures and the bytes of images are not text and are not counted. Each part is counted by itself, so that counts
add.

LAW-COUNT-2: the count of messages is the sum over their parts, in any order and any grouping.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.messages.blocks import Shape, legal_name
from clawvm_es.representations.sayable import sayable, sayable_json

BLOCK_TOKENS: Final = 4
"""Tokens of a part beside its text: role, delimiters."""
IMAGE_TOKENS: Final = 1_600
"""Tokens of an image or a document."""
MEDIA: Final = frozenset(
    (
        *("image", "document", "image_url", "file", "input_image", "input_file", "input_audio"),
        *("computer_call_output", "image_generation_call"),
    )
)
"""Types of items that hold bytes, or name a place of bytes."""
OPAQUE: Final = frozenset(("signature", "data", "encrypted_content", "encrypted_index", "cache_control"))
"""Fields of a provider's own items that hold no text."""
TEXTS: Final = frozenset(("text", "input_text", "output_text"))
"""Types of items that are a text."""

Item: TypeAlias = Mapping[str, Any]


def arguments_of(text: str) -> dict[str, Any] | None:
    """The arguments in a text that is a JSON object; None for other texts, and for values JSON cannot express."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text, parse_constant=_refuse)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def said(arguments: str) -> str:
    """The arguments of a call as counted: canonical if they are a JSON object, else unchanged."""
    return unwrapped(wrapped(arguments))


def text_tokens(text: str, counter: TokenCounter) -> int:
    """Tokens of a text, a result or a thought as a part of a message."""
    return counter.count(text) + BLOCK_TOKENS


def call_tokens(call_id: str, name: str, arguments: str, counter: TokenCounter) -> int:
    """Tokens of a call, and of its id in the result."""
    words = counter.count(legal_name(name)) + counter.count(said(arguments))
    return words + 2 * counter.count(call_id) + BLOCK_TOKENS


def item_tokens(item: Item, counter: TokenCounter) -> int:
    """Tokens of an item of a provider's own."""
    kind = item.get("type")
    if kind in MEDIA:
        return IMAGE_TOKENS + BLOCK_TOKENS
    if kind in TEXTS:
        return text_tokens(str(item.get("text", "")), counter)
    if kind == "message":
        return sum(_content(item.get("content") or "", counter))
    if kind == "function_call":
        call_id, name, arguments = (str(item.get(field, "")) for field in ("call_id", "name", "arguments"))
        return call_tokens(call_id, name, arguments, counter)
    if kind == "function_call_output":
        return sum(_content(item.get("output") or "", counter))
    if kind == "thinking":
        return text_tokens(str(item.get("thinking", "")), counter)
    kept = {name: value for name, value in item.items() if name not in OPAQUE}
    return text_tokens(canonical(kept), counter)


def content_tokens(content: Item | Sequence[Item], counter: TokenCounter) -> int:
    """Tokens of a content in a provider's own form: a message of OpenAI's, or items of Anthropic's."""
    if isinstance(content, Mapping):
        return sum(_openai([content], counter))
    return sum(_anthropic([{"content": content}], counter))


def count(messages: Sequence[Item], shape: Shape, counter: TokenCounter) -> int:
    """Tokens of messages in a shape."""
    return sum(_PARTS[shape](messages, counter))


def _anthropic(messages: Iterable[Item], counter: TokenCounter) -> Iterator[int]:
    for message in messages:
        for item in message["content"]:
            kind = item["type"]
            if kind == "text":
                yield text_tokens(item["text"], counter)
            elif kind == "tool_use":
                yield call_tokens(item["id"], item["name"], unwrapped(item["input"]), counter)
            elif kind == "tool_result":
                yield from _content(item.get("content", ""), counter)
            else:
                yield item_tokens(item, counter)


def _openai(messages: Iterable[Item], counter: TokenCounter) -> Iterator[int]:
    for message in messages:
        if message.get("content") is not None:
            yield from _content(message["content"], counter)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            yield call_tokens(call["id"], function["name"], function["arguments"], counter)


def _responses(items: Iterable[Item], counter: TokenCounter) -> Iterator[int]:
    for item in items:
        yield item_tokens({"type": "message", **item}, counter)


_PARTS: Final[Mapping[Shape, Callable[[Sequence[Item], TokenCounter], Iterator[int]]]] = {
    Shape.ANTHROPIC: _anthropic,
    Shape.OPENAI: _openai,
    Shape.RESPONSES: _responses,
}


def _content(content: Any, counter: TokenCounter) -> Iterator[int]:
    """The content of a message or a result: a text, or items."""
    if isinstance(content, str):
        yield text_tokens(content, counter)
        return
    for item in content:
        yield item_tokens(item, counter)


RAW: Final = "arguments"
"""Key under which arguments that are no JSON object are sent where an object is asked for."""


def wrapped(arguments: str) -> dict[str, Any]:
    """The arguments of a call as an object, sayable as they are sent."""
    text = sayable(arguments)
    found = arguments_of(text)
    return {RAW: text} if found is None else sayable_json(found)


def unwrapped(arguments: Mapping[str, Any]) -> str:
    """The text that `wrapped` was given, as far as it counts."""
    only = arguments.get(RAW) if len(arguments) == 1 else None
    return only if isinstance(only, str) and arguments_of(only) is None else canonical(arguments)
