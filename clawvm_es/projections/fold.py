"""The fold: events in, rows out.

LAW-PROJ-1: folding a log from zero, or in any number of pieces that each end with a transaction, gives the same
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import msgspec

from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.journal import codec
from clawvm_es.model.events import SCOPE_PREFIX
from clawvm_es.projections.digest import START, link, words
from clawvm_es.projections.handlers import HANDLERS
from clawvm_es.projections.rows import SessionRow, TurnRow
from clawvm_es.projections.session import NoPast, Past, Raw, SessionFold

RAW_COLUMNS = "seq, session_id, version, turn, kind, type, schema_version, at, principal, data, hash"


def _where(raw: Raw) -> str:
    return f"session {raw[1]} version {raw[2]} (seq {raw[0]})"


def _apply_older(session: SessionFold, raw: Raw) -> None:
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
    """The rows that a piece of the log changed, by session; `seq` is the last event folded."""

    past: Past = attrs.field(factory=NoPast)
    seq: int = 0
    sessions: dict[str, SessionFold] = attrs.field(factory=dict)

    def row_of(self, session_id: str) -> SessionRow | None:
        """The row of a session, whichever piece it stands in."""
        fold = self.sessions.get(session_id)
        return fold.row if fold else self.past.session(session_id)

    def open(self, session_id: str, seq: int) -> SessionFold:
        """Begin or continue the fold of a session."""
        row = self.past.session(session_id)
        if row is None:
            row = SessionRow(session_id, seq=seq, decision_digest=START.hex())
        digest = bytes.fromhex(row.decision_digest)
        fold = SessionFold(session_id, self.past, self.row_of, row, digest, TurnRow(session_id, -1))
        self.sessions[session_id] = fold
        return fold

    def run(self, events: Iterable[Raw]) -> Fold:
        """Fold `events`, in the order of `seq`; return self. Raises `UnknownEvent`, `JournalDamaged`."""
        raw: Raw | None = None
        sessions = self.sessions
        try:
            for raw in events:
                seq, session_id, _, turn, kind, name, schema_version, _, _, data, _ = raw
                session = sessions.get(session_id)
                if session is None:
                    if session_id.startswith(SCOPE_PREFIX):  # a shared scope's own stream is no session
                        continue
                    session = self.open(session_id, seq)
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
        except (msgspec.MsgspecError, LookupError, AttributeError, ArithmeticError, ValueError) as error:
            assert raw is not None
            raise JournalDamaged(f"{_where(raw)}: data is no {raw[5]} of this program: {error!r}") from error
        if raw is not None:
            self.seq = raw[0]
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
