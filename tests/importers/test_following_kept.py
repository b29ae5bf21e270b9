"""Following: what is kept between two looks, is made again where it is not ours, and lets go of."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import clawvm_es.importers
import clawvm_es.observe
from clawvm_es import Journal
from clawvm_es.files import FOLLOWED
from clawvm_es.history.redact import Target, redact
from clawvm_es.importers import follow, kept
from clawvm_es.importers.following import OPEN_FILES, Follower
from clawvm_es.importers.given import Given
from clawvm_es.importers.kept import Place, _Loader
from tests.importers.followed import AT, CLAUDE, GEMINI, USAGE, as_lines, claude, imported, inputs


def test_a_damaged_cache_costs_time_alone(tmp_path: Path, live: Path, journal: Journal) -> None:
    """LAW-KEPT-1: whatever stands in the cache, what is followed is the same; it is for its owner only."""
    whole = imported(tmp_path, as_lines(CLAUDE))
    folder, chance = tmp_path / f"j.db{FOLLOWED}", random.Random(3)
    for number in range(1, len(CLAUDE) + 1):
        live.write_bytes(as_lines(CLAUDE[:number]))
        follow(journal, live)
        (kept,) = folder.iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        bad = bytearray(kept.read_bytes())
        bad[chance.randrange(len(bad))] ^= 0xFF
        kept.write_bytes([bytes(bad), b"", bytes(bad[: len(bad) // 2])][number % 3])
    follow(journal, live, final=True)
    assert inputs(journal) == whole


@pytest.mark.parametrize("length", [len(CLAUDE) - 1, len(CLAUDE)])
def test_what_was_kept_for_another_journal_at_the_same_place_is_made_again(
    tmp_path: Path, live: Path, length: int
) -> None:
    """Where the log does not hold what the cache says was given, the file is read from its beginning."""
    live.write_bytes(as_lines(CLAUDE[:length]))
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        assert follow(journal, live, final=length == len(CLAUDE)).appended > 0
    (tmp_path / "j.db").unlink()
    live.write_bytes(as_lines(CLAUDE)) if length < len(CLAUDE) else None
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        assert follow(journal, live, final=True).appended > 0
        assert inputs(journal) == imported(tmp_path, as_lines(CLAUDE))


@pytest.mark.parametrize("package", [clawvm_es.importers, clawvm_es.observe])
def test_what_another_program_kept_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Any
) -> None:
    """A state goes with the code that made it: where an importer or a rule of observing changed, it is not loaded."""
    cache = kept.Kept(tmp_path / "cache", "way")
    cache.save("s.jsonl", Place("claude_code", None))
    assert cache.load("s.jsonl") == Place("claude_code", None)
    changed = shutil.copytree(package.__path__[0], tmp_path / "changed")
    (changed / "new.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(package, "__path__", [str(changed)])
    monkeypatch.setattr(kept, "made_by", kept.made_by.__wrapped__)
    assert cache.load("s.jsonl") is None


def test_a_cache_makes_no_other_objects() -> None:
    """A state in the cache calls nothing: only plain values, attrs classes and enums of its packages are made."""
    for bad in (os.system, subprocess.Popen, print):
        with pytest.raises(pickle.UnpicklingError):
            _Loader(io.BytesIO(pickle.dumps(bad))).load()


def test_no_credential_is_kept(tmp_path: Path, live: Path) -> None:
    """Where the journal hides credentials, none stands in what is kept of a file; following goes on without."""
    secret = "ghp_" + "a1B2" * 9
    rows = [CLAUDE[0], claude(1, "assistant", [{"type": "text", "text": f"It is {secret}."}], id="m1", usage=USAGE)]
    with Journal.open(tmp_path / "j.db", hide_secrets=True) as journal:
        for number in (1, 2):
            live.write_bytes(as_lines(rows[:number]))
            follow(journal, live)
        (kept,) = (tmp_path / f"j.db{FOLLOWED}").iterdir()
        assert secret.encode() not in kept.read_bytes()
        live.write_bytes(as_lines([*rows, claude(2, "user", "Thanks.")]))
        assert follow(journal, live).appended
        assert not any(secret.encode() in path.read_bytes() for path in tmp_path.rglob("j.db*") if path.is_file())


def test_an_erasure_takes_what_is_kept(tmp_path: Path, live: Path, journal: Journal) -> None:
    """What is kept of followed files may hold texts: an erasure removes it."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    assert any((tmp_path / f"j.db{FOLLOWED}").iterdir())
    assert redact(journal.log, Target("s1", page_id="p1"), at_us=1).status == "erased"
    assert not (tmp_path / f"j.db{FOLLOWED}").exists()
    assert follow(journal, live).appended == 0


def interrupted(given: Given, *_: Any) -> None:
    """Ctrl-C, while steps are given."""
    raise KeyboardInterrupt


def test_sessions_are_let_go_of_with_their_files(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower holds the sessions of the files that grew last, and none once it ends or a file fails or is gone."""
    held: set[str] = set()
    opened, close = Given.open.__func__, Given.close  # type: ignore[attr-defined]

    def noted(cls: type[Given], *arguments: Any) -> Given:
        found: Given = opened(cls, *arguments)
        held.add(found.session_id)
        return found

    def let_go(given: Given) -> None:
        held.discard(given.session_id)
        close(given)

    monkeypatch.setattr(Given, "open", classmethod(noted))
    monkeypatch.setattr(Given, "close", let_go)
    with Follower(journal, [tmp_path / "sessions"]) as follower:
        for number in range(1, OPEN_FILES + 3):
            path = tmp_path / "sessions" / f"{number}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(as_lines([{**row, "sessionId": f"s{number}"} for row in CLAUDE[:6]]))
            assert follower.once().appended
            assert held == {f"s{each}" for each in range(max(1, number - OPEN_FILES + 1), number + 1)}
        path.write_bytes(b"no recording any more\n" * 99)
        assert follower.once().refused and f"s{number}" not in held and len(held) == OPEN_FILES - 1
        path = tmp_path / "sessions" / f"{number - 1}.jsonl"
        path.write_bytes(as_lines([{**row, "sessionId": f"s{number - 1}"} for row in CLAUDE[:9]]))
        with monkeypatch.context() as broken:
            broken.setattr(Given, "give", interrupted)
            with pytest.raises(KeyboardInterrupt):
                follower.once()
        assert f"s{number - 1}" not in held and len(held) == OPEN_FILES - 2
        assert follower.once().appended and f"s{number - 1}" in held
    assert not held
    document = {"sessionId": "g", "projectHash": "h", "startTime": AT % 0, "messages": [GEMINI]}
    (tmp_path / "document.json").write_text(json.dumps(document))
    assert follow(journal, tmp_path / "document.json", final=True).appended and not held


def test_where_nothing_can_be_kept_all_is_read_again(tmp_path: Path, live: Path) -> None:
    """A folder that cannot be made costs time alone."""
    (tmp_path / f"j.db{FOLLOWED}").write_text("in the way")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        for number in (4, len(CLAUDE)):
            live.write_bytes(as_lines(CLAUDE[:number]))
            assert not follow(journal, live).refused
        follow(journal, live, final=True)
        assert inputs(journal) == imported(tmp_path, as_lines(CLAUDE))
