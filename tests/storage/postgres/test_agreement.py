"""A log on a server answers every question of its ports as plain Python does, and refuses misuse word for word."""

from __future__ import annotations

import pytest

from clawvm_es import storage
from tests.contract.agreement import QUESTIONS, Plain, filled, in_memory, of_kept
from tests.contract.refusals import golden, refusals


@pytest.fixture(scope="module")
def memory():
    """A log in memory with sessions of every kind."""
    return in_memory()


@pytest.fixture(scope="module")
def log(server):
    """The same sessions on the server."""
    url = server.url()
    with storage.open_log(url, reproducible=True) as log:
        filled(log)
    with storage.open_log(url) as log:
        yield log


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_log_on_a_server_answers_as_plain_python_does(log, memory, name):
    """Reading by session, version, seq and key; heads; what snapshots and read models look up."""
    for question, found, wanted in QUESTIONS[name](log, Plain(list(memory.read_all()))):
        assert found == wanted, question


def test_a_log_on_a_server_keeps_the_bodies_that_it_was_given(log, memory):
    """By commitment, by session and in all; who else has the same; inputs that name one."""
    for question, found, wanted in of_kept(log, memory):
        assert found == wanted, question


def test_misuse_of_a_log_on_a_server_is_refused_word_for_word(url):
    """The lines of `refusals.txt`; nothing of it is recorded."""
    assert list(refusals(lambda **options: storage.open_log(url, **options))) == golden("postgresql")
