"""Import: files and folders, one outcome each; what did not change is not read again."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import attrs
import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers import importing, known
from clawvm_es.importers.following import follow
from clawvm_es.importers.importing import Imported, find, import_files
from clawvm_es.importers.known import SUFFIX, KnownFiles
from clawvm_es.importers.replay import ReplaySettings, names_of, replay
from clawvm_es.importers.transcript import Transcript


def write(path: Path, session: str, *texts: str) -> Path:
    """A recorded session in which a user says some texts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"type": "user", "uuid": f"{session}{n}", "sessionId": session, "message": {"role": "user", "content": text}}
        for n, text in enumerate(texts)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def imported(place: Path, *paths: Path, **options: Any) -> list[Imported]:
    """What an import of some paths comes to."""
    with Journal.open(place) as journal:
        return list(import_files(journal, find(paths), counter="lines4", **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two sessions, one of them further down, and what is no session."""
    write(tmp_path / "all" / "b.jsonl", "b", "hello")
    write(tmp_path / "all" / "a" / "deep.jsonl", "deep", "hello", "again")
    (tmp_path / "all" / "notes.md").write_text("not looked at")
    (tmp_path / "all" / "settings.json").write_text('{"theme": "dark"}')
    return tmp_path / "all"


def test_a_folder_is_walked_in_the_order_of_names(folder: Path) -> None:
    """Files that may be sessions are found by their endings, wherever they are; a named file is taken as it is."""
    assert [each.path.removeprefix(f"{folder}{os.sep}") for each in find([folder])] == [
        "b.jsonl",
        "settings.json",
        os.path.join("a", "deep.jsonl"),
    ]
    assert [(each.path, each.named) for each in find([folder / "notes.md", folder / "notes.md"])] == [
        (str(folder / "notes.md"), True)
    ]
    os.utime(folder / "b.jsonl", ns=(1, 1))
    os.utime(folder / "settings.json", ns=(2, 2))
    assert [each.path for each in find([folder], latest=True)] == [str(folder / "a" / "deep.jsonl")]
    with pytest.raises(UnreadableInput, match="no such file"):
        find([folder / "missing"])


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_what_is_no_file_in_a_folder_is_passed_over(folder: Path, tmp_path: Path) -> None:
    """A link to nothing, a pipe and a folder with the ending of a session stop no import and give none."""
    wanted = [each.path for each in find([folder])]
    (folder / "gone.jsonl").symlink_to(tmp_path / "gone")
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()
    assert [each.path for each in find([folder])] == wanted
    assert [(each.size, each.named) for each in find([folder / "gone.jsonl"])] == [(0, True)]


def test_each_session_goes_by_what_its_harness_held(folder: Path, tmp_path: Path) -> None:
    """Sessions are opened under `recorded` without a budget; what is no recording is told and stops nothing."""
    found = imported(tmp_path / "j.db", folder)
    assert [(each.sessions, each.skipped) for each in found] == [(("b",), False), ((), True), (("deep",), False)]
    assert "settings.json" in found[1].error
    with Journal.open(tmp_path / "j.db", read_only=True) as journal:
        opened = journal.opened("deep")
    assert opened is not None
    assert (opened.profile.name, opened.budget_tokens, opened.importer > 0) == ("recorded", 0, True)


def test_a_bad_file_that_is_named_is_an_error_and_the_others_are_imported(folder: Path, tmp_path: Path) -> None:
    """One line that names the file, with what to do."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    bad, good = imported(tmp_path / "j.db", empty, folder / "b.jsonl")
    assert (bad.skipped, bad.sessions, good.sessions) == (False, (), ("b",))
    assert str(empty) in bad.error and "\n" not in bad.error and bad.hint


def test_a_fault_of_ours_is_told_and_stops_no_other_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome holds the exception, so that the program can end with a code of its own."""
    real = importing.replay_file

    def broken(journal: Journal, path: str, *rest: Any, **more: Any) -> Any:
        if path.endswith("b.jsonl"):
            raise KeyError("oops")
        return real(journal, path, *rest, **more)

    monkeypatch.setattr(importing, "replay_file", broken)
    first, _, last = imported(tmp_path / "j.db", folder)
    assert isinstance(first.cause, KeyError) and "internal error" in first.error
    assert last.sessions == ("deep",) and imported(tmp_path / "j.db", folder)[0].error


def test_a_name_stands_for_the_session_or_before_several() -> None:
    """One main session gets the name, its subagents begin with it; of several each id stands behind the name."""

    def named(*ids: str, linked: str = "") -> list[str]:
        found = [Transcript().recording(each, "pi", "f") for each in ids]
        agents = [attrs.evolve(Transcript().recording(linked, "pi", "f"), linked_to=ids[0])] if linked else []
        return list(names_of([*found, *agents], "n").values())

    assert named("s", linked="s/agent-1") == ["n", "n/agent-1"]
    assert named("s", linked="other") == ["n", "n/other"]
    assert named("s", "s2") == ["n/s", "n/s2"]


@pytest.mark.parametrize("odd", ["scope:x", "a\0b", "\ud800", "scope:", "x" * 1001])
def test_an_id_that_no_session_can_have_is_refused_and_says_what_to_do(odd: str) -> None:
    """A name with characters that none may hold, a scope's id and one that is too long; another name helps."""
    good, bad = (Transcript().recording(each, "pi", "f") for each in ("s", odd))
    if odd.isprintable():
        with pytest.raises(UsageError, match=r"session id .*use --as NAME"):
            names_of([good, bad], None)
    with pytest.raises(UsageError, match=r"session id .*use --as NAME"):
        names_of([good], odd)
    assert dict(names_of([bad], "n")) == {odd: "n"}


@pytest.mark.parametrize(
    ("odd", "shown"),
    [("a\0b", "a\\x00b"), ("\ud800", "\\ud800"), ("a\n\u202e/x", "a\\n\\u202e/x"), ("a\tb", "a\\tb")],
)
def test_a_recorded_id_with_odd_characters_is_escaped(odd: str, shown: str) -> None:
    """A file is not refused for the id in it; its subagents follow it, and a name takes its place."""
    good, bad = (Transcript().recording(each, "pi", "f") for each in ("s", odd))
    agent = attrs.evolve(Transcript().recording(f"{odd}/agent-1", "pi", "f"), linked_to=odd)
    assert list(names_of([bad, agent], None).values()) == [shown, f"{shown}/agent-1"]
    assert list(names_of([bad, agent], "n").values()) == ["n", "n/agent-1"]
    assert list(names_of([good, bad], "n").values()) == ["n/s", f"n/{shown}"]


def test_a_session_with_an_odd_id_is_imported_and_followed(cases: Path, tmp_path: Path) -> None:
    """It is recorded under its escaped id, once however often and by whichever verb it is read."""
    (path,) = (cases / "24-odd-ids-and-names").glob("*.jsonl")
    with Journal.open(tmp_path / "j.db") as journal:
        first, again = (replay(journal, path, ReplaySettings()) for _ in range(2))
        assert [each.session_id for each in first] == ["../../etc/pass wd\\n\\u202e/x"]
        assert first[0].appended and not again[0].appended
        assert not any(each.appended for each in follow(journal, path, ReplaySettings(), final=True).taken)
        assert [head.session_id for head in journal.log.heads()] == [first[0].session_id]


def test_an_unchanged_file_is_not_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, time and beginning tell; a file that grew is read, and appends what is new."""
    imported(tmp_path / "j.db", folder)
    write(folder / "b.jsonl", "b", "hello", "more")
    read: list[str] = []
    real = importing.replay_file
    monkeypatch.setattr(
        importing, "replay_file", lambda j, path, *r, **m: read.append(path) or real(j, path, *r, **m)
    )
    again = imported(tmp_path / "j.db", folder)
    assert [each.unchanged for each in again] == [False, False, True]
    assert again[2].sessions == ("deep",) and again[0].replayed[0].appended > 0
    assert read == [str(folder / "b.jsonl"), str(folder / "settings.json")]
    assert not imported(tmp_path / "j.db", folder / "b.jsonl", again=True)[0].unchanged


def test_a_rewritten_file_of_the_same_size_and_time_is_read_again(folder: Path, tmp_path: Path) -> None:
    """The digest of its beginning tells; content that does not go on is a conflict, named on one line."""
    path = folder / "b.jsonl"
    imported(tmp_path / "j.db", path)
    before = path.stat()
    path.write_text(path.read_text().replace("hello", "HELLO"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (found,) = imported(tmp_path / "j.db", path)
    assert "other content" in found.error and found.hint


def test_what_is_known_is_a_private_file_that_may_be_lost(folder: Path, tmp_path: Path) -> None:
    """Only its owner can read it; damaged, foreign, of other importers or beside another journal it is not used."""
    place = tmp_path / "j.db"
    imported(place, folder)
    beside = Path(f"{place}{SUFFIX}")
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    whole = beside.read_bytes()
    for damaged in (b"", b"{", b'{"made_by":1,"files":{}}', whole.replace(b"claude_code/", b"claude_code/9")):
        beside.write_bytes(damaged)
        assert KnownFiles.beside(str(place)).entries == {}
        assert [each.unchanged for each in imported(place, folder)] == [False] * 3
        assert beside.read_bytes() == whole
    place.unlink()
    assert [each.unchanged for each in imported(place, folder / "b.jsonl")] == [False]
    beside.unlink()
    beside.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(whole)
    assert KnownFiles.beside(str(place)).entries == {}


def test_other_settings_are_another_import(folder: Path, tmp_path: Path) -> None:
    """Under another name or counter a file that did not change is read again."""
    path = folder / "b.jsonl"
    imported(tmp_path / "j.db", path)
    assert imported(tmp_path / "j.db", path, name="second")[0].sessions == ("second",)
    assert imported(tmp_path / "j.db", path, name="second")[0].unchanged


def test_what_is_known_is_written_down_on_the_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that is interrupted leaves what it learned, and progress counts bytes of files."""
    monkeypatch.setattr(importing, "SAVE_EVERY", 1)
    told: list[tuple[int, int]] = []
    with Journal.open(tmp_path / "j.db") as journal:
        files = find([folder])
        stream = import_files(journal, files, counter="lines4", progress=lambda *done: told.append(done))
        next(stream)
        next(stream)
        assert len(KnownFiles.beside(str(tmp_path / "j.db")).entries) == 1
        stream.close()  # type: ignore[attr-defined]
    assert told == [(files[0].size, sum(each.size for each in files))]


def test_a_journal_in_memory_knows_no_files(folder: Path) -> None:
    """There is nowhere to write it down."""
    with Journal.open("memory:") as journal:
        for _ in range(2):
            assert [each.unchanged for each in import_files(journal, find([folder / "b.jsonl"]))] == [False]
    assert known.made_by().startswith("claude_code/")
