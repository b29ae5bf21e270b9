"""`clawvm redact`: what it says before it erases, and when it asks."""

import errno
import io
import json
import os
import sys

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.history.certificate import check_certificate
from clawvm_es.journal.anchors import load_public


@pytest.fixture
def path(tmp_path):
    """A journal with two sessions that hold a text of their own and one in common."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        for name in ("one", "two"):
            with journal.session(name, counter="lines4") as session:
                session.user_says(f"fix the login of {name}\nplease")
                session.write_page("constraint", "- You must never tell canary.")
                session.assemble()
    return path


def heads(path):
    """Where all streams stand."""
    with Journal.open(path, read_only=True) as journal:
        return journal.log.heads()


MANY = [("--pattern", "."), ("--pattern", "canary", "-s", "one"), ("-s", "one", "--page", "p2", "--everywhere")]


@pytest.mark.parametrize("options", MANY, ids=" ".join)
def test_without_a_terminal_nothing_goes_unasked(path, run, options):
    """The counts by session and title are printed, nothing changes, exit code 2; with --yes it is erased."""
    before = heads(path)
    code, out, err = run("redact", path, *options)
    assert code == 2 and "fix the login of one" in out and "--yes" in err and len(err.splitlines()) == 1
    assert heads(path) == before
    code, out, _ = run("redact", path, *options, "--json")
    document = json.loads(out)
    assert code == 2 and document["status"] == "unconfirmed" and heads(path) == before
    assert all(each["texts"] > 0 and each["bytes"] > 0 for each in document["sessions"])
    assert run("redact", path, *options, "--yes")[0] == 0
    assert heads(path) != before


ONE = [("-s", "one", "--page", "p2"), ("-s", "one", "--all"), ("-s", "one", "--page", "p1", "--everywhere")]


@pytest.mark.parametrize("options", ONE, ids=" ".join)
def test_what_is_named_in_one_session_goes_without_a_question(path, run, options):
    """A page or a session that was named, and what no other session holds: scripts go on as they did."""
    code, out, _ = run("redact", path, *options)
    assert code == 0 and "erased" in out


def test_a_dry_run_and_an_erasure_that_finds_nothing_need_no_answer(path, run):
    """Nothing is written, so nobody is asked."""
    code, out, _ = run("redact", path, "--pattern", "canary", "--dry-run", "--json")
    shares = json.loads(out)["sessions"]
    assert code == 0 and [each["title"] for each in shares] == ["fix the login of one", "fix the login of two"]
    assert run("redact", path, "--pattern", "nowhere to be found")[0] == 0


class Terminal(io.StringIO):
    """A person who answers."""

    def isatty(self):
        """It is a terminal."""
        return True


@pytest.mark.parametrize(("answer", "code", "erased"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_on_a_terminal_it_asks(path, run, monkeypatch, answer, code, erased):
    """The counts come before the question; only a yes erases."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr("clawvm_es.cli.redact.on_terminal", lambda: True)
    before = heads(path)
    got, out, err = run("redact", path, "--pattern", "canary", "--json")
    assert got == code and "fix the login of two" in err and "Erase these texts" in err
    assert (heads(path) != before) is erased and (json.loads(out)["status"] == "erased" if erased else out == "")


def test_titles_of_erased_prompts_are_gone_from_what_is_said_afterwards(path, run):
    """What was erased stands in no report of the erasure."""
    _, out, _ = run("redact", path, "--pattern", ".", "--yes")
    assert "login" not in out


def test_a_certificate_is_a_private_file_that_passes(path, run, tmp_path):
    """Written with the erasure, or later by session and version; signed where there is a key; never overwritten."""
    first, second, key = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "k"
    run("checkpoint", path, "--make-key", key)
    code, out, _ = run("redact", path, "-s", "one", "--page", "p2", "--certificate", first, "--key", key, "--json")
    document = json.loads(out)["certificate"]
    assert code == 0 and document["status"] == "erased" and document["held_by"] == ["two"]
    assert first.stat().st_mode & 0o777 == 0o600 and b"canary" not in first.read_bytes()
    public = load_public(str(key) + ".pub")
    with Journal.open(path, read_only=True) as journal:
        assert check_certificate(first.read_bytes(), public, journal.log) == document
    at = document["events"][0]["version"]
    code, out, _ = run("redact", path, "-s", "one", "--at", at, "--certificate", second)
    assert code == 0 and out.splitlines()[-1].endswith("certificate of 1 event: erased, not signed")
    assert json.loads(second.read_bytes())["events"] == document["events"]


WRONG = [
    (("--key", "k", "--page", "p2"), "--certificate"),
    (("--page", "p2", "--certificate", "there.json"), "already there"),
    (("--page", "p2", "--certificate", "no/where.json"), "no directory"),
    (("--page", "p2", "--certificate", "new.json", "--key", "none"), "none"),
    (("--page", "p2", "--certificate", "new.json", "--dry-run"), "dry run"),
    (("--certificate", "new.json", "--at", "3"), "no content_redacted"),
]


@pytest.mark.parametrize(
    ("options", "says"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_what_cannot_be_certified_is_refused_before_anything_goes(path, run, monkeypatch, options, says):
    """Exit code 2 in one line, and nothing is erased or written."""
    monkeypatch.chdir(path.parent)
    (path.parent / "there.json").write_text("{}")
    before = heads(path)
    code, _, err = run("redact", path, "-s", "one", *options)
    assert code == 2 and says in err and len(err.splitlines()) == 1
    assert heads(path) == before and not (path.parent / "new.json").exists()


@pytest.mark.parametrize("target", [["--page", "p2"], ["--all"], ["--body"]])
def test_an_erasure_that_stands_is_certified_by_the_same_command(path, run, tmp_path, monkeypatch, target):
    """Its certificate found no room; a command that erases nothing certifies what was erased before."""
    from clawvm_es import files

    if target == ["--body"]:
        with Journal.open(path, read_only=True) as journal:
            rows = journal.log.read("one")
            target = ["--body", next(row.data.levels[0].body for row in rows if row.type == "page_written")]
    asked = ("redact", path, "-s", "one", *target, "--certificate", tmp_path / "c.json", "--yes", "--json")

    def full(name, chunks, mode=0):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_whole", full)
        code, _, err = run(*asked)
        assert code == 2 and "cannot be written" in err and "the erasure stands" in err
    code, out, _ = run(*asked)
    document = json.loads(out)
    assert (code, document["status"], document["certificate"]["status"]) == (0, "nothing", "erased")
    assert [each["session_id"] for each in document["certificate"]["events"]] == ["one"]
