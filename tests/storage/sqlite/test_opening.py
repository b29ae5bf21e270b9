"""Opening: new files, files that are not ours, and files that can only be read."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es.errors import (
    JournalDamaged,
    JournalReadOnly,
    JournalTooNew,
    NotAJournal,
    UnknownEvent,
    UnreadableInput,
    UsageError,
)
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import foreign as foreign_objects
from clawvm_es.storage.sqlite import opening, schema
from clawvm_es.testing.logs import budget


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files of a folder with their bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make(path: Path, events: int = 3) -> Path:
    """A journal with some events, closed."""
    with open_log(path) as log:
        log.append("s", [budget(n) for n in range(1, events + 1)])
    return path


def foreign(path: Path) -> None:
    """An SQLite file of another program, in WAL mode."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE events (x)")
    db.close()


def newer(path: Path) -> None:
    """A journal of a later format."""
    make(path)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={schema.USER_VERSION + 1}")
    db.close()


def cut(path: Path) -> None:
    """A journal that lost its end."""
    make(path, 600)
    os.truncate(path, path.stat().st_size // 2)


def scribbled(path: Path) -> None:
    """A journal whose schema page is garbage."""
    make(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 3000)


def without_table(path: Path) -> None:
    """A journal that lost a table."""
    make(path)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE commitments")
    db.close()


def without_identity(path: Path) -> None:
    """A journal whose identity was deleted."""
    make(path)
    db = sqlite3.connect(path)
    db.executescript("DROP TRIGGER journal_delete; DELETE FROM journal")
    db.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: path.write_bytes(b"some text, long enough to be no header" * 9), NotAJournal),
        (lambda path: path.write_bytes(b"\x00"), NotAJournal),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), NotAJournal),
        (lambda path: path.mkdir(), NotAJournal),
        (foreign, NotAJournal),
        (newer, JournalTooNew),
        (cut, JournalDamaged),
        (scribbled, JournalDamaged),
        (without_table, JournalDamaged),
        (without_identity, JournalDamaged),
    ],
)
def test_what_is_not_ours_is_left_untouched(tmp_path, spoil, error, read_only) -> None:
    """One clear error for each kind of wrong file; the file and its folder stay as they were."""
    path = tmp_path / "journal.db"
    spoil(path)
    (tmp_path / "journal.db.lock").unlink(missing_ok=True)
    before = {} if path.is_dir() else snapshot(tmp_path)
    with pytest.raises(error) as caught:
        open_log(path, read_only=read_only)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ({} if path.is_dir() else snapshot(tmp_path)) == before


def test_missing_and_empty_files_become_journals(tmp_path) -> None:
    """A missing or an empty file becomes a new journal with the marks in its header, and only once."""
    for name in ("missing.db", "empty.db"):
        path = tmp_path / name
        if name == "empty.db":
            path.touch()
        with open_log(path, reproducible=True) as log:
            assert log.reproducible
            first = log.journal_id
        with open_log(path) as log:
            assert (log.journal_id, log.reproducible) == (first, True)
        header = path.read_bytes()[:100]
        assert int.from_bytes(header[68:72], "big") == schema.APPLICATION_ID
        assert int.from_bytes(header[60:64], "big") == schema.USER_VERSION
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "empty.db",
        "empty.db.lock",
        "missing.db",
        "missing.db.lock",
    ]


def test_no_directory_is_an_error(tmp_path) -> None:
    """A journal in a folder that does not exist is refused, and the folder is not made."""
    with pytest.raises(UsageError, match="there is no directory"):
        open_log(tmp_path / "no" / "journal.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("empty", [False, True])
def test_reading_needs_a_journal(tmp_path, empty) -> None:
    """Opening for reading makes nothing where there is nothing."""
    if empty:
        (tmp_path / "journal.db").touch()
    before = snapshot(tmp_path)
    with pytest.raises(UnreadableInput):
        open_log(tmp_path / "journal.db", read_only=True)
    assert snapshot(tmp_path) == before


def test_a_name_with_odd_characters(tmp_path) -> None:
    """Names that mean something in a URI are taken as they are, relative ones from here."""
    path = make(tmp_path / "a?b=c#d %41 é.db")
    assert verify(path) == ()
    assert path.stat().st_size > 0


def test_creation_is_a_race_that_one_wins(tmp_path) -> None:
    """Many who make the same journal at once all get the one that was made."""
    with ThreadPoolExecutor(8) as pool:
        logs = list(pool.map(lambda _: open_log(tmp_path / "journal.db"), range(8)))
    assert len({log.journal_id for log in logs}) == 1
    for number, log in enumerate(logs):
        log.append(f"s{number}", [budget(1)])
    assert len(logs[0].heads()) == 8
    for log in logs:
        log.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.db", "journal.db.lock"]


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_wal_without_its_journal_is_kept(tmp_path, state) -> None:
    """A write-ahead log without its journal may hold what was acknowledged: no new journal is made over it."""
    path = tmp_path / "journal.db"
    log = open_log(path)
    log.append("old", [budget(1)])
    shutil.copy(tmp_path / "journal.db-wal", tmp_path / "kept")
    log.close()
    path.unlink()
    shutil.move(tmp_path / "kept", tmp_path / "journal.db-wal")
    if state == "empty":
        path.touch()
    before = snapshot(tmp_path)
    with pytest.raises(JournalDamaged, match=f"is {state}, but its write-ahead log") as caught:
        open_log(path)
    assert "move" in caught.value.hint
    assert snapshot(tmp_path) == before
    Path(f"{path}-wal").rename(tmp_path / "away")
    with open_log(path) as log:
        assert log.heads() == ()


def test_reading_leaves_no_trace(tmp_path) -> None:
    """Opening for reading, reading, verifying and closing change nothing in the folder."""
    path = make(tmp_path / "journal.db")
    before = snapshot(tmp_path)
    with open_log(path, read_only=True) as log:
        assert len(list(log.read_all())) == 3
        assert not log.heads()[0].provisional
        for write in (lambda: log.append("s", [budget(1)]), lambda: log.transaction().__enter__()):
            with pytest.raises(JournalReadOnly):
                write()
    assert verify(path) == ()
    assert snapshot(tmp_path) == before


def test_reading_what_a_crash_left(tmp_path) -> None:
    """Opening for reading sees what is only in the write-ahead log, and leaves journal and log as they are."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1), budget(2)])
        (tmp_path / "crash").mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / "crash" / name)
    crash = tmp_path / "crash"
    before = snapshot(crash)
    with open_log(crash / "journal.db", read_only=True) as log:
        assert len(list(log.read("s"))) == 2
        assert log.heads()[0].provisional
    after = snapshot(crash)
    assert {name: after[name] for name in before} == before
    with open_log(crash / "journal.db") as log:
        assert log.append("s", [budget(3)]).version == 3


READ_AS_NOBODY = """
import os, sys
from clawvm_es.errors import JournalReadOnly
from clawvm_es.storage.sqlite.log import open_log
from clawvm_es.testing.logs import budget
os.setgid(65534)
os.setuid(65534)
with open_log(sys.argv[1]) as log:
    assert log.read_only
    print(len(list(log.read_all())), log.vault("s").open("0" * 64))
    try:
        log.append("s", [budget(1)])
    except JournalReadOnly as error:
        print("refused")
try:
    open_log(sys.argv[1] + ".other")
except JournalReadOnly as error:
    print("cannot be made")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user who may not write")
def test_read_only_places() -> None:
    """Where we may not write, an existing journal is read as immutable, and all writes are refused."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = make(folder / "journal.db")
        path.chmod(0o644)
        before = snapshot(folder)
        done = subprocess.run(
            [sys.executable, "-c", READ_AS_NOBODY, path], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.stdout.split("\n")[:3], done.stderr) == (["3 None", "refused", "cannot be made"], "")
        assert snapshot(folder) == before
    finally:
        shutil.rmtree(folder)


def pragmas(db: sqlite3.Connection, *names: str) -> dict[str, object]:
    """The settings of a connection."""
    return {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


SETTINGS = ("secure_delete", "query_only", "wal_autocheckpoint", "trusted_schema", "cell_size_check")


def contrary(*args, **options) -> sqlite3.Connection:
    """A connection of a library whose defaults are the opposite of what a journal needs."""
    db = sqlite3.connect(*args, **options)
    for setting in ("secure_delete=OFF", "query_only=OFF", "trusted_schema=ON", "cell_size_check=OFF"):
        db.execute(f"PRAGMA {setting}")
    return db


def test_connections_are_set_up_for_their_work(tmp_path) -> None:
    """A writer erases what it deletes, a reader cannot write, neither checkpoints by itself or trusts the schema."""
    path = str(make(tmp_path / "journal.db"))
    with (
        closing(opening.connect_writer(path, contrary)) as writer,
        closing(opening.connect_reader(path, connect=contrary)) as reader,
    ):
        assert list(pragmas(writer, *SETTINGS).values()) == [1, 0, 0, 0, 1]
        assert list(pragmas(reader, *SETTINGS[1:]).values()) == [1, 0, 0, 1]
        for db in (writer, reader):
            assert db.isolation_level is None and pragmas(db, "busy_timeout") == {"busy_timeout": opening.BUSY_MS}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("CREATE TABLE t (a)")


def test_what_was_deleted_is_not_in_a_new_file(tmp_path) -> None:
    """A journal is built with deleting by overwriting, in one transaction, and in WAL mode."""
    with sqlite3.connect(make(tmp_path / "journal.db")) as db:
        assert pragmas(db, "journal_mode") == {"journal_mode": "wal"}
        assert foreign_objects.definitions(db) == schema.objects()
    db.close()


def test_a_block_of_reading_sees_one_state(tmp_path) -> None:
    """What is committed meanwhile is not seen inside the block; SQLite's errors in it are told as ours."""
    path = make(tmp_path / "journal.db")
    count = "SELECT count(*) FROM events"
    with open_log(path) as log, opening.reading(str(path), False, sqlite3.connect) as db:
        assert db.execute(count).fetchone() == (3,)
        log.append("s", [budget(4)])
        assert db.execute(count).fetchone() == (3,)
    with pytest.raises(JournalDamaged), opening.reading(str(path), True, sqlite3.connect) as db:
        db.execute("SELECT nothing FROM nowhere")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("PRAGMA user_version=0", "user_version is 0, which no journal has"),
        ("PRAGMA user_version=-1", "user_version is -1, which no journal has"),
        ("DROP TABLE commitments", "there is no table commitments"),
        ("DROP TABLE commitments; DROP TABLE blobs", "there is no table blobs, commitments"),
        ("ALTER TABLE blobs ADD COLUMN more TEXT", "not as made, and so not read: blobs"),
        ("DROP TRIGGER journal_delete; DELETE FROM journal", "its table journal is empty"),
    ],
)
def test_each_part_of_a_journal_is_checked(tmp_path, spoil, says) -> None:
    """A number that no journal has, a missing or altered table and an empty identity are told by their names."""
    path = make(tmp_path / "journal.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert opening.check_tables(db, "j")[2] is False
        db.executescript(spoil)
        with pytest.raises(JournalDamaged, match=says):
            opening.check_tables(db, "j")


def test_the_limit_on_files_is_told(tmp_path, monkeypatch) -> None:
    """A limit that a file has nearly reached is a reason why it cannot grow; none, or one far away, is not."""
    path = tmp_path / "journal.db"
    near = opening._NEAR_BYTES
    path.write_bytes(bytes(1000))
    for limit, reason in (
        (0, ""),
        (near + 1000, ""),
        (near + 999, f"files may not be larger than {near + 999} bytes"),
    ):
        monkeypatch.setattr(opening, "_size_limit", lambda limit=limit: limit)
        assert opening._why_full(str(path)).startswith(reason) and bool(opening._why_full(str(path))) is bool(reason)
    Path(f"{path}-wal").write_bytes(bytes(2000))
    monkeypatch.setattr(opening, "_size_limit", lambda: near + 1999)
    assert opening._why_full(str(path)) and opening.wal_bytes(str(path)) == 2000
    Path(f"{path}-wal").unlink()
    assert opening.wal_bytes(str(path)) == 0


def test_no_limit_on_files_is_nought() -> None:
    """Without a limit the size is 0, with one it is the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert opening._size_limit() == (0 if soft == resource.RLIM_INFINITY else soft)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, hard))
    try:
        assert opening._size_limit() == 10_000_000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("column", "value", "error", "says"),
    [
        ("type", "novelty", UnknownEvent, "novelty"),
        ("data", "{", JournalDamaged, ""),
        ("data", "[]", JournalDamaged, ""),
    ],
)
def test_an_event_that_cannot_be_read_is_named(tmp_path, column, value, error, says):
    """A type of a newer program, and what is no event: session, version and place in the log."""
    path = tmp_path / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(1), budget(2)])
    with closing(sqlite3.connect(path)) as db:
        (guard,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'events_update'").fetchone()
        db.execute("DROP TRIGGER events_update")
        db.execute(f"UPDATE events SET {column} = ? WHERE seq = 2", (value,))
        db.execute(guard)
        db.commit()
    with open_log(path, read_only=True) as log:
        with pytest.raises(error, match=rf"session s version 2 \(seq 2\).*{says}"):
            list(log.read("s"))
        assert [row.version for row in log.read("s", upto=1)] == [1]
