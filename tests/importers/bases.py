"""A good session of each format that is mutated by tests: rows of files of lines, and whole documents."""

from __future__ import annotations

from typing import Any

from tests.importers import spans

AT = "2025-01-01T00:00:0%d.000Z"


def _codex(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": AT % 1, "type": kind, "payload": payload}


_SAID = [{"type": "input_text", "text": "hi"}]
_USED = {"input_tokens": 3, "cached_input_tokens": 1, "output_tokens": 1}
CODEX: list[Any] = [
    _codex("session_meta", id="s", cwd="/w", base_instructions={"text": "Be brief."}),
    _codex("response_item", type="message", role="user", content=_SAID),
    _codex("event_msg", type="user_message", message="hi"),
    _codex("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "hm"}]),
    _codex("response_item", type="function_call", name="shell", call_id="c1", arguments='{"command": ["ls"]}'),
    _codex("response_item", type="custom_tool_call", name="apply_patch", call_id="c2", input="*** Begin Patch"),
    _codex("response_item", type="function_call_output", call_id="c1", output={"content": _SAID, "success": True}),
    _codex("response_item", type="custom_tool_call_output", call_id="c2", output='{"output":"a","metadata":{}}'),
    _codex("event_msg", type="token_count", info={"last_token_usage": _USED, "total_token_usage": _USED}),
    _codex("token_usage_record", usage=_USED),
    _codex("event_msg", type="item_completed", item={"type": "UserMessage", "content": [{"text": "you"}]}),
    _codex("compacted", message="s", replacement_history=[{"type": "message", "role": "user", "content": _SAID}]),
    _codex("event_msg", type="thread_rolled_back", num_turns=1),
]


_RAN = {"id": "c1", "name": "read_file", "args": {"file_path": "a"}, "status": "success"}
_PARTS = [{"functionResponse": {"id": "c1", "name": "read_file", "response": {"output": "x"}}}, {"text": "y"}]
_GEMINI_ANSWER = {
    "id": "g2",
    "type": "gemini",
    "timestamp": AT % 2,
    "content": [{"text": "I look"}],
    "thoughts": [{"subject": "s", "description": "d"}],
    "tokens": {"input": 3, "output": 1, "cached": 1},
    "model": "m",
    "toolCalls": [{**_RAN, "result": _PARTS}],
}
GEMINI: list[Any] = [
    {"sessionId": "s", "projectHash": "h", "startTime": AT % 1, "lastUpdated": AT % 2},
    {"id": "g1", "type": "user", "timestamp": AT % 1, "content": "hi"},
    _GEMINI_ANSWER,
    {"$set": {"messages": [{"id": "g9", "type": "user", "content": [{"text": "<state_snapshot>"}]}, _GEMINI_ANSWER]}},
    {"$rewindTo": "g2"},
    {"id": "g3", "type": "info", "content": "Chat history compressed from 9 to 1 tokens"},
]
GEMINI_DOCUMENT: list[Any] = [{**GEMINI[0], "messages": [*GEMINI[1:3], GEMINI[5], {"type": "odd"}]}]

_TOLD = [{"function": {"name": "bash", "arguments": '{"command": "ls"}'}, "id": "c1", "type": "function"}]
_ELIDED = {"role": "tool", "content": "Old environment output: (1 lines omitted)"}
SWEAGENT: dict[str, Any] = {
    "trajectory": [
        {"action": "ls", "state": '{"working_dir": "/w"}', "query": [{"role": "system"}, {}, {}, _ELIDED]}
    ],
    "history": [
        {"role": "system", "content": "You are an agent.", "agent": "main"},
        {"role": "user", "content": [{"type": "text", "text": "fix it\n(Current directory: /w)"}], "is_demo": False},
        {"role": "assistant", "content": "I look", "tool_calls": _TOLD, "thinking_blocks": [{"thinking": "hm"}]},
        {"role": "tool", "content": "a.py", "tool_call_ids": ["c1"]},
        {"role": "assistant", "content": "open", "action": "open a.py 3"},
        {"role": "user", "content": "1: x"},
    ],
    "info": {},
}
_WROTE = {"name": "str_replace_editor", "arguments": '{"command": "view", "path": "/a"}'}
_RESPONSE = {
    "id": "r1",
    "model": "m",
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
    "choices": [
        {"finish_reason": "stop", "message": {"content": "I look", "tool_calls": [{"id": "t1", "function": _WROTE}]}}
    ],
}
_TOTAL = {"accumulated_token_usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def _event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "timestamp": AT % number, "source": "agent", **fields}


OPENHANDS: dict[str, Any] = {
    "instance_id": "task-1",
    "history": [
        _event(0, action="system", args={"content": "You are an agent."}),
        {**_event(1, action="message", args={"content": "fix it", "image_urls": ["data:,x"]}), "source": "user"},
        _event(
            2, observation="recall", extras={"repo_instructions": "r", "microagent_knowledge": [{"content": "k"}]}
        ),
        _event(
            3,
            action="read",
            args={"path": "/a"},
            tool_call_metadata={"tool_call_id": "t1", "model_response": _RESPONSE},
        ),
        _event(4, observation="read", content="1\tx", cause=3, extras={"metadata": {"exit_code": 0, "suffix": "s"}}),
        _event(5, action="condensation", args={"forgotten_event_ids": [3, 4], "summary": "s"}),
        _event(6, action="message", args={"content": "done"}, llm_metrics=_TOTAL),
        _event(7, observation="error", content="wrong"),
        {"kind": "SystemPromptEvent", "id": "k1", "source": "agent", "system_prompt": {"type": "text", "text": "r"}},
        {
            "kind": "MessageEvent",
            "id": "k2",
            "source": "user",
            "llm_message": {"content": [{"type": "text", "text": "m"}]},
        },
        {
            "kind": "ActionEvent",
            "id": "k3",
            "source": "agent",
            "thought": [{"type": "text", "text": "t"}],
            "tool_call_id": "s1",
            "llm_response_id": "r9",
            "tool_call": {"name": "terminal", "arguments": '{"command": "ls"}'},
        },
        {"kind": "ObservationEvent", "id": "k4", "tool_call_id": "s1", "observation": {"content": [{"text": "a"}]}},
        {"kind": "Condensation", "id": "k5", "forgotten_event_ids": ["k3"], "summary": "s"},
    ],
}

_ASKED = {
    "id": "u1",
    "role": "user",
    "content": [{"type": "text", "text": "hi"}, {"type": "image", "image": "data:,x"}],
}
_ANSWERED = {
    "id": "a1",
    "role": "assistant",
    "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "attachment://" + "a" * 32}],
    "tool_calls": [{"id": "c1", "function": "bash", "arguments": {"cmd": "ls"}}],
}
_INSPECT_USAGE = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4, "input_tokens_cache_read": 1}
INSPECT: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"run_id": "r", "created": AT % 1},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "uuid": "abcdefgh1",
            "messages": [
                _ASKED,
                _ANSWERED,
                {"id": "t1", "role": "tool", "tool_call_id": "c1", "content": "a", "error": {"message": "no"}},
            ],
            "events": [
                {
                    "event": "model",
                    "timestamp": AT % 1,
                    "completed": AT % 2,
                    "input": [_ASKED],
                    "input_refs": [[0, 1]],
                    "output": {
                        "model": "m",
                        "usage": _INSPECT_USAGE,
                        "choices": [{"message": _ANSWERED, "stop_reason": "stop"}],
                    },
                },
                {"event": "tool", "timestamp": AT % 3},
            ],
            "message_pool": [_ASKED],
            "attachments": {"a" * 32: "I look"},
        }
    ],
}

TOOL_SPAN = {
    "openinference.span.kind": "TOOL",
    "tool_call.id": spans.CALL_ID,
    "output.value": spans.FOUND,
}
OTEL: dict[str, Any] = spans.export(
    spans.conventions()[0],
    spans.openinference()[1],
    spans.events()[1],
    spans.span(3, TOOL_SPAN, parent=1),
    spans.span(5, {"gen_ai.operation.name": "invoke_agent"}, parent=1),
)

LINES: dict[str, list[Any]] = {"codex": CODEX, "gemini": GEMINI}
"""Rows of files of lines."""
DOCUMENTS: dict[str, list[Any]] = {
    "sweagent": [SWEAGENT],
    "openhands": [OPENHANDS],
    "inspect": [INSPECT],
    "otel": [OTEL],
}
"""Documents, each the only row of its file."""
