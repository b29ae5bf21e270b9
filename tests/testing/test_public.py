"""The public face of `clawvm_es.testing`: every name is there, says what it is, and its examples run."""

from __future__ import annotations

import doctest
import subprocess
import sys

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clawvm_es.testing
from clawvm_es.core import utility
from clawvm_es.core.evolve import fold
from clawvm_es.model.events import EVENT_TYPES, INPUTS, KINDS
from clawvm_es.testing import (
    FakeClock,
    FakeMemory,
    assert_redecides,
    contracts,
    core,
    events,
    fakes,
    inputs,
    journals,
    live_session,
    logs,
    memory_journal,
    recorded,
    redeciding,
    sessions,
)


@pytest.mark.parametrize("name", clawvm_es.testing.__all__)
def test_every_public_name_loads_and_is_documented(name):
    """What `__all__` names exists, and the package's docstring or its own says what it is."""
    assert getattr(clawvm_es.testing, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="Givven"):
        clawvm_es.testing.Givven  # noqa: B018 (the access is the test)


@pytest.mark.parametrize(
    "module", [clawvm_es.testing, contracts, core, fakes, journals, logs, redeciding], ids=lambda m: m.__name__
)
def test_the_examples_run(module):
    """What docstrings show is what happens."""
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted or module in (contracts, logs), "shows nothing"


def test_neither_pytest_nor_hypothesis_is_needed():
    """Builders and fakes work where only the package is installed; strategies say what they need."""
    code = """
import sys
sys.modules["hypothesis"] = sys.modules["pytest"] = None
from clawvm_es.testing import EventLogContract, FakeTool, ToolContract, assert_redecides, live_session
with live_session() as session: session.assemble()
try:
    from clawvm_es.testing import sessions
except ImportError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "clawvm_es.testing.strategies needs hypothesis: pip install hypothesis\n"


def test_live_sessions_are_the_same_on_every_run():
    """Times, salts and hashes: two runs end in one hash."""

    def head():
        with memory_journal() as journal, live_session(journal=journal) as session:
            session.user_says("hello " * 30)
            session.assemble()
            return session.head

    assert head() == head()


@settings(max_examples=30)
@given(sessions())
def test_sessions_are_what_a_session_can_be(session):
    """Each was decided from the empty state, and today's code still decides it so."""
    assert fold(session.log) == session.state
    assert_redecides(recorded(session))


@settings(max_examples=50)
@given(events(), inputs())
def test_strategies_cover_the_vocabulary(event, given_input):
    """`events` gives events, `inputs` inputs."""
    assert EVENT_TYPES[event.TYPE] is type(event)
    assert KINDS[given_input.TYPE] == "input" and isinstance(given_input, INPUTS)


def test_the_assertion_names_event_and_field(monkeypatch):
    """Its message is the one that the pytest plugin shows, with the version of the code that decided."""
    with memory_journal() as journal, live_session(journal=journal, budget_tokens=300) as session:
        for number in range(4):
            session.user_says(f"{number} " + "words " * 40)
            session.assemble()
        found = recorded(journal)
    monkeypatch.setattr(utility, "QUALITY", (0, 900, 910, 920, 1000))
    with pytest.raises(AssertionError, match=r"session version \d+ \(turn \d, \w+\): \$.*: golden .*, now .*"):
        assert_redecides(found)
    with pytest.raises(AssertionError, match="recorded by decider version 77, today's is"):
        assert_redecides(attrs.evolve(found, decider_version=77))
    with pytest.raises(AssertionError, match="golden"):
        assert_redecides(iter(found.rows))


def test_a_session_that_is_not_there_is_wrong_usage():
    """`recorded` says which one it looked for."""
    with memory_journal() as journal, pytest.raises(ValueError, match="nobody"):
        recorded(journal, "nobody")


@given(st.lists(st.integers(0, 10**12), max_size=5))
def test_the_fake_clock_goes_where_it_is_told(steps):
    """It never runs back, and refuses to."""
    clock = FakeClock()
    for step in steps:
        before = clock()
        clock.advance(step)
        assert clock() == before + step + 1
    with pytest.raises(ValueError, match="run back"):
        clock.advance(-1)


def test_the_fake_memory_fails_when_told():
    """What it raises is an outcome of the recall, and it knows what it was asked."""
    memory = FakeMemory(["the user lives in Lisbon"], error=PermissionError())
    with live_session() as session:
        assert session.recall("where does the user live?", memory) == ()
    assert memory.asked == ["where does the user live?"]
