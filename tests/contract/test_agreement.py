"""Every storage answers every question of its ports as plain Python does over the list of its events."""

from __future__ import annotations

import pytest

from clawvm_es import storage
from tests.contract.agreement import QUESTIONS, Plain, filled, in_memory, of_heads, of_kept


@pytest.fixture(scope="module")
def memory():
    """A log in memory with sessions of every kind."""
    return in_memory()


@pytest.fixture(scope="module")
def kept(memory, tmp_path_factory):
    """The same sessions in a file."""
    place = str(tmp_path_factory.mktemp("answers") / "j.db")
    with storage.open_log(place, reproducible=True) as log:
        filled(log)
    with storage.open_log(place) as log:
        yield log


@pytest.fixture(params=["memory", "kept"])
def log(request):
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def plain(memory):
    """Plain Python over the events in memory."""
    return Plain(list(memory.read_all()))


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_log_answers_as_plain_python_does(log, plain, name):
    """Reading by session, version, seq and key; heads; what snapshots and read models look up."""
    for question, found, wanted in QUESTIONS[name](log, plain):
        assert found == wanted, question


def test_a_log_keeps_the_bodies_that_it_was_given(log, memory):
    """By commitment, by session and in all; who else has the same; inputs that name one."""
    for question, found, wanted in of_kept(log, memory):
        assert found == wanted, question


@pytest.mark.parametrize("place", ["memory:", "j.db"])
def test_heads_are_alike_inside_a_transaction(tmp_path, place):
    """What a `full` commit made durable is so there too, and what came after it is provisional."""
    with storage.open_log(place if place == "memory:" else str(tmp_path / place)) as log:
        for question, found, wanted in of_heads(log):
            assert found == wanted, question
