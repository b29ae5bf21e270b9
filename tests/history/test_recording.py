"""LAW-RECORDING-1 and LAW-ACCEPT-1: recordings come back whole or not at all, and can follow the code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core import decide, utility
from clawvm_es.errors import NondeterminismError, UnreadableInput, UsageError
from clawvm_es.history import redecide
from clawvm_es.history.accept import accept
from clawvm_es.history.recorded_files import read_sessions, session_ids
from clawvm_es.history.recording import read_recording, write_recording
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Evidence
from clawvm_es.observe.tools import Tool
from clawvm_es.testing import Given, live_session, memory_journal, page, recorded, sessions, update


def written(rows) -> bytes:
    """The bytes of a recording."""
    return b"".join(write_recording(rows))


def without_seq(rows) -> list:
    """Rows as a recording knows them."""
    return [row._replace(seq=0) for row in rows]


@pytest.fixture(scope="module")
def small():
    """The rows of a session of some turns."""
    with memory_journal() as journal, live_session(journal=journal, budget_tokens=300) as session:
        for number in range(3):
            session.user_says(f"question {number} " + "words " * 30)
            session.assemble()
            session.observe_model("answer", [("look", {})])
            session.observe_result(number + 1, "data " * 40)
        session.compact()
        return list(journal.log.read("session"))


@settings(max_examples=40)
@given(sessions())
def test_what_is_read_is_what_was_written(session):
    """LAW-RECORDING-1 for sessions of any shape: every column, stored byte and hash."""
    rows = recorded(session).rows
    again = read_recording(written(rows), "r")
    assert list(again.rows) == without_seq(rows)
    assert again.session_id == "session"
    assert redecide(again.rows) == redecide(rows)
    assert again.state() == session.state


def test_a_fork_is_recorded_with_what_it_came_from(tmp_path):
    """The events of its parents stand before its own, under their own stream's id."""
    with memory_journal() as journal:
        with live_session("parent", journal=journal) as session:
            session.user_says("hello " * 20)
            session.assemble()
        for at, name in ((4, "fork"), (5, "fork of the fork")):
            parent = "parent" if name == "fork" else "fork"
            with journal.fork(parent, name, at=at) as fork:
                fork.user_says("more " * 20)
                fork.assemble()
        rows = list(read_session(journal.log, "fork of the fork"))
    path = tmp_path / "fork.clawvm.jsonl"
    path.write_bytes(written(rows))
    assert session_ids(path) == ("fork of the fork",)
    (found,) = read_sessions(path)
    assert list(found.rows) == without_seq(rows)
    assert len({row.session_id for row in found.rows}) == 3
    assert accept(found.rows).rows == found.rows


def test_a_recording_holds_no_text(small):
    """What was said and what a tool returned is not in it."""
    raw = written(small)
    assert b"words" not in raw and b"data " not in raw and b"question" not in raw


def test_only_whole_sessions_are_written(small):
    """Nothing, or a stream that begins in the middle, is wrong usage."""
    for rows in ([], small[1:]):
        with pytest.raises(UsageError, match="session_opened"):
            written(rows)


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_byte_never_reads_as_another_session(small, data):
    """Whatever byte changes, the file is refused, or what is read is what was written."""
    raw = written(small)
    at = data.draw(st.integers(0, len(raw) - 1))
    value = data.draw(st.integers(0, 255))
    edited = raw[:at] + bytes([value]) + raw[at + 1 :]
    try:
        found = read_recording(edited, "r")
    except UnreadableInput as error:
        assert str(error).startswith("r: ") and error.hint
        return
    head, new = raw.partition(b"\n")[0], edited.partition(b"\n")[0]
    assert list(found.rows) == without_seq(small)
    assert head == new or found.decider_version != 1  # nothing depends on it but what a failure says


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda lines: lines[:-1], "cut after event"),
        (lambda lines: [*lines, lines[-1]], r"\$.version: expected"),
        (lambda lines: [*lines[:3], *lines[4:]], r"line 4: \$.version: expected 3, got 4"),
        (lambda lines: [*lines[:3], b"", *lines[3:]], "line 4: not JSON"),
        (lambda lines: [*lines[:3], b"\xff\xfe", *lines[3:]], "line 4: not JSON"),
        (lambda lines: [*lines[:3], b"[" * 100_000, *lines[3:]], "line 4: "),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2: "),
        (lambda lines: [lines[0].replace(b'"streams":[', b'"streams":[],"x":['), *lines[1:]], "line 1: .*unknown"),
        (lambda lines: [lines[0].replace(b'"last":', b'"last":-'), *lines[1:]], r"\$.streams: versions must rise"),
        (lambda lines: [lines[0].replace(b'"head":"', b'"head":"x'), *lines[1:]], r"line 1: .*\$.head"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"at":', b'"at":9999999999999999999'), *lines[3:]], "line 3: "),
        (lambda lines: [*lines[:2], re.sub(rb'_version":\d', b'_version":99', lines[2]), *lines[3:]], "99"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"data":{', b'"data":{"page_id":7,'), *lines[3:]], "line 3: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(small, edit, says):
    """Cut, doubled, left out, not JSON, not ours."""
    raw = b"\n".join(edit(written(small).removesuffix(b"\n").split(b"\n"))) + b"\n"
    with pytest.raises(UnreadableInput, match=says):
        read_recording(raw, "r")


def test_line_ends_of_another_system_are_blanks(small):
    """Version control may rewrite line ends; nothing that is hashed is touched by that."""
    assert list(read_recording(written(small).replace(b"\n", b"\r\n"), "r").rows) == without_seq(small)


# -------------------------------------------------------------------------------------------- accepting

QUALITIES = ((0, 900, 910, 920, 1000), (0, 1, 2, 3, 1000), (0, 100, 450, 750, 1000))


@settings(max_examples=40, deadline=None)
@given(sessions(), st.sampled_from(QUALITIES))
def test_what_is_accepted_is_decided_the_same(session, quality):
    """LAW-ACCEPT-1: under other code too, and the inputs are the same ones."""
    rows = recorded(session).rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utility, "QUALITY", quality)
        try:
            accepted = accept(rows)
        except NondeterminismError as error:
            assert "rests on event" in str(error)
            return
        again = read_recording(written(accepted.rows), "r")
        assert redecide(again.rows) == sum(row.kind == "decision" for row in again.rows)
    inputs = [[row.type for row in each if row.kind == "input"] for each in (rows, again.rows)]
    assert inputs[0] == inputs[1]
    assert (accepted.changed == 0) == (accepted.rows == tuple(without_seq(rows)))


def test_the_same_code_changes_nothing(small):
    """Not a byte, so that accepting twice is accepting once."""
    accepted = accept(small)
    assert (accepted.changed, list(accepted.rows)) == (0, without_seq(small))


def rested(version: int):
    """The rows of a session whose third update rests on one of its events, and what came before."""
    given = Given.session(page(1), budget_tokens=200)
    given.when(e.UpdateStaged(1, update()))
    given.when(e.UpdateStaged(2, update()))
    given.when(e.UpdateStaged(3, update(evidence=Evidence(version=version))))
    return recorded(given).rows


def test_inputs_follow_the_events_that_they_name(monkeypatch):
    """Evidence that named the second update still names it when fewer decisions stand before it."""
    rows = rested(version=5)
    assert rows[4].data.update == 2
    monkeypatch.setattr(decide, "DECIDERS", {**decide.DECIDERS, e.UpdateStaged: lambda state, data: ()})
    accepted = accept(rows)
    assert accepted.changed == 3
    last = accepted.rows[-1].data
    assert accepted.rows[last.facts.evidence.version - 1].data.update == 2
    assert last.facts == replace(rows[-2].data.facts, evidence=last.facts.evidence)


def test_what_rests_on_a_decision_that_is_gone_is_refused(monkeypatch):
    """There is nothing that it could name; the message says which event it was."""
    rows = rested(version=4)
    assert rows[3].type == "update_validated"
    monkeypatch.setattr(decide, "DECIDERS", {**decide.DECIDERS, e.UpdateStaged: lambda state, data: ()})
    with pytest.raises(NondeterminismError, match="rests on event 4") as caught:
        accept(rows)
    assert "record" in caught.value.hint


def test_a_served_call_follows_its_result(monkeypatch):
    """`served_from` names a version of the session's own, which moves with it."""
    reader = Tool("read", lambda: "text", True, reads=["file:f"], validator=lambda arguments: "v")
    with memory_journal() as journal:
        from clawvm_es.engine.hooks import Settings

        with live_session(journal=journal, settings=Settings(tools=[reader])) as session:
            session.recall("q", PermissionError and (lambda query: (_ for _ in ()).throw(PermissionError())))
            session.tool("read", {})
            assert session.tool("read", {}).served
        rows = list(journal.log.read("session"))
    extra = (e.DirtyPageStaged("p1", 1),)
    monkeypatch.setattr(decide, "DECIDERS", {**decide.DECIDERS, e.RecallAnswered: lambda state, data: extra * 3})
    accepted = accept(rows).rows
    assert len(accepted) > len(rows)
    (served,) = [row.data for row in accepted if isinstance(row.data, e.ToolCalled) and row.data.served_from]
    assert accepted[served.served_from - 1].type == "tool_returned"


def test_a_recorded_session_of_megabytes(traces):
    """A real session: written, read and accepted, without a difference."""
    path = next(iter(sorted((traces / "claude_code").glob("28596a79*.jsonl"))))
    with memory_journal() as journal:
        (found, *_) = replay(journal, path, ReplaySettings(budget_tokens=4000, counter="lines4"))
        rows = list(read_session(journal.log, found.session_id))
    again = read_recording(written(rows), "r")
    assert list(again.rows) == without_seq(rows)
    assert accept(again.rows).rows == again.rows


def test_a_command_is_decided_on_what_a_recording_says():
    """The state of a recording is one that the session could go on from."""
    session = recorded(Given.session(page(1)))
    events = decide.decide(session.state(), Command(e.TurnBegan(), 0))
    assert events[-1].TYPE == "prompt_assembled"
    assert session.state(1).pages == {}
