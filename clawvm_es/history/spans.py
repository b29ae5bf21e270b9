"""Spans: the range of versions that holds a session's events about one page or one update, from the read models.

A fork has rows of its own only for what it changed; other rows are its nearest parent's present ones. So a span may
be wider than necessary, but never narrower.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from typing import Final, TypeVar

import attrs

from clawvm_es.journal.lineage import Blocks, lineage
from clawvm_es.journal.ports import EventLog, Head, ModelReader, Recorded, models_of
from clawvm_es.model.events import RepresentationChanged
from clawvm_es.projections import Snapshot
from clawvm_es.projections.tables import MODELS, PAGE_TABLE, UPDATES, Table

R = TypeVar("R")
_NEAR: Final = 64
"""Events among which what happened last is looked for first."""


@attrs.frozen
class PageSpan:
    """A page's first event, the last events that wrote and marked it, and the last event about it.

    `contents` is the number of its contents up to the last write.
    """

    first: int
    written: int
    marked: int
    last: int
    contents: int


@attrs.frozen
class Spans:
    """Spans of one session, read from the read models on demand."""

    view: Snapshot
    streams: tuple[str, ...]
    """The session's own stream, then its parents', nearest first."""

    @classmethod
    def of(cls, view: Snapshot, log: EventLog, session_id: str) -> Spans:
        """The spans of a session by read models of its log."""
        return cls(view, tuple(segment.stream for segment in reversed(lineage(log, session_id))))

    def page(self, page_id: str) -> PageSpan | None:
        """The span of a page; None if no event is about it."""
        row = self._nearest(PAGE_TABLE, page_id)
        if row is None:
            return None
        first, last = row.first_version, row.changed_version
        return PageSpan(first, row.written_version, row.marked_version, last, row.content_version)

    def update(self, number: int) -> int:
        """The last event about an update; 0 if there is none."""
        row = self._nearest(UPDATES, number)
        return 0 if row is None else row.changed_version

    def _nearest(self, table: Table[R], key: object) -> R | None:
        rows = (self.view.folded.latest(table, (stream, key)) for stream in self.streams)
        return next((row for row in rows if row is not None), None)


def last_move(rows: Blocks, page_id: str, upto: int) -> Recorded | None:
    """The last event of a session up to a version that changed a page's level; None before its first prompt."""
    log, session_id = rows.line.log, rows.line.session_id
    back, models = rows.back(upto), models_of(log, MODELS)
    found = next(filter(lambda row: _moves(row, page_id), islice(back, None if models is None else _NEAR)), None)
    if found is not None or models is None or upto <= _NEAR:
        return found
    with models.reading() as reader:
        first, last = reach(log, session_id, page_id, reader)
        last = min(upto - _NEAR, last)
        version = None if last < first else reader.moved(session_id, page_id, first - 1, last)
    return None if version is None else rows.at(version)


def _moves(row: Recorded, page_id: str) -> bool:
    return isinstance(row.data, RepresentationChanged) and row.data.page_id == page_id


def reach(log: EventLog, session_id: str, page_id: str, reader: ModelReader | None = None) -> tuple[int, int]:
    """The first and last version that may be about a page, as narrow as known; (1, 0) if there is none.

    Pass the `reader` of read models that are open already: opening them checks every table.
    """
    head, models = log.head(session_id), models_of(log, MODELS)
    end = 0 if head is None else head.version
    if not _is_text(page_id):  # no event can hold it
        return 1, 0
    if head is None or models is None or len(lineage(log, session_id)) > 1:
        return 1, end
    with models.reading() if reader is None else nullcontext(reader) as at_hand:
        return (1, end) if (at_hand.position() or 0) < head.seq else _stored(at_hand, head, page_id)


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _stored(reader: ModelReader, head: Head, page_id: str) -> tuple[int, int]:
    """The reach of a page from rows that are up to date."""
    cells = reader.row(PAGE_TABLE.spec, (head.session_id, page_id))
    return (1, 0) if cells is None else PAGE_TABLE.span_of(PAGE_TABLE.parse(cells))
