"""Every event type meets exactly one row of each table of the core."""

from itertools import product

import pytest
from msgspec.structs import replace

from clawvm_es.core.decide import ADMISSION, DECIDERS
from clawvm_es.core.evolve import HANDLERS
from clawvm_es.core.groups import Stand
from clawvm_es.core.state import State
from clawvm_es.core.writeback import check
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    CloseReason,
    Evidence,
    Op,
    RejectReason,
    RetireReason,
    ReturnStatus,
    SchemaVerdict,
    Verdict,
)
from clawvm_es.model.pages import Fidelity, Level, PageType, Pin
from clawvm_es.testing.core import Given, need, opened, page, update


def test_every_event_type_is_folded_by_one_handler():
    """`evolve` has a row for each event type and none beside them."""
    assert set(HANDLERS) == set(e.EVENT_TYPES.values())


def test_every_input_type_is_decided_by_one_row():
    """`decide` has a row for each input type, and admission checks only inputs."""
    assert set(DECIDERS) == set(e.INPUTS)
    assert set(ADMISSION) <= set(e.INPUTS)


@pytest.mark.parametrize("broken", [dict(zip("sedop", bits, strict=True)) for bits in product((0, 1), repeat=5)])
def test_the_first_failing_check_of_writeback_gives_the_reason(broken):
    """Over all 32 combinations of failing checks, the reason is the first row that matches."""
    given = Given.session(page(1, PageType.CONSTRAINT, 50))
    facts = update(field="p1", op=Op.SET_WITH_VERSION, base_version=0)
    changes = {
        "s": {"verdict": SchemaVerdict.WRONG_TYPE},
        "e": {"evidence": Evidence()},
        "d": {"allowed": False},
        "o": {"base_version": 7},
        "p": {"validators": (Verdict("v", agrees=False),)},
    }
    for key, failing in broken.items():
        if failing:
            facts = replace(facts, **changes[key])
    order = [RejectReason.SCHEMA_INVALID, RejectReason.PROVENANCE_UNRESOLVED, RejectReason.SCOPE_DENIED]
    order += [RejectReason.DESTRUCTIVE_OP, RejectReason.POLICY_VIOLATION]
    expected = next((reason for reason, failing in zip(order, broken.values(), strict=True) if failing), None)
    assert check(given.state, facts) == expected


def test_emptying_a_hard_pinned_page_violates_the_policy():
    """A hard pin is violated by a writeback that erases the page."""
    given = Given.session(page(1, PageType.CONSTRAINT, 50))
    facts = update(field="p1", op=Op.SET_WITH_VERSION, base_version=0, size_bytes=0)
    assert check(given.state, facts) is RejectReason.POLICY_VIOLATION


def test_merge_adds_but_never_changes():
    """A merge that changes a key is destructive, one that only adds is not."""
    given = Given.session()
    assert check(given.state, replace(update(op=Op.MERGE), keys_added=3)) is None
    changed = replace(update(op=Op.MERGE), keys_changed=1)
    assert check(given.state, changed) is RejectReason.DESTRUCTIVE_OP


@pytest.mark.parametrize(
    "data",
    [
        e.TurnBegan(hints=("p9",)),
        e.TurnBegan(fixed_tokens=-1),
        page(5),
        e.PagePinned("p9", Pin.HARD),
        e.PageRetired("p9", RetireReason.DONE),
        e.ToolCalled(call=1, tool="x", arguments="0", reads=(1,)),
        e.ModelResponded(needs=(need(9),)),
        e.UpdateStaged(7, update()),
        e.BudgetChanged(0),
        opened(),
        e.SessionForked("x", 2, "0"),
        e.ScopeChanged("f", Op.APPEND, 1, 0, "0", "s", 1, "0"),
        replace(page(1), levels=()),
        replace(page(1), levels=(Level(Fidelity.FULL, -1, "0", "t/1"),)),
        replace(page(1), levels=(Level(Fidelity.FULL, 5, "0", "t/1"), Level(Fidelity.ABSENT, 0, "0", "t/1"))),
        replace(page(1), levels=(Level(Fidelity.FULL, 5, "0", "t/1"), Level(Fidelity.POINTER, 5, "0", "t/1"))),
    ],
    ids=lambda data: data.TYPE,
)
def test_what_no_order_of_events_can_bring_about_is_refused(data):
    """A command that names what does not exist is a usage error and changes nothing."""
    given = Given.session()
    before = given.state.copy()
    with pytest.raises(UsageError):
        given.when(data)
    assert given.state == before


def test_a_result_before_its_call_is_joined_when_the_call_arrives():
    """Unordered delivery: the call that comes late has its result, and is not in flight."""
    given = Given.session()
    given.when(e.ToolReturned(call=1, status=ReturnStatus.OK, unmatched=True))
    given.when(page(1, call=1))
    given.when(e.ToolCalled(call=1, tool="T", arguments="0", signature=1, deterministic=True))
    call = given.state.calls[1]
    assert (call.returned.status, call.page_id) == (ReturnStatus.OK, "p1")
    assert given.state.unmatched == {}
    assert given.state.valid_call(1) is call


def test_nothing_comes_before_session_opened_or_after_session_closed():
    """A session takes commands only while it is open."""
    with pytest.raises(UsageError):
        Given(State()).when(e.TurnBegan())
    given = Given.session(e.SessionClosed(CloseReason.ENDED))
    with pytest.raises(UsageError):
        given.turn()


def test_the_numbers_of_reasons_are_stored_so_they_stay():
    """Where no page holds a result, the entry in the log says why by number; a page elsewhere has one above 0."""
    assert {each.name: int(each) for each in Stand} == {"WAITING": 0, "BLANK": -1, "GONE": -2}
