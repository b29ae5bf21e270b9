"""Sessions of programs that are not read are refused by name, also where their rows look like others'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import FORMATS, detect, read_bytes
from clawvm_es.importers.strangers import known_objects
from clawvm_es.observe.fields import Fields
from tests.importers.test_odd_json import BASES, written

QWEN = {
    "uuid": "u",
    "sessionId": "s",
    "type": "user",
    "cwd": "/w",
    "message": {"role": "user", "parts": [{"text": "hi"}]},
}
DROID = [
    {"type": "session_start", "id": "s", "title": "t"},
    {"type": "message", "id": "m", "timestamp": "2026-01-01T00:00:00Z", "message": {"role": "user", "content": "hi"}},
]
SAID = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
STRANGERS: list[tuple[str, Any]] = [
    ("Qwen Code", [QWEN]),
    ("Factory Droid", DROID),
    ("GitHub Copilot CLI", [{"type": "session.start", "data": {"sessionId": "s"}, "id": "x"}]),
    ("GitHub Copilot chat", {"requesterUsername": "me", "requests": [{"message": {"text": "hi"}}]}),
    ("Cursor", [{"role": "user", "message": {"content": [{"type": "text", "text": "hi"}]}}]),
    ("OpenCode", {"info": {"id": "ses_1"}, "messages": [{"info": {"role": "user"}, "parts": []}]}),
    ("OpenCode", {"id": "msg_1", "sessionID": "ses_1", "role": "user"}),
    ("OpenCode", {"id": "ses_1", "projectID": "p", "directory": "/w"}),
    ("Continue", {"sessionId": "s", "title": "t", "history": [{"message": SAID}]}),
    ("Goose", [{"working_dir": "/w", "description": "d", "message_count": 1}, SAID]),
    ("before September 2025", [{"id": "s", "instructions": None}, {"type": "message", **SAID}]),
    ("before September 2025", [{"record_type": "state"}]),
    ("checkpoint of Gemini CLI", [[{"role": "user", "parts": [{"text": "hi"}]}]]),
    ("checkpoint of Gemini CLI", {"history": [{"role": "user", "parts": [{"text": "hi"}]}], "authType": "x"}),
    ("checkpoint of Gemini CLI", {"clientHistory": [{"role": "model", "parts": []}], "toolCall": {}}),
    ("prompts of Gemini CLI", [[{"sessionId": "s", "messageId": 0, "type": "user", "message": "hi"}]]),
    ("prompts of Claude Code", [{"display": "hi", "pastedContents": {}, "timestamp": 1, "project": "/w"}]),
    ("prompts of Codex", [{"session_id": "s", "ts": 1, "text": "hi"}]),
    ("index of Codex", [{"id": "s", "thread_name": "t", "updated_at": "2026-01-01T00:00:00Z"}]),
    ("event of OpenHands", {"id": 0, "source": "user", "action": "message", "args": {"content": "hi"}}),
    ("event of OpenHands", {"id": "e", "source": "user", "kind": "MessageEvent", "llm_message": {}}),
    ("Claude's web chats", [[{"uuid": "u", "name": "n", "chat_messages": [{"sender": "human", "text": "hi"}]}]]),
    ("ChatGPT", [[{"title": "t", "current_node": "n", "mapping": {"n": {}}}]]),
    ("LangSmith", [{"run_type": "llm", "inputs": {}, "outputs": {}}]),
    ("Langfuse", [[{"traceId": "t", "type": "GENERATION", "input": []}]]),
]


@pytest.mark.parametrize(("program", "value"), STRANGERS)
def test_other_programs_are_named(program: str, value: Any) -> None:
    """The refusal is one line, names the program, and says what is read."""
    rows = value if isinstance(value, list) else [value]
    for data in ("".join(f"{json.dumps(row)}\n" for row in rows), json.dumps(rows[0], indent=2)):
        with pytest.raises(UnreadableInput, match=f"f: looks like .*{program}.*, which is not read") as caught:
            read_bytes(data.encode(), "f")
        assert "\n" not in str(caught.value) and all(name in str(caught.value.hint) for name in FORMATS)


@pytest.mark.parametrize(
    ("data", "program"),
    [
        (b"SQLite format 3\0" + bytes(100), "Cursor"),
        (b"\n# aider chat started at 2026-01-01\n\n#### hi\n", "Aider"),
        (b"PK\x03\x04" + bytes(50), "zip archive"),
    ],
)
def test_other_programs_files_are_named(data: bytes, program: str) -> None:
    """Databases, Markdown and archives are told by their first bytes."""
    with pytest.raises(UnreadableInput, match=f"f: looks like .*{program}"):
        read_bytes(data, "f")


def test_a_row_with_one_member_of_another_programs_is_not_named_after_it() -> None:
    """`run_type` alone says nothing of LangSmith: the row is refused for what it is."""
    with pytest.raises(UnreadableInput) as refused:
        read_bytes(b'{"run_type": "llm"}\n', "f")
    assert "LangSmith" not in str(refused.value)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_read_is_no_stranger(name: str, traces: Path) -> None:
    """No row of a format that is read, and no recorded session, is taken for another program's."""
    for count in range(1, len(BASES[name]) + 1):
        try:
            read_bytes(written(name, BASES[name][-count:]), "f")
        except UnreadableInput as error:
            assert "looks like" not in str(error)
    folder = traces / {"openai_chat": "taubench"}.get(name, name)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        assert detect(path) == name


LEAST: list[tuple[str, dict[str, Any]]] = [
    *(("Qwen Code", {"type": kind, "message": {"parts": []}}) for kind in ("user", "assistant", "tool_result")),
    ("Factory Droid", {"type": "session_start", "id": "s"}),
    ("GitHub Copilot CLI", {"type": "session.start", "data": {}}),
    ("GitHub Copilot chat", {"requesterUsername": "me", "requests": []}),
    ("Cursor", {"role": "user", "message": {"content": "hi"}}),
    ("OpenCode", {"sessionID": "ses_1"}),
    ("OpenCode", {"id": "ses_1", "projectID": "p"}),
    ("OpenCode", {"info": {"id": "ses_1"}}),
    ("Continue", {"sessionId": "s", "history": [{"message": {}}]}),
    ("Goose", {"working_dir": "/w", "message_count": 1}),
    ("Goose", {"working_dir": "/w", "description": "d"}),
    ("before September 2025", {"record_type": "state"}),
    ("before September 2025", {"instructions": None, "id": "s"}),
    ("before September 2025", {"type": "message", "role": "user", "content": []}),
    ("Claude's web chats", {"chat_messages": []}),
    ("ChatGPT", {"current_node": "n", "mapping": {"n": {}}}),
    ("LangSmith", {"run_type": "llm", "inputs": {}}),
    *(("Langfuse", {"traceId": "t", "type": kind}) for kind in ("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL")),
]
"""A program, and the least that its objects are told by."""


def _without(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An object without each of its members, without what a member holds, and with another text in its place."""
    for name, held in value.items():
        yield {key: each for key, each in value.items() if key != name}
        if isinstance(held, (dict, list)) and held:
            yield {**value, name: type(held)()}
        if name in ("type", "record_type", "sessionID"):
            yield {**value, name: "other"}


@pytest.mark.parametrize(("program", "least"), LEAST)
def test_a_program_is_told_by_its_marks_and_by_nothing_less(program: str, least: dict[str, Any]) -> None:
    """Each set of marks names the program, whatever stands beside it; without any of them it is no program's."""
    for beside in ({}, {"x": 1, "title": "t"}):
        assert program in known_objects([Fields({**beside, **least})])
        assert program in known_objects([Fields(beside), Fields(least)])
    assert [known_objects([Fields(less)]) for less in _without(least)] == [""] * len(list(_without(least)))
