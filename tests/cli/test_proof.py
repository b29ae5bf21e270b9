"""`checkpoint`, `bundle` and `verify --anchor`: what they print, where they write, and with which code they exit."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget, used


@pytest.fixture
def place(tmp_path, run, monkeypatch):
    """A folder with a journal `j.db` of 3 events, a key pair `k`, and the checkpoint `c`."""
    monkeypatch.chdir(tmp_path)
    grow(tmp_path)
    assert run("checkpoint", "j.db", "--make-key", "k")[0] == 0
    assert run("checkpoint", "j.db", "--key", "k", "-o", "c")[0] == 0
    return tmp_path


def grow(folder) -> None:
    """Append 3 events."""
    with open_log(folder / "j.db") as log:
        log.append("a", [budget(1), used("p1")])
        log.append("b", [budget(2)])


def tamper(folder, *statements: str) -> None:
    """Change the journal behind its triggers."""
    with sqlite3.connect(folder / "j.db") as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a log beside it that takes events away is refused as such


def test_verify_says_how_far_the_log_is_anchored(run, place):
    """The seq that was signed, and how many events came after."""
    grow(place)
    code, out, _ = run("verify", "j.db", "--fast", "--anchor", "c", "--key", "k.pub")
    says = "verified: consistent, anchored to seq 3, 3 later events unanchored: 2 sessions, 6 events, "
    assert (code, out.splitlines()[-1]) == (0, says + "numbers and chains only")
    document = json.loads(run("verify", "j.db", "--fast", "--anchor", "c", "--key", "k.pub", "--json")[1])
    assert document["anchored"] == {"seq": 3, "later": 3}


def test_a_checkpoint_goes_to_stdout_or_a_file(run, place):
    """The note is the same either way, and `--json` tells what it says."""
    assert run("checkpoint", "j.db", "--key", "k")[1] == (place / "c").read_text(encoding="utf-8")
    document = json.loads(run("checkpoint", "j.db", "--key", "k", "--json")[1])
    assert (document["size"], document["note"]) == (3, (place / "c").read_text(encoding="utf-8"))


def test_a_later_checkpoint_proves_that_it_goes_on(run, place):
    """`--since` writes the proof beside the output; it verifies without the journal."""
    from clawvm_es.journal import anchors

    grow(place)
    assert run("checkpoint", "j.db", "--key", "k", "-o", "d", "--since", "c")[0] == 0
    proof, key = (place / "d.proof").read_bytes(), anchors.load_public("k.pub")
    assert [c.size for c in anchors.verify_proof_text(proof, (place / "c").read_bytes(), key)] == [3, 6]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM events WHERE seq = 3", "size: the checkpoint has 3 events, so 1 of the last are missing"),
        ("UPDATE journal SET id = '0123456789abcdef0123456789abcdef'", "origin: "),
        ("UPDATE events SET hash = zeroblob(32) WHERE seq = 3", "root: "),
        ("DROP TABLE events", "read: "),
    ],
)
def test_a_log_that_is_not_what_was_signed_fails(run, place, statement, what):
    """`verify --anchor` exits 1 and says why; no checkpoint is signed over one that the log contradicts."""
    tamper(place, statement)
    code, out, err = run("verify", "j.db", "--fast", "--anchor", "c", "--key", "k.pub")
    assert (code, err) == (1, "")
    assert what in out and "NOT consistent" in out
    before = (place / "c").read_bytes()
    assert run("checkpoint", "j.db", "--key", "k", "-o", "c")[0] == (2 if what == "read: " else 1)
    assert run("checkpoint", "j.db", "--key", "k", "-o", "d", "--since", "c")[0] == (2 if what == "read: " else 1)
    assert (place / "c").read_bytes() == before
    assert not (place / "d").exists()


def test_a_wrong_signature_or_key_fails(run, place):
    """A changed note, a stranger's key and an expired key exit 1; files that are no key or note at all exit 2."""
    note = (place / "c").read_text(encoding="utf-8")
    (place / "changed").write_text(note.replace("\n3\n", "\n2\n"), encoding="utf-8")
    assert run("checkpoint", "j.db", "--make-key", "other")[0] == 0
    expired = (place / "k.pub").read_text().splitlines()[0] + "\nnot_after 2001-01-01T00:00:00Z\n"
    (place / "expired.pub").write_text(expired)
    for anchor, key, says in (
        ("changed", "k.pub", "signature: "),
        ("c", "other.pub", "key: "),
        ("c", "expired.pub", "was good until 2001-01-01T00:00:00Z"),
        ("k.pub", "k.pub", "note: "),
    ):
        code, out, err = run("verify", "j.db", "--fast", "--anchor", anchor, "--key", key)
        assert (code, err) == (1, ""), anchor
        assert says in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["checkpoint", "j.db"], "needs a key"),
        (["checkpoint", "j.db", "--key", "k", "--make-key", "l"], "needs a key"),
        (["checkpoint", "missing.db", "--key", "k"], "no journal here"),
        (["checkpoint", "j.db", "--key", "missing"], "cannot be read"),
        (["checkpoint", "j.db", "--key", "k.pub"], "is the public key"),
        (["checkpoint", "j.db", "--key", "open"], "read by others"),
        (["checkpoint", "j.db", "--key", "old"], "was good until"),
        (["checkpoint", "j.db", "--key", "k", "-o", "j.db"], "is no checkpoint"),
        (["checkpoint", "j.db", "--key", "k", "-o", "k"], "is no checkpoint"),
        (["checkpoint", "j.db", "--key", "k", "--since", "c"], "--output"),
        (["checkpoint", "j.db", "--key", "k", "-o", "no/such/d"], "no/such"),
        (["checkpoint", "j.db", "--make-key", "k"], "already there"),
        (["verify", "j.db", "--anchor", "c"], "go together"),
        (["verify", "j.db", "--anchor", "c", "--key", "k"], "is the secret key"),
        (["verify", "j.db", "--anchor", "missing", "--key", "k.pub"], "missing"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(run, place, arguments, says):
    """Exit 2, one line, and every file as it was."""
    secret = (place / "k").read_text()
    (place / "open").write_text(secret)
    (place / "open").chmod(0o644)
    (place / "old").write_text(secret.splitlines()[0] + "\nnot_after 2001-01-01T00:00:00Z\n")
    (place / "old").chmod(0o600)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_copy_of_the_journal_is_as_good(run, place):
    """What is anchored is the log, not the file."""
    shutil.copy(place / "j.db", place / "copy.db")
    assert run("verify", "copy.db", "--fast", "--anchor", "c", "--key", "k.pub")[0] == 0


def test_a_bundle_is_written_whole(run, place):
    """Of one session or all, signed now or as of a checkpoint; written over a bundle, and over nothing else."""
    assert run("bundle", "j.db", "--key", "k", "-o", "all")[0] == 0
    document = json.loads(run("bundle", "j.db", "-s", "a", "--anchor", "c", "-o", "all", "--json")[1])
    assert document["sessions"] == ["a"] and document["bytes"] == (place / "all").stat().st_size
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    for arguments, says in (
        (["--key", "k", "-o", "j.db"], "is no bundle"),
        (["--key", "k", "--anchor", "c", "-o", "new"], "one checkpoint"),
        (["-o", "new"], "one checkpoint"),
        (["--key", "k"], "--output"),
        (["--key", "k", "-s", "zzz", "-o", "new"], "holds no session"),
        (["--anchor", "missing", "-o", "new"], "missing"),
    ):
        code, out, err = run("bundle", "j.db", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_no_bundle_of_a_log_that_its_checkpoint_contradicts(run, place):
    """Exit 1, the reason, and no file."""
    tamper(place, "DELETE FROM events WHERE seq = 3")
    code, out, _ = run("bundle", "j.db", "--anchor", "c", "-o", "new")
    assert (code, "size: " in out, (place / "new").exists()) == (1, True, False)
