"""Journals that past versions wrote still open, verify, rebuild and decide the same."""

import json
import shutil
from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide
from clawvm_es.journal.verify import verify_log
from clawvm_es.model import events as e
from clawvm_es.projections import projections_problems, rebuild
from tests.golden.make import expectation

HERE = Path(__file__).resolve().parent
GOLDEN = sorted(path.stem for path in HERE.glob("v*.journal"))


@pytest.fixture(params=GOLDEN)
def golden(request, tmp_path):
    """A copy of a golden journal, opened, and what its version said of it."""
    shutil.copy(HERE / f"{request.param}.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db") as journal:
        yield journal, json.loads((HERE / f"{request.param}.json").read_text())


def test_there_is_a_golden_journal():
    """The journal of version 1 is here."""
    assert "v1" in GOLDEN


def test_golden_journals_verify(golden):
    """Chains, bodies and read models of an old journal check out."""
    journal, _ = golden
    assert verify_log(journal.log) == ()
    assert list(projections_problems(journal.log)) == []


def test_golden_journals_rebuild_to_the_rows_their_version_had(golden):
    """A rebuild by today's code gives the rows and heads that were recorded with the journal."""
    journal, told = golden
    rebuild(journal.log)
    assert json.loads(json.dumps(expectation(journal))) == told


def test_golden_journals_decide_the_same(golden):
    """Today's `decide`, fed the stored inputs, gives the stored decisions."""
    journal, _ = golden
    for head in journal.log.heads():
        rows = [row for row in journal.log.read(head.session_id) if not isinstance(row.data, e.ScopeChanged)]
        assert redecide(rows) == sum(row.kind == "decision" for row in rows)


def test_the_golden_journal_holds_nearly_every_event_type(golden):
    """A type that no golden journal holds is one whose meaning could change unseen."""
    journal, _ = golden
    held = {row.type for row in journal.log.read_all()}
    assert set(e.EVENT_TYPES) - held == {"session_forked"}
