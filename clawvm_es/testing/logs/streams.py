"""The laws of streams: numbers, chains, heads, expected versions, reads, forks."""

from __future__ import annotations

from msgspec.structs import replace

from clawvm_es.errors import UsageError, VersionConflict
from clawvm_es.journal.chain import GENESIS, event_hash
from clawvm_es.journal.ports import Durability, EventLog, Expected, ExpectedVersion, NewEvent
from clawvm_es.model.events import (
    BudgetChanged,
    PageUsed,
    SessionForked,
)
from clawvm_es.model.facts import NeedRule
from clawvm_es.testing.logs.place import AT_US, budget, new, used


class StreamLaws:
    """Contract of streams."""

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
        event = replace(budget(7, "key"), turn=3, at_us=AT_US + 5, principal="someone")
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
        """Events appended while a reader walks the log are not part of that walk."""
        log.append("a", [budget(n) for n in range(1, 601)])
        seen = 0
        for recorded in log.read_all():
            if recorded.seq % 300 == 0:
                log.append("a", [budget(recorded.seq)])
            seen += 1
        assert seen == 600

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
            ("s", [replace(budget(1), at_us=2**63)]),
        ]
        for session_id, events in wrong:
            with pytest.raises(UsageError):
                log.append(session_id, events)
        for session_id in ("", "\ud800"):
            with pytest.raises(UsageError):
                log.vault(session_id)
        assert log.heads() == ()

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

    def test_a_closed_log_refuses(self, log: EventLog) -> None:
        """After `close`, which may come twice, every call raises `UsageError`."""
        import pytest

        log.append("s", [budget(1)])
        log.close()
        log.close()
        for call in (lambda: log.head("s"), log.heads, lambda: log.append("s", [budget(2)]), lambda: log.vault("s")):
            with pytest.raises(UsageError):
                call()
