"""Journals that past versions wrote still open, verify, rebuild and decide the same."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Trigger
from clawvm_es.projections import projections_problems, rebuild
from clawvm_es.storage import verify
from tests.golden.make import VERSION, expectation

CURRENT = {name: cls.SCHEMA_VERSION for name, cls in e.EVENT_TYPES.items()}
V4 = {name: 1 for name in CURRENT if name != "need_unmet"} | {
    "session_opened": 3,
    "session_forked": 3,
    "tool_called": 2,
}
V4 |= {"update_staged": 2, "boundary_reached": 2}
V11 = CURRENT | {"model_responded": 2}
V10 = V11 | {"session_opened": 7, "session_forked": 7, "settings_adopted": 5}
V9 = V10 | {"session_opened": 6, "session_forked": 6, "settings_adopted": 4}
V8 = V9 | {"page_written": 2, "boundary_reached": 3}
V5 = {name: V8[name] for name in V4} | {"session_opened": 4, "session_forked": 4, "settings_adopted": 2}
V6 = V5 | {"session_opened": 5, "session_forked": 5, "settings_adopted": 3, "need_unmet": 1}
V7 = V8 | {name: V6[name] for name in ("session_opened", "session_forked", "settings_adopted")}
V3 = V4 | {"session_opened": 2, "update_staged": 1, "boundary_reached": 1}
NEW_IN_V4 = ("session_reopened", "settings_adopted")
VERSIONS = {
    "v1": {name: 1 for name in V3 if name not in ("session_forked", *NEW_IN_V4)},
    "v2": {name: 1 for name in V3 if name not in NEW_IN_V4} | {"session_forked": 2, "tool_called": 2},
    "v3": {name: version for name, version in V3.items() if name not in NEW_IN_V4},
    "v4": V4,
    "v5": V5,
    "v6": V6,
    "v7": V7,
    "v8": V8,
    "v9": V9,
    "v10": V10,
    "v11": V11,
    VERSION: CURRENT,
}
"""Golden journal → the schema version of each event type in it."""
HERE = Path(__file__).resolve().parent
GOLDEN = sorted(path.stem for path in HERE.glob("v*.journal"))


@pytest.fixture(params=GOLDEN)
def golden(request, tmp_path):
    """A copy of a golden journal, opened, what its version said of it, and which it is."""
    shutil.copy(HERE / f"{request.param}.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db") as journal:
        yield journal, json.loads((HERE / f"{request.param}.json").read_text()), request.param


def test_there_are_golden_journals():
    """The journals of all versions are here."""
    assert sorted(VERSIONS) == GOLDEN


def test_golden_journals_verify(golden):
    """Chains, bodies and read models of an old journal check out."""
    journal, _, _ = golden
    assert verify(journal.log) == ()
    assert list(projections_problems(journal.log)) == []


def test_golden_journals_rebuild_to_the_rows_their_version_had(golden):
    """A rebuild by today's code gives the rows and heads that were recorded with the journal."""
    journal, told, _ = golden
    rebuild(journal.log)
    assert json.loads(json.dumps(expectation(journal))) == told


def test_golden_journals_decide_the_same(golden):
    """Today's `decide`, fed the stored inputs, gives the stored decisions."""
    journal, _, _ = golden
    for head in journal.log.heads():
        rows = [row for row in read_session(journal.log, head.session_id) if row.type != "scope_changed"]
        assert redecide(rows) == sum(row.kind == "decision" for row in rows)


def test_the_golden_journals_hold_every_event_type(golden):
    """A type that no golden journal holds is one whose meaning could change unseen; the newest holds all."""
    journal, _, version = golden
    held = {(row.type, row.schema_version) for row in journal.log.read_all()}
    assert held == set(VERSIONS[version].items())


def test_the_golden_tape_served_what_it_said(tmp_path):
    """Forks of version 2: calls served from the tape of a parent and of a parent's parent, and one that ran."""
    shutil.copy(HERE / "v2.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db", read_only=True) as journal:
        rows = [row.data for name in ("fork", "fork of it") for row in journal.log.read(name)]
    calls = [data for data in rows if isinstance(data, e.ToolCalled)]
    assert [call.served_by for call in calls] == ["first", "first", "first", "first", "first", None]
    assert [call.served_from is None for call in calls] == [False] * 5 + [True]


def test_the_golden_thresholds_were_met(tmp_path):
    """Version 3: the session under thresholds flushed and compacted by itself, right before a turn."""
    shutil.copy(HERE / "v3.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db", read_only=True) as journal:
        inputs = [row.data for row in journal.log.read("fifth") if row.kind == "input"]
    own = [
        (data.boundary, type(after))
        for data, after in pairwise(inputs)
        if isinstance(data, e.BoundaryReached) and data.trigger is Trigger.THRESHOLD
    ]
    assert set(own) == {(Boundary.FLUSH, e.TurnBegan), (Boundary.COMPACT, e.TurnBegan)}
