"""`clawvm follow`: what it prints, how it ends, and that an interrupt ends it cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es import Journal
from tests.importers.followed import CLAUDE, as_lines

SETTINGS = ["--counter", "lines4"]


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A session that is being written."""
    path = tmp_path / "sessions" / "live.jsonl"
    path.parent.mkdir()
    path.write_bytes(as_lines(CLAUDE[:3]))
    return path


def test_one_pass(run, tmp_path: Path, live: Path) -> None:
    """`--once` takes what is there and tells it; an unchanged folder is told as such."""
    words = ["follow", live.parent, "-j", tmp_path / "j.db", *SETTINGS]
    assert "session s1: 2 events more" in run(*words, "--once")[1]
    live.write_bytes(as_lines(CLAUDE))
    document = json.loads(run(*words, "--once", "--json")[1])
    assert [each["session_id"] for each in document["sessions"]] == ["s1", "s1/agent-a1"]
    assert "0 sessions went on, 1 file had not changed" in run(*words, "--once")[1]
    finished = json.loads(run(*words, "--final", "--json")[1])
    assert sum(each["appended"] for each in finished["sessions"]) > 0 and not finished["errors"]


def test_a_reproducible_journal_is_followed_with_its_seed(run, tmp_path: Path, live: Path) -> None:
    """What an import began with a seed goes on under it, and has the same hashes as an import of the whole file."""
    for words in (["import", live], ["follow", live, "--final"]):
        assert run(*words, "-j", tmp_path / "j.db", "--seed", "7", *SETTINGS)[0] == 0
    assert run("import", live, "-j", tmp_path / "k.db", "--seed", "7", *SETTINGS)[0] == 0
    heads = []
    for name in ("j.db", "k.db"):
        with Journal.open(tmp_path / name, seed=7) as journal:
            heads.append(journal.log.heads())
    assert heads[0] == heads[1]


def test_refusals(run, tmp_path: Path, live: Path) -> None:
    """A rewritten file, a missing one and wrong usage are one line each, and exit code 2."""
    words = ["follow", live, "-j", tmp_path / "j.db", *SETTINGS]
    assert run(*words, "--once")[0] == 0
    live.write_bytes(as_lines([*CLAUDE[1:3], *CLAUDE]))
    for more, said in (
        (["--once"], "this file was rewritten at line 1"),
        (["--once", tmp_path / "missing.jsonl"], "no such file"),
        (["--json"], "--json prints one document"),
        (["--once", "--budget", "100"], "--budget needs a --policy"),
    ):
        code, _, err = run(*words, *more)
        assert code == 2 and said in err


def test_an_interrupt_ends_it(tmp_path: Path, live: Path) -> None:
    """It follows until it is interrupted; what was taken by then is kept."""
    place = tmp_path / "j.db"
    words = ["follow", str(live.parent), "-j", str(place), "--interval", "0.01", *SETTINGS]
    command = [sys.executable, "-m", "clawvm_es", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "session s1: 2 events more" in running.stdout.readline()
        (live.parent / "later.jsonl").write_bytes(as_lines(CLAUDE))
        assert "later.jsonl" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert "interrupted" in running.communicate()[1]
    assert running.returncode == 130
    with Journal.open(place, read_only=True) as journal:
        assert {row.session_id for row in journal.log.read_all()} == {"s1", "s1/agent-a1"}
