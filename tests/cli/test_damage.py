"""LAW-DAMAGE-1: what a damaged journal makes our code stumble over is told as damage; the rest stays our fault."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from clawvm_es import Journal

LOOSE = (
    "PRAGMA writable_schema=ON",
    "UPDATE sqlite_master SET sql = replace(sql, ' STRICT', '') WHERE name = 'blobs'",
    "UPDATE sqlite_master SET sql = replace(sql, 'body BLOB NOT NULL', 'body BLOB') WHERE name = 'blobs'",
    "PRAGMA writable_schema=RESET",
)


@pytest.fixture
def journal(tmp_path):
    """A journal with a session and its fork."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        with journal.session("run-1", budget_tokens=400) as session:
            session.write_page("evidence", "The walrus has been fed at noon, says the keeper.")
            session.assemble()
            session.observe_model("fed")
        journal.fork("run-1", "child")
    return path


def change(path, *statements) -> None:
    """Change the file without our triggers, which come back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        for _, sql in triggers:
            db.execute(sql)


def nulls(path) -> None:
    """Bodies that are NULL in a table that does not allow it, as torn pages have them."""
    with closing(sqlite3.connect(path)) as db:
        (made,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'blobs'").fetchone()
    put_back = f"UPDATE sqlite_master SET sql = '{made}' WHERE name = 'blobs'"
    change(path, *LOOSE, "UPDATE blobs SET body = NULL", LOOSE[0], put_back, LOOSE[3])


def test_what_a_damaged_page_makes_fail_is_told_as_damage(run, journal):
    """A cell of a type that the table does not allow is no fault of the program's: one line, exit code 2."""
    nulls(journal)
    code, out, err = run("rebuild", journal)
    assert (code, out) == (2, "") and f"{journal} is damaged: " in err and err.count("\n") == 1


def test_an_error_beside_a_whole_journal_is_ours(run, journal, monkeypatch):
    """An error that no damage explains keeps exit code 70; with damage in the file, that is what is told."""

    def fails(*_, **__):
        raise TypeError("an int and a NoneType")

    monkeypatch.setattr("clawvm_es.views.figures.snapshot", fails)
    assert run("sessions", journal)[0] == 70
    change(journal, "UPDATE events SET turn = turn + 1 WHERE version = 3")
    code, _, err = run("sessions", journal)
    assert code == 2 and "is damaged" in err and "TypeError" in err


def test_an_error_of_one_of_two_journals_names_that_one(run, journal, tmp_path, monkeypatch):
    """`diff --against` blames the journal that is damaged."""
    other = tmp_path / "other.db"
    assert run("backup", journal, other)[0] == 0
    change(other, "UPDATE events SET turn = turn + 1 WHERE version = 3")

    def fails(*_, **__):
        raise IndexError("tuple index out of range")

    monkeypatch.setattr("clawvm_es.views.compared.compare", fails)
    code, _, err = run("diff", journal, "run-1", "run-1", "--against", other)
    assert code == 2 and f"{other} is damaged" in err


@pytest.mark.parametrize(
    "change_fork",
    [
        "json_set(data, '$.parent', 'nobody')",
        "json_set(data, '$.parent_version', -1)",
        "json_set(data, '$.parent_version', 0)",
        "json_set(data, '$.parent_version', json('9223372036854775808'))",
        "json_set(data, '$.parent', 'run-1', '$.parent_version', 2)",
    ],
)
@pytest.mark.parametrize("verb", [("log", "--turn", "1"), ("whatif", "--policy", "lru"), ("trace",), ("prompt",)])
def test_forks_from_nowhere_are_damage(run, journal, change_fork, verb):
    """A fork whose parent does not have the event that it goes on from cannot be read, and says so."""
    change(journal, f"UPDATE events SET data = {change_fork} WHERE type = 'session_forked'")
    name, *more = verb
    code, out, err = run(name, journal, "-s", "child", *more)
    assert (code, out) == (2, "") and "forked from" in err and err.count("\n") == 1


def test_a_last_event_without_a_successor_is_damage(run, journal):
    """An event at the last number that there is lets nothing be appended: one line, exit code 2."""
    change(journal, f"UPDATE events SET seq = {2**63 - 1} WHERE seq = (SELECT max(seq) FROM events)")
    code, _, err = run("redact", journal, "-s", "run-1", "--all")
    assert code == 2 and "no number is left" in err and err.count("\n") == 1


def test_verify_names_deep_data(run, journal):
    """Events that are nested deeper than any reader goes are a finding."""
    deep = '{"a":' * 3_000 + "1" + "}" * 3_000
    change(journal, f"UPDATE events SET data = '{deep}' WHERE type = 'page_written'")
    assert run("verify", journal)[0] == 1
