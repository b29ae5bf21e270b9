"""`clawvm backup`: exit codes, documents, and what an interruption leaves."""

from __future__ import annotations

import json
import sqlite3
import stat

import pytest

from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import backup as module
from clawvm_es.testing.logs import budget


@pytest.fixture
def journal(tmp_path):
    """A journal with some events."""
    path = tmp_path / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(n) for n in range(1, 30)])
    return path


def test_a_backup_is_made_and_verifies(tmp_path, run, journal) -> None:
    """Exit 0, one line or one document; the copy passes `verify`."""
    copy = tmp_path / "copy.db"
    code, out, err = run("backup", journal, copy)
    assert (code, err) == (0, "")
    assert out.startswith(f"verified: {copy}: 1 stream, 29 events, ")
    assert run("verify", copy)[0] == 0
    code, out, _ = run("backup", "--journal", journal, tmp_path / "other.db", "--json", "--group")
    document = json.loads(out)
    assert (code, document["verified"], document["events"], document["streams"]) == (0, True, 29, 1)
    assert document["backup"] == str(tmp_path / "other.db")
    assert stat.S_IMODE((tmp_path / "other.db").stat().st_mode) == 0o660


def test_wrong_usage_is_one_line(tmp_path, run, journal) -> None:
    """Exit 2 for a destination that is there, one without a folder, and a journal that is not there."""
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"precious")
    for arguments, said in (
        ((journal, copy), f"{copy} is already there (choose another file, or replace it with --force)"),
        ((journal, tmp_path / "no" / "x"), "there is no directory"),
        ((tmp_path / "none.db", tmp_path / "x"), "there is no"),
    ):
        code, out, err = run("backup", *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert copy.read_bytes() == b"precious"
    assert run("backup", journal, copy, "--force")[0] == 0
    assert run("verify", copy)[0] == 0


def test_a_journal_that_does_not_verify_is_not_copied(tmp_path, run, journal) -> None:
    """Exit 1, and the problems are in the document."""
    db = sqlite3.connect(journal)
    db.executescript("DROP TRIGGER events_update; UPDATE events SET turn = 9 WHERE seq = 5")
    db.close()
    code, out, _ = run("backup", journal, tmp_path / "copy.db")
    assert (code, out.startswith("NOT copied: ")) == (1, True)
    code, out, _ = run("backup", journal, tmp_path / "copy.db", "--json")
    document = json.loads(out)
    assert (code, document["verified"]) == (1, False)
    assert document["problems"]
    assert not (tmp_path / "copy.db").exists()


def test_an_interrupted_backup_leaves_nothing(tmp_path, run, journal, monkeypatch) -> None:
    """Ctrl-C while the copy is verified: exit 130, no copy and no temporary file."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_verified", interrupt)
    before = sorted(tmp_path.iterdir())
    code, _, err = run("backup", journal, tmp_path / "copy.db")
    assert code == 130
    assert "interrupted" in err and "for the whole answer" in err and "continue" not in err
    assert sorted(tmp_path.iterdir()) == before
