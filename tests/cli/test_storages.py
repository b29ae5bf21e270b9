"""The program and storages: a journal by its URL, and one line where a storage is missing or cannot do something."""

from clawvm_es.engine.journal import Journal
from clawvm_es.journal.ports import Capability
from clawvm_es.storage.sqlite.log import SQLiteLog


def test_a_journal_by_its_url(tmp_path, run):
    """A verb takes a URL where it takes a path."""
    Journal.open(tmp_path / "j.db").close()
    assert run("verify", f"sqlite:///{tmp_path}/j.db")[0] == 0


def test_an_unknown_scheme_is_one_line(run):
    """A storage that is not there is wrong usage, told with those that are."""
    code, _, err = run("sessions", "redis://host/1")
    assert code == 2 and len(err.splitlines()) == 1 and "sqlite:///" in err


def test_the_program_says_it_in_one_line(tmp_path, run, monkeypatch):
    """`clawvm redact` ends as wrong usage, with one line, and the journal is as it was."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s", counter="lines4") as session:
        session.user_says("a canary")
    monkeypatch.setattr(SQLiteLog, "capabilities", frozenset(Capability) - {Capability.ERASE})
    before = path.read_bytes()
    code, out, err = run("redact", path, "-s", "s", "--all", "--yes")
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "erase" in err
    assert path.read_bytes() == before
