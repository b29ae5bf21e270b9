"""Files that nobody else can read, and files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from clawvm_es import files
from clawvm_es.errors import JournalFull, UsageError


def mode_of(path: Path) -> int:
    """The permissions of a file itself, not of what it links to."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    """Any umask, which must not matter."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("mode", [files.PRIVATE, files.SHARED])
def test_new_files_have_the_mode_that_was_asked_for(tmp_path, umask, mode) -> None:
    """The umask neither opens nor closes a new file."""
    os.close(files.create(tmp_path / "a", mode))
    files.write_whole(tmp_path / "b", [b"text"], mode)
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "b") == mode


def test_new_files_are_private(tmp_path, umask) -> None:
    """Without being told otherwise, only the owner can read a file."""
    os.close(files.create(tmp_path / "a"))
    files.write_whole(tmp_path / "b", [b"text"])
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "b") == 0o600


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path) -> None:
    """What somebody may read, he may read when it is written again."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o644)
    files.write_whole(path, [b"new"])
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o644)


def test_a_link_is_never_written_through(tmp_path) -> None:
    """A link is replaced, and a new file is not made at its end."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    for name, leads_to in (("link", target), ("dangling", tmp_path / "missing")):
        (tmp_path / name).symlink_to(leads_to)
        with pytest.raises(FileExistsError):
            files.create(tmp_path / name)
        files.write_whole(tmp_path / name, [b"new"])
        assert not (tmp_path / name).is_symlink()
        assert mode_of(tmp_path / name) == 0o600
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "missing").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path) -> None:
    """What fails half-way leaves the old file and no other."""

    def failing():
        yield b"half"
        raise RuntimeError

    path = tmp_path / "f"
    assert files.write_whole(str(path), [b"a", b"bc"]) == 3
    with pytest.raises(RuntimeError):
        files.write_whole(str(path), failing())
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert path.read_bytes() == b"abc"


def test_errors_name_the_path_that_was_given(tmp_path, monkeypatch) -> None:
    """Neither a missing folder nor a full disk nor a folder in the way is told by the name of a temporary file."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^missing/x: there is no directory missing"):
        files.write_whole("missing/x", [b""])
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="'folder'") as caught:
        files.write_whole("folder", [b""])
    assert caught.value.filename == "folder"

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")
        yield b""

    with pytest.raises(OSError, match="No space left") as caught:
        files.write_whole("f", full())
    assert caught.value.filename == "f"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_macos_empties_the_cache_of_the_drive(tmp_path, monkeypatch) -> None:
    """There `fsync` alone does not bring bytes to the disk."""
    import fcntl

    called = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: called.append(command))
    files.write_whole(tmp_path / "f", [b"x"])
    assert called == [51, 51]  # the file, its folder


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux tells what a descriptor is of")
@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_cannot_be_synced_is_named(tmp_path, monkeypatch, folder) -> None:
    """The system names no file there; `sync_path` does, and `write_whole` names what it was to write."""

    def fail(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}") is folder:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    place = tmp_path if folder else tmp_path / "a"
    (tmp_path / "a").write_bytes(b"before")
    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(OSError) as caught:
        files.sync_path(place)
    assert (caught.value.filename, caught.value.errno) == (str(place), errno.EIO)
    with pytest.raises(OSError) as caught:
        files.write_whole(tmp_path / "b", [b"text"])
    assert caught.value.filename == str(tmp_path / "b")
    told = JournalFull("ours")
    assert files.named(told, "other") is told and files.named(caught.value, "other") is caught.value
