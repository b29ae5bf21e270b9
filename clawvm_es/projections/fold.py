"""The fold: events in, rows out.

LAW-PROJ-1: folding a log from zero, or in any number of pieces that each end before an input, gives the same rows.
LAW-PROJ-2: the rows of a fork are those that its parent's prefix and its own events would give as one session; but
what a parent committed to a shared scope stands in the rows of the parent only.
LAW-PROJ-3: rows of `faults` and `durable_store` stay as they were made: those at a version are those up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.journal import codec
from clawvm_es.journal.ports import RawEvent
from clawvm_es.journal.problems import DAMAGE
from clawvm_es.model.events import SCOPE_PREFIX, SessionForked
from clawvm_es.model.pages import Scope
from clawvm_es.projections.digest import START, link, words
from clawvm_es.projections.handlers import HANDLERS
from clawvm_es.projections.rows import SessionRow, TurnRow
from clawvm_es.projections.session import NoPast, Past, SessionFold

Prefix: TypeAlias = Callable[[str, int], Iterable[RawEvent]]
"""Gives the events of a session up to a version, those of its parents included."""

_SESSION_FORKED: Final = SessionForked.TYPE
_OWN_SCOPE: Final = Scope.SESSION.value


def _where(raw: RawEvent) -> str:
    return f"session {raw[1]} version {raw[2]} (seq {raw[0]})"


def no_prefix(session_id: str, version: int) -> Iterable[RawEvent]:
    """For a fold that meets no fork, or meets it after the events that lead there."""
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
    elif session.staged:
        session.staged = {}
    HANDLERS[name].apply(session, event)


@attrs.define
class Fold:
    """The rows that a piece of the log changed, by session; `seq` is the last event folded.

    A fork is folded from its parent's first event, so it is work, and memory, for as many events more. With
    `inherited_max`, the piece ends before the fork that would make them more than that.
    """

    past: Past = attrs.field(factory=NoPast)
    seq: int = 0
    prefix: Prefix = no_prefix
    inherited_max: int | None = None
    inherited: int = 0  # events folded for forks
    sessions: dict[str, SessionFold] = attrs.field(factory=dict)

    def open(self, raw: RawEvent) -> SessionFold | None:
        """Begin or continue the fold of the session of an event; None where the piece has to end before it."""
        session_id = raw[1]
        row = self.past.session(session_id)
        if row is not None:
            fold = SessionFold(
                session_id, self.past, row, bytes.fromhex(row.decision_digest), TurnRow(session_id, -1)
            )
        elif raw[5] == _SESSION_FORKED:
            forked = codec.decode(raw[5], raw[6], raw[9].encode(), where=_where(raw))
            assert isinstance(forked, SessionForked)
            if self.inherited and self.inherited + forked.parent_version > (self.inherited_max or 2**63):
                return None
            self.inherited += forked.parent_version
            fold = self._forked(session_id, forked)
        else:
            row = SessionRow(session_id, seq=raw[0], decision_digest=START.hex())
            fold = SessionFold(session_id, NoPast(), row, START, TurnRow(session_id, -1))
        self.sessions[session_id] = fold
        return fold

    def _forked(self, session_id: str, forked: SessionForked) -> SessionFold:
        """The fold of the parent's prefix, under the child's id."""
        prefix = Fold(prefix=self.prefix).run(renamed(self.prefix(forked.parent, forked.parent_version), session_id))
        fold = prefix.sessions.get(session_id)
        if fold is None or fold.version != forked.parent_version:
            raise JournalDamaged(
                f"session {session_id} was forked from version {forked.parent_version} of {forked.parent},"
                f" which has {fold.version if fold else 0} events"
            )
        fold.fields = [field for field in fold.fields if field.scope == _OWN_SCOPE]
        return fold

    def run(self, events: Iterable[RawEvent]) -> Fold:
        """Fold `events`, in the order of `seq`; return self. Raises `UnknownEvent`, `JournalDamaged`."""
        raw: RawEvent | None = None
        sessions = self.sessions
        ended = None
        try:
            for raw in events:
                seq, session_id, _, turn, kind, name, schema_version, _, _, data, _ = raw
                session = sessions.get(session_id)
                if session is None:
                    if session_id.startswith(SCOPE_PREFIX):  # a shared scope's own stream is no session
                        continue
                    session = self.open(raw)
                    if session is None:
                        ended = seq - 1
                        break
                session.event = raw
                if session.turn.turn != turn:
                    session.enter_turn(turn)
                handler = HANDLERS.get(name)
                if handler is None or schema_version != handler.version:
                    _apply_older(session, raw)
                    continue
                if kind == "decision":
                    session.digest = link(session.digest, session.turn_tag + handler.tag, data.encode())
                elif session.staged:  # what a boundary staged is for its own decisions only
                    session.staged = {}
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

    def rows(self, table: str) -> Iterator[Any]:
        """The rows of one table that this fold touched, session by session."""
        for session in self.sessions.values():
            match table:
                case "sessions":
                    yield session.row
                case "turns":
                    yield from (row for number, row in session.turns.items() if number > 0)
                case "page_table":
                    yield from session.pages.values()
                case "faults":
                    yield from session.faults
                case "durable_store":
                    yield from session.fields
                case "updates":
                    yield from session.updates.values()
