"""Connections that can be told to give up: how the time of a statement is counted, and what bounds its memory."""

from __future__ import annotations

import contextlib
import sqlite3
from types import SimpleNamespace

import pytest

from clawvm_es import limits
from clawvm_es.storage.sqlite import watched
from clawvm_es.storage.sqlite.watched import Watched

LONG = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT"
"""A statement of some million steps: the watch is asked many times before it ends."""


@pytest.fixture
def db():
    """A watched connection to a database in memory."""
    with contextlib.closing(sqlite3.connect(":memory:", factory=Watched)) as found:
        yield found


@pytest.fixture
def clock(monkeypatch):
    """The clock of the watch, which moves when the test says so."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(watched, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def given_up(db) -> bool:
    """Run a long statement; True where SQLite gave it up."""
    try:
        assert db.execute(f"{LONG} count(*) FROM n").fetchone() == (200_000,)
    except sqlite3.OperationalError as error:
        return watched.interrupted(error)
    return False


def test_a_statement_that_takes_its_time_is_given_up_where_a_limit_is_set(db) -> None:
    """Without a limit it ends; with one that is used up it is interrupted, and the next one is counted anew."""
    assert not given_up(db)
    db.distrust(0.0)
    assert given_up(db)
    assert db.execute("SELECT 1").fetchone() == (1,)
    db.distrust(1e9)
    assert not given_up(db)


def test_time_that_the_caller_spends_between_two_rows_hardly_counts(db, clock) -> None:
    """However long a caller takes for a row, a quarter of a second of it counts."""
    db.distrust(1.0)
    pauses = 0
    with pytest.raises(sqlite3.OperationalError):
        for number, _ in enumerate(db.execute(f"{LONG} i FROM n")):
            if number % 20_000 == 0:  # SQLite asks the watch in between
                clock.s += 3600.0
                pauses += 1
    assert pauses == 5, "four quarters are not more than a second"


def test_each_statement_has_the_whole_limit(db, clock) -> None:
    """Time that one statement took is not held against the next, nor is time between two statements."""
    db.distrust(1.0)
    for _ in range(2):
        rows = 0
        for number, _ in enumerate(db.execute(f"{LONG} i FROM n"), 1):
            if number in (20_000, 60_000, 100_000, 140_000):
                clock.s += 0.25
            rows = number
        assert rows == 200_000
        clock.s += 1000.0


def test_a_cell_is_bounded_where_the_schema_is_not_trusted(db) -> None:
    """A value of the bound can be made and one byte more cannot; before, SQLite's own bound holds."""
    assert db.execute("SELECT length(zeroblob(?))", (limits.FOREIGN_CELL_BYTES + 1,)).fetchone()
    watched.distrust(db)
    assert db.execute("SELECT length(zeroblob(?))", (limits.FOREIGN_CELL_BYTES,)).fetchone()
    with pytest.raises(sqlite3.DataError, match="too big"):
        db.execute("SELECT zeroblob(?)", (limits.FOREIGN_CELL_BYTES + 1,)).fetchone()


def test_a_plain_connection_cannot_be_distrusted() -> None:
    """Connections that a test or a tool made itself are left as they are."""
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        watched.distrust(plain)
        assert plain.execute("SELECT length(zeroblob(?))", (limits.FOREIGN_CELL_BYTES + 1,)).fetchone()


def test_triggers_fire_each_other_eight_deep_at_most(db) -> None:
    """A trigger that fires itself is an error of its statement, long before memory ends; sorting starts no thread."""
    db.execute("CREATE TABLE deep (level)")
    db.execute("PRAGMA recursive_triggers=ON")
    db.execute(
        "CREATE TRIGGER deeper AFTER INSERT ON deep WHEN new.level > 1"
        " BEGIN INSERT INTO deep VALUES (new.level - 1); END"
    )
    db.execute("INSERT INTO deep VALUES (8)")
    assert db.execute("SELECT count(*) FROM deep").fetchone() == (8,)
    with pytest.raises(sqlite3.OperationalError, match="too many levels of trigger recursion"):
        db.execute("INSERT INTO deep VALUES (9)")
    assert db.getlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS) == 0


def test_only_the_watch_s_own_interrupts_are_told_apart(db) -> None:
    """An interrupt that the watch did not ask for is the user's; other errors are none at all."""
    assert not watched.interrupted(ValueError("x"))
    with pytest.raises(sqlite3.OperationalError) as caught:
        db.execute("SELECT * FROM missing")
    assert not watched.interrupted(caught.value)
    db.distrust(0.0)
    with pytest.raises(sqlite3.OperationalError) as caught:
        db.execute(f"{LONG} count(*) FROM n").fetchone()
    assert watched.interrupted(caught.value)
    with pytest.raises(KeyboardInterrupt):
        watched.interrupted(caught.value)  # asked a second time: the watch gave up once
