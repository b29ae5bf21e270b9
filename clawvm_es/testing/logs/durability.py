"""The laws of durability: acknowledged events survive, and a retry settles the others."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from itertools import count

from clawvm_es.errors import JournalError
from clawvm_es.journal.ports import Durability, EventLog
from clawvm_es.model.events import BudgetChanged, ToolCalled
from clawvm_es.testing.logs.place import Place, budget, check_whole, need, new, payloads, used


class DurabilityLaws:
    """Contract of durability, also after a killed process."""

    def test_what_was_acknowledged_survives_a_kill(self, place: Place) -> None:
        """After `append` returned, a process that is killed at once loses neither events nor bodies."""
        need(place.kept and hasattr(os, "fork"), "keeps nothing, or processes cannot be forked here")
        for number, durability in enumerate(Durability, 1):
            acknowledged = _killed(place, number, durability)
            with place.open() as log:
                names = [each.data.arguments for each in log.read("s") if isinstance(each.data, ToolCalled)]
                assert len(names) == number and names[-1:] == [acknowledged.decode()]
                assert log.vault("s").open(names[-1]) == b"body %d" % number
                check_whole(log)

    def test_a_killed_transaction_leaves_nothing(self, place: Place) -> None:
        """LAW-LOG-2: a process that is killed inside a transaction leaves nothing of it, and no lock."""
        need(place.kept and hasattr(os, "fork"), "keeps nothing, or processes cannot be forked here")
        with place.open() as log:
            log.append("s", [budget(1)])
        if (pid := os.fork()) == 0:
            try:
                with place.open() as log, log.transaction(Durability.FULL) as transaction:
                    transaction.append("s", [budget(2)])
                    os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        with place.open(wait_s=0) as log:
            assert payloads(list(log.read_all())) == [BudgetChanged(1)]
            assert log.append("s", [budget(3)]).version == 2

    def test_full_is_synced_before_it_is_acknowledged(self, place: Place) -> None:
        """A `full` commit, an append's and a transaction's, is made durable before its head is; see `Place.syncs`."""
        need(place.syncs, "does not count what is made durable")
        assert place.syncs is not None
        with place.open() as log:
            log.append("s", [budget(1)])
            before = place.syncs()
            assert not log.append("s", [budget(2)], durability=Durability.FULL).provisional
            after = place.syncs()
            assert after > before
            with log.transaction(Durability.FULL) as transaction:
                transaction.append("s", [budget(3)])
            assert place.syncs() > after

    def test_an_unknown_outcome_is_settled_by_a_retry(self, place: Place) -> None:
        """LAW-LOG-3: a log that is cut off around a commit raises, or settles it; a retry appends nothing twice."""
        import pytest

        need(place.cut, "does not cut connections")
        assert place.cut is not None
        for number, after in enumerate((False, True), 1):
            session_id = f"s{number}"
            with place.open() as log, place.cut(1, after) as cut:
                body = log.vault(session_id).commit(b"body")
                group = [new(ToolCalled(1, "tool", body), "k"), used()]
                with nullcontext() if place.settles else pytest.raises(JournalError):
                    log.append(session_id, group, durability=Durability.FULL)
                assert cut.came
                assert log.append(session_id, group, durability=Durability.FULL).version == 2
                assert log.append(session_id, [new(ToolCalled(2, "tool", body))], expected=2).version == 3
            with place.open() as log:
                assert log.append(session_id, group).version == 3
                assert [each.version for each in log.find(session_id, "k")] == [1, 2]
                assert log.vault("t").open(body) == b"body"
                check_whole(log)

    def test_no_cut_loses_what_was_acknowledged(self, place: Place) -> None:
        """LAW-LOG-2: whichever commit is cut, the log holds what it acknowledged, and at most one more, whole."""
        need(place.cut, "does not cut connections")
        assert place.cut is not None
        kept = 0
        for at in count(1):
            came = False
            for after in (False, True):
                acknowledged = 0
                try:
                    with place.open() as log, place.cut(at, after) as cut:
                        for _ in range(2):
                            log.append("s", [budget(1), used()], durability=Durability.FULL)
                            acknowledged += 2
                except JournalError:
                    assert cut.came
                came |= cut.came
                with place.open() as log:
                    stored = len(list(log.read("s"))) - kept
                    assert stored in ((acknowledged, acknowledged + 2) if cut.came else (acknowledged,))
                    kept += stored
                    check_whole(log)
            if not came:
                return


def _killed(place: Place, number: int, durability: Durability) -> bytes:
    """Append in a process that kills itself as soon as that returned, and return the commitment that it told."""
    told, tell = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            _append_and_die(place.open(), number, durability, tell)
        finally:
            os._exit(1)
    os.close(tell)
    with open(told, "rb") as pipe:
        found = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return found


def _append_and_die(log: EventLog, number: int, durability: Durability, tell: int) -> None:
    body = log.vault("s").commit(b"body %d" % number)
    log.append("s", [new(ToolCalled(number, "tool", body))], durability=durability)
    os.write(tell, body.encode())
    os.kill(os.getpid(), signal.SIGKILL)
