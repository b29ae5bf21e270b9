"""Replay of files that did not change: they are not read, and the outcome is told as before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers import replay as replaying
from clawvm_es.importers.known import SUFFIX
from clawvm_es.importers.replay import Replayed, ReplaySettings, replay
from clawvm_es.observe.declared import file_reader

CASES = Path("08-windows-paths/s.jsonl"), Path("51-subagent-own-file/s9.jsonl")
SETTINGS = ReplaySettings(counter="lines4")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read."""
    found: list[str] = []
    real: Callable[..., tuple[Replayed, ...]] = replaying.replay_file
    monkeypatch.setattr(
        replaying, "replay_file", lambda j, path, *a, **m: found.append(Path(path).name) or real(j, path, *a, **m)
    )
    return found


def copied(cases: Path, case: Path, folder: Path) -> Path:
    """A copy of a case's file."""
    (folder / case.name).write_bytes((cases / case).read_bytes())
    return folder / case.name


def test_a_file_that_is_as_it_was_is_not_read(cases: Path, tmp_path: Path, reads: list[str]) -> None:
    """Not by another process either; what was skipped and where is told again, and nothing is appended."""
    file = copied(cases, CASES[0], tmp_path)
    told = []
    for _ in range(3):
        with Journal.open(tmp_path / "j.db") as journal:
            told.append(replay(journal, file, SETTINGS))
    assert reads == ["s.jsonl"]
    assert told[1] == told[2] == tuple(attrs.evolve(each, appended=0) for each in told[0])
    with Journal.open(tmp_path / "j.db") as journal:
        assert replay(journal, file, SETTINGS, again=True) == told[1]
    assert reads == ["s.jsonl"] * 2


def test_whatever_changed_is_read(cases: Path, tmp_path: Path, reads: list[str]) -> None:
    """The session went on, the settings are others, there are tools of the caller, or the journal is another."""
    file = copied(cases, CASES[0], tmp_path)
    with Journal.open(tmp_path / "j.db") as journal:
        (first,) = replay(journal, file, SETTINGS)
        with journal.session(first.session_id, counter="lines4", on_other_settings="keep") as session:
            session.user_says("more")
        replay(journal, file, SETTINGS)
        replay(journal, file, SETTINGS)
        assert len(reads) == 2
        replay(journal, file, attrs.evolve(SETTINGS, name="second"))
        replay(journal, file, SETTINGS)
        assert len(reads) == 4
        for _ in range(2):
            replay(journal, file, attrs.evolve(SETTINGS, name="third", tools=(file_reader(),)))
        assert len(reads) == 6
    os.rename(f"{tmp_path}/j.db{SUFFIX}", f"{tmp_path}/k.db{SUFFIX}")
    with Journal.open(tmp_path / "k.db") as journal:
        assert replay(journal, file, SETTINGS)[0].appended > 0


def test_a_subagent_with_a_file_of_its_own_is_looked_for(cases: Path, tmp_path: Path, reads: list[str]) -> None:
    """Its file grows while the one that shows a part of it stays as it was."""
    file = copied(cases, CASES[1], tmp_path)
    with Journal.open(tmp_path / "j.db") as journal:
        for _ in range(2):
            replay(journal, file, SETTINGS)
        assert len(reads) == 1
        copied(cases, CASES[1].with_name("agent-a1.jsonl"), tmp_path)
        for _ in range(2):
            replay(journal, file, SETTINGS)
        assert len(reads) == 3


def test_a_pipe_is_read_by_its_reader_alone(cases: Path, tmp_path: Path) -> None:
    """Nothing is taken out of what is no regular file, and nothing waits for its other end."""
    known = replaying.KnownFiles(str(tmp_path / "j.db"))
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"rows")
    known.begin(str(tmp_path / "pipe"))
    assert known.begun is None and os.read(writer, 9) == b"rows"
    os.close(writer)


def test_what_cannot_be_noted_is_no_error(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that is in the journal is done, whether or not a file can be written beside it."""
    (tmp_path / f"j.db{SUFFIX}").mkdir()
    with Journal.open(tmp_path / "j.db") as journal:
        assert replay(journal, copied(cases, CASES[0], tmp_path), SETTINGS)[0].appended > 0
