"""OpenAI chat messages: shapes of files, pairing by id, identity by content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read_bytes
from clawvm_es.importers.openai_chat import parse
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.steps import ModelMessage, SystemMessage, ToolResult, UserMessage


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    """A tool call."""
    return {"id": call_id, "type": "function", "function": {"name": "get_user_details", "arguments": arguments}}


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": None, "tool_calls": [call("t", '{"user_id": "u1", "n": 1.50}')]},
    {"role": "tool", "tool_call_id": "t", "content": "Error: user not found"},
    {"role": "assistant", "content": "", "tool_calls": None},
    {"role": "assistant", "content": [{"type": "text", "text": "sorry"}]},
]


def test_what_anthropic_runs_itself_and_texts_in_documents() -> None:
    """Results of the provider's own tools, documents of text and search results are texts that the model saw."""
    page = {"type": "web_search_result", "title": "T", "url": "u", "encrypted_content": "E"}
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "document"}}
    answer = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [page]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    hit = {"type": "search_result", "source": "u", "title": "T", "content": [{"type": "text", "text": "hit"}]}
    messages = [
        {"role": "user", "content": [plain]},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [hit]}]},
    ]
    (found,) = read_bytes(json.dumps({"messages": messages}).encode(), "f")
    asked, called, searched, returned = found.steps
    assert isinstance(asked, UserMessage) and (asked.text, asked.images) == ("document", ())
    assert isinstance(called, ModelMessage) and {call.name for call in called.calls} == {"web_search", "f"}
    assert isinstance(searched, ToolResult) and searched.text == "T\nu"
    assert isinstance(returned, ToolResult) and returned.text == "u\nT\nhit"
    assert found.skipped == {"encrypted": 1, "thinking": 1}


def test_blocks_of_anthropic_are_calls_and_results() -> None:
    """A request to Anthropic's API has calls, results, thoughts and images as blocks, its system prompt beside."""
    use = {"type": "tool_use", "id": "t1", "name": "read_file", "input": {"path": "a"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "is_error": True,
        "content": [{"type": "text", "text": "no"}],
    }
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hello"}, image]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}, use],
        },
        {"role": "user", "content": [result, {"type": "text", "text": "and b"}]},
        {"role": "assistant", "content": "done"},
    ]
    (recording,) = parse(
        json.dumps({"system": [{"type": "text", "text": "rules"}], "messages": messages}).encode(), "x"
    )
    system, user, turn, told, more, last = recording.steps
    assert isinstance(system, SystemMessage) and system.text == "rules"
    assert isinstance(user, UserMessage) and user.text == "hello" and user.images[0].media_type == "image/png"
    assert isinstance(turn, ModelMessage) and turn.calls[0].name == "read_file" and turn.thinking == ("hm",)
    assert turn.calls[0].arguments == {"path": "a"} and turn.texts == ("ok",)
    assert isinstance(told, ToolResult) and (told.text, told.status) == ("no", ReturnStatus.ERROR)
    assert told.call == turn.calls[0].call
    assert isinstance(more, UserMessage) and more.text == "and b" and isinstance(last, ModelMessage)
    assert not recording.skipped


def test_messages_of_parts_are_those_of_another_program() -> None:
    """Messages that hold `parts` and no content say nothing here: they are refused, not read as empty ones."""
    with pytest.raises(UnreadableInput):
        read_bytes(json.dumps({"messages": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode(), "x")


def test_messages_become_steps() -> None:
    """Roles, calls with JSON arguments, errors by their prefix; lines count messages, times are seconds."""
    (recording,) = parse(json.dumps(MESSAGES).encode(), "chat")
    system, user, turn, result, last = recording.steps
    assert isinstance(system, SystemMessage) and isinstance(user, UserMessage)
    assert isinstance(turn, ModelMessage) and turn.calls[0].arguments == {"user_id": "u1", "n": "1.50"}
    assert isinstance(result, ToolResult) and result.status is ReturnStatus.ERROR and result.lines.first == 4
    assert isinstance(last, ModelMessage) and last.texts == ("sorry",) and last.at_us == 6_000_000
    assert recording.skipped == {"empty_turn": 1}


@pytest.mark.parametrize(
    "value",
    [
        MESSAGES,
        {"messages": MESSAGES},
        [{"messages": MESSAGES}],
        [{"traj": MESSAGES, "task_id": 3, "trial": 0}],
    ],
)
def test_shapes_of_files(value: Any) -> None:
    """A list of messages, one session, and a list of sessions hold the same steps."""
    (recording,) = parse(json.dumps(value).encode(), "chat")
    assert len(recording.steps) == 5


def test_identity_is_content_task_and_trial() -> None:
    """Blanks and the order of keys do not matter; content, task and trial do; the file's name never does."""
    session = {"traj": MESSAGES, "task_id": 3, "trial": 0}
    (first,) = parse(json.dumps([session]).encode(), "here")
    (second,) = parse(json.dumps([dict(reversed(session.items()))], indent=2).encode(), "there")
    (third,) = parse(json.dumps([{**session, "trial": 1}]).encode(), "here")
    (fourth,) = parse(json.dumps([{**session, "traj": MESSAGES[:-1]}]).encode(), "here")
    assert first.session_id == second.session_id
    assert first.session_id.endswith("-task-3-trial-0")
    assert len({first.session_id, third.session_id, fourth.session_id}) == 3


def test_damaged_json_is_one_line() -> None:
    """A cut file names what is wrong; a session without messages is counted."""
    with pytest.raises(UnreadableInput, match="is not JSON") as caught:
        parse(json.dumps(MESSAGES).encode()[:-20], "chat.json")
    assert str(caught.value).startswith("chat.json: ")
    (recording,) = parse(json.dumps([{"traj": MESSAGES}, {"traj": 5}]).encode(), "chat")
    assert recording.skipped == {"empty_turn": 1, "malformed_record": 1}


def test_arguments_that_are_no_object_are_kept() -> None:
    """Arguments that are no JSON object stand as one text."""
    messages = [{"role": "assistant", "tool_calls": [call("a", "{broken"), call("b", "[" * 10_000)]}]
    (recording,) = parse(json.dumps(messages).encode(), "chat")
    (turn,) = recording.steps
    assert isinstance(turn, ModelMessage)
    assert [set(use.arguments) for use in turn.calls] == [{"input"}, {"input"}]


def test_a_session_that_stands_twice_in_a_file_is_read_once_and_counted() -> None:
    """The same task, trial and messages again are a duplicate, told by their count."""
    twin = {"task_id": 1, "trial": 0, "traj": MESSAGES}
    recordings = parse(json.dumps([twin, twin, {**twin, "trial": 1}]).encode(), "chat")
    assert [recording.skipped.get("duplicate_record", 0) for recording in recordings] == [1, 0]


ARGUMENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"arguments": '{"a": [1]}'}, {"a": [1]}),
    ({"arguments": {"a": [1]}}, {"a": [1]}),
    ({"arguments": ""}, {}),
    ({"arguments": " \n"}, {}),
    ({"arguments": "7"}, {"input": 7}),
    ({"arguments": "[1]"}, {"input": [1]}),
    ({"arguments": "{broken"}, {"input": "{broken"}),
    ({"arguments": None}, {"input": None}),
    ({"arguments": 7}, {"input": 7}),
    ({"arguments": [1]}, {"input": [1]}),
    ({"input": "ls"}, {"input": "ls"}),
    ({"input": ""}, {"input": ""}),
    ({"input": {"a": 1}}, {"input": {"a": 1}}),
    ({"input": None}, {"input": None}),
    ({}, {"input": None}),
    ({"arguments": '{"a": 1}', "input": "ls"}, {"a": 1}),
    ({"arguments": "", "input": "ls"}, {}),
    ({"arguments": None, "input": "ls"}, {"input": None}),
]


@pytest.mark.parametrize("place", ["function", "custom", "function_call"])
@pytest.mark.parametrize(("told", "expected"), ARGUMENTS, ids=json.dumps)
def test_the_arguments_of_a_call_are_those_it_has_in_any_form(
    place: str, told: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An object, JSON text of one, a custom tool's text, or anything else as the argument `input`."""
    made = {place: {"name": "t", **told}}
    message = {"role": "assistant", **(made if place == "function_call" else {"tool_calls": [{"id": "c", **made}]})}
    (recording,) = parse(json.dumps([{"role": "user", "content": "go"}, message]).encode(), "chat")
    turn = recording.steps[-1]
    assert isinstance(turn, ModelMessage)
    assert [(use.name, use.arguments) for use in turn.calls] == [("t", expected)]
