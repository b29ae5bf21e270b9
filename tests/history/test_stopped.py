"""What is said of a moment in the past is what was said then: later events change none of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es import limits
from clawvm_es.errors import ClawVMError
from clawvm_es.history import prompt_at, state_at
from clawvm_es.history.blame import blame
from clawvm_es.history.diff import diff
from clawvm_es.history.levels import levels
from clawvm_es.history.turn import turn
from clawvm_es.history.why import why
from tests.engine.test_resuming import OPENINGS, STEPS, Way

PAGES_MAX = 5
STEP = st.tuples(st.sampled_from(sorted({*STEPS} - {"erase"})), st.integers(0, 9), st.integers(0, 9))


def told(ask, *asked, **named):
    """What a question is answered, or the kind of its refusal."""
    try:
        return ask(*asked, **named)
    except ClawVMError as error:
        return type(error).__name__


def said(log, version, since, upto):
    """All answers about the session as of a version (None: its end), and since an earlier one."""
    place = {} if version is None else {"version": version}
    state = state_at(log, "s", version)
    pages = list(state.pages)[:PAGES_MAX]
    return {
        "state": state.copy(),
        "prompt": told(prompt_at, log, "s", **place),
        "diff": told(diff, log, ("s", since), ("s", version)),
        **{("why", page_id): told(why, log, "s", page_id, **place) for page_id in pages},
        **{("blame", subject): told(blame, log, "s", subject, **place) for subject in (*pages, "notes")},
        "levels": told(levels, log, "s", 1, upto) if upto else None,
        "turn": repr(told(turn, log, "s", upto)) if upto else None,
    }


@pytest.mark.parametrize("distance", [3, 10**9], ids=["snapshots", "no snapshots"])
@given(OPENINGS, st.lists(STEP, min_size=4, max_size=16), st.data())
@settings(max_examples=6, deadline=None)
def test_later_events_do_not_change_what_is_said_of_an_earlier_moment(distance, opening, script, data):
    """Prompt, levels, reasons, provenance and differences at a version are those of a journal that ends there."""
    stops = data.draw(st.sets(st.integers(0, len(script) - 1), min_size=1, max_size=2))
    was, limits.SNAPSHOT_EVENTS = limits.SNAPSHOT_EVENTS, distance
    try:
        with tempfile.TemporaryDirectory() as folder:
            way = Way(Path(folder) / "j.db", opening, reopens=False)
            with way.journal as journal:
                then = []
                for number, step in enumerate(script):
                    way.does(step)
                    if number in stops:
                        journal.catch_up()
                        version, upto = way.session.state.version, way.session.state.turn - 1
                        since = data.draw(st.integers(1, version))
                        then.append((version, since, upto, said(journal.log, None, since, upto)))
                journal.catch_up()
                for version, since, upto, answers in then:
                    assert said(journal.log, version, since, upto) == answers
    finally:
        limits.SNAPSHOT_EVENTS = was
