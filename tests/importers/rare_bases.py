"""Rows and parts that are rare, as good as those of `bases`: only the tests of near misses change them."""

from __future__ import annotations

import json
from typing import Any

from tests.importers import spans
from tests.importers.bases import AT
from tests.importers.test_odd_json import written

PICTURE = "data:image/png;base64,AAAA"
_ASKED = {"a": 1}
PARTS: list[Any] = [
    {
        "role": "user",
        "parts": [
            {"type": "text", "content": "Look."},
            {"type": "blob", "mime_type": "image/png", "content": "AAAA"},
            {"type": "uri", "uri": "https://h/y.png"},
            {"type": "of tomorrow"},
        ],
    },
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "tool_call", "id": "c1", "name": "t", "arguments": _ASKED},
            {"kind": "tool-call", "tool_call_id": "c2", "tool_name": "u", "args": json.dumps(_ASKED)},
            {"type": "tool_use", "toolCallId": "c3", "toolName": "v", "input": _ASKED},
        ],
    },
    {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "response": [{"type": "text", "text": "f"}]}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c2", "content": {"wet": True}},
            {"type": "tool-result", "toolCallId": "c3", "output": "dry"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"type": "input_image", "image_url": PICTURE},
        ],
    },
    {"role": "human", "content": {"city": "Paris"}},
    {
        "role": "ai",
        "content": "x",
        "reasoning_content": "r",
        "tool_calls": [{"id": "d1", "function": {"name": "f", "arguments": "{}"}}],
        "function_call": {"name": "g", "arguments": "{}"},
    },
    {"role": "tool", "name": "f", "tool_call_id": "d1", "content": "y"},
    {"message": {"role": "model", "contents": [{"message_content": {"type": "text", "text": "z"}}]}},
]
"""Messages of an instrumentation, with parts of every kind."""


def of_parts(rows: list[Any]) -> bytes:
    """An export of one call whose prompt is these messages."""
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Done."}]}]
    told = {"gen_ai.input.messages": json.dumps(rows), "gen_ai.output.messages": json.dumps(answer)}
    return written("otel", [spans.export(spans.span(1, {"gen_ai.operation.name": "chat", **told}))])


def _codex(row: str, number: int = 1, /, **payload: Any) -> dict[str, Any]:
    return {"timestamp": AT % number, "type": row, "payload": payload}


def _item(kind: str, **payload: Any) -> dict[str, Any]:
    return _codex("response_item", 2, type=kind, **payload)


def _texts(*texts: str) -> list[Any]:
    return [{"type": "input_text", "text": text} for text in texts]


_RULES = "# AGENTS.md instructions for /w/\n\n<INSTRUCTIONS>\n- You must test.\n</INSTRUCTIONS>"
_CONTEXT = "<environment_context>\n<cwd>/w</cwd>\n</environment_context>"
_USED = {"input_tokens": 3, "output_tokens": 1, "cache_write_input_tokens": 2, "reasoning_output_tokens": 1}
_MORE_USED = {"input_tokens": 9, "output_tokens": 4}
_STAY = [
    {"type": "message", "role": "user", "content": _texts("go", "anew")},
    {"type": "message", "role": "developer", "content": _texts("Be kind.")},
    {"type": "message", "content": _texts(_CONTEXT)},
    {"type": "function_call", "call_id": "k1"},
    {"type": "function_call_output", "call_id": "k1"},
    {"type": "compaction", "encrypted_content": "x"},
]
CODEX: list[Any] = [
    _codex("session_meta", id="s", forked_from_id="r", cwd="/w", model_provider="p", base_instructions="Be brief."),
    _codex("session_meta", session_id="q"),
    _codex("turn_context", cwd="/v", model="m"),
    _item("message", role="developer", content=_texts("Ask first.")),
    _item("message", role="user", content=_texts(_RULES, _CONTEXT)),
    _item(
        "message",
        role="user",
        content=[*_texts("go", "<hook_prompt>x"), {"type": "input_image", "image_url": PICTURE}],
        internal_chat_message_metadata_passthrough={"content_item_kinds": ["user.text", "hook", "unknown"]},
    ),
    _codex("event_msg", type="user_message", message=_CONTEXT, kind="environment_context"),
    _codex("token_usage_record", usage=_USED),
    _item("message", role="assistant", content=[{"type": "output_text", "text": "I look."}]),
    _item("local_shell_call", call_id="k1", action={"command": ["ls"], "working_directory": "/u"}),
    _item("function_call", namespace="mcp", name="find", id="k2", arguments='{"cwd": "/t"}'),
    _item("image_generation_call", id="k3", revised_prompt="a cat"),
    _item("tool_search_call", call_id="k4", arguments={"query": "q"}),
    _item("local_shell_call_output", call_id="k1", output="Exit code: 1\nOutput:\na"),
    _item("tool_search_output", call_id="k4", tools=[{"name": "t"}]),
    _item("agent_message", content=_texts("from another")),
    _codex("event_msg", type="agent_reasoning", text="x"),
    _codex("inter_agent_communication", content=_texts("from its parent")),
    _codex("token_usage_record", usage=_MORE_USED),
    _codex("compacted", message="short", replacement_history=_STAY),
    _item("message", role="user", content=_texts("and now")),
    _item("message", role="assistant", content=[{"type": "output_text", "text": "Now."}]),
    _codex("event_msg", type="token_count", info={"last_token_usage": _MORE_USED, "total_token_usage": _USED}),
    _codex("compacted", message="shorter"),
    _item("message", role="user", content=_texts("last")),
    _codex("event_msg", type="thread_rolled_back", num_turns=1),
    _codex("session_meta", id="other", parent_thread_id="s", cwd="/w"),
    _item("message", role="user", content=_texts("hello")),
]
"""A file of two sessions, the first resumed from another, with items of every kind."""


def _claude(kind: str, uuid: str, parent: str | None, content: Any, **more: Any) -> dict[str, Any]:
    row = {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "timestamp": AT % 1, **more}
    return {**row, "message": {"id": f"m{uuid}", "role": kind, "content": content}}


def _told(uuid: str, parent: str, content: Any) -> dict[str, Any]:
    """A row of one answer, which others come between."""
    return {**(row := _claude("assistant", uuid, parent, content)), "message": {**row["message"], "id": "one"}}


def _look(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "Glob", "input": {"pattern": "*"}}


CLAUDE: list[Any] = [
    _claude("user", "a", None, "go"),
    _claude("assistant", "b", "a", [{"type": "text", "text": "one"}]),
    _claude("user", "d", "c", "after a row that comes late"),
    _claude("assistant", "c", "b", [{"type": "text", "text": "two"}]),
    _claude("assistant", "e", "d", [{"type": "text", "text": "three"}]),
    _claude("user", "f", "b", "another branch"),
    _claude("assistant", "g", "f", [{"type": "text", "text": "four"}]),
    _claude("user", "h", "gone", "hangs on nothing"),
    {
        **_claude("system", "i", None, "cut", subtype="compact_boundary", logicalParentUuid="h"),
        "compactMetadata": {"preservedSegment": {"headUuid": "f", "tailUuid": "g"}},
    },
    _claude("user", "j", "i", "summary", isCompactSummary=True),
    _claude("user", "k", "g", "goes on"),
    _claude("assistant", "l", "k", [{"type": "text", "text": "five"}]),
    _told("m", "l", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "six"}, _look("t1")]),
    _claude("user", "n", "m", [{"type": "tool_result", "tool_use_id": "t1", "content": "a"}]),
    _told("o", "n", [{"type": "thinking", "thinking": "hm, well"}, {"type": "text", "text": "six or"}, _look("t2")]),
    _told("p", "o", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "six or seven"}, _look("t1")]),
    _told("q", "p", [{"type": "text", "text": "six or"}, {"type": "text", "text": "another"}, _look("")]),
]
"""Branches: a row before its parent, one that another answer was tried for, and what a compaction kept."""
