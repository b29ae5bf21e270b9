"""Anthropic's Messages API on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from clawvm_es.importers import images
from clawvm_es.importers.claude_blocks import text_of
from clawvm_es.importers.claude_text import Said, part_of
from clawvm_es.importers.merging import Use
from clawvm_es.importers.prompts import Message
from clawvm_es.importers.recording import Skip
from clawvm_es.integrations.proxy.wire import Answer, Block, Document, Shape, is_list, stub_into, text_in
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.steps import Image
from clawvm_es.observe.told import finish_of, usage_of

_CALLS: Final = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))
_BILLING: Final = "x-anthropic-billing-header:"
"""Beginning of a block of Claude Code's that reaches no model, and changes with its client's state."""


def _system(fields: Mapping[str, Raw]) -> list[str]:
    told = Fields({"system": msgspec.json.decode(fields["system"])} if "system" in fields else {})
    texts = [block.text("text") for block in told.blocks("system")]
    return [text for text in texts if text.strip() and not text.startswith(_BILLING)]


def _read(message: Fields) -> list[Message]:
    role = message.text("role")
    if role == "assistant":
        return [_answered(message)]
    found: list[Message] = []
    for block in message.blocks("content"):
        kind, text = block.text("type"), text_of(block)
        if kind == "tool_result":
            found.append(_result(block))
        elif text is not None:
            told = role != "user" or part_of(text).said is Said.HARNESS
            found.append(Message("user", text, harness=told))
        elif kind in images.BLOCKS:
            found.append(Message("user", images=(images.of_block(block),), key=images.of_block(block).text))
        else:
            found.append(Message("user", skipped=(Skip.UNKNOWN_BLOCK,), key=kind, harness=True))
    return found


def _answered(message: Fields) -> Message:
    texts: list[str] = []
    thinking: list[str] = []
    uses: list[Use] = []
    skipped: list[Skip] = []
    for block in message.blocks("content"):
        kind, text = block.text("type"), text_of(block)
        if text is not None:
            texts.append(text)
        elif kind in _CALLS:
            uses.append(Use(block.ident("id"), block.text("name"), block.arguments("input")))
        elif kind == "thinking":
            thinking.append(block.text("thinking"))
        elif kind != "redacted_thinking":
            skipped.append(Skip.UNKNOWN_BLOCK)
    thoughts = tuple(text for text in thinking if text.strip())
    return Message("assistant", "\n".join(texts), tuple(uses), thinking=thoughts, skipped=tuple(skipped))


def _result(block: Fields) -> Message:
    texts: list[str] = []
    shown: list[Image] = []
    skipped: list[Skip] = []
    for part in block.blocks("content"):
        text = text_of(part)
        if text is not None:
            texts.append(text)
        elif part.text("type") in images.BLOCKS:
            shown.append(images.of_block(part))
        else:
            skipped.append(Skip.UNKNOWN_BLOCK)
    status = ReturnStatus.ERROR if block.flag("is_error") else ReturnStatus.OK
    call_id = block.ident("tool_use_id")
    return Message("tool", "\n".join(texts), (), call_id, status, tuple(shown), skipped=tuple(skipped))


def _replace(message: Block, stubs: Mapping[str, str]) -> bool:
    content = message.get("content")
    if content is None or not is_list(content):
        return False
    blocks = msgspec.json.decode(content, type=list[Raw])
    changed = False
    for place, raw in enumerate(blocks):
        block = msgspec.json.decode(raw, type=dict[str, Raw])
        stub = stubs.get(text_in(block, "tool_use_id")) if text_in(block, "type") == "tool_result" else None
        if stub is not None and "content" in block:
            stub_into(block, "content", stub)
            blocks[place] = Raw(msgspec.json.encode(block))
            changed = True
    if changed:
        message["content"] = Raw(msgspec.json.encode(blocks))
    return changed


def _document(message: Fields) -> Answer:
    finish = finish_of(message.text("stop_reason"))
    if message.text("type") == "error":
        return Answer(finish=Finish.ERROR)
    usage = usage_of(message.fields("usage").raw)
    pieces = [_answered(message)] if message.raw.get("content") else []
    return Answer(tuple(pieces), usage, message.text("model"), finish, message.text("id"))


def _streamed(events: Sequence[Document]) -> tuple[Document, bool]:
    message: Document = {}
    blocks: dict[int, Document] = {}
    ended = False
    for event in events:
        kind, given = event.get("type"), Fields(event)
        if kind == "message_start":
            message = {**given.fields("message").raw}
        elif kind == "content_block_start":
            blocks[given.count("index")] = {**given.fields("content_block").raw}
        elif kind == "content_block_delta":
            _grow(blocks.setdefault(given.count("index"), {}), given.fields("delta"))
        elif kind == "message_delta":
            usage = {**Fields(message).fields("usage").raw, **_told(given.fields("usage").raw)}
            message = {**message, **given.fields("delta").raw, "usage": usage}
        ended = ended or kind == "message_stop"
    return {**message, "content": [_whole(blocks[index]) for index in sorted(blocks)]}, ended


def _told(usage: Mapping[str, object]) -> dict[str, object]:
    """Token counts at the end of a stream; a count that only its beginning gave is null there."""
    return {name: count for name, count in usage.items() if count is not None}


_DELTAS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def _grow(block: Document, delta: Fields) -> None:
    name = _DELTAS.get(delta.text("type"))
    if name is not None:
        block[name] = f"{block.get(name, '')}{delta.text(name)}"


def _whole(block: Document) -> Document:
    """A block with the input that came in parts; one that was cut is told as far as it came."""
    given: Any = block.pop("partial_json", None)
    if given:
        try:
            block["input"] = parse_json(given)
        except ValueError:
            block["input"] = given
    return block


SHAPE: Final = Shape(
    "Anthropic Messages",
    "anthropic",
    "https://api.anthropic.com",
    "messages",
    _system,
    _read,
    _replace,
    _document,
    _streamed,
)
