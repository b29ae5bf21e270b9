"""Schema objects that are not ours: named by `verify`, never run, and no erasure beside what may hold a copy."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ForeignObject, JournalDamaged
from clawvm_es.history.redact import Target, redact
from clawvm_es.projections import catch_up, foreign_objects, projections_problems, snapshot
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import opening, watched
from clawvm_es.testing.fakes import FakeClock
from clawvm_es.testing.logs import budget

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
TEXT = "the passphrase of the vault is marmalade-on-toast"
TRIGGERS = (
    "CREATE TRIGGER mine AFTER UPDATE ON sessions BEGIN SELECT 1; END",
    f"CREATE TRIGGER mine AFTER INSERT ON events BEGIN {ENDLESS} count(*) FROM n; END",
    "CREATE TRIGGER mine BEFORE DELETE ON body_index_docsize BEGIN SELECT 1; END",
    "CREATE TRIGGER mine AFTER INSERT ON snapshot_position BEGIN SELECT 1; END",
)


@pytest.fixture
def path(tmp_path) -> Path:
    """A journal with one session, its read models and snapshots."""
    file = tmp_path / "j.db"
    with Journal.open(file, clock=FakeClock()) as journal:
        with journal.session("a", counter="lines4", budget_tokens=400) as session:
            session.write_page("evidence", TEXT)
            for number in range(90):
                session.user_says(f"message {number}")
                session.assemble()
        journal.catch_up()
    return file


def change(path: Path, *statements: str) -> None:
    """Run statements as somebody else would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_journal_with_a_foreign_trigger_is_read_and_never_written(run, path, trigger):
    """LAW-FOREIGN-1: every verb that writes refuses in one line that names the trigger; those that read work."""
    change(path, trigger)
    before = path.read_bytes()
    for line in (
        ("rebuild", path),
        ("fork", path, "--as", "b"),
        ("redact", path, "--all"),
        ("demo", "--journal", path),
    ):
        code, out, err = run(*line)
        assert (code, out) == (2, "") and err.count("\n") == 1 and "trigger mine on" in err
    with pytest.raises(ForeignObject, match="trigger mine"):
        Journal.open(path)
    assert run("sessions", path)[0] == run("log", path)[0] == 0
    code, out, _ = run("verify", path)
    assert code == 1 and "mine" in out
    assert path.read_bytes() == before


def test_a_trigger_that_comes_while_a_session_is_open_is_seen(path):
    """The next transaction after the trigger was made is refused, and nothing is appended."""
    with open_log(path) as log:
        catch_up(log)
        before = log.heads()
        change(path, TRIGGERS[1])
        with pytest.raises(ForeignObject, match="trigger mine"):
            log.append("a", [budget(1)])
        assert log.heads() == before


@pytest.mark.parametrize("name", ["sessions", "turns", "projections", "page_table", "body_index"])
def test_a_view_in_the_place_of_a_read_model_is_not_read(path, name):
    """LAW-FOREIGN-2: what is not as we make it is folded again, named by `verify`, and made anew by a writer."""
    change(path, f"DROP TABLE {name}", f"CREATE VIEW {name} AS {ENDLESS} i FROM n")
    with open_log(path, read_only=True) as log:
        with snapshot(log) as view:
            assert [row.session_id for row in view.rows(SESSIONS)] == ["a"]
        assert any(name in problem for problem in projections_problems(log))
    with open_log(path) as log:
        catch_up(log)
        assert projections_problems(log) == []


def test_tables_and_views_beside_ours_are_named_and_block_nothing(run, path):
    """`verify` names what is not ours and exits 0, since it does no harm."""
    change(
        path, "CREATE TABLE mine (x)", f"CREATE VIEW theirs AS {ENDLESS} i FROM n", "CREATE INDEX i ON turns (turn)"
    )
    with open_log(path) as log:
        assert [str(each) for each in foreign_objects(log)] == ["index i on turns", "table mine", "view theirs"]
    code, out, _ = run("verify", path)
    assert code == 0 and "table mine: foreign: is not ours" in out and "view theirs: foreign" in out
    assert run("fork", path, "--as", "b")[0] == 0


def test_no_erasure_beside_a_table_that_may_hold_a_copy(run, path):
    """An erasure is refused while a foreign table has rows, even if its copy could not be found; else it is whole."""
    change(path, "CREATE TABLE mine (x)", "INSERT INTO mine SELECT hex(body) FROM blobs")
    code, _, err = run("redact", path, "--page", "p1")
    assert code == 2 and "table mine" in err and TEXT.encode() in path.read_bytes()
    change(path, "PRAGMA secure_delete=ON", "DELETE FROM mine")
    assert run("redact", path, "--page", "p1")[0] == 0
    assert TEXT.encode() not in path.read_bytes()


def test_copies_in_altered_tables_of_ours_go_with_the_erasure(path):
    """A column that somebody added to a read model, and a cache that is not as we make it, are dropped."""
    change(
        path,
        f"ALTER TABLE page_table ADD COLUMN copy TEXT DEFAULT '{TEXT}'",
        "DROP TABLE snapshot_position",
        f"CREATE TABLE snapshot_position AS SELECT '{TEXT}' AS copy",
    )
    with open_log(path) as log:
        assert redact(log, Target("a", page_id="p1"), at_us=1).status == "erased"
    assert TEXT.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events ADD COLUMN heavy TEXT AS (hex(zeroblob(100000)))",
        "DROP TABLE commitments",
    ],
)
def test_an_altered_table_of_the_log_is_damage(path, statement):
    """A journal whose own tables are not as made is not opened, and `verify` says which."""
    change(path, statement)
    with pytest.raises(JournalDamaged, match=r"events|commitments"):
        open_log(path)
    assert {problem.what for problem in verify(path)} >= {"schema"}


def test_a_statement_without_end_gives_up(path):
    """A connection that distrusts its schema ends a statement after its time, as an error of one line."""
    with contextlib.closing(opening.connect_reader(str(path))) as db:
        db.distrust(0.0)
        with pytest.raises(sqlite3.OperationalError) as caught:
            db.execute(f"{ENDLESS} count(*) FROM n").fetchall()
        error = opening.translate(caught.value, "j.db")
        assert isinstance(error, JournalDamaged) and "interrupted" in str(error)


def test_a_signal_ends_a_statement(path):
    """Ctrl-C inside a statement without end is `KeyboardInterrupt`, as anywhere else."""
    script = (
        "import sys\nfrom clawvm_es.storage.sqlite import opening\nimport sqlite3\n"
        "db = opening.connect_reader(sys.argv[1])\n"
        "try:\n"
        "    print('begun', flush=True)\n"
        f"    try: db.execute('{ENDLESS} count(*) FROM n').fetchall()\n"
        "    except sqlite3.Error as error: opening.translate(error, 'j')\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=120)[0] == "interrupted\n"


def test_an_error_of_another_kind_is_no_interruption():
    """Only SQLite's own word for it counts."""
    assert not watched.interrupted(ValueError("x"))
