"""Following: files that do not consist of lines are read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers import export_trace, follow, read_bytes
from clawvm_es.importers.following import Follower, settled
from clawvm_es.observe.steps import ModelMessage
from tests.importers.followed import AT, CLAUDE, as_lines, imported, inputs


def test_whole_sessions_in_one_text_are_read_again_or_refused(tmp_path: Path, journal: Journal) -> None:
    """A file that is one JSON text is read again when it changed; one without a name of its own waits for `final`."""
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": chat}))
    with pytest.raises(UnreadableInput, match="cannot be followed"):
        follow(journal, path)
    assert follow(journal, path, final=True).appended
    assert follow(journal, tmp_path / "chat.json", final=True).unchanged == 1


def of_documents(traces: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Recorded files of one JSON text, each with the texts that it was before."""
    for path in sorted((traces / "gemini").glob("*.json")):
        whole = json.loads(path.read_bytes())
        sizes = range(1, len(whole["messages"]))
        yield path.name, whole, [{**whole, "messages": whole["messages"][:n]} for n in sizes]
    for path in sorted((traces / "sweagent").glob("*.traj")):
        whole = json.loads(path.read_bytes())
        sizes = range(2, len(whole["history"]))
        yield path.name, whole, [{**whole, "history": whole["history"][:n]} for n in sizes]
    for path in sorted((traces / "openhands").glob("*.jsonl")):
        for line in path.read_bytes().splitlines()[:1]:
            whole = json.loads(line)
            sizes = range(3, len(whole["history"]), 5)
            yield path.name, whole, [{**whole, "history": whole["history"][:n]} for n in sizes]


def test_law_of_files_that_are_read_again(traces: Path) -> None:
    """LAW-FOLLOW-1: what is settled of an earlier text of a document is the beginning of what the whole gives."""
    for name, whole, earlier in of_documents(traces):
        steps = {each.session_id: each.steps for each in read_bytes(json.dumps(whole).encode(), name)}
        for number, text in enumerate(earlier):
            for recording in read_bytes(json.dumps(text).encode(), name):
                found = tuple(settled(recording.steps))
                if any(isinstance(step, ModelMessage) for step in found):
                    assert found == steps[recording.session_id][: len(found)], (name, number)


def test_a_document_that_grows(tmp_path: Path, journal: Journal) -> None:
    """A document is read again when it has changed, and makes the inputs of its import."""
    path, whole = tmp_path / "session.json", {"sessionId": "g", "projectHash": "h", "startTime": AT % 0}
    said = [{"id": f"u{n}", "type": "user", "timestamp": AT % n, "content": f"message {n}"} for n in range(4)]
    told = [{"id": f"m{n}", "type": "gemini", "timestamp": AT % n, "content": f"answer {n}"} for n in range(4)]
    messages = [each for pair in zip(said, told, strict=True) for each in pair]
    for number in range(len(messages) + 1):
        path.write_text(json.dumps({**whole, "messages": messages[:number]}))
        follow(journal, path)
    follow(journal, path, final=True)
    assert inputs(journal) == imported(tmp_path, path.read_bytes())


def test_a_document_of_several_sessions(tmp_path: Path, journal: Journal) -> None:
    """A session of a document whose first answer may still change waits; those after it are taken."""
    path = tmp_path / "sessions.json"

    def session(name: str, answers: int) -> dict[str, Any]:
        said = [{"role": "user", "content": name}, {"role": "assistant", "content": "an answer"}]
        return {"history": [{"role": "system", "content": "Be brief."}, *said * answers], "trajectory": []}

    path.write_text(json.dumps([session("first", 1), session("second", 2)]))
    assert len(follow(journal, path).taken) == 1
    path.write_text(json.dumps([session("first", 2), session("second", 2)]))
    assert len(follow(journal, path).taken) == 2


@pytest.mark.parametrize("kind", ["user", "gemini"])
def test_a_document_that_was_rewritten(tmp_path: Path, journal: Journal, kind: str) -> None:
    """LAW-FOLLOW-2: a document with another prompt or answer than was taken is refused; its session stays."""
    path, whole = tmp_path / "session.json", {"sessionId": "g", "projectHash": "h", "startTime": AT % 0}
    said = [
        {"id": f"{each}{n}", "type": each, "timestamp": AT % n, "content": f"{each} says {n}"}
        for n in range(3)
        for each in ("user", "gemini")
    ]
    path.write_text(json.dumps({**whole, "messages": said}))
    follow(journal, path)
    before = inputs(journal)
    changed = [{**each, "content": "something else"} if each["id"] == f"{kind}1" else each for each in said]
    path.write_text(json.dumps({**whole, "messages": changed}))
    with pytest.raises(UsageError, match="this file was rewritten"):
        follow(journal, path)
    assert inputs(journal) == before


def test_a_trace_of_ours_that_grows(tmp_path: Path, live: Path, journal: Journal) -> None:
    """A `clawvm-trace` is read again, without the line that is being written."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live, final=True)
    data = "".join(export_trace(journal.log, "s1")).encode()
    path = tmp_path / "s1.trace.jsonl"
    with Journal.open(tmp_path / "again.db", seed=1) as again:
        for end in (data.index(b"\n", data.index(b"session_opened")) + 1, len(data) // 2, len(data)):
            path.write_bytes(data[:end])
            assert not follow(again, path).refused
        assert [said[1:4] for said in inputs(again)["s1"]] == [said[1:4] for said in inputs(journal)["s1"]]


def test_a_document_without_one_whole_line_is_refused_for_what_it_is(tmp_path: Path, journal: Journal) -> None:
    """It is not read as the empty file that is left of it without its last line: its own fault is told."""
    path = tmp_path / "session.traj"
    path.write_bytes(b'{"history": [')
    with pytest.raises(UnreadableInput, match=r"is not JSON: .*char 13"):
        Follower(journal, [path])._read_again(str(path), "sweagent")
