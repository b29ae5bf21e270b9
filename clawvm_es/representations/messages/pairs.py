"""Check of messages against what providers refuse.

LAW-MSG-1: every call has its one result right after the answer that made it, and every result its call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from clawvm_es.representations.messages.blocks import Shape
from clawvm_es.representations.messages.shapes import is_call, is_output

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def broken(messages: Sequence[dict[str, Any]], shape: Shape) -> list[str]:
    """Every reason for which a provider would refuse these messages, by the number of the message (from 0)."""
    return list(_CHECKS[shape](messages))


def _anthropic(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    if messages and messages[0]["role"] != "user":
        yield "message 0: the first message is not the user's"
    seen: set[str] = set()
    waiting: list[str] = []
    before = ""
    for number, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == before:
            yield f"message {number}: a second message of {role} in a row"
        if not content:
            yield f"message {number}: empty"
        results = [item["tool_use_id"] for item in content if item["type"] == "tool_result"]
        if sorted(results) != sorted(waiting):
            yield f"message {number}: results {results} for calls {waiting}"
        if any(item["type"] != "tool_result" for item in content[: len(results)]):
            yield f"message {number}: something stands before a result"
        calls = [item["id"] for item in content if item["type"] == "tool_use"]
        yield from _ids(number, calls, seen)
        if calls and role != "assistant":
            yield f"message {number}: a call of the user's"
        for item in content:
            yield from _item(number, item)
        waiting, before = calls, role
    if waiting:
        yield f"calls {waiting} without a message after them"


def _item(number: int, item: dict[str, Any]) -> Iterator[str]:
    if item["type"] == "text" and not item["text"].strip():
        yield f"message {number}: a text without a word"
    if item["type"] == "tool_use" and not (isinstance(item["input"], dict) and _NAME.fullmatch(item["name"])):
        yield f"message {number}: call {item['id']} has no object or no name"
    if item["type"] == "tool_result" and isinstance(item.get("content"), list):
        for each in item["content"]:
            yield from _item(number, each)


def _ids(number: int, calls: Sequence[str], seen: set[str]) -> Iterator[str]:
    for call_id in calls:
        if call_id in seen:
            yield f"message {number}: the id {call_id} a second time"
        if not (isinstance(call_id, str) and _ID.fullmatch(call_id)):
            yield f"message {number}: {call_id!r} is no id"
        seen.add(call_id)


def _openai(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    waiting: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"message {number}: a result of {message['tool_call_id']!r}, calls {waiting} wait"
            else:
                waiting.remove(message["tool_call_id"])
            if message.get("content") is None:
                yield f"message {number}: a result without content"
            continue
        if waiting:
            yield f"message {number}: calls {waiting} without results before it"
        calls = message.get("tool_calls") or []
        waiting = [call["id"] for call in calls]
        yield from _ids(number, waiting, seen)
        if message.get("content") is None and not calls:
            yield f"message {number}: empty"
        if any(not isinstance(call["function"]["arguments"], str) for call in calls):
            yield f"message {number}: arguments that are no text"
    if waiting:
        yield f"calls {waiting} without results after them"


def _responses(items: Sequence[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    waiting: list[str] = []
    ended = True  # the answer: a result or a message of the user's came
    for number, item in enumerate(items):
        if is_output(item):
            ended = True
            if item["call_id"] not in waiting:
                yield f"item {number}: a result of {item['call_id']!r}, calls {waiting} wait"
            else:
                waiting.remove(item["call_id"])
            if item.get("output") is None:
                yield f"item {number}: a result without output"
            continue
        ended = ended or item.get("role") == "user"
        if ended and waiting:
            yield f"item {number}: calls {waiting} without results before it"
            waiting = []
        ended = item.get("role") == "user"
        if is_call(item):
            yield from _ids(number, [item["call_id"]], seen)
            waiting.append(item["call_id"])
        yield from _responses_item(number, item, items[number + 1 : number + 2])
    if waiting:
        yield f"calls {waiting} without results after them"


def _responses_item(number: int, item: dict[str, Any], following: Sequence[dict[str, Any]]) -> Iterator[str]:
    kind = item.get("type", "message")
    if kind == "function_call" and not (isinstance(item["arguments"], str) and _NAME.fullmatch(item["name"])):
        yield f"item {number}: call {item['call_id']} has no text of arguments or no name"
    if kind == "message" and not item.get("content"):
        yield f"item {number}: empty"
    if kind == "reasoning" and all(is_output(each) or each.get("role") == "user" for each in following):
        yield f"item {number}: a thought that nothing follows"


_CHECKS: Final[Mapping[Shape, Callable[[Sequence[dict[str, Any]]], Iterator[str]]]] = {
    Shape.ANTHROPIC: _anthropic,
    Shape.OPENAI: _openai,
    Shape.RESPONSES: _responses,
}
