"""`why` of a long session looks at what the assembly touched, and says what a look at all pages says."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history import why as module
from clawvm_es.history.levels import turns_of
from clawvm_es.history.places import end_of_turn, state_at
from clawvm_es.history.why import why
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
