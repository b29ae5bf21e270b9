"""Identity (C6): one id per agent run; what is resumed, forked or started by another is named so."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.replay import Replayed, ReplaySettings, replay

MAIN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journal in memory."""
    with Journal.open(":memory:", seed=1) as opened:
        yield opened


def replayed(journal: Journal, path: Path) -> tuple[Replayed, ...]:
    """A file, replayed."""
    return replay(journal, path, ReplaySettings(counter="lines4"))


def sessions(journal: Journal) -> dict[str, str | None]:
    """The sessions in a journal, with those that they are linked to."""
    ids = [head.session_id for head in journal.log.heads()]
    return {each: opened.linked_to for each in ids if (opened := journal.opened(each)) is not None}


FILES = ("main.jsonl", "agent-torn.jsonl", "agent-a1b2.jsonl")


@pytest.mark.parametrize("order", list(itertools.permutations(FILES)), ids=str)
def test_a_subagents_own_file(cases: Path, journal: Journal, order: tuple[str, ...]) -> None:
    """Whatever file comes first, torn or whole: the main session and its agent's, linked to it."""
    for name in order:
        replayed(journal, cases / "14-subagent-file" / name)
    assert sessions(journal) == {MAIN: None, f"{MAIN}/agent-a1b2": MAIN}


@pytest.mark.parametrize("order", [("s9.jsonl", "agent-a1.jsonl"), ("agent-a1.jsonl", "s9.jsonl")], ids=str)
def test_an_own_file_wins_over_progress_rows(cases: Path, journal: Journal, order: tuple[str, ...]) -> None:
    """A subagent whose parent's file shows a part of it is read from its own file, in either order."""
    for name in order:
        replayed(journal, cases / "51-subagent-own-file" / name)
    assert sessions(journal) == {"s9": None, "s9/agent-a1": "s9"}
    texts = [row for row in read(cases / "51-subagent-own-file" / "s9.jsonl") if row.linked_to]
    assert [each.turns for each in texts] == [2]


def test_an_own_file_that_comes_later(cases: Path, tmp_path: Path, journal: Journal) -> None:
    """What progress rows showed was recorded first: the agent's own file is left out, and said to be."""
    alone, own = tmp_path / "s9.jsonl", tmp_path / "elsewhere.jsonl"
    alone.write_bytes((cases / "51-subagent-own-file" / "s9.jsonl").read_bytes())
    own.write_bytes((cases / "51-subagent-own-file" / "agent-a1.jsonl").read_bytes())
    replayed(journal, alone)
    (found,) = replayed(journal, own)
    assert (found.shown, found.appended) == (True, 0)
    assert sessions(journal) == {"s9": None, "s9/agent-a1": "s9"}


@pytest.mark.parametrize("folder", [".", "subagents", "s9/subagents"])
def test_places_of_own_files(cases: Path, tmp_path: Path, folder: str) -> None:
    """An agent's own file is looked for beside its parent's, and in the folders that Claude Code makes."""
    source = cases / "51-subagent-own-file"
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "s9.jsonl").write_bytes((source / "s9.jsonl").read_bytes())
    (tmp_path / folder / "agent-a1.jsonl").write_bytes((source / "agent-a1.jsonl").read_bytes())
    _, agent = read(tmp_path / "s9.jsonl")
    assert (agent.session_id, agent.turns, agent.partial) == ("s9/agent-a1", 2, False)


def test_resumed_and_forked_sessions(cases: Path, journal: Journal) -> None:
    """A file that begins with another session's rows is a session of its own, which continues that one."""
    for name in ("first", "resumed", "forked"):
        replayed(journal, cases / "15-resumed-sessions" / f"{name}.jsonl")
    first, second, third = (f"{letter * 8}-0000-4000-8000-00000000000{n}" for n, letter in enumerate("abc", 1))
    assert sessions(journal) == {first: None, second: first, third: first}
    assert all(not each.appended for each in replayed(journal, cases / "15-resumed-sessions" / "resumed.jsonl"))


def test_two_sessions_in_one_file(cases: Path, journal: Journal) -> None:
    """Files that were put one behind the other stay two sessions."""
    replayed(journal, cases / "19-two-sessions-one-file" / "s.jsonl")
    assert list(sessions(journal).values()) == [None, None]


def test_a_stream(cases: Path, journal: Journal) -> None:
    """`stream-json` names its session, which grows; a subagent is the run that its call started."""
    for name in ("cut", "s"):
        replayed(journal, cases / "18-stream-json" / f"{name}.jsonl")
    assert sessions(journal) == {MAIN: None, f"{MAIN}/agent-t1": MAIN}


def row(session_id: str, uuid: str, parent: str | None, words: str, **more: Any) -> dict[str, Any]:
    """A user's row."""
    message = {"role": "user", "content": words}
    named = {"sessionId": session_id} if session_id else {}
    return {"type": "user", "uuid": uuid, "parentUuid": parent, "message": message, **named, **more}


def jsonl(*rows: dict[str, Any]) -> bytes:
    """Rows as a file."""
    return "".join(f"{json.dumps(each)}\n" for each in rows).encode()


def test_a_head_that_names_the_new_session() -> None:
    """Rows without a place may tell the new id before the rows of the old session come."""
    head = {"type": "permission-mode", "sessionId": "new", "permissionMode": "plan"}
    file = jsonl(head, row("old", "u", None, "one"), row("new", "v", "u", "two"))
    (found,) = read_bytes(file, "f")
    assert (found.session_id, found.resumed_from, len(found.steps)) == ("new", "old", 2)
    assert found.skipped == {"setting_change": 1}


def test_sessions_that_alternate() -> None:
    """Rows of two sessions that come in turn stay apart."""
    file = jsonl(*(row(f"s{n % 2}", f"u{n}", f"u{n - 2}" if n > 1 else None, str(n)) for n in range(6)))
    assert [(each.session_id, len(each.steps)) for each in read_bytes(file, "f")] == [("s0", 3), ("s1", 3)]


def test_a_session_without_an_id() -> None:
    """It is named by its first message, so that it keeps its name while it grows; a head without one is refused."""
    first, more = row("", "u", None, "one"), row("", "v", "u", "two")
    head = {"type": "summary", "summary": "x", "leafUuid": "l"}
    (small,), (large,) = read_bytes(jsonl(head, first), "f"), read_bytes(jsonl(head, first, more), "f")
    assert small.session_id == large.session_id
    assert large.steps[: len(small.steps)] == small.steps
    with pytest.raises(UnreadableInput, match="holds no message"):
        read_bytes(jsonl(head), "f")
