"""Journals for the engine's tests: one in memory, one in a file, under a clock that the test owns."""

import itertools

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema

FIELDS = {"timezone": FieldSchema("string", 100), "facts": FieldSchema("object"), "notes": FieldSchema()}


def ticking():
    """A clock that moves by one microsecond a look."""
    ticks = itertools.count(1)
    return lambda: next(ticks)


@pytest.fixture(params=["memory", "file"])
def journal(request, tmp_path):
    """An open journal, in memory and in a file."""
    path = ":memory:" if request.param == "memory" else tmp_path / "j.db"
    with Journal.open(path, clock=ticking()) as found:
        yield found


@pytest.fixture
def session(journal):
    """A session of 600 tokens with a few declared fields."""
    with journal.session("s", budget_tokens=600, counter="lines4", settings=Settings(fields=FIELDS)) as found:
        yield found
