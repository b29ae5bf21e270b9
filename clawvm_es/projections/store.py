"""The read models in a SQLite file: stored rows, the fold of what is missing, and both written back together.

Functions here work on a connection and take no lock: writers are called inside a write transaction, readers
inside a read transaction.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs

from clawvm_es.journal.protocol import Recorded
from clawvm_es.projections.fold import RAW_COLUMNS, Fold
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
    create_all,
)

R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called now and then with the last event folded and the last there is."""

_PROGRESS_EVENTS: Final = 50_000


@attrs.frozen
class Stored:
    """The rows of a file, looked up one at a time: the past of an incremental fold."""

    connection: sqlite3.Connection

    def _one(self, table: Table[R], where: str, *values: Any) -> R | None:
        found = self.connection.execute(f"{table.select} WHERE {where}", values).fetchone()
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
        found = self.connection.execute(
            "SELECT json_extract(data, '$.tool') FROM events WHERE session_id = ? AND type = 'tool_called'"
            " AND json_extract(data, '$.call') = ? ORDER BY version DESC LIMIT 1",
            (session_id, call),
        ).fetchone()
        return found[0] if found else None


def position(connection: sqlite3.Connection) -> int | None:
    """The last event in the stored rows; None if there are no tables, or tables of another version."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (POSITION_TABLE,)).fetchone()
    if not known:
        return None
    found = connection.execute(f"SELECT version, seq FROM {POSITION_TABLE} WHERE name = 'tables'").fetchone()
    return found[1] if found and found[0] == VERSION else None


def last_seq(connection: sqlite3.Connection) -> int:
    """The last event of the log; 0 if it is empty."""
    return connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]  # type: ignore[no-any-return]


def events(connection: sqlite3.Connection, after: int, upto: int, progress: Progress | None = None) -> Iterator[Raw]:
    """The events in `(after, upto]`, in the order of `seq`."""
    query = f"SELECT {RAW_COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq"
    if progress is None:
        return connection.execute(query, (after, upto))
    return _reported(connection.execute(query, (after, upto)), upto, progress)


def _reported(rows: Iterator[Raw], upto: int, progress: Progress) -> Iterator[Raw]:
    for row in rows:
        yield row
        if row[0] % _PROGRESS_EVENTS == 0:
            progress(row[0], upto)
    progress(upto, upto)


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


def fold(connection: sqlite3.Connection, after: int | None, upto: int, progress: Progress | None = None) -> Fold:
    """Fold the events above `after` and up to `upto`, on top of the stored rows; from zero if `after` is None."""
    past: Past = NoPast() if after is None else Stored(connection)
    with _collector_paused():
        return Fold(past, after or 0).run(events(connection, after or 0, upto, progress))


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


def write(connection: sqlite3.Connection, folded: Fold) -> None:
    """Write the rows that a fold touched, and where it stands."""
    for table in TABLES:
        rows = sorted(folded.rows(table.name), key=table.sort_key)
        connection.executemany(table.replace, map(table.values, rows))
    connection.execute(
        f"INSERT OR REPLACE INTO {POSITION_TABLE} (name, version, seq) VALUES ('tables', ?, ?)", (VERSION, folded.seq)
    )


def create(connection: sqlite3.Connection) -> None:
    """Drop whatever tables and views there are, of any version, and make empty ones."""
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"))
    for name in NAMES:
        if name in kinds:
            connection.execute(f"DROP {kinds[name]} {name}")
    create_all(connection)


def catch_up(connection: sqlite3.Connection, progress: Progress | None = None) -> int:
    """Bring the stored rows up to the end of the log, making the tables if need be; return its last `seq`."""
    at, end = position(connection), last_seq(connection)
    if at is None:
        return rebuild(connection, progress)
    if at < end:
        write(connection, fold(connection, at, end, progress))
    return end


def rebuild(connection: sqlite3.Connection, progress: Progress | None = None) -> int:
    """Throw the stored rows away and fold the whole log again; return its last `seq`."""
    create(connection)
    end = last_seq(connection)
    write(connection, fold(connection, None, end, progress))
    return end
