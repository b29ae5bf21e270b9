"""Following: folders, and files that cannot be taken or say nothing yet."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers import follow, following
from clawvm_es.importers.detect import LOOKED_AT
from clawvm_es.importers.following import AS_RECORDED, Follower
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.replay import ReplaySettings, replay
from tests.importers.followed import CLAUDE, PI, as_lines, inputs


def test_a_half_packed_file_is_refused_until_it_is_whole(tmp_path: Path, journal: Journal) -> None:
    """A packed file that is being written is named once, and taken when it is whole."""
    path, packed = tmp_path / "s.jsonl.gz", gzip.compress(as_lines(CLAUDE))
    path.write_bytes(packed[: len(packed) // 2])
    with Follower(journal, [path]) as follower:
        assert list(follower.once().refused) == [str(path)]
        assert not follower.once().refused
        path.write_bytes(packed)
        assert follower.once().appended


@pytest.mark.parametrize("first", [[], [{"type": "session", "version": 3, "id": 7}], ["torn"]])
def test_a_whole_file_that_names_no_session_is_named_as_in_an_import(tmp_path: Path, first: list[object]) -> None:
    """By its content, with `final`; before, its rows may still come, so nothing is taken."""
    said = [("user", [{"type": "text", "text": "hello"}]), ("assistant", [{"type": "text", "text": "hi"}])]
    rows = [
        {
            "type": "message",
            "id": f"a{n}",
            "parentId": f"a{n - 1}" if n else None,
            "message": {"role": role, "content": c},
        }
        for n, (role, c) in enumerate(said)
    ]
    path = tmp_path / "pi.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*first, *rows]))
    with Journal.open(tmp_path / "i.db", seed=1) as whole, Journal.open(tmp_path / "f.db", seed=1) as journal:
        (imported,) = replay(whole, path, AS_RECORDED)
        assert follow(journal, path).taken == ()
        assert follow(journal, path, final=True).taken[0].session_id == imported.session_id
        assert follow(journal, path, final=True).appended == 0
        found = [
            [(row.idempotency_key, row.raw) for row in each.log.read(imported.session_id)]
            for each in (whole, journal)
        ]
        assert found[0] == found[1] and len(found[0]) > 5


def test_a_folder_is_watched(tmp_path: Path, journal: Journal) -> None:
    """New files of a folder are found, and what is no recording is named once; an unchanged file is not read."""
    folder = tmp_path / "sessions"
    (folder / "deep").mkdir(parents=True)
    with Follower(journal, [folder]) as follower:
        assert follower.once().appended == 0
        (folder / "a.jsonl").write_bytes(as_lines(CLAUDE))
        (folder / "deep" / "b.jsonl").write_bytes(as_lines(PI))
        (folder / "package.json").write_bytes(b'{"name": "x"}')
        (folder / "notes.txt").write_bytes(b"no recording")
        found = follower.once()
        assert {each.session_id for each in found.taken if each.appended} == {"s1", "s1/agent-a1", "s2"}
        assert list(found.refused) == [str(folder / "package.json")]
        assert follower.once().unchanged == 3
    (folder / "package.json").unlink()
    assert follow(journal, folder).unchanged == 2


def test_read_models_follow_where_one_file_of_several_went_on(tmp_path: Path) -> None:
    """A pass that added anything at all brings them to the end of the log, also where other files gave nothing."""
    place, folder = tmp_path / "j.db", tmp_path / "sessions"
    folder.mkdir()
    with Journal.open(place, seed=1) as journal, Follower(journal, [folder]) as follower:
        for rows, noise in ((CLAUDE[:-1], b""), (CLAUDE, b"{}\n")):
            (folder / "a.jsonl").write_bytes(as_lines(rows))
            (folder / "b.jsonl").write_bytes(as_lines(PI) + noise)
            found = follower.once()
        assert {each.appended > 0 for each in found.taken} == {True, False}
        with closing(sqlite3.connect(place)) as db:
            assert db.execute("SELECT seq - (SELECT max(seq) FROM events) FROM projections").fetchall() == [(0,)]


def test_a_file_that_cannot_be_looked_at_stops_no_other(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of this program in one file, and a folder that may not be read, leave the other files as they are."""
    folder = tmp_path / "sessions"
    (folder / "secret").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(as_lines(CLAUDE))
    (folder / "b.jsonl").write_bytes(as_lines(PI))
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    take = Follower._take
    faulty = str(folder / "a.jsonl")
    monkeypatch.setattr(
        Follower, "_take", lambda self, path, stamp: 1 / 0 if path == faulty else take(self, path, stamp)
    )
    found = follow(journal, folder)
    assert list(found.faults) == [faulty] and [each.session_id for each in found.taken] == ["s2"]
    assert [error.message for error in found.refused.values()] == [f"{folder / 'secret'}: cannot be read"]


def test_a_path_that_leads_nowhere_is_named_once(tmp_path: Path, live: Path, journal: Journal) -> None:
    """A path without a file is told once, and again after it was there; the paths beside it are taken."""
    live.write_bytes(as_lines(CLAUDE))
    later = tmp_path / "later.jsonl"
    with Follower(journal, [later, live]) as follower:
        first = follower.once()
        assert [error.message for error in first.refused.values()] == [f"{later}: no such file or folder"]
        assert first.appended and not follower.once().refused
        later.write_bytes(as_lines(PI))
        assert follower.once().appended
        later.unlink()
        assert list(follower.once().refused) == [str(later)]


@pytest.mark.parametrize("blank", [b"", b"\n" * (LOOKED_AT + 1), b" \r\n" * 9], ids=["nothing", "ends", "blanks"])
@pytest.mark.parametrize("format_", [None, *TABLE])
def test_a_blank_file_is_refused_or_waited_for(
    live: Path, journal: Journal, format_: str | None, blank: bytes
) -> None:
    """A file without a word is no session of any format; one whose format is not told may still become one."""
    live.write_bytes(blank)
    with pytest.raises(UnreadableInput, match="is empty"):
        replay(journal, live, format=format_)
    if format_ is None:
        assert not follow(journal, live).taken and not follow(journal, live, final=True).refused
    else:
        with pytest.raises(UnreadableInput, match="is empty"):
            follow(journal, live, format=format_, final=True)


def test_an_unknown_format_is_refused_before_anything_is_read(live: Path, journal: Journal) -> None:
    """The formats that there are are named."""
    with pytest.raises(UsageError, match="unknown format 'telex'") as caught:
        Follower(journal, [live], format="telex")
    assert all(name in str(caught.value) for name in TABLE)


def test_a_file_that_cannot_be_opened_is_refused_by_its_name(
    tmp_path: Path, live: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system is one line that says what to do; the other files are taken."""
    other = tmp_path / "other.jsonl"
    live.write_bytes(as_lines(CLAUDE))
    other.write_bytes(as_lines(PI))

    def denied(path: str) -> Any:
        if path == str(live):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_text(path)

    open_text = following.open_text
    monkeypatch.setattr(following, "open_text", denied)
    with Follower(journal, [live, other]) as follower:
        found = follower.once()
        assert {path: str(error) for path, error in found.refused.items()} == {
            str(live): f"{live}: Permission denied (check its permissions)"
        }
        assert {each.session_id for each in found.taken} == {"s2"}
        monkeypatch.setattr(following, "open_text", open_text)
        assert not follower.once().refused


def test_a_file_of_one_session_that_gets_another_is_refused_under_one_name(live: Path, journal: Journal) -> None:
    """A name for one session stands for no second one; without it both are taken."""
    first, second = [({**row, "sessionId": name}) for name in ("s1", "s8") for row in CLAUDE[:1]]
    settings = ReplaySettings(as_recorded=True, name="mine")
    with Follower(journal, [live], settings) as follower:
        live.write_bytes(as_lines([first]))
        assert {each.session_id for each in follower.once().taken} == {"mine"}
        live.write_bytes(as_lines([first, {**second, "uuid": "u8", "parentUuid": None}]))
        (error,) = follower.once().refused.values()
        assert "holds several sessions" in str(error) and "--as" in str(error)
    assert set(inputs(journal)) == {"mine"}
