"""The laws of refusals, guards, verification and anchors: what a log says no to, and what it proves."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from clawvm_es import storage
from clawvm_es.errors import (
    ClawVMError,
    IdempotencyConflict,
    JournalDamaged,
    JournalReadOnly,
    MissingCapability,
    NotCanonical,
    UsageError,
    VersionConflict,
)
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal import anchors
from clawvm_es.journal.ports import (
    Capability,
    EventLog,
    anchoring,
    declares,
    erasing,
    models_of,
    snapshots_of,
    texts_of,
    verifying,
)
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import PageUsed, ToolCalled
from clawvm_es.model.facts import NeedRule
from clawvm_es.projections import catch_up, snapshot
from clawvm_es.projections.tables import MODELS
from clawvm_es.testing.logs.place import AT_US, Place, budget, need, needs, new, used

VERBS: dict[Capability, Callable[[EventLog], object]] = {
    Capability.VERIFY: storage.verify,
    Capability.ANCHOR: lambda log: anchors.inclusion_proofs(log, [1], 1),
    Capability.ERASE: lambda log: redact(log, Target("s", everything=True), at_us=AT_US),
}
"""Capability → a verb that is refused without it; the others are caches."""
CACHES: dict[Capability, Callable[[EventLog], object]] = {
    Capability.SNAPSHOTS: snapshots_of,
    Capability.MODELS: lambda log: models_of(log, MODELS),
    Capability.TEXT: texts_of,
}
"""Cache → its store; None where the log keeps none."""
LOOKS: tuple[Callable[[EventLog, str], object], ...] = (
    lambda log, odd: log.head(odd),
    lambda log, odd: log.first(odd),
    lambda log, odd: list(log.read(odd)),
    lambda log, odd: log.find(odd, "k"),
    lambda log, odd: log.find("s", odd),
    lambda log, odd: log.stored(odd),
    lambda log, odd: log.holders(odd),
    lambda log, odd: log.vault("s").open(odd),
)
"""Looks for an id, a key or a commitment."""


class RefusalLaws:
    """Contract of refusals."""

    def test_what_is_not_declared_is_refused(self, log: EventLog) -> None:
        """A verb whose capability is missing raises `MissingCapability`, names it, and writes nothing."""
        import pytest

        assert isinstance(log.capabilities, frozenset) and log.capabilities <= frozenset(Capability)
        assert log.kind and log.place
        log.append("s", [budget(1)])
        before = log.heads()
        for capability, verb in VERBS.items():
            if not declares(log, capability):
                with pytest.raises(MissingCapability, match=f"the capability {capability}") as caught:
                    verb(log)
                assert log.kind in str(caught.value)
        assert log.heads() == before

    def test_what_is_declared_is_there(self, log: EventLog) -> None:
        """A log that declares a capability fills its port, at least on an empty log; a cache is there or is None."""
        if declares(log, Capability.VERIFY):
            assert verifying(log, "verify").verify() == verifying(log, "verify").verify(fast=True) == ()
        if declares(log, Capability.ANCHOR):
            assert anchoring(log, "a checkpoint").size() == 0
        if declares(log, Capability.ERASE):
            assert erasing(log, "redact").pending_erasures() == ()
        for capability, store in CACHES.items():
            assert (store(log) is not None) == declares(log, capability)

    def test_read_models_need_no_store(self, log: EventLog) -> None:
        """Read models are the same with stored tables and without: they are folded where none are kept."""
        log.append("s", [budget(1), used()])
        catch_up(log)
        log.append("s", [budget(2)])
        with snapshot(log) as found:
            assert found.seq == 3

    def test_odd_characters_in_ids_are_refused(self, log: EventLog) -> None:
        """NUL, other control characters and surrogates in ids, keys and names raise `UsageError`; nothing is kept."""
        import pytest

        for odd in ("a\0b", "\0", "a\nb", "\u202e", "\ud800"):
            wrong = [
                (odd, budget(1)),
                ("s", budget(1, odd)),
                ("s", replace(budget(1), principal=odd)),
                ("s", new(ToolCalled(1, odd, "0" * 64))),
            ]
            for session_id, event in wrong:
                with pytest.raises((UsageError, NotCanonical)):
                    log.append(session_id, [event])
        assert log.heads() == ()

    def test_odd_characters_are_found_nowhere(self, log: EventLog) -> None:
        """A lookup of an id or key that no event can have finds nothing, or raises `UsageError`."""
        log.append("s", [budget(1, "k")])
        for odd in ("a\0b", "s\0", "\0"):
            for look in LOOKS:
                with suppress(UsageError):
                    assert look(log, odd) in (None, (), [])

    def test_errors_survive_pickling(self, place: Place) -> None:
        """LAW: what a log raises in one process is the same in another: class, text, hint and attributes."""
        found: list[ClawVMError] = []
        with place.open() as log:
            log.append("s", [budget(1, "k")])
            calls: list[tuple[type[ClawVMError], Callable[[], object]]] = [
                (VersionConflict, lambda: log.append("s", [budget(2)], 9)),
                (IdempotencyConflict, lambda: log.append("s", [budget(2, "k")])),
                (UsageError, lambda: log.append("", [budget(2)])),
                (NotCanonical, lambda: log.append("s", [budget(INTEGER_MAX + 1)])),
                *[(MissingCapability, lambda v=v: v(log)) for c, v in VERBS.items() if not declares(log, c)],
            ]
            for kind, call in calls:
                found.append(_raised(kind, call))
        found.append(_raised(UsageError, log.heads))
        if place.kept:
            with place.open(read_only=True) as log:
                found.append(_raised(JournalReadOnly, lambda: log.append("s", [budget(2)])))
        for error in found:
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is type(error)
            assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))

    def test_stored_events_are_guarded(self, place: Place) -> None:
        """An UPDATE, DELETE or REPLACE behind the log's back is refused, and changes nothing; see `Place.attacks`."""
        import pytest

        need(place.attacks, "has no guards")
        assert place.attacks is not None
        with place.open() as log:
            body = log.vault("s").commit(b"body")
            log.append("s", [budget(1, "k"), used(), new(ToolCalled(1, "tool", body))])
            log.append("t", [budget(2)])
            before = list(log.read_all())
        for name, attack in place.attacks():
            with pytest.raises(Exception, match=r".") as caught:
                attack()
            assert not isinstance(caught.value, AssertionError), name
        with place.open() as log:
            assert list(log.read_all()) == before
            assert log.vault("s").open(body) == b"body"


class ProofLaws:
    """Contract of a log that verifies, or gives its hashes."""

    def test_what_was_written_verifies(self, log: EventLog) -> None:
        """A log of several streams, keys, bodies and a fork has no problems, also with `fast`."""
        needs(log, Capability.VERIFY)
        vault = log.vault("s")
        log.append("s", [budget(1, "k"), used(), new(ToolCalled(1, "tool", vault.commit(b"body")))])
        log.append("t", [new(ToolCalled(1, "tool", log.vault("t").commit(b"body"), log.vault("t").seal(b"x")))])
        checked = verifying(log, "verify")
        assert checked.verify() == checked.verify(fast=True) == ()

    def test_damage_is_a_problem(self, place: Place) -> None:
        """A stored event that was changed in place is reported, not raised, as a problem; see `Place.damage`."""
        need(place.damage, "cannot be damaged")
        assert place.damage is not None
        with place.open() as log:
            needs(log, Capability.VERIFY)
            log.append("s", [budget(1), budget(2)])
            place.damage()
            assert verifying(log, "verify").verify() != ()

    def test_hashes_are_those_of_the_events(self, log: EventLog) -> None:
        """LAW-ANCHOR-1: size and hashes are those that `read_all` gives, whole and in parts, without a gap."""
        import pytest

        needs(log, Capability.ANCHOR)
        for n in range(1, 6):
            log.append(f"s{n % 2}", [budget(n), new(PageUsed("p", NeedRule.DECLARED))])
        anchored = anchoring(log, "a checkpoint")
        hashes = [each.hash for each in log.read_all()]
        assert anchored.journal_id == log.journal_id
        assert anchored.size() == len(hashes) == 10
        for after, upto in ((0, 10), (3, 7), (9, 10), (4, 4)):
            assert list(anchored.hashes(after, upto)) == hashes[after:upto]
        with pytest.raises(JournalDamaged):
            list(anchored.hashes(0, 11))

    def test_a_sync_makes_all_durable(self, place: Place) -> None:
        """LAW-ANCHOR-1: `sync` may come at any time, on an empty log too, and changes nothing that can be read."""
        with place.open() as log:
            needs(log, Capability.ANCHOR)
            anchored = anchoring(log, "a checkpoint")
            anchored.sync()
            log.append("s", [budget(1)])
            before = list(log.read_all())
            anchored.sync()
            assert list(log.read_all()) == before


def _raised(kind: type[ClawVMError], call: Callable[[], object]) -> ClawVMError:
    """The error of a kind that a call raises."""
    import pytest

    with pytest.raises(kind) as caught:
        call()
    return caught.value
