"""An open write transaction of a journal file: the events appended in it, and the heads of their streams."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from clawvm_es.errors import UsageError
from clawvm_es.journal import planning
from clawvm_es.journal.planning import Spot
from clawvm_es.journal.ports import Durability, Erased, Expected, ExpectedVersion, Head, NewEvent, Recorded
from clawvm_es.journal.vault import Body
from clawvm_es.storage.sqlite import erasure, opening, queries, snapshots, text_index

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SQLiteTransaction:
    """An open write transaction of an `SQLiteLog`; the only writer of the file until its block ends."""

    def __init__(self, log: SQLiteLog, durability: Durability) -> None:
        self.durability: Final = durability
        self.last: tuple[int, bytes] | None = None  # seq and hash of the last event appended here
        self.first = 0  # seq of the first event appended here
        self.spots: dict[str, Spot] = {}  # streams appended to here
        self.began: set[str] = set()  # streams that did not exist before
        self.stored: dict[str, Body] = {}  # by commitment
        self.failed = False  # an append stopped half-way, so nothing may be committed
        self._log = log
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> SQLiteTransaction:
        self._db = self._log._begin(self, self.durability)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db = None
        if error is not None:
            self._log._note_failed_sync(error)
        self._log._end(self, commit=kind is None)
        if isinstance(error, sqlite3.Error):  # of what its block wrote through `connection`
            raise opening.translate(error, self._log.path) from error

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that this transaction writes through, for tables beside the log's own (read models)."""
        return self._connection()

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream inside this transaction."""
        place = self._spot(session_id)
        return None if place is None else self._head(session_id, place)

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and its decisions; empty if there is none."""
        first = self._known(session_id, (idempotency_key,)).get(idempotency_key)
        return () if first is None else self._query(queries.group, first)

    def read(self, session_id: str, after: int = 0) -> Iterator[Recorded]:
        """The events of a stream with versions above `after`, as far as appended now."""
        place = self._spot(session_id)
        return iter(()) if place is None else self._chunks(session_id, after, place[0])

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        prev_hash: bytes | None = None,
    ) -> Head:
        """Append to one stream, with the bodies that its inputs name; see `EventLog.append`.

        `prev_hash`, where given, must be what the first event will chain to, else `VersionConflict`. A stream
        that begins with `session_forked` takes its version and chain from the parent that it names.
        """
        head = self._spot(session_id)
        plan = planning.plan(
            session_id,
            events,
            head,
            expected,
            prev_hash,
            known=self._known,
            same=self._log._bodies.same,
            hash_at=self._hash_at,
        )
        if plan is None:
            assert head is not None
            return self._head(session_id, head)
        if self.last is None:
            self.last = self._log._tail
        rows = plan.rows(0 if self.last is None else self.last[0])
        bodies = self._log._bodies.named_by(session_id, rows)
        self._write(rows, bodies, begins=head is None)
        seq, version, hash_ = rows[-1][0], rows[-1][2], rows[-1][13]
        self.first = self.first or rows[0][0]
        self.last = (seq, hash_)
        if head is None:
            self.began.add(session_id)
        self.spots[session_id] = (version, seq, hash_)
        return self._head(session_id, self.spots[session_id])

    def erase(self, commitments: Sequence[str], streams: Sequence[str] = ()) -> tuple[Erased, ...]:
        """Delete commitments, and the bodies that no other one stands for; see `Transaction.erase`."""
        self._log._bodies.erased()
        gone = self._query(queries.erase, commitments)
        self._query(text_index.forget, gone)
        self._query(snapshots.forget, streams)
        self._query(erasure.mark, self.first or self._query(queries.last_seq))
        return gone

    def _write(self, rows: Sequence[planning.Row], bodies: Sequence[Body], begins: bool) -> None:
        db = self._connection()
        try:
            queries.append(db, rows, begins)
            if bodies and (new := [body for body in bodies if self.stored.get(body.commitment) is not body]):
                queries.store(db, new)
                self.stored.update([(body.commitment, body) for body in new])
        except sqlite3.Error as error:
            self.failed = True
            raise opening.translate(error, self._log.path) from error

    def _spot(self, session_id: str) -> Spot | None:
        if self._db is None:
            self._connection()
        place = self.spots.get(session_id) or self._log._spots.get(session_id)
        if place is None:
            planning.id_bytes(session_id)
            place = self._query(queries.spot, session_id)
            self._log._bodies.found(session_id, 0 if place is None else place[0])
            if place is not None:
                self._log._spots[session_id] = place
        return place

    def _known(self, session_id: str, keys: Sequence[str]) -> Mapping[str, Recorded]:
        return self._query(queries.keyed, session_id, keys)

    def _hash_at(self, session_id: str, version: int) -> bytes | None:
        return self._query(queries.hash_at, session_id, version)

    def _chunks(self, session_id: str, after: int, upto: int) -> Iterator[Recorded]:
        while after < upto and (rows := self._query(queries.stream_chunk, session_id, after, upto)):
            after = rows[-1][2]
            yield from queries.recordeds(rows)

    def _head(self, session_id: str, place: Spot) -> Head:
        version, seq, hash_ = place
        provisional = self.durability is not Durability.FULL and seq > self._log._durable_seq
        return Head(session_id, version, seq, hash_, provisional)

    def _query(self, query: opening.Query[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        return opening.ask(self._connection(), self._log.path, query, *args, **options)

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise UsageError("this transaction has ended, or has not begun")
        return self._db
