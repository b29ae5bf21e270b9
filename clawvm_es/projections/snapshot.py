"""Read the read models without writing: stored rows, plus the fold of the missing tail."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, TypeVar

import attrs

from clawvm_es.journal.lineage import Segment, lineage
from clawvm_es.journal.ports import EventLog, ModelReader, Phrase, models_of, texts_of
from clawvm_es.journal.problems import DAMAGE
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.pages import Scope
from clawvm_es.projections import store
from clawvm_es.projections.ancestry import Ancestor, under
from clawvm_es.projections.fold import Again, Fold, renamed
from clawvm_es.projections.rows import FieldRow
from clawvm_es.projections.tables import DURABLE_STORE, MODELS, SESSIONS, TABLES, Table

R = TypeVar("R")

_REPORTED: Final = 20
"""Differing rows that are named for each table."""


@attrs.frozen
class Snapshot:
    """All read models as of one place in the log; `seq` is that place."""

    folded: Fold
    seq: int

    def rows(self, table: Table[R], session_id: str | None = None) -> list[R]:
        """The rows of a table, of one session or of all, in order; a fork's rows include inherited ones."""
        own = self.folded.latest_rows(table, session_id)
        if table.name == SESSIONS.name:
            return sorted(own, key=table.sort_key)
        found = self._of_all(table, own) if session_id is None else self._of_one(table, session_id, own)
        return sorted((row for row, inherited in found if not (inherited and _shared(row))), key=table.sort_key)

    def stored(self, table: Table[R]) -> int:
        """Count the rows that a catch-up stores: what forks inherit is not among them."""
        return len(self.folded.latest_rows(table))

    def fields(self, session_id: str) -> list[FieldRow]:
        """The durable store as a session sees it; a fork's includes its parents' commits to shared scopes."""
        own = self.folded.latest_rows(DURABLE_STORE, session_id)
        return sorted((row for row, _ in self._of_one(DURABLE_STORE, session_id, own)), key=DURABLE_STORE.sort_key)

    def _of_one(self, table: Table[R], session_id: str, own: Iterable[R]) -> Iterator[tuple[R, bool]]:
        """The rows of a session, and whether it inherits them."""
        session = self.folded.latest(SESSIONS, (session_id,))
        parent = None if session is None else self.folded.parent(session)
        line = () if parent is None else parent.line()
        parents = (each.rows(table, self.folded.latest_rows(table, each.stream)) for each in line)
        return _nearest(table, session_id, own, parents)

    def _of_all(self, table: Table[R], rows: Iterable[R]) -> Iterator[tuple[R, bool]]:
        """The rows of all sessions. Parents without rows are passed over at once, for long lines of forks."""
        own: dict[str, list[R]] = {}
        for row in rows:
            own.setdefault(table.key_of(row)[0], []).append(row)
        nearest: dict[str, Ancestor | None] = {}
        # session → its nearest parent with rows
        for session in self.rows(SESSIONS):
            session_id, parent = session.session_id, self.folded.parent(session)
            if parent is not None and parent.stream not in own:
                parent = nearest.get(parent.stream)
            nearest[session_id] = parent
            line = _line(parent, nearest)
            parents = (each.rows(table, own[each.stream]) for each in line)
            yield from _nearest(table, session_id, own.get(session_id, ()), parents)


def _line(first: Ancestor | None, nearest: Mapping[str, Ancestor | None]) -> Iterator[Ancestor]:
    while first is not None:
        yield first
        first = nearest.get(first.stream)


def _nearest(
    table: Table[R], session_id: str, own: Iterable[R], parents: Iterable[Iterable[R]]
) -> Iterator[tuple[R, bool]]:
    """The rows of a session, and whether it inherits them: its own, and of its parents' the nearest with a key."""
    seen = set()
    for row in own:
        seen.add(table.key_of(row)[1:])
        yield row, False
    for rows in parents:
        for row in rows:
            key = table.key_of(row)[1:]
            if key not in seen:
                seen.add(key)
                yield under(session_id, row), True


def _shared(row: object) -> bool:
    """Tell whether a row is a field that was committed to a shared scope, which forks do not pass on."""
    return isinstance(row, FieldRow) and row.scope != Scope.SESSION.value


@contextmanager
def snapshot(log: EventLog) -> Iterator[Snapshot]:
    """The read models of a log as of now, for the length of the block. Writes nothing.

    Raises `JournalDamaged` and `UnknownEvent` if an event cannot be folded.
    """
    models = models_of(log, MODELS)
    if models is None:
        folded = Fold(again=_streams(log)).run(store.raws(log.read_all()))
        yield Snapshot(folded, folded.seq)
        return
    with models.reading() as reader:
        at, end = reader.position(), reader.last_seq()
        folded = store.fold(reader, at, end)
        yield Snapshot(folded, end)


def snapshot_at(log: EventLog, session_id: str, version: int) -> Snapshot:
    """The read models of one session as they were after its event `version`, folded from its first event."""
    line, models = lineage(log, session_id, version), models_of(log, MODELS)
    if models is None:
        folded = _of_line(line, session_id, _streams(log))
    else:
        with models.reading() as reader:  # as they are stored, so that none is decoded but for its rows
            folded = _of_line(line, session_id, reader.stream_events)
    return Snapshot(folded, folded.seq)


def _of_line(line: Sequence[Segment], session_id: str, stream: Again) -> Fold:
    """Fold the events of a session's streams as those of one session."""
    own = ((each.stream, INTEGER_MAX if each.upto is None else each.upto) for each in line)
    events = (stream(*each) if each[0] == session_id else renamed(stream(*each), session_id) for each in own)
    with store.collector_paused():
        return Fold().run(chain.from_iterable(events))


def _streams(log: EventLog) -> Again:
    return lambda stream, upto: store.raws(log.read(stream, upto=upto))


def projections_problems(log: EventLog) -> list[str]:
    """Return the differences of the stored read models from a rebuild up to the same place; empty if there are none.

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
    expected = {table.key_of(row): table.values(row) for row in rebuilt.rows(table)}
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


def bodies_with(log: EventLog, phrases: Iterable[Phrase]) -> Container[str] | None:
    """The commitments to bodies that contain all phrases (series of words); None if a log has no index.

    Bodies that are not in the stored index yet are indexed for the duration of this call. Writes nothing.
    """
    index = texts_of(log)
    return None if index is None else index.holding(phrases)
