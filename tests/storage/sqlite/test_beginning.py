"""Transactions that cannot begin: the error is told, and nothing stays locked."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from clawvm_es.errors import JournalBusy, JournalDamaged, JournalError, UsageError
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget
from tests.contract.places import Watch

WAIT_S = 1.0
"""Longer than a free lock takes; a lock that was left held is told after it."""


class Refusing(Watch):
    """Makes connections on which the next transaction fails to begin with an error that the test gives."""

    error: BaseException | None = None

    def statement(self, text):
        """Raise instead of beginning."""
        if text == "BEGIN IMMEDIATE" and self.error is not None:
            error, self.error = self.error, None
            raise error
        return text


def elsewhere(work):
    """Return what `work` returns in another thread, or the error that it raises."""
    found = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (sqlite3.DatabaseError("database disk image is malformed"), JournalDamaged),
        (sqlite3.OperationalError("locking protocol"), JournalError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (UsageError("x"), UsageError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_transaction_that_does_not_begin_leaves_no_lock_behind(tmp_path, error, told) -> None:
    """Whatever is in the way of a beginning, other threads, other handles and the same thread write on."""
    connect = Refusing()
    with (
        open_log(tmp_path / "j.db", connect=connect, wait_s=WAIT_S) as log,
        open_log(tmp_path / "j.db", wait_s=WAIT_S) as other,
    ):
        log.append("s", [budget(1)])
        connect.error = error
        with pytest.raises(told):
            log.append("s", [budget(2)])
        assert elsewhere(lambda: log.append("s", [budget(2)]).version) == 2
        assert other.append("s", [budget(3)]).version == 3
        assert log.append("s", [budget(4)]).version == 4


def test_a_transaction_inside_another_is_refused_and_the_outer_one_goes_on(tmp_path) -> None:
    """The inner one is wrong usage; afterwards the lock is as often released as it was taken."""
    with open_log(tmp_path / "j.db", wait_s=WAIT_S) as log:
        with log.transaction() as outer:
            with pytest.raises(UsageError, match="already open in this thread"), log.transaction():
                pass
            with pytest.raises(UsageError, match="open in this thread"), log.alone():
                pass
            outer.append("s", [budget(1)])
        assert elsewhere(lambda: log.append("s", [budget(2)]).version) == 2


def test_a_writer_that_waits_in_vain_holds_nothing_back(tmp_path) -> None:
    """Where another handle holds the lock for too long, this one's threads can try again afterwards."""
    with open_log(tmp_path / "j.db", wait_s=0) as log, open_log(tmp_path / "j.db", wait_s=0) as other:
        with other.transaction() as held:
            for _ in range(2):
                assert isinstance(elsewhere(lambda: log.append("s", [budget(1)])), JournalBusy)
            held.append("s", [budget(1)])
        assert elsewhere(lambda: log.append("s", [budget(2)]).version) == 2


def test_a_journal_says_when_it_was_made(tmp_path) -> None:
    """In UTC microseconds, and the same ever after."""
    before = time.time_ns() // 1000
    with open_log(tmp_path / "j.db") as log:
        made = log.created_at_us
    assert before <= made <= time.time_ns() // 1000
    with open_log(tmp_path / "j.db", read_only=True) as log:
        assert log.created_at_us == made
