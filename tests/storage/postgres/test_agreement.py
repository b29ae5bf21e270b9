"""A log on a server answers every question of its ports as plain Python does, and refuses misuse word for word."""

from __future__ import annotations

import pytest

from clawvm_es import storage
from clawvm_es.errors import UsageError
from tests.contract.agreement import QUESTIONS, Plain, filled, in_memory, of_heads, of_kept
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


def test_a_log_on_a_server_sees_heads_alike_inside_a_transaction(url):
    """What a `full` commit made durable is so there too, and what came after it is provisional."""
    with storage.open_log(url) as log:
        for question, found, wanted in of_heads(log):
            assert found == wanted, question


@pytest.mark.parametrize("name", ["wait", "sync", "details", "known_copies"])
def test_a_closed_log_on_a_server_is_asked_nothing(url, name):
    """No connection is made again for what only a server can tell."""
    log = storage.open_log(url)
    log.close()
    with pytest.raises(UsageError, match="is closed"):
        getattr(log, name)(*((0, 0.01) if name == "wait" else ()))
