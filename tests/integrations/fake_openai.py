"""OpenAI's Responses as a fake API speaks them: items of answers, their stream, the texts of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.integrations.fake_api import Shape

Item = dict[str, Any]


def says(text: str) -> Item:
    """A message of the model's."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "completed", "content": content}


def calls(name: str, /, **arguments: Any) -> Item:
    """A call of a function; its id is given when it is sent."""
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "status": "completed"}


def texts(request: dict[str, Any]) -> str:
    """All texts of a request's instructions and items, in their order."""
    return "\n".join(_texts([request.get("instructions", ""), request["input"]]))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for key in ("text", "content", "output", "arguments", "input"):
            yield from _texts(node.get(key))


def _named(item: Item, number: int) -> None:
    item["id"] = f"item_{number:08d}"
    if item["type"] == "function_call":
        item["call_id"] = f"call_{number:08d}"


def _events(request: Item, number: int, items: list[Item], tokens: int) -> Iterator[Item]:
    response = {"id": f"resp_{number:08d}", "object": "response", "model": request.get("model")}
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    for index, item in enumerate(items):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        kind, said = ("output_text", _said(item)) if item["type"] == "message" else ("function_call_arguments", "")
        for part in (said[: len(said) // 2], said[len(said) // 2 :]) if said else ():
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield {"type": f"response.{kind}.delta", **place, "delta": part}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {
        **{"input_tokens": tokens, "output_tokens": 20, "total_tokens": tokens + 20},
        **{"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
    }
    yield {
        "type": "response.completed",
        "response": {**response, "status": "completed", "output": items, "usage": usage},
    }


def _begun(item: Item) -> Item:
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, **empty, "status": "in_progress"}


def _said(item: Item) -> str:
    return str(item["content"][0]["text"])


def _whole(events: list[Item]) -> Item:
    """The answer in one document."""
    found: Item = events[-1]["response"]
    return found


_LISTED: Final[Item] = {"object": "list", "data": [], "models": []}
OPENAI: Final = Shape("/v1/responses", "/v1", _LISTED, _named, _events, _whole)
