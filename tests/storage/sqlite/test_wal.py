"""Crash images, checkpoints and full disks."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from clawvm_es import limits
from clawvm_es.cli.main import main
from clawvm_es.errors import JournalFull
from clawvm_es.journal.ports import Durability
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import holders, wal
from clawvm_es.testing.logs import budget, new, used

BODY = random.Random(1).randbytes(5_120)


def write(log, rounds: int, start: int = 0) -> list[int]:
    """Some transactions over two streams with bodies; returns the number of events after each."""
    vault = log.vault("a")
    counts = []
    for n in range(start, start + rounds):
        with log.transaction() as transaction:
            transaction.append("a", [new(ToolCalled(1, "tool", vault.commit(BODY + b"%d" % n))), *[used()] * (n % 4)])
            counts.append(transaction.append("b", [budget(1)]).seq)
    return counts


def test_a_cut_write_ahead_log_gives_whole_transactions(tmp_path) -> None:
    """Whatever part of the WAL reached the disk, the log is a prefix of whole transactions that verifies."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        counts = [0, *write(log, 12)]
        (tmp_path / "images").mkdir()
        raw, tail = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    rng = random.Random(3)
    seen = set()
    for at in [0, 1, 31, 32, len(tail) - 1, len(tail), *(rng.randrange(len(tail)) for _ in range(60))]:
        image = tmp_path / "images" / f"{at}.db"
        image.write_bytes(raw)
        Path(f"{image}-wal").write_bytes(tail[:at])
        assert verify(image) == ()
        with open_log(image) as log:
            events = list(log.read_all())
            assert len(events) in counts
            assert all(log.vault("a").open(e.data.arguments) for e in events if isinstance(e.data, ToolCalled))
            log.append("a", [budget(1)])
        assert verify(image) == ()
        seen.add(len(events))
    assert {0, counts[-1]} < seen
    assert len(seen) > 6


def test_the_write_ahead_log_stays_short(tmp_path, monkeypatch) -> None:
    """Writers checkpoint when the WAL is long, and it is then written from its start again."""
    monkeypatch.setattr(limits, "WAL_CHECKPOINT_PAGES", 40)
    path = tmp_path / "journal.db"
    with open_log(path) as log, structlog.testing.capture_logs() as logs:
        write(log, 60)
        with open_log(path) as other:
            write(other, 60, 60)
            write(log, 60, 120)
        assert Path(f"{path}-wal").stat().st_size < 3 * 40 * 4120
        assert path.stat().st_size > 100 * 4096
    assert logs == []
    assert verify(path) == ()
    assert not Path(f"{path}-wal").exists()


def test_a_reader_that_holds_the_write_ahead_log_is_reported(tmp_path, monkeypatch) -> None:
    """A reader that stays lets the WAL grow; above a limit this is reported with its size, and is never an error."""
    monkeypatch.setattr(limits, "WAL_CHECKPOINT_PAGES", 40)
    monkeypatch.setattr(limits, "WAL_WARN_BYTES", 160 * 4120)
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        write(log, 5)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        with structlog.testing.capture_logs() as logs:
            write(log, 100, 5)
        assert 1 < len(logs) < 50
        assert {entry["log_level"] for entry in logs} == {"warning"}
        assert all(entry["wal_bytes"] > 160 * 4120 for entry in logs)
        assert logs[-1]["wal_bytes"] <= Path(f"{path}-wal").stat().st_size
        reader.close()
        write(log, 60, 105)
        with structlog.testing.capture_logs() as logs:
            write(log, 60, 165)
        assert logs == []
        size = Path(f"{path}-wal").stat().st_size
        write(log, 60, 225)
        assert Path(f"{path}-wal").stat().st_size == size
    assert verify(path) == ()


def test_closing_beside_a_reader_keeps_everything(tmp_path) -> None:
    """A reader in the way of the last checkpoint keeps the WAL; what was written is there."""
    path = tmp_path / "journal.db"
    log = open_log(path)
    counts = write(log, 5)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    log.close()
    reader.close()
    with open_log(path) as log:
        assert len(list(log.read_all())) == counts[-1]


def test_a_checkpoint_makes_heads_durable(tmp_path) -> None:
    """What a clean close left in the file is no longer provisional."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        assert log.heads()[0].provisional
    with open_log(path) as log:
        assert not log.heads()[0].provisional
        log.append("s", [budget(2)])
        assert log.heads()[0].provisional
        log.append("t", [budget(2)], durability=Durability.FULL)
        assert not log.head("s").provisional


@pytest.mark.parametrize("room", [0, 5_000, 60_000])
def test_a_full_disk(tmp_path, room) -> None:
    """When nothing more can be written `JournalFull` is raised, the log ends at the last whole transaction,
    and with room again it goes on.
    """
    path = tmp_path / "journal.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_log(path) as log:
        before = write(log, 3)[-1]
        limit = Path(f"{path}-wal").stat().st_size + room
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(JournalFull, match=r"journal\.db"):
                write(log, 100, 3)
            with pytest.raises(JournalFull):
                log.append("b", [budget(n) for n in range(5_000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        events = list(log.read_all())
        assert events[-1].session_id == "b"
        assert len(events) >= before
        assert verify(log) == ()
        assert write(log, 2, 200)[-1] == len(events) + 5
    assert verify(path) == ()


def test_no_room_for_a_new_journal(tmp_path) -> None:
    """A journal that cannot be made leaves nothing that looks like one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(JournalFull):
            open_log(tmp_path / "journal.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db.lock"]
    with open_log(tmp_path / "journal.db") as log:
        log.append("s", [budget(1)])


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM events").fetchone()
print("holds", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def held_by_another(path):
    """Another process that reads from the write-ahead log; yields its id."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "holds\n"
        yield process.pid
        process.stdin.close()


def test_a_long_log_is_reported_at_16_megabytes(tmp_path) -> None:
    """By default the first checkpoint that a reader is in the way of is reported, and one beside nobody never is."""
    path = tmp_path / "journal.db"
    text = random.Random(5).randbytes(200_000)
    with open_log(path) as log:
        vault = log.vault("a")

        def fill(first: int, last: int) -> list:
            with structlog.testing.capture_logs() as logs:
                for n in range(first, last):
                    log.append("a", [new(ToolCalled(1, "tool", vault.commit(b"%d" % n + text)))])
            return logs

        assert fill(0, 100) == []
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        logs = fill(100, 200)
        reader.close()
    assert 16_000_000 < logs[0]["wal_bytes"] < 33_000_000


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds a lock")
def test_who_holds_the_log_is_named(tmp_path, monkeypatch, capsys) -> None:
    """Warning and `stats` name the process that keeps the log from its start, and nobody once it is gone."""
    monkeypatch.setattr(limits, "WAL_CHECKPOINT_PAGES", 40)
    monkeypatch.setattr(limits, "WAL_WARN_BYTES", 40 * 4120)
    path = tmp_path / "journal.db"

    def stats() -> dict:
        with pytest.raises(SystemExit):
            main(["stats", str(path), "--json"])
        return json.loads(capsys.readouterr().out)

    with open_log(path) as log:
        write(log, 5)
        with held_by_another(path) as pid:
            assert [process.pid for process in holders.holders(str(path))] == [pid]
            with structlog.testing.capture_logs() as logs:
                write(log, 100, 5)
            shown = stats()
            assert shown["wal_bytes"] == Path(f"{path}-wal").stat().st_size > 40 * 4120
        assert logs[-1]["held_by"] == shown["wal_held_by"]
        assert logs[-1]["held_by"][0].startswith(f"{pid} (python")
        assert holders.holders(str(path)) == ()
        assert stats()["wal_held_by"] == []
    assert stats()["wal_bytes"] == 0


def test_a_system_that_does_not_tell_names_nobody(tmp_path, monkeypatch) -> None:
    """Without `/proc/locks`, or without shared memory, nobody is named and nothing is raised."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        write(log, 1)
        monkeypatch.setattr(holders, "_LOCKS", tmp_path / "missing")
        assert holders.holders(str(path)) == ()
    assert holders.holders(str(tmp_path / "none")) == ()


def made_log(
    path: Path, page_bytes: int, frames: list[tuple[int, int]], magic: int = 0x377F0682, salt: int = 7
) -> str:
    """A write-ahead log with frames of (page, salt); a page holds its place among the frames."""
    header = magic.to_bytes(4) + bytes(4) + page_bytes.to_bytes(4) + bytes(4) + bytes([salt]) * 8 + bytes(8)
    with path.open("wb") as file:
        file.write(header)
        for place, (page, its) in enumerate(frames):
            file.write(page.to_bytes(4) + bytes(4) + bytes([its]) * 8 + bytes(8) + bytes([place]) * page_bytes)
    return str(path)


@pytest.mark.parametrize("magic", [0x377F0682, 0x377F0683])
@pytest.mark.parametrize("page_bytes", [512, 4096, 65_536])
def test_the_first_page_is_found_in_a_log(tmp_path, magic, page_bytes) -> None:
    """Each version of page 1 in frames with the log's salts, of every size of pages, the oldest first."""
    frames = [(1, 7), (2, 7), (257, 7), (1, 7), (1, 8), (1, 7)]
    path = made_log(tmp_path / "log", page_bytes, frames, magic)
    assert wal.first_pages(path, 3) == [bytes(3), bytes([3]) * 3]
    assert wal.first_pages(made_log(tmp_path / "none", page_bytes, [(2, 7)], magic), 3) == []
    assert wal.first_pages(made_log(tmp_path / "empty", page_bytes, [], magic), 3) == []


@pytest.mark.parametrize(
    ("magic", "page_bytes"), [(0x377F0681, 4096), (0x377F0684, 4096), (0x377F0682, 511), (0x377F0682, 65_537)]
)
def test_what_is_no_log_has_no_pages(tmp_path, magic, page_bytes) -> None:
    """Another magic number or an impossible size of pages is no write-ahead log; nor is nothing, or a short file."""
    assert wal.first_pages(made_log(tmp_path / "log", page_bytes, [(1, 7)], magic), 3) == []
    assert wal.first_pages(str(tmp_path / "missing"), 3) == []
    (tmp_path / "short").write_bytes(b"x")
    assert wal.first_pages(str(tmp_path / "short"), 3) == []
    before = os.listdir("/dev/fd")
    for _ in range(3):
        wal.first_pages(str(tmp_path / "log"), 3)
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.parametrize("length", range(32))
def test_a_log_whose_header_was_cut_has_no_pages(tmp_path, length) -> None:
    """At any byte; without salts the end of the file looked like one frame after another, without end."""
    path = made_log(tmp_path / "log", 4096, [(1, 7)])
    os.truncate(path, length)
    assert wal.first_pages(path, 3) == []


def test_a_log_is_long_from_so_many_frames(tmp_path, monkeypatch) -> None:
    """Frames count from the last checkpoint while the salts stay, and from the start after a restart."""
    monkeypatch.setattr(limits, "WAL_CHECKPOINT_PAGES", 3)
    path, log = tmp_path / "j.db-wal", wal.Wal(str(tmp_path / "j.db"))
    assert not log.is_long() and not log.went_on()
    log.close()
    made_log(path, 4096, [(2, 7)] * 2)
    assert not log.is_long() and not log.went_on()
    made_log(path, 4096, [(2, 7)] * 3)
    assert log.is_long()
    assert path.stat().st_size == log.bytes_of(3) == wal.size_of(str(path))
    log.checkpointed(3)
    assert log.went_on() and not log.is_long()
    made_log(path, 4096, [(2, 7)] * 5)
    assert log.went_on() and not log.is_long()
    made_log(path, 4096, [(2, 7)] * 6)
    assert log.went_on() and log.is_long()
    made_log(path, 4096, [(2, 8)] * 2 + [(2, 7)] * 4, salt=8)
    assert not log.is_long() and not log.went_on()
    made_log(path, 4096, [(2, 8)] * 3 + [(2, 7)] * 3, salt=8)
    assert log.is_long()
    log.close()
    assert not log.went_on()
    log.close()
    path.write_bytes(b"")
    assert not log.is_long() and not log.went_on()
    log.close()
    assert wal.size_of(str(tmp_path / "missing")) == 0


def test_a_closed_look_at_a_log_holds_no_descriptor(tmp_path) -> None:
    """Closing gives the descriptor back, and the next question opens the file that is there then."""
    path, log = tmp_path / "j.db-wal", wal.Wal(str(tmp_path / "j.db"))
    made_log(path, 4096, [(2, 7)])
    before = len(os.listdir("/dev/fd"))
    log.is_long()
    log.is_long()
    assert len(os.listdir("/dev/fd")) == before + 1
    log.close()
    assert len(os.listdir("/dev/fd")) == before
    log.is_long()
    log.checkpointed(1)
    path.unlink()
    made_log(path, 4096, [(2, 8)], salt=8)
    assert log.went_on()
    log.close()
    log.is_long()
    assert not log.went_on()
    log.close()


def test_a_checkpoint_on_the_way_makes_all_durable_unless_a_reader_is_in_the_way(tmp_path, monkeypatch) -> None:
    """Where the whole log was copied into the file, no head is provisional; where a reader keeps it, they are."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        assert log.append("s", [budget(1)]).provisional
        monkeypatch.setattr(limits, "WAL_CHECKPOINT_PAGES", 1)
        log.append("t", [budget(1)])
        assert [head.provisional for head in log.heads()] == [False, False]
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            log.append("s", [budget(2)])
            log.append("s", [budget(3)])
            assert [(head.session_id, head.provisional) for head in log.heads()] == [("s", True), ("t", False)]
        log.append("u", [budget(1)])
        assert not any(head.provisional for head in log.heads())
