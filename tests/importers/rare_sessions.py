"""Sessions of six formats with rows and parts that are rare: only the tests of near misses change them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from tests.importers.bases import AT
from tests.importers.rare_bases import PICTURE

_INLINE = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
_FILE = {"fileData": {"mimeType": "image/png", "fileUri": "https://h/y.png"}}


def _gemini(kind: str, number: int, content: Any = "", **more: Any) -> dict[str, Any]:
    return {"id": f"m{number}", "type": kind, "timestamp": AT % (number % 10), "content": content, **more}


def _ran(number: int, result: Any, status: str = "success", **more: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "name": "run", "args": {"command": "ls"}, "status": status, "result": result, **more}


def _answered(output: str, **more: Any) -> list[Any]:
    return [{"functionResponse": {"id": "x", "name": "run", "response": {"output": output}, **more}}]


_TOKENS = {"input": 9, "output": 3, "cached": 2, "thoughts": 4, "tool": 1, "total": 17}
_ENDED = [
    _ran(1, _answered("Command: ls\nExit Code: 2\nx")),
    _ran(2, _answered("Exit Code: 3"), "error"),
    _ran(3, "stopped", "cancelled"),
    _ran(4, {"functionResponse": {"response": {"error": "no"}, "parts": [_INLINE]}}),
    {"name": "look", "args": {"at": "a"}, "result": [{"functionResponse": {"response": {"a": 1}}}, _FILE, "z"]},
]
_HELD = {"messages": [_gemini("user", 9, "<state_snapshot>"), _gemini("gemini", 4, "Then", toolCalls=_ENDED[:1])]}
GEMINI: list[Any] = [
    {"sessionId": "s", "projectHash": "h", "startTime": AT % 1, "lastUpdated": AT % 2},
    _gemini("user", 1, ["hi", _INLINE, _FILE, {"text": "hm", "thought": True}, {"functionCall": {}}, {"odd": 1}]),
    _gemini("gemini", 2, [{"text": "I look"}, _INLINE], thoughts=[{"subject": "s"}, {"description": "d"}]),
    _gemini("gemini", 2, "I look well", tokens=_TOKENS, model="m", toolCalls=[_ran(1, None, "executing")]),
    _gemini("gemini", 2, "I look well", tokens=_TOKENS, model="m", toolCalls=_ENDED),
    _gemini("gemini", 3, "", tokens={"input": 5}, toolCalls=[_ran(6, _answered("late"))]),
    _gemini("user", 5, {"text": "and now"}),
    _gemini("user", 5, "once more"),
    _gemini("user", 6, "  "),
    _gemini("gemini", 4, "Then", toolCalls=[_ran(7, None)]),
    _gemini("gemini", 7, "", toolCalls=[_ran(8, _answered("of another message"))]),
    _gemini("info", 8, "no more than a word"),
    {"$set": {"summary": "s"}},
    {"$set": {"messages": [*_HELD["messages"], _gemini("user", 0, "from the harness")]}},
    {"$set": {"messages": [*_HELD["messages"], _gemini("gemini", 2, toolCalls=[_ran(2, _answered("masked"))])]}},
    _gemini("user", 10, "a longer text, which stays"),
    _gemini("gemini", 13, "", thoughts=[{"subject": "only thought"}]),
    _gemini("gemini", 14, "an answer that is long enough, so that the newest share of the characters is less"),
    _gemini("user", 15, "short"),
    _gemini("user", 16, "shorter"),
    {"id": "m11", "type": "info", "content": "Chat history compressed from 90 to 10 tokens"},
    _gemini("gemini", 12, "last"),
    {"sessionId": "t", "startTime": AT % 9},
    {"$rewindTo": "m12"},
    {"$rewindTo": "m99"},
]

_PI_RUN = {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"command": "ls"}}
_PI_USED = {"input": 3, "output": 2, "cacheRead": 5, "cacheWrite": 7}
_PI_IMAGE = {"type": "image", "mimeType": "image/png", "data": "AAAA"}
LATE = "2026-02-01T00:00:0%d.000Z"


def _pi(number: int, message: Any = None, /, **more: Any) -> dict[str, Any]:
    row = {"type": "message", "id": f"e{number}", "parentId": f"e{number - 1}" if number > 1 else None}
    return {**row, "timestamp": LATE % (number % 10), **({"message": message} if message else {}), **more}


def _pi_answer(*content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content), "usage": _PI_USED, "model": "m", "provider": "p", **more}


PI: list[Any] = [
    {"type": "session", "version": 3, "id": "s", "timestamp": LATE % 0, "cwd": "/w", "parentSession": "r"},
    _pi(1, {"role": "user", "content": [{"type": "text", "text": "hi"}, _PI_IMAGE, {"type": "odd"}]}),
    _pi(2, _pi_answer({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, stopReason="stop")),
    _pi(3, _pi_answer(_PI_RUN, {"type": "thinking", "thinking": ""}, stopReason="toolUse")),
    _pi(4, {"role": "toolResult", "toolCallId": "c1", "toolName": "bash", "isError": True, "content": [_PI_IMAGE]}),
    _pi(5, {"role": "bashExecution", "command": "ls", "output": "a"}),
    _pi(6, {"role": "bashExecution", "command": "ls", "output": "a", "excludeFromContext": True}),
    _pi(7, {"role": "custom", "content": "from an extension"}),
    _pi(8, {"role": "hookMessage", "content": " "}),
    _pi(9, _pi_answer({"type": "text", "text": "broken"}, {**_PI_RUN, "id": "c2"}, stopReason="aborted")),
    {"type": "message", "timestamp": LATE % 9, "message": _pi_answer({"type": "text", "text": "without an id"})},
    _pi(10, _pi_answer({**_PI_RUN, "id": "c3"}, stopReason="error")),
    _pi(11, {"role": "user", "content": "again"}, parentId="e5"),
    _pi(12, _pi_answer({"type": "text", "text": "long"}, stopReason="length")),
    _pi(13, type="model_change"),
    _pi(14, type="label"),
    _pi(15, type="custom"),
    _pi(16, type="compaction", summary="short", firstKeptEntryId="e11"),
    _pi(17, type="branch_summary", summary="of a branch"),
    _pi(18, type="custom_message", content=[{"type": "text", "text": "told"}]),
    _pi(19, {"role": "user", "content": "hangs on nothing"}, parentId="gone"),
    _pi(20, type="compaction", summary="shorter", firstKeptEntryId="e12"),
    _pi(21, {"role": "user", "content": "back"}, parentId="e2"),
    _pi(21, {"role": "user", "content": "twice"}),
]


def _old(number: int, kind: str = "message", **more: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": AT % number, **more}


PI_WITHOUT_IDS: list[Any] = [
    {"type": "session", "id": "s", "timestamp": AT % 0, "cwd": "/w", "parentSession": "C:\\b.jsonl"},
    _old(1, message={"role": "user", "content": "one"}),
    _old(2, message={"role": "assistant", "content": [{"type": "text", "text": "two"}]}),
    _old(3, message={"role": "user", "content": "three"}),
    _old(3, message={"role": "user", "content": "three"}),
    _old(4, "compaction", summary="short", firstKeptEntryIndex=2),
    _old(5, message={"role": "user", "content": "four"}),
    _old(6, "compaction", summary="shorter", firstKeptEntryIndex=8),
    _old(7, "compaction", summary="all", firstKeptEntryIndex=1),
    {"type": "session", "id": "t", "timestamp": AT % 7, "cwd": "/v"},
]

_USED = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
_SEE = [{"type": "text", "text": "see"}]
_IMAGE = {"type": "image_url", "image_url": {"url": PICTURE}}


def _step(folder: Any, *query: Any) -> dict[str, Any]:
    return {"state": folder, "query": list(query)}


_SEEN = {"role": "user", "content": "seen"}
_CUT = {"role": "user", "content": "cut"}
SWEAGENT: list[Any] = [
    {
        "trajectory": [
            _step('{"working_dir": "/a"}'),
            _step({"working_dir": "/b"}, {}, {}, {}, _CUT),
            {"state": "{", "messages": [{}, {}, {}, _CUT, {}, _CUT, {}, {"role": "user", "content": "found"}]},
        ],
        "history": [
            {"role": "system", "content": " "},
            {"role": "user", "content": [*_SEE, _IMAGE, {"odd": 1}], "is_demo": True},
            {"role": "assistant", "content": "one", "action": "open 'a b.py' 3"},
            _SEEN,
            {"role": "assistant", "content": "two", "action": "edit 1:2\nx = 1\nend_of_edit"},
            {"role": "user", "content": "done\n(Current directory: /c)"},
            {"role": "assistant", "content": "three", "action": "search_dir word"},
            {"role": "user", "content": "found"},
            {"role": "assistant", "content": "four", "action": "open a b c d"},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": "five", "action": "goto 'x"},
            {"role": "tool", "content": [{"type": "text", "text": "none"}, _IMAGE], "tool_call_ids": ["", "t"]},
            {"role": "assistant", "content": "six", "action": "ls\nls"},
            {"role": "tool", "content": "a"},
            {"role": "exit", "content": "bye"},
            {"role": "of tomorrow", "content": "x"},
            {"role": "user", "content": "more"},
        ],
        "info": {"model_stats": {"tokens_sent": 3, "tokens_received": 4}},
    }
]
MINI: list[Any] = [
    {
        "trajectory_format": "mini-swe-agent-1.1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "fix it"},
            {
                "role": "assistant",
                "content": "I look\n```bash\nls -a\n```\n```mswea_bash_command \npwd\n```",
                "extra": {"response": {"model": "m", "usage": _USED}},
            },
            {"role": "user", "content": "<returncode>0</returncode>\na"},
            {"role": "user", "content": " <returncode>-2</returncode>\nb"},
            {"role": "assistant", "content": "again", "extra": {"actions": [{"command": "cat a"}, {"command": " "}]}},
            {"role": "tool", "content": "text", "tool_call_id": "t9"},
            {"role": "assistant", "content": "", "extra": {"actions": ["cat b"]}},
        ],
    }
]


def _function(name: str, arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


_USE = {"type": "tool_use", "id": "u1", "name": "look", "input": {"at": "a"}}
CHAT: list[Any] = [
    {
        "system": "Be brief.",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Ask first."}, _IMAGE]},
            {"role": "user", "content": [*_SEE, _IMAGE, {"image_url": PICTURE}, {"odd": 1}]},
            {
                "role": "assistant",
                "content": "I look",
                "timestamp": AT % 3,
                "reasoning_content": "hm",
                "model": "m",
                "usage": _USED,
                "tool_calls": [
                    {"id": "c1", "function": _function("a", {"x": 1})},
                    {"id": "c2", "custom": {"name": "b", "input": "text"}},
                    {"id": "c3", "function": _function("c", "rm -rf")},
                    {"id": "c4", "function": _function("d", " ")},
                    {"id": "c5"},
                ],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "Error: none", "name": "b"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a"}, _IMAGE]},
            {"role": "assistant", "id": "m", "content": None, "function_call": _function("e", '{"y": 2}')},
            {"role": "function", "name": "e", "content": "z"},
            {"role": "assistant", "refusal": "I cannot.", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "well"}, _USE], "thinking": "deep"},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "u1", "content": "gone", "is_error": True},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ],
            },
            {"role": "user", "content": " "},
            {"role": "of tomorrow", "content": "x"},
            {"role": "tool", "tool_call_id": "c9", "content": "before its call"},
            {"role": "assistant", "content": "late", "tool_calls": [{"id": "c9", "function": _function("f", {})}]},
        ],
    },
    {"messages": [{"role": "user", "content": "another"}], "task_id": "t", "trial": 2},
    {"messages": [{"role": "user", "content": "another", "parts": []}], "task_id": "t", "trial": 2},
    {"traj": []},
    {"of tomorrow": 1},
]

_LONG = "b" * 32
_QUESTION = {"id": "u1", "role": "user", "content": "go"}


def _sample_answer(number: int, *content: Any, **more: Any) -> dict[str, Any]:
    return {"id": f"a{number}", "role": "assistant", "content": list(content), **more}


def _model(number: int, answer: Any, *prompt: Any, **more: Any) -> dict[str, Any]:
    output = {"choices": [{"message": answer, **more}], "usage": _INSPECT_USED}
    return {"event": "model", "model": "m", "timestamp": AT % number, "input": list(prompt), "output": output}


_INSPECT_USED = {
    "input_tokens": 3,
    "output_tokens": 2,
    "total_tokens": 17,
    "input_tokens_cache_read": 5,
    "input_tokens_cache_write": 7,
    "reasoning_tokens": 1,
}
_FIRST = _sample_answer(
    1,
    {"type": "reasoning", "summary": "short"},
    {"type": "text", "text": f"see tc://{_LONG} and attachment://{'c' * 32}"},
    {"type": "audio"},
    {"type": "of tomorrow"},
    tool_calls=[{"id": "c1", "function": "look", "arguments": {"at": f"attachment://{_LONG}", "n": 1}}],
)
_FOUND = {
    "id": "t1",
    "role": "tool",
    "tool_call_id": "c1",
    "function": "look",
    "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "no: it is gone"}],
    "error": {"message": "it is gone"},
}
_SECOND = _sample_answer(2, {"type": "text", "text": "two"})
INSPECT: list[Any] = [
    {
        "status": "success",
        "eval": {"eval_id": "e", "run_id": "r"},
        "samples": [
            {
                "id": 1,
                "epoch": 2,
                "messages": [_QUESTION, _FIRST, _FOUND, _SECOND],
                "events": [
                    _model(1, _FIRST, _QUESTION, stop_reason="tool_calls"),
                    {"event": "of tomorrow", "timestamp": AT % 2},
                    {"event": "model", "timestamp": AT % 2, "output": {}},
                    _model(3, _sample_answer(9, {"type": "text", "text": "x"}), {"role": "user", "content": "grade"}),
                    _model(4, _SECOND, _QUESTION, _FIRST, _FOUND, stop_reason="max_tokens"),
                ],
                "attachments": {_LONG: "the text"},
            },
            {"id": 2, "uuid": "abcdefgh2", "messages": [_QUESTION, _FIRST, _FOUND]},
            {"id": 3, "messages": [], "events": [_model(1, _SECOND, _QUESTION, stop_reason="odd")]},
            {"id": 4},
        ],
    }
]
ARCHIVE: list[Any] = [
    {"name": "_journal/start.json", "content": {"eval": {"run_id": "r"}}},
    {"name": "header.json", "content": {"eval": {"created": AT % 1}, "status": "success"}},
    {"name": "samples/1_epoch_1.json", "content": INSPECT[0]["samples"][2] | {"id": 7, "messages": [_QUESTION]}},
    {"name": "samples/deep/2.json", "content": {"messages": [_QUESTION]}},
    {"name": "samples/3.json", "content": "no sample"},
    {"name": "summaries.json", "content": []},
]


def archive(rows: list[Any]) -> bytes:
    """An archive with these files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for place, row in enumerate(rows):
            told = row if isinstance(row, dict) else {}
            name, content = told.get("name", f"{place}"), told.get("content")
            if name not in packed.namelist():
                packed.writestr(
                    zipfile.ZipInfo(str(name)), content if isinstance(content, str) else json.dumps(content)
                )
    return data.getvalue()


def _event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "timestamp": AT % (number % 10), "source": "agent", **fields}


def _response(name: str, *calls: Any, reason: str = "tool_calls") -> dict[str, Any]:
    message = {"content": "I look", "reasoning_content": "hm", "tool_calls": list(calls)}
    choices = [{"finish_reason": reason, "message": message}]
    return {"id": name, "model": "m", "usage": _USED, "choices": choices}


def _told(call_id: str, response: Any, name: str = "") -> dict[str, Any]:
    return {"tool_call_id": call_id, "function_name": name, "model_response": response}


_BOTH = _response("r1", {"id": "t1", "function": _function("bash", "{}")}, {"id": "t2", "function": {}})
_GROWN = {"prompt_tokens": 3, "completion_tokens": 1, "cache_read_tokens": 2, "cache_write_tokens": 1}
_MORE = {"prompt_tokens": 9, "completion_tokens": 2, "cache_read_tokens": 1, "cache_write_tokens": 4}
_SHELL = {"metadata": {"exit_code": 1, "prefix": "[", "suffix": "]", "working_dir": "/v"}}
OPENHANDS: list[Any] = [
    {
        "instance_id": "a task",
        "history": [
            _event(0, action="message", source="user", args={"content": "", "image_urls": [PICTURE, ""]}),
            _event(1, observation="agent_state_changed", content="x"),
            _event(2, action="recall"),
            _event(3, action="condensation_request"),
            _event(
                4,
                observation="recall",
                extras={
                    "additional_agent_instructions": "a",
                    "conversation_instructions": "c",
                    "microagent_knowledge": [{"name": "n", "content": "k"}, {"content": " "}],
                },
            ),
            _event(5, action="run", args={"thought": "t"}, tool_call_metadata=_told("t1", _BOTH)),
            _event(6, action="read", args={"path": "/a", "hidden": 1}, tool_call_metadata=_told("t2", _BOTH, "view")),
            _event(7, observation="run", content="x", cause=5, extras=_SHELL),
            _event(8, observation="read", content="ERROR: no", tool_call_metadata={"tool_call_id": "t2"}),
            _event(9, action="browse", args={"url": "u", "thought": "I see"}),
            _event(10, observation="browse", cause=9, extras={"screenshot": PICTURE, "image_urls": ["a"]}),
            _event(11, action="finish", args={}, llm_metrics={"accumulated_token_usage": _GROWN}),
            _event(12, action="message", args={"content": "so"}, llm_metrics={"accumulated_token_usage": _MORE}),
            _event(13, action="run", source="user", args={"command": "ls"}),
            _event(14, action="of tomorrow", source="user"),
            _event(15, observation="null"),
            _event(16, observation="recall", extras={}),
            _event(17, observation="run", content="z", cause=9, success=False, extras={"exit_code": 0}),
            _event(22, action="edit", args={"path": "b"}),
            _event(23, observation="edit", content="left alone", cause=22, extras={"metadata": {"exit_code": -1}}),
            _event(24, action="edit", args={"path": "c"}),
            _event(25, observation="error", content="no such file", cause=24, extras={"metadata": {}}),
            _event(18, action="condensation", args={"forgotten_events_start_id": 5, "forgotten_events_end_id": 8}),
            _event(19),
            [_event(20, action="message", args={"content": "a pair"}), _event(21, observation="error", content="w")],
        ],
    }
]


def _kind(kind: str, number: int, /, source: str = "agent", **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "id": f"k{number}", "timestamp": AT % (number % 10), "source": source, **fields}


_TEXT = [{"type": "text", "text": "t"}]
_OUTPUT = {"content": [*_TEXT, {"image_urls": [PICTURE, ""]}, {"odd": 1}], "metadata": {"working_dir": "/v"}}
OPENHANDS_SDK: list[Any] = [
    [
        _kind("SystemPromptEvent", 1, system_prompt={"text": "r"}, dynamic_context={"text": "d"}),
        _kind("MessageEvent", 2, "user", llm_message={"content": _TEXT}, extended_content=[{"text": "beside"}]),
        _kind("MessageEvent", 3, "environment", llm_message={"content": "told"}),
        _kind("MessageEvent", 4, "user", llm_message={"content": " "}),
        _kind(
            "ActionEvent",
            5,
            thought=_TEXT,
            reasoning_content="hm",
            thinking_blocks=[{"thinking": "hm"}, {"thinking": "well"}],
            tool_call_id="s1",
            llm_response_id="r1",
            tool_name="file",
            tool_call={"function": {"arguments": '{"path": "/a"}'}},
        ),
        _kind("ActionEvent", 6, reasoning_content="hm", llm_response_id="r1", tool_call={"id": "s2", "name": "bash"}),
        _kind("ObservationEvent", 7, tool_call_id="s1", tool_name="file", observation=_OUTPUT),
        _kind("ObservationEvent", 8, tool_call_id="s2", observation={"output": "o", "exit_code": 3}),
        _kind("ActionEvent", 9, tool_call={"id": "s3", "name": "bash"}, tool_call_id="s3"),
        _kind("UserRejectObservation", 10, tool_call_id="s3", rejection_reason="no", extended_content=_TEXT),
        _kind("ActionEvent", 11, tool_call={"id": "s4", "name": "bash"}, tool_call_id="s4"),
        _kind("AgentErrorEvent", 12, tool_call_id="s4", error="wrong"),
        _kind("ActionEvent", 13, tool_call={"id": "s5", "name": "bash"}, tool_call_id="s5"),
        _kind("ObservationEvent", 14, tool_call_id="s5", observation={"error": "bad", "is_error": True}),
        _kind("ActionEvent", 20, tool_call={"id": "s6", "name": "bash"}, tool_call_id="s6"),
        _kind("ObservationEvent", 21, tool_call_id="s6", observation={"output": "o", "metadata": {"exit_code": -1}}),
        _kind("MessageEvent", 15, llm_message={"content": _TEXT, "reasoning_content": "x"}, llm_response_id="r2"),
        _kind("Condensation", 16, forgotten_event_ids=["k3", "k5", "gone"], summary="short"),
        _kind("PauseEvent", 17),
        _kind("OfTomorrow", 18),
        _kind("Condensation", 19, forgotten_event_ids=["k7"]),
    ]
]

RARE = {
    "gemini: rare rows": ("gemini", GEMINI),
    "pi: rare rows": ("pi", PI),
    "pi: without ids": ("pi", PI_WITHOUT_IDS),
    "sweagent: rare messages": ("sweagent", SWEAGENT),
    "sweagent: mini": ("sweagent", MINI),
    "openai_chat: rare messages": ("openai_chat", CHAT),
    "inspect: rare samples": ("inspect", INSPECT),
    "openhands: rare events": ("openhands", OPENHANDS),
    "openhands: of the kit": ("openhands", OPENHANDS_SDK),
}
"""Name → format and good rows."""
