"""A session and its fork parents: a fork's stream continues from its parent's event and copies nothing.

LAW-LINEAGE-1: the events of a session are its parent's up to the fork, then its own; versions are gapless from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import attrs

from clawvm_es.errors import JournalDamaged, UsageError
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import SessionForked

_PIECE: Final = 64
_PIECES_MAX: Final = 4096
"""Events that reading backwards takes at once, at first and at most: what is asked for is mostly near."""
_KEPT_MAX: Final = 64
"""Blocks of events that one question keeps in memory."""


@attrs.frozen
class Segment:
    """A part of a session's events: those of `stream` up to version `upto` (None: to its end)."""

    stream: str
    upto: int | None = None


@attrs.frozen
class Fork:
    """The place where a stream was forked: from `parent`, whose event `version` is the last before it."""

    parent: str
    version: int


def fork_of(stream: str, first: Recorded) -> Fork | None:
    """Return the fork place in a stream's first event; None if the stream is no fork.

    Raises `JournalDamaged` if the event's own version does not follow that place.
    """
    fork = first.data
    if not isinstance(fork, SessionForked):
        return None
    if first.version != fork.parent_version + 1 or fork.parent_version < 1:
        raise JournalDamaged(
            f"session {stream} begins at version {first.version}, and says that it was forked from version"
            f" {fork.parent_version} of {fork.parent}"
        )
    return Fork(fork.parent, fork.parent_version)


def has_no_events(session_id: str, stream: str) -> JournalDamaged:
    """The error of a session whose ancestor is missing."""
    return JournalDamaged(f"session {session_id} was forked from {stream}, which has no events")


def descends_from_itself(session_id: str, stream: str) -> JournalDamaged:
    """The error of a session that is its own ancestor."""
    return JournalDamaged(f"session {session_id} descends from itself by way of {stream}")


def lacks(session_id: str, version: int) -> JournalDamaged:
    """The error of a session in which a version is missing before later ones."""
    return JournalDamaged(f"session {session_id} has no version {version}, but later ones")


def lineage(log: EventLog, session_id: str, upto: int | None = None) -> tuple[Segment, ...]:
    """The streams that hold a session's events up to version `upto`, oldest first; empty if there is no session."""
    return segments(log.first, session_id, upto)


def segments(
    first_of: Callable[[str], Recorded | None], session_id: str, upto: int | None = None
) -> tuple[Segment, ...]:
    """The segments of `lineage`, from a function that returns the first event of any stream."""
    found: list[Segment] = []
    stream, seen = session_id, {session_id}
    while (first := first_of(stream)) is not None or stream != session_id:
        if first is None:
            raise has_no_events(session_id, stream)
        if upto is None or upto >= first.version:
            found.append(Segment(stream, upto))
        fork = fork_of(stream, first)
        if fork is None:
            break
        stream, upto = fork.parent, fork.version if upto is None else min(upto, fork.version)
        if stream in seen:
            raise descends_from_itself(session_id, stream)
        seen.add(stream)
    return tuple(reversed(found))


def read_session(log: EventLog, session_id: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
    """The events of a session with versions above `after` and up to `upto`, its parents' included."""
    for segment in lineage(log, session_id, upto):
        if segment.upto is None or segment.upto > after:
            yield from log.read(segment.stream, after, segment.upto)


@attrs.define(slots=False)
class Line:
    """Events of one session, for repeated reads: its streams are looked up once."""

    log: EventLog
    session_id: str

    @cached_property
    def _segments(self) -> tuple[Segment, ...]:
        return lineage(self.log, self.session_id)

    def read(self, after: int, upto: int) -> Iterator[Recorded]:
        """The events with versions above `after` and up to `upto`, in order."""
        for segment in self._segments:
            last = upto if segment.upto is None else min(upto, segment.upto)
            if last > after:
                yield from self.log.read(segment.stream, after, last)
                after = last

    def at(self, version: int) -> Recorded:
        """One event. Raises `UsageError` if there is none."""
        row = next(self.read(version - 1, version), None) if version > 0 else None
        if row is None:
            raise UsageError(f"session {self.session_id} has no version {version}")
        return row


@attrs.define
class Blocks:
    """Events of one session, read a block at a time and each block once: for a question that looks around a place."""

    line: Line
    _kept: dict[int, list[Recorded]] = attrs.field(factory=dict)

    def back(self, upto: int) -> Iterator[Recorded]:
        """The events from version `upto` back to the first, newest first.

        Raises `JournalDamaged` where versions are missing.
        """
        for number in range((upto - 1) // _PIECE, -1, -1):
            if number and not self._block(number):
                raise lacks(self.line.session_id, min(upto, (number + 1) * _PIECE))
            yield from (row for row in reversed(self._block(number)) if row.version <= upto)

    def onwards(self, after: int) -> Iterator[Recorded]:
        """The events above a version, to the last."""
        number = after // _PIECE
        while block := self._block(number):
            yield from (row for row in block if row.version > after)
            number += 1

    def at(self, version: int) -> Recorded:
        """One event. Raises `UsageError` where there is none."""
        found = self._kept.get((version - 1) // _PIECE, ())
        return next((row for row in found if row.version == version), None) or self.line.at(version)

    def _block(self, number: int) -> list[Recorded]:
        if number not in self._kept:
            if len(self._kept) == _KEPT_MAX:
                self._kept.clear()
            self._kept[number] = list(self.line.read(number * _PIECE, (number + 1) * _PIECE))
        return self._kept[number]


@attrs.frozen
class SessionRows:
    """The events of a session up to a version; each iteration reads them from the log again."""

    line: Line
    last: int

    @classmethod
    def of(cls, log: EventLog, session_id: str) -> SessionRows | None:
        """The events of a session up to its present end; None if there is no session."""
        head = log.head(session_id)
        return None if head is None else cls(Line(log, session_id), head.version)

    def __iter__(self) -> Iterator[Recorded]:
        return self.line.read(0, self.last)

    def between(self, after: int, upto: int | None = None) -> Iterator[Recorded]:
        """The events with versions above `after` and up to `upto`."""
        return self.line.read(after, self.last if upto is None else min(upto, self.last))


def read_back(log: EventLog, session_id: str, upto: int) -> Iterator[Recorded]:
    """The events of a session from version `upto` back to its first, read piece by piece.

    Raises `JournalDamaged` where versions are missing.
    """
    piece = _PIECE
    while upto > 0:
        after = max(0, upto - piece)
        rows = list(read_session(log, session_id, after, upto))
        if after and not rows:
            raise lacks(session_id, upto)
        yield from reversed(rows)
        upto, piece = after, min(piece * 2, _PIECES_MAX)


def event_at(log: EventLog, session_id: str, version: int) -> Recorded:
    """One event of a session. Raises `UsageError` if there is none."""
    row = next(read_session(log, session_id, version - 1, version), None) if version > 0 else None
    if row is None:
        raise UsageError(f"session {session_id} has no version {version}")
    return row
