"""`verify` finds and names every change made by hand."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalDamaged, JournalTooNew, UnreadableInput
from clawvm_es.journal.problems import PROBLEMS_MAX
from clawvm_es.limits import SNAPSHOT_EVENTS
from clawvm_es.model.events import ContentRedacted, PromptRendered, SessionForked, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite import schema
from clawvm_es.storage.sqlite.foreign import foreign
from clawvm_es.testing.logs import budget, new, used


def fill(log) -> None:
    """Two sessions and a fork, with keys, causes, bodies and a sealed body: 11 events."""
    vault = log.vault("a")
    log.append(
        "a", [budget(1, "k1"), used("p1"), new(ToolCalled(1, "tool", vault.commit(b"body")), "k2"), used("p2")]
    )
    log.append("b", [budget(5), used("p1"), new(ToolCalled(1, "tool", log.vault("b").commit(b"body")))])
    log.append("a", [new(PromptRendered("r", 7, vault.seal(b"prompt")), "k3")])
    parent = list(log.read("a"))[3]
    log.append("fork", [new(SessionForked("a", 4, parent.hash.hex())), budget(6), used("p9")])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A journal with nothing wrong."""
    path = tmp_path_factory.mktemp("good") / "journal.db"
    with open_log(path) as log:
        fill(log)
    assert verify(path) == ()
    return path


def tampered(good, tmp_path, *statements: str, schema_kept: bool = True):
    """A copy of the good journal in which someone ran statements, with our triggers out of the way meanwhile."""
    path = tmp_path / "journal.db"
    shutil.copy(good, path)
    db = sqlite3.connect(path, isolation_level=None)
    triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        db.execute(statement)
    for _, sql in triggers if schema_kept else ():
        db.execute(sql)
    db.close()
    return path


CHANGES = {
    "session_id": ("session_id || 'x'", "'a'", "'b'", "'fork'"),
    "version": ("version + 1", "version + 7", "0", "-1"),
    "turn": ("turn + 1", "turn + 1000000"),
    "kind": ("CASE kind WHEN 'input' THEN 'decision' ELSE 'input' END", "''", "CAST(x'ff' AS TEXT)"),
    "type": ("'budget_changed'", "'page_used'", "'tool_called'", "'no_such_event'", "''"),
    "schema_version": ("2", "0"),
    "at": ("at + 1", "0"),
    "principal": ("'someone'", "''"),
    "cause": ("CASE WHEN cause IS NULL THEN 1 END", "coalesce(cause, 0) + 1", "0"),
    "idempotency_key": ("CASE WHEN idempotency_key IS NULL THEN '' END", "'other' || seq"),
    "data": ("data || ' '", "replace(data, '1', '2')", "'{}'", "''", "CAST(x'ff' AS TEXT)"),
    "prev_hash": ("zeroblob(32)", "zeroblob(31)", "x''", "hash"),
    "hash": ("zeroblob(32)", "x''", "prev_hash"),
    "seq": ("seq + 100", "-seq", "0"),
}


@pytest.mark.parametrize(
    ("column", "value"), [(column, value) for column, values in CHANGES.items() for value in values], ids=str
)
def test_every_changed_cell_of_an_event_is_found(good, tmp_path, column, value) -> None:
    """A change to any column of any row is found, and the row is named by its session, version or seq."""
    for seq in range(1, 12):
        path = tmp_path / str(seq)
        path.mkdir()
        try:
            where = f"WHERE seq = {seq} AND ({value}) IS NOT {column}"
            copy = tampered(good, path, f"UPDATE events SET {column} = {value} {where}")
        except sqlite3.IntegrityError:
            continue  # the file itself refuses this change
        with sqlite3.connect(copy) as db, sqlite3.connect(good) as original:
            query = "SELECT *, CAST(data AS BLOB), CAST(kind AS BLOB) FROM events ORDER BY rowid"
            db.text_factory = original.text_factory = bytes
            changed = db.execute(query).fetchall() != original.execute(query).fetchall()
        problems = verify(copy)
        assert bool(problems) == changed
        if changed:
            assert any("seq" in f"{problem.where} {problem.what}" for problem in problems)
            assert verify(copy, fast=True)


@pytest.mark.parametrize("column", ["cause", "kind", "principal", "prev_hash", "schema_version", "turn", "type"])
def test_the_changed_column_is_named_where_neighbours_tell_it(good, tmp_path, column) -> None:
    """Where a value that the neighbours suggest restores the hash, the changed column is named."""
    value = {"kind": "'input'", "type": "'page_pinned'", "prev_hash": "zeroblob(32)", "principal": "'x'"}.get(
        column, "3"
    )
    path = tampered(good, tmp_path, f"UPDATE events SET {column} = {value} WHERE seq = 2")
    problems = verify(path)
    assert any(problem.what == column and problem.where == "session a version 2 (seq 2)" for problem in problems)


def test_swapped_rows_of_a_session_are_found(good, tmp_path) -> None:
    """Rows of one session that trade places in the log are found."""
    path = tampered(
        good,
        tmp_path,
        "UPDATE events SET seq = -1 WHERE seq = 2",
        "UPDATE events SET seq = 2 WHERE seq = 3",
        "UPDATE events SET seq = 3 WHERE seq = -1",
    )
    assert {problem.what for problem in verify(path)} == {"version", "hash"}


@pytest.mark.parametrize("seq", range(1, 12))
def test_a_deleted_event_is_found(good, tmp_path, seq) -> None:
    """A row that is gone leaves a gap; a cut tail is seen only by what else names it."""
    problems = verify(tampered(good, tmp_path, f"DELETE FROM events WHERE seq = {seq}"))
    assert problems or seq == 11


BODY_CHANGES = [
    ("blobs", "body", "x'00'", "body"),
    ("blobs", "body", "x''", "body"),
    ("blobs", "digest", "zeroblob(32)", "digest"),
    ("blobs", "blob_id", "blob_id + 1", "blob_id"),
    ("commitments", "salt", "zeroblob(32)", "salt"),
    ("commitments", "salt", "x''", "salt"),
    ("commitments", "commitment", "replace(replace(commitment, '0', '1'), 'a', 'b')", "commitment"),
    ("commitments", "commitment", "upper(commitment) || 'X'", "commitment"),
    ("commitments", "session_id", "session_id || 'x'", "binding"),
    ("commitments", "blob_id", "CASE WHEN blob_id IS NULL THEN 1 END", "binding"),
    ("commitments", "blob_id", "77", "blob_id"),
    ("commitments", "binding", "zeroblob(32)", "binding"),
]


@pytest.mark.parametrize(("table", "column", "value", "what"), BODY_CHANGES, ids=str)
def test_every_changed_body_salt_and_commitment_is_found(good, tmp_path, table, column, value, what) -> None:
    """A change to any cell of a body or a commitment is found and named, sealed ones included."""
    rows = sqlite3.connect(good).execute(f"SELECT rowid FROM {table}").fetchall()
    assert len(rows) == {"blobs": 1, "commitments": 3}[table]
    for (rowid,) in rows:
        path = tmp_path / str(rowid)
        path.mkdir()
        copy = tampered(good, path, f"UPDATE {table} SET {column} = {value} WHERE rowid = {rowid}")
        problems = verify(copy)
        assert {problem.what for problem in problems} & {what, "salt" if table == "commitments" else what}
        assert any(problem.where.startswith((table, "commitments")) for problem in problems)
        assert verify(copy, fast=True) == ()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM commitments WHERE blob_id IS NULL", "commitment"),
        ("DELETE FROM commitments WHERE session_id = 'b'", "commitment"),
        ("DELETE FROM blobs", "blob_id"),
        ("INSERT INTO blobs (digest, body) VALUES (x'00', x'00')", "blob_id"),
        ("INSERT INTO commitments SELECT 9, 'x', 'a', salt, 1, binding FROM commitments LIMIT 1", "commitment"),
        ("PRAGMA application_id=5", "file"),
        ("PRAGMA user_version=7", "user_version"),
        ("PRAGMA user_version=0", "user_version"),
        ("DELETE FROM journal", "journal"),
        ("UPDATE journal SET created_at_us = created_at_us + 1", "journal"),
        ("UPDATE journal SET reproducible = 1 - reproducible", "journal"),
        ("UPDATE journal SET id = replace(replace(id, '0', '1'), 'a', 'b')", "journal"),
        ("DROP INDEX events_keys", "schema"),
        ("CREATE TRIGGER more AFTER INSERT ON events BEGIN SELECT 1; END", "schema"),
        ("CREATE INDEX more ON blobs (body)", "schema"),
        ("ALTER TABLE events ADD COLUMN note TEXT", "schema"),
        ("DROP TABLE commitments", "schema"),
        ("DROP TABLE events", "schema"),
    ],
)
def test_missing_and_added_things_are_found(good, tmp_path, statement, what) -> None:
    """Rows, marks and schema objects that are missing, added or changed are problems, never errors."""
    kept = not statement.startswith(("DROP TABLE", "DELETE FROM blobs"))
    problems = verify(tampered(good, tmp_path, statement, schema_kept=kept))
    assert what in {problem.what for problem in problems}


def test_a_missing_guard_is_found(good, tmp_path) -> None:
    """A trigger that was dropped is named."""
    problems = verify(tampered(good, tmp_path, "SELECT 1", schema_kept=False))
    assert "events_update: schema: is missing" in [str(problem) for problem in problems]


@pytest.mark.parametrize("column", ["type", "tbl_name"])
def test_a_changed_cell_of_the_schema_is_found(good, tmp_path, column) -> None:
    """What an object is and what it stands on, which SQLite itself takes from the statement, are checked too."""
    path = tmp_path / "journal.db"
    shutil.copy(good, path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA writable_schema=ON")
    db.execute(f"UPDATE sqlite_master SET {column} = upper({column}) WHERE name = 'events_update'")
    db.close()
    assert [problem.where for problem in verify(path) if problem.what == "schema"] == ["events_update"]


@pytest.mark.parametrize(("at", "value"), [(18, 1), (18, 0), (18, 3), (19, 1), (19, 0), (19, 3)])
def test_a_changed_journal_mode_is_found(good, tmp_path, at, value) -> None:
    """A file that half says it has no WAL is a problem, and is not opened: SQLite might read it without its WAL."""
    path = tmp_path / "journal.db"
    raw = good.read_bytes()
    path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
    assert [problem.what for problem in verify(path)] == ["file"]
    with pytest.raises(JournalDamaged):
        open_log(path)
    assert path.read_bytes()[at] == value


def test_an_id_of_an_earlier_version_binds_nothing(good, tmp_path) -> None:
    """LAW-IDENTITY-1: journals whose ids have 32 digits verify as before."""
    path = tampered(good, tmp_path, "UPDATE journal SET id = substr(id, 1, 32), created_at_us = 7")
    assert verify(path) == ()


def test_tables_of_other_layers_are_welcome(good, tmp_path) -> None:
    """Tables, views and indexes that do not touch ours are none of our business."""
    path = tampered(
        good, tmp_path, "CREATE TABLE mine (x)", "CREATE INDEX i ON mine (x)", "CREATE VIEW v AS SELECT * FROM events"
    )
    assert verify(path) == ()


def test_a_redacted_body_may_be_absent(tmp_path) -> None:
    """A commitment without a row is no problem once a content_redacted names it."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        fill(log)
        commitment = list(log.read("a"))[2].data.arguments
        log.append("a", [new(ContentRedacted(RedactReason.SECRET, (commitment,)))])
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM commitments WHERE commitment = ?", (commitment,))
    db.close()
    assert verify(path) == ()


def test_random_flips_never_raise(good, tmp_path) -> None:
    """Whatever byte of the file is changed, there are problems or none, but never an error; nearly all are found."""
    raw = good.read_bytes()
    used_bytes = [at for at, byte in enumerate(raw) if byte]
    rng = random.Random(5)
    found = 0
    for trial in range(150):
        at = rng.choice(used_bytes)
        copy = tmp_path / f"{trial}.db"
        copy.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :])
        found += bool(verify(copy))
    assert found > 140


def test_damage_is_a_problem(good, tmp_path) -> None:
    """A cut file, an empty one, and one that is something else have problems; a missing one is an error."""
    for name, raw in (("cut", good.read_bytes()[:30_000]), ("empty", b""), ("other", b"x" * 500)):
        (tmp_path / name).write_bytes(raw)
        assert verify(tmp_path / name)
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UnreadableInput):
            verify(path)


def test_the_number_of_problems_is_bounded(tmp_path) -> None:
    """A log that is wrong everywhere is reported in part, and says so."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(n) for n in range(1, 1500)])
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TRIGGER events_update")
    db.execute("UPDATE events SET turn = turn + 1000")
    db.close()
    problems = verify(path)
    assert len(problems) == PROBLEMS_MAX + 1
    assert problems[-1].what == "more"


def test_a_log_in_memory_is_verified_too() -> None:
    """The same checks run over the log in memory."""
    log = MemoryLog()
    fill(log)
    assert verify(log) == ()
    log._events[3] = log._events[3]._replace(turn=9)
    assert [problem.where for problem in verify(log)] == ["session a version 4 (seq 4)"]


def test_an_open_log_is_verified_beside_its_writer(tmp_path) -> None:
    """A log that is open, with part of it in the write-ahead log, verifies while it is written to."""
    with open_log(tmp_path / "journal.db") as log:
        fill(log)
        assert verify(log) == ()
        with log.transaction() as transaction:
            transaction.append("s", [budget(1)])
            assert verify(log) == ()


def test_what_sqlite_itself_finds_is_told(good, tmp_path) -> None:
    """An index that lacks its entries is a problem of integrity, whatever our own checks see."""
    path = tmp_path / "journal.db"
    shutil.copy(good, path)
    with sqlite3.connect(path) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events' LIMIT 1"
        ).fetchone()
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    raw = bytearray(path.read_bytes())
    raw[(root - 1) * size : root * size] = b"\x0a\0\0\0\0" + size.to_bytes(2, "big") + bytes(size - 7)
    path.write_bytes(raw)
    assert any(problem.what == "integrity" and "index" in problem.detail for problem in verify(path))


def test_foreign_objects_are_told_in_the_order_of_their_names() -> None:
    """Whatever the order in which they were found."""
    table = ("table", "x", "CREATE TABLE x (a)")
    found = foreign({"zoo": table, "ape": table, "events": table}, {"events"})
    assert [each.name for each in found] == ["ape", "zoo"]


def test_a_commitment_with_a_huge_id_is_checked_in_little_memory(tmp_path):
    """Rows are told apart by their ids, however large; no table as long as the largest id is made."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s", counter="lines4") as session:
        session.user_says("hello")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (trigger,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'commitments_update'").fetchone()
        db.execute("DROP TRIGGER commitments_update")
        last = "(SELECT max(commitment_id) FROM commitments)"
        db.execute(f"UPDATE commitments SET commitment_id = {2**62} WHERE commitment_id = {last}")
        db.execute(trigger)
    assert verify(path) == ()


def test_snapshots_whose_ids_are_used_up_are_not_taken(tmp_path):
    """A cache that cannot grow is warned of, and stops nobody; rebuilding makes it anew."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s", counter="lines4") as session:
        for number in range(2 * SNAPSHOT_EVENTS):
            session.user_says(f"message {number}")
        session.save()
        with journal.log.transaction() as transaction:
            transaction.connection.execute(
                f"UPDATE sqlite_sequence SET seq = {2**63 - 1} WHERE name LIKE 'snapshot%'"
            )
        for number in range(2 * SNAPSHOT_EVENTS):
            session.user_says(f"later message {number}")
        session.save()
        assert session.state.version == journal.log.head("s").version


def test_a_file_is_judged_by_its_own_format(tmp_path, monkeypatch) -> None:
    """`verify` holds a file against the objects of its `user_version`; only today's formats are known ones."""
    newer = {**schema.DDL, "events_turns": "CREATE INDEX events_turns ON events (turn)"}
    monkeypatch.setattr(schema, "FORMATS", {**schema.FORMATS, 4: newer})
    path = tmp_path / "j.db"
    open_log(path).close()
    assert verify(path) == ()
    for version, statement, found in (
        (4, "", {"events_turns is missing"}),
        (4, newer["events_turns"], set()),
        (3, "", {"events_turns does not belong on the table events"}),
        (5, "DROP INDEX events_turns", {"user_version is 5, not 1, 2, 3, 4"}),
    ):
        with closing(sqlite3.connect(path)) as db:
            db.executescript(f"{statement}; PRAGMA user_version={version}")
        told = {f"{each.where if each.what == 'schema' else each.what} {each.detail}" for each in verify(path)}
        assert told == found
    schema.objects.cache_clear()
    schema.tables.cache_clear()
    with pytest.raises(JournalTooNew, match="has format 5, this version knows 3") as caught:
        open_log(path)
    assert "\n" not in str(caught.value)
