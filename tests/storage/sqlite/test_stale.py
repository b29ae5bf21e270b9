"""A write-ahead log of an older moment, or of another journal, takes no event away."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from clawvm_es.errors import JournalDamaged
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import opening, stale
from clawvm_es.testing.logs import budget

EVENTS = 60


def left(path: Path, kept: Path, events: int, session_id: str = "s") -> Path:
    """Bring a journal to so many events; return a copy of its write-ahead log from the moment before it is closed."""
    with open_log(path) as log:
        for n in range(log.size() + 1, events + 1):
            log.append(session_id, [budget(n)])
        return Path(shutil.copyfile(f"{path}-wal", kept))


def files_of(path: Path) -> dict[str, bytes]:
    """The journal and its log."""
    return {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("whose", ["older", "another's", "a small one's"])
def test_a_log_that_takes_events_away_is_refused(tmp_path, whose, read_only) -> None:
    """SQLite took it for the newest part of the file: what the file held was gone at the next close."""
    path, other = tmp_path / "j.db", tmp_path / "other.db"
    older = left(path, tmp_path / "older", 20)
    left(path, tmp_path / "newest", EVENTS)
    another = left(other, tmp_path / "another", 1 if whose == "a small one's" else 2 * EVENTS, "t")
    shutil.copyfile(older if whose == "older" else another, f"{path}-wal")
    before = files_of(path)
    with pytest.raises(
        JournalDamaged, match=r"j\.db-wal is of an older moment, of another journal or damaged"
    ) as caught:
        open_log(path, read_only=read_only)
    assert "-wal away" in caught.value.hint
    assert [problem.detail for problem in verify(path)] == [caught.value.message]
    assert files_of(path) == before
    os.unlink(f"{path}-wal")
    with open_log(path, read_only=read_only) as log:
        assert log.size() == EVENTS


def test_the_newest_log_is_taken_with_a_file_of_any_moment(tmp_path) -> None:
    """Whether the file has been copied from it or not, and where the file holds no event yet."""
    path = tmp_path / "j.db"
    open_log(path).close()
    empty = path.read_bytes()
    newest = left(path, tmp_path / "newest", EVENTS)
    for main in (empty, path.read_bytes()):
        path.write_bytes(main)
        shutil.copyfile(newest, f"{path}-wal")
        with open_log(path) as log:
            assert log.size() == EVENTS
        assert verify(path) == ()


@pytest.mark.parametrize("seed", range(12))
def test_a_file_that_was_being_written_says_nothing(tmp_path, seed) -> None:
    """Power went while the log was copied into the file: sectors are old or new, and the log has every event."""
    path, dice = tmp_path / "j.db", Random(seed)
    left(path, tmp_path / "older", EVENTS // 2)
    old = path.read_bytes()
    newest = left(path, tmp_path / "newest", EVENTS)
    new = path.read_bytes()
    old += bytes(len(new) - len(old))
    torn = (dice.choice((old, new))[at : at + 512] for at in range(0, len(new), 512))
    path.write_bytes(b"".join(torn))
    shutil.copyfile(newest, f"{path}-wal")
    with open_log(path) as log:
        assert log.size() == EVENTS
    assert verify(path) == ()


@pytest.mark.parametrize("other", ["data = '{}'", "principal = 'x'", "turn = 99", "hash = x'00'"])
def test_an_event_whose_hash_does_not_hold_is_none(tmp_path, other) -> None:
    """A torn row in the file alone is no reason to refuse the log that mends it."""
    path = tmp_path / "j.db"
    newest = left(path, tmp_path / "newest", 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(f"UPDATE events SET {other} WHERE seq = 3")
    with closing(opening.connect_alone(str(path))) as db:
        assert stale._last(db) is None
    shutil.copyfile(newest, f"{path}-wal")
    assert stale._agree(str(path), sqlite3.connect)


def test_a_log_that_is_being_copied_is_looked_at_again(tmp_path, monkeypatch) -> None:
    """A checkpoint of another process may make the first look meaningless."""
    path = tmp_path / "j.db"
    kept = left(path, tmp_path / "kept", 3)
    shutil.copyfile(kept, f"{path}-wal")
    told = iter((False, True))
    monkeypatch.setattr(stale, "_agree", lambda *_: next(told))
    stale.check(str(path))
    assert next(told, None) is None


def test_a_journal_that_is_open_here_is_not_opened_without_its_log(tmp_path, monkeypatch) -> None:
    """Its locks would be dropped when that connection is closed."""
    monkeypatch.setattr(stale, "_agree", None)
    path = tmp_path / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        stale.check(str(path))
        with open_log(path) as same:
            assert same.size() == 1


def test_tables_that_are_not_ours_are_not_asked(tmp_path) -> None:
    """A view without end in the place of a table is told by who checks the schema."""
    path = tmp_path / "j.db"
    kept = left(path, tmp_path / "kept", 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("ALTER TABLE events RENAME TO gone")
        endless = "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS seq, 'x' AS hash FROM n"
        db.execute(f"CREATE VIEW events AS {endless}")
    shutil.copyfile(kept, f"{path}-wal")
    assert stale._agree(str(path), sqlite3.connect)
