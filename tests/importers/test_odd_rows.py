"""JSON of the wrong type in every kind of row that the model saw or did not see (A7): counted, or one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importers.test_claude_rows import SEEN, UNSEEN, user
from tests.importers.test_odd_json import ODD, changed, odd_values, places, translated

PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
_CALL = {"name": "f", "arguments": "{}"}
CLAUDE: dict[str, list[Any]] = {
    **SEEN,
    **{name: rows for name, (rows, _) in UNSEEN.items()},
    "image": [user([{"type": "image", "source": PNG}, {"type": "document", "source": PNG}])],
    "boundary": [
        {
            "type": "system",
            "subtype": "compact_boundary",
            "uuid": "c",
            "parentUuid": None,
            "sessionId": "s",
            "compactMetadata": {
                "preservedSegment": {"headUuid": "a", "tailUuid": "b"},
                "preservedMessages": {"uuids": ["a"]},
            },
        }
    ],
    "stream": [
        {"type": "system", "subtype": "init", "session_id": "s", "cwd": "/w", "uuid": "i"},
        {"type": "user", "session_id": "s", "parent_tool_use_id": "t", "message": {"content": "x"}, "uuid": "j"},
    ],
}
CHATS: dict[str, list[Any]] = {
    "function_call": [
        {"role": "assistant", "content": None, "function_call": _CALL, "refusal": "no", "reasoning_content": "hm"},
        {"role": "function", "name": "f", "content": "x"},
    ],
    "custom": [
        {"role": "assistant", "tool_calls": [{"id": 3, "type": "custom", "custom": {"name": "f", "input": "x"}}]}
    ],
    "parts": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "usage": {"prompt_tokens": 3}},
    ],
}


def claude(rows: list[Any]) -> bytes:
    """A file of these rows behind a good one."""
    return "".join(f"{json.dumps(row)}\n" for row in [user("hello"), *rows]).encode()


def chat(messages: list[Any]) -> bytes:
    """A chat of these messages behind a good one."""
    return json.dumps([{"role": "user", "content": "go"}, *messages]).encode()


CASES = [
    *((f"claude: {name}", claude, rows, "claude_code") for name, rows in CLAUDE.items()),
    *((f"chat: {name}", chat, rows, "openai_chat") for name, rows in CHATS.items()),
]


@pytest.mark.parametrize(("name", "written", "rows", "format_"), CASES, ids=[case[0] for case in CASES])
def test_any_odd_value_in_any_row(name: str, written: Any, rows: list[Any], format_: str) -> None:
    """One odd or missing value at every place of a row in turn is counted, or the file refused in one line."""
    for path in places(rows):
        for odd in ODD:
            assert translated(written(changed(rows, path, odd)), format_) is not None, (name, path, odd)


@settings(deadline=None)
@given(data=st.data())
def test_odd_values_in_many_rows(data: st.DataObject) -> None:
    """Rows of many kinds, with odd values among them, never raise, whatever their order."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(CLAUDE)), min_size=1, max_size=6))
    rows = [row for kind in kinds for row in CLAUDE[kind]]
    for _ in range(data.draw(st.integers(0, 4))):
        path = data.draw(st.sampled_from(list(places(rows)) or [()]))
        if path:
            rows = changed(rows, path, data.draw(odd_values))
    assert translated(claude(rows), data.draw(st.sampled_from((None, "claude_code")))) is not None
