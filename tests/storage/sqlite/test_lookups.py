"""Look-ups of commitments and bodies go through their indexes, in a file of any format."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

from clawvm_es.model.events import ToolCalled
from clawvm_es.storage.sqlite import check_bodies, queries, schema
from clawvm_es.storage.sqlite.log import open_log
from clawvm_es.testing.logs import new

STATEMENTS = {
    "row of a body": queries._BLOB,
    "add a body": queries._UNSEAL,
    "commitment of a body": queries._COMMITMENT_OF,
    "holders of a body": queries._HOLDERS,
    "one body": queries._STORED,
    "many bodies": queries._BODIES,
    "what stands for a body": queries._BLOBS_OF,
    "check names": check_bodies._IDS,
    "erase": f"DELETE FROM commitments WHERE {schema.name_is('?1')}",
}


@pytest.mark.parametrize("format_", schema.FORMATS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_no_look_up_reads_a_whole_table(format_, name):
    """SQLite's plan searches each table, and scans none but the names that were asked for."""
    statement = STATEMENTS[name]
    cells = ("x",) * max(int(number) for number in re.findall(r"\?(\d)", statement))
    with closing(sqlite3.connect(":memory:")) as db:
        for made in schema.FORMATS[format_].values():
            db.execute(made)
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", cells)]
    assert any(step.startswith("SEARCH") for step in plan)
    assert not [step for step in plan if re.match(r"SCAN (commitments|blobs|events|[bco]\b)", step)], plan


@pytest.mark.parametrize("verb", ["INSERT", "DELETE"])
def test_no_guard_reads_a_whole_table(tmp_path, verb):
    """What a trigger asks is as quick in a long journal: the steps of SQLite's machine do not grow with its rows."""

    def steps(rows: int) -> int:
        """How many hundreds of steps one more row takes."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            for made in schema.DDL.values():
                db.execute(made)
            new = (
                "INSERT INTO commitments (commitment, session_id, salt, blob_id, binding) VALUES (?, 's', x'', ?, ?)"
            )
            for number in range(rows):
                db.execute("INSERT INTO blobs (digest, body) VALUES (?, x'')", (number.to_bytes(32, "little"),))
                db.execute(new, (f"{number:064x}"[::-1], number + 1, schema.stored_binding(bytes(32))))
            db.execute("INSERT INTO blobs (digest, body) VALUES (x'00', x'')")
            ticks = []
            db.set_progress_handler(lambda: ticks.append(1), 100)
            if verb == "INSERT":
                db.execute("INSERT INTO blobs (digest, body) VALUES (?, x'')", (b"\xff" * 32,))
                db.execute(new, ("f" * 64, rows + 2, schema.stored_binding(bytes(32))))
            else:
                db.execute("DELETE FROM blobs WHERE blob_id = ?", (rows + 1,))
            return len(ticks)

    assert steps(2_000) <= steps(20) + 2


def test_new_bodies_are_written_without_a_table_of_their_own(tmp_path):
    """SQLite makes no table on the way where an append brings bodies that nobody keeps yet."""
    sent: list[str] = []

    def connect(*arguments, **options) -> sqlite3.Connection:
        db = sqlite3.connect(*arguments, **options)
        db.set_trace_callback(sent.append)
        return db

    path = tmp_path / "j.db"
    with open_log(path, connect=connect) as log:
        log.append("s", [new(ToolCalled(1, "tool", log.vault("s").commit(b"body")))])
    inserts = [statement for statement in sent if statement.startswith("INSERT INTO blobs")]
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        steps = [row[1] for statement in inserts for row in db.execute(f"EXPLAIN {statement}")]
    assert b"Insert" in steps
    assert b"OpenEphemeral" not in steps
