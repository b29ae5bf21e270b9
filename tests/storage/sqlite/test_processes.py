"""The writer's lock, several processes, forks, and what a killed process leaves."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from clawvm_es.errors import JournalBusy, UsageError
from clawvm_es.model.events import BudgetChanged
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite.lock import WriterLock
from clawvm_es.testing.logs import budget, payloads, used
from tests.waiting import CEILING_S


def in_child(work) -> int:
    """Fork, run `work` in the child, and return its exit code: 0 if it returned True."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_held_lock_is_named(tmp_path) -> None:
    """Who waits too long for the lock is told which file it is and what to do; nothing was written."""
    path = tmp_path / "journal.db"
    with open_log(path, wait_s=0.05) as log:
        log.append("s", [budget(1)])
        with (tmp_path / "journal.db.lock").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(JournalBusy, match=r"journal\.db\.lock") as caught:
                log.append("s", [budget(2)])
            assert "fuser" in caught.value.hint
            assert len(list(log.read("s"))) == 1
        assert log.append("s", [budget(2)]).version == 2


def test_another_thread_that_writes_too_long_is_reported(tmp_path) -> None:
    """Threads of one process wait for each other no longer than for other processes."""
    with open_log(tmp_path / "journal.db", wait_s=0.05) as log, log.transaction():
        raised = []

        def write() -> None:
            try:
                log.append("s", [budget(1)])
            except JournalBusy as error:
                raised.append(str(error))

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "another thread" in raised[0]


def test_the_lock_is_passed_on(tmp_path) -> None:
    """A waiting lock gets its turn, and each holder learns whether another one held it in between."""
    waits = threading.Event()

    class Watched(WriterLock):
        """A lock that says when it begins to wait."""

        def _wait(self, wait_s: float) -> None:
            waits.set()
            super()._wait(wait_s)

    one, two = (Watched(str(tmp_path / "lock"), CEILING_S) for _ in range(2))
    assert [one.acquire(), one.release(), one.acquire()] == [False, None, True]
    turns = []

    def wait() -> None:
        turns.append(two.acquire())
        two.release()

    thread = threading.Thread(target=wait)
    thread.start()
    waits.wait(CEILING_S)
    assert turns == []
    one.release()
    thread.join()
    assert turns == [False]
    assert not one.acquire()
    one.release()
    assert in_child(lambda: one.acquire() is False) == 0
    assert not one.acquire()
    one.close()
    two.close()


def test_a_lock_held_over_a_fork_still_excludes_the_child(tmp_path) -> None:
    """After a fork the child has a lock of its own, and waits for the parent's."""
    lock = WriterLock(str(tmp_path / "lock"), 0.05)
    lock.acquire()

    def child() -> bool:
        try:
            lock.acquire()
        except JournalBusy:
            return True
        return False

    assert in_child(child) == 0
    lock.release()
    assert in_child(lambda: lock.acquire() is False) == 0
    lock.close()


def test_a_log_survives_a_fork(tmp_path) -> None:
    """Parent and child go on with the same log object, each over connections of its own."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
        reading = log.read_all()

        def child() -> bool:
            log.append("s", [budget(2)], expected=1)
            return len(list(log.read("s"))) == 2

        assert in_child(child) == 0
        assert log.append("s", [budget(3)], expected=2).seq == 3
        assert len(list(reading)) == 1
        assert in_child(lambda: log.close() is None) == 0
        assert log.append("s", [budget(4)]).seq == 4
    assert verify(path) == ()


def test_a_transaction_stays_with_its_process(tmp_path) -> None:
    """A fork inside a transaction leaves it to the parent; the child can open the journal again, after it."""
    path = tmp_path / "journal.db"
    with open_log(path, wait_s=0.05) as log:
        with log.transaction() as transaction:
            transaction.append("s", [budget(1)])

            def child() -> bool:
                for use in (
                    lambda: log.append("s", [budget(2)]),
                    log.heads,
                    lambda: transaction.__exit__(None, None, None),
                ):
                    try:
                        use()
                    except UsageError:
                        continue
                    return False
                return True

            assert in_child(child) == 0
            transaction.append("s", [budget(3)])
        assert payloads(list(log.read("s"))) == [BudgetChanged(1), BudgetChanged(3)]
    assert verify(path) == ()


WRITER = """
import sys
from clawvm_es.errors import VersionConflict
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget, used
path, number, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open_log(path) as log:
    wins = 0
    for n in range(rounds):
        log.append(f"own{number}", [budget(n, f"k{n}"), used()])
        head = log.head("shared")
        try:
            log.append("shared", [budget(number)], expected=0 if head is None else head.version)
            wins += 1
        except VersionConflict:
            pass
print(wins)
"""


def test_writers_in_processes(tmp_path) -> None:
    """Processes that make and write one journal together lose nothing, and each version has one winner."""
    path = tmp_path / "journal.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    started = [subprocess.Popen([*command, str(n), "60"], stdout=subprocess.PIPE, text=True) for n in range(3)]
    wins = sum(int(process.communicate(timeout=CEILING_S)[0]) for process in started)
    with open_log(path, read_only=True) as log:
        versions = {head.session_id: head.version for head in log.heads()}
    assert versions == {"own0": 120, "own1": 120, "own2": 120, "shared": wins}
    assert verify(path) == ()


ENDLESS = """
import sys
from clawvm_es.journal.ports import Durability
from clawvm_es.storage import open_log
from clawvm_es.model.events import ToolCalled
from clawvm_es.testing.logs import budget, new, used
log = open_log(sys.argv[1])
vault = log.vault("a")
for n in range(1, 10**6):
    with log.transaction(Durability.FULL if n % 7 == 0 else Durability.NORMAL) as transaction:
        transaction.append("a", [new(ToolCalled(n, "tool", vault.commit(b"body %d" % n)), f"k{n}"), used(), used()])
        transaction.append("b", [budget(n)])
    print(n, flush=True)
"""


@pytest.mark.parametrize("commits", [1, 40, 150])
def test_a_killed_writer_leaves_whole_transactions(tmp_path, commits) -> None:
    """After kill -9 all acknowledged transactions are there, whole, and the journal goes on."""
    path = tmp_path / "journal.db"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(commits)][-1]
    process.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    assert verify(path) == ()
    with open_log(path) as log:
        a, b = log.heads()
        assert a.version == 3 * b.version
        assert acknowledged <= b.version <= acknowledged + 1
        last = list(log.read("a"))[-3]
        assert log.vault("a").open(last.data.arguments) == b"body %d" % b.version
        assert log.append("a", [budget(1), used()]).version == a.version + 2
    assert verify(path) == ()
