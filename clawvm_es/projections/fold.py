"""The fold: events in, rows out.

LAW-PROJ-1: folding a log from zero, or in any number of pieces that each end before an input, gives the same rows.
LAW-PROJ-2: a fork has the rows, inherited ones (LAW-FORK-1) included, that its parent's prefix and its own events
would give as one session; but a parent's commits to a shared scope are in the parent's rows only.
LAW-PROJ-3: rows of `faults` and `durable_store` never change, so the rows at a version are those made up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar
from weakref import proxy

import attrs
import msgspec

from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.journal import codec
from clawvm_es.journal.ports import Cells, RawEvent
from clawvm_es.journal.problems import DAMAGE
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import SCOPE_PREFIX, SessionForked
from clawvm_es.projections.ancestry import Ancestor, Inherited, under
from clawvm_es.projections.digest import START, link, words
from clawvm_es.projections.handlers import HANDLERS
from clawvm_es.projections.rows import SessionRow, TurnRow
from clawvm_es.projections.session import Moved, NoPast, Past, SessionFold
from clawvm_es.projections.tables import SESSIONS, Table

Again: TypeAlias = Callable[[str, int], Iterable[RawEvent]]
"""Gives a stream's own events up to a version."""

R = TypeVar("R")
_SESSION_FORKED: Final = SessionForked.TYPE


def _where(raw: RawEvent) -> str:
    return f"session {raw[1]} version {raw[2]} (seq {raw[0]})"


def nothing_again(stream: str, upto: int) -> Iterable[RawEvent]:
    """Refuse to fold a parent again, for folds that meet no fork."""
    return ()


def renamed(events: Iterable[RawEvent], session_id: str) -> Iterator[RawEvent]:
    """Events as if all of them were of one session."""
    for raw in events:
        yield (raw[0], session_id, *raw[2:])


def _apply_older(session: SessionFold, raw: RawEvent) -> None:
    """Apply an event of an older schema version; raises `UnknownEvent` where no upcaster leads here from it."""
    _, _, _, turn, kind, name, schema_version, _, _, data, _ = raw
    event = codec.decode(name, schema_version, data.encode(), where=_where(raw))
    if kind == "decision":  # the digest is over what was stored
        session.digest = link(session.digest, words(turn, name, schema_version), data.encode())
    else:
        session.take(raw)
    HANDLERS[name].apply(session, event)


@attrs.define
class Fold:
    """The rows that a piece of the log changed, by session; `seq` is the last event folded.

    A fork from an earlier place of its parent may require folding the parent's events up to there again, which
    costs time and memory. With `again_max`, the piece ends at the first input after more than that many events.
    """

    past: Past = attrs.field(factory=NoPast)
    seq: int = 0
    again: Again = nothing_again
    again_max: int = INTEGER_MAX
    folded_again: int = 0  # events
    sessions: dict[str, SessionFold] = attrs.field(factory=dict)
    _ancestors: dict[tuple[str, int], Ancestor] = attrs.field(factory=dict)

    def open(self, raw: RawEvent) -> SessionFold:
        """Begin or continue the fold of the session of an event."""
        session_id = raw[1]
        row, past = self.past.row(SESSIONS, (session_id,)), self.past
        if row is not None:
            parent = self.parent(row)
        elif raw[5] == _SESSION_FORKED:
            forked = codec.decode(raw[5], raw[6], raw[9].encode(), where=_where(raw))
            assert isinstance(forked, SessionForked)
            parent = self.ancestor(forked.parent, forked.parent_version)
            row = under(session_id, parent.session())
            return self._begin(session_id, row, Inherited(past, parent), parent.cut())
        else:
            row, parent = SessionRow(session_id, seq=raw[0], decision_digest=START.hex()), None
        return self._begin(session_id, row, past if parent is None else Inherited(past, parent))

    def _begin(self, session_id: str, row: SessionRow, past: Past, cut: Moved | None = None) -> SessionFold:
        digest = bytes.fromhex(row.decision_digest)
        fold = self.sessions[session_id] = SessionFold(session_id, past, row, digest, TurnRow(session_id, -1))
        if cut is not None:
            fold.in_epochs, fold.assembling, fold.stood = True, True, dict(cut)
        return fold

    def parent(self, row: SessionRow) -> Ancestor | None:
        """The parent of a session as of the fork; None if it is no fork."""
        return None if row.parent is None else self.ancestor(row.parent, row.parent_version or 0)

    def ancestor(self, stream: str, upto: int) -> Ancestor:
        """The stream that holds version `upto` of `stream`, its own or one of its parents', as of that version."""
        seen = {stream}
        while (row := self.latest(SESSIONS, (stream,))) is not None:
            if row.parent is None or upto > (row.parent_version or 0):
                break
            stream = row.parent
            if stream in seen:
                raise JournalDamaged(f"session {stream} descends from itself")
            seen.add(stream)
        found = self._ancestors.get((stream, upto))
        if found is None:  # an ancestor does not keep its fold: a circle of so many rows would wait for the collector
            found = self._ancestors[stream, upto] = Ancestor(proxy(self), stream, upto)
        return found

    def fold_again(self, ancestor: Ancestor) -> SessionFold:
        """Fold the own events of an ancestor's stream, up to the ancestor's version."""
        stream, older, again = ancestor.stream, ancestor.older, Fold(again=self.again)
        if older is not None:
            row = under(stream, older.session())
            again._begin(stream, row, Inherited(NoPast(), older), older.cut())
        again.run(self._counted(self.again(stream, ancestor.upto)))
        fold = again.sessions.get(stream)
        if fold is None:
            raise JournalDamaged(f"session {stream}, from which another was forked, has no events")
        return fold

    def _counted(self, events: Iterable[RawEvent]) -> Iterator[RawEvent]:
        for raw in events:
            self.folded_again += 1
            yield raw

    def latest(self, table: Table[R], key: Cells) -> R | None:
        """A stream's own row as of now."""
        fold = self.sessions.get(key[0])
        if fold is None:
            return self.past.row(table, key)
        fold.finish()
        if table.name == SESSIONS.name:
            return next(fold.rows(table))
        return fold.touched(table, key[1:]) or self.past.row(table, key)

    def latest_rows(self, table: Table[R], stream: str | None = None) -> Collection[R]:
        """The own rows of a stream, or of all, as of now."""
        rows = {table.key_of(row): row for row in self.past.rows(table, stream)}
        folds = self.sessions.values() if stream is None else filter(None, (self.sessions.get(stream),))
        rows.update((table.key_of(row), row) for fold in folds for row in fold.rows(table))
        return rows.values()

    def run(self, events: Iterable[RawEvent]) -> Fold:
        """Fold `events`, in the order of `seq`; return self. Raises `UnknownEvent`, `JournalDamaged`."""
        raw: RawEvent | None = None
        sessions = self.sessions
        ended = None
        try:
            for raw in events:
                seq, session_id, _, turn, kind, name, schema_version, _, _, data, _ = raw
                if kind == "input" and self.folded_again > self.again_max:
                    ended = seq - 1
                    break
                session = sessions.get(session_id)
                if session is None:
                    if session_id.startswith(SCOPE_PREFIX):  # a shared scope's own stream is no session
                        continue
                    session = self.open(raw)
                session.event = raw
                if session.turn.turn != turn:
                    session.enter_turn(turn)
                handler = HANDLERS.get(name)
                if handler is None or schema_version != handler.version:
                    _apply_older(session, raw)
                    continue
                if kind == "decision":
                    session.digest = link(session.digest, session.turn_tag + handler.tag, data.encode())
                else:
                    session.take(raw)
                handler.apply(session, handler.decode(data))
        except ClawVMError:
            raise
        except (msgspec.MsgspecError, *DAMAGE) as error:
            assert raw is not None
            raise JournalDamaged(f"{_where(raw)}: data is no {raw[5]} of this program: {error!r}") from error
        if raw is not None:
            self.seq = raw[0] if ended is None else ended
        for session in sessions.values():
            session.finish()
        return self

    def rows(self, table: Table[R]) -> Iterator[R]:
        """The rows of one table that this fold touched, session by session."""
        for session in self.sessions.values():
            yield from session.rows(table)
