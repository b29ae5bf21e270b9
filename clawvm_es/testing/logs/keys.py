"""The laws of idempotency keys (LAW-LOG-3): the same input comes again and is left out."""

from __future__ import annotations

from clawvm_es.errors import IdempotencyConflict, VersionConflict
from clawvm_es.journal.ports import EventLog, Expected, NewEvent
from clawvm_es.model.events import (
    PromptRendered,
    ToolReturned,
)
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.testing.logs.place import budget, new, payloads, used


class KeyLaws:
    """Contract of idempotency keys."""

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
        """A stale expected version is no conflict for a retry; for a batch with a new event it is one."""
        import pytest

        log.append("s", [budget(1, "k")], Expected.NO_STREAM)
        assert log.append("s", [budget(1, "k")], Expected.NO_STREAM).version == 1
        with pytest.raises(VersionConflict):
            log.append("s", [budget(1, "k"), budget(2, "n")], Expected.NO_STREAM)
        assert log.find("s", "n") == ()

    def test_the_version_is_looked_at_first_where_that_is_wanted(self, log: EventLog) -> None:
        """With `version_first` a known key is a conflict if the stream is past the version, else a retry."""
        import pytest

        log.append("s", [budget(1, "k")], Expected.NO_STREAM, version_first=True)
        with pytest.raises(VersionConflict):
            log.append("s", [budget(1, "k")], Expected.NO_STREAM, version_first=True)
        assert log.append("s", [budget(1, "k")], 1, version_first=True).version == 1
        assert log.append("s", [budget(2, "n")], 1, version_first=True).version == 2
        assert len(list(log.read("s"))) == 2

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
