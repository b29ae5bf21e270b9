"""Reading a journal's bytes beside SQLite: no lock is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.cli.proof import read_input
from clawvm_es.importers.detect import load
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import raw
from clawvm_es.testing.logs import budget

APPEND = """
import sys
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget
with open_log(sys.argv[1]) as log:
    log.append("other", [budget(1)])
"""


def open_again(path: Path) -> None:
    """Open and close the journal a second time in this process."""
    open_log(path).close()


def judge_again(path: Path) -> None:
    """Open it for reading only, as the reading verbs do."""
    open_log(path, read_only=True).close()


def scan(path: Path) -> None:
    """Search the files for a piece that was erased."""
    assert not raw.held(str(path), [b"not in there, for sure"])


def verify_again(path: Path) -> None:
    """Verify the file by its path."""
    assert verify(path) == ()


def import_it(path: Path) -> None:
    """Take it for a recorded session, as a pattern that names all files of a folder does."""
    assert load(path).startswith(b"SQLite format 3")


def take_for_a_note(path: Path) -> None:
    """Take it for a checkpoint."""
    assert read_input(str(path)).startswith(b"SQLite format 3")


@pytest.mark.parametrize("look", [open_again, judge_again, scan, verify_again, import_it, take_for_a_note])
def test_looking_at_an_open_log_keeps_its_locks(tmp_path, look) -> None:
    """What is appended here after another process came and went is there for everyone."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        look(path)
        subprocess.run([sys.executable, "-c", APPEND, str(path)], check=True, timeout=60)
        log.append("s", [budget(2)])
        crash = tmp_path / "crash.db"
        for suffix in ("", "-wal"):
            Path(f"{crash}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
        with open_log(crash) as copy:
            assert [(head.session_id, head.version) for head in copy.heads()] == [("other", 1), ("s", 2)]


def test_a_strangers_connection_in_this_process_keeps_its_locks(tmp_path) -> None:
    """A connection that the caller made itself keeps its locks while the same journal is opened."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
    own = sqlite3.connect(path)
    own.execute("SELECT count(*) FROM events").fetchone()
    with open_log(path) as log:
        subprocess.run([sys.executable, "-c", APPEND, str(path)], check=True, timeout=60)
        log.append("s", [budget(2)])
        assert Path(f"{path}-wal").exists()
    own.close()
    with open_log(path) as log:
        assert [head.version for head in log.heads()] == [1, 2]


@pytest.mark.parametrize("at", [0, 1, (1 << 20) - 3, (1 << 20), (1 << 20) + 5])
def test_bytes_are_found_wherever_they_are(tmp_path, at) -> None:
    """A piece is found at the beginning, across the borders of what is read at once, and not where it is not."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * at + b"needle" + b"x" * 100)
    assert raw.held(str(path), [b"none", b"needle"])
    assert raw.held(str(path), [b"e"])
    assert not raw.held(str(path), [b"needles", b"y"])
    assert not raw.held(str(path), [])
    assert not raw.held(str(tmp_path / "missing"), [b"needle"])


@given(st.binary(max_size=30), st.lists(st.binary(min_size=1, max_size=6), max_size=4), st.integers(1, 9))
def test_pieces_are_found_however_few_bytes_are_read_at_once(tmp_path_factory, content, wanted, at_once) -> None:
    """Exactly those that the file holds, across every border."""
    path = tmp_path_factory.mktemp("raw") / "file"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "_BYTES_AT_ONCE", at_once)
        some = [*wanted, content[2:7] or b"none"]
        assert raw.held(str(path), some) == {each for each in some if each in content}


@pytest.mark.parametrize(("most", "length"), [(-1, None), (0, 0), (1, 1), (16, 16), (1 << 30, None)])
def test_a_file_is_read_as_far_as_asked(tmp_path, most, length) -> None:
    """A journal that is open here is read like any other file, from its first byte."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        with raw.descriptor(str(path)) as fd:
            whole = os.pread(fd, 1 << 30, 0)
        assert raw.read_bytes(str(path), most) == whole[:length] and len(whole) > 16
    assert raw.read_bytes(str(path), most) == path.read_bytes()[:length]


def test_a_file_without_a_descriptor_here_is_not_borrowed(tmp_path) -> None:
    """Another file that is open does not stand for it, nor one that is open for writing only."""
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"the file")
    other.write_bytes(b"another")
    with other.open("rb"):
        assert raw._held(str(path)) is None
    with path.open("ab") as file:
        assert raw._held(str(path)) is None
        assert raw.read_bytes(str(path)) == b"the file"
        assert not file.closed
    with path.open("rb") as file:
        assert raw._held(str(path)) is not None
        with raw.descriptor(str(path)) as fd:
            assert os.pread(fd, 3, 4) == b"fil"
        assert file.read() == b"the file"


def test_a_place_in_a_file_is_read_where_the_system_has_no_call_for_it(tmp_path, monkeypatch) -> None:
    """As on Windows: the same bytes from any place, one after the other."""
    path = tmp_path / "file"
    path.write_bytes(b"the bytes of a file")
    with raw.descriptor(str(path)) as fd:
        wanted = [raw.pread(fd, length, at) for length in (0, 3, 99) for at in (0, 4, 18, 30)]
        monkeypatch.delattr(os, "pread")
        assert [raw.pread(fd, length, at) for length in (0, 3, 99) for at in (0, 4, 18, 30)] == wanted


def test_no_descriptor_stays_open(tmp_path) -> None:
    """Each look closes what it opened."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = set(os.listdir("/dev/fd"))
    for _ in range(3):
        with raw.descriptor(str(path)) as fd:
            assert os.pread(fd, 1, 0) == b"x"
    assert set(os.listdir("/dev/fd")) == before
