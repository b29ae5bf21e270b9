"""Rows of a fork that begins inside an assembly: pages stand as in its parent's last layout, as the fold has them."""

from __future__ import annotations

import pytest

from clawvm_es.core.profiles import PROFILES
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.history import state_at
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.pages import ABSENT, LADDER
from clawvm_es.projections import rebuild, snapshot
from clawvm_es.projections.tables import PAGE_TABLE
from clawvm_es.testing import memory_journal

EPOCHS = ("clawvm", "lru")


def talk(journal: Journal, policy: str) -> None:
    """Record a session whose epochs lower and drop pages, with boundaries in it."""
    with journal.session("parent", policy=policy, budget_tokens=300, counter="lines4") as session:
        session.write_page("bootstrap", "- You must be careful.\n" * 6)
        for turn in range(8):
            session.user_says(f"message {turn} " + "words\n" * 30)
            session.write_page("evidence", f"result {turn}\n" * 25, author="tool", slot=f"slot:{turn % 3}")
            session.assemble()
            session.observe_model(f"answer {turn}\n" * 4)
            if turn in (2, 5):
                session.compact()
            if turn == 3:
                session.retire("p2")


def levels(journal: Journal, session_id: str) -> dict[str, str]:
    """Level of each page of a session in the read model."""
    with snapshot(journal.log) as view:
        return {row.page_id: row.level for row in view.rows(PAGE_TABLE, session_id)}


def folded(state: State) -> dict[str, str]:
    """Level of each page in a state."""
    return {page_id: str(LADDER[state.resident.get(page_id, ABSENT)]) for page_id in state.pages}


def inside(journal: Journal, session_id: str) -> list[int]:
    """Own versions of a session after which a prompt is not assembled yet."""
    found, began = [], False
    for row in read_session(journal.log, session_id):
        began = isinstance(row.data, e.TurnBegan) or (began and not isinstance(row.data, e.PromptAssembled))
        if began and row.session_id == session_id:
            found.append(row.version)
    return found


@pytest.mark.parametrize("policy", EPOCHS)
def test_a_fork_that_cuts_an_assembly_shows_its_parents_last_layout(policy):
    """At every place inside an assembly, boundaries before it included, live and rebuilt."""
    with memory_journal() as journal:
        talk(journal, policy)
        places = inside(journal, "parent")[::4]
        assert len(places) > 8
        halves = 0
        for at in places:
            with journal.fork("parent", f"fork-{at}", at=at) as fork:
                halves += folded(state_at(journal.log, "parent", at)) != folded(fork.state)
        assert halves > 2  # a half-changed prompt is no rare thing
        journal.catch_up()
        found = {at: levels(journal, f"fork-{at}") for at in places}
        assert found == {at: folded(state_at(journal.log, f"fork-{at}")) for at in places}
        rebuild(journal.log)
        assert found == {at: levels(journal, f"fork-{at}") for at in places}


@pytest.mark.parametrize("at", [0, 1, -1])
def test_a_fork_of_a_fork_restores_a_layout_that_its_grandparent_laid_out(at):
    """The fork in the middle was lowered by a boundary and never assembled a prompt of its own."""
    with memory_journal() as journal:
        talk(journal, "clawvm")
        with journal.fork("parent", "middle", at=inside(journal, "parent")[at]) as middle:
            middle.compact()
            middle.user_says("on\n" * 90)
            middle.assemble()
        first, *_ = inside(journal, "middle")
        places = [first, *[place for place in inside(journal, "middle") if place > first]]
        for place in places:
            journal.fork("middle", f"last-{place}", at=place).close()
        journal.catch_up()
        for place in places:
            assert levels(journal, f"last-{place}") == folded(state_at(journal.log, f"last-{place}"))


@pytest.mark.parametrize("policy", ["clawvm_turn", "recorded"])
def test_a_policy_of_turns_goes_on_from_what_was_changed(policy):
    """There the levels of a cut assembly stand, in the state and in the rows."""
    assert policy in PROFILES
    with memory_journal() as journal:
        talk(journal, policy)
        places = inside(journal, "parent")[::4]
        for at in places:
            journal.fork("parent", f"fork-{at}", at=at).close()
        journal.catch_up()
        for at in places:
            assert levels(journal, f"fork-{at}") == folded(state_at(journal.log, f"fork-{at}"))
