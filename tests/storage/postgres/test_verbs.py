"""All verbs over a postgresql:// URL: what works works as on a file, what cannot is refused in one line."""

from __future__ import annotations

import json

import pytest

from clawvm_es.cli.main import main
from tests.cli.conftest import run
from tests.conftest import ROOT

__all__ = ["run"]

DEMO = ROOT / "clawvm_es/cli/demo_session.jsonl"
SECRET = "hunter2-very-secret"


@pytest.fixture(scope="module")
def journal(server):
    """The demo session in a journal on the server; the URL has a password, which the server does not ask for."""
    with_password = server.url().replace("postgres@", f"postgres:{SECRET}@")
    with pytest.raises(SystemExit) as left:
        main(["replay", str(DEMO), "--journal", with_password, "--budget", "2000"])
    assert left.value.code == 0
    return with_password


READING = {
    "sessions": (),
    "log": (),
    "show": ("3",),
    "pages": (),
    "prompt": ("--turn", "2"),
    "store": (),
    "faults": (),
    "losses": (),
    "trace": (),
    "stats": (),
    "grep": ("the",),
    "verify": ("--redecide",),
    "rebuild": (),
    "export": (),
    "whatif": ("--budget", "1000"),
}
"""Verb → its arguments after the journal."""


def test_verbs_read_a_journal_on_a_server(journal, tmp_path, run):
    """Verbs that read say of a journal on a server what they say of a file, and never the password."""
    file = tmp_path / "j.db"
    assert run("replay", DEMO, "--journal", file, "--budget", "2000")[0] == 0
    for verb, arguments in READING.items():
        code, out, err = run(verb, journal, *arguments)
        assert code == 0, (verb, err)
        assert SECRET not in out + err
        if verb in ("pages", "prompt", "store", "faults", "losses", "grep"):
            assert run(verb, file, *arguments)[:2] == (0, out), verb


def test_documents_hold_no_password(journal, run):
    """LAW-PASSWORD-1: JSON documents name the journal without its password."""
    for verb in ("sessions", "stats", "verify"):
        code, out, _ = run(verb, journal, "--json")
        assert code == 0 and SECRET not in out and json.loads(out)["journal"].startswith("postgresql://postgres@")
    for wrong in ((journal, "--journal", journal), (journal, journal, journal)):
        code, out, err = run("stats", *wrong)
        assert code == 2 and SECRET not in out + err


def test_history_and_proof_over_a_server(journal, tmp_path, run):
    """Forks, checkpoints and bundles are made from a journal on a server, and hold."""
    assert run("fork", journal, "--at", "10", "branch")[0] in (0, 2)
    note, key = tmp_path / "note", tmp_path / "key"
    assert run("checkpoint", "--make-key", key)[0] == 0 or run("checkpoint", journal, "--make-key", key)[0] == 0
    made = run("checkpoint", journal, "--key", key, "--output", note)
    assert made[0] == 0, made
    assert run("verify", journal, "--anchor", note, "--key", f"{key}.pub")[0] == 0
    assert run("bundle", journal, "--key", key, "--output", tmp_path / "b.clawvm")[0] in (0, 2)


def test_redact_says_which_copies_are_known(url, run):
    """Erasure over a server is `removed from live tables`, with the copies that it knows, and never `erased`."""
    journal = url.replace("postgres@", f"postgres:{SECRET}@")
    code, out, err = run("replay", DEMO, "--journal", journal, "--budget", "2000")
    assert code == 0 and SECRET not in out + err
    code, out, _ = run("redact", journal, "--all", "--yes")
    assert code == 0 and "removed from live tables; known copies: dead rows in the server's files" in out
    assert "erased" not in out.replace("would be erased", "")
    code, out, _ = run("verify", journal, "--redecide")
    assert code == 0, out


def test_what_a_server_cannot_do_is_one_line(journal, tmp_path, run):
    """`backup` is the server's own; without a journal there, a verb that reads makes none."""
    code, out, err = run("backup", journal, tmp_path / "copy.db")
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "pg_dump" in err
    code, _, err = run("sessions", journal + "x")
    assert code == 2 and len(err.splitlines()) == 1 and "no journal here" in err and SECRET not in err


def test_a_journal_is_followed_and_imported(url, run):
    """A recorded file is imported over a server, and again, which appends nothing."""
    for _ in range(2):
        code, _, err = run("import", DEMO, "--journal", url)
        assert code == 0, err
    assert run("verify", url)[0] == 0


@pytest.mark.parametrize("role", ["two words", 'quo"ted', "x;y"])
def test_what_is_no_name_of_a_role_is_refused(url, run, role):
    """A name that would need quoting is wrong usage, and no such role is made."""
    code, _, err = run("pg", "init", url, "--writer", role)
    assert code == 2 and "is no name of a role here" in err and len(err.splitlines()) == 1


def test_init_and_doctor(url, run):
    """`pg init` says what it did, and `pg doctor` what it found, in JSON, too; exit code 1 where something lacks."""
    code, out, _ = run("pg", "doctor", url)
    assert code == 1 and "✗ journal: there is none" in out
    code, out, _ = run("pg", "init", url, "--writer", "agents", "--reader", "")
    assert code == 0 and "made the journal" in out and "the role agents may read and append" in out
    code, out, _ = run("pg", "doctor", url, "--json")
    found = {each["what"]: each["good"] for each in json.loads(out)["findings"]}
    assert found.pop("durability") is False and code == 1  # the tests' server does not sync
    assert all(found.values()) and "guards" in found
    code, _, err = run("pg", "init", "j.db")
    assert code == 2 and len(err.splitlines()) == 1
