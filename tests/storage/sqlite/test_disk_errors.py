"""Errors of the disk, each told by its own name."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from clawvm_es import files
from clawvm_es.errors import (
    ClawVMError,
    DiskFailed,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalReadOnly,
)
from clawvm_es.journal.ports import Durability, Erasure
from clawvm_es.journal.problems import silent
from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import lock, opening, stale
from clawvm_es.storage.sqlite.erasure import PENDING
from clawvm_es.storage.sqlite.verify import verify_file
from clawvm_es.testing.logs import budget, new
from tests.storage.sqlite import failing_disk

needs_injection = pytest.mark.skipif(not failing_disk.available(), reason="SQLite's library cannot be reached")


@needs_injection
@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.EIO, DiskFailed, "the disk failed: disk I/O error (SQLITE_IOERR_WRITE)"),
        (errno.ENOSPC, JournalFull, "cannot grow"),
    ],
)
def test_a_write_that_fails_is_told_by_its_name(tmp_path, number, kind, says) -> None:
    """A failing disk is not a full one; the log ends at the last whole transaction and goes on afterwards."""
    path = tmp_path / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        with failing_disk.failing_writes(number) as failed, pytest.raises(kind) as caught:
            log.append("s", [budget(2)])
        assert failed
        assert says in str(caught.value)
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, OSError)
        assert log.append("s", [budget(2)], expected=1).version == 2
    assert verify(path) == ()


@needs_injection
def test_a_full_quota_is_told_from_a_failing_disk(tmp_path, monkeypatch) -> None:
    """SQLite has one name for both; a write of our own beside the journal tells them apart."""

    def full(fd: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with open_log(tmp_path / "j.db") as log:
        log.append("s", [budget(1)])
        monkeypatch.setattr(os, "fsync", full)
        with failing_disk.failing_writes(errno.EDQUOT), pytest.raises(JournalFull, match="quota"):
            log.append("s", [budget(2)])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j.db", "j.db.lock"]


def error(name: str) -> sqlite3.Error:
    """An error as `sqlite3` raises it."""
    found = sqlite3.OperationalError("what SQLite says")
    found.sqlite_errorname = name
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", JournalFull),
        ("SQLITE_IOERR_WRITE", DiskFailed),
        ("SQLITE_IOERR_READ", DiskFailed),
        ("SQLITE_IOERR_FSYNC", DiskFailed),
        ("SQLITE_IOERR_SHMSIZE", DiskFailed),
        ("SQLITE_IOERR_SHORT_READ", DiskFailed),
        ("SQLITE_BUSY", JournalBusy),
        ("SQLITE_LOCKED_SHAREDCACHE", JournalBusy),
        ("SQLITE_PROTOCOL", JournalBusy),
        ("SQLITE_READONLY_DBMOVED", JournalReadOnly),
        ("SQLITE_PERM", JournalReadOnly),
        ("SQLITE_CANTOPEN_SYMLINK", JournalReadOnly),
        ("SQLITE_NOMEM", JournalError),
        ("SQLITE_TOOBIG", JournalError),
        ("SQLITE_MISUSE", JournalError),
        ("SQLITE_CORRUPT_INDEX", JournalDamaged),
        ("SQLITE_NOTADB", JournalDamaged),
        ("SQLITE_ERROR", JournalDamaged),
    ],
)
def test_every_error_has_a_name_of_ours(tmp_path, name, kind) -> None:
    """Exactly this class, on one line that names the journal; memory, limits and misuse are no damage."""
    told = opening.translate(error(name), str(tmp_path / "j.db"))
    assert type(told) is kind
    assert str(tmp_path / "j.db") in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(("name", "kind"), [("SQLITE_FULL", JournalFull), ("SQLITE_IOERR_WRITE", DiskFailed)])
def test_what_ended_a_transaction_is_told(tmp_path, name, kind) -> None:
    """Not that what it had begun could not be undone any more, which SQLite calls a wrong statement."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError, match="no such savepoint") as caught:
            try:
                raise error(name)
            except sqlite3.Error:
                db.execute("ROLLBACK TO gone")
        assert type(opening.translate(caught.value, str(tmp_path / "j.db"))) is kind


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, JournalFull), (errno.EACCES, JournalReadOnly)])
def test_a_log_that_finds_no_room_to_begin_is_full(tmp_path, monkeypatch, number, kind) -> None:
    """SQLite calls it a file that cannot be opened; trying tells a full disk from a place that only can be read."""

    def fail(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(opening.tempfile, "TemporaryFile", fail)
    assert type(opening.translate(error("SQLITE_CANTOPEN"), str(tmp_path / "j.db"))) is kind


def test_a_file_that_gets_no_log_is_told(tmp_path, monkeypatch) -> None:
    """SQLite answers with the old mode and raises nothing; such a file would be written without a log."""
    with closing(sqlite3.connect(":memory:")) as db:
        with pytest.raises(DiskFailed, match=r"j\.db"):
            opening.log_ahead(db, str(tmp_path / "j.db"))
        monkeypatch.setattr(opening, "_why_full", lambda _: "No space left on device")
        with pytest.raises(JournalFull, match=r"j\.db cannot grow: No space left"):
            opening.log_ahead(db, str(tmp_path / "j.db"))


@pytest.mark.parametrize("number", [*files.NO_SPACE, errno.EIO, errno.EROFS, errno.EMFILE])
def test_a_journal_that_cannot_be_made_says_why(tmp_path, monkeypatch, number) -> None:
    """The system's error is told by its kind under the journal's own name, and nothing is left."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "a temporary file")

    monkeypatch.setattr(opening.os, "replace", fail)
    with pytest.raises(ClawVMError, match=r"j\.db cannot be made") as caught:
        open_log(tmp_path / "j.db")
    expected = {errno.EIO: DiskFailed, errno.EROFS: JournalReadOnly, errno.EMFILE: JournalError}
    assert type(caught.value) is expected.get(number, JournalFull)
    assert [each.name for each in tmp_path.iterdir()] == ["j.db.lock"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, JournalFull), (errno.EIO, DiskFailed)])
def test_a_lock_that_cannot_be_written_says_why(tmp_path, monkeypatch, number, kind) -> None:
    """The lock's own write is told by its kind too, and the lock is let go."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    held = lock.WriterLock(str(tmp_path / "lock"), 0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        with pytest.raises(kind):
            held.acquire()
    other = lock.WriterLock(str(tmp_path / "lock"), 0)
    assert not other.acquire()
    held.close()
    other.close()


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The files that are written again and synced, in order; a sync fails while `fails` is among them."""
    done: list[str] = []
    rewrite, sync = files.rewrite, files.sync_path

    def rewritten(path):
        done.append(f"rewrite {os.path.basename(path)}")
        rewrite(path)

    def synced(path):
        if "fails" in done:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done.append(f"sync {os.path.basename(path)}")
        sync(path)

    monkeypatch.setattr(files, "rewrite", rewritten)
    monkeypatch.setattr(files, "sync_path", synced)
    return done


class FailingCommit(sqlite3.Connection):
    """A connection whose commits fail at the sync once `fails` is set."""

    fails = False

    def execute(self, statement, *values):
        """Run a statement; a commit rolls back and raises what SQLite raises."""
        if statement == "COMMIT" and FailingCommit.fails:
            raise error("SQLITE_IOERR_FSYNC")
        return super().execute(statement, *values)


def failing_commits(place, *args, factory=None, **options):
    """Connect as the journal does, with commits that fail when told to."""
    return sqlite3.connect(place, *args, factory=FailingCommit, **options)


@pytest.mark.parametrize("again", [False, True], ids=["next process", "same process"])
def test_after_a_failed_sync_the_next_writer_writes_the_log_again(tmp_path, monkeypatch, synced, again) -> None:
    """What a system took for written after an error is written again before anything else is acknowledged, once."""
    path = tmp_path / "j.db"
    with open_log(path) as other, open_log(path, connect=failing_commits) as log:
        other.append("s", [budget(1)])
        monkeypatch.setattr(FailingCommit, "fails", True)
        with pytest.raises(DiskFailed):
            log.append("s", [budget(2)], durability=Durability.FULL)
        monkeypatch.setattr(FailingCommit, "fails", False)
        synced.clear()
        head = (log if again else other).append("s", [budget(2)], durability=Durability.FULL)
        assert (head.version, head.provisional) == (2, False)
        assert synced == ["rewrite j.db-wal", "sync j.db-wal"]
        for each in (other, log, other):
            each.append("s", [budget(3)])
        assert len(synced) == 2
    assert verify(path) == ()


def test_upkeep_whose_sync_fails_leaves_the_log_to_be_written_again(tmp_path, synced) -> None:
    """An error of upkeep marks the log as one of a commit does if it is that of a sync, and not if it is another."""
    path = tmp_path / "j.db"
    with open_log(path) as log, open_log(path) as other:
        log.append("s", [budget(1)])
        for name, done in (("SQLITE_IOERR_READ", []), ("SQLITE_IOERR_FSYNC", ["rewrite j.db-wal", "sync j.db-wal"])):
            with pytest.raises(sqlite3.OperationalError), log.alone():
                raise error(name)
            synced.clear()
            other.append("s", [budget(2)])
            assert synced == done


def test_a_log_that_cannot_be_synced_takes_nothing_until_it_can(tmp_path, synced) -> None:
    """A found result, a sync that was asked for and a write again each leave the mark as long as the disk fails."""
    path = tmp_path / "j.db"
    with open_log(path) as log, open_log(path) as other:
        log.append("s", [budget(1, "k")])
        synced.append("fails")
        with pytest.raises(DiskFailed, match=r"j\.db cannot be synced"):
            other.append("s", [budget(1, "k")], durability=Durability.FULL)
        for _ in range(2):
            with pytest.raises(DiskFailed, match=r"j\.db cannot be synced"):
                log.append("s", [budget(2)])
        synced.clear()
        log.append("s", [budget(2)])
        assert synced == ["rewrite j.db-wal", "sync j.db-wal"]
        synced.append("fails")
        with pytest.raises(OSError):
            other.sync()
        synced.clear()
        log.sync()
        assert synced[:2] == ["rewrite j.db-wal", "sync j.db-wal"]
    assert verify(path) == ()


def test_a_mark_that_cannot_be_left_is_told_by_its_own_error(tmp_path, monkeypatch, synced) -> None:
    """If neither the log can be synced nor the lock be marked, the error is that of the lock."""
    path = tmp_path / "j.db"

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_log(path) as log, open_log(path) as other:
        log.append("s", [budget(1, "k")])
        other.append("s", [budget(2)])
        synced.append("fails")
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(JournalFull, match=r"cannot write .*j\.db\.lock: No space left"):
            other.append("s", [budget(1, "k")], durability=Durability.FULL)


@pytest.mark.parametrize(("platform", "on"), [("darwin", 1), ("linux", 0)])
def test_macos_syncs_past_the_cache_of_the_drive(tmp_path, monkeypatch, platform, on) -> None:
    """Where a sync leaves bytes in the drive's cache, the writing connection asks for more."""
    path = tmp_path / "j.db"
    open_log(path).close()
    monkeypatch.setattr(opening.sys, "platform", platform)
    db = opening.connect_writer(str(path))
    try:
        assert db.execute("PRAGMA fullfsync").fetchone() == (on,)
        assert db.execute("PRAGMA checkpoint_fullfsync").fetchone() == (on,)
    finally:
        db.close()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, JournalFull),
        (errno.EACCES, JournalReadOnly),
        (errno.EROFS, JournalReadOnly),
        (errno.EIO, DiskFailed),
        (errno.ENOTDIR, JournalError),
    ],
)
def test_what_the_system_refuses_is_told_by_kind(number, kind):
    """Room, rights, the disk, and everything else; an error of ours stays as it is."""
    told = opening.translate_os(OSError(number, "no"), "a.db")
    assert type(told) is kind and "a.db" in str(told)
    assert opening.translate_os(told, "b.db") is told


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """An error of the disk while the header is read is the journal's error, with the file."""
    path = tmp_path / "journal.db"
    open_log(path).close()

    def failing(fd, length, at):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("clawvm_es.storage.sqlite.judging.raw.pread", failing)
    with pytest.raises(JournalError, match=r"journal\.db cannot be read: Input/output error"):
        open_log(path)


def test_what_a_full_append_finds_is_made_durable(tmp_path, monkeypatch):
    """A key that is known, whose event may be on no disk yet, is acknowledged once the write-ahead log is synced."""
    path = tmp_path / "j.db"
    synced: list[str] = []
    with open_log(path) as log:
        event = budget(1, key="k")
        assert log.append("s", [event]).provisional
        monkeypatch.setattr(files, "sync_path", lambda place: synced.append(str(place)))
        assert not log.append("s", [event], durability=Durability.FULL).provisional
        assert f"{path}-wal" in synced
        assert not log.head("s").provisional
        synced.clear()
        log.append("s", [event], durability=Durability.FULL)
        assert synced == []
        log.append("s", [budget(2, key="l")])

        def fails(place: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))

        monkeypatch.setattr(files, "sync_path", fails)
        with pytest.raises(DiskFailed, match="cannot be synced"):
            log.append("s", [budget(2, key="l")], durability=Durability.FULL)
        assert log.head("s").provisional


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SELECT seq"])
def test_an_error_while_a_transaction_begins_forgets_where_the_log_ended(tmp_path, statement):
    """Another process wrote, and the first look at its events failed: the next append looks again."""
    path, failing = tmp_path / "j.db", [False]

    def connect(*args, factory, **options):
        class Failing(factory):
            def execute(self, sql, *values):
                if failing[0] and sql.startswith(statement):
                    failing[0] = False
                    raise error("SQLITE_IOERR_READ")
                return super().execute(sql, *values)

        return sqlite3.connect(*args, factory=Failing, **options)

    with open_log(path), open_log(path, connect=connect) as log, open_log(path) as other:
        log.append("s", [budget(1)])
        other.append("s", [budget(2), budget(3)])
        failing[0] = True
        with pytest.raises(DiskFailed):
            log.append("s", [budget(4)])
        assert not failing[0]
        assert log.append("s", [budget(4)]).version == 4
    assert verify(path) == ()


def _copied(tmp_path):
    """A journal with an event in its file and one in its write-ahead log."""
    path, copy = tmp_path / "j.db", tmp_path / "copy.db"
    for n in (1, 2):
        with open_log(path) as log:
            log.append("s", [budget(n)])
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    return str(copy)


def test_an_error_while_the_schema_is_read_is_told(tmp_path):
    """A schema that is no UTF-8 is asked for again as bytes; after an error of the disk it is not."""
    fired = []

    def connect(*args, factory=sqlite3.Connection, **options):
        class Failing(factory):
            def execute(self, sql, *values):
                if not fired and sql.startswith("SELECT name, type, tbl_name"):
                    fired.append(sql)
                    raise error("SQLITE_IOERR_READ")
                return super().execute(sql, *values)

        return sqlite3.connect(*args, factory=Failing, **options)

    (problem,) = verify_file(_copied(tmp_path), fast=True, note=silent, connect=connect)
    assert fired and "what SQLite says" in problem.detail


@pytest.mark.parametrize("at", [1, 2])
def test_an_error_while_the_log_is_held_against_the_file_is_told(tmp_path, monkeypatch, at):
    """It may come once: what is read after it says nothing of it."""
    looks = iter(range(1, 9))

    def distrusted(db, distrust=stale.watched.distrust):
        if next(looks) == at:
            raise error("SQLITE_IOERR_READ")
        distrust(db)

    path = _copied(tmp_path)
    monkeypatch.setattr(stale.watched, "distrust", distrusted)
    (problem,) = verify_file(path, fast=True, note=silent, connect=sqlite3.connect)
    assert "the disk failed" in problem.detail


class Failing(sqlite3.Connection):
    """A connection whose statements that begin with `at` fail with the error `name`."""

    at, name = "", ""

    def execute(self, statement, *values):
        """Run a statement, or raise what SQLite raises."""
        if Failing.at and statement.startswith(Failing.at):
            raise error(Failing.name)
        return super().execute(statement, *values)


def failing(place, *args, factory=None, **options):
    """Connect as the journal does, with statements that fail when told to."""
    return sqlite3.connect(place, *args, factory=Failing, **options)


@pytest.mark.parametrize(
    ("name", "done"), [("SQLITE_IOERR_WRITE", []), ("SQLITE_IOERR_FSYNC", ["rewrite j.db-wal", "sync j.db-wal"])]
)
def test_a_checkpoint_that_fails_takes_nothing_back(tmp_path, monkeypatch, synced, name, done) -> None:
    """What was committed stays so, in the log beside the file; the next writer syncs it if the error was a sync's."""
    path = tmp_path / "j.db"
    with open_log(path, connect=failing) as log, open_log(path) as other:
        monkeypatch.setattr(Failing, "name", name)
        monkeypatch.setattr(Failing, "at", "PRAGMA wal_checkpoint")
        with capture_logs() as said:
            log._checkpoint(log._writer())
        monkeypatch.setattr(Failing, "at", "")
        assert [each["event"] for each in said] == ["the write-ahead log could not be copied into the journal"]
        synced.clear()
        other.append("s", [budget(1)])
        assert synced == done
    assert verify(path) == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [("SQLITE_BUSY", Erasure.PENDING), ("SQLITE_FULL", Erasure.PENDING), ("SQLITE_CORRUPT", JournalDamaged)],
)
def test_an_erasure_that_an_error_stops_stays_pending_unless_it_is_damage(tmp_path, monkeypatch, name, found) -> None:
    """Whatever is in the way now may be gone later; a damaged file is told."""
    path = tmp_path / "j.db"
    with open_log(path, connect=failing) as log:
        gone = log.vault("s").commit(b"a secret " * 20)
        log.append("s", [new(ToolCalled(1, "tool", gone))])
        with log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, commitments=(gone,)))])
            transaction.erase([gone])
        assert log.pending_erasures()
        monkeypatch.setattr(Failing, "name", name)
        monkeypatch.setattr(Failing, "at", f"DELETE FROM {PENDING}")
        if isinstance(found, Erasure):
            assert log.scrub() is found
        else:
            with pytest.raises(found):
                log.scrub()
        monkeypatch.setattr(Failing, "at", "")
        assert log.pending_erasures()
        assert log.scrub() is Erasure.ERASED and not log.pending_erasures()
