"""Read models of sessions that the engine ran: caught up at boundaries, readable in SQLite, texts included."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawvm_es.engine import journal as engine_journal
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.history.redact import Target, redact
from clawvm_es.model.pages import Scope
from clawvm_es.observe.tools import Tool
from clawvm_es.projections import catch_up, decisions, projections_problems, rebuild, snapshot
from clawvm_es.projections.decisions import moment
from clawvm_es.projections.fold import Fold
from clawvm_es.projections.tables import MODELS, TABLES
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite.editions import LIVE
from clawvm_es.storage.sqlite.foreign import definitions
from clawvm_es.storage.sqlite.models import made, names

SETTINGS = Settings(tools=(Tool("add", run=lambda a, b: f"sum {a + b}"),), fields={"goal": FieldSchema("string")})


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A journal with two sessions of one project that wrote, used tools, staged updates and compacted."""
    place = tmp_path / "j.db"
    with Journal.open(place, seed=3, clock=iter(range(10**15, 10**16, 1000)).__next__) as journal:
        for name in ("one", "two"):
            session = journal.session(name, budget_tokens=400, counter="lines4", project="shared", settings=SETTINGS)
            session.write_page("bootstrap", "Never push to main.\nAsk first.")
            session.write_page("plan", "1. look\n2. fix")
            session.user_says(f"Hello from {name}, please add.")
            for number in range(4):
                session.assemble()
                session.tool("add", {"a": number, "b": 2})
            session.stage(
                "goal", "set_with_version", f"goal of {name}", scope=Scope.PROJECT, base_version=0, evidence="p1"
            )
            session.compact()
            session.assemble()
            if name == "two":
                session.close()
    yield place


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_journal_that_was_just_brought_up_to_date_is_not_again_when_it_closes(path, monkeypatch, goes_on):
    """Closing does it once, only where something was recorded since, by whomever."""
    done = []
    monkeypatch.setattr(engine_journal, "catch_up", lambda log: done.append(log.size()) or catch_up(log))
    with Journal.open(path, seed=3) as journal:
        journal.catch_up()
        if goes_on:
            with Journal.open(path, seed=3) as other, other.session("one", settings=SETTINGS) as session:
                session.user_says("once more")
                other.close(catch_up=False)
    assert len(done) == 1 + goes_on
    with open_log(path) as log, snapshot(log) as view:
        assert view.seq == log.size() and projections_problems(log) == []


def query(path: Path, sql: str) -> list[tuple]:
    """What any SQLite tool would show."""
    with sqlite3.connect(path) as db:
        return db.execute(sql).fetchall()


def test_live_equals_rebuilt(path):
    """What was caught up boundary by boundary is what a rebuild gives, up to the last boundary and beyond."""
    with Journal.open(path) as journal:
        log = journal.log
        assert projections_problems(log) == []
        journal.catch_up()
        live = {t.name: query(path, f"SELECT * FROM {t.name} ORDER BY {', '.join(t.order)}") for t in TABLES}
        with snapshot(log) as view:
            assert {t.name: [t.values(row) for row in view.rows(t)] for t in TABLES} == live
        rebuild(log)
        assert {t.name: query(path, f"SELECT * FROM {t.name} ORDER BY {', '.join(t.order)}") for t in TABLES} == live
    assert all(live[name] for name in ("sessions", "turns", "page_table", "durable_store", "updates"))


def test_the_tables_read_well_without_us(path):
    """Names for levels, types and status; one row for each session, turn, page, and version of a field."""
    assert query(path, "SELECT session_id, policy, status, compactions, turns FROM sessions") == [
        ("one", "clawvm", "open", 1, 5),
        ("two", "clawvm", "ended", 1, 5),
    ]
    assert query(
        path, "SELECT page_id, page_type, pin, author, dirty FROM page_table WHERE session_id='two' LIMIT 3"
    ) == [
        ("p1", "bootstrap", "hard", "harness", 0),
        ("p2", "plan", "soft", "harness", 0),
        ("p3", "conversation", "none", "user", 0),
    ]
    updates = query(path, "SELECT session_id, field, status, reason FROM updates WHERE field = 'goal' ORDER BY 1")
    assert updates == [("one", "goal", "committed", None), ("two", "goal", "rejected", "DESTRUCTIVE_OP")]


def test_views_bring_the_texts_back(path):
    """Page texts by level, tool arguments and results, and committed values, by joining the bodies."""
    texts = query(path, "SELECT text FROM page_text WHERE session_id='one' AND page_id='p1' AND level='full'")
    assert texts == [("Never push to main.\nAsk first.",)]
    calls = query(path, "SELECT call, tool, arguments FROM tool_calls WHERE session_id='one' LIMIT 1")
    assert calls[0][:2] == (1, "add") and '"b"' in calls[0][2]
    assert ("sum 2",) in query(path, "SELECT result FROM tool_results WHERE session_id='one'")
    values = query(path, "SELECT session_id, field, value FROM store_values WHERE scope LIKE 'scope:%'")
    assert values == [("one", "goal", '"goal of one"')]
    decisions = query(path, "SELECT type, before, after FROM decision_trace WHERE page_id='p1' AND session_id='one'")
    assert decisions[0] == ("representation_changed", "absent", "full")


def test_decisions_are_the_rows_of_their_view(path):
    """Columns and values are those of the view `decision_trace`; a fork has its parent's decisions, too."""
    with Journal.open(path, seed=3) as journal:
        journal.fork("one", "again", at=journal.log.head("one").version - 3)
        found = {name: decisions(journal.log, name) for name in ("one", "two", "again")}
    for name, rows in found.items():
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            query = "SELECT * FROM decision_trace WHERE session_id = ? ORDER BY version"
            viewed = [dict(row) for row in db.execute(query, (name,))]
        assert rows == [row | {"data": json.loads(row["data"])} for row in viewed] and rows


@given(st.integers(0, 253_402_300_799_000_000))
@example(499)
@example(1_700_000_000_000_500)
def test_times_of_decisions_are_those_of_their_view(at_us):
    """A time is rounded to milliseconds as SQLite rounds it, in any year up to 9999."""
    with closing(sqlite3.connect(":memory:")) as db:
        query = "SELECT strftime('%Y-%m-%d %H:%M:%f', ? / 1000000.0, 'unixepoch')"
        assert db.execute(query, (at_us,)).fetchone() == (moment(at_us),)


def test_every_view_can_be_selected_from(path):
    """No view names a column that is not there, and the schema is as declared."""
    with closing(sqlite3.connect(path)) as connection:
        found = definitions(connection)
    for name, statement in made(MODELS, LIVE).items():
        assert found[name] == statement
    for name in names(MODELS):
        query(path, f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    ("change", "name", "wrong"),
    [
        ("sql = replace(sql, 'CREATE', 'create')", "faults", "defined otherwise than expected"),
        ("sql = replace(sql, ' ', char(9))", "turns", "defined otherwise than expected"),
        ("type = 'View'", "tool_calls", "missing"),
        ("tbl_name = 'Sessions'", "sqlite_autoindex_sessions_1", "defined otherwise than expected"),
    ],
)
def test_a_definition_changed_to_the_byte_is_found(path, change, name, wrong):
    """Of a table, index or view no byte of what the schema says about it changes unnoticed."""
    copy = shutil.copy(path, path.parent / "changed.db")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        assert connection.execute(f"UPDATE sqlite_master SET {change} WHERE name = ?", (name,)).rowcount == 1
    with open_log(copy, read_only=True) as log:
        assert projections_problems(log) == [f"projections: {name} is {wrong}"]


def test_a_definition_may_be_laid_out_otherwise(path):
    """What another version of the library quotes and indents in its own way is the same definition."""
    copy = shutil.copy(path, path.parent / "other.db")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, '\"', '`') || ' ' WHERE name = 'faults'")
    with open_log(copy, read_only=True) as log:
        assert projections_problems(log) == []


def test_an_erasure_in_a_line_of_forks_looks_at_each_fork_a_bounded_number_of_times(tmp_path, monkeypatch):
    """LAW-FORK-1: an event in every fork of a line takes lookups in proportion to the forks, not to their square."""
    asked = Counter()
    latest = Fold.latest

    def counted(self, table, key):
        asked[table.name] += 1
        return latest(self, table, key)

    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("f0", counter="lines4") as session:
            session.user_says("a secret")
            session.assemble()
        for number in range(1, 60):
            with journal.fork(f"f{(number - 1) * 7 % 60}", f"f{number * 7 % 60}") as session:
                session.set_budget(1000 + number)
        catch_up(journal.log)
        monkeypatch.setattr(Fold, "latest", counted)
        done = redact(journal.log, Target("f0", everything=True), at_us=1)
        assert len(done.trails) == 60
        assert sum(asked.values()) < 12 * 60
        assert projections_problems(journal.log) == []
