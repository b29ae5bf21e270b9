"""Schema objects that are not ours, or not as we make them: how they are found, named and dropped."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from clawvm_es.errors import ForeignObject
from clawvm_es.storage.sqlite import foreign, schema


@pytest.fixture
def db():
    """A database in memory with a journal's schema."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in schema.DDL.values():
            connection.execute(statement)
        yield connection


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name", "plain name"),
        ("x" * 100, "x" * 100),
        ("x" * 101, repr("x" * 100)),
        ("a\x1b[2J", r"'a\x1b[2J'"),
        ("", ""),
    ],
)
def test_names_are_printed_as_a_terminal_can_show_them(name, shown) -> None:
    """A printable name of up to a hundred characters is itself, any other is quoted and cut."""
    assert foreign.printable(name) == shown


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (None, False),
        (("table", "t", "CREATE TABLE t (a, b)"), True),
        (("view", "t", "CREATE TABLE t (a, b)"), False),
        (("table", "u", "CREATE TABLE t (a, b)"), False),
        (("table", "t", 'CREATE TABLE "t" (a,  b)'), True),
        (("table", "t", "create table t ([a], `b`)"), True),
        (("table", "t", "CREATE TABLE T (a, b)"), False),
        (("table", "t", "CREATE TABLE t (a, c)"), False),
        (("table", "t", "CREATE TABLE t (a, b, c)"), False),
    ],
)
def test_a_definition_is_the_same_but_for_blanks_and_quotes(found, same) -> None:
    """Type and table must be equal; a statement of another length may differ in blanks, quotes and case only."""
    assert foreign.same_definition(found, ("table", "t", "CREATE TABLE t (a, b)")) is same


def test_definitions_are_those_of_the_file(db) -> None:
    """Every object is found with its type, table and statement; names that are no text are shown by their bytes."""
    assert foreign.definitions(db) == schema.objects()
    db.execute("CREATE TABLE strange (a UNIQUE)")
    db.execute("PRAGMA writable_schema=ON")
    db.execute("UPDATE sqlite_master SET sql = x'ff41' WHERE name = 'strange'")
    db.text_factory = bytes
    found = foreign.definitions(db)
    assert found["strange"] == ("table", "strange", "\\xffA")
    assert found["sqlite_autoindex_strange_1"] == ("index", "strange", "")


def test_altered_objects_are_named(db) -> None:
    """An expected object that is there and otherwise is named; one that is missing or as expected is not."""
    ours = schema.objects()
    found = dict(ours)
    assert list(foreign.altered(found, ours)) == []
    found["events"] = ("view", *ours["events"][1:])
    del found["blobs"]
    assert list(foreign.altered(found, ours)) == ["events"]


def test_foreign_objects_are_found_and_described(db) -> None:
    """Objects of other names, triggers that are not as we make them; never SQLite's own and never ours."""
    assert foreign.foreign(foreign.definitions(db), schema.objects()) == ()
    assert [
        each.name
        for each in foreign.foreign(
            {"mine": ("table", "mine", ""), "a": ("view", "a", "")}, {"mine": ("table", "mine", "")}
        )
    ] == ["a"]
    for statement in (
        "CREATE TABLE notes (a UNIQUE, b INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE INDEX quick ON events (turn)",
        "CREATE VIEW shown AS SELECT 1",
        "CREATE VIRTUAL TABLE words USING fts5(a, content='')",
        "DROP TRIGGER events_update",
        "CREATE TRIGGER events_update BEFORE UPDATE ON events BEGIN SELECT 1; END",
        "CREATE TRIGGER spy AFTER INSERT ON events BEGIN SELECT 1; END",
        "ANALYZE",
    ):
        db.execute(statement)
    described = [str(each) for each in foreign.foreign(foreign.definitions(db), schema.objects())]
    assert [each for each in described if "words_" not in each] == [
        "trigger events_update on events",
        "table notes",
        "index quick on events",
        "view shown",
        "trigger spy on events",
        "virtual table words",
    ]


def test_a_trigger_that_is_not_ours_stops_a_write(db) -> None:
    """LAW-FOREIGN-1: the first such trigger is named with a way out, in the file or of the connection only."""
    assert foreign.foreign_triggers(db) == ()
    foreign.refuse_triggers(db, "j.db")
    db.execute("CREATE TEMP TRIGGER spy AFTER INSERT ON main.events BEGIN SELECT 1; END")
    with pytest.raises(
        ForeignObject, match=r"^j\.db is not written: its schema holds the trigger spy on events"
    ) as caught:
        foreign.refuse_triggers(db, "j.db")
    assert "DROP TRIGGER spy" in caught.value.hint
    assert [each.name for each in foreign.foreign_triggers(db)] == ["spy"]


def test_a_missing_trigger_is_no_foreign_one(db) -> None:
    """A journal that lost one of its own triggers holds nothing that would run."""
    db.execute("DROP TRIGGER events_update")
    assert foreign.foreign_triggers(db) == ()


def test_objects_are_dropped_by_name(db) -> None:
    """Tables, views and indexes of a name go, in whatever case it is written; all others stay."""
    for statement in (
        'CREATE TABLE "Odd ""name" (a UNIQUE)',
        "CREATE VIEW shown AS SELECT 1",
        "CREATE INDEX quick ON events (turn)",
        "CREATE TABLE kept (a UNIQUE)",
    ):
        db.execute(statement)
    foreign.drop(db, ['odd "NAME', "SHOWN", "quick", "missing", "sqlite_autoindex_kept_1"])
    left = set(foreign.definitions(db)) - set(schema.objects())
    assert left == {"kept", "sqlite_autoindex_kept_1"}
    assert foreign.quoted('a"b') == '"a""b"'
