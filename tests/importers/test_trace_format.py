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
from clawvm_es.engine.session import Session
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import NewToolCall, UnreadableInput, UsageError
from clawvm_es.history import state_at
from clawvm_es.importers import export_trace, read, write_trace
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.importers.trace import VERSION
from clawvm_es.journal.codec import to_plain
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.events import SessionOpened
from clawvm_es.observe.tools import Tool
from clawvm_es.projections.digest import decision_digest
from clawvm_es.storage import verify
from tests.importers.test_odd_json import BASES, written


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journal in memory."""
    with Journal.open(":memory:", seed=7) as found:
        yield found


def exported(journal: Journal, session_id: str) -> list[str]:
    """The lines of a session's trace."""
    return list(export_trace(journal.log, session_id))


def digest(journal: Journal, session_id: str) -> str:
    """The decision digest of a session, its parents' part included."""
    return decision_digest(read_session(journal.log, session_id))


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


def look(n: int) -> str:
    """A tool whose results differ."""
    return f"at {n}: " + "words " * 60


def talk(session: Session, rounds: int, first: int = 0) -> None:
    """Messages, tool calls, a page that is raised, and faults: a prune drops evidence, which is asked for again."""
    for number in range(first, first + rounds):
        session.user_says(f"message {number} " + "words " * 20)
        session.assemble()
        session.tool("look", {"n": number % 3})
        session.observe_model(f"answer {number}")
        session.prune()


def settings_of_talk() -> Settings:
    """What `talk` declares."""
    return Settings(tools=[Tool("look", look, deterministic=True)])


@pytest.fixture
def forks(journal: Journal) -> Journal:
    """A closed session, a fork of its middle under a smaller budget, and one of that fork's end."""
    settings = settings_of_talk()
    with journal.session("parent", budget_tokens=600, counter="lines4", settings=settings) as parent:
        parent.write_page("bootstrap", "- You must look.")
        talk(parent, 4)
        middle = parent.state.version
        talk(parent, 4, first=1)
        parent.close()
    with journal.fork("parent", "child", at=middle, budget_tokens=200, settings=settings) as child:
        talk(child, 3, first=1)
        child.close()
    with journal.fork("child", "grandchild", allow_new_calls=True, settings=settings) as grandchild:
        talk(grandchild, 3, first=20)
    return journal


@pytest.mark.parametrize("session_id", ["parent", "child", "grandchild"])
def test_a_fork_replays_from_its_trace_as_one_session(tmp_path: Path, forks: Journal, session_id: str) -> None:
    """LAW-TRACE-1 for forks, also of a closed session: the parents' part is in the trace, no parent is needed."""
    with Journal.open(":memory:") as other:
        replay(other, put(tmp_path, exported(forks, session_id)))
        assert [head.session_id for head in other.log.heads()] == [session_id]
        assert digest(other, session_id) == digest(forks, session_id)
        assert state_at(other.log, session_id).resident == state_at(forks.log, session_id).resident
        assert verify(other.log) == ()


def test_a_replayed_fork_can_be_forked(tmp_path: Path, forks: Journal) -> None:
    """A result that a parent in another journal recorded is not on the tape, and the refusal says so."""
    settings = settings_of_talk()
    with Journal.open(":memory:") as other:
        replay(other, put(tmp_path, exported(forks, "child")))
        served = next(row for row in other.log.read("child") if getattr(row.data, "served_by", None))
        again = other.fork("child", "again", at=served.version - 1, settings=settings)
        with pytest.raises(NewToolCall, match="in another journal"):
            again.tool("look", {"n": 1})


def test_a_fork_under_another_policy_is_no_trace(forks: Journal) -> None:
    """A trace has one policy: such a fork is refused, with what to do instead; naming the same one is no other."""
    forks.fork("parent", "lru", policy="lru")
    with pytest.raises(UsageError, match="session lru goes on under another policy") as caught:
        exported(forks, "lru")
    assert "--as recording" in str(caught.value.hint)
    forks.fork("parent", "same", policy="clawvm")
    assert exported(forks, "same")


def test_a_fork_without_all_that_followed_from_an_input_is_no_trace(tmp_path: Path, forks: Journal) -> None:
    """Every place that a session can be forked at: its trace decides the same, or is refused."""
    refused = 0
    for row in forks.log.read("parent"):
        forks.fork("parent", name := f"at-{row.version}", at=row.version)
        try:
            lines = exported(forks, name)
        except UsageError as error:
            assert "last input" in str(error)
            refused += 1
            continue
        with Journal.open(":memory:") as other:
            replay(other, put(tmp_path, lines))
            assert digest(other, name) == digest(forks, name)
    assert 0 < refused < forks.log.head("parent").version


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
        *((damaged(1, "version", value=version), "line 1: no header") for version in (0, VERSION + 1, -1, "1", None)),
        (damaged(1, "session_id", value=""), "line 1: no header"),
        (damaged(2, "type", value="page_pinned"), "session_opened"),
        (damaged(2, "data", "budget_tokens", value="100"), r"line 2: .*budget_tokens"),
        (damaged(3, "type", value="novelty"), r"line 3: \$\.type"),
        (damaged(3, "at_us", value="now"), r"line 3: \$\.at_us: expected int"),
        (damaged(3, "at_us", value=2**62), r"line 3: \$\.at_us: "),
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


def test_a_replay_may_put_a_session_into_a_project(tmp_path: Path, journal: Journal) -> None:
    """Its scope is the project's; without one, it is as the trace says."""
    path = tmp_path / "session.clawvm-trace"
    path.write_bytes(written("clawvm_trace", BASES["clawvm_trace"]))
    (first,) = replay(journal, path, ReplaySettings(project="team", name="shared"))
    (second,) = replay(journal, path, ReplaySettings(name="alone"))
    opened = [next(journal.log.read(each.session_id)).data for each in (first, second)]
    assert [each.project for each in opened] == ["scope:team", None]


def test_a_session_that_is_not_there_has_no_trace(journal: Journal) -> None:
    """It is named."""
    with pytest.raises(UsageError, match="there is no session nobody"):
        exported(journal, "nobody")
