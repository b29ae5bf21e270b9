"""pi / OpenClaw: v1 and v3, the tree of entries, compactions and what is in the context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawvm_es.importers.pi import parse
from clawvm_es.importers.recording import Recording
from clawvm_es.model.commands import Command
from clawvm_es.model.events import ToolCalled
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.observe.steps import ContextDropped, ModelMessage, Summary, ToolResult, UserMessage

Jsonl = Callable[[list[Any]], bytes]
Translate = Callable[[Recording], list[Command]]
HEADER = {"type": "session", "version": 3, "id": "s", "cwd": "/w", "timestamp": "2026-01-01T00:00:00Z"}


def said(entry_id: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message entry."""
    message = {"role": role, "content": content, **more}
    return {"type": "message", "id": entry_id, "parentId": parent, "message": message}


def call(call_id: str, name: str = "read", **arguments: Any) -> dict[str, Any]:
    """A toolCall block."""
    return {"type": "toolCall", "id": call_id, "name": name, "arguments": arguments}


def one(jsonl: Jsonl, rows: list[Any]) -> Recording:
    """The session of a file."""
    (recording,) = parse(jsonl([HEADER, *rows]), "test.jsonl")
    return recording


def test_an_entry_is_a_turn_unless_it_is_empty(jsonl: Jsonl) -> None:
    """Each assistant entry with a text or call is a turn; aborted ones without are counted."""
    text = {"type": "text", "text": "hello"}
    recording = one(
        jsonl,
        [
            said("a", None, "user", "hi"),
            said("b", "a", "assistant", [], stopReason="aborted"),
            said("c", "b", "assistant", [text, call("t", path="x")], usage={"input": 1, "cacheRead": 5, "output": 2}),
            said("d", "c", "toolResult", [text], toolCallId="t", toolName="read", isError=True),
        ],
    )
    assert recording.session_id == "s" and recording.turns == 1 and recording.skipped == {"empty_turn": 1}
    _, turn, result = recording.steps
    assert isinstance(turn, ModelMessage) and turn.calls[0].cwd == "/w"
    assert (turn.usage.input_tokens, turn.usage.cached_tokens, turn.usage.output_tokens) == (6, 5, 2)
    assert isinstance(result, ToolResult) and result.status is ReturnStatus.ERROR


def test_blocks_of_an_answer_that_are_none_are_counted_by_what_they_are(jsonl: Jsonl) -> None:
    """A text that is no string, a block of another kind, thoughts without a word; what stands beside them stays."""
    blocks = [
        {"type": "text", "text": 7},
        {"type": "text", "text": "hello"},
        {"type": "hologram"},
        {"type": "thinking", "thinking": " "},
        {"type": "thinking", "thinking": "hm"},
    ]
    recording = one(jsonl, [said("a", None, "assistant", blocks)])
    (turn,) = recording.steps
    assert isinstance(turn, ModelMessage) and (turn.texts, turn.thinking) == (("hello",), ("hm",))
    assert recording.skipped == {"unknown_block": 2, "thinking": 1}


def test_repeated_call_ids_pair_with_the_latest_unanswered_call(jsonl: Jsonl) -> None:
    """Two calls under one id get their results in order, newest call first where both wait."""
    recording = one(
        jsonl,
        [
            said("a", None, "assistant", [call("t")]),
            said("b", "a", "toolResult", "one", toolCallId="t"),
            said("c", "b", "assistant", [call("t")]),
            said("d", "c", "assistant", [call("t")]),
            said("e", "d", "toolResult", "three", toolCallId="t"),
        ],
    )
    found = [(step.call, step.text) for step in recording.steps if isinstance(step, ToolResult)]
    assert found == [(1, "one"), (3, "three")]
    assert recording.skipped == {"call_without_result": 1}


def test_compaction_keeps_from_its_first_kept_entry(jsonl: Jsonl) -> None:
    """A v3 compaction keeps the path from firstKeptEntryId; an unknown id keeps nothing."""
    rows = [said("a", None, "user", "old"), said("b", "a", "user", "kept"), said("c", "b", "user", "newer")]
    compaction = {"type": "compaction", "id": "k", "parentId": "c", "summary": "story", "firstKeptEntryId": "b"}
    *_, boundary, summary = one(jsonl, [*rows, compaction]).steps
    assert isinstance(boundary, ContextDropped) and boundary.boundary is Boundary.COMPACT
    assert boundary.kept_lines == {3, 4}
    assert isinstance(summary, Summary) and summary.text == "story"
    *_, lost, _ = one(jsonl, [*rows, {**compaction, "firstKeptEntryId": "nowhere"}]).steps
    assert isinstance(lost, ContextDropped) and lost.kept_lines == frozenset()


def test_v1_has_no_ids_and_counts_entries(jsonl: Jsonl) -> None:
    """In v1 firstKeptEntryIndex counts all entries, the header too; the same line again is a duplicate."""
    user = {"type": "message", "timestamp": "2026-01-01T00:00:01Z", "message": {"role": "user", "content": "a"}}
    other = {**user, "timestamp": "2026-01-01T00:00:02Z"}
    compaction = {"type": "compaction", "summary": "s", "firstKeptEntryIndex": 2}
    recording = parse(jsonl([{**HEADER, "version": 1}, user, other, other, compaction]), "v1")[0]
    boundary = recording.steps[-2]
    assert isinstance(boundary, ContextDropped) and boundary.kept_lines == {3, 4}
    assert recording.skipped == {"duplicate_record": 1}


def test_another_branch_changes_the_recorded_context(jsonl: Jsonl) -> None:
    """An entry on an older parent prunes the abandoned branch; what both branches share stays."""
    rows = [
        said("a", None, "user", "root"),
        said("b", "a", "user", "first try"),
        said("c", "a", "user", "second try"),
        {"type": "branch_summary", "id": "d", "parentId": "c", "summary": "what the first try found"},
        said("e", "unknown", "user", "lost parent"),
    ]
    recording = one(jsonl, rows)
    boundaries = [step for step in recording.steps if isinstance(step, ContextDropped)]
    assert [(b.boundary, b.kept_lines) for b in boundaries] == [(Boundary.PRUNE, {2})]
    assert any(isinstance(step, Summary) for step in recording.steps)
    assert recording.skipped == {"unknown_parent": 1}


def test_a_branch_before_a_compaction_brings_its_context_back(jsonl: Jsonl) -> None:
    """Going back to an entry before a compaction restores the path to it."""
    rows = [
        said("a", None, "user", "one"),
        said("b", "a", "user", "two"),
        {"type": "compaction", "id": "k", "parentId": "b", "summary": "s", "firstKeptEntryId": "b"},
        said("c", "b", "user", "three"),
    ]
    boundaries = [step.kept_lines for step in one(jsonl, rows).steps if isinstance(step, ContextDropped)]
    assert boundaries == [{3}, {2, 3}]


def test_what_is_in_the_context_and_what_is_not(jsonl: Jsonl) -> None:
    """custom_message and shell commands of the user are in the context; settings, labels and custom are counted."""
    rows = [
        {"type": "custom_message", "id": "a", "parentId": None, "content": "note"},
        {"type": "custom", "id": "b", "parentId": "a", "data": {}},
        {"type": "label", "id": "c", "parentId": "b"},
        {"type": "model_change", "id": "d", "parentId": "c"},
        {
            "type": "message",
            "id": "e",
            "parentId": "d",
            "message": {"role": "bashExecution", "command": "ls", "output": "x"},
        },
        {"type": "brand_new", "id": "f", "parentId": "e"},
    ]
    recording = one(jsonl, rows)
    note, shell = recording.steps
    assert isinstance(note, UserMessage) and note.harness
    assert isinstance(shell, UserMessage) and shell.text == "Ran `ls`\n```\nx\n```" and not shell.harness
    assert recording.skipped == {"custom": 1, "label": 1, "setting_change": 1, "unknown_record": 1}


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"output": ""}, "Ran `ls`\n(no output)"),
        ({"output": "x", "exitCode": 0}, "Ran `ls`\n```\nx\n```"),
        ({"output": "x", "exitCode": 2}, "Ran `ls`\n```\nx\n```\n\nCommand exited with code 2"),
        ({"output": "x", "exitCode": 2, "cancelled": True}, "Ran `ls`\n```\nx\n```\n\n(command cancelled)"),
        (
            {"output": "x", "truncated": True, "fullOutputPath": "/o"},
            "Ran `ls`\n```\nx\n```\n\n[Output truncated. Full output: /o]",
        ),
    ],
)
def test_a_command_of_the_user_is_what_pi_tells_the_model_of_it(jsonl: Jsonl, told: Any, text: str) -> None:
    """The model sees the command, its output, and how it ended where it failed, was cancelled or cut."""
    message = {"role": "bashExecution", "command": "ls", **told}
    (step,) = one(jsonl, [{"type": "message", "id": "a", "parentId": None, "message": message}]).steps
    assert isinstance(step, UserMessage) and step.text == text


def test_calls_of_an_answer_that_was_aborted_are_not_sent_back(jsonl: Jsonl, translate: Translate) -> None:
    """They are in no exchange and count nothing; what the answer said stays, as older versions of pi sent it."""
    half = [{"type": "text", "text": "half"}, call("t", path="x")]
    rows = [
        said("a", None, "user", "hi"),
        said("b", "a", "assistant", half, stopReason="aborted"),
        said("c", "b", "assistant", [call("u", path="y")], stopReason="toolUse"),
        said("d", "c", "assistant", half, stopReason="error"),
    ]
    recording = one(jsonl, rows)
    uses = [use for step in recording.steps if isinstance(step, ModelMessage) for use in step.calls]
    assert [use.unsent for use in uses] == [True, False, True]
    assert not any(isinstance(step, ContextDropped) for step in recording.steps)
    called = [each.data for each in translate(recording) if isinstance(each.data, ToolCalled)]
    assert [bool(data.levels) for data in called] == [False, True, False]
    assert [data.group for data in called] == [None, 2, None]


@pytest.mark.parametrize("reason", ["aborted", "error"])
def test_newer_versions_of_pi_send_back_nothing_of_such_an_answer(jsonl: Jsonl, reason: str) -> None:
    """Since 19 January 2026 its text leaves the context at once, and no branch brings it back."""
    at = "2026-01-19T00:00:00Z"
    text = [{"type": "text", "text": "half"}]
    rows = [
        said("a", None, "user", "hi"),
        {**said("b", "a", "assistant", text, stopReason=reason), "timestamp": at},
        {**said("c", "b", "assistant", [], stopReason=reason), "timestamp": at},
        said("d", "c", "user", "on"),
        said("e", "b", "user", "another way"),
        {**said("f", "e", "assistant", text, stopReason="stop"), "timestamp": at},
    ]
    steps = one(jsonl, rows).steps
    assert [(step.cut, step.kept_lines) for step in steps if isinstance(step, ContextDropped)] == [
        (Cut.REWIND, {2}),
        (Cut.REWIND, {2}),
    ]
    assert [type(step) for step in steps[:3]] == [UserMessage, ModelMessage, ContextDropped]
