"""Spans of every instrumentation as plain JSON, and rare ones: only the tests of near misses change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.importers import spans


def plain(made: list[dict[str, Any]]) -> list[Any]:
    """Spans as exporters of files write them: attributes by name, JSON texts as what they say."""
    return [
        {
            "trace_id": each["traceId"],
            "span_id": each["spanId"],
            "start_time": f"2026-01-01T00:00:0{number}+00:00",
            "end_time": f"2026-01-01T00:00:0{number + 1}+00:00",
            "attributes": _named(each["attributes"]),
            "events": [{"name": told["name"], "attributes": _named(told["attributes"])} for told in each["events"]],
        }
        for number, each in enumerate(made, 1)
    ]


def _named(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: _decoded(spans._plain(each["value"])) for each in attributes}


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def _span(number: int, given: dict[str, Any], parent: int = 0, **more: Any) -> dict[str, Any]:
    times = {"start_time": f"2026-01-01T00:00:{number:02}Z", "end_time": f"2026-01-01T00:00:{number + 1:02}Z"}
    ids = {"trace_id": "t1", "span_id": f"s{number}", "parent_id": f"s{parent}" if parent else None}
    return {"name": "x", **ids, **times, "attributes": given, **more}


def _said(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def _chat(prompt: list[Any], answer: Any, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": prompt,
        "gen_ai.output.messages": [answer],
        **more,
    }


_USES = [
    {"id": "c1", "function": {"name": "look", "arguments": '{"at": "a"}'}},
    {"id": "c2", "name": "touch", "arguments": {}},
]
_CALLED = _said("assistant", "I look", tool_calls=_USES)
_BACK = _said("tool", "gone", tool_call_id="c1")
_COUNTS = {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.cache_read.input_tokens": 4,
    "gen_ai.usage.output_tokens": "3",
    "gen_ai.usage.cache_creation.input_tokens": 2,
    "gen_ai.usage.reasoning.output_tokens": 1,
}
_AGENT = {"gen_ai.operation.name": "invoke_agent"}
_TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.result": "gone"}
THREADS: list[Any] = [
    [
        _span(1, {**_AGENT, "session.id": "talk one"}),
        _span(4, _chat([_said("user", "go"), _CALLED, _BACK], _said("assistant", "so"), **_COUNTS), 1),
        _span(2, _chat([_said("user", "go")], _CALLED, **{"gen_ai.response.finish_reasons": ["tool_calls"]}), 1),
        _span(3, {**_TOOL, "error.type": "timeout"}, 1),
        _span(5, {"openinference.span.kind": "LLM", "llm.input_messages": [_said("user", "inside")]}, 4),
        _span(6, {"openinference.span.kind": "AGENT"}, 1),
        _span(7, _chat([_said("user", "of the second agent")], _said("assistant", "", tool_calls=_USES[:1])), 6),
        _span(8, {"openinference.span.kind": "TOOL", "tool_call.id": "c1", "output.value": "found"}, 6),
        _span(9, {"openinference.span.kind": "CHAIN"}, 6),
        _span(10, {"odd": 1}, 10),
        _span(11, {"odd": 1}, 12),
        _span(12, {"odd": 1}, 11),
        _span(13, {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hm"}, trace_id="t2"),
        _span(14, {**_AGENT, "langfuse.sessionId": "named later"}, trace_id="t2"),
        _span(15, _chat([_said("user", "a b")], _said("assistant", "c")), trace_id="odd name"),
        _span(16, {**_TOOL, "gen_ai.tool.call.id": "c9"}, trace_id="t3"),
        _span(17, {"gen_ai.operation.name": "embeddings", "gen_ai.input.messages": [_said("user", "x")]}),
    ]
]
"""Agents inside agents, tools that failed, spans around themselves, and traces that are named late or never."""
_LOGGED = [
    {"event.name": "gen_ai.user.message", "content": "go"},
    {"event": {"name": "gen_ai.tool.message"}, "id": "c3", "content": "told by an event"},
    {"event.name": "gen_ai.choice", "body": {"message": {"content": "so"}, "finish_reason": "length"}},
    {"event.name": "of tomorrow"},
]
_EVENT = {"name": "gen_ai.tool.message", "attributes": {"id": "c4", "content": "of a span"}}
_PARTS = [
    {"type": "blob", "mime_type": "image/png", "blob": "AAAA"},
    {"type": "image", "image": "https://h/a.png"},
    {"type": "tool_call", "call_id": "c5", "toolName": "u", "args": {}},
    {"type": "tool_call_response", "call_id": "c6", "name": "v", "result": {"a": 1}},
    {"type": "thinking", "thinking": "well"},
    {"type": "text"},
    {"type": "odd"},
    "a text",
    7,
]
PLACES: list[Any] = [
    [
        _span(1, {"gen_ai.operation.name": "chat", "all_messages_events": _LOGGED, "llm.finish_reason": "stop"}),
        _span(2, {**_TOOL, "gen_ai.tool.call.id": "", "gen_ai.tool.call.result": ""}, events=[_EVENT]),
        _span(3, {"gen_ai.operation.name": "chat", "input.value": {"messages": [_said("user", "x")]}}),
        _span(
            4,
            {"gen_ai.operation.name": "chat", "input.value": "only a text", "output.value": ["a", {"content": "b"}]},
        ),
        _span(
            5, {"gen_ai.operation.name": "chat", "input.value": "x", "output.value": {"choices": [_said("", "y")]}}
        ),
        _span(6, {"gen_ai.operation.name": "chat", "ai.response.toolCalls": [{"toolCallId": "c7", "toolName": "w"}]}),
        _span(7, _chat([{"role": "user", "parts": _PARTS}, _said("user", {"a": 1})], _said("assistant", "z"))),
        _span(
            8,
            {
                "llm.request.type": "chat",
                "gen_ai.prompt": ["p"],
                "gen_ai.completion": [_said("", "one"), _said("", "two")],
            },
        ),
        _span(
            9,
            _chat(
                [_said("user", "q")], {**_said("", "a"), "finish_reason": "content_filter"}, **{"ai.model.id": "m"}
            ),
        ),
    ]
]
"""Messages in every place that is looked at, with parts of every kind."""
WRAPPED: list[Any] = [{"data": [{"spans": THREADS[0][1:3]}, {"traces": [THREADS[0][0]]}]}]
RARE: dict[str, Callable[[], list[Any]]] = {
    **{f"otel: {name}": (lambda made=made: [plain(made())[1:]]) for name, made in spans.INSTRUMENTATIONS.items()},
    "otel: threads": lambda: THREADS,
    "otel: places": lambda: PLACES,
    "otel: wrapped": lambda: WRAPPED,
}
"""Name → the rows of a file, which is one document."""
