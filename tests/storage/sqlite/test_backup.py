"""Copies that are made while others write: whole, verified, without what was erased, or not there at all."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es import files
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import BackupRefused, DiskFailed, JournalFull, NotAJournal, UnreadableInput, UsageError
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import Durability
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import backup as module
from clawvm_es.storage.sqlite import opening
from clawvm_es.storage.sqlite.backup import backup
from clawvm_es.testing.logs import budget, new

SECRET = b"the planted secret of this test, long enough to be searched for"


def fill(path: Path, rounds: int = 30) -> Path:
    """A journal with two streams and bodies."""
    with open_log(path) as log:
        vault = log.vault("a")
        for n in range(rounds):
            with log.transaction() as transaction:
                transaction.append("a", [new(ToolCalled(1, "tool", vault.commit(b"body %d " % n * 300)))])
                transaction.append("b", [budget(n + 1)])
    return path


def names(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_a_journal_of_its_own(tmp_path) -> None:
    """The copy holds the same events under the same id, verifies, is private, and can be written."""
    path = fill(tmp_path / "j.db")
    made = backup(path, tmp_path / "copy.db")
    copy = tmp_path / "copy.db"
    assert (made.path, made.events, made.streams, made.bytes) == (str(copy), 60, 2, copy.stat().st_size)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert names(tmp_path) == ["copy.db", "j.db", "j.db.lock"]
    assert copy.read_bytes()[18:20] == b"\2\2", "readers of a copy that is written wait for nobody: its mode is WAL"
    assert verify(copy) == ()
    with open_log(path, read_only=True) as log, open_log(copy) as copied:
        assert copied.journal_id == log.journal_id == made.journal_id
        assert [event.hash for event in copied.read_all()] == [event.hash for event in log.read_all()]
        assert log.heads()[-1].hash.hex() == made.hash
        assert copied.append("a", [budget(1)]).version == 31


WRITER = """
import sys
from clawvm_es.journal.ports import Durability
from clawvm_es.storage import open_log
from clawvm_es.model.events import ToolCalled
from clawvm_es.testing.logs import budget, new
with open_log(sys.argv[1]) as log:
    vault = log.vault("w")
    n = 0
    print("ready", flush=True)
    while True:
        n += 1
        with log.transaction(Durability.NORMAL) as transaction:
            transaction.append("w", [new(ToolCalled(n, "tool", vault.commit(b"text %d " % n * 100)))])
            transaction.append(f"s{n % 7}", [budget(n)])
        print(n, flush=True)
"""


def test_copies_while_another_process_writes(tmp_path) -> None:
    """Each copy verifies and holds at least what was acknowledged before it began, and the original goes on."""
    path = fill(tmp_path / "j.db")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "ready\n"
        for number in range(4):
            acknowledged = [int(writer.stdout.readline()) for _ in range(10)][-1]
            made = backup(path, tmp_path / f"{number}.db")
            assert made.events >= 60 + 2 * acknowledged
            assert verify(tmp_path / f"{number}.db") == ()
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert verify(path) == ()


def test_what_only_the_log_holds_is_copied(tmp_path) -> None:
    """Events that a crash left in the write-ahead log are in the copy; the original stays as it was."""
    with open_log(tmp_path / "live.db") as log:
        log.append("s", [budget(n) for n in range(1, 40)], durability=Durability.FULL)
        for suffix in ("", "-wal"):
            Path(f"{tmp_path / 'j.db'}{suffix}").write_bytes(Path(f"{tmp_path / 'live.db'}{suffix}").read_bytes())
    before = [Path(f"{tmp_path / 'j.db'}{suffix}").read_bytes() for suffix in ("", "-wal")]
    assert backup(tmp_path / "j.db", tmp_path / "copy.db").events == 39
    assert [Path(f"{tmp_path / 'j.db'}{suffix}").read_bytes() for suffix in ("", "-wal")] == before


@pytest.mark.parametrize("scrubbed", [False, True])
def test_what_was_erased_is_not_in_the_copy(tmp_path, scrubbed) -> None:
    """Neither free pages nor old rows come along, also where a reader keeps the original from being cleaned."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("a", counter="lines4") as session:
        page = session.write_page("plan", SECRET.decode() * 50)
        session.assemble()
        page_id = page if isinstance(page, str) else page.page_id
    with open_log(path) as log:
        log.append("b", [budget(1)])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        if scrubbed:
            reader.close()
        redact(log, Target("a", page_id=page_id), at_us=5)
        assert (log.pending_erasures() == ()) is scrubbed
        backup(path, tmp_path / "copy.db")
        assert (SECRET in path.read_bytes() + Path(f"{path}-wal").read_bytes()) is not scrubbed
        reader.close()
    assert SECRET not in (tmp_path / "copy.db").read_bytes()
    assert verify(tmp_path / "copy.db") == ()
    with open_log(tmp_path / "copy.db", read_only=True) as copied:
        assert copied.pending_erasures() == ()


def test_destinations_that_are_refused(tmp_path) -> None:
    """What is there is replaced only by force, and never a folder, the journal itself, or a file in use."""
    path = fill(tmp_path / "j.db", 2)
    there = tmp_path / "there.db"
    there.write_bytes(b"precious")
    there.chmod(0o640)
    link, folder, used = tmp_path / "link.db", tmp_path / "folder", tmp_path / "used.db"
    link.symlink_to(path)
    (tmp_path / "hard.db").hardlink_to(path)
    folder.mkdir()
    Path(f"{used}-wal").write_bytes(b"log")
    before = names(tmp_path)
    for destination, force, reason in (
        (there, False, "already there"),
        (folder, True, "is a directory"),
        (path, True, "the journal itself"),
        (link, True, "the journal itself"),
        (tmp_path / "hard.db", True, "the journal itself"),
        (used, True, "in use"),
        (tmp_path / "missing" / "x", True, "no directory"),
    ):
        with pytest.raises(UsageError, match=reason):
            backup(path, destination, force=force)
    assert names(tmp_path) == before
    assert there.read_bytes() == b"precious"
    backup(path, there, force=True)
    assert verify(there) == ()
    assert stat.S_IMODE(there.stat().st_mode) == 0o640


def test_sources_that_are_refused(tmp_path) -> None:
    """No journal, or another program's file: nothing is made."""
    with pytest.raises(UnreadableInput):
        backup(tmp_path / "missing.db", tmp_path / "copy.db")
    (tmp_path / "there.db").touch()
    for destination in ("there.db", "missing.db"):
        with pytest.raises(UnreadableInput, match="there is no journal here"):
            backup(tmp_path / "missing.db", tmp_path / destination, force=True)
    (tmp_path / "there.db").unlink()
    (tmp_path / "text").write_text("no database" * 50)
    with pytest.raises(NotAJournal):
        backup(tmp_path / "text", tmp_path / "copy.db")
    assert names(tmp_path) == ["text"]


def test_a_damaged_journal_leaves_no_copy(tmp_path) -> None:
    """A copy that does not verify is not left, and the problems are said; what was at the destination stays."""
    path = fill(tmp_path / "j.db")
    with sqlite3.connect(path) as db:
        db.executescript("DROP TRIGGER events_update; UPDATE events SET turn = 9 WHERE seq = 5")
    db.close()
    (tmp_path / "copy.db").write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(BackupRefused) as caught:
        backup(path, tmp_path / "copy.db", force=True)
    assert caught.value.problems
    assert names(tmp_path) == before
    assert (tmp_path / "copy.db").read_bytes() == b"old"


def test_pages_that_cannot_be_read_leave_no_copy(tmp_path) -> None:
    """Damage that stops SQLite half-way is a copy that was refused."""
    path = fill(tmp_path / "j.db", 200)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    before = names(tmp_path)
    with pytest.raises((BackupRefused, opening.errors.JournalDamaged)):
        backup(path, tmp_path / "copy.db")
    assert names(tmp_path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_no_half_copy(tmp_path, monkeypatch, error) -> None:
    """What stops the copy half-way, a signal or the caller's own error, is raised as it is, and nothing is left."""
    path = fill(tmp_path / "j.db")
    monkeypatch.setattr(module, "_STEPS", 10)
    before = names(tmp_path)
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 5:
            raise error

    with pytest.raises(error):
        backup(path, tmp_path / "copy.db", progress=stop)
    assert all(0 <= done <= total for done, total in calls)
    assert names(tmp_path) == before


def test_no_room_for_the_copy(tmp_path) -> None:
    """A full disk is said to be full, and leaves nothing."""
    import resource

    path = fill(tmp_path / "j.db", 60)
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(JournalFull, match=r"copy\.db"):
            backup(path, tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == before


def test_a_copy_is_on_disk_before_it_is_told(tmp_path, monkeypatch) -> None:
    """The copy is synced, then takes its place, then the folder is synced: a power cut leaves the old or the new."""
    path = fill(tmp_path / "j.db", 2)
    done: list[tuple[str, str]] = []
    sync, replace = files.sync_path, os.replace
    monkeypatch.setattr(files, "sync_path", lambda what: (done.append(("sync", Path(what).name)), sync(what)))
    monkeypatch.setattr(os, "replace", lambda one, two: (done.append(("replace", Path(two).name)), replace(one, two)))
    backup(path, tmp_path / "copy.db")
    assert done[-3:] == [("sync", "copy"), ("replace", "copy.db"), ("sync", tmp_path.name)]


def test_a_copy_may_have_the_longest_name(tmp_path) -> None:
    """A name as long as the file system allows can be copied to, and nothing else is left in the folder."""
    path = fill(tmp_path / "j.db", 2)
    longest = "x" * os.pathconf(tmp_path, "PC_NAME_MAX")
    backup(path, tmp_path / longest)
    assert names(tmp_path) == ["j.db", "j.db.lock", longest]


def test_an_empty_journal_is_copied(tmp_path) -> None:
    """A journal without events gives a copy without events, and its last hash is empty."""
    open_log(tmp_path / "j.db").close()
    made = backup(tmp_path / "j.db", tmp_path / "copy.db")
    assert (made.events, made.streams, made.hash) == (0, 0, "")
    assert verify(tmp_path / "copy.db") == ()


def test_a_copy_for_a_group(tmp_path) -> None:
    """On request the copy is its group's, too; progress counts up to the whole."""
    path = fill(tmp_path / "j.db")
    seen: list[tuple[int, int]] = []
    backup(path, tmp_path / "copy.db", group=True, progress=lambda done, total: seen.append((done, total)))
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o660
    assert all(0 <= done <= total for done, total in seen)


def test_heads_that_only_one_side_holds_are_problems(tmp_path) -> None:
    """LAW-BACKUP-1: a head that the copy lacks and one that only the copy has are told, each by its stream."""
    with open_log(tmp_path / "a.db") as one, open_log(tmp_path / "b.db") as other:
        one.append("s", [budget(1)])
        other.append("s", [budget(1)])
        assert list(module._missing(one.heads(), other)) == []
        assert list(module._foreign(other.heads(), one)) == []
        one.append("s", [budget(2)])
        other.append("t", [budget(2)])
        assert list(module._missing(one.heads(), other)) == ["s version 2 is not in the copy"]
        assert list(module._foreign(other.heads(), one)) == ["t version 1 of the copy is not in the journal"]


@pytest.mark.parametrize("force", [False, True])
def test_a_copy_whose_name_does_not_last_is_told(tmp_path, monkeypatch, force) -> None:
    """A new one is taken back, so that the same command can run again; both times the destination is named."""
    path, copy = fill(tmp_path / "j.db", 2), tmp_path / "copy.db"
    if force:
        fill(copy, 1)
    sync = files.sync_path

    def fail(place) -> None:
        if os.path.isdir(place) and copy.exists() is True and not any(tmp_path.glob(".copy.db.*/copy")):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
        sync(place)

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_path", fail)
        with pytest.raises(DiskFailed, match=rf"{copy} cannot be made: Input/output error"):
            backup(path, copy, force=force)
    assert copy.exists() is force
    backup(path, copy, force=force)
    assert verify(copy) == ()


def test_an_error_of_the_unfinished_copy_names_the_destination(tmp_path, monkeypatch) -> None:
    """Its own name means nothing to anybody, and is gone."""
    path, copy = fill(tmp_path / "j.db", 2), tmp_path / "copy.db"

    def fail(place, **options):
        if options.get("upgrade") is False:
            raise JournalFull(f"{place} cannot grow: no room")
        return open_sqlite(place, **options)

    open_sqlite = module.open_log
    monkeypatch.setattr(module, "open_log", fail)
    with pytest.raises(JournalFull) as caught:
        backup(path, copy)
    assert str(caught.value) == f"{copy} cannot grow: no room"
    assert names(tmp_path) == ["j.db", "j.db.lock"]
