"""A journal of forty sessions, as the last release wrote it, under today's program."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide, state_at
from clawvm_es.journal.lineage import read_session
from clawvm_es.projections import projections_problems
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import schema

PACKED = Path(__file__).resolve().parent / "released.journal.xz"


@pytest.fixture
def path(tmp_path):
    """The journal, unpacked."""
    target = tmp_path / "j.db"
    target.write_bytes(lzma.decompress(PACKED.read_bytes()))
    return target


def test_it_upgrades_and_stays_what_it_was(path) -> None:
    """It verifies before and after, keeps its heads and states, and each session decides the same again."""
    assert verify(path) == ()
    with open_log(path, read_only=True) as log:
        heads = [(head.session_id, head.version, head.hash) for head in log.heads()]
        states = [state_at(log, session_id) for session_id, _, _ in heads]
        assert len(heads) == 40
    with Journal.open(path, seed=1) as journal:
        log = journal.log
        assert log.ask(schema.format_of) == schema.USER_VERSION
        assert [(head.session_id, head.version, head.hash) for head in log.heads()] == heads
        assert [state_at(log, session_id) for session_id, _, _ in heads] == states
        for session_id, _, _ in heads:
            rows = list(read_session(log, session_id))
            assert redecide(rows) == sum(row.kind == "decision" for row in rows)
        with journal.session("s00") as session:
            session.user_says("and on " * 200)
        assert verify(log) == ()
        assert list(projections_problems(log)) == []
