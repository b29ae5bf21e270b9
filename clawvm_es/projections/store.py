"""Catch-up and rebuild: fold missing events onto stored rows, and write rows and position together.

Functions here take an open `ModelReader` or `ModelWriter`; LAW-PROJ-1 holds for the pieces that they fold.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import attrs

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.ports import Cells, Edition, ModelReader, ModelWriter, RawEvent, Recorded
from clawvm_es.limits import PIECE_EVENTS
from clawvm_es.projections.fold import Fold
from clawvm_es.projections.session import NoPast, Past
from clawvm_es.projections.tables import TABLES, Table

R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called now and then with the last event folded and the last there is."""

_PROGRESS_EVENTS: Final = 10_000


@attrs.frozen
class Stored:
    """The stored rows, looked up one at a time: the past of an incremental fold."""

    reader: ModelReader
    edition: Edition = Edition.LIVE

    def row(self, table: Table[R], key: Cells) -> R | None:
        """The row with this key."""
        found = self.reader.row(table.spec, key, self.edition)
        return table.parse(found) if found else None

    def rows(self, table: Table[R], session_id: str | None = None) -> Iterator[R]:
        """The rows of one session, or of all."""
        return map(table.parse, self.reader.rows(table.spec, session_id, self.edition))

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """The name of the tool of a call, as of a version."""
        return self.reader.tool(session_id, call, upto)


def _reported(rows: Iterator[RawEvent], end: int, progress: Progress | None) -> Iterator[RawEvent]:
    return rows if progress is None else _reporting(rows, end, progress)


def _reporting(rows: Iterator[RawEvent], end: int, progress: Progress) -> Iterator[RawEvent]:
    for row in rows:
        yield row
        if row[0] % _PROGRESS_EVENTS == 0 or row[0] == end:
            progress(row[0], end)


def raws(recorded: Iterable[Recorded]) -> Iterator[RawEvent]:
    """Events of any log as the fold takes them."""
    for e in recorded:
        data = e.raw.decode()
        yield (
            e.seq,
            e.session_id,
            e.version,
            e.turn,
            e.kind,
            e.type,
            e.schema_version,
            e.at_us,
            e.principal,
            data,
            e.hash,
        )


def fold(reader: ModelReader, after: int | None, upto: int) -> Fold:
    """Fold the events above `after` and up to `upto`, on top of the stored rows; from zero if `after` is None."""
    past: Past = NoPast() if after is None else Stored(reader)
    with collector_paused():
        return Fold(past, after or 0, reader.stream_events).run(reader.events(after or 0, upto))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a fold makes no cycles, and it would visit each of many rows again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _rows(folded: Fold, table: Table[R]) -> Iterator[Cells]:
    """The rows of a table that a fold touched, in order, as cells."""
    return map(table.values, sorted(folded.rows(table), key=table.sort_key))


def advance(
    writer: ModelWriter, edition: Edition, at: int, progress: Progress | None = None, piece_events: int = PIECE_EVENTS
) -> bool:
    """Fold the next piece of the log, after the event `at`, into the tables of an edition.

    Returns whether that was all. The transaction of `writer` stores rows and position together, so never half a
    piece.
    """
    end = writer.last_seq()
    if at < end:
        past = Stored(writer, edition) if at else NoPast()
        upto = _cut(writer, at + piece_events, end)
        with collector_paused():
            folded = Fold(past, at, writer.stream_events, piece_events).run(
                _reported(writer.events(at, upto), end, progress)
            )
        if folded.seq == at:
            raise JournalDamaged(f"the events end at seq {at} and begin again after {upto}: some are missing")
        writer.write(edition, ((table.spec, _rows(folded, table)) for table in TABLES), folded.seq)
        at = folded.seq
    return at >= end


def _cut(reader: ModelReader, least: int, end: int) -> int:
    """Return the place where a piece of the log may end: at `least` or after it, before an input."""
    found = reader.next_input(least) if least < end else None
    return end if found is None else found - 1


def begin(writer: ModelWriter) -> None:
    """Make the empty tables of a rebuild, unless one of this version is in progress."""
    if writer.position(Edition.NEXT) is None:
        writer.begin()


def catch_up(writer: ModelWriter, progress: Progress | None = None, piece_events: int = PIECE_EVENTS) -> bool:
    """Advance the live tables by a piece; if they are missing or of another version, advance their replacement.

    Returns whether they are at the end of the log.
    """
    at = writer.position()
    if at is None:
        begin(writer)
        return rebuild(writer, progress, piece_events, texts=False)
    return advance(writer, Edition.LIVE, at, progress, piece_events)


def rebuild(
    writer: ModelWriter,
    progress: Progress | None = None,
    piece_events: int = PIECE_EVENTS,
    *,
    texts: bool = True,
) -> bool:
    """Advance a rebuild by a piece; returns whether it is done: at the end and switched, here or elsewhere.

    With `texts`, the bodies are indexed, too; otherwise the next search does that. The caller has called `begin`;
    another process may work on the same rebuild, piece by piece.
    """
    at = writer.position(Edition.NEXT)
    if at is None:
        return True
    if not advance(writer, Edition.NEXT, at, progress, piece_events):
        return False
    if texts and not writer.index_texts(Edition.NEXT):
        return False
    writer.switch()
    return True
