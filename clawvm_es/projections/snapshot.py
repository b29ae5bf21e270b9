"""Reading the read models without writing: stored rows, with the fold of the missing tail laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs

from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, ModelReader, Phrase, models_of, texts_of
from clawvm_es.journal.problems import DAMAGE
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.pages import Scope
from clawvm_es.projections import store
from clawvm_es.projections.fold import Fold, Prefix, renamed
from clawvm_es.projections.rows import FieldRow
from clawvm_es.projections.tables import DURABLE_STORE, MODELS, SESSIONS, TABLES, Table

R = TypeVar("R")

_REPORTED: Final = 20
"""How many differing rows are named for each table."""


@attrs.frozen
class Snapshot:
    """All read models as of one place in the log; `seq` is that place."""

    folded: Fold
    reader: ModelReader | None  # None: nothing is stored, everything is in the fold
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
        if self.reader is None:
            return iter(())
        return map(table.parse, self.reader.rows(table.spec, session_id))


@contextmanager
def snapshot(log: EventLog) -> Iterator[Snapshot]:
    """The read models of a log as of now, for the length of the block. Writes nothing.

    Raises `JournalDamaged` and `UnknownEvent` where an event cannot be folded.
    """
    models = models_of(log, MODELS)
    if models is None:
        folded = Fold(prefix=_prefixes(log)).run(store.raws(log.read_all()))
        yield Snapshot(folded, None, folded.seq)
        return
    with models.reading() as reader:
        at, end = reader.position(), reader.last_seq()
        folded = store.fold(reader, at, end)
        yield Snapshot(folded, None if at is None else reader, end)


def snapshot_at(log: EventLog, session_id: str, version: int) -> Snapshot:
    """The read models of one session as they were after its event `version`, folded from its first event."""
    folded = Fold().run(renamed(store.raws(read_session(log, session_id, upto=version)), session_id))
    return Snapshot(folded, None, folded.seq)


def _prefixes(log: EventLog) -> Prefix:
    return lambda session_id, version: store.raws(read_session(log, session_id, upto=version))


def projections_problems(log: EventLog) -> list[str]:
    """What of the stored read models a rebuild up to the same place would not give; empty where all is well.

    Models that were never stored, or are of another version, are no problem: the next catch-up makes them.
    """
    models = models_of(log, MODELS)
    if models is None:
        return []
    try:
        with models.reading() as reader:
            problems = [f"projections: {problem}" for problem in reader.problems()]
            at = reader.position()
            if problems or at is None:
                return problems
            rebuilt = store.fold(reader, None, at)
            problems = [problem for table in TABLES for problem in _row_problems(reader, table, rebuilt)]
        index = texts_of(log)
        return problems if index is None else problems + index.problems()
    except DAMAGE as error:
        return [f"projections: cannot be read on: {error!r}"]


def _row_problems(reader: ModelReader, table: Table[Any], rebuilt: Fold) -> list[str]:
    """Compare the stored rows of one table with rebuilt ones, as tuples of columns."""
    expected = {table.key_of(row): table.values(row) for row in rebuilt.rows(table.name)}
    problems = []
    for row in map(table.parse, reader.rows(table.spec)):
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


def bodies_with(log: EventLog, phrases: Iterable[Phrase]) -> frozenset[str] | None:
    """The commitments to bodies that have all of some phrases (series of words); None where a log has no index.

    Bodies that the stored index does not know yet are indexed for the length of this call. Writes nothing.
    """
    index = texts_of(log)
    return None if index is None else index.holding(phrases)
