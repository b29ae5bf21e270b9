"""The ports of proof: a log that checks what it stored, and one that gives its hashes for anchors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from clawvm_es.journal.ports.capabilities import Capability, require
from clawvm_es.journal.problems import Note, Problem, silent


class Verifying(Protocol):
    """A log that checks what it stored (`Capability.VERIFY`)."""

    def verify(self, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
        """All problems of the log, at most `PROBLEMS_MAX`; empty if it is unaltered. Writes nothing.

        `fast` checks numbers and chains only. `note` is called with oddities that an older program recorded and
        today's would refuse. Stored content never raises: it is reported as a problem.
        """


class Anchoring(Protocol):
    """A log that gives the hashes of its events, in order (`Capability.ANCHOR`)."""

    @property
    def journal_id(self) -> str:
        """The random id given to this log when it was made."""

    def size(self) -> int:
        """The number of events; raises `JournalDamaged`."""

    def hashes(self, after: int, upto: int) -> Iterator[bytes]:
        """The stored hashes of the events with `seq` above `after` and up to `upto`, 32 bytes each, without a gap.

        Raises `JournalDamaged` where one of them is missing.
        """

    def sync(self) -> None:
        """Return once everything that can be read would survive a power cut."""


def verifying(log: object, verb: str) -> Verifying:
    """The log as one that verifies; raises `MissingCapability`."""
    require(log, Capability.VERIFY, verb)
    return cast(Verifying, log)


def anchoring(log: object, verb: str) -> Anchoring:
    """The log as one that gives its hashes; raises `MissingCapability`."""
    require(log, Capability.ANCHOR, verb)
    return cast(Anchoring, log)
