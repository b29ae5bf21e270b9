"""Reading the read models without writing: stored rows, with the fold of the missing tail laid over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

import attrs
import msgspec

from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.journal.problems import DAMAGE
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.pages import Scope
from clawvm_es.projections import body_index, store
from clawvm_es.projections.fold import Fold, Prefix, renamed
from clawvm_es.projections.rows import FieldRow
from clawvm_es.projections.tables import (
    DECISION_TRACE,
    DURABLE_STORE,
    POSITION_TABLE,
    SESSIONS,
    TABLES,
    Table,
    expected_definitions,
)
from clawvm_es.storage.sqlite import foreign, opening
from clawvm_es.storage.sqlite.foreign import definitions, same_definition
from clawvm_es.storage.sqlite.log import SQLiteLog

R = TypeVar("R")

_NAMES_OF: Final = "SELECT commitment FROM commitments WHERE blob_id = ?"
_REPORTED: Final = 20
"""How many differing rows are named for each table."""


@attrs.frozen
class Snapshot:
    """All read models as of one place in the log; `seq` is that place."""

    folded: Fold
    connection: sqlite3.Connection | None  # None: nothing is stored, everything is in the fold
    seq: int

    def rows(self, table: Table[R], session_id: str | None = None) -> list[R]:
        """The rows of a table, of one session or of all, in order."""
        rows = {table.key_of(row): row for row in self._stored(table, session_id)}
        for row in self.folded.rows(table.name):
            if session_id is None or row.session_id == session_id:
                rows[table.key_of(row)] = row
        return sorted(rows.values(), key=table.sort_key)

    def fields(self, session_id: str) -> list[FieldRow]:
        """The durable store as a session has it: a fork's holds what its parents committed to shared scopes, too."""
        found = self.rows(DURABLE_STORE, session_id)
        for parent, upto in self._parents(session_id):
            found += [
                attrs.evolve(row, session_id=session_id)
                for row in self.rows(DURABLE_STORE, parent)
                if row.scope != Scope.SESSION.value and row.version <= upto
            ]
        return sorted(found, key=DURABLE_STORE.sort_key)

    def _parents(self, session_id: str) -> Iterator[tuple[str, int]]:
        """The sessions that a session goes on from, youngest first, each with the last version it has of them."""
        upto = INTEGER_MAX
        rows = self.rows(SESSIONS, session_id)
        while rows and rows[0].parent is not None:
            parent, upto = rows[0].parent, min(upto, rows[0].parent_version or 0)
            yield parent, upto
            rows = self.rows(SESSIONS, parent)

    def _stored(self, table: Table[R], session_id: str | None) -> Iterator[R]:
        if self.connection is None:
            return iter(())
        where = "" if session_id is None else " WHERE session_id = ?"
        cells = self.connection.execute(table.select() + where, () if session_id is None else (session_id,))
        return map(table.parse, cells)


@contextmanager
def snapshot(log: EventLog) -> Iterator[Snapshot]:
    """The read models of a log as of now, for the length of the block. Writes nothing.

    Raises `JournalDamaged` and `UnknownEvent` where an event cannot be folded.
    """
    if not isinstance(log, SQLiteLog):
        folded = Fold(prefix=_prefixes(log)).run(store.raws(log.read_all()))
        yield Snapshot(folded, None, folded.seq)
        return
    with reading(log) as connection:
        at, end = store.position(connection), store.last_seq(connection)
        folded = store.fold(connection, at, end)
        yield Snapshot(folded, None if at is None else connection, end)


def snapshot_at(log: EventLog, session_id: str, version: int) -> Snapshot:
    """The read models of one session as they were after its event `version`, folded from its first event."""
    folded = Fold().run(renamed(store.raws(read_session(log, session_id, upto=version)), session_id))
    return Snapshot(folded, None, folded.seq)


def _prefixes(log: EventLog) -> Prefix:
    return lambda session_id, version: store.raws(read_session(log, session_id, upto=version))


@contextmanager
def reading(log: SQLiteLog) -> Iterator[sqlite3.Connection]:
    """A connection of its own that reads one state of the journal, for the length of the block."""
    try:
        with closing(opening.connect_reader(log.path, log.read_only)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise opening.translate(error, log.path) from error


def decisions(log: SQLiteLog, session_id: str, upto: int | None = None, after: int = 0) -> list[dict[str, Any]]:
    """The decisions of a session above one version and up to another: rows of `decision_trace`, data decoded."""
    query = f"SELECT * FROM ({DECISION_TRACE}) WHERE session_id = ? AND version > ? AND version <= ? ORDER BY version"
    rows = []
    with reading(log) as connection:
        for segment in store.line(connection, session_id, upto):
            cursor = connection.execute(
                query, (segment.stream, after, INTEGER_MAX if segment.upto is None else segment.upto)
            )
            names = [column[0] for column in cursor.description]
            rows += [dict(zip(names, cells, strict=True)) for cells in cursor]
    return [row | {"session_id": session_id, "data": msgspec.json.decode(row["data"])} for row in rows]


def bodies(log: SQLiteLog, session_id: str | None = None) -> tuple[int, int]:
    """How many bodies the log (or one session of it) keeps, and their bytes; a shared body counts once."""
    which = "" if session_id is None else " WHERE blob_id IN (SELECT blob_id FROM commitments WHERE session_id = ?)"
    cells = () if session_id is None else (session_id,)
    with reading(log) as connection:
        found = connection.execute(f"SELECT count(*), coalesce(sum(length(body)), 0) FROM blobs{which}", cells)
        number, size = found.fetchone()
    return number, size


def projections_problems(log: EventLog) -> list[str]:
    """What of the stored read models a rebuild up to the same place would not give; empty where all is well.

    Models that were never stored, or are of another version, are no problem: the next catch-up makes them.
    """
    if not isinstance(log, SQLiteLog):
        return []
    try:
        with reading(log) as connection:
            return _problems(connection)
    except DAMAGE as error:
        return [f"projections: cannot be read on: {error!r}"]


def _problems(connection: sqlite3.Connection) -> list[str]:
    problems = _definition_problems(connection)
    at = store.position_in(connection, definitions(connection))
    if problems or at is None:
        return problems
    end = store.last_seq(connection)
    if not 0 <= at <= end:
        wrong = "beyond the last event" if at > end else "before the first, up to"
        return [f"projections: stand at seq {at}, {wrong} {end}"]
    rebuilt = store.fold(connection, None, at)
    problems = [problem for table in TABLES for problem in _row_problems(connection, table, rebuilt)]
    return problems + body_index.problems(connection)


def _definition_problems(connection: sqlite3.Connection) -> list[str]:
    found = definitions(connection)
    if store.position_in(connection, found) is None:  # of another version, or never made: made again
        wrong = foreign.altered(found, {POSITION_TABLE: expected_definitions()[POSITION_TABLE]})
        return [f"projections: {name} is defined otherwise than expected" for name in wrong]
    return [
        f"projections: {name} is {'missing' if name not in found else 'defined otherwise than expected'}"
        for name, expected in expected_definitions().items()
        if not same_definition(found.get(name), expected)
    ]


def _row_problems(connection: sqlite3.Connection, table: Table[Any], rebuilt: Fold) -> list[str]:
    """Compare the stored rows of one table with rebuilt ones, as tuples of columns."""
    expected = {table.key_of(row): table.values(row) for row in rebuilt.rows(table.name)}
    problems = []
    for row in map(table.parse, connection.execute(f"{table.select()} {table.ordered}")):
        key, stored = table.key_of(row), table.values(row)
        wanted = expected.pop(key, None)
        if wanted is None:
            problems.append(f"{table.name}: row {key} is in no rebuild")
        elif wanted != stored:
            name, was, now = next(
                (name, a, b) for name, a, b in zip(table.columns, stored, wanted, strict=True) if a != b
            )
            problems.append(f"{table.name}: row {key}: column {name} is {was!r}, a rebuild gives {now!r}")
    problems += [f"{table.name}: row {key} is missing" for key in expected]
    if len(problems) > _REPORTED:
        problems = [*problems[:_REPORTED], f"{table.name}: {len(problems) - _REPORTED} more rows differ"]
    return problems


def bodies_with(log: EventLog, phrases: Iterable[Sequence[str]]) -> frozenset[str] | None:
    """The commitments to bodies that have all of some phrases (series of words); None where a log has no index.

    Bodies that the stored index does not know yet are indexed for the length of this call. Writes nothing.
    """
    if not isinstance(log, SQLiteLog):
        return None
    query = " AND ".join('"' + " ".join(phrase) + '"' for phrase in phrases)
    with reading(log) as connection:
        indexed = body_index.exists(connection)
        found = body_index.search(connection, query) if indexed else []
        for piece in body_index.missing(connection, body_index.last_indexed(connection) if indexed else 0):
            with body_index.temporary(piece) as fresh:
                found += body_index.search(fresh, query)
        names = (connection.execute(_NAMES_OF, (blob_id,)) for blob_id in found)
        return frozenset(name for rows in names for (name,) in rows)
