"""The laws of transactions (LAW-LOG-2): whole or nothing, one writer at a time."""

from __future__ import annotations

import threading

from clawvm_es.errors import NotCanonical, UsageError, VersionConflict
from clawvm_es.journal.chain import GENESIS
from clawvm_es.journal.ports import Durability, EventLog
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import (
    BudgetChanged,
    PageUsed,
)
from clawvm_es.model.facts import NeedRule
from clawvm_es.testing.logs.place import budget, payloads, used


class TransactionLaws:
    """Contract of transactions."""

    def test_a_batch_is_appended_whole_or_not_at_all(self, log: EventLog) -> None:
        """LAW-LOG-2: an event that cannot be written takes its whole batch with it."""
        import pytest

        log.append("s", [budget(1)])
        with pytest.raises(NotCanonical, match=r"budget_changed\.budget_tokens"):
            log.append("s", [budget(2), budget(INTEGER_MAX + 1)])
        assert payloads(list(log.read("s"))) == [BudgetChanged(1)]

    def test_a_transaction_is_whole_or_nothing(self, log: EventLog) -> None:
        """LAW-LOG-2: several streams are appended to together; an error takes everything back."""
        import pytest

        with log.transaction(Durability.FULL) as transaction:
            assert transaction.head("a") is None
            one = transaction.append("a", [budget(1, "k"), used()])
            two = transaction.append("b", [budget(2)])
            three = transaction.append("a", [budget(3)], expected=2)
            assert transaction.head("a") == three
            assert [r.version for r in transaction.read("a", after=1)] == [2, 3]
            assert [r.version for r in transaction.read("a")] == [1, 2, 3]
            assert payloads(transaction.find("a", "k")) == [BudgetChanged(1), PageUsed("p1", NeedRule.DECLARED)]
        assert (one.seq, two.seq, three.seq) == (2, 3, 4)
        assert not three.provisional
        assert log.heads() == (three, two)
        with pytest.raises(ZeroDivisionError), log.transaction() as transaction:
            transaction.append("a", [budget(4)])
            transaction.append("c", [budget(5)])
            raise ZeroDivisionError
        assert log.heads() == (three, two)
        assert log.append("c", [budget(6)]).seq == 5

    def test_a_conflict_inside_a_transaction_can_be_handled_there(self, log: EventLog) -> None:
        """A refused append leaves the transaction as it was; the block may continue."""
        with log.transaction() as transaction:
            transaction.append("a", [budget(1)])
            try:
                transaction.append("a", [budget(2)], expected=0)
            except VersionConflict:
                transaction.append("a", [budget(3)], expected=1)
        assert payloads(list(log.read("a"))) == [BudgetChanged(1), BudgetChanged(3)]

    def test_others_do_not_see_an_open_transaction(self, log: EventLog) -> None:
        """Reads outside a transaction see what is committed, and do not wait for it."""
        log.append("s", [budget(1)])
        seen: list[int] = []
        with log.transaction() as transaction:
            transaction.append("s", [budget(2)])
            reader = threading.Thread(target=lambda: seen.append(len(list(log.read("s")))))
            reader.start()
            reader.join(10)
        assert seen == [1]
        assert len(list(log.read("s"))) == 2

    def test_transactions_do_not_nest_and_end(self, log: EventLog) -> None:
        """A second transaction inside one is refused, and so is one whose block has ended."""
        import pytest

        with log.transaction() as transaction:
            with pytest.raises(UsageError):
                log.append("s", [budget(1)])
            transaction.append("s", [budget(2)])
        with pytest.raises(UsageError):
            transaction.append("s", [budget(3)])
        assert payloads(list(log.read("s"))) == [BudgetChanged(2)]

    def test_writers_in_threads(self, log: EventLog) -> None:
        """Concurrent writers lose nothing, and of those who expect the same version exactly one wins."""
        wins: list[int] = []
        start = threading.Barrier(4)

        def write(number: int) -> None:
            start.wait()
            for n in range(20):
                log.append(f"own{number}", [budget(n), used()])
                try:
                    log.append("shared", [budget(number)], expected=n)
                    wins.append(n)
                except VersionConflict:
                    pass

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(wins) == list(range(20))
        assert {h.session_id: h.version for h in log.heads()} == {**{f"own{i}": 40 for i in range(4)}, "shared": 20}
        assert [r.seq for r in log.read_all()] == list(range(1, 181))

    def test_a_transaction_can_name_the_hash_to_follow(self, log: EventLog) -> None:
        """An append with a `prev_hash` is refused unless the last event has this hash."""
        import pytest

        head = log.append("s", [budget(1)])
        with log.transaction() as transaction:
            with pytest.raises(VersionConflict):
                transaction.append("s", [budget(2)], prev_hash=GENESIS)
            transaction.append("s", [budget(2)], prev_hash=head.hash)
            transaction.append("t", [budget(2)], prev_hash=GENESIS)
