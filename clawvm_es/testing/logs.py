"""The contract that every event log passes: subclass `EventLogContract` and give it a `log` fixture.

    class TestMyLog(EventLogContract):
        @pytest.fixture
        def log(self):
            with MyLog() as log:
                yield log

Each test starts from the empty log that the fixture makes. pytest is imported only inside, so that the package
does not need it.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Sequence

import attrs
from msgspec.structs import replace

from clawvm_es.errors import IdempotencyConflict, NotCanonical, UsageError, VersionConflict
from clawvm_es.journal.chain import GENESIS, event_hash
from clawvm_es.journal.ports import Durability, EventLog, Expected, ExpectedVersion, NewEvent, Recorded
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import (
    BudgetChanged,
    Event,
    PageUsed,
    PromptRendered,
    RecallAnswered,
    SessionForked,
    ToolCalled,
    ToolReturned,
)
from clawvm_es.model.facts import NeedRule, RecallOutcome, ReturnStatus

AT_US = 1_700_000_000_000_000


def new(data: Event, key: str | None = None, cause: int | None = None) -> NewEvent:
    """An event to append, at a fixed time and by a fixed principal."""
    return NewEvent(data, turn=1, at_us=AT_US, principal="harness", cause=cause, idempotency_key=key)


def budget(tokens: int, key: str | None = None) -> NewEvent:
    """A small input."""
    return new(BudgetChanged(tokens), key)


def used(page_id: str = "p1", cause: int | None = None) -> NewEvent:
    """A small decision."""
    return new(PageUsed(page_id, NeedRule.DECLARED), cause=cause)


def payloads(events: Sequence[Recorded]) -> list[Event]:
    """The data of stored events."""
    return [recorded.data for recorded in events]


class EventLogContract:
    """What an `EventLog` must do, one law a test."""

    def test_a_new_log_is_empty(self, log: EventLog) -> None:
        """A new log has an id, no streams and no events."""
        assert len(log.journal_id) >= 32
        assert log.heads() == ()
        assert log.head("s") is None
        assert list(log.read("s")) == list(log.read_all()) == []
        assert log.find("s", "k") == ()

    def test_numbers_are_gapless(self, log: EventLog) -> None:
        """LAW-LOG-1: versions count from 1 in each stream, seq from 1 over all, in the order of commits."""
        log.append("a", [budget(1), used()])
        log.append("b", [budget(2)])
        log.append("a", [budget(3)])
        assert [(r.seq, r.session_id, r.version) for r in log.read_all()] == [
            (1, "a", 1),
            (2, "a", 2),
            (3, "b", 1),
            (4, "a", 3),
        ]

    def test_what_is_read_is_what_was_appended(self, log: EventLog) -> None:
        """Every column of the envelope comes back, and the data as an equal event."""
        event = attrs.evolve(budget(7, "key"), turn=3, at_us=AT_US + 5, principal="someone")
        head = log.append("s", [event])
        (stored,) = log.read("s")
        assert (stored.seq, stored.session_id, stored.version, stored.turn) == (1, "s", 1, 3)
        assert (stored.kind, stored.type, stored.schema_version) == ("input", "budget_changed", 1)
        assert (stored.at_us, stored.principal, stored.cause, stored.idempotency_key) == (
            AT_US + 5,
            "someone",
            None,
            "key",
        )
        assert (stored.raw, stored.data) == (b'{"budget_tokens":7}', BudgetChanged(7))
        assert (head.version, head.seq, head.hash) == (1, 1, stored.hash)

    def test_each_stream_is_one_chain(self, log: EventLog) -> None:
        """LAW-CHAIN-1 and -2: each event holds the hash of the one before, the first 32 zero bytes."""
        log.append("a", [budget(1, "ключ"), used()])
        log.append("b", [budget(1)])
        log.append("a", [budget(2)])
        for session_id in ("a", "b"):
            before = GENESIS
            for r in log.read(session_id):
                key = None if r.idempotency_key is None else r.idempotency_key.encode()
                texts = r.session_id.encode(), r.version, r.turn, r.kind.encode(), r.type.encode(), r.schema_version
                assert r.prev_hash == before
                assert r.hash == event_hash(*texts, r.at_us, r.principal.encode(), r.cause, key, r.raw, before)
                before = r.hash

    def test_heads_are_returned_and_kept(self, log: EventLog) -> None:
        """A commit returns the head; `head` and `heads` (by session id) agree with it and with the last event."""
        second = log.append("b", [budget(1)])
        first = log.append("a", [budget(1), used(), used()])
        assert log.heads() == (first, second)
        assert log.head("a") == first
        last = list(log.read("a"))[-1]
        assert (first.session_id, first.version, first.seq, first.hash) == ("a", 3, last.seq, last.hash)

    def test_heads_are_provisional_until_a_full_commit(self, log: EventLog) -> None:
        """A `normal` commit's head is provisional; a `full` commit makes all heads before it durable."""
        assert log.append("a", [budget(1)]).provisional
        assert not log.append("b", [budget(1)], durability=Durability.FULL).provisional
        assert [head.provisional for head in log.heads()] == [False, False]
        assert log.append("b", [budget(2)]).provisional

    def test_expected_versions(self, log: EventLog) -> None:
        """Each mode accepts exactly the streams it describes; a refused append changes nothing."""
        import pytest

        def appends(expected: ExpectedVersion) -> bool:
            before = log.head("s")
            try:
                log.append("s", [budget(1)], expected)
            except VersionConflict:
                assert log.head("s") == before
                return False
            return True

        assert [appends(e) for e in (Expected.STREAM_EXISTS, 1)] == [False, False]
        assert appends(Expected.NO_STREAM)
        assert [appends(e) for e in (Expected.NO_STREAM, 0, 2, Expected.STREAM_EXISTS, 2, 3, Expected.ANY)] == [
            False,
            False,
            False,
            True,
            True,
            True,
            True,
        ]
        log.append("other", [budget(1)], 0)
        with pytest.raises(VersionConflict, match="session s: expected version 9, found version 5"):
            log.append("s", [budget(1)], 9)

    def test_reading_parts(self, log: EventLog) -> None:
        """`read` and `read_all` take an open lower and a closed upper bound."""
        log.append("a", [budget(n) for n in range(1, 6)])
        log.append("b", [budget(9)])
        assert [r.version for r in log.read("a", after=1, upto=3)] == [2, 3]
        assert [r.version for r in log.read("a", after=3)] == [4, 5]
        assert [r.version for r in log.read("a", upto=0)] == []
        assert [r.version for r in log.read("a", after=9)] == []
        assert [r.seq for r in log.read_all(after_seq=4)] == [5, 6]
        assert [r.seq for r in log.read_all(1, 3)] == [2, 3]

    def test_long_streams_are_read_whole(self, log: EventLog) -> None:
        """A stream longer than any page of the store comes back whole and in order."""
        log.append("a", [budget(n) for n in range(1, 1_301)])
        log.append("b", [budget(n) for n in range(1, 700)])
        assert [r.version for r in log.read("a")] == list(range(1, 1_301))
        assert [r.seq for r in log.read_all()] == list(range(1, 2_000))

    def test_a_read_ends_where_the_log_ended_when_it_began(self, log: EventLog) -> None:
        """What is appended while a reader walks the log is not part of that walk."""
        log.append("a", [budget(n) for n in range(1, 601)])
        seen = 0
        for recorded in log.read_all():
            if recorded.seq % 300 == 0:
                log.append("a", [budget(recorded.seq)])
            seen += 1
        assert seen == 600

    def test_a_known_group_is_left_out(self, log: EventLog) -> None:
        """LAW-LOG-3: a key that comes again with the same input appends nothing and gives the first result."""
        group = [budget(1, "k"), used("p1"), used("p2")]
        first = log.append("s", group)
        log.append("s", [budget(2)])
        assert log.append("s", group).version == 4
        assert log.append("s", [budget(1, "k")], expected=0).version == 4
        found = log.find("s", "k")
        assert payloads(found) == [event.data for event in group]
        assert [r.cause for r in found] == [None, 1, 1]
        assert found[-1].hash == first.hash

    def test_keys_belong_to_their_stream(self, log: EventLog) -> None:
        """The same key in another stream is another key."""
        log.append("a", [budget(1, "k")])
        assert log.append("b", [budget(2, "k")]).version == 1

    def test_a_key_with_other_content_is_a_conflict(self, log: EventLog) -> None:
        """Other data, or another type, under a known key raises and appends nothing, whatever is expected."""
        import pytest

        log.append("s", [budget(1, "k")])
        for other in (budget(2, "k"), new(ToolReturned(1, ReturnStatus.OK), "k")):
            with pytest.raises(IdempotencyConflict, match="key 'k'"):
                log.append("s", [budget(5), other], expected=9)
        assert len(list(log.read("s"))) == 1

    def test_in_a_batch_the_rest_is_appended(self, log: EventLog) -> None:
        """Known groups of a batch are left out, the others appended; causes move with their events."""
        log.append("s", [budget(1, "k1"), used("p1")])
        log.append(
            "s", [budget(2, "k2"), used("p2", cause=3), used("p3", cause=4), budget(3, "k3"), used("p4", cause=6)]
        )
        head = log.append(
            "s", [budget(2, "k2"), used("p2", cause=9), budget(4, "k4"), used("p5", cause=10), used("p6", cause=11)]
        )
        assert head.version == 10
        assert [(r.version, r.cause) for r in log.read("s", after=7)] == [(8, None), (9, 8), (10, 9)]

    def test_a_key_twice_in_one_batch(self, log: EventLog) -> None:
        """The second group under one key in a batch is left out, or a conflict if it differs."""
        import pytest

        assert log.append("s", [budget(1, "k"), used(), budget(1, "k"), used()]).version == 2
        with pytest.raises(IdempotencyConflict):
            log.append("s", [budget(1, "n"), budget(2, "n")])
        assert len(list(log.read("s"))) == 2

    def test_the_key_is_looked_at_before_the_version(self, log: EventLog) -> None:
        """A retry with a stale expected version is a retry, not a conflict; with something new it is one."""
        import pytest

        log.append("s", [budget(1, "k")], Expected.NO_STREAM)
        assert log.append("s", [budget(1, "k")], Expected.NO_STREAM).version == 1
        with pytest.raises(VersionConflict):
            log.append("s", [budget(1, "k"), budget(2, "n")], Expected.NO_STREAM)
        assert log.find("s", "n") == ()

    def test_misuse_is_refused(self, log: EventLog) -> None:
        """A key on a decision, a cause that is not before its event, no events, an empty id: nothing is appended."""
        import pytest

        wrong: list[tuple[str, list[NewEvent]]] = [
            ("s", [new(PageUsed("p", NeedRule.DECLARED), "k")]),
            ("s", [budget(1), used(cause=2)]),
            ("s", [budget(1), used(cause=0)]),
            ("s", []),
            ("", [budget(1)]),
            ("\ud800", [budget(1)]),
            ("s", [attrs.evolve(budget(1), at_us=2**63)]),
        ]
        for session_id, events in wrong:
            with pytest.raises(UsageError):
                log.append(session_id, events)
        for session_id in ("", "\ud800"):
            with pytest.raises(UsageError):
                log.vault(session_id)
        assert log.heads() == ()

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
        """A refused append leaves the transaction as it was; the block may go on."""
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
                while (head := log.head("shared")) is None or head.version <= n:
                    pass

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(wins) == list(range(20))
        assert {h.session_id: h.version for h in log.heads()} == {**{f"own{i}": 40 for i in range(4)}, "shared": 20}
        assert [r.seq for r in log.read_all()] == list(range(1, 181))

    def test_a_fork_continues_its_parent(self, log: EventLog) -> None:
        """LAW-CHAIN-2: a fork's versions and chain go on from the parent's event; the parent's are not copied."""
        import pytest

        log.append("parent", [budget(1), budget(2), budget(3)])
        at = list(log.read("parent"))[1]
        fork = SessionForked("parent", at.version, at.hash.hex())
        head = log.append("child", [new(fork), budget(4)], Expected.NO_STREAM)
        assert head.version == 4
        stored = list(log.read("child"))
        assert [(r.version, r.prev_hash) for r in stored] == [(3, at.hash), (4, stored[0].hash)]
        assert [r.version for r in log.read("child", after=3)] == [4]
        for wrong in (replace(fork, parent_version=3), replace(fork, parent="nobody")):
            with pytest.raises(VersionConflict):
                log.append("other", [new(wrong)])

    def test_a_transaction_can_name_the_hash_to_follow(self, log: EventLog) -> None:
        """`prev_hash` is checked against what the event would be chained to."""
        import pytest

        head = log.append("s", [budget(1)])
        with log.transaction() as transaction:
            with pytest.raises(VersionConflict):
                transaction.append("s", [budget(2)], prev_hash=GENESIS)
            transaction.append("s", [budget(2)], prev_hash=head.hash)
            transaction.append("t", [budget(2)], prev_hash=GENESIS)

    def test_bodies_open_at_once_and_after_the_append(self, log: EventLog) -> None:
        """LAW-VAULT-1: a body can be opened as soon as it is committed, and by all once an event names it."""
        vault = log.vault("s")
        commitment = vault.commit(b"\x00 text \xff")
        assert len(bytes.fromhex(commitment)) == 32
        assert vault.open(commitment) == b"\x00 text \xff"
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert log.vault("other").open(commitment) == b"\x00 text \xff"
        assert vault.open("0" * 64) is None

    def test_equal_bodies_have_one_commitment_a_session(self, log: EventLog) -> None:
        """LAW-VAULT-2: the same body gives the same commitment in a session, before and after it is stored."""
        first = log.vault("a").commit(b"body")
        assert log.vault("a").commit(b"body") == first
        log.append("a", [new(ToolCalled(1, "tool", first))])
        assert log.vault("a").commit(b"body") == first
        assert log.vault("b").commit(b"body") != first

    def test_sealed_bodies_are_not_kept(self, log: EventLog) -> None:
        """A sealed body cannot be opened, before or after the append that names it."""
        vault = log.vault("s")
        commitment = vault.seal(b"prompt")
        assert vault.open(commitment) is None
        log.append("s", [new(PromptRendered("r", 1, commitment))])
        assert vault.open(commitment) is None

    def test_kept_bodies_are_counted_once(self, log: EventLog) -> None:
        """`bodies_kept` counts a body that two sessions share once, of a session its own, and no sealed one."""
        for session_id, body in (("a", b"shared"), ("b", b"shared"), ("b", b"of b")):
            query = log.vault(session_id).commit(body)
            log.append(session_id, [new(RecallAnswered(1, RecallOutcome.OK, query))])
        log.append("b", [new(PromptRendered("r", 1, log.vault("b").seal(b"sealed")))])
        assert log.bodies_kept() == log.bodies_kept("b") == (2, 10)
        assert log.bodies_kept("a") == (1, 6) and log.bodies_kept("c") == (0, 0)

    def test_seeded_salts_are_reproducible(self, log: EventLog) -> None:
        """With a seed the commitment follows from seed, session and body alone."""
        vault = log.vault("s", seed=7)
        salt = hmac.digest(b"7", b"s" + hashlib.sha256(b"body").digest(), "sha256")
        commitment = vault.commit(b"body")
        assert commitment == vault.seal(b"body") == hmac.digest(salt, b"body", "sha256").hex()
        assert log.vault("t", seed=7).commit(b"body") != commitment
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert vault.seal(b"body") == commitment
        assert vault.open(commitment) == b"body"
        assert log.vault("s", seed=8).seal(b"body") != commitment

    def test_a_sealed_body_can_be_kept_later(self, log: EventLog) -> None:
        """With a seed a body may be sealed first and committed later: then it can be opened."""
        vault = log.vault("s", seed=7)
        log.append("s", [new(PromptRendered("r", 1, vault.seal(b"text")))])
        commitment = vault.commit(b"text")
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert log.vault("t").open(commitment) == b"text"

    def test_bodies_of_a_failed_append_wait(self, log: EventLog) -> None:
        """LAW-VAULT-1: a transaction that is rolled back stores no body, and the next one that names it does."""
        import pytest

        vault = log.vault("s")
        commitment = vault.commit(b"body")
        event = new(ToolCalled(1, "tool", commitment))
        with pytest.raises(ZeroDivisionError), log.transaction() as transaction:
            transaction.append("s", [event])
            raise ZeroDivisionError
        assert vault.open(commitment) == b"body"
        log.append("s", [event])
        assert vault.open(commitment) == vault.open(vault.commit(b"body")) == b"body"

    def test_a_retry_may_commit_to_its_bodies_anew(self, log: EventLog) -> None:
        """LAW-LOG-3: the same input with the same bodies is a retry, also when a sealed body got a new commitment."""
        import pytest

        vault = log.vault("s")

        def rendered(prompt: bytes) -> NewEvent:
            return new(PromptRendered("r", 1, vault.seal(prompt)), "k")

        log.append("s", [rendered(b"one")])
        assert log.append("s", [rendered(b"one")]).version == 1
        with pytest.raises(IdempotencyConflict):
            log.append("s", [rendered(b"two")])

    def test_a_closed_log_refuses(self, log: EventLog) -> None:
        """After `close`, which may come twice, every call raises `UsageError`."""
        import pytest

        log.append("s", [budget(1)])
        log.close()
        log.close()
        for call in (lambda: log.head("s"), log.heads, lambda: log.append("s", [budget(2)]), lambda: log.vault("s")):
            with pytest.raises(UsageError):
                call()
