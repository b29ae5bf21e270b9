"""A write transaction that holds the journal's lock from its first statement to its commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final

import psycopg

from clawvm_es.errors import InvariantBroken, JournalError, JournalUnreachable, UsageError
from clawvm_es.journal import planning
from clawvm_es.journal.planning import Spot
from clawvm_es.journal.ports import Durability, Erased, Expected, ExpectedVersion, Head, NewEvent, Recorded
from clawvm_es.journal.vault import Body
from clawvm_es.storage.postgres import appending, queries
from clawvm_es.storage.postgres.appending import Mark
from clawvm_es.storage.postgres.server import Line, translate

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.log import PostgresLog

_FORGET: Final = "DELETE FROM {s}.commitments WHERE commitment = ANY (%s) RETURNING blob_id"
_DROP: Final = "DELETE FROM {s}.blobs WHERE blob_id = ANY (%s)"
_DROP_WORDS: Final = "DELETE FROM {s}.body_words WHERE blob_id = ANY (%s)"


class PostgresTransaction:
    """An open write transaction of a `PostgresLog`; the only writer of the journal until its block ends."""

    def __init__(self, log: PostgresLog, durability: Durability, *, patient: bool = False) -> None:
        self.durability: Final = durability
        self.spots: dict[str, Spot | None] = {}
        self.began: set[str] = set()
        self.appended: dict[str, Spot] = {}
        self.stored: list[Body] = []
        self._mark: Mark | None = None
        self._log = log
        self._line: Line | None = None
        self._failed = False
        self._patient = patient
        self._stack = ExitStack()

    def __enter__(self) -> PostgresTransaction:
        with ExitStack() as stack:
            stack.enter_context(self._log.writing(self))
            line = stack.enter_context(self._log.server.line(self._patient))
            appending.begin(line, self._log.server.wait_s)
            self._line = line
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line, self._line = self._line, None
        with self._stack:
            if isinstance(error, psycopg.Error):
                raise translate(error, self._log.server.address) from error
            if kind is None and line is not None:
                self._commit(line)

    @property
    def line(self) -> Line:
        """The connection that this transaction writes through."""
        if self._line is None:
            raise UsageError("this transaction has ended, or has not begun")
        return self._line

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream inside this transaction."""
        place = self._spot(session_id)
        return None if place is None else self._head(session_id, place)

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and its decisions; empty if there is none."""
        first = self._known(session_id, (idempotency_key,)).get(idempotency_key)
        return () if first is None else queries.group(self.line, first)

    def read(self, session_id: str, after: int = 0) -> Iterator[Recorded]:
        """The events of a stream with versions above `after`, as far as appended now."""
        place = self._spot(session_id)
        if place is None:
            return
        upto, *_ = place
        while after < upto and (rows := queries.stream_chunk(self.line, session_id, after, upto)):
            after = rows[-1][2]
            yield from queries.recordeds(rows)

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        prev_hash: bytes | None = None,
    ) -> Head:
        """Append to one stream, with the bodies that its inputs name; see `EventLog.append`."""
        planning.id_bytes(session_id)
        head = self._spot(session_id)
        plan = planning.plan(
            session_id,
            events,
            head,
            expected,
            prev_hash,
            known=self._known,
            same=self._log.bodies.same,
            hash_at=self._hash_at,
        )
        if plan is None:
            assert head is not None
            return self._head(session_id, head)
        rows = plan.rows(0)
        named = self._log.bodies.named_by(session_id, rows)
        seq = self._write(rows, named, head is None)
        version, hash_ = rows[-1][2], rows[-1][13]
        if head is None:
            self.began.add(session_id)
        self.stored += named
        self._mark = Mark(session_id, version, hash_)
        self.spots[session_id] = self.appended[session_id] = (version, seq, hash_)
        return self._head(session_id, (version, seq, hash_))

    def erase(self, commitments: Sequence[str], streams: Sequence[str] = ()) -> tuple[Erased, ...]:
        """Delete commitments, and the bodies that no other one stands for; see `Transaction.erase`."""
        from clawvm_es.storage.postgres.snapshots import forget

        self._log.bodies.erased()
        ids = [blob_id for (blob_id,) in self.line.run(_FORGET, (list(commitments),)) if blob_id is not None]
        gone = queries.unheld(self.line, ids)
        for statement in (_DROP_WORDS, _DROP):
            self.line.run(statement, ([blob_id for blob_id, _ in gone],))
        forget(self.line, streams)
        return tuple(Erased(blob_id, body) for blob_id, body in gone)

    def _write(self, rows: Sequence[planning.Row], named: Sequence[Body], begins: bool) -> int:
        wait_ms = appending.milliseconds(self._log.server.wait_s)
        self._failed = True
        ((status, seq),) = self.line.run(appending.CALL, appending.arguments(rows, named, begins, wait_ms))
        if status != "ok":
            raise InvariantBroken(f"LAW-PG-1: append is {status} inside a transaction that holds the lock")
        self._failed = False
        return int(seq)

    def _commit(self, line: Line) -> None:
        log, waits = self._log, self._log.waits(self.durability)
        if self._failed:
            raise JournalError(f"an append to {log.place} failed, so the whole transaction was rolled back")
        try:
            appending.commit(line, waits)
        except psycopg.Error as error:
            with log.bodies.mutex:
                log.bodies.share()
            if not appending.cut_off(line, error):
                raise translate(error, log.server.address) from error
            if self._mark is None:
                raise JournalUnreachable(
                    f"{log.place}: the connection was cut around a commit", hint="do it again: it changed caches only"
                ) from error
            if appending.landed(log.server, self._mark, line.token, error) is None:
                raise JournalUnreachable(
                    f"{log.place}: the connection was cut before the commit: nothing of it was kept",
                    hint="do it again",
                ) from error
            if waits:
                appending.barrier(log.server)
        log.committed(self.appended, self.began, self.stored, self.durability)

    def _spot(self, session_id: str) -> Spot | None:
        line = self.line
        if session_id not in self.spots:
            found = queries.spot(line, session_id)
            self._log.check_tail(session_id, found)
            self._log.bodies.found(session_id, 0 if found is None else found[0])
            self.spots[session_id] = found
        return self.spots[session_id]

    def _known(self, session_id: str, keys: Sequence[str]) -> Mapping[str, Recorded]:
        return queries.keyed(self.line, session_id, keys)

    def _hash_at(self, session_id: str, version: int) -> bytes | None:
        return queries.hash_at(self.line, session_id, version)

    def _head(self, session_id: str, place: Spot) -> Head:
        return self._log.head_of(session_id, place, self.durability)
