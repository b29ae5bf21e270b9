"""The port of erasure: an erased body leaves no trace."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, cast

from clawvm_es.journal.ports.capabilities import Capability, require


class Erasure(StrEnum):
    """Progress of an erasure."""

    NOTHING = "nothing"
    """There was nothing to erase."""
    ERASED = "erased"
    """Rows are gone, and so is every trace in the files."""
    REMOVED = "removed"
    """Rows are gone, and the storage cannot reach every copy of them: `Erasing.known_copies` names those."""
    PENDING = "pending"
    """Rows are gone; a reader (or a full disk) keeps old pages from being overwritten."""
    RESIDUE = "residue"
    """A piece was found after all was done: a copy in a table that is not ours."""


class Erasing(Protocol):
    """A log that leaves no trace of erased bodies (`Capability.ERASE`).

    A transaction deletes the rows (`Transaction.erase`); `scrub` removes their traces from the files.
    """

    def pending_erasures(self) -> tuple[int, ...]:
        """The first events of erasures whose traces may still exist."""

    def scrubbed(self) -> Sequence[tuple[str, str]]:
        """The places beside rows that `scrub` cleans, and how, for certificates; empty if there are none."""

    def known_copies(self) -> Sequence[str]:
        """The places that may hold copies of erased bodies and that the log cannot clean; empty if there are none."""

    def scrub(self, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
        """Remove the traces of erased `bodies`, in each of their stored forms (None: unknown); returns the progress.

        Waits `wait_s` for other writers, by default as long as the log does. It never raises for obstacles: the
        erasure stays pending, and the next open of the log finishes it.
        """


def erasing(log: object, verb: str) -> Erasing:
    """The log as one that erases; raises `MissingCapability`."""
    require(log, Capability.ERASE, verb)
    return cast(Erasing, log)
