"""Things beside a journal that are none of its own, rollback journals, pipes, folders: none costs an event."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es import Journal, files
from clawvm_es.errors import JournalDamaged
from clawvm_es.importers.known import KnownFiles
from clawvm_es.storage import open_log, verify
from clawvm_es.testing.logs import budget

EVENTS = 200


def made(path: Path, events: int = EVENTS) -> Path:
    """A journal that was closed."""
    with open_log(path) as log:
        for n in range(log.size() + 1, events + 1):
            log.append("s", [budget(n)])
    return path


def rollback_of(path: Path) -> bytes:
    """What a tool leaves beside a copy of a journal when it is killed in a large transaction."""
    copy = Path(shutil.copyfile(path, path.with_name("copy")))
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        for setting in ("journal_mode=DELETE", "cache_size=1", "synchronous=FULL"):
            db.execute(f"PRAGMA {setting}")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DROP TRIGGER events_update")
        db.execute("UPDATE events SET principal = principal || hex(zeroblob(2000))")
        return Path(f"{copy}-journal").read_bytes()


def taken(folder: Path) -> dict[str, bytes]:
    """The journal's files with their bytes, without the lock."""
    return {path.name: path.read_bytes() for path in folder.glob("j.db*") if path.suffix != ".lock"}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("whose", ["older", "nobody's"])
def test_a_rollback_journal_is_not_rolled_back_into_a_journal(tmp_path, whose, read_only) -> None:
    """One of an older copy took the newer events away, by the mere look of `verify`; now every file stays."""
    path = made(tmp_path / "j.db", 20)
    beside = Path(f"{path}-journal")
    left = rollback_of(path) if whose == "older" else b"Dear diary,\n"
    made(path)
    beside.write_bytes(left)
    before = taken(tmp_path)
    with pytest.raises(JournalDamaged, match=r"j\.db-journal is there") as caught:
        open_log(path, read_only=read_only)
    assert "move it away" in caught.value.hint
    assert [problem.detail for problem in verify(path)] == [caught.value.message]
    assert taken(tmp_path) == before
    beside.unlink()
    with open_log(path) as log:
        assert log.size() == EVENTS
    assert verify(path) == ()


@pytest.mark.parametrize("left", [b"", bytes(512)])
def test_a_rollback_journal_that_ended_is_none(tmp_path, left) -> None:
    """Tools that keep the file cut it, or write zeros over its beginning."""
    path = made(tmp_path / "j.db", 3)
    Path(f"{path}-journal").write_bytes(left)
    with open_log(path) as log:
        assert log.append("s", [budget(4)]).version == 4


def test_a_tool_s_own_transaction_is_rolled_back(tmp_path) -> None:
    """A journal that a tool brought out of WAL mode has a rollback journal when the tool is killed."""
    path = made(tmp_path / "j.db")
    left = rollback_of(path)
    shutil.copyfile(tmp_path / "copy", path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    Path(f"{path}-journal").write_bytes(left)
    with open_log(path) as log:
        assert log.size() == EVENTS
    assert verify(path) == ()


@pytest.mark.parametrize("thing", ["pipe", "folder", "link"])
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, suffix, thing) -> None:
    """SQLite waits for the other end of a pipe without end, and tells of a folder that the journal is unreadable."""
    path = made(tmp_path / "j.db", 3)
    place = Path(f"{path}{suffix}")
    match thing:
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "link":
            place.symlink_to(tmp_path)
    with pytest.raises(JournalDamaged) as caught:
        open_log(path)
    assert caught.value.message.startswith(f"{place} ")
    assert [problem.detail for problem in verify(path)] == [caught.value.message]


def test_a_cache_that_is_a_pipe_is_none(tmp_path) -> None:
    """What is noted beside a journal is not waited for either."""
    path = made(tmp_path / "j.db", 3)
    for suffix in (files.ARCHIVES, ".imports"):
        os.mkfifo(f"{path}{suffix}")
    assert files.archives_of(str(path)) == []
    assert KnownFiles.beside(str(path)).entries == {}


@pytest.mark.parametrize(
    ("view", "at", "flipped"), [("tool_calls", "$.", b"\xff"), ("page_text", "page.page_id", b"`")]
)
def test_a_view_in_which_a_bit_flipped_is_told_on_one_line_or_made_anew(tmp_path, view, at, flipped) -> None:
    """SQLite shows the statement, which has many lines; one that is no UTF-8 kept a journal shut that verified."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s") as session:
        session.user_says("hi")
    raw = path.read_bytes()
    place = raw.index(at.encode(), raw.index(f"CREATE VIEW {view}".encode()))
    path.write_bytes(raw[:place] + flipped + raw[place + 1 :])
    problems = verify(path)
    try:
        with Journal.open(path) as journal:
            assert journal.opened("s") is not None
    except JournalDamaged as error:
        assert problems
        assert "\n" not in str(error)
