"""What a log remembers of the bodies that it stored is never taken for what another writer stored since."""

from __future__ import annotations

import os

import pytest

from clawvm_es.errors import VersionConflict
from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import new


def test_a_body_that_another_writer_stored_keeps_its_commitment(tmp_path) -> None:
    """LAW-VAULT-2: after a look at a stream that others went on with, their commitments are found."""
    path = tmp_path / "j.db"
    with open_log(path) as one, open_log(path) as two:
        one.append("s", [new(ToolCalled(1, "tool", one.vault("s").commit(b"first")))])
        theirs = two.vault("s").commit(b"second")
        two.append("s", [new(ToolCalled(2, "tool", theirs))])
        one.vault("s").commit(b"second")
        with one.transaction() as transaction:
            assert transaction.head("s").version == 2
        assert one.vault("s").commit(b"second") == theirs


def test_a_body_that_another_writer_erased_gets_a_commitment_of_its_own(tmp_path) -> None:
    """LAW-VAULT-1: an erased commitment, known from before, meets a conflict and is not named again after it."""
    path = tmp_path / "j.db"
    with open_log(path) as one, open_log(path) as two:
        name = one.vault("s").commit(b"body")
        one.append("s", [new(ToolCalled(1, "tool", name))])
        with two.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, (name,)))])
            transaction.erase([name], ["s"])
        with pytest.raises(VersionConflict):
            one.append("s", [new(ToolCalled(2, "tool", one.vault("s").commit(b"body")))], 1)
        again = one.vault("s").commit(b"body")
        one.append("s", [new(ToolCalled(2, "tool", again))], 2)
        assert again != name
        assert one.vault("s").open(again) == b"body"


def test_a_body_named_twice_in_one_transaction_is_stored_once(tmp_path) -> None:
    """Two appends of one transaction may name the same new body."""
    with open_log(tmp_path / "j.db") as log:
        body = log.vault("s").commit(b"body")
        with log.transaction() as transaction:
            transaction.append("s", [new(ToolCalled(1, "tool", body))])
            transaction.append("s", [new(ToolCalled(2, "tool", body))])
        assert log.vault("s").commit(b"body") == body
        assert log.vault("s").open(body) == b"body"


def test_a_body_that_waits_over_a_fork_may_be_stored_by_both(tmp_path) -> None:
    """What a child stored first is found by its parent, which holds the same body back."""
    with open_log(tmp_path / "j.db") as log:
        body = log.vault("s").commit(b"body")
        if (pid := os.fork()) == 0:
            log.append("s", [new(ToolCalled(1, "tool", body))])
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        log.append("s", [new(ToolCalled(2, "tool", body))])
        assert log.vault("s").open(body) == b"body"


def test_bodies_of_another_session_are_stored_once_among_new_ones(tmp_path) -> None:
    """LAW-VAULT-2: an append may bring bodies that another session keeps beside those that nobody has."""
    with open_log(tmp_path / "j.db") as log:
        bodies = [b"first", b"shared", b"last"]
        log.append("one", [new(ToolCalled(1, "tool", log.vault("one").commit(b"shared")))])
        names = [log.vault("two").commit(body) for body in bodies]
        log.append("two", [new(ToolCalled(number, "tool", name)) for number, name in enumerate(names, 1)])
        assert [log.vault("two").open(name) for name in names] == bodies
        assert log.bodies_kept()[0] == 3
