"""Single flipped bytes: every one that changes what a reader sees of the log is found, none breaks `verify`."""

from __future__ import annotations

import importlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es.storage import verify

ROOT = Path(__file__).resolve().parent.parent


def flips(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the tool in a process of its own."""
    command = [sys.executable, "tools/flips.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tool():
    """The tool's modules, as it imports them itself."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        names = ("layout", "specimen", "trials", "content")
        yield {name: importlib.import_module(f"flips.{name}") for name in names}
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def live(tool, tmp_path_factory):
    """A journal with committed transactions in its WAL."""
    return tool["specimen"].with_wal(tmp_path_factory.mktemp("live"), 1)


@pytest.fixture(scope="module")
def whole(tool, tmp_path_factory):
    """A journal without a WAL, and the path of its file."""
    folder = tmp_path_factory.mktemp("whole")
    return tool["specimen"].checkpointed(folder, 1), folder / "whole.db"


def test_no_flip_is_missed():
    """LAW-FLIPS-2: of flips in a file and in a WAL, each that changes rows, schema or header is found."""
    done = flips("--flips", 70, "--wal-flips", 30, "--seed", 11, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert (document["flips"], document["missed"], document["broken"], document["ok"]) == (100, 0, 0, True)
    changed = {place["file"]: place["rows"] for place in document["places"] if place["hit"] == "all"}
    assert changed["database"] > 20 and changed["wal"] > 10
    hit = {place["hit"] for place in document["places"]}
    assert hit >= {"events row", "blobs row", "commitments row", "journal row", "schema", "log index", "free page",
                   "file header, ours", "WAL header", "WAL frame page", "WAL beyond its end"}  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("place", ["journal row", "schema", "file header", "log index", "derived row"])
def test_no_flip_in_a_small_place_is_missed(place):
    """Places that few flips of a whole file would hit, many times each.

    Of derived rows, FTS5's own check passes over a few bytes in the header of its leaves.
    """
    done = flips("--flips", 120, "--wal-flips", 0, "--hit", place, "--seed", 12, "--json")
    document = json.loads(done.stdout)
    assert (document["flips"], document["missed"], document["broken"]) == (120, 0, 0), document["notes"]
    unnoticed = [note for note in document["notes"] if "derived" in note]
    assert len(unnoticed) <= document["flips"] // 100


def test_the_same_seed_flips_the_same_bytes(tool, live):
    """A run can be had again: the seed alone says which bytes and bits."""
    wal = tool["layout"].wal(live.wal)
    first, again, other = (tool["trials"].draw("wal", wal, 50, random.Random(seed)) for seed in (5, 5, 6))
    assert first == again != other


def test_every_byte_is_one_thing(tool, live, whole):
    """LAW-FLIPS-1: the spans of a file and of a WAL cover all bytes without a gap, in order."""
    specimen, path = whole
    beyond = tool["layout"].wal(live.wal)
    for raw, layout in ((specimen.database, tool["layout"].database(path)), (live.wal, beyond)):
        ends = [0, *(span.end for span in layout.spans)]
        assert [span.start for span in layout.spans] == ends[:-1]
        assert ends[-1] == len(raw)
    assert beyond.by_kind().keys() == {"WAL header", "WAL frame header", "WAL frame page", "WAL beyond its end"}


def test_places_are_told_by_the_bytes_in_them(tool, whole):
    """Where a body, a commitment and an event's data stand in the file, the layout names their tables."""
    specimen, path = whole
    layout = tool["layout"].database(path)
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        body = db.execute("SELECT body FROM blobs WHERE length(body) BETWEEN 100 AND 2000 LIMIT 1").fetchone()[0]
        long = db.execute("SELECT body FROM blobs ORDER BY length(body) DESC LIMIT 1").fetchone()[0]
        salt = db.execute("SELECT salt FROM commitments LIMIT 1").fetchone()[0]
        data = db.execute("SELECT data FROM events ORDER BY length(data) DESC LIMIT 1").fetchone()[0]
    for raw, kind in ((body, "blobs row"), (long[:900], "blobs row"), (salt, "commitments row"),
                      (data.encode()[:900], "events row")):  # fmt: skip
        found = {layout.kind_at(at) for at in _places(specimen.database, raw)}
        assert kind in found and found <= {kind, "free page", "free space in a page"}


def _places(raw: bytes, piece: bytes) -> list[int]:
    found, at = [], raw.find(piece)
    while at >= 0:
        found.append(at)
        at = raw.find(piece, at + 1)
    return found


def test_a_bad_journal_is_refused_before_any_flip(tmp_path, whole):
    """A journal that does not verify says nothing about flips: exit code 2 and one line."""
    path = tmp_path / "bad.db"
    raw = bytearray(whole[0].database)
    raw[raw.find(b'{"') + 3] ^= 1
    path.write_bytes(raw)
    done = flips("--journal", path, "--flips", 5, "--wal-flips", 0)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert flips("--journal", tmp_path / "none.db").returncode == 2
    assert flips("--journal", path, "--anchor", path).returncode == 2


def test_a_journal_of_ones_own_is_flipped_in_copies(tmp_path, live):
    """`--journal` takes any journal, with or without its WAL, and leaves it as it is."""
    path = tmp_path / "mine.db"
    path.write_bytes(live.database)
    (tmp_path / "mine.db-wal").write_bytes(live.wal)
    done = flips("--journal", path, "--flips", 6, "--wal-flips", 6, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["flips"] == 12
    assert path.read_bytes() == live.database


def test_an_unnoticed_change_is_told_as_missed(tool):
    """What the exit code rests on: changed and not found is missed, a raised error is broken."""
    trials = tool["trials"]
    flip = trials.Flip("database", 1, 1, "events row")
    unnoticed = trials.Outcome(flip, ("rows",), trials.GOOD, "")
    assert unnoticed.missed and not unnoticed.broken
    assert not trials.Outcome(flip, ("rows",), trials.FOUND, "").missed
    assert not trials.Outcome(flip, ("derived",), trials.GOOD, "").missed
    assert trials.Outcome(flip, (), "raised", "").broken


def test_a_worker_that_dies_costs_one_flip(tool, live, tmp_path):
    """A crash is told, and the next flip is tried in a new process."""
    trials = tool["trials"]

    class Dying(trials.Bench):
        def judge(self, folder, flip):
            if flip is not None and flip.mask == 2:
                os._exit(70)
            return super().judge(folder, flip)

    worker = trials.Worker(Dying(live, tmp_path), tmp_path / "w")
    try:
        endings = []
        for mask in (2, 1):
            worker.start(trials.Flip("wal", 40, mask, "x"))
            outcome = None
            while outcome is None:
                worker.pipe.poll(1)
                outcome = worker.outcome()
            endings.append(outcome.ending)
    finally:
        worker.stop()
    assert endings == ["crashed with 70", trials.FOUND]


@pytest.mark.parametrize("number", range(1, 4))
def test_free_pages_are_checked_although_a_view_stands_first(whole, tmp_path, number):
    """A page that is free twice would be written over later: it is a problem, whatever SQLite's first answer is."""
    raw = bytearray(whole[0].database)
    trunk = (int.from_bytes(raw[32:36], "big") - 1) * 4096
    raw[trunk + 8 + 4 * number : trunk + 12 + 4 * number] = raw[trunk + 8 : trunk + 12]
    path = tmp_path / "twice.db"
    path.write_bytes(raw)
    assert "integrity" in {problem.what for problem in verify(path)}


def test_texts_that_are_no_utf8_never_raise(whole, tmp_path):
    """A cell that no text can be made of is a problem, in whichever table it stands."""
    path = tmp_path / "latin.db"
    path.write_bytes(whole[0].database)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TRIGGER journal_update")
        db.execute("UPDATE page_table SET level = CAST(x'ff' AS TEXT)")
        db.execute("UPDATE journal SET id = CAST(x'ff' AS TEXT)")
    assert {problem.what for problem in verify(path)} >= {"journal", "schema"}
