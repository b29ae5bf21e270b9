"""The lock's file: nothing but a file that is ours is opened, and nothing else is written."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from clawvm_es.errors import DiskFailed, JournalBusy, JournalError, JournalFull, JournalReadOnly
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import lock as locking
from clawvm_es.storage.sqlite.lock import WriterLock
from clawvm_es.testing.logs import budget

PRECIOUS = b"sixteen precious"


def link(path: Path, target: Path) -> None:
    """A symbolic link to another file."""
    path.symlink_to(target)


def dangling(path: Path, target: Path) -> None:
    """A symbolic link to nothing."""
    path.symlink_to(target.with_name("missing"))


def hard_link(path: Path, target: Path) -> None:
    """Another name of the file."""
    os.link(target, path)


def pipe(path: Path, target: Path) -> None:
    """A pipe that nobody reads."""
    os.mkfifo(path)


def folder(path: Path, target: Path) -> None:
    """A folder."""
    path.mkdir()


def listening(path: Path, target: Path) -> None:
    """A socket of a program that listens no more."""
    there = os.getcwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(there)


def other_file(path: Path, target: Path) -> None:
    """A file of another program that has the lock's name."""
    path.write_bytes(b"package lock of another program")


@pytest.mark.parametrize("spoil", [link, dangling, hard_link, pipe, folder, listening, other_file])
@pytest.mark.parametrize("there", [False, True])
def test_what_is_no_lock_is_not_written(tmp_path, spoil, there) -> None:
    """A journal beside a lock that is none is neither made nor written, and the lock's name is said."""
    path, lock, target = tmp_path / "j.db", tmp_path / "j.db.lock", tmp_path / "target"
    target.write_bytes(PRECIOUS)
    if there:
        open_log(path).close()
        lock.unlink()
    spoil(lock, target)
    before = lock.lstat()
    names = sorted(tmp_path.iterdir())
    with pytest.raises(JournalError, match=r"j\.db\.lock is .*untouched") as caught, open_log(path) as log:
        log.append("s", [budget(1)])
    assert caught.value.hint
    assert target.read_bytes() == PRECIOUS
    assert sorted(tmp_path.iterdir()) == names
    assert (lock.lstat().st_ino, lock.lstat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize(
    ("journal", "lock"),
    [(0o600, 0o600), (0o644, 0o600), (0o640, 0o600), (0o660, 0o660), (0o664, 0o660), (0o666, 0o666)],
)
def test_who_may_write_the_journal_may_lock_it(tmp_path, journal, lock) -> None:
    """A right to read the lock's file is enough to hold it, so only who may write the journal has one."""
    path = tmp_path / "j.db"
    open_log(path).close()
    path.chmod(journal)
    (tmp_path / "j.db.lock").unlink()
    with open_log(path) as log:
        log.append("s", [budget(1)])
    assert stat.S_IMODE((tmp_path / "j.db.lock").stat().st_mode) == lock
    assert stat.S_IMODE(path.stat().st_mode) == journal


def test_a_lock_that_is_there_keeps_its_mode(tmp_path) -> None:
    """A lock that an earlier version made is taken as it is."""
    path = tmp_path / "lock"
    path.touch()
    path.chmod(0o644)
    lock = WriterLock(str(path), 0)
    assert not lock.acquire()
    lock.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_size == len(PRECIOUS)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EMFILE])
def test_a_lock_that_cannot_be_opened_lets_nobody_write(tmp_path, monkeypatch, code) -> None:
    """The system's reason is told; once it is gone, the same handle takes the lock."""
    lock = WriterLock(str(tmp_path / "lock"), 0)

    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(locking, "_open", refused)
        with pytest.raises(JournalReadOnly, match=f"cannot open the writer's lock .*lock: {os.strerror(code)}"):
            lock.acquire()
    assert lock.acquire() is False
    lock.close()


def test_a_system_without_locks_lets_nobody_write(tmp_path, monkeypatch) -> None:
    """On such a system a journal is read: the refusal says so, and no file is made."""
    monkeypatch.setattr(locking, "fcntl", None)
    with pytest.raises(JournalReadOnly, match="POSIX systems only") as caught:
        WriterLock(str(tmp_path / "lock"), 0).acquire()
    assert "read_only=True" in caught.value.hint and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, JournalFull), (errno.EIO, DiskFailed)])
def test_a_lock_whose_mark_cannot_be_written_is_held_by_nobody(tmp_path, monkeypatch, code, error) -> None:
    """Who comes next would take it for untouched, so it is not taken; another takes it at once."""
    path = str(tmp_path / "lock")
    one, other = WriterLock(path, 0), WriterLock(path, 0)

    def failing(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing)
        with pytest.raises(error, match="cannot write"):
            one.acquire()
    assert other.acquire() is False
    other.close()
    assert one.acquire() is False
    one.close()


def test_a_lock_knows_whether_somebody_else_held_it(tmp_path) -> None:
    """The first to take it cannot know, who takes it again can, and after another holder it cannot again."""
    path = str(tmp_path / "lock")
    one, other = WriterLock(path, 0), WriterLock(path, 0)
    for lock, alone in ((one, False), (one, True), (other, False), (other, True), (one, False), (one, True)):
        assert lock.acquire() is alone
        lock.release()
    one.close()
    one.close()
    assert one.acquire() is False, "after closing, somebody may have held it"
    one.close()
    assert other.acquire() is False
    other.close()


def test_a_lock_that_is_held_is_waited_for_and_then_busy(tmp_path) -> None:
    """Without a time to wait it is busy at once, and says for how long it waited; once it is released it is taken."""
    path = str(tmp_path / "lock")
    one, other = WriterLock(path, 0), WriterLock(path, 30)
    one.acquire()
    with pytest.raises(JournalBusy, match="for more than 0 s") as caught:
        other.acquire(0)
    assert path in caught.value.hint
    with pytest.raises(JournalBusy, match=r"for more than 0\.01 s"):
        other.acquire(0.01)
    one.release()
    assert other.acquire() is False
    with pytest.raises(JournalBusy, match="for more than 0 s"):
        one.acquire()
    other.close()
    assert one.acquire() is False, "closing releases it"
    one.close()


def test_a_lock_closes_what_it_opened(tmp_path) -> None:
    """No descriptor is left, also where the file at its place was refused."""
    before = len(os.listdir("/dev/fd"))
    (tmp_path / "strange").write_bytes(b"x")
    for name in ("lock", "strange", "lock"):
        lock = WriterLock(str(tmp_path / name), 0)
        if name == "strange":
            with pytest.raises(JournalError, match="is a file of 1 bytes, not the writer's lock"):
                lock.acquire()
        else:
            lock.acquire()
            assert len(os.listdir("/dev/fd")) == before + 1
        lock.close()
        assert len(os.listdir("/dev/fd")) == before


def test_a_waiter_looks_again_soon_and_then_every_ten_milliseconds(tmp_path, monkeypatch) -> None:
    """The pauses double from half a millisecond to ten, and the last one ends when the time is over."""
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        assert seconds > 0, "there is nothing to wait for"
        pauses.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr(locking, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    one, other = (WriterLock(str(tmp_path / "lock"), 0.04) for _ in range(2))
    one.acquire()
    with pytest.raises(JournalBusy):
        other.acquire()
    assert pauses == [0.0005, 0.001, 0.002, 0.004, 0.008, 0.01, 0.01, 0.0045]
    with pytest.raises(JournalBusy):
        other.acquire(0)
    assert len(pauses) == 8
    one.close()
    other.close()
