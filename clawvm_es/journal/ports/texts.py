"""The ports of full text: an index over the bodies that a log keeps, and a ranked one in memory."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias, cast

from clawvm_es.journal.ports.capabilities import Capability, declares
from clawvm_es.journal.ports.log import EventLog, Recorded

_FEW: Final = 24
"""Commitments up to which it pays to look for each of them in every input."""
Phrase: TypeAlias = Sequence[str]
"""A series of terms that stand together; see `representations.terms`."""


class TextIndex(Protocol):
    """The full-text index over bodies that a log stores (`Capability.TEXT`)."""

    def holding(self, phrases: Iterable[Phrase]) -> Container[str]:
        """Return the commitments to bodies that contain all `phrases`, including bodies not indexed yet."""

    def naming(
        self, stream: str, held: Container[str], after: int = 0, upto: int | None = None
    ) -> Iterator[Recorded]:
        """The inputs of a stream with versions in `(after, upto]` that name one of some commitments, in order.

        `held` is what `holding` returned, or any other commitments.
        """

    def behind(self) -> int:
        """Count the bodies that are not indexed yet."""

    def stray(self) -> int:
        """Count the bodies that the index knows and the log does not keep."""

    def problems(self) -> list[str]:
        """Name the bodies about which the index is wrong; a body that is not indexed yet is no problem."""


class RankedTexts(Protocol):
    """Texts in memory, found by their words and ranked by BM25; ties go to the lower number."""

    def put(self, number: int, text: str) -> None:
        """Index the text of `number`, in place of what it held before."""

    def best(self, phrases: Iterable[Phrase], top_k: int) -> tuple[int, ...]:
        """Return the numbers of the `top_k` texts that match any of `phrases` best, best first."""

    def close(self) -> None:
        """Release the index."""


class Substrings(Protocol):
    """Texts searched by substring; for this process only, and kept outside its memory.

    LAW-SUBSTRING-1: every text that contains another is among those that `may_hold` returns.
    """

    def put(self, number: int, text: str, keep: bool = False) -> None:
        """Index the text of a number, which is given once; the text itself is stored only on request."""

    def text(self, number: int) -> str:
        """The text of a number; empty if it was not stored."""

    def may_hold(self, text: str) -> list[int]:
        """The numbers, ascending, of the texts that may contain `text`, which has at least three characters."""


class Indexed(EventLog, Protocol):
    """A log that keeps a full-text index."""

    def texts(self) -> TextIndex:
        """Return the index."""


def texts_of(log: EventLog) -> TextIndex | None:
    """Return the full-text index of a log; None if the log keeps none."""
    return cast(Indexed, log).texts() if declares(log, Capability.TEXT) else None


def few(held: Container[str]) -> list[str] | None:
    """Return the commitments if they are so few that it pays to look for each of them in every input, else None."""
    return sorted(held) if isinstance(held, Collection) and len(held) <= _FEW else None
