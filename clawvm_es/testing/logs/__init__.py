"""The contract that every storage passes: subclass `EventLogContract` and give it a `place` fixture.

    class TestMyLog(EventLogContract):
        @pytest.fixture
        def place(self, tmp_path):
            return Place(lambda **options: open_my_log(tmp_path / "log", **options), shared=True, kept=True)

A `Place` opens logs, one or several at a time, always on the same events. Every test begins with a new place.
Tests of an undeclared capability, or of a helper that the place lacks, are skipped with a message. A test of its
own checks that verbs of a missing capability are refused.

| laws | about |
|---|---|
| `StreamLaws`, `KeyLaws`, `TransactionLaws` | one log: order, chains, versions, keys, whole or nothing |
| `BodyLaws` | commitments, salts, what is kept and what is sealed |
| `WriterLaws`, `DurabilityLaws` | two logs on one place, opening again, a killed process, an unknown outcome |
| `RefusalLaws`, `ProofLaws` | missing capabilities, odd characters, guards; verification, hashes for anchors |
| `ErasureLaws` | no trace of what is called erased; pending while a reader is in the way |
| `SnapshotLaws`, `ModelLaws`, `TextLaws` | caches: never wrong, at most behind |

pytest is needed only where the contract runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from clawvm_es.journal.ports import EventLog
from clawvm_es.testing.logs.bodies import BodyLaws
from clawvm_es.testing.logs.caches import ModelLaws, SnapshotLaws, TextLaws
from clawvm_es.testing.logs.checks import ProofLaws, RefusalLaws
from clawvm_es.testing.logs.durability import DurabilityLaws
from clawvm_es.testing.logs.erasing import ErasureLaws
from clawvm_es.testing.logs.keys import KeyLaws
from clawvm_es.testing.logs.place import Cut, Place, budget, fixture, new, opened, payloads, used
from clawvm_es.testing.logs.streams import StreamLaws
from clawvm_es.testing.logs.transactions import TransactionLaws
from clawvm_es.testing.logs.writers import WriterLaws

__all__ = ["Cut", "EventLogContract", "Place", "budget", "new", "opened", "payloads", "used"]


class EventLogContract(
    StreamLaws,
    KeyLaws,
    TransactionLaws,
    BodyLaws,
    WriterLaws,
    DurabilityLaws,
    RefusalLaws,
    ProofLaws,
    ErasureLaws,
    SnapshotLaws,
    ModelLaws,
    TextLaws,
):
    """Contract of an `EventLog`, one law a test; fixture `place`."""

    @fixture
    def log(self, place: Place) -> Iterator[EventLog]:
        """A log on a new place, checked as a whole when the test is done with it."""
        with opened(place) as log:
            yield log
