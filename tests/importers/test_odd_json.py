"""JSON of the wrong type is counted or refused in one line, in every format; nothing else ever comes out."""

from __future__ import annotations

import contextlib
import copy
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.core.profiles import profile
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, UnreadableInput
from clawvm_es.importers import FORMATS, Recording, commands, export_trace, read_bytes
from clawvm_es.model.events import SessionOpened
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import counter
from tests.importers import bases
from tests.importers.conftest import SeededVault

OPENED = SessionOpened(profile("clawvm"), 16_000, "lines4", 1)
AT = "2025-01-01T00:00:0%d.000Z"


def _claude(kind: str, number: int, message: Any = None, **more: Any) -> dict[str, Any]:
    row = {"type": kind, "uuid": f"u{number}", "parentUuid": f"u{number - 1}", "sessionId": "abc", "cwd": "/w"}
    return {**row, "timestamp": AT % number, "message": message, **more}


_USE = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "/w/a.py", "offset": 3}}
_TODOS = {"todos": [{"content": "build it", "status": "in_progress", "activeForm": "building"}]}
_NESTED = {"type": "assistant", "uuid": "n1", "message": {"id": "m9", "content": [{"type": "text", "text": "yes"}]}}
_PLAN = {"type": "tool_use", "id": "t2", "name": "TodoWrite", "input": _TODOS}
_BASH = {"type": "tool_use", "id": "t3", "name": "Bash", "input": {"command": "ls"}}
_ANSWER = [{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "I look"}, _USE]
_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "1\tdef f(): pass"}]}
_USAGE = {"input_tokens": 3, "output_tokens": 1}
CLAUDE: list[Any] = [
    {"type": "summary", "summary": "s", "leafUuid": "u1"},
    _claude("user", 1, {"role": "user", "content": "look at a.py"}),
    _claude("assistant", 2, {"id": "m1", "model": "x", "usage": _USAGE, "content": _ANSWER}),
    _claude("user", 3, {"content": [_RESULT]}, toolUseResult={"interrupted": False}),
    _claude(
        "assistant", 4, {"id": "m2", "content": [{**_USE, "id": "t2", "name": "TodoWrite", "input": _TODOS}, _BASH]}
    ),
    _claude("user", 5, {"content": [{"type": "tool_result", "tool_use_id": "t2", "content": "ok"}]}),
    _claude("system", 6, subtype="microcompact_boundary", microcompactMetadata={"compactedToolIds": ["t1"]}),
    _claude("system", 7, subtype="compact_boundary", content="c"),
    _claude("user", 8, {"content": "summary"}, isCompactSummary=True),
    {"type": "progress", "data": {"type": "agent_progress", "agentId": "a1", "message": _NESTED}},
    _claude("user", 9, {"content": "side"}, isSidechain=True, agentId="a2"),
]


def _pi(number: int, kind: str = "message", **more: Any) -> dict[str, Any]:
    parent = f"e{number - 1}" if number > 1 else None
    return {"type": kind, "id": f"e{number}", "parentId": parent, "timestamp": 1, **more}


_EDITS = {"path": "a", "edits": [{"oldText": "x" * 20}]}
_PI_USE = [{"type": "text", "text": "a"}, {"type": "toolCall", "id": "c1", "name": "edit", "arguments": _EDITS}]
PI: list[Any] = [
    {"type": "session", "version": 3, "id": "s", "timestamp": AT % 1, "cwd": "/w"},
    _pi(1, message={"role": "user", "content": [{"type": "text", "text": "hi"}]}),
    _pi(2, message={"role": "assistant", "content": _PI_USE, "usage": {"input": 3, "output": 2}}),
    _pi(3, message={"role": "toolResult", "toolCallId": "c1", "content": [{"type": "text", "text": "r"}]}),
    _pi(4, message={"role": "bashExecution", "command": "ls", "output": "a"}),
    _pi(5, "compaction", summary="s", firstKeptEntryId="e3"),
    _pi(6, "custom_message", content="c"),
    {**_pi(7, "branch_summary", summary="b"), "parentId": "e2"},
]
_FUNCTION = {"name": "get_order_details", "arguments": '{"order_id": "#W123456"}'}
_CALLS = [{"id": "c1", "type": "function", "function": _FUNCTION}]
CHAT: list[Any] = [
    {
        "task_id": 1,
        "trial": 0,
        "traj": [
            {"role": "system", "content": "You must help.\n- Never guess."},
            {"role": "user", "content": [{"type": "text", "text": "order #W123456"}]},
            {"role": "assistant", "content": "I look", "tool_calls": _CALLS},
            {"role": "tool", "tool_call_id": "c1", "content": '{"status": "pending"}'},
        ],
    }
]


def _trace() -> list[Any]:
    with Journal.open(":memory:", clock=lambda: 0) as journal:
        with journal.session("s", counter="lines4") as session:
            session.write_page("bootstrap", "- You must be careful.")
            session.user_says("hello")
            session.assemble()
            (call,) = session.observe_model("I look", [("search", {"q": 1})])
            session.observe_result(call, "found")
            session.recall("q", ["m"])
            session.compact()
        return [json.loads(line) for line in export_trace(journal.log, "s")]


BASES: dict[str, list[Any]] = {
    "claude_code": CLAUDE,
    "pi": PI,
    "openai_chat": CHAT,
    "clawvm_trace": _trace(),
    **bases.LINES,
    **bases.DOCUMENTS,
}
DEEP: Any = "x"
for _ in range(400):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (None, 7, 7.5, 10**400, "\ud800", [{}], {"type": {}}, ..., DEEP)
"""One of each kind of value, and `...` for a missing one."""
ODDER = (*ODD, True, 0, -1, 2**53, 2**63, float("nan"), float("inf"), "", "\0", "\u202e", "1" * 300, [], [[]], {})
TIMES = ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-23:59", "2025", "-1")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(rows: list[Any], path: tuple[Any, ...], odd: Any) -> list[Any]:
    """The rows with another value at a path; `...` for a missing one. A path that is gone changes nothing."""
    rows = copy.deepcopy(rows)
    *outer, last = path
    node: Any = rows
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for key in outer:
            node = node[key]
        if odd is ...:
            del node[last]
        else:
            node[last] = odd
    return rows


PATHS = {name: list(places(rows)) for name, rows in BASES.items()}
_names = st.sampled_from(("type", "text", "role", "id"))
odd_values = st.sampled_from((*ODDER, *TIMES)) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=4,
)


def written(name: str, rows: list[Any]) -> bytes:
    """The bytes of a file of a format."""
    if name in bases.DOCUMENTS:
        return json.dumps(rows[0] if rows else None).encode()
    text = json.dumps(rows) if name == "openai_chat" else "".join(f"{json.dumps(row)}\n" for row in rows)
    return text.encode()


def translated(data: bytes, format: str | None) -> tuple[Recording, ...]:
    """The recordings of a file, all of whose commands can be made; () where the file is refused in one line."""
    try:
        recordings = read_bytes(data, "f.jsonl", format)
        for recording in recordings:
            opened = recording.opened or OPENED
            tuple(commands(recording, Edge(SeededVault(), counter(opened.counter)), opened, Counter()))
    except ClawVMError as error:
        assert isinstance(error, UnreadableInput) and "\n" not in str(error) and "f.jsonl" in str(error), error
        str(error).encode()
        return ()
    return recordings


@pytest.mark.parametrize("name", FORMATS)
def test_the_bases_are_read_whole(name: str) -> None:
    """The files that are mutated here are good ones."""
    assert translated(written(name, BASES[name]), None)


@pytest.mark.sweep(sample=10)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_any_odd_value_anywhere(name: str, odd: Any) -> None:
    """One odd or missing value, at every place of a file in turn: counted, or the file is refused in one line."""
    for path in PATHS[name]:
        assert translated(written(name, changed(BASES[name], path, odd)), name) is not None


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None)
@given(data=st.data())
def test_odd_values_together(name: str, data: st.DataObject) -> None:
    """Several odd values at once, with the format named or detected."""
    rows = BASES[name]
    for path in data.draw(st.lists(st.sampled_from(PATHS[name]), min_size=1, max_size=5)):
        rows = changed(rows, path, data.draw(odd_values))
    assert translated(written(name, rows), data.draw(st.sampled_from((None, name)))) is not None
