"""`clawvm-trace`: a session written as a trace and replayed decides the same; damage is named by line and path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read, write_trace
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.codec import to_plain
from clawvm_es.model.events import SessionOpened
from clawvm_es.projections.digest import decision_digest


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journal in memory."""
    with Journal.open(":memory:", seed=7) as found:
        yield found


def exported(journal: Journal, session_id: str) -> list[str]:
    """The lines of a session's trace."""
    return list(write_trace(session_id, journal.log.read(session_id), journal.log.vault(session_id).open))


def digest(journal: Journal, session_id: str) -> str:
    """The decision digest of a session."""
    return decision_digest(journal.log.read(session_id))


def put(folder: Path, lines: list[str]) -> Path:
    """A trace as a file."""
    path = folder / "some.trace"
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("policy", ["clawvm", "retrieval"])
def test_a_recorded_session_replays_from_its_trace(
    traces: Path, tmp_path: Path, journal: Journal, policy: str
) -> None:
    """LAW-TRACE-1: a Claude Code session, exported and replayed, has the same decision digest and the same trace."""
    path = traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl"
    settings = ReplaySettings(policy=profile(policy), budget_tokens=4000, counter="lines4")
    for session in replay(journal, path, settings):
        lines = exported(journal, session.session_id)
        with Journal.open(":memory:") as other:
            (again,) = replay(other, put(tmp_path, lines))
            assert again.session_id == session.session_id
            assert digest(other, again.session_id) == digest(journal, session.session_id)
            assert exported(other, again.session_id)[2:] == lines[2:]


def test_a_live_session_replays_from_its_trace(tmp_path: Path, journal: Journal) -> None:
    """LAW-TRACE-1 with everything a harness may do: tools, recalls, updates, pins, budgets, boundaries, odd text."""
    settings = Settings(fields={"timezone": FieldSchema("string", 100)})
    with journal.session("live/1", budget_tokens=600, counter="lines4", settings=settings) as session:
        session.write_page("bootstrap", "Rules.\nNever guess.\n")
        plan = session.write_page("plan", "- [ ] one\n- [ ] two", author="model")
        session.user_says("hello \0 \ud800 <page>")
        session.assemble(hints=[plan])
        (call,) = session.observe_model("I look", [("look", {"n": 1.5})])
        session.observe_result(call, "x" * 5000)
        session.recall("who", ["ada"])
        session.stage("timezone", "set_with_version", "UTC")
        session.stage("undeclared", "append", {"a": 1})
        session.pin(plan, "hard")
        session.compact()
        session.set_budget(300)
        session.assemble()
        session.reset()
        session.assemble()
        session.close()
    lines = exported(journal, "live/1")
    with Journal.open(":memory:") as other:
        replay(other, put(tmp_path, lines))
        assert digest(other, "live/1") == digest(journal, "live/1")


LINES: list[dict[str, Any]] = [
    {"format": "clawvm-trace", "version": 1, "session_id": "s"},
    {"type": "session_opened", "at_us": 1, "data": to_plain(SessionOpened(profile("clawvm"), 100, "lines4", 1))},
    {
        "type": "tool_called",
        "at_us": 2,
        "data": {"call": 1, "tool": "look", "arguments": {"text": "secret words"}, "reads": [1]},
    },
]


def damaged(line: int, *path: str | int, value: Any) -> list[str]:
    """`LINES` with one value replaced."""
    rows: list[Any] = json.loads(json.dumps(LINES))
    inner: Any = rows[line - 1]
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return [json.dumps(row) + "\n" for row in rows]


def test_a_trace_is_read(tmp_path: Path) -> None:
    """The opening stands apart, the other inputs are steps; blank lines do not count."""
    (recording,) = read(put(tmp_path, ["\n", *damaged(1, "session_id", value="s")]))
    assert recording.session_id == "s" and recording.format == "clawvm_trace" and recording.began_us == 1
    assert recording.opened is not None and recording.opened.budget_tokens == 100
    assert len(recording.steps) == 1


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (damaged(1, "version", value=9), "line 1: no header"),
        (damaged(2, "type", value="page_pinned"), "session_opened"),
        (damaged(2, "data", "budget_tokens", value="100"), r"line 2: .*budget_tokens"),
        (damaged(3, "type", value="novelty"), r"line 3: \$\.type"),
        (damaged(3, "at_us", value="now"), r"line 3: \$\.at_us: expected int"),
        (damaged(3, "schema_version", value=9), r"line 3: \$\.schema_version"),
        (damaged(3, "data", "call", value=2**53), r"line 3: .*\$\.data\.call"),
        (damaged(3, "data", "reads", 0, value="one"), r"line 3: .*\$\.data\.reads\[0\]"),
        (damaged(3, "data", "extra", value=1), r"line 3: .*extra"),
        (damaged(3, "data", "arguments", value="secret words"), r"line 3: \$\.data\.arguments: expected a body"),
        (damaged(3, "data", "tool", value="some words"), r"line 3: \$\.data\.tool: expected a name"),
        (damaged(3, "data", "invalidates", value=["tea"]), r"line 3: .*\$\.data\.invalidates\[0\]"),
        (damaged(3, "principal", value="a b"), r"line 3: \$\.principal"),
        ([*damaged(1, "version", value=2), '{"type": "to'], "line 4: not JSON"),
        ([*damaged(1, "version", value=2), "[" * 5000], "line 4: nested too deep"),
    ],
)
def test_damage_is_named(tmp_path: Path, lines: list[str], where: str) -> None:
    """What is wrong in a trace is told with file, line and JSON path, in one line."""
    path = put(tmp_path, lines)
    with pytest.raises(UnreadableInput, match=where) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_erased_bodies_are_marked(journal: Journal) -> None:
    """A body that is no longer there stands as absent, never as a commitment."""
    with journal.session("s", counter="lines4") as session:
        session.write_page("conversation", "gone")
    lines = list(write_trace("s", journal.log.read("s"), lambda commitment: None))
    assert '"absent":true' in lines[2] and "gone" not in "".join(lines)
