"""Recorded sessions of a folder as workloads: cached, resumable, twins counted once, unreadable files named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clawvm_es.engine.retriever import Retrieval
from clawvm_es.errors import UnreadableInput
from clawvm_es.evaluation import workload as workloads
from clawvm_es.evaluation.sessions import CHAT, CODING, code_digest, load, read_file, workload
from clawvm_es.evaluation.workload import FRAMES, MESSAGES
from clawvm_es.importers import read
from clawvm_es.model import events as e
from clawvm_es.representations.counter import counter


def chat(text: str, trial: int = 0) -> str:
    """A file with one recorded chat."""
    messages = [
        {"role": "system", "content": "You must be brief."},
        {"role": "user", "content": text},
        {"role": "assistant", "content": "Done."},
    ]
    return json.dumps([{"task_id": 1, "trial": trial, "traj": messages}])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two chats, one of them twice, and two files that are no sessions."""
    folder = tmp_path / "traces"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json").write_text(chat("Change my flight."))
    (folder / "deep" / "b.json").write_text(chat("Cancel my flight."))
    (folder / "deep" / "again.json").write_text(chat("Change my flight.") + "\n")
    (folder / "README.md").write_text("# Notes\n")
    (folder / "cut.json").write_text(chat("Cut.")[:-9])
    return folder


def test_every_session_is_found_and_what_is_none_is_named_with_its_reason(folder, tmp_path):
    """A folder holds what it holds: nothing is left out in silence."""
    found = load(folder, tmp_path / "kept")
    assert [session.source for session in found.found] == ["a.json", "deep/b.json"]
    assert found.unread == {
        "README.md": "is a session of no known format",
        "cut.json": "is JSON that ends early or is damaged",
    }
    assert {session.kind for session in found.found} == {CHAT}


def test_what_is_no_file_is_named_too(folder, tmp_path):
    """Links that lead nowhere or to a folder, which could go round for ever, and pipes, which never end."""
    (folder / "gone.json").symlink_to(tmp_path / "nothing")
    (folder / "deep" / "up").symlink_to(folder)
    os.mkfifo(folder / "pipe.json")
    found = load(folder, tmp_path / "kept")
    assert len(found.found) == 2
    assert {name: why for name, why in found.unread.items() if "link" in why or "is no file" in why} == {
        "gone.json": "is a link to nothing",
        "deep/up": "is a link to a folder",
        "pipe.json": "is no file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(folder, tmp_path):
    """What stands in it is not left out in silence."""
    (folder / "deep").chmod(0)
    try:
        found = load(folder, tmp_path / "kept")
    finally:
        (folder / "deep").chmod(0o700)
    assert found.unread["deep"] == "Permission denied"


def test_a_session_that_was_recorded_twice_is_counted_once(folder, tmp_path):
    """The second file that holds it is named, beside the one that counts."""
    found = load(folder, tmp_path / "kept")
    assert found.twins == {f"deep/again.json: {found.found[0].name}": "a.json"}


def test_any_number_of_workers_gives_the_same(folder, tmp_path):
    """The order in which files become known shows nowhere."""
    one, two = (load(folder, tmp_path / "kept", workers) for workers in (1, 2))
    again = load(folder, tmp_path / "kept2", workers=2)
    assert one == two
    assert [session.digest for session in again.found] == [session.digest for session in one.found]


def test_progress_is_told_by_files(folder, tmp_path):
    """Each file counts, readable or not."""
    told: list[tuple[int, int]] = []
    load(folder, tmp_path / "kept", progress=lambda done, files: told.append((done, files)))
    assert told == [(number, 5) for number in range(1, 6)]


def test_what_is_kept_is_not_made_again_and_what_is_lost_is(folder, tmp_path):
    """An interrupted evaluation goes on where it was; a file that was deleted, or cut, is made anew."""
    kept = tmp_path / "kept"
    kept.mkdir()
    first = read_file(folder / "a.json", kept)
    pickled = Path(first["sessions"][0]["kept"])
    made = pickled.stat().st_mtime_ns
    assert read_file(folder / "a.json", kept) == first
    assert pickled.stat().st_mtime_ns == made
    pickled.unlink()
    assert read_file(folder / "a.json", kept) == first
    assert workload(str(pickled)).name == first["sessions"][0]["name"]
    (index,) = kept.glob("*.json")
    index.write_bytes(index.read_bytes()[:20])
    assert read_file(folder / "a.json", kept) == first


def test_other_content_is_kept_apart(folder, tmp_path):
    """A file that grew is read anew."""
    kept = tmp_path / "kept"
    before = load(folder, kept).found
    (folder / "a.json").write_text(chat("Change my flight, please."))
    after = load(folder, kept).found
    assert [session.source for session in after] == ["a.json", "deep/again.json", "deep/b.json"]
    assert before[0].digest != after[0].digest
    assert before[1] == after[2]


def test_a_workload_comes_back_as_it_was_kept(traces, tmp_path):
    """A main session and its subagent, with the figures that the index tells."""
    row = read_file(traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl", tmp_path)
    for fields in row["sessions"]:
        its = workload(fields["kept"])
        assert (its.name, its.turns, its.renderer) == (fields["name"], fields["turns"], fields["renderer"])
        if its.renderer == FRAMES:
            assert its.page_tokens == fields["page_tokens"]
        assert len(list(its.all_needs())) == fields["needs"]
        assert 10_000 < fields["first_call_tokens"] < 60_000
    assert [fields["name"].partition("/")[1] for fields in row["sessions"]] == ["", "", "/", "/"]


def test_a_subagent_belongs_to_the_session_that_started_it(traces, tmp_path):
    """Each is a workload of its own, both are coding sessions, and together they are one session."""
    (folder := tmp_path / "traces").mkdir()
    source = traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl"
    (folder / "x.jsonl").write_bytes(source.read_bytes())
    found = load(folder, tmp_path / "kept").found
    assert len({session.session for session in found}) == 1 < len(found)
    assert {session.kind for session in found} == {CODING}


def test_a_folder_that_is_none_is_refused(tmp_path):
    """A wrong path says so."""
    with pytest.raises(UnreadableInput, match="is no folder"):
        load(tmp_path / "nowhere", tmp_path / "kept")


def test_the_code_that_makes_workloads_has_a_digest():
    """It is the same within one version."""
    assert code_digest() == code_digest()
    assert len(code_digest()) == 64


def test_a_coding_session_is_counted_by_both_renderers_with_the_same_needs(traces, tmp_path):
    """LAW-WORKLOAD-1: each need and its holders; messages count arguments, and as many sessions are large enough."""
    row = read_file(traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl", tmp_path)
    for framed, sent in zip(row["sessions"][::2], row["sessions"][1::2], strict=True):
        assert (framed["renderer"], sent["renderer"]) == (FRAMES, MESSAGES)
        same = ("name", "origin", "turns", "needs", "inputs", "page_tokens")
        assert [framed[field] for field in same] == [sent[field] for field in same]
        one, other = (workload(fields["kept"]) for fields in (framed, sent))
        assert [holders(data) for data in one.inputs] == [holders(data) for data in other.inputs]
        assert one.inputs != other.inputs and one.retrieved == other.retrieved
        calls = [data for data in other.inputs if isinstance(data, e.ToolCalled)]
        assert all(data.levels and data.levels[0].tokens > 0 for data in calls)


def test_what_was_found_for_turns_is_searched_for_once(traces, tmp_path, monkeypatch):
    """Under the second renderer the same texts are there; it takes what was found for the first one."""
    made: list[Retrieval] = []
    monkeypatch.setattr(workloads, "Retrieval", lambda: made.append(Retrieval()) or made[-1])
    path = traces / "gemini" / "9c_53780d06b7_0.json"
    row = read_file(path, tmp_path)
    framed, sent = (workload(each["kept"]) for each in row["sessions"])
    assert (framed.renderer, sent.renderer) == (FRAMES, MESSAGES)
    assert len(made) == 1 and framed.retrieved == sent.retrieved != ()
    (found,) = read(path)
    assert sent == workloads.from_recording(found, counter("o200k_base"), renderer=MESSAGES)
    assert len(made) == 2


def holders(data: e.Input) -> list[tuple[str, ...]]:
    """The pages that each need of an input can be met by."""
    return [tuple(holder.page_id for holder in need.holders) for need in getattr(data, "needs", ())]


def test_a_chat_is_counted_in_frames_alone(folder, tmp_path):
    """Every session is there once; the sessions of a folder are as many as they were."""
    found = load(folder, tmp_path / "kept")
    assert found.each == found.found
    assert {session.renderer for session in found.found} == {FRAMES}
