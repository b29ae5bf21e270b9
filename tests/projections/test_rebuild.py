"""A rebuild beside the live tables: what readers see meanwhile, what an interruption leaves, and the switch."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.ports import NewEvent
from clawvm_es.model import events as e
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.projections import catch_up, index_texts, projections_problems, rebuild, snapshot, store
from clawvm_es.projections.tables import MODELS, TABLES
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite.editions import LIVE, NEXT
from clawvm_es.storage.sqlite.foreign import definitions
from clawvm_es.storage.sqlite.models import made

PIECE = 40


def grow(log, pages: int, session_id: str = "one") -> None:
    """Append turns that write a page with a body each."""
    vault = log.vault(session_id)
    for _ in range(pages):
        version = head.version if (head := log.head(session_id)) else 0
        level = Level(Fidelity.FULL, 9, vault.commit(b"body %d of %s" % (version, session_id.encode())), "prose-1")
        origin = Origin(OriginKind.RECORD)
        page = e.PageWritten(f"p{version}", PageType.CONVERSATION, Author.USER, origin, (level,))
        log.append(session_id, [NewEvent(data, version, version, "t") for data in (e.TurnBegan(), page)])


@pytest.fixture
def path(tmp_path) -> Path:
    """A journal of 400 events in two sessions, read models stored."""
    with open_log(tmp_path / "j.db") as log:
        for session_id in ("one", "two"):
            grow(log, 100, session_id)
        index_texts(log)
    return tmp_path / "j.db"


def query(path: Path, sql: str) -> list[tuple]:
    """What any SQLite tool would show."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def stored(path: Path) -> dict[str, list[tuple]]:
    """All live rows, the index's words included."""
    rows = {t.name: query(path, f"SELECT * FROM {t.name} ORDER BY {', '.join(t.order)}") for t in TABLES}
    return rows | {"index": query(path, "SELECT rowid FROM body_index WHERE body_index MATCH 'body'")}


def start(log, pieces: int) -> None:
    """The first pieces of a rebuild, each in its transaction, as if the process had ended then."""
    with log.models(MODELS).writing() as writer:
        store.begin(writer)
    for _ in range(pieces):
        with log.models(MODELS).writing() as writer:
            assert not store.rebuild(writer, piece_events=PIECE)


def positions(path: Path) -> dict[str, int]:
    """Where each place stands."""
    return dict(query(path, "SELECT name, seq FROM projections"))


def test_readers_and_writers_go_on_while_a_rebuild_is_under_way(path):
    """Between its pieces, readers see the live rows, and what is appended and caught up is in the rebuilt ones."""
    with open_log(path) as log:
        start(log, 3)
        assert positions(path) == {"tables": 400, "next_tables": 3 * PIECE}
        grow(log, 7)
        index_texts(log)
        live = stored(path)
        with snapshot(log) as view:
            assert {t.name: [t.values(row) for row in view.rows(t)] for t in TABLES} == {
                name: rows for name, rows in live.items() if name != "index"
            }
        assert projections_problems(log) == []
        grow(log, 5, "three")
        rebuild(log, piece_events=PIECE)
        assert positions(path) == {"tables": 424}
        assert len(live["index"]) == 207 and len(stored(path)["index"]) == 212
        assert projections_problems(log) == []
    with closing(sqlite3.connect(path)) as db:
        found = definitions(db)
    assert {name: found.get(name) for name in made(MODELS, LIVE)} == made(MODELS, LIVE)
    assert not [name for name in found if name.startswith(NEXT)]


def test_a_killed_rebuild_is_gone_on_with(path):
    """After SIGKILL in its middle the live rows stand, and the next rebuild begins where the last piece ended."""
    before = stored(path)
    script = (
        "import os, signal, sys\n"
        "from clawvm_es.storage.sqlite.log import open_log\n"
        "from clawvm_es.projections import rebuild, store\n"
        "store._PROGRESS_EVENTS = 1\n"
        "def killer(done, total):\n"
        "    if done == 250: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"rebuild(open_log(sys.argv[1]), killer, piece_events={PIECE})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert positions(path) == {"tables": 400, "next_tables": 240}
    assert stored(path) == before
    seen: list[int] = []
    with open_log(path) as log:
        rebuild(log, lambda at, total: seen.append(at), piece_events=PIECE)
    assert seen == [400], "nothing below the place where it stood was folded again"
    assert stored(path) == before


def test_two_processes_may_work_on_one_rebuild(path):
    """Whoever folds the last piece switches; the other finds that it is done."""
    before = stored(path)
    with open_log(path) as log, open_log(path) as other:
        start(log, 2)
        rebuild(other, piece_events=PIECE)
        with log.models(MODELS).writing() as writer:
            assert store.rebuild(writer)
    assert stored(path) == before


@pytest.mark.parametrize("version", [1, 99])
def test_tables_of_another_version_are_replaced_at_once(path, version):
    """Readers fold them in memory until the next catch-up has built ours beside them; views of others stay."""
    before = stored(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"UPDATE projections SET version = {version}")
        db.execute("DROP VIEW store_values")
        db.execute("ALTER TABLE turns ADD COLUMN older TEXT")
        db.execute("DELETE FROM page_table")
        db.execute("CREATE VIEW mine AS SELECT count(*) AS pages FROM page_table")
    with open_log(path) as log:
        with snapshot(log) as view:
            assert [len(view.rows(t)) for t in TABLES] == [len(before[t.name]) for t in TABLES]
        assert projections_problems(log) == []
        grow(log, 1)
        catch_up(log, piece_events=PIECE)
        assert projections_problems(log) == []
    assert query(path, "SELECT * FROM mine") == [(201,)]


def test_a_half_built_rebuild_of_another_version_is_thrown_away(path):
    """What another program began is not gone on with."""
    before = stored(path)
    with open_log(path) as log:
        start(log, 2)
        with log.transaction() as transaction:
            transaction.connection.execute("UPDATE projections SET version = 1 WHERE name = 'next_tables'")
            transaction.connection.execute("DELETE FROM next_page_table")
        rebuild(log, piece_events=PIECE)
    assert stored(path) == before


def test_a_piece_ends_when_forks_took_too_much_to_fold_again(tmp_path):
    """What forks from older places have folded again is work of their piece, so that memory stays flat."""
    with open_log(tmp_path / "j.db") as log:
        grow(log, 30)
        for name, at in (("a", 58), ("b", 57), ("c", 56)):
            (row,) = log.read("one", at - 1, at)
            log.append(name, [NewEvent(e.SessionForked("one", at, row.hash.hex()), row.turn, 0, "t")])
        start(log, 1)
        ends = [40]
        while (at := positions(tmp_path / "j.db").get(f"{NEXT}tables")) is not None:
            ends.append(at)
            with log.models(MODELS).writing() as writer:
                store.rebuild(writer, piece_events=PIECE)
        assert ends == [40, 40, 61, 62]
        assert projections_problems(log) == []
        with snapshot(log) as view:
            assert {row.session_id: row.events for row in view.rows(TABLES[0])} == {
                "one": 60, "a": 59, "b": 58, "c": 57,
            }  # fmt: skip


def test_a_fork_whose_parent_is_gone_is_damage(tmp_path):
    """A parent that lost events is named, not silently folded without them."""
    with open_log(tmp_path / "j.db") as log:
        grow(log, 2)
        head = log.head("one")
        log.append("a", [NewEvent(e.SessionForked("one", 4, head.hash.hex()), 0, 0, "t")])
    with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER events_delete")
        db.execute("DELETE FROM events WHERE seq = 4")
    with open_log(tmp_path / "j.db") as log, pytest.raises(JournalDamaged, match="forked from version 4 of one"):
        catch_up(log)
