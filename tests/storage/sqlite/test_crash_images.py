"""Images of a journal as a power loss may leave them: its log cut, emptied or flipped at any place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from clawvm_es.errors import ClawVMError
from clawvm_es.journal.ports import Durability
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import opening
from clawvm_es.testing.logs import budget

FRAME, HEADER = 24 + 4096, 32
EVENTS = 6
PARTS = 24


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A journal with a checkpoint, commits behind it in the same log, and frames of the log before behind those."""
    path = tmp_path_factory.mktemp("image") / "j.db"
    with open_log(path) as log:
        for n in range(EVENTS):
            log.append("s", [budget(n)], durability=Durability.FULL if n % 2 else Durability.NORMAL)
        with log.alone() as db:
            log._checkpoint(db)
        for n in range(EVENTS):
            log.append("t", [budget(n)], durability=Durability.FULL)
        return path.read_bytes(), Path(f"{path}-wal").read_bytes(), list(log.hashes(0, log.size()))


def committed(log: bytes) -> Iterator[int]:
    """The places in a log up to which it holds whole commits."""
    salts = log[16:24]
    for at in range(HEADER, len(log) - FRAME + 1, FRAME):
        if log[at + 8 : at + 16] != salts:
            return
        if log[at + 4 : at + 8] != bytes(4):
            yield at + FRAME


def places(log: bytes) -> list[int]:
    """Every byte of the header and the bytes around each part of each frame."""
    around = {
        at + part + off for at in range(HEADER, len(log), FRAME) for part in (0, 4, 8, 16, 24) for off in (-1, 0, 1)
    }
    return sorted({*range(HEADER + 1), *(at for at in around if at < len(log)), len(log)})


@pytest.mark.sweep(sample=2)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("damage", ["cut", "zeros", "flipped"])
def test_every_whole_commit_before_the_damage_is_there(tmp_path, image, damage, part) -> None:
    """It opens within the patience of the tests, goes on, verifies, and has each event in its order."""
    main, log, hashes = image
    path, dice = tmp_path / "j.db", Random(part)
    path.write_bytes(main)
    with closing(opening.connect_alone(str(path))) as db:
        base = db.execute("SELECT count(*) FROM events").fetchone()[0]
    ends = list(committed(log))
    assert base == EVENTS
    assert len(ends) == EVENTS
    for at in places(log)[part::PARTS]:
        flipped = bytes([log[at] ^ 1 << dice.randrange(8)]) + log[at + 1 :] if at < len(log) else b""
        rest = {"cut": b"", "zeros": bytes(len(log) - at), "flipped": flipped}[damage]
        path.write_bytes(main)
        Path(f"{path}-shm").unlink(missing_ok=True)
        Path(f"{path}-wal").write_bytes(log[:at] + rest)
        whole = base + sum(end <= at for end in ends)
        with open_log(path) as opened:
            found = list(opened.hashes(0, opened.size()))
            assert (at, found) == (at, hashes[: len(found)])
            assert len(found) >= whole if at >= HEADER else len(found) >= base
            opened.append("u", [budget(1)])
        assert verify(path) == ()


@pytest.mark.sweep(sample=2)
@pytest.mark.parametrize("seed", range(PARTS))
def test_what_verifies_is_what_was_written(tmp_path, image, seed) -> None:
    """A file that is cut, or has zeros from some place on, is refused in one line, or verified to its last event."""
    main, _, hashes = image
    path, dice = tmp_path / "j.db", Random(seed)
    for at in sorted(dice.sample(range(len(main)), 12)):
        for rest in (b"", bytes(len(main) - at)):
            path.write_bytes(main[:at] + rest)
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            problems = verify(path)
            try:
                with open_log(path, read_only=True) as opened:
                    found = list(opened.hashes(0, opened.size()))
            except (ClawVMError, sqlite3.Error) as error:
                assert isinstance(error, ClawVMError)
                assert "\n" not in str(error)
                found = []
            assert problems or found == hashes[:EVENTS]
