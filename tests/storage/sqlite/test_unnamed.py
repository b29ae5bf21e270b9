"""A commitment that no input names is found by `verify`, whatever its id."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from clawvm_es.journal.vault import SALT_BYTES, binding, commitment_to
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite.schema import stored_binding
from clawvm_es.testing.logs import new


@contextmanager
def unguarded(path) -> Iterator[sqlite3.Connection]:
    """A connection to change a journal behind its back, without the triggers that forbid it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for trigger, _ in triggers:
            db.execute(f"DROP TRIGGER {trigger}")
        yield db
        for _, sql in triggers:
            db.execute(sql)


@pytest.mark.parametrize("number", [3, 62, 63, 64, 65, 127, 128, 129, 4_096, 1 << 40])
def test_a_commitment_of_any_id_that_nothing_names_is_found(tmp_path, number) -> None:
    """Its neighbours, which inputs name, are not: ids are looked at one by one."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        for call in (1, 2):
            log.append("s", [new(ToolCalled(call, "tool", log.vault("s").commit(b"body %d" % call)))])
    salt = bytes(SALT_BYTES)
    name = commitment_to(salt, b"sealed")
    cells = (name, "s", salt, stored_binding(binding(name, "s", salt, sealed=True)))
    insert = "INSERT INTO commitments (commitment_id, commitment, session_id, salt, binding) VALUES (?, ?, ?, ?, ?)"
    with unguarded(path) as db:
        if number > 64:
            db.execute("UPDATE commitments SET commitment_id = ? WHERE commitment_id = 2", (number - 1,))
        db.execute(insert, (number, *cells))
    (problem,) = verify(path)
    assert (problem.what, problem.detail) == ("commitment", "no input of the log names it")
    assert problem.where == f"commitments {number} ({name[:12]}…, session s)"


def test_many_names_are_looked_for_as_few(tmp_path, monkeypatch) -> None:
    """However many inputs name bodies before they are looked for, those that miss a row are named once, in order."""
    from clawvm_es.storage.sqlite import check_bodies

    path = tmp_path / "journal.db"
    with open_log(path) as log:
        names = [log.vault("s").commit(b"body %d" % call) for call in range(8)]
        for call, name in enumerate([*names, *names], 1):
            log.append("s", [new(ToolCalled(call, "tool", name))])
    with unguarded(path) as db:
        db.execute("DELETE FROM commitments WHERE commitment_id IN (2, 7)")
        db.execute("DELETE FROM blobs WHERE blob_id IN (2, 7)")
    for at_once in (1, 2, 3, 8, 500):
        monkeypatch.setattr(check_bodies, "_AT_ONCE", at_once)
        found = [(each.where, each.detail) for each in verify(path)]
        assert found == [
            (
                f"session s version {call} (seq {call})",
                f"{names[call - 1]} has no row, and no content_redacted names it",
            )
            for call in (2, 7)
        ]
