"""Spans: between which versions of a session the events about one page or one update stand, by the read models.

A fork's rows are its own where it changed them, else its nearest parent's as of now: a span may reach further than
the events that it was asked for, never less far.
"""

from __future__ import annotations

from typing import TypeVar

import attrs

from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog
from clawvm_es.projections import Snapshot
from clawvm_es.projections.tables import PAGE_TABLE, UPDATES, Table

R = TypeVar("R")


@attrs.frozen
class PageSpan:
    """A page's first event, the events that wrote and marked it last, and the last one that is about it.

    `contents` counts the events that wrote it up to the last of them.
    """

    first: int
    written: int
    marked: int
    last: int
    contents: int


@attrs.frozen
class Spans:
    """Spans of one session, found in the read models when they are asked for."""

    view: Snapshot
    streams: tuple[str, ...]
    """The session's own stream, then its parents', nearest first."""

    @classmethod
    def of(cls, view: Snapshot, log: EventLog, session_id: str) -> Spans:
        """The spans of a session by read models of its log."""
        return cls(view, tuple(segment.stream for segment in reversed(lineage(log, session_id))))

    def page(self, page_id: str) -> PageSpan | None:
        """The span of a page; None where no event is about it."""
        row = self._nearest(PAGE_TABLE, page_id)
        if row is None:
            return None
        first, last = row.first_version, row.changed_version
        return PageSpan(first, row.written_version, row.marked_version, last, row.content_version)

    def update(self, number: int) -> int:
        """The last event that is about an update; 0 where there is none."""
        row = self._nearest(UPDATES, number)
        return 0 if row is None else row.changed_version

    def _nearest(self, table: Table[R], key: object) -> R | None:
        rows = (self.view.folded.latest(table, (stream, key)) for stream in self.streams)
        return next((row for row in rows if row is not None), None)
