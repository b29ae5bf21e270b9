"""Losses: what was needed and not in the prompt, and what each boundary took out."""

from __future__ import annotations

from importlib.resources import as_file, files

import attrs
import pytest

from clawvm_es.core.profiles import CLAWVM, RETRIEVAL, profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.losses import Kind, losses, losses_of
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.facts import Cut, NeedRule
from clawvm_es.projections import rebuild
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy


@pytest.fixture(scope="module")
def journal():
    """The bundled session as its harness had it, and under two policies."""
    with Journal.open("memory:", seed=1) as journal, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        replay(journal, file, ReplaySettings(as_recorded=True, name="recorded"))
        for policy in (CLAWVM, RETRIEVAL):
            replay(journal, file, ReplaySettings(policy=policy, budget_tokens=900, name=policy.name))
        for parent in ("recorded", "retrieval"):
            middle = next(row for row in read_session(journal.log, parent) if row.turn == 18).version
            journal.fork(parent, f"{parent} forked", at=middle)
        yield journal


def found(journal, session_id):
    """The losses of a session."""
    return losses(read_session(journal.log, session_id))


def test_the_harness_s_own_losses_have_turn_page_rule_and_lines(journal):
    """By hand from the file: five needs of what was dropped, each with where it stood and where it was needed."""
    told = [
        (each.kind, each.turn, each.page_id, each.rule, each.line, each.again)
        for each in found(journal, "recorded").losses
    ]
    assert told == [
        (Kind.RULE_LOST, 15, "p3", None, 3, 0),
        (Kind.RULE_LOST, 15, "p5", None, 19, 0),
        (Kind.UNMET, 15, "p13", NeedRule.DATA_FLOW, 13, 34),
        (Kind.READ_AGAIN, 18, "p26", NeedRule.REPEATED_READ, 27, 40),
        (Kind.UNMET, 21, "p13", NeedRule.DATA_FLOW, 13, 46),
        (Kind.UNMET, 23, "p24", NeedRule.DATA_FLOW, 25, 50),
        (Kind.READ_AGAIN, 24, "p11", NeedRule.REPEATED_READ, 11, 52),
    ]


def test_the_dearest_come_first_and_rules_are_no_needs(journal):
    """A page counts whole where its text was used, and what was read again where it was."""
    needed = found(journal, "recorded").needed
    assert [each.page_id for each in needed] == ["p24", "p11", "p26", "p13", "p13"]
    assert [each.tokens for each in needed] == sorted((each.tokens for each in needed), reverse=True)
    assert all(each.tokens > 0 for each in needed)


def test_a_boundary_tells_what_it_took_and_what_of_it_was_needed(journal):
    """The one compaction dropped everything but its summary."""
    (dropped,) = found(journal, "recorded").dropped
    assert (dropped.turn, dropped.boundary, dropped.cut, dropped.summary) == (14, "compact", Cut.COMPACT, True)
    assert (dropped.pages, [each.page_id for each in dropped.needed]) == (26, ["p13", "p26", "p13", "p24", "p11"])
    assert dropped.tokens > 2000 and dropped.version == dropped.needed[0].boundary
    assert found(journal, "recorded").held == dropped.tokens  # it took all that the largest prompt held


def test_under_clawvm_losses_are_page_ins_and_no_boundary_takes_anything(journal):
    """A recorded compaction moves nothing of a policy that selects; what is missing is paged in."""
    of = found(journal, "clawvm")
    assert {each.kind for each in of.losses} == {Kind.PAGED_IN} and of.dropped == ()
    assert all(each.boundary is None for each in of.losses)


def test_a_policy_without_a_contract_reads_again(journal):
    """Its losses are faults, of rules too."""
    kinds = {each.kind for each in found(journal, "retrieval").losses}
    assert {Kind.READ_AGAIN, Kind.RULE_LOST} <= kinds and Kind.UNMET not in kinds


@pytest.mark.parametrize("name", ["recorded", "clawvm", "retrieval", "recorded forked", "retrieval forked"])
def test_the_read_models_hold_the_losses_that_a_walk_finds(journal, name):
    """LAW-LOSSES-1: kind, page, rule, tokens, lines and boundary of each, and what each boundary took out."""
    walked = found(journal, name)
    assert losses_of(journal.log, name) == attrs.evolve(walked, held=0)
    assert len(walked.losses) > 2


@pytest.mark.parametrize("policy", ["clawvm", "clawvm_turn", "compaction_hybrid", "recorded", "retrieval"])
def test_losses_are_the_same_whatever_pieces_the_log_was_folded_in(tmp_path, policy):
    """LAW-LOSSES-1, LAW-PROJ-1: of a busy session in a file, whose read models are made a bit at a time."""
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal:
        settings = Settings(fields=FIELDS)
        with journal.session(
            "s", budget_tokens=600, counter="lines4", settings=settings, policy=profile(policy), on_pressure="degrade"
        ) as session:
            busy(session, rounds=7)
        rebuild(journal.log, piece_events=7)
        walked = found(journal, "s")
        assert losses_of(journal.log, "s") == attrs.evolve(walked, held=0)
        assert (walked.losses or walked.dropped) or policy.startswith("clawvm")
