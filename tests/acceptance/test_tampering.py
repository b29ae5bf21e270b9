"""Whatever cell is changed by hand, `verify` says that it was, and where."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.acceptance.user import conversation, lines

CHANGED = {
    "seq": "seq + 1000",
    "session_id": "session_id || 'x'",
    "kind": "iif(kind = 'input', 'decision', 'input')",
    "type": "iif(type = 'page_used', 'turn_began', 'page_used')",
    "cause": "coalesce(cause, 0) + 1",
    "principal": "principal || 'x'",
    "idempotency_key": "coalesce(idempotency_key, '') || 'x'",
    "data": "data || ' '",
    "prev_hash": "randomblob(32)",
    "hash": "randomblob(32)",
    "body": "CAST(body || x'20' AS BLOB)",
    "digest": "randomblob(32)",
    "salt": "randomblob(32)",
    "binding": "randomblob(32)",
    "commitment": "commitment || 'x'",
}
COLUMNS = {
    "events": ("seq", "session_id", "version", "turn", "kind", "type", "schema_version", "at", "principal", "cause",
               "idempotency_key", "data", "prev_hash", "hash"),
    "blobs": ("body", "digest"),
    "commitments": ("commitment", "session_id", "salt", "binding"),
}  # fmt: skip


@pytest.fixture
def good(tmp_path, run, file):
    """A journal with a session of one call."""
    assert run("replay", file(lines(conversation(1))), "-j", tmp_path / "good.db").code == 0
    assert run("verify", tmp_path / "good.db").code == 0
    return tmp_path / "good.db"


@pytest.mark.parametrize(("table", "column"), [(table, column) for table in COLUMNS for column in COLUMNS[table]])
def test_any_cell_changed_by_hand_is_found(good, tmp_path, run, table, column):
    """A cell of every third row in turn: `verify` exits 1 and names the row, or the column if the row lost its name.

    Each column begins at another row.
    """
    with closing(sqlite3.connect(good)) as db:
        rowids = [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    assert len(rowids) > 5
    for rowid in rowids[COLUMNS[table].index(column) % 3 :: 3]:
        journal = shutil.copy(good, tmp_path / f"{rowid}.db")
        with closing(sqlite3.connect(journal, isolation_level=None)) as db:
            for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {trigger}")
            value = CHANGED.get(column, f"{column} + 1")
            try:
                done = db.execute(f"UPDATE {table} SET {column} = {value} WHERE rowid = {rowid}")
            except sqlite3.IntegrityError:  # the next version is taken: the index alone refuses it
                assert column == "version"
                done = db.execute(f"UPDATE {table} SET version = version + 1000 WHERE rowid = {rowid}")
            assert done.rowcount == 1
        ran = run("verify", journal, "--json")
        problems = [problem for problem in ran.json["problems"] if problem["what"] != "schema"]
        assert ran.code == 1
        place = {"events": f"(seq {rowid})", "blobs": f"blobs {rowid}", "commitments": f"commitments {rowid} "}[table]
        assert any(place in problem["where"] or problem["what"] == column for problem in problems), problems
