"""The read models in a SQLite file: stored rows, the fold of what is missing, and both written back together.

Functions here work on a connection and take no lock: writers are called inside a write transaction, readers
inside a read transaction.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.lineage import Segment, segments
from clawvm_es.journal.ports import Recorded
from clawvm_es.limits import PIECE_EVENTS
from clawvm_es.projections import body_index
from clawvm_es.projections.fold import RAW_COLUMNS, Fold, Prefix
from clawvm_es.projections.places import LIVE, NEXT
from clawvm_es.projections.rows import PageRow, SessionRow, TurnRow, UpdateRow
from clawvm_es.projections.session import NoPast, Past, Raw
from clawvm_es.projections.tables import (
    NAMES,
    PAGE_TABLE,
    POSITION_TABLE,
    SESSIONS,
    TABLES,
    TURNS,
    UPDATES,
    VERSION,
    Table,
    create_tables,
    put_in_place,
    read_definitions,
)
from clawvm_es.storage.sqlite import foreign, queries
from clawvm_es.storage.sqlite.foreign import Definition, definitions, same_definition

R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called now and then with the last event folded and the last there is."""
_LAST: Final = 2**63 - 1

_PROGRESS_EVENTS: Final = 10_000


@attrs.frozen
class Stored:
    """The rows of a file, looked up one at a time: the past of an incremental fold."""

    connection: sqlite3.Connection
    place: str = LIVE

    def _one(self, table: Table[R], where: str, *values: Any) -> R | None:
        found = self.connection.execute(f"{table.select(self.place)} WHERE {where}", values).fetchone()
        return table.parse(found) if found else None

    def session(self, session_id: str) -> SessionRow | None:
        """The row of a session."""
        return self._one(SESSIONS, "session_id = ?", session_id)

    def turn(self, session_id: str, turn: int) -> TurnRow | None:
        """The row of a turn."""
        return self._one(TURNS, "session_id = ? AND turn = ?", session_id, turn)

    def page(self, session_id: str, page_id: str) -> PageRow | None:
        """The row of a page."""
        return self._one(PAGE_TABLE, "session_id = ? AND page_id = ?", session_id, page_id)

    def update(self, session_id: str, number: int) -> UpdateRow | None:
        """The row of an update."""
        return self._one(UPDATES, "session_id = ? AND update_number = ?", session_id, number)

    def tool(self, session_id: str, call: int) -> str | None:
        """The name of the tool of a call, searched backwards: faults name recent calls."""
        for segment in reversed(line(self.connection, session_id)):
            found = self.connection.execute(
                "SELECT json_extract(data, '$.tool') FROM events WHERE session_id = ? AND version <= ?"
                " AND type = 'tool_called' AND json_extract(data, '$.call') = ? ORDER BY version DESC LIMIT 1",
                (segment.stream, _LAST if segment.upto is None else segment.upto, call),
            ).fetchone()
            if found:
                return str(found[0])
        return None


def position(connection: sqlite3.Connection, place: str = LIVE) -> int | None:
    """The last event in the stored rows of a place; None if its tables are missing, altered or of another version."""
    schema = definitions(connection)
    at = position_in(connection, schema, place)
    ours = read_definitions(place)
    whole = at is not None and at >= 0 and all(same_definition(schema.get(name), each) for name, each in ours.items())
    return at if whole else None


def position_in(connection: sqlite3.Connection, schema: Mapping[str, Definition], place: str = LIVE) -> int | None:
    """The last event in the stored rows of a place, whatever its tables are; None if they are of another version."""
    if not same_definition(schema.get(POSITION_TABLE), read_definitions()[POSITION_TABLE]):
        return None
    query = f"SELECT version, seq FROM {POSITION_TABLE} WHERE name = ?"
    found = connection.execute(query, (f"{place}tables",)).fetchone()
    return found[1] if found and found[0] == VERSION and isinstance(found[1], int) else None


def last_seq(connection: sqlite3.Connection) -> int:
    """The last event of the log; 0 if it is empty."""
    return connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]  # type: ignore[no-any-return]


def events(connection: sqlite3.Connection, after: int, upto: int) -> Iterator[Raw]:
    """The events in `(after, upto]`, in the order of `seq`."""
    query = f"SELECT {RAW_COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq"
    return connection.execute(query, (after, upto))


def _reported(rows: Iterator[Raw], end: int, progress: Progress | None) -> Iterator[Raw]:
    return rows if progress is None else _reporting(rows, end, progress)


def _reporting(rows: Iterator[Raw], end: int, progress: Progress) -> Iterator[Raw]:
    for row in rows:
        yield row
        if row[0] % _PROGRESS_EVENTS == 0 or row[0] == end:
            progress(row[0], end)


def raws(recorded: Iterable[Recorded]) -> Iterator[Raw]:
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


def line(connection: sqlite3.Connection, session_id: str, upto: int | None = None) -> tuple[Segment, ...]:
    """The streams that hold a session's events, oldest first; see `journal.lineage`."""
    return segments(lambda stream: next(queries.recordeds(queries.first(connection, stream)), None), session_id, upto)


def prefixes(connection: sqlite3.Connection) -> Prefix:
    """What gives the events of a session up to a version."""

    def prefix(session_id: str, version: int) -> Iterator[Raw]:
        query = f"SELECT {RAW_COLUMNS} FROM events WHERE session_id = ? AND version <= ? ORDER BY version"
        for segment in line(connection, session_id, version):
            yield from connection.execute(query, (segment.stream, segment.upto))

    return prefix


def fold(connection: sqlite3.Connection, after: int | None, upto: int) -> Fold:
    """Fold the events above `after` and up to `upto`, on top of the stored rows; from zero if `after` is None."""
    past: Past = NoPast() if after is None else Stored(connection)
    with _collector_paused():
        return Fold(past, after or 0, prefixes(connection)).run(events(connection, after or 0, upto))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a fold makes no cycles, but rows by the hundred thousand to look through."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def write(connection: sqlite3.Connection, folded: Fold, place: str = LIVE) -> None:
    """Write the rows that a fold touched, and where it stands."""
    for table in TABLES:
        rows = sorted(folded.rows(table.name), key=table.sort_key)
        connection.executemany(table.replace(place), map(table.values, rows))
    connection.execute(
        f"INSERT OR REPLACE INTO {POSITION_TABLE} (name, version, seq) VALUES (?, ?, ?)",
        (f"{place}tables", VERSION, folded.seq),
    )


def drop(connection: sqlite3.Connection, place: str) -> None:
    """Drop whatever has our names in a place, of any version."""
    foreign.drop(connection, [place + name for name in NAMES])


def advance(
    connection: sqlite3.Connection, place: str, progress: Progress | None = None, piece_events: int = PIECE_EVENTS
) -> bool:
    """Fold the next piece of the log into the tables of a place, and index its bodies; whether that was all.

    Rows and position are written in the caller's transaction, so what was written is never half a piece.
    """
    at, end = position(connection, place), last_seq(connection)
    assert at is not None, "LAW-PROJ-1: a place advances from where it stands"
    if at < end:
        past = Stored(connection, place) if at else NoPast()
        upto = _cut(connection, at + piece_events, end)
        with _collector_paused():
            folded = Fold(past, at, prefixes(connection), piece_events).run(
                _reported(events(connection, at, upto), end, progress)
            )
        if folded.seq == at:
            raise JournalDamaged(f"the events end at seq {at} and begin again after {upto}: some are missing")
        write(connection, folded, place)
        at = folded.seq
    return body_index.fill(connection, place) and at >= end


def _cut(connection: sqlite3.Connection, least: int, end: int) -> int:
    """Where a piece of the log may end: at `least` or after it, before an input."""
    query = "SELECT seq FROM events WHERE seq > ? AND kind = 'input' ORDER BY seq LIMIT 1"
    found = connection.execute(query, (least,)).fetchone() if least < end else None
    return found[0] - 1 if found else end


def begin(connection: sqlite3.Connection) -> bool:
    """Make the empty tables of a rebuild, unless one of this version is under way; whether it was made."""
    if position(connection, NEXT) is None:
        if not same_definition(definitions(connection).get(POSITION_TABLE), read_definitions()[POSITION_TABLE]):
            foreign.drop(connection, [POSITION_TABLE])
        drop(connection, NEXT)
        create_tables(connection, NEXT)
        write(connection, Fold(), NEXT)
        return True
    return False


def switch(connection: sqlite3.Connection) -> None:
    """Put the tables of a rebuild in the place of the live ones, with the views of this version over them."""
    drop(connection, LIVE)
    put_in_place(connection)
    connection.execute(f"UPDATE OR REPLACE {POSITION_TABLE} SET name = '{LIVE}tables' WHERE name = '{NEXT}tables'")


def catch_up(
    connection: sqlite3.Connection, progress: Progress | None = None, piece_events: int = PIECE_EVENTS
) -> bool:
    """Bring the live tables a piece further, or those that replace them if they are of another version, or none.

    Returns whether they are at the end of the log.
    """
    if position(connection) is None:
        begin(connection)
        return rebuild(connection, progress, piece_events)
    return advance(connection, LIVE, progress, piece_events)


def rebuild(
    connection: sqlite3.Connection, progress: Progress | None = None, piece_events: int = PIECE_EVENTS
) -> bool:
    """Bring a rebuild a piece further; whether it is done, because it was at the end and switched, here or elsewhere.

    Whoever calls this has called `begin`; another process may work on the same rebuild, piece by piece.
    """
    if position(connection, NEXT) is None:
        return True
    if not advance(connection, NEXT, progress, piece_events):
        return False
    switch(connection)
    return True
