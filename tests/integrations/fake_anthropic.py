"""Anthropic's Messages as a fake API speaks them: blocks of answers, their stream, the texts of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.integrations.fake_api import Shape

Block = dict[str, Any]


def says(text: str) -> Block:
    """A block of text."""
    return {"type": "text", "text": text}


def calls(name: str, /, **arguments: Any) -> Block:
    """A call of a tool; its id is given when it is sent."""
    return {"type": "tool_use", "name": name, "input": arguments}


def texts(request: dict[str, Any]) -> str:
    """All texts of a request's system prompt and messages, in their order."""
    return "\n".join(_texts([request.get("system", []), request["messages"]]))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for key in ("text", "content", "input"):
            yield from _texts(node.get(key))
        yield from (json.dumps(value) for key, value in node.items() if key == "input")


def _named(block: Block, number: int) -> None:
    if block["type"] == "tool_use":
        block["id"] = f"toolu_{number:08d}"


def _events(request: Block, number: int, blocks: list[Block], tokens: int) -> Iterator[Block]:
    usage = {"input_tokens": tokens, "output_tokens": 1, "cache_read_input_tokens": 0}
    model = str(request.get("model"))
    head = {"id": f"msg_{number:08d}", "type": "message", "role": "assistant", "model": model, "content": []}
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    for index, block in enumerate(blocks):
        whole = block["type"] == "tool_use"
        start = {**block, "input": {}} if whole else {**block, "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        kind, key = ("input_json_delta", "partial_json") if whole else ("text_delta", "text")
        said = json.dumps(block["input"]) if whole else block["text"]
        half = len(said) // 2
        for part in (said[:half], said[half:]):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: part}}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    stop = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def _whole(events: list[Block]) -> Block:
    """The answer in one document."""
    message = dict(events[0]["message"])
    content: list[Block] = []
    parts: list[str] = []
    for each in events:
        if each["type"] == "content_block_start":
            content.append(dict(each["content_block"]))
            parts = []
        elif each["type"] == "content_block_delta":
            parts.append(each["delta"].get("text") or each["delta"].get("partial_json") or "")
        elif each["type"] == "content_block_stop":
            said = "".join(parts)
            if content[-1]["type"] == "text":
                content[-1]["text"] = said
            else:
                content[-1]["input"] = json.loads(said)
        elif each["type"] == "message_delta":
            message |= each["delta"]
    return {**message, "content": content}


ANTHROPIC: Final = Shape("/v1/messages", "", {}, _named, _events, _whole)
