"""Levels: runs of pages over turns are the prompts, whole, from any turn on, and under any policy."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.levels import BEFORE, CONTINUES, MARKS, STALE, levels, levels_after, turns_of
from clawvm_es.history.page_history import page_history
from clawvm_es.history.places import end_of_turn, prompt_at
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.turn import turn, turns
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.pages import LADDER
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy


@pytest.fixture(scope="module", params=["clawvm", "clawvm_turn", "compaction_hybrid", "recorded"])
def log(request, tmp_path_factory):
    """A busy session under a policy, in a file with snapshots, some of whose pages were erased, and a fork of it."""
    policy = profile(request.param)
    with Journal.open(tmp_path_factory.mktemp("levels") / "j.db", seed=1, clock=lambda: 0) as journal:
        settings = Settings(fields=FIELDS)
        with journal.session(
            "s", budget_tokens=600, counter="lines4", settings=settings, policy=policy, on_pressure="degrade"
        ) as session:
            plan = None
            for step in range(3):  # a plan that is written again while it stands in the prompt
                plan = session.write_page("plan", f"Goal: x\n{step}. step", page_id=plan, author="model")
                session.assemble()
            busy(session, rounds=7)
        with journal.fork("s", "f", at=75) as fork:
            fork.user_says("another way " * 40)
            fork.assemble()
            fork.write_page("plan", "Goal: y", page_id="p7", author="model")
            fork.assemble()
        redact(journal.log, Target("s", page_id="p3"), at_us=5, everywhere=True)
        yield journal.log


def columns(found):
    """Turn → its runs in the order of their places."""
    by_turn = {each.turn: [] for each in found.turns}
    for run in found.runs:
        for turn_ in range(run.first, run.last + 1):
            if turn_ in by_turn:
                by_turn[turn_].append(run)
    return {turn_: sorted(runs, key=lambda run: run.place) for turn_, runs in by_turn.items()}


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_the_runs_of_a_turn_are_its_prompt(log, session_id):
    """LAW-LEVELS-1: tokens add up, and in the order of their places the runs are the pages of the text."""
    found = levels(log, session_id)
    assert found.last == turns_of(log, session_id) == found.turns[-1].turn > 3
    for each, runs in zip(found.turns, columns(found).values(), strict=True):
        told = each.assembled
        assert each.fixed + told.directory_tokens + each.other + sum(run.tokens for run in runs) == told.tokens
        assert each.other >= 0
        shown = [(piece.page_id, piece.level) for piece in prompt_at(log, session_id, each.version).pieces]
        pages = [(found.pages[run.number].page_id, LADDER[run.rank]) for run in runs]
        assert pages == [(page_id, level) for page_id, level in shown if page_id]


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_a_part_shows_the_prompts_of_the_whole(log, session_id):
    """LAW-LEVELS-2: from any turn on, the columns are the same; what began before says so."""
    whole = levels(log, session_id)
    expected = columns(whole)
    for first in range(2, whole.last + 1):
        part = levels(log, session_id, first)
        after = levels_after(log, session_id, end_of_turn(log, session_id, first - 1))
        assert part.runs == after.runs
        assert part.turns == after.turns == [each for each in whole.turns if each.turn >= first]
        for turn_, runs in columns(part).items():
            plain = [(run.number, run.rank, run.tokens, run.place) for run in runs]
            assert plain == [(run.number, run.rank, run.tokens, run.place) for run in expected[turn_]]
        assert all(run.first == first for run in part.runs if run.flags & CONTINUES)
        again = {mark.number for mark in whole.marks if MARKS[mark.kind] == "written"}
        for page in part.pages.values():  # written once, and held by no prompt before: its turn is told
            born = whole.pages[page.number].born
            assert page.born in (BEFORE, born)
            assert page.born == born or born < first - 1 or page.number in again
        assert part.marks == [mark for mark in whole.marks if mark.version > end_of_turn(log, session_id, first - 1)]


def test_marks_are_the_events(log):
    """Every use, miss, fault, pressure and change has its mark, in the turn of its event."""
    rows = list(read_session(log, "s"))
    kinds = {e.PageUsed: "used", e.PageResolved: "page_in", e.FaultObserved: "fault", e.PageRetired: "retired"}
    found = levels(log, "s")
    for kind, name in kinds.items():
        marks = [(mark.turn, mark.version) for mark in found.marks if MARKS[mark.kind] == name]
        assert marks == [(row.turn, row.version) for row in rows if isinstance(row.data, kind)]
    bounds = [(row.turn, row.version) for row in rows if isinstance(row.data, e.BoundaryReached)]
    assert [(bound.turn, bound.version) for bound in found.bounds] == bounds
    assert [page.page_id for page in found.pages.values() if page.erased] == ["p3"]


def test_a_miss_leads_back_to_where_its_page_left(log):
    """The tether's end is the last prompt at the level of then, and its event is the change that lowered the page."""
    whole, rows = levels(log, "s"), {row.version: row for row in read_session(log, "s")}
    for gone in whole.gone:
        page_id = whole.pages[gone.number].page_id
        assert gone.left != BEFORE and gone.left <= gone.missed
        if gone.left_version:
            change = rows[gone.left_version].data
            assert isinstance(change, e.RepresentationChanged) and change.page_id == page_id
            assert gone.left_version < gone.missed_version
    late = levels(log, "s", whole.last)
    assert all(gone.left in (BEFORE, 0) or gone.left_version for gone in late.gone)


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_a_turn_by_itself_is_the_turn_of_one_pass(log, session_id):
    """The view from the nearest snapshot and that of the fold of everything tell the same."""
    for view in turns(log, session_id):
        alone = turn(log, session_id, view.turn)
        assert (alone.shown, alone.spans, alone.rows) == (view.shown, view.spans, view.rows)
        assert alone.moved == view.moved and (alone.first, alone.last) == (view.first, view.last)


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_the_life_of_a_page_is_its_runs(log, session_id):
    """Told page by page without a fold, levels over turns are those of the fold."""
    whole = levels(log, session_id)
    for number, page in whole.pages.items():
        life = page_history(log, session_id, page.page_id)
        runs = [run for run in whole.runs if run.number == number and not run.flags & STALE]
        for told in whole.turns:  # a fork may have cut off the prompt of a turn
            mine = [(run.rank, run.tokens) for run in life.runs if run.first <= told.turn <= run.last]
            assert mine == [(run.rank, run.tokens) for run in runs if run.first <= told.turn <= run.last]
        uses = [(use.turn, use.kind, use.version) for use in life.uses]
        marks = [
            mark
            for mark in whole.marks
            if mark.number == number and MARKS[mark.kind] in ("used", "page_in", "unmet", "fault")
        ]
        assert uses == [(mark.turn, MARKS[mark.kind], mark.version) for mark in marks]
        assert len(life.contents) == life.page.content_version
