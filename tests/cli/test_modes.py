"""Files that verbs make: private, and named by the path that was given."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget

SESSION = Path(__file__).parents[2] / "clawvm_es" / "cli" / "demo_session.jsonl"


def modes(folder: Path) -> dict[str, int]:
    """The permissions of all files in a folder."""
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}


@pytest.fixture(autouse=True, params=[0o000, 0o022])
def umask(request):
    """A umask that would let others read."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize(("group", "mode"), [(False, 0o600), (True, 0o660)])
def test_an_open_log_has_private_files(tmp_path, group, mode) -> None:
    """Journal, write-ahead log, shared memory and lock are their owner's, or also their group's."""
    with open_log(tmp_path / "j.db", group=group) as log:
        log.append("s", [budget(1)])
        assert modes(tmp_path) == dict.fromkeys(("j.db", "j.db-wal", "j.db-shm", "j.db.lock"), mode)
    with Journal.open(tmp_path / "k.db", group=group):
        pass
    assert modes(tmp_path)["k.db"] == mode


def test_a_journal_that_is_there_keeps_its_mode(tmp_path) -> None:
    """Neither opening it again nor `group` changes what others may do with it."""
    path = tmp_path / "j.db"
    open_log(path).close()
    path.chmod(0o640)
    with open_log(path, group=True) as log:
        log.append("s", [budget(1)])
        assert modes(tmp_path) == {"j.db": 0o640, "j.db-wal": 0o640, "j.db-shm": 0o640, "j.db.lock": 0o600}


def test_verbs_make_private_files(tmp_path, run) -> None:
    """Every verb that writes a file writes one that only its owner can read; a public key is for all."""
    journal = tmp_path / "j.db"
    key, out = tmp_path / "key", str(tmp_path / "made")
    for arguments in (
        ("replay", SESSION, "--journal", journal, "--as", "s"),
        ("export", journal, "--as", "trace", "-o", f"{out}.trace.jsonl"),
        ("export", journal, "--as", "recording", "-o", f"{out}.clawvm.jsonl"),
        ("checkpoint", journal, "--make-key", key),
        ("checkpoint", journal, "--key", key, "-o", f"{out}.note"),
        ("bundle", journal, "--key", key, "-o", f"{out}.bundle"),
        ("archive", journal, "--key", key, "-o", f"{out}.archive", "--open", "--older-than", "0s"),
        ("demo", "--journal", tmp_path / "demo.db"),
    ):
        code, _, err = run(*arguments)
        assert (code, err) == (0, ""), arguments
    found = modes(tmp_path)
    assert found.pop("key.pub") == 0o644
    assert found.pop("made.archive") == 0o700
    assert set(modes(tmp_path / "made.archive").values()) == {0o600}
    assert len(found) >= 9
    assert set(found.values()) == {0o600}


def test_group_shares_what_replay_makes(tmp_path, run) -> None:
    """`--group` gives the group what the owner has."""
    assert run("replay", SESSION, "--journal", tmp_path / "j.db", "--group")[0] == 0
    assert set(modes(tmp_path).values()) == {0o660}


@pytest.mark.parametrize("kind", ["trace", "recording"])
def test_an_export_that_cannot_be_written_names_its_path(tmp_path, run, monkeypatch, kind) -> None:
    """The error names the path as it was given, not a temporary file, and says what to do."""
    monkeypatch.chdir(tmp_path)
    run("replay", SESSION, "--journal", "j.db", "--as", "s")
    code, _, err = run("export", "j.db", "--as", kind, "-o", "missing/x")
    assert (code, err) == (2, "clawvm: missing/x: there is no directory missing (create it first)\n")
