"""`why` of a long session looks at what the assembly touched, and says what a look at all pages says."""

from __future__ import annotations

from sqlite3 import connect

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import spans
from clawvm_es.history import why as module
from clawvm_es.history.levels import turns_of
from clawvm_es.history.places import end_of_turn, state_at
from clawvm_es.history.spans import last_move
from clawvm_es.history.why import why
from clawvm_es.journal.lineage import Blocks, Line, read_session
from clawvm_es.journal.ports import models_of
from clawvm_es.model.events import RepresentationChanged
from clawvm_es.projections.tables import MODELS
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import queries
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy


@pytest.fixture(scope="module", params=["clawvm", "clawvm_turn", "lru"])
def log(request, tmp_path_factory):
    """A busy session under a policy, most of whose pages stand in no prompt."""
    policy = profile(request.param)
    with Journal.open(tmp_path_factory.mktemp("why") / "j.db", seed=1, clock=lambda: 0) as journal:
        settings = Settings(fields=FIELDS)
        with journal.session(
            "s", budget_tokens=500, counter="lines4", settings=settings, policy=policy, on_pressure="degrade"
        ) as session:
            busy(session, rounds=5)
        yield journal.log


def test_of_a_long_session_why_says_the_same_of_each_page(log, monkeypatch):
    """LAW-RETRACE-1: the same level, reason and remainder for every page at every turn, among fewer candidates."""
    fewer = 0
    for turn in range(1, turns_of(log, "s") + 1):
        state = state_at(log, "s", end_of_turn(log, "s", turn - 1))
        for page_id in [*state.pages][turn % 3 :: 3]:
            monkeypatch.setattr(module, "MANY", 2_000)
            whole = why(log, "s", page_id, turn=turn)
            monkeypatch.setattr(module, "MANY", 0)
            found = why(log, "s", page_id, turn=turn)
            a, b = whole.page, found.page
            assert (a.before, a.after, a.by, a.levels, a.score) == (b.before, b.after, b.by, b.levels, b.score)
            assert (found.differs, found.changed, found.provenance) == (False, whole.changed, whole.provenance)
            refused = [offer for offer in a.steps if offer.rest is not None]
            mine = {offer.level: offer for offer in b.steps}
            for offer in refused:
                assert mine[offer.level].tokens == offer.tokens and mine[offer.level].gain == offer.gain
                if mine[offer.level].rest is not None:
                    assert (mine[offer.level].rest, mine[offer.level].outcome) == (offer.rest, offer.outcome)
            spent = ("budget", "fixed", "directory", "floors", "arrivals", "hints", "kept", "steps", "rest")
            assert [getattr(found.account, name) for name in spent] == [
                getattr(whole.account, name) for name in spent
            ]
            assert {each.page_id for each in found.candidates} <= {each.page_id for each in whole.candidates}
            fewer += len(found.candidates) < len(whole.candidates)
    assert fewer > 3


def test_where_the_touched_pages_do_not_explain_it_all_are_looked_at(log, monkeypatch):
    """What is told is then the same as of a short session."""
    monkeypatch.setattr(module, "_touched", lambda *_: None)
    whole = why(log, "s", "p1", turn=3)
    monkeypatch.setattr(module, "MANY", 0)
    assert why(log, "s", "p1", turn=3) == whole


@pytest.mark.parametrize("near", [0, 3, 64])
@pytest.mark.parametrize("behind", [False, True])
def test_the_last_change_of_a_level_is_the_one_that_reading_all_events_finds(tmp_path, monkeypatch, near, behind):
    """Of every page at every event, in a session and a fork of it, whether the read models are up to date or not."""
    monkeypatch.setattr(spans, "_NEAR", near)
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=500, counter="lines4", settings=Settings(fields=FIELDS)) as session:
            busy(session, rounds=3)
        with journal.fork("s", "f", at=75) as fork:
            fork.user_says("another way " * 40)
            fork.assemble()
        if not behind:
            journal.catch_up()
        assert (projections_seq(journal.log) == journal.log.head("f").seq) is not behind
        for session_id in ("s", "f"):
            told = {}
            for row in read_session(journal.log, session_id):
                if isinstance(row.data, RepresentationChanged):
                    told[row.data.page_id] = row
                if row.version % 7 == 0:
                    for page_id in ("p1", "p2", "p5", "p9", "p14", "p99", "p\ud800"):
                        assert last_move(Blocks(Line(journal.log, session_id)), page_id, row.version) == told.get(
                            page_id
                        )
            assert len(told) > 5


def projections_seq(log):
    """The last event that the stored read models know."""
    with models_of(log, MODELS).reading() as reader:
        return reader.position()


def test_the_last_change_of_an_old_page_opens_the_read_models_once(tmp_path):
    """Where to look, and the look, are one state of them: each opening reads the whole schema."""
    made = []
    with (
        Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal,
        journal.session("s", budget_tokens=300, counter="lines4") as session,
    ):
        for turn in range(60):
            session.user_says(f"message {turn}")
            session.assemble()
    with open_log(tmp_path / "j.db", connect=lambda *a, **o: made.append(a) or connect(*a, **o)) as log:
        rows = Blocks(Line(log, "s"))
        made.clear()
        assert last_move(rows, "p2", log.head("s").version).data.page_id == "p2" and len(made) == 1


def test_why_an_old_page_is_where_it_is_reads_as_much_as_of_a_new_one(tmp_path, monkeypatch):
    """Events between a page and the turn that is asked about are not read, nor for a page that is not there."""
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=300, counter="lines4") as session:
            for turn in range(400):
                session.user_says(f"message {turn}")
                session.assemble()
        journal.catch_up()
    with open_log(str(tmp_path / "j.db"), read_only=True) as log:
        plain, read = queries.recordeds, []
        monkeypatch.setattr(queries, "recordeds", lambda rows: (read.append(row) or row for row in plain(rows)))
        costs = []
        for page_id in ("p2", "p200", "p399"):
            read.clear()
            assert why(log, "s", page_id, turn=400).changed is not None
            costs.append(len(read))
        read.clear()
        for page_id, turn, told in (("p9999", 400, "no page p9999"), ("p390", 3, "not written yet")):
            with pytest.raises(UsageError, match=told):
                why(log, "s", page_id, turn=turn)
        assert max(costs) - min(costs) < 150 and len(read) < 200
        assert max(costs) < 150, "what is near the turn is read once"
