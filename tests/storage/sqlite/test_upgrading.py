"""Journals of older formats: read as they are, upgraded whole or not at all, refused by older programs."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es import errors
from clawvm_es.journal.chain import GENESIS
from clawvm_es.journal.ports import Erasure
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import backup as backups
from clawvm_es.storage.sqlite import packing, schema, upgrading
from clawvm_es.storage.sqlite.log import open_log as open_sqlite
from clawvm_es.testing.logs import budget, new
from clawvm_es.version import __version__

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("v[1-4].journal"))
TEXT = b"a text that is long enough to be packed\n" * 40


@pytest.fixture(params=GOLDEN, ids=lambda each: each.stem)
def path(request, tmp_path):
    """A copy of a journal of format 1."""
    return Path(shutil.copy(request.param, tmp_path / "j.db"))


def format_of(path) -> int:
    """The format that the file says it has."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def bodies(log) -> dict[str, bytes | None]:
    """Commitment → body, for the whole journal."""
    names = log.ask(lambda db: [name for (name,) in db.execute("SELECT commitment FROM commitments")])
    return {name: log.vault("first").open(name) for name in names}


def told(log):
    """What no upgrade changes: identity, heads, and all bodies."""
    heads = [(head.session_id, head.version, head.seq, head.hash) for head in log.heads()]
    return log.journal_id, log.created_at_us, heads, bodies(log)


def says(log, session_id: str, body: bytes = TEXT) -> None:
    """Append an event with a body."""
    log.append(session_id, [new(ToolCalled(1, "tool", log.vault(session_id).commit(body)))])


def test_the_steps_lead_to_todays_objects() -> None:
    """A file of any format, brought to the next ones, has exactly the objects of a new file."""
    for older in list(schema.FORMATS)[:-1]:
        with closing(sqlite3.connect(":memory:")) as db:
            for statement in schema.FORMATS[older].values():
                db.execute(statement)
            for version in range(older, schema.USER_VERSION):
                for statement in schema.changes(version):
                    db.execute(statement)
            found = db.execute("SELECT name, type, tbl_name, sql FROM sqlite_master").fetchall()
        assert {name: (kind, table, sql) for name, kind, table, sql in found} == schema.objects()


def test_a_format_keeps_the_tables_of_the_one_before() -> None:
    """An upgrade rewrites no rows: tables are added, never altered."""
    for older, newer in zip(list(schema.FORMATS), list(schema.FORMATS)[1:], strict=False):
        for table in schema.tables(older):
            assert schema.FORMATS[newer][table] == schema.FORMATS[older][table]


def test_an_old_journal_is_read_as_it_is(path) -> None:
    """Opened for reading, a file of format 1 verifies, gives all it has, and stays byte for byte the same."""
    before = path.read_bytes()
    assert verify(path) == ()
    with open_log(path, read_only=True) as log:
        assert len(told(log)[2]) > 2
        assert log.bodies_kept()[0] > 10
    assert path.read_bytes() == before
    assert format_of(path) == 1


def test_the_first_writable_open_upgrades(path) -> None:
    """LAW-UPGRADE-1: the format is today's and on record; identity, digests and bodies are what they were."""
    with open_log(path, read_only=True) as log:
        before = told(log)
    with open_log(path) as log:
        assert told(log) == before
        row = log.ask(lambda db: db.execute("SELECT user_version, made_by, at_us FROM upgrades").fetchall())
        assert [each[:2] for each in row] == [(2, f"clawvm-es {__version__}"), (3, f"clawvm-es {__version__}")]
        assert row[1][2] >= row[0][2] > log.created_at_us
        says(log, "a new one")
    assert format_of(path) == schema.USER_VERSION
    assert verify(path) == ()
    with open_log(path) as log:
        assert log.ask(lambda db: db.execute("SELECT count(*) FROM upgrades").fetchone()) == (2,)
        assert packing.pack(TEXT) in log.ask(lambda db: [body for (body,) in db.execute("SELECT body FROM blobs")])
        assert [body for name, body in bodies(log).items() if name not in before[3]] == [TEXT]


def test_a_journal_of_format_2_goes_on_in_format_3(tmp_path) -> None:
    """Old rows stay; new ones leave out what the row before says and have short bindings; the chain is whole."""
    path = Path(shutil.copy(GOLDEN[-1].with_name("v5.journal"), tmp_path / "j.db"))
    assert format_of(path) == 2
    assert verify(path) == ()
    with open_log(path, read_only=True) as log:
        before, last = told(log), log.size()
    with open_log(path) as log:
        assert told(log) == before
        for body in (TEXT, b"another", TEXT):
            says(log, "a new one", body)
        first, *rest = log.read("a new one")
        assert [row.prev_hash for row in (first, *rest)] == [GENESIS, first.hash, rest[0].hash]
        assert [row.prev_hash for row in log.read("a new one", after=2)] == [rest[0].hash]
        assert [row.prev_hash for row in log.read_all(last + 1)] == [first.hash, rest[0].hash]
        stored = log.ask(lambda db: db.execute("SELECT length(prev_hash), seq > ? FROM events", (last,)).fetchall())
        assert set(stored[:last]) == {(32, 0)}
        assert stored[last:] == [(32, 1), (0, 1), (0, 1)]
        lengths = log.ask(lambda db: db.execute("SELECT DISTINCT length(binding) FROM commitments").fetchall())
        assert lengths == [(33,), (9,)]
    assert verify(path) == ()
    assert format_of(path) == schema.USER_VERSION


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE upgrades SET at_us = at_us + 1", "format 2: was changed"),
        ("UPDATE upgrades SET made_by = 'somebody'", "format 2: was changed"),
        ("UPDATE upgrades SET binding = zeroblob(32)", "format 2: was changed"),
        ("UPDATE upgrades SET user_version = 4 WHERE user_version = 3", "format 4: was changed"),
    ],
)
def test_a_changed_record_of_an_upgrade_is_found(tmp_path, change, found) -> None:
    """No cell of the record changes unnoticed, and the guards keep it from changing by accident."""
    path = Path(shutil.copy(GOLDEN[0], tmp_path / "j.db"))
    open_log(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        with pytest.raises(sqlite3.IntegrityError, match="stays on record"):
            db.execute(change)
        with pytest.raises(sqlite3.IntegrityError, match="stays on record"):
            db.execute("DELETE FROM upgrades")
        with pytest.raises(sqlite3.IntegrityError, match="upgraded once"):
            db.execute("INSERT INTO upgrades SELECT 1, at_us, made_by, binding FROM upgrades LIMIT 1")
        (guard,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'upgrades_update'").fetchone()
        db.execute("DROP TRIGGER upgrades_update")
        db.execute(change)
        db.execute(guard)
    problems = [f"{each.where}: {each.detail}" for each in verify(path) if each.what == "upgrades"]
    assert problems and problems[0].startswith(found)


def test_a_failed_upgrade_leaves_the_old_file_whole(tmp_path, monkeypatch) -> None:
    """LAW-UPGRADE-1: where a statement fails, nothing of the upgrade is there, and the next open does it."""
    path = Path(shutil.copy(GOLDEN[0], tmp_path / "j.db"))
    steps = schema.changes(1)
    monkeypatch.setattr(schema, "changes", lambda older: (*steps, "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(errors.JournalError, match="nowhere") as caught:
        open_log(path)
    assert "\n" not in str(caught.value)
    assert format_of(path) == 1
    assert verify(path) == ()
    monkeypatch.undo()
    open_log(path).close()
    assert format_of(path) == schema.USER_VERSION
    assert verify(path) == ()


KILLED = """
import os, sys
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import upgrading
step = upgrading._step
def killed(connection, *args):
    step(connection, *args)
    connection.execute("PRAGMA cache_spill=1")
    connection.execute("CREATE TABLE big (x)")
    connection.execute("INSERT INTO big VALUES (zeroblob(20000000))")
    os._exit(9)
upgrading._step = killed
open_log(sys.argv[1])
"""


@pytest.mark.parametrize(("mode", "left"), [("WAL", "-wal"), ("DELETE", "-journal")])
def test_a_killed_upgrade_leaves_the_old_file_whole(tmp_path, monkeypatch, mode, left) -> None:
    """Killed before its commit, with much of it on the disk, an upgrade has not been: for the old program, too."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
    with open_log(path, read_only=True) as log:
        before = told(log)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == 9
    assert Path(f"{path}{left}").stat().st_size > 1_000
    if mode == "WAL":
        with monkeypatch.context() as old:
            old.setattr(schema, "USER_VERSION", 1)
            open_log(path, read_only=True).close()
    assert verify(path) == ()
    with open_log(path) as log:
        assert told(log) == before
    assert format_of(path) == schema.USER_VERSION
    assert verify(path) == ()


def test_two_programs_upgrade_once(tmp_path) -> None:
    """Who comes second finds the work done."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    with open_sqlite(path, upgrade=False) as first, open_log(path) as second:
        upgrading.upgrade(first)
        says(first, "one")
        says(second, "other")
    assert verify(path) == ()


def test_a_program_that_knows_format_1_only(tmp_path, monkeypatch) -> None:
    """An old program that has the file open while it is upgraded is refused in one line; nothing is lost."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    with open_sqlite(path, upgrade=False) as old:
        old.append("old", [budget(1)])
        with open_log(path) as new_one:
            says(new_one, "new")
        with monkeypatch.context() as patched:
            patched.setattr(schema, "USER_VERSION", 1)
            for refused in (lambda: says(old, "old"), lambda: open_log(path), lambda: open_log(path, read_only=True)):
                with pytest.raises(errors.JournalTooNew, match="has format 3, this version knows 1") as caught:
                    refused()
                assert "\n" not in str(caught.value)
    assert verify(path) == ()
    with open_log(path) as log:
        assert {"old": 1, "new": 1}.items() <= {head.session_id: head.version for head in log.heads()}.items()


def test_the_first_programs_are_refused_by_the_file_itself(tmp_path) -> None:
    """Programs that do not look at the schema again write commitments as format 1 has them: the file refuses."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    open_log(path).close()
    insert = "INSERT INTO commitments (commitment, session_id, salt, binding) VALUES ('c', 's', x'00', zeroblob(?))"
    with closing(sqlite3.connect(path)) as db:
        for length in (9, 32, 33):
            with pytest.raises(sqlite3.IntegrityError, match="format 3 now: install a newer clawvm-es"):
                db.execute(insert, (length,))


def test_a_copy_has_the_format_of_its_journal(tmp_path) -> None:
    """A backup of an old journal is one that the old program still reads."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    made = backups.backup(path, tmp_path / "copy.db")
    assert format_of(made.path) == format_of(path) == 1
    assert verify(made.path) == ()
    open_log(path).close()
    made = backups.backup(path, tmp_path / "later.db")
    assert format_of(made.path) == schema.USER_VERSION
    assert verify(made.path) == ()


def test_a_pending_erasure_of_an_old_journal_is_finished(tmp_path) -> None:
    """An erasure that an old program left pending is finished by the open that upgrades."""
    path = Path(shutil.copy(GOLDEN[-1], tmp_path / "j.db"))
    with open_sqlite(path, upgrade=False) as log, log.transaction() as transaction:
        transaction.erase([])
    with open_log(path) as log:
        assert log.pending_erasures() == ()
        assert log.scrub() is Erasure.NOTHING
    assert format_of(path) == schema.USER_VERSION
