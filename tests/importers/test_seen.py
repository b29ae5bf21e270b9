"""pi and OpenAI messages (C1): what the model saw is in a page, once; all else is counted by reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clawvm_es.importers import Recording, read_bytes
from clawvm_es.model.commands import Command
from clawvm_es.model.events import ModelResponded
from tests.importers.test_claude_rows import CANARY, pages_with

Translate = Callable[[Recording], list[Command]]
Rows = list[dict[str, Any]]


def message(role: str, **more: Any) -> dict[str, Any]:
    """An entry with a message."""
    return {"type": "message", "message": {"role": role, **more}}


def words(text: str) -> list[dict[str, Any]]:
    """A text block."""
    return [{"type": "text", "text": text}]


CALL = message("assistant", content=[{"type": "toolCall", "id": "c", "name": "read", "arguments": {"path": "a"}}])
PI_SEEN: dict[str, Rows] = {
    "prompt": [message("user", content=CANARY)],
    "prompt in blocks": [message("user", content=words(CANARY))],
    "answer": [message("assistant", content=words(CANARY))],
    "result": [CALL, message("toolResult", toolCallId="c", content=words(CANARY))],
    "result without its call": [message("toolResult", toolCallId="x", content=words(CANARY))],
    "shell": [message("bashExecution", command="ls", output=CANARY)],
    "command of a shell": [message("bashExecution", command=CANARY, output="")],
    "hook": [message("hookMessage", content=CANARY)],
    "custom message": [{"type": "custom_message", "content": CANARY}],
    "custom in a message": [message("custom", content=words(CANARY))],
    "summary of a compaction": [{"type": "compaction", "summary": CANARY, "firstKeptEntryId": "x"}],
    "summary of a branch": [{"type": "branch_summary", "summary": CANARY, "fromId": "x"}],
}
PI_UNSEEN: dict[str, tuple[Rows, str]] = {
    "excluded shell": ([message("bashExecution", command="ls", output=CANARY, excludeFromContext=True)], "custom"),
    "custom entry": ([{"type": "custom", "data": CANARY}], "custom"),
    "label": ([{"type": "label", "label": CANARY}], "label"),
    "setting": ([{"type": "model_change", "modelId": CANARY}], "setting_change"),
    "name": ([{"type": "session_info", "name": CANARY}], "setting_change"),
    "entry of tomorrow": ([{"type": "novelty", "content": CANARY}], "unknown_record"),
    "role of tomorrow": ([message("novelty", content=CANARY)], "unknown_record"),
    "block of tomorrow": (
        [message("user", content=[{"type": "novelty", "x": CANARY}, *words("x")])],
        "unknown_block",
    ),
}
CHAT_CALL = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
CHAT_SEEN: dict[str, Rows] = {
    "system": [{"role": "system", "content": CANARY}],
    "developer": [{"role": "developer", "content": [{"type": "text", "text": CANARY}]}],
    "user": [{"role": "user", "content": CANARY}],
    "part": [{"role": "user", "content": [{"type": "text", "text": CANARY}]}],
    "answer": [{"role": "assistant", "content": CANARY}],
    "refusal": [{"role": "assistant", "content": None, "refusal": CANARY}],
    "refusal in a part": [{"role": "assistant", "content": [{"type": "refusal", "refusal": CANARY}]}],
    "spoken words": [{"role": "assistant", "content": None, "audio": {"id": "a", "transcript": CANARY}}],
    "result": [CHAT_CALL, {"role": "tool", "tool_call_id": "c", "content": CANARY}],
    "result of a function": [CHAT_CALL, {"role": "function", "name": "f", "content": CANARY}],
    "result without a call": [{"role": "tool", "content": CANARY}],
}
CHAT_UNSEEN: dict[str, tuple[Rows, str]] = {
    "role of tomorrow": ([{"role": "novelty", "content": CANARY}], "unknown_record"),
    "no role": ([{"content": CANARY}], "malformed_record"),
    "part of tomorrow": ([{"role": "user", "content": [{"type": "novelty", "x": CANARY}]}], "unknown_block"),
    "call of tomorrow": ([{"role": "assistant", "tool_calls": [{"novelty": CANARY}]}], "unknown_block"),
}


def pi(rows: Rows) -> Recording:
    """A session of pi with these entries."""
    head = {"type": "session", "version": 3, "id": "s", "cwd": "/w"}
    placed = [
        {"id": f"e{n}", "parentId": f"e{n - 1}" if n else None, **row}
        for n, row in enumerate([message("user", content="hello"), *rows])
    ]
    return read_bytes("".join(f"{json.dumps(row)}\n" for row in [head, *placed]).encode(), "s.jsonl")[0]


def chat(rows: Rows) -> Recording:
    """A chat with these messages."""
    return read_bytes(json.dumps([{"role": "user", "content": "hello"}, *rows]).encode(), "s.json")[0]


SEEN = [
    *((pi, name, rows) for name, rows in PI_SEEN.items()),
    *((chat, name, rows) for name, rows in CHAT_SEEN.items()),
]
UNSEEN = [(pi, *each) for each in PI_UNSEEN.items()] + [(chat, *each) for each in CHAT_UNSEEN.items()]


@pytest.mark.parametrize(("made", "name", "rows"), SEEN, ids=[f"{made.__name__}: {name}" for made, name, _ in SEEN])
def test_what_the_model_saw_is_in_a_page(made: Any, name: str, rows: Rows, translate: Translate, vault: Any) -> None:
    """A planted text in any kind of row that the model saw stands in a page; of a rule of the system in two."""
    assert len(pages_with(translate(made(rows)), vault, CANARY)) == 1, name


@pytest.mark.parametrize(
    ("made", "name", "case"), UNSEEN, ids=[f"{made.__name__}: {name}" for made, name, _ in UNSEEN]
)
def test_what_the_model_did_not_see_is_counted(
    made: Any, name: str, case: tuple[Rows, str], translate: Translate, vault: Any
) -> None:
    """A planted text in any other kind of row is in no page, and the row is counted by its reason."""
    rows, reason = case
    found = made(rows)
    assert not pages_with(translate(found), vault, CANARY)
    assert found.skipped.get(reason, 0) > 0, (name, found.skipped)


THINKING = [
    (pi, message("assistant", content=[{"type": "thinking", "thinking": CANARY}, *words("x")])),
    (chat, {"role": "assistant", "content": "x", "reasoning_content": CANARY}),
]


@pytest.mark.parametrize(("made", "row"), THINKING, ids=["pi", "chat"])
def test_thinking_is_kept_beside_the_answer(made: Any, row: Any, translate: Translate, vault: Any) -> None:
    """What the model thought is a body of its answer, and no page."""
    found = translate(made([row]))
    (answer,) = [command.data for command in found if isinstance(command.data, ModelResponded)]
    assert CANARY in vault.open(answer.thinking).decode()
    assert not pages_with(found, vault, CANARY)


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ("/home/me/2025-01-01_11111111-2222-4333-8444-555555555555.jsonl", "11111111-2222-4333-8444-555555555555"),
        ("C:\\s\\11111111-2222-4333-8444-555555555555.jsonl", "11111111-2222-4333-8444-555555555555"),
        ("first", "first"),
        ("/home/me/first.jsonl", None),
        ("", None),
    ],
)
def test_a_branched_session_names_its_parent(parent: str, expected: str | None) -> None:
    """The parent of a session of pi is named by its id, never by a path."""
    head = {"type": "session", "version": 3, "id": "s", "cwd": "/w", "parentSession": parent}
    (found,) = read_bytes(f"{json.dumps(head)}\n{json.dumps(message('user', content='x'))}\n".encode(), "s.jsonl")
    assert found.resumed_from == expected
