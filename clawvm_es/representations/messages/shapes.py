"""Blocks → the messages of a provider.

LAW-MSG-5: the messages in the session's own shape hold every block once, in order, and nothing else. So their
count is that of the blocks, and appending blocks leaves the pieces of earlier messages unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

from clawvm_es.representations.messages.blocks import Block, Kind, Role, Shape, legal_name
from clawvm_es.representations.messages.framing import canonical, wrapped
from clawvm_es.representations.sayable import sayable, sayable_json

Message: TypeAlias = dict[str, Any]
CACHED: Final = {"type": "ephemeral"}
"""Mark of Anthropic's for the end of a prefix that is worth keeping."""
_UNMARKED: Final = frozenset(("thinking", "redacted_thinking"))


def messages(blocks: Sequence[Block], shape: Shape, own: Shape | None, marks: Collection[int] = ()) -> list[Message]:
    """The messages of blocks in a shape; `own` is the shape of their native forms.

    `marks` are places of blocks after which the provider should cache the prefix; OpenAI's shape cannot express that.
    The messages may be changed: they share nothing with the blocks.
    """
    natives = shape is own
    if shape is Shape.ANTHROPIC:
        return _anthropic(blocks, natives, marks)
    return list(_openai(blocks, natives) if shape is Shape.OPENAI else _responses(blocks, natives))


def system(text: str, shape: Shape) -> list[Message]:
    """The harness's own fixed region: Anthropic's `system`, with a mark at its end, or OpenAI's first message."""
    text = sayable(text)
    if shape is Shape.ANTHROPIC:
        return [{"type": "text", "text": text, "cache_control": dict(CACHED)}] if text.strip() else []
    return [{"role": "system", "content": text}]


def pieces(found: Iterable[Message]) -> list[bytes]:
    """Canonical JSON of each piece of messages, in order, marks apart: what EPOCH-1 compares.

    A piece is one item of a message's content with its role, or a message whose content is no list.
    """
    out: list[bytes] = []
    for message in found:
        content = message.get("content")
        if isinstance(content, list) and content and "tool_calls" not in message:
            rest = {name: value for name, value in message.items() if name != "content"}
            for item in content:
                out.append(_bytes({**rest, "content": {k: v for k, v in item.items() if k != "cache_control"}}))
        else:
            out.append(_bytes(message))
    return out


def _bytes(value: Any) -> bytes:
    return canonical(value).encode()


# ----------------------------------------------------------------------------------------- Anthropic


def _anthropic(blocks: Sequence[Block], natives: bool, marks: Collection[int]) -> list[Message]:
    found: list[Message] = []
    for role, item, place in _items(blocks, natives):
        if not found or found[-1]["role"] != role:
            found.append({"role": role, "content": []})
        content = found[-1]["content"]
        content.append(item)
        if place in marks and item["type"] not in _UNMARKED:
            item["cache_control"] = dict(CACHED)
    return found


def _items(blocks: Sequence[Block], natives: bool) -> Iterator[tuple[str, Message, int]]:
    """(role, item of its content, place of the block whose last item it is, else -1)."""
    for places in _exchanges(blocks):
        first = blocks[places[0]]
        whole = as_items(first.native) if natives and first.role is Role.ASSISTANT else None
        if whole is not None:
            for number, item in enumerate(whole, 1):
                yield "assistant", item, places[-1] if number == len(whole) else -1
            continue
        for place, item in _results(blocks, places, natives):
            yield "assistant" if first.role is Role.ASSISTANT else "user", item, place


def _exchanges(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """Places of blocks that are said together: one answer, the results of one call, or one block."""

    def together(place: int) -> tuple[object, ...]:
        block = blocks[place]
        if block.role is Role.ASSISTANT:
            return block.role, block.run
        return block.role, block.run, block.call_id, place if block.call_id is None else None

    for _, places in groupby(range(len(blocks)), together):
        yield list(places)


def _results(blocks: Sequence[Block], places: Sequence[int], natives: bool) -> Iterator[tuple[int, Message]]:
    first = blocks[places[0]]
    if first.kind is Kind.RESULT:
        yield places[-1], _anthropic_result([blocks[place] for place in places], natives)
        return
    for place in places:
        block = blocks[place]
        if block.kind is Kind.THINKING:  # said by the provider's own form alone, which has the signature
            continue
        content = as_items(block.native) if natives else None
        for number, item in enumerate(content or [_anthropic_item(block)], 1):
            yield place if number == len(content or [0]) else -1, item


def _anthropic_item(block: Block) -> Message:
    if block.kind is Kind.CALL:
        name = legal_name(block.name)
        return {"type": "tool_use", "id": block.call_id, "name": name, "input": wrapped(block.text)}
    return {"type": "text", "text": sayable(block.text)}


def _anthropic_result(parts: Sequence[Block], natives: bool) -> Message:
    first = parts[0]
    found: Message = {"type": "tool_result", "tool_use_id": first.call_id}
    content = as_items(first.native) if natives else None
    if content is None and len(parts) > 1:
        content = [{"type": "text", "text": sayable(part.text)} for part in parts]
    if content is not None:
        found["content"] = content
    elif first.text:
        found["content"] = sayable(first.text)
    if first.is_error:
        found["is_error"] = True
    return found


# -------------------------------------------------------------------------------------------- OpenAI


def _openai(blocks: Sequence[Block], natives: bool) -> Iterator[Message]:
    for places in _exchanges(blocks):
        said = [blocks[place] for place in places]
        native = said[0].native if natives else None
        if said[0].role is Role.ASSISTANT:
            yield as_message(native) or _openai_answer(said)
        elif said[0].kind is Kind.RESULT:
            yield {"role": "tool", "tool_call_id": said[0].call_id, "content": _content(native, said)}
        else:
            yield {"role": "user", "content": _content(native, said)}


def _content(native: str | None, said: Sequence[Block], kind: str = "text") -> str | list[Message]:
    """The content of a message: the provider's own, one text, or several."""
    own = as_items(native)
    if own is not None:
        return own
    if len(said) == 1:
        return sayable(said[0].text)
    return [{"type": kind, "text": sayable(block.text)} for block in said]


def _openai_answer(said: Sequence[Block]) -> Message:
    texts = [block for block in said if block.kind is Kind.TEXT]
    calls = [
        {
            "id": block.call_id,
            "type": "function",
            "function": {"name": legal_name(block.name), "arguments": sayable(block.text)},
        }
        for block in said
        if block.kind is Kind.CALL
    ]
    found: Message = {"role": "assistant", "content": _content(None, texts) if texts else None}
    if calls:
        found["tool_calls"] = calls
    return found


# ----------------------------------------------------------------------------------------- Responses


def _responses(blocks: Sequence[Block], natives: bool) -> Iterator[Message]:
    own: set[str] = set()  # ids of calls that are sent as their provider wrote them
    for places in _exchanges(blocks):
        said = [blocks[place] for place in places]
        native = said[0].native if natives else None
        if said[0].role is Role.ASSISTANT:
            made = tuple(block.call_id for block in said if block.kind is Kind.CALL)
            if native is not None and calls_in(native, Shape.RESPONSES) == made:
                own.update(filter(None, made))
                yield from as_items(native) or []
            else:
                yield from map(_responses_item, (block for block in said if block.kind is not Kind.THINKING))
        elif said[0].kind is Kind.RESULT:
            yield _responses_result(native, said, said[0].call_id in own)
        else:
            yield {"role": "user", "content": _content(native, said)}


def _responses_item(block: Block) -> Message:
    if block.kind is Kind.CALL:
        name, arguments = legal_name(block.name), sayable(block.text)
        return {"type": "function_call", "call_id": block.call_id, "name": name, "arguments": arguments}
    return {"role": "assistant", "content": sayable(block.text)}


def _responses_result(native: str | None, said: Sequence[Block], own: bool) -> Message:
    """The result of a call: an item of the provider's own where its call is one, else the output of a function."""
    whole = (as_items(native) or [{}])[0]
    if is_output(whole):
        if own or whole["type"] == "function_call_output":
            return {**whole, "call_id": said[0].call_id}
        native = None
    output = _content(native, said, "input_text")
    return {"type": "function_call_output", "call_id": said[0].call_id, "output": output}


def is_call(item: Mapping[str, Any]) -> bool:
    """Tell whether an item of the Responses API is a call that the client has to answer, by its id."""
    return str(item.get("type")).endswith("_call") and isinstance(item.get("call_id"), str)


def is_output(item: Mapping[str, Any]) -> bool:
    """Tell whether an item of the Responses API is the result of a call."""
    return str(item.get("type")).endswith("_output") and isinstance(item.get("call_id"), str)


# ------------------------------------------------------------------------------------------- natives


def as_items(native: str | None) -> list[Message] | None:
    """The content items that a native form holds: a list of them, or a message with a list; None if it has none."""
    found = _parsed(native)
    if isinstance(found, dict):
        found = found.get("content")
    if not isinstance(found, list) or not found:
        return None
    return found if all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in found) else None


def as_message(native: str | None) -> Message | None:
    """The message of OpenAI's that a native form holds; None if it has none."""
    found = _parsed(native)
    return found if isinstance(found, dict) and isinstance(found.get("role"), str) else None


def _parsed(native: str | None) -> Any:
    if native is None:
        return None
    try:
        return sayable_json(json.loads(native))
    except (ValueError, RecursionError):
        return None


def calls_in(native: str | None, shape: Shape) -> tuple[str, ...] | None:
    """The ids of the calls that a native answer makes, in order; None if it is no answer of that shape."""
    if shape is Shape.ANTHROPIC:
        items = as_items(native)
        if items is None or any(item["type"] == "tool_result" for item in items):
            return None
        return tuple(str(item.get("id")) for item in items if item["type"] == "tool_use")
    if shape is Shape.RESPONSES:
        items = as_items(native)
        if items is None:
            return None
        answered = {item["call_id"] for item in items if is_output(item)}  # by the provider itself
        return tuple(item["call_id"] for item in items if is_call(item) and item["call_id"] not in answered)
    message = as_message(native)
    if message is None or message["role"] != "assistant":
        return None
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return None
    return tuple(str(call.get("id")) for call in calls)
