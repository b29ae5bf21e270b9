"""Nothing is silent: what did not fit, what was refused and why, and which validator failed, reach the caller."""

import asyncio
import pickle
import sys
import threading

import pytest

from clawvm_es.engine.aio import AsyncSession
from clawvm_es.engine.hooks import Objection, Settings
from clawvm_es.errors import InvariantPressure
from clawvm_es.model import events as e
from clawvm_es.model.facts import OnPressure
from clawvm_es.observe.steps import ToolResult
from tests.engine.conftest import FIELDS

BOUNDARIES = ("flush", "save", "compact", "prune", "reset", "close")


def thirty_rules(session):
    """A session that must show more than fits."""
    return [session.write_page("constraint", f"Rule {n}: never do thing number {n}.") for n in range(30)]


def test_a_prompt_that_loses_a_rule_is_not_handed_out(journal):
    """By default the assembly raises, after its events are committed, and says what is missing and by how much."""
    with journal.session("s", budget_tokens=60, counter="lines4") as session:
        rules = thirty_rules(session)
        with pytest.raises(InvariantPressure, match=r"turn 1: .* missing: p") as caught:
            session.assemble(key="k")
        with pytest.raises(InvariantPressure):
            session.assemble(key="k")
        (pressure,) = caught.value.pressure
        assert 0 < len(pressure.pages) <= len(rules)
        assert {str(page.page_type) for page in pressure.pages} == {"constraint"}
        assert sum(session.state.required_sizes.values()) == pressure.required_tokens
        assert pressure.missing_tokens == pressure.required_tokens - pressure.available_tokens > 0
        assert caught.value.prompt.pressure == caught.value.pressure
        assert "degrade" in str(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).pressure == caught.value.pressure
        assert [row.type for row in journal.log.read("s")].count("invariant_pressure_observed") == 1
        session.set_budget(100_000)
        assert session.assemble().pressure == ()


@pytest.mark.parametrize(
    ("page_type", "how", "raises"),
    [
        ("bootstrap", None, True),
        ("constraint", None, True),
        ("plan", None, False),
        ("plan", "raise", True),
        ("constraint", "degrade", False),
        ("conversation", None, False),
    ],
)
def test_what_may_not_be_lost_raises_and_the_rest_is_told(journal, page_type, how, raises):
    """Rules raise by default, everything by `raise`, nothing by `degrade`; whatever did not fit is in the prompt."""
    with journal.session("s", budget_tokens=20, counter="lines4", on_pressure=how) as session:
        page = session.write_page(page_type, "Goal: do the thing number one. " * 20)
        if raises:
            with pytest.raises(InvariantPressure) as caught:
                session.assemble()
            found = caught.value.pressure
        else:
            found = session.assemble().pressure
        assert page in [pressed.page_id for pressure in found for pressed in pressure.pages]
        assert all(pressed.tokens > 0 for pressure in found for pressed in pressure.pages)
        assert "tokens missing" not in str(found[0]) and "missing" in str(found[0])


def test_old_sessions_keep_what_they_were_opened_with(journal):
    """An opening that names no `on_pressure` means what it meant: degrade."""
    assert e.SessionOpened.__struct_defaults__[1] is OnPressure.DEGRADE
    with journal.session("s", counter="lines4"):
        assert journal.opened("s").on_pressure is OnPressure.PROTECT


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_of_two_sessions_with_one_base_the_loser_is_told(journal, boundary):
    """A write that another session overtook is in the report of the boundary that refused it, with its reason."""
    settings = Settings(fields=FIELDS)
    options = {"counter": "lines4", "project": "team", "settings": settings}
    with journal.session("a", **options) as a, journal.session("b", **options) as b:
        for session in (a, b):
            page = session.user_says("x")
            given = {"scope": "project", "evidence": page, "base_version": 0}
            assert session.stage("timezone", "set_with_version", session.session_id, **given).reason is None
        won = a.save()
        assert won.ok
        assert [(one.field, one.version, one.scope) for one in won.committed] == [("timezone", 1, "scope:team")]
        lost = getattr(b, boundary)(**({} if boundary != "prune" else {"page_ids": [page]}))
        assert not lost.ok
        assert [(one.field, str(one.reason), one.version) for one in lost.refused] == [
            ("timezone", "DESTRUCTIVE_OP", None)
        ]
        assert (lost.committed, lost.lost, str(lost.boundary)) == ((), (), "end" if boundary == "close" else boundary)
        assert b.value("timezone", "project") == "a"


def slow(field, value):
    """Never answer."""
    threading.Event().wait()


@pytest.mark.parametrize(
    ("validator", "error"),
    [
        (lambda field, value: False, None),
        (lambda field, value: {}["limit"], "KeyError: 'limit'"),
        (lambda field, value: sys.exit("stop"), "SystemExit: stop"),
        (slow, "TimeoutError: no answer within 1 s"),
    ],
)
def test_a_validator_that_refuses_or_fails_is_named(journal, validator, error):
    """Its name and its error are told when a value is staged and when a page is written back, and are in the log."""
    settings = Settings(fields=FIELDS, validators={"fine": lambda field, value: True, "limits": validator})
    with journal.session("s", counter="lines4", settings=settings) as session:
        page = session.write_page("preference", "likes tea", author="user")
        staged = session.stage("notes", "append", 1, evidence=page)
        assert (staged.reason, staged.objections) == ("POLICY_VIOLATION", (Objection("limits", error),))
        refused = session.save().refused
        assert [(one.field, one.page_id, one.objections) for one in refused] == [
            (page, page, (Objection("limits", error),))
        ]
        assert session.state.dirty
    rows = [row.data for row in journal.log.read("s")]
    facts = next(row.facts for row in rows if isinstance(row, e.UpdateStaged))
    vault = journal.log.vault("s")
    kept = [vault.open(verdict.error) if verdict.error else None for verdict in facts.validators]
    assert kept == [None, error.encode() if error else None]


def test_what_a_flush_of_its_own_refused_is_told_by_the_next_report(journal):
    """An update that a threshold's flush refused is not lost on the way: the next report tells it once."""
    settings = Settings(fields=FIELDS)
    options = {"counter": "lines4", "project": "team", "settings": settings, "budget_tokens": 300}
    with journal.session("a", **options) as a, journal.session("b", **options) as b:
        page = b.user_says("x")
        b.stage("notes", "set_with_version", "b", scope="project", evidence=page, base_version=0)
        page = a.user_says("x")
        a.stage("notes", "set_with_version", "a", scope="project", evidence=page, base_version=0)
        assert a.save().ok
        b.write_page("plan", "Goal: x", author="model")
        b.user_says("words " * 600)
        assert not b.state.pending, "the flush came of itself"
        assert [one.field for one in b.save(key="k").refused] == ["notes"]
        assert b.save().ok


def test_a_policy_that_destroys_says_what_it_lost(journal):
    """Pages whose only copy a boundary destroyed are in its report."""
    with journal.session("s", policy="retrieval", counter="lines4") as session:
        page = session.write_page("preference", "likes tea", author="user")
        report = session.compact()
        assert (report.lost, report.ok) == ((page,), False)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_report_is_the_same_when_it_is_delivered_again(journal, boundary):
    """The second answer under a key is the first one, also behind an event loop, and also of an end."""
    settings = Settings(fields=FIELDS, validators={"no": lambda field, value: field == "notes"})
    with journal.session("s", counter="lines4", settings=settings) as session:
        page = session.write_page("preference", "likes tea", author="user")
        session.stage("notes", "append", 1, evidence=page)
        first = getattr(session, boundary)(key="k")
        assert ([one.field for one in first.committed], [one.field for one in first.refused]) == (["notes"], [page])
        head = session.head
        assert asyncio.run(getattr(AsyncSession(session), boundary)(key="k")) == first
        assert boundary != "close" or session.close() == first
        assert session.head == head


def test_results_name_their_call_their_arguments_and_how_it_ended(journal):
    """A result that the harness ran itself stands in its frame as one that `tool` ran, declared or not."""
    with journal.session("s", counter="lines4") as session:
        one, two, three = session.observe_model(
            "", [("look_up", {"city": "Oslo"}), ("look_up", {"city": "Rome"}), ("other", {})]
        )
        session.observe_result(one, "rain " * 5)
        session.observe_result(two, "no such city", "error")
        session.observe_result(three, "mine", source="my own words")
        session.observe(ToolResult(9, "early", unmatched=True))
        session.tool("look_up", {"city": "Bern"}, run=lambda city: "sun")
        text = session.assemble().text
        assert 'source="look_up {&quot;city&quot;: &quot;Oslo&quot;}"' in text
        assert 'source="look_up (error) {&quot;city&quot;: &quot;Rome&quot;}"' in text
        assert 'source="my own words"' in text
        assert 'source="look_up {&quot;city&quot;: &quot;Bern&quot;}"' in text
