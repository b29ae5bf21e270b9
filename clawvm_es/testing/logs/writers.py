"""The laws of several logs on one place: each sees what the others committed, and only one writes at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from clawvm_es.errors import IdempotencyConflict, JournalBusy, JournalReadOnly, VersionConflict
from clawvm_es.journal.ports import Durability, EventLog
from clawvm_es.model.events import BudgetChanged, ToolCalled
from clawvm_es.testing.logs.place import Place, budget, check_whole, need, new, payloads, used


@contextmanager
def two(place: Place, wait_s: float = 60) -> Iterator[tuple[EventLog, EventLog]]:
    """Open two logs on one place, or skip the test; afterwards a third log checks the whole place."""
    need(place.shared, "lets one log be open at a time")
    with ExitStack() as stack:
        yield stack.enter_context(place.open(wait_s=wait_s)), stack.enter_context(place.open(wait_s=wait_s))
    with place.open() as third:
        check_whole(third)


class WriterLaws:
    """Contract of several logs on one place."""

    def test_a_log_is_there_again(self, place: Place) -> None:
        """A log that is opened again has its id, its events, keys, bodies and heads."""
        need(place.kept, "keeps nothing")
        with place.open() as log:
            body = log.vault("s").commit(b"body")
            log.append("s", [budget(1, "k"), used(), new(ToolCalled(1, "tool", body))])
            before = log.journal_id, list(log.read_all())
            hashes = [head.hash for head in log.heads()]
        with place.open() as log:
            assert (log.journal_id, list(log.read_all())) == before
            assert [head.hash for head in log.heads()] == hashes
            assert log.vault("s").open(body) == b"body"
            assert log.append("s", [budget(1, "k"), used()]).version == 3
            assert log.append("t", [budget(2)]).seq == 4

    def test_writers_take_turns(self, place: Place) -> None:
        """LAW-LOG-1: two logs that append in turn make one gapless order, and each sees the other's commits."""
        with two(place) as (one, other):
            assert one.journal_id == other.journal_id
            for n in range(1, 4):
                mine = one.append("s", [budget(n)])
                assert other.head("s") == other.heads()[0]
                assert (other.heads()[0].version, other.heads()[0].hash) == (mine.version, mine.hash)
                theirs = other.append("s", [budget(10 * n), used()], expected=mine.version)
                seen = one.head("s")
                assert seen is not None and (seen.version, seen.hash) == (theirs.version, theirs.hash)
            assert list(one.read_all()) == list(other.read_all())
            assert [each.seq for each in one.read_all()] == list(range(1, 10))

    def test_a_stale_expected_version_is_refused(self, place: Place) -> None:
        """A version that another log went beyond raises `VersionConflict`, and nothing is appended."""
        import pytest

        with two(place) as (one, other):
            head = one.append("s", [budget(1)])
            other.append("s", [budget(2)], expected=head.version)
            for refused in (head.version, 0):
                with pytest.raises(VersionConflict):
                    one.append("s", [budget(3)], expected=refused)
            assert payloads(list(one.read("s"))) == [BudgetChanged(1), BudgetChanged(2)]

    def test_a_key_of_another_log_is_known(self, place: Place) -> None:
        """LAW-LOG-3: a key that one log recorded is a retry or a conflict on another, whatever version it expects."""
        import pytest

        with two(place) as (one, other):
            one.append("s", [budget(1, "k"), used()])
            assert other.append("s", [budget(1, "k"), used()], expected=0).version == 2
            assert other.append("s", [budget(1, "k"), used(), budget(2, "n")]).version == 3
            with pytest.raises(IdempotencyConflict):
                one.append("s", [budget(3, "n")], expected=0)
            assert [each.version for each in one.find("s", "n")] == [3]

    def test_a_retry_with_a_body_of_its_own_is_a_retry(self, place: Place) -> None:
        """LAW-LOG-3: another log's commitment to the same body is the same content."""
        with two(place) as (one, other):
            for log in (one, other):
                body = log.vault("s").commit(b"body")
                assert log.append("s", [new(ToolCalled(1, "tool", body), "k")]).version == 1
            assert other.bodies_kept() == (1, 4)

    def test_bodies_are_shared(self, place: Place) -> None:
        """LAW-VAULT-2: a session keeps one commitment to a body that another log stored, once its stream was read."""
        with two(place) as (one, other):
            body = one.vault("s").commit(b"body")
            head = one.append("s", [new(ToolCalled(1, "tool", body))])
            assert other.vault("t").open(body) == b"body"
            vault = other.vault("s")
            vault.found(head.version)
            assert vault.commit(b"body") == body

    def test_one_transaction_at_a_time(self, place: Place) -> None:
        """While one log writes, another is refused or comes after it: what was acknowledged is in one order."""
        with two(place, wait_s=0) as (one, other):
            one.append("s", [budget(1)])
            other.append("s", [budget(2)])
            acknowledged = [1, 2, 3]
            with one.transaction() as mine:
                mine.append("s", [budget(3)])
                try:
                    with other.transaction() as theirs:
                        theirs.append("s", [budget(4)])
                    acknowledged.append(4)
                except (JournalBusy, VersionConflict):
                    pass
            stored = [each.raw for each in one.read("s")]
            assert sorted(stored) == [b'{"budget_tokens":%d}' % n for n in acknowledged]
            assert [each.seq for each in other.read_all()] == list(range(1, len(acknowledged) + 1))
            assert other.append("s", [budget(5)]).version == len(acknowledged) + 1

    def test_a_commit_is_seen_whole(self, place: Place) -> None:
        """LAW-LOG-2: another log sees none of an open transaction, all of it afterwards, and waits for neither."""
        with two(place) as (one, other):
            one.append("a", [budget(1)])
            with one.transaction() as transaction:
                transaction.append("a", [budget(2)])
                transaction.append("b", [budget(3)])
                assert [each.seq for each in other.read_all()] == [1]
                assert [head.session_id for head in other.heads()] == ["a"]
            assert [each.seq for each in other.read_all()] == [1, 2, 3]
            assert [head.session_id for head in other.heads()] == ["a", "b"]

    def test_a_walk_over_the_log_sees_one_state(self, place: Place) -> None:
        """A read ends where the log ended when it began, even if others append meanwhile."""
        with two(place) as (one, other):
            one.append("a", [budget(n) for n in range(1, 601)])
            walked = 0
            for each in one.read_all():
                if each.seq % 300 == 1:
                    other.append("b", [budget(each.seq)])
                walked += 1
            assert walked == 600

    def test_writers_in_threads_over_two_logs(self, place: Place) -> None:
        """LAW-LOG-1: concurrent writers of two logs lose nothing and double nothing."""
        with two(place) as logs:
            start = threading.Barrier(4)
            failed: list[BaseException] = []

            def write(number: int) -> None:
                start.wait()
                try:
                    for n in range(10):
                        logs[number % 2].append("shared", [budget(100 * number + n, f"{number}.{n}"), used()])
                        logs[number % 2].append(f"own{number}", [budget(n)])
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failed == []
            versions = {head.session_id: head.version for head in logs[0].heads()}
            assert versions == {"shared": 80, **{f"own{n}": 10 for n in range(4)}}
            assert [each.seq for each in logs[1].read_all()] == list(range(1, 121))

    def test_a_log_that_is_only_read(self, place: Place) -> None:
        """`read_only` says so: it reads what others write, and every write raises and changes nothing."""
        import pytest

        need(place.kept, "keeps nothing, so there is nothing to read")
        with place.open() as log:
            log.append("s", [budget(1)])
        with place.open(read_only=True) as reader:
            assert reader.read_only
            for durability in Durability:
                with pytest.raises(JournalReadOnly):
                    reader.append("s", [budget(2)], durability=durability)
            with pytest.raises(JournalReadOnly), reader.transaction() as transaction:
                transaction.append("t", [budget(2)])
            assert payloads(list(reader.read_all())) == [BudgetChanged(1)]
        with place.open() as log:
            assert not log.read_only
            assert [head.version for head in log.heads()] == [1]
