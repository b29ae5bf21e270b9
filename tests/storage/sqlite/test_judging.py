"""Judging a file before anything is written near it: torn journals open, strangers' files stay as they were."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es.errors import JournalDamaged, JournalTooNew, NotAJournal
from clawvm_es.journal.ports import Durability
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import judging, schema
from clawvm_es.testing.logs import budget

PAGE = 4096
EVENTS = 15


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files of a folder with their bytes and permissions."""
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in sorted(folder.iterdir())}


def copy(source: Path, target: Path) -> Path:
    """The files as a power loss leaves them: main file and write-ahead log, no shared memory."""
    for suffix in ("", "-wal"):
        if Path(f"{source}{suffix}").exists():
            shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
    return target


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A session of FULL commits whose checkpoint was just taken: every page of the file is in the log too."""
    folder = tmp_path_factory.mktemp("image")
    with open_log(folder / "live.db") as log:
        for n in range(1, EVENTS + 1):
            log.append("s", [budget(n)], durability=Durability.FULL)
        with log.transaction(Durability.FULL) as transaction:  # page 1 changes with the schema
            transaction.connection.execute("CREATE TABLE more (x)")
        with log.transaction(Durability.FULL) as transaction:
            transaction.connection.execute("DROP TABLE more")
        return copy(folder / "live.db", folder / "crash.db")


def zeros(page: bytes) -> bytes:
    """Nothing of the page reached the disk."""
    return bytes(PAGE)


def noise(page: bytes) -> bytes:
    """The page holds anything."""
    return random.Random(1).randbytes(PAGE)


def head_lost(page: bytes) -> bytes:
    """The first sector is empty, the rest is there."""
    return bytes(512) + page[512:]


def tail_lost(page: bytes) -> bytes:
    """Only the first sector is there."""
    return page[:512] + bytes(PAGE - 512)


def marks_lost(page: bytes) -> bytes:
    """The header is there without its marks."""
    return page[:60] + bytes(40) + page[100:]


def versions_lost(page: bytes) -> bytes:
    """The header names formats that do not exist."""
    return page[:18] + b"\x09\x09" + page[20:]


TEARS = [zeros, noise, head_lost, tail_lost, marks_lost, versions_lost]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_first_page_beside_a_whole_log_is_recovered(tmp_path, image, tear, read_only) -> None:
    """SQLite recovers page 1 from the write-ahead log, and every acknowledged event is there."""
    path = copy(image, tmp_path / "j.db")
    page = path.read_bytes()[:PAGE]
    with path.open("r+b") as file:
        file.write(tear(page))
    with open_log(path, read_only=read_only) as log:
        assert [event.version for event in log.read("s")] == list(range(1, EVENTS + 1))
    assert verify(path) == ()
    if not read_only:
        with open_log(path) as log:
            assert log.append("s", [budget(1)]).version == EVENTS + 1


@pytest.mark.parametrize("old_bytes", [0, 1, 20, 64, 70, 100, 512, 2048, 4095])
def test_a_page_half_old_and_half_new_is_recovered(tmp_path, image, old_bytes) -> None:
    """The page may be torn at any byte between what it was and what it becomes."""
    path = copy(image, tmp_path / "j.db")
    with open_log(copy(image, tmp_path / "new.db")):
        pass
    new, old = (tmp_path / "new.db").read_bytes()[:PAGE], random.Random(2).randbytes(PAGE)
    with path.open("r+b") as file:
        file.write(old[:old_bytes] + new[old_bytes:])
    with open_log(path) as log:
        assert len(list(log.read_all())) == EVENTS


@pytest.mark.parametrize("tear", [zeros, noise, head_lost, marks_lost])
def test_a_torn_first_page_without_a_log_is_no_journal(tmp_path, image, tear) -> None:
    """Where nothing recovers page 1 the file is refused and stays as it was."""
    path = copy(image, tmp_path / "j.db")
    with open_log(path):
        pass
    for beside in ("-wal", ".lock"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    with path.open("r+b") as file:
        file.write(tear(path.read_bytes()[:PAGE]))
    before = snapshot(tmp_path)
    for read_only in (False, True):
        with pytest.raises(NotAJournal):
            open_log(path, read_only=read_only)
    assert snapshot(tmp_path) == before


def test_a_cut_log_beside_a_torn_page_is_refused(tmp_path, image) -> None:
    """A page 1 in a transaction that was not committed recovers nothing, and nothing is written."""
    path = copy(image, tmp_path / "j.db")
    with path.open("r+b") as file:
        file.write(bytes(PAGE))
    wal = Path(f"{path}-wal")
    raw = bytearray(wal.read_bytes())
    raw[32 + 30] ^= 1  # in the first frame's page, so that no checksum fits from there
    wal.write_bytes(raw)
    before = snapshot(tmp_path)
    with pytest.raises(NotAJournal, match="no SQLite file"):
        open_log(path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("tear", [None, *TEARS])
def test_a_log_that_sqlite_cannot_recover_is_damage_of_ours_alone(tmp_path, image, tear) -> None:
    """Beside a page 1 that is ours the journal is damaged; beside another, the file is told by its header."""
    path = copy(image, tmp_path / "j.db")
    whole = path.read_bytes()[:PAGE]
    with open_log(copy(image, tmp_path / "live.db")) as log, log.transaction() as transaction:
        transaction.connection.execute(f"PRAGMA user_version={schema.USER_VERSION + 1}")
        transaction.__exit__(None, None, None)
        shutil.copyfile(tmp_path / "live.db-wal", f"{path}-wal")
        transaction.__enter__()
    with path.open("r+b") as file:
        file.write(whole if tear is None else tear(whole))
    before = snapshot(tmp_path)

    def broken(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.DatabaseError("file is not a database")

    kept = tear is None or judging._is_ours(tear(whole)[:100])
    with pytest.raises(JournalDamaged if kept else (NotAJournal, JournalDamaged)) as caught:
        judging.is_new(str(path), broken)
    assert ("its write-ahead log cannot be read" in str(caught.value)) is kept
    assert snapshot(tmp_path) == before


def test_a_newer_format_in_the_log_is_seen(tmp_path, image) -> None:
    """The format that counts is the one that SQLite would recover."""
    with open_log(copy(image, tmp_path / "live.db")) as log, log.transaction() as transaction:
        transaction.connection.execute(f"PRAGMA user_version={schema.USER_VERSION + 1}")
        transaction.__exit__(None, None, None)
        path = copy(tmp_path / "live.db", tmp_path / "j.db")
        transaction.__enter__()
    assert path.read_bytes()[63] == schema.USER_VERSION
    with pytest.raises(JournalTooNew):
        open_log(path)


# ------------------------------------------------------------------------------------------- files of other programs


def stranger(path: Path, mode: str, rows: int = 50) -> sqlite3.Connection:
    """An open connection of another program that wrote a little."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (?)", [("x" * 300,)] * rows)
    return db


def closed(path: Path, mode: str) -> None:
    """Not in use."""
    stranger(path, mode).close()


def crashed(path: Path, mode: str) -> None:
    """In the middle of a transaction that was cut off, with its log or its journal."""
    db = stranger(path.with_name("live"), mode)
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (?)", [("y" * 3000,)] * 300)
    for suffix in ("", "-wal", "-shm", "-journal"):
        if path.with_name(f"live{suffix}").exists():
            shutil.copyfile(path.with_name(f"live{suffix}"), f"{path}{suffix}")
    db.close()
    for left in path.parent.glob("live*"):
        left.unlink()


def log_lost(path: Path, mode: str) -> None:
    """Its log is gone."""
    crashed(path, mode)
    Path(f"{path}-wal").unlink(missing_ok=True)


def log_of_ours(path: Path, mode: str) -> None:
    """The log of a journal of ours lies beside it."""
    closed(path, mode)
    with open_log(path.with_name("ours")) as log:
        log.append("s", [budget(1)])
        shutil.copyfile(path.with_name("ours-wal"), f"{path}-wal")
    for left in path.parent.glob("ours*"):
        left.unlink()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("state", [closed, crashed, log_lost, log_of_ours])
def test_a_strangers_file_stays_as_it_was(tmp_path, state, mode, read_only) -> None:
    """Whatever lies beside it: file, log, shared memory and folder stay byte for byte, and no file is made."""
    path = tmp_path / "other.db"
    state(path, mode)
    before = snapshot(tmp_path)
    with pytest.raises(NotAJournal, match="another program") as caught:
        open_log(path, read_only=read_only)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("lock", ["DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_a_strangers_file_that_is_being_written_stays_as_it_was(tmp_path, mode, lock) -> None:
    """Another program's transaction is not disturbed, and it loses no lock though it runs in this process."""
    path = tmp_path / "other.db"
    with closing(stranger(path, mode)) as db:
        db.execute(f"BEGIN {lock}")
        if lock != "DEFERRED":
            db.execute("INSERT INTO t VALUES (1)")
        before = snapshot_beside(path)
        with pytest.raises(NotAJournal):
            open_log(path)
        assert snapshot_beside(path) == before
        if lock != "DEFERRED":
            tried = subprocess.run(
                [sys.executable, "-c", BEGIN, str(path)], capture_output=True, text=True, check=False, timeout=60
            )
            assert tried.stdout == "locked\n"
            db.execute("COMMIT")


BEGIN = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0).execute("BEGIN IMMEDIATE")
    print("began")
except sqlite3.OperationalError:
    print("locked")
"""


def snapshot_beside(path: Path) -> dict[str, bytes]:
    """The files that hold no locks (reading one of those here would drop its locks), and the names of all."""
    names = [each.name for each in sorted(path.parent.iterdir())]
    beside = [name for name in names if name.endswith(("-wal", "-journal"))]
    return {"names": "\n".join(names).encode()} | {name: (path.parent / name).read_bytes() for name in beside}


def test_a_new_database_of_another_program_is_not_replaced(tmp_path) -> None:
    """An empty file with a rollback journal is being made by somebody else."""
    path = tmp_path / "other.db"
    path.touch()
    Path(f"{path}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600))
    before = snapshot(tmp_path)
    with pytest.raises(NotAJournal, match="another program writes"):
        open_log(path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_strangers_log_beside_a_journal_is_not_mixed_in(tmp_path, image, read_only) -> None:
    """SQLite would copy the log of another program's file into the journal: it is refused, both stay as they were."""
    path = copy(image, tmp_path / "j.db")
    with open_log(path):
        pass
    other = tmp_path / "other.db"
    db = stranger(other, "wal")
    shutil.copyfile(f"{other}-wal", f"{path}-wal")
    db.close()
    before = snapshot(tmp_path)
    with pytest.raises(NotAJournal, match="belongs to another program's file") as caught:
        open_log(path, read_only=read_only)
    assert "-wal away" in caught.value.hint
    assert snapshot(tmp_path) == before
    Path(f"{path}-wal").unlink()
    with open_log(path, read_only=read_only) as log:
        assert len(list(log.read_all())) == EVENTS


def test_what_is_no_log_beside_a_journal_is_ignored(tmp_path, image) -> None:
    """SQLite ignores a log whose header is none, and so does the judgement."""
    path = copy(image, tmp_path / "j.db")
    with open_log(path):
        pass
    Path(f"{path}-wal").write_bytes(b"no log at all" * 500)
    with open_log(path) as log:
        assert len(list(log.read_all())) == EVENTS


def test_a_log_that_is_a_link_is_not_followed(tmp_path, image) -> None:
    """SQLite follows no link to a log; this is said before anything is written."""
    path = copy(image, tmp_path / "j.db")
    Path(f"{path}-wal").rename(tmp_path / "elsewhere")
    Path(f"{path}-wal").symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    with pytest.raises(JournalDamaged, match=r"j\.db-wal is a link"):
        open_log(path)
    assert snapshot(tmp_path) == before


# --------------------------------------------------------------------------------------------------- links and rights


def test_a_link_to_a_journal_is_followed_once(tmp_path) -> None:
    """All names of a journal share one lock and one log; they lie beside the journal itself."""
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "j.db", tmp_path / "link.db"
    open_log(path).close()
    link.symlink_to(path)
    with open_log(link) as log, open_log(path) as same:
        log.append("s", [budget(1)])
        assert same.append("s", [budget(2)], expected=1).version == 2
        assert log.path == str(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.db", "real"]
    assert sorted(each.name for each in path.parent.iterdir()) == ["j.db", "j.db.lock"]


@pytest.mark.parametrize("empty", [False, True])
def test_nothing_is_made_through_a_link(tmp_path, empty) -> None:
    """A link that somebody laid does not decide where a journal is made, nor which empty file it replaces."""
    target, link = tmp_path / "target", tmp_path / "j.db"
    if empty:
        target.touch()
    link.symlink_to(target)
    names = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="is a link to"):
        open_log(link)
    assert sorted(tmp_path.iterdir()) == names


AS_NOBODY = """
import os, sys
from clawvm_es.errors import JournalError
from clawvm_es.storage.sqlite.log import open_log
os.setgid(65534)
os.setuid(65534)
for read_only in (False, True):
    try:
        with open_log(sys.argv[1], read_only=read_only) as log:
            print(len(list(log.read_all())))
    except JournalError as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user who may not write")
@pytest.mark.parametrize("beside", ["no log", "a log"])
@pytest.mark.parametrize("whose", ["ours", "torn", "stranger"])
def test_a_folder_that_cannot_be_written(image, whose, beside) -> None:
    """Where nothing can be written the same files are ours; a log that cannot be read is said to be there."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "j.db"
        if whose == "stranger":
            (crashed if beside == "a log" else closed)(path, "wal")
        elif beside == "a log":
            copy(image, path)
        else:
            open_log(path).close()
        if whose == "torn":
            with path.open("r+b") as file:
                file.write(bytes(PAGE))
        for each in folder.iterdir():
            each.chmod(0o644)
        folder.chmod(0o755)
        before = snapshot(folder)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        expected = {
            ("ours", "no log"): ["0", "0"],
            ("ours", "a log"): ["JournalReadOnly", "JournalReadOnly"],
            ("torn", "a log"): ["JournalReadOnly", "JournalReadOnly"],
        }.get((whose, beside), ["NotAJournal", "NotAJournal"])
        assert done.stdout.split() == expected
        assert snapshot(folder) == before
    finally:
        shutil.rmtree(folder)


# ----------------------------------------------------------------------------------------------- marks in the header


def unused(*given, **named):
    """For `connect`: the header alone has to tell."""
    raise AssertionError("a connection was made")


def marked(path: Path, application_id: int = schema.APPLICATION_ID, user_version: int = 0) -> Path:
    """A file that SQLite marked so and closed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id={application_id}")
        db.execute(f"PRAGMA user_version={user_version}")
        db.execute("CREATE TABLE t (x)")
    return path


@pytest.mark.parametrize("version", [-(2**31), -1, 0, 1, schema.USER_VERSION])
def test_a_format_of_today_or_before_is_told_by_the_header(tmp_path, version) -> None:
    """SQLite's user version is read as it is stored: four bytes, signed; no connection is needed for it."""
    assert judging.is_new(str(marked(tmp_path / "j.db", user_version=version)), unused) is False


@pytest.mark.parametrize("version", [schema.USER_VERSION + 1, 255, 256, 65_536, 2**24, 2**31 - 1])
def test_every_later_format_is_refused_by_the_header(tmp_path, version) -> None:
    """Each byte of the version counts, and the error names it."""
    path = marked(tmp_path / "j.db", user_version=version)
    with pytest.raises(JournalTooNew, match=f"has format {version}, this version knows {schema.USER_VERSION}"):
        judging.is_new(str(path), unused)


@pytest.mark.parametrize("byte", range(4))
def test_every_byte_of_the_application_s_mark_counts(tmp_path, byte) -> None:
    """A file whose mark differs in one byte is another program's."""
    other = schema.APPLICATION_ID ^ 1 << 8 * byte
    with pytest.raises(NotAJournal, match=f"application_id {other:#x}"):
        judging.is_new(str(marked(tmp_path / "j.db", other)), unused)


def test_a_header_that_is_cut_is_none(tmp_path) -> None:
    """A file of less than a header's hundred bytes is no SQLite file; with them, its marks tell."""
    path = marked(tmp_path / "j.db")
    header = path.read_bytes()
    path.write_bytes(header[:99])
    with pytest.raises(NotAJournal, match="no SQLite file"):
        judging.is_new(str(path), unused)
    path.write_bytes(header[:100])
    assert judging.is_new(str(path), unused) is False


@pytest.mark.parametrize(("write", "read"), [(1, 2), (2, 1), (2, 3), (0, 2), (9, 171)])
def test_a_header_that_would_hide_the_log_is_damage_and_says_its_bytes(tmp_path, write, read) -> None:
    """Versions for writing and reading that no journal has would let SQLite pass over the log: both are named."""
    path = marked(tmp_path / "j.db")
    header = bytearray(path.read_bytes())
    header[18:20] = write, read
    path.write_bytes(header)
    with pytest.raises(JournalDamaged, match=f"bytes 18 and 19 of its header are {write:02x}{read:02x}, not 0202"):
        judging.is_new(str(path), unused)


def test_a_newer_format_that_the_file_and_its_log_agree_on_needs_no_recovery(tmp_path) -> None:
    """Where page 1 in the file and every page 1 in the log say the same, they tell; no connection is made."""
    for version, newer in ((schema.USER_VERSION, False), (schema.USER_VERSION + 1, True)):
        path = tmp_path / f"{version}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={version}")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("CREATE TABLE t (x)")
            assert Path(f"{path}-wal").stat().st_size
            if newer:
                with pytest.raises(JournalTooNew, match=f"has format {version}"):
                    judging.is_new(str(path), unused)
            else:
                assert judging.is_new(str(path), unused) is False
