"""Who reads from the write-ahead log, told from the system's table of locks."""

from __future__ import annotations

import os

import pytest

from clawvm_es.storage.sqlite import holders


@pytest.mark.parametrize(
    ("first", "last", "other", "counts"),
    [
        (123, "123", False, True),
        (127, "127", False, True),
        (120, "123", False, True),
        (127, "200", False, True),
        (100, "EOF", False, True),
        (122, "122", False, False),
        (128, "128", False, False),
        (128, "EOF", False, False),
        (124, "124", True, False),
    ],
)
def test_a_lock_on_a_read_mark_is_a_reader(tmp_path, monkeypatch, first, last, other, counts) -> None:
    """Only the five bytes of the read marks count, however far the lock reaches, and only of this journal's file."""
    (tmp_path / "j.db-shm").write_bytes(b"")
    inode = os.stat(tmp_path / "j.db-shm").st_ino + other
    locks = tmp_path / "locks"
    monkeypatch.setattr(holders, "_LOCKS", locks)
    monkeypatch.setattr(holders, "_PROCESSES", tmp_path)
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "comm").write_text("reader\n")
    rows = (("READ ", 77), ("READ ", 78), ("READ ", 77), ("WRITE", 79), ("READ ", 0))
    place = f"08:01:{inode} {first} {last}"
    lines = [f"{number}: POSIX  ADVISORY  {kind} {pid} {place}" for number, (kind, pid) in enumerate(rows)]
    locks.write_text("\n".join([*lines, "9: FLOCK  ADVISORY  READ 80 08:01:1 0 EOF", "nonsense"]))
    found = holders.holders(str(tmp_path / "j.db"))
    assert found == ((holders.Process(77, "reader"), holders.Process(78, "")) if counts else ())
    assert list(map(str, found)) == (["77 (reader)", "78"] if counts else [])
