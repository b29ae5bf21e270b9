"""Sessions under a policy that flushes and compacts by itself: live, imported, exported, and run again."""

from itertools import pairwise

import pytest

from clawvm_es.core.profiles import COMPACTION_HYBRID
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history import redecide
from clawvm_es.history.rerun import rerun
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.importers.export import export_trace
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Holder, Need, NeedRule, Trigger
from clawvm_es.projections.digest import decision_digest
from clawvm_es.storage import verify
from tests.engine.conftest import FIELDS, ticking

POLICY = "compaction_hybrid"


def live(journal, session_id="one", policy=POLICY):
    """A session that grows past both thresholds more than once, and once past both in one turn."""
    settings = Settings(fields=FIELDS)
    with journal.session(
        session_id, policy=policy, budget_tokens=400, counter="lines4", settings=settings
    ) as session:
        session.write_page("bootstrap", "- You must be careful.\n- Never guess.")
        for number in range(12):
            session.user_says(f"question {number} " + "words " * (90 if number == 7 else 20))
            session.assemble()
            need = Need((Holder(f"p{1 + number}"),), NeedRule.DECLARED, 9)
            session.observe_model(f"answer {number} " + "more " * 15, needs=[need])
            session.write_page("plan", f"Goal: ship\n1. [ ] step {number}", author="model")
            session.stage("notes", "append", number, evidence="p1")


def rows_of(journal, session_id="one"):
    """All recorded rows of a session."""
    return list(read_session(journal.log, session_id))


def boundaries(rows):
    """The boundaries that thresholds brought about: kind, and the type of the input after it."""
    inputs = [row.data for row in rows if row.kind == "input"]
    return [
        (data.boundary, after.TYPE)
        for data, after in pairwise(inputs)
        if isinstance(data, e.BoundaryReached) and data.trigger is Trigger.THRESHOLD
    ]


def digest(journal, session_id):
    """The decision digest of a session."""
    return decision_digest(rows_of(journal, session_id))


def test_a_live_session_flushes_and_compacts_right_before_a_turn(journal):
    """Both thresholds are met, each time before an assembly; the log verifies and decides the same again."""
    live(journal)
    rows = rows_of(journal)
    found = boundaries(rows)
    assert {kind for kind, _ in found} == {Boundary.FLUSH, Boundary.COMPACT}
    assert {after for _, after in found} == {"turn_began"}
    assert verify(journal.log) == ()
    assert redecide(rows) == sum(row.kind == "decision" for row in rows)
    assert any(isinstance(row.data, e.UpdateCommitted) for row in rows)


def test_what_thresholds_bring_about_is_durable_and_nothing_else_is(tmp_path):
    """A step with a boundary survives a power cut, also one that only a threshold brought about; others may wait."""
    with Journal.open(tmp_path / "a.db", clock=ticking()) as journal:
        with journal.session("one", policy=POLICY, budget_tokens=400, counter="lines4") as session:
            kinds = set()
            for number in range(12):
                session.user_says(f"question {number} " + "words " * 20)
                before = session.state.version
                session.assemble()
                own = [row.data for row in read_session(journal.log, "one") if row.version > before]
                due = any(isinstance(data, e.BoundaryReached) for data in own)
                assert journal.log.head("one").provisional is not due
                kinds.add(due)
        assert kinds == {True, False}


def test_a_trace_of_it_is_the_same_session_again(tmp_path):
    """LAW-TRACE-1 for own boundaries: they stand in the trace, and none comes twice."""
    with Journal.open(tmp_path / "a.db", clock=ticking()) as journal:
        live(journal)
        told = digest(journal, "one")
        (tmp_path / "t.jsonl").write_text("".join(export_trace(journal.log, "one")))
    with Journal.open(tmp_path / "b.db", seed=1) as other:
        (first,) = replay(other, tmp_path / "t.jsonl")
        assert digest(other, "one") == told
        (again,) = replay(other, tmp_path / "t.jsonl", again=True)
        assert (first.appended > 0, again.appended) == (True, 0)


def test_an_import_under_the_policy_compacts_by_itself(tmp_path):
    """A session recorded under `clawvm` and replayed under thresholds gets its own boundaries, and again none new."""
    with Journal.open(tmp_path / "a.db", clock=ticking()) as journal:
        live(journal, policy="clawvm")
        (tmp_path / "t.jsonl").write_text("".join(export_trace(journal.log, "one")))
    with Journal.open(tmp_path / "b.db", seed=1) as other:
        settings = ReplaySettings(policy=COMPACTION_HYBRID)
        replay(other, tmp_path / "t.jsonl", settings)
        rows = rows_of(other)
        assert (Boundary.COMPACT, "turn_began") in boundaries(rows)
        assert redecide(rows) == sum(row.kind == "decision" for row in rows)
        (again,) = replay(other, tmp_path / "t.jsonl", settings, again=True)
        assert again.appended == 0


@pytest.mark.parametrize("budget", [None, 300])
def test_what_if_and_rerun_compact_by_the_run_s_own_thresholds(journal, budget):
    """LAW-WHATIF-1 and LAW-RERUN-1 for own boundaries; under another budget both come to the same figures."""
    live(journal)
    (run,) = whatif(journal.log, "one", [Setting(budget_tokens=budget)]).runs
    found = rerun(journal, "one", "two", at=1, budget_tokens=budget)
    again = rerun(journal, "one", "two", at=1, budget_tokens=budget)
    assert (run.figures == found.recorded) is (budget is None)
    assert found.now == run.figures == again.now
    assert again.appended == 0
