"""Lakes on a disk that fails, and lakes that were damaged: nothing is answered from what is not whole."""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import json
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

import clawvm_es.files as common
from clawvm_es.errors import DiskFailed, JournalFull, UnreadableInput
from clawvm_es.journal.ports import Column
from clawvm_es.storage.lake import files, manifests

duckdb = pytest.importorskip("duckdb", reason="there is no duckdb here (pip install 'clawvm-es[catalogue]')")

TABLES = {name: (Column("n", int, False), Column("text", str, True)) for name in ("one", "two")}
KINDS = {errno.ENOSPC: JournalFull, errno.EDQUOT: JournalFull, errno.EIO: DiskFailed}


def export(folder: Path, journal_id: str = "a", rows: int = 3) -> None:
    """Export a journal of two small tables."""
    made = [(n, f"{journal_id} {n}") for n in range(rows)]
    files.write(str(folder), journal_id, TABLES, {"one": made, "two": made[:1]})


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder, also of hidden ones."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answer(folder: Path, table: str = "one"):
    """All rows of a table."""
    return files.ask(str(folder), f"SELECT * FROM {table} ORDER BY ALL", TABLES)[1]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """A lake of two journals."""
    folder = tmp_path_factory.mktemp("lake") / "lake"
    export(folder, "a")
    export(folder, "b")
    return folder


@pytest.fixture
def copy(lake, tmp_path) -> Path:
    """A lake to damage."""
    return Path(shutil.copytree(lake, tmp_path / "copy"))


def cut(path: Path) -> None:
    """Leave the first half."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one bit."""
    raw = bytearray(path.read_bytes())
    raw[random.Random(1).randrange(len(raw))] ^= 4
    path.write_bytes(raw)


def swap(path: Path) -> None:
    """Exchange two journals' files."""
    other = path.with_name({"a": "b", "b": "a"}[path.stem] + path.suffix)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def become_a_pipe(path: Path) -> None:
    """Stand where a file was, and never end."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [cut, flip, swap, become_a_pipe, Path.unlink, lambda path: os.truncate(path, 0)])
@pytest.mark.parametrize("name", ["one/a.parquet", "two/b.parquet"])
def test_a_damaged_file_is_named(copy, harm, name):
    """LAW-LAKE-3: whoever asks the lake is told which file it is."""
    harm(copy / name)
    with pytest.raises(UnreadableInput, match=rf"{copy / name[:3]}/[ab]\.parquet: ") as caught:
        answer(copy)
    assert len(str(caught.value).splitlines()) == 1 and "export" in caught.value.hint


def test_a_file_cut_anywhere_is_named(copy):
    """After every 64th byte."""
    path = copy / "one" / "a.parquet"
    whole = path.read_bytes()
    for length in range(0, len(whole), 64):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableInput, match=r"one/a\.parquet: cut"):
            answer(copy)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"tables":{"one":1}}', b"\xff", b'{"tables":{"\xff":1}}'])
def test_a_damaged_manifest_is_named(copy, raw):
    """It is one line, and nothing is answered."""
    (copy / "manifests" / "a.json").write_bytes(raw)
    with pytest.raises(UnreadableInput, match=r"manifests/a\.json: no manifest"):
        answer(copy)


@pytest.mark.parametrize("gone", [["a.json"], ["b.json"], ["a.json", "b.json"], []])
def test_a_manifest_that_is_missing_is_named(copy, gone):
    """LAW-LAKE-3: a lake says that each journal has one; where a journal's files are gone too, none is due."""
    for name in gone:
        (copy / manifests.FOLDER / name).unlink()
    if not gone:
        shutil.rmtree(copy / manifests.FOLDER)
    with pytest.raises(UnreadableInput, match=rf"{manifests.FOLDER}/{(gone or ['a.json'])[0]}: missing") as caught:
        answer(copy)
    assert "export" in caught.value.hint
    for journal in ("a", "b"):
        if gone and f"{journal}.json" not in gone:
            continue
        for table in TABLES:
            (copy / table / f"{journal}.parquet").unlink()
    assert len(answer(copy)) == (3 if len(gone) == 1 else 0)


@pytest.mark.parametrize("name", [files.MARK, "manifests/b.json"])
def test_a_pipe_is_not_waited_for(copy, name):
    """Neither in the place of the lake's mark nor of a manifest."""
    become_a_pipe(copy / name)
    with pytest.raises(UnreadableInput):
        answer(copy)
    with pytest.raises(UnreadableInput) if name == files.MARK else contextlib.nullcontext():
        export(copy, "b")


def test_an_export_of_an_earlier_version_is_answered(copy):
    """It has no manifest; one that is damaged so that DuckDB cannot open it is told all the same."""
    shutil.rmtree(copy / manifests.FOLDER)
    (copy / files.MARK).write_text('{"format":1}\n')
    assert len(answer(copy)) == 6
    os.truncate(copy / "one" / "a.parquet", 0)
    with pytest.raises(UnreadableInput, match="one: damaged"):
        answer(copy)


def failing(monkeypatch, at: int, number: int) -> list[str]:
    """Let the `at`th change of the disk fail; returns what was done until then."""
    done: list[str] = []

    def before(name, real):
        def change(*args, **options):
            done.append(name)
            if len(done) == at:
                raise OSError(number, os.strerror(number))
            return real(*args, **options)

        return change

    for place, name in ((Path, "mkdir"), (os, "replace"), (Path, "open"), (Path, "chmod"), (common, "sync")):
        monkeypatch.setattr(place, name, before(name, getattr(place, name)))
    return done


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_an_export_that_fails_anywhere_leaves_nothing_half(tmp_path, monkeypatch, lake, again):
    """The lake is as it was, or says what is not whole; an export with room makes it as if nothing had happened."""
    wanted = contents(lake)
    export(tmp_path / "before", "b")
    if again:
        export(tmp_path / "before", "a", rows=2)
    before = contents(tmp_path / "before")
    for at, number in zip(itertools.count(1), itertools.cycle(KINDS)):
        folder = Path(shutil.copytree(tmp_path / "before", tmp_path / str(at)))
        with monkeypatch.context() as patched:
            done = failing(patched, at, number)
            try:
                export(folder, "a")
            except KINDS[number] as error:
                assert str(error).startswith(f"{folder} cannot be written: {os.strerror(number)}")
        if len(done) < at:
            break
        now = contents(folder)
        if now != before:
            assert again and now.keys() == wanted.keys()
            if now != wanted:
                with pytest.raises(UnreadableInput, match=r"a\.parquet: cut, or changed"):
                    answer(folder)
        export(folder, "a")
        assert contents(folder) == wanted
    assert at > 12


def test_a_row_for_which_there_is_no_room_leaves_nothing(tmp_path):
    """Neither a file, nor one that Python would remove later, and say so."""
    resource = pytest.importorskip("resource")
    export(tmp_path / "lake", "b")
    before = contents(tmp_path / "lake")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    try:
        with pytest.raises(JournalFull, match="lake cannot be written: File too large"):
            files.write(str(tmp_path / "lake"), "a", TABLES, {"one": [(n, "x" * 1_000) for n in range(1_000)]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
    assert contents(tmp_path / "lake") == before


@pytest.mark.parametrize("number", KINDS)
def test_what_duckdb_says_of_the_disk_is_told(tmp_path, monkeypatch, number):
    """DuckDB tells an error of the disk in words; it is ours by its kind, and no table is left behind."""
    export(tmp_path / "lake", "b")
    before = contents(tmp_path / "lake")
    real = duckdb.connect

    class Failing:
        def __init__(self, db):
            self.db = db

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.db.close()

        def execute(self, *_):
            said = json.dumps({"exception_message": f"Could not write: {os.strerror(number)}"})
            raise duckdb.IOException(f"IO Error: Async write failed: {said}")

    monkeypatch.setattr(duckdb, "connect", lambda **options: Failing(real(**options)))
    with pytest.raises(KINDS[number], match="lake cannot be written: "):
        export(tmp_path / "lake", "a")
    assert contents(tmp_path / "lake") == before


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_lake_is_its_owners(tmp_path, umask):
    """A new lake is private under any umask; one whose mark others may read gets files that they may read."""
    before = os.umask(umask)
    try:
        export(tmp_path / "lake", "a")
        assert {mode for _, mode in modes(tmp_path / "lake")} == {0o600}
        assert stat.S_IMODE((tmp_path / "lake").stat().st_mode) == 0o700
        (tmp_path / "lake" / files.MARK).chmod(0o640)
        (tmp_path / "lake" / "one" / "a.parquet").chmod(0o644)
        for journal_id in ("a", "b"):
            export(tmp_path / "lake", journal_id)
    finally:
        os.umask(before)
    others = {"lake.json": 0o640, "one/a.parquet": 0o644, "two/a.parquet": 0o600, "manifests/a.json": 0o600}
    found = modes(tmp_path / "lake")
    assert dict(found) == dict.fromkeys((name for name, _ in found), 0o640) | others


def modes(folder: Path) -> list[tuple[str, int]]:
    """The permissions of all files of a folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [(str(path.relative_to(folder)), stat.S_IMODE(path.stat().st_mode)) for path in found]
