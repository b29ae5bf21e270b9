"""The event log in a PostgreSQL database.

One process may use one log from many threads; each works over a connection of its own, and writers of all machines
take turns by the server's advisory lock. An append goes out in one trip where the log knows the stream's head; where
that is stale, a key is known, or the stream is new, an interactive transaction does the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg

from clawvm_es.errors import (
    JournalBusy,
    JournalDamaged,
    JournalReadOnly,
    JournalUnreachable,
    OutcomeUnknown,
    TailLost,
    UsageError,
    VersionConflict,
)
from clawvm_es.journal import planning
from clawvm_es.journal.planning import Spot
from clawvm_es.journal.ports import (
    Capability,
    Durability,
    Erasure,
    Expected,
    ExpectedVersion,
    Head,
    ModelSpec,
    NewEvent,
    Recorded,
)
from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.journal.vault import Bodies, Body, SessionVault
from clawvm_es.logs import Log
from clawvm_es.model.events import SessionForked
from clawvm_es.storage.postgres import appending, erasing, queries, waking
from clawvm_es.storage.postgres.appending import Mark
from clawvm_es.storage.postgres.models import PostgresModels
from clawvm_es.storage.postgres.opening import Found
from clawvm_es.storage.postgres.server import Line, Server
from clawvm_es.storage.postgres.snapshots import PostgresSnapshots
from clawvm_es.storage.postgres.text_index import PostgresTexts
from clawvm_es.storage.postgres.transaction import PostgresTransaction
from clawvm_es.storage.postgres.verify import problems

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SPOTS_CACHED: Final = 10_000
_log = Log("clawvm_es.journal")


class PostgresLog:
    """An `EventLog` in a schema of a database; made by `open_log`, also a context manager that closes it."""

    kind: Final = "postgresql"

    def __init__(self, server: Server, found: Found, read_only: bool) -> None:
        self.server: Final = server
        self.place: Final = server.address.place
        self.read_only: Final = read_only or not found.appends
        self.reproducible: Final = found.reproducible
        self.created_at_us: Final = found.created_at_us
        self.capabilities: Final = frozenset(Capability) - (set() if found.erases else {Capability.ERASE})
        self.bodies: Final = Bodies(self)
        self._one_trips = found.one_trip
        self._why_read_only = found.refused or "it was opened to be read"
        self._journal_id = found.journal_id
        self._mutex = threading.Lock()
        self._writer: int | None = None  # the thread whose transaction is open
        self._spots: dict[str, Spot] = {}  # where streams stood when this log saw them last
        self._durable_seq = 0
        self._closed = False

    @property
    def journal_id(self) -> str:
        """The random id given to this journal when it was made."""
        return self._journal_id

    # ----------------------------------------------------------------------------------------- writing

    def transaction(self, durability: Durability = Durability.NORMAL) -> PostgresTransaction:
        """Open a write transaction; see `EventLog.transaction`. Not re-entrant: `UsageError`."""
        return PostgresTransaction(self, durability)

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        durability: Durability = Durability.NORMAL,
        *,
        version_first: bool = False,
    ) -> Head:
        """Append events to one stream in a transaction of their own; see `EventLog.append`."""
        planning.id_bytes(session_id)
        self._check_writable()
        head = self._one_trip(session_id, events, expected, durability)
        if head is not None:
            return head

        def interactive(patient: bool) -> Head:
            with PostgresTransaction(self, durability, patient=patient) as transaction:
                if version_first:
                    planning.check_expected(session_id, transaction._spot(session_id), expected)
                return transaction.append(session_id, events, expected)

        try:
            return interactive(patient=False)
        except OutcomeUnknown:
            raise
        except JournalUnreachable:  # nothing of it was kept, so it can be done again
            return interactive(patient=True)

    def _one_trip(
        self, session_id: str, events: Sequence[NewEvent], expected: ExpectedVersion, durability: Durability
    ) -> Head | None:
        """Append after the head that this log knows; None where a transaction has to look closer."""
        spot = self._spots.get(session_id)
        if not self._one_trips or spot is None or not events or isinstance(events[0].data, SessionForked):
            return None
        kept: Sequence[int] = range(len(events))
        if planning.keys_of(events):
            kept = planning.new_events(session_id, events, {}, self.bodies.same)
        try:
            planning.check_expected(session_id, spot, expected)
            rows = planning.stamp(session_id, planning.Tip(spot[0], spot[2]), 0, events, kept)
        except (VersionConflict, UsageError):  # the head may be stale, or a group known already
            return None
        named = self.bodies.named_by(session_id, rows)
        seq = self._call(rows, named, self.waits(durability))
        if seq is None:
            return None
        made = (rows[-1][2], seq, rows[-1][13])
        self.committed({session_id: made}, (), named, durability)
        return self.head_of(session_id, made, durability)

    def _call(self, rows: Sequence[planning.Row], named: Sequence[Body], waits: bool) -> int | None:
        """Append rows in one trip, and find out an outcome that is not known; None where nothing was appended."""
        values = appending.arguments(rows, named, False, appending.milliseconds(self.server.wait_s), waits)
        with self.server.line() as line:
            try:
                return appending.one_trip(line, values)
            except psycopg.Error as error:
                if not appending.cut_off(line, error):
                    raise
                with self.bodies.mutex:
                    self.bodies.share()
                mark = Mark(rows[-1][1], rows[-1][2], rows[-1][13])
                found = appending.landed(self.server, mark, line.token, error)
        if found is not None and waits:
            appending.barrier(self.server)
        return found

    @contextmanager
    def writing(self, transaction: PostgresTransaction) -> Iterator[None]:
        """Let one transaction of this log be open at a time, for the length of the block."""
        self._check_writable()
        if not self._mutex.acquire(timeout=self.server.wait_s):
            raise JournalBusy(f"another thread writes to {self.place} for more than {self.server.wait_s:g} s")
        self._writer = threading.get_ident()
        try:
            yield
        finally:
            self._writer = None
            self._mutex.release()

    def _check_writable(self) -> None:
        self._check_open()
        if self._writer == threading.get_ident():
            raise UsageError(f"a transaction on {self.place} is already open in this thread")
        if self.read_only:
            raise JournalReadOnly(f"{self.place} cannot be written: {self._why_read_only}")

    def waits(self, durability: Durability) -> bool:
        """Tell whether a commit of a durability returns when it is on the server's disk."""
        return durability is Durability.FULL or self.server.address.normal_waits

    def committed(
        self,
        spots: Mapping[str, Spot],
        began: Sequence[str] | set[str],
        stored: Sequence[Body],
        durability: Durability,
    ) -> None:
        """Note what a transaction of this log committed."""
        if len(self._spots) > _SPOTS_CACHED:
            self._spots.clear()
        for session_id, spot in spots.items():
            self._spots[session_id] = spot
            self.bodies.wrote(session_id, spot[0], session_id in began)
            if durability is Durability.FULL:
                self._durable_seq = max(self._durable_seq, spot[1])
        self.bodies.forget(stored)

    def check_tail(self, session_id: str, found: Spot | None) -> None:
        """Raise `TailLost`, once, where a stream that this log saw has lost events."""
        known = self._spots.get(session_id)
        if known is None:
            return
        version = 0 if found is None else found[0]
        if version > known[0] or (found is not None and found[0] == known[0] and found[2] == known[2]):
            return
        self._spots.pop(session_id, None)
        _log.warning("tail lost", path=self.place, session=session_id, was=known[0], now=version)
        raise TailLost(
            f"session {session_id}: tail lost: v{known[0]} → v{version}",
            hint="the server lost what it had acknowledged; read the session again and go on from there",
        )

    def head_of(self, session_id: str, place: Spot, durability: Durability = Durability.NORMAL) -> Head:
        """Make the head of a stream of its place."""
        version, seq, hash_ = place
        promised = durability is Durability.FULL or seq <= self._durable_seq
        return Head(session_id, version, seq, hash_, provisional=not promised)

    # ----------------------------------------------------------------------------------------- reading

    def first(self, session_id: str) -> Recorded | None:
        """The first event of a stream; None if it does not exist."""
        return self.ask(queries.first, session_id)

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream; None if it does not exist."""
        place = self.ask(queries.spot, session_id)
        self.check_tail(session_id, place)
        return None if place is None else self.head_of(session_id, place)

    def heads(self) -> tuple[Head, ...]:
        """The heads of all streams, by session id."""
        return tuple(self.head_of(session_id, place) for session_id, place in self.ask(queries.spots).items())

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and the decisions that follow it."""
        first = self.ask(queries.keyed, session_id, (idempotency_key,)).get(idempotency_key)
        return () if first is None else self.ask(queries.group, first)

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The events of a stream with versions above `after` and up to `upto`, as far as committed now."""
        place = self.ask(queries.spot, session_id)
        if place is None:
            return iter(())
        last = place[0] if upto is None else min(upto, place[0])
        return self.chunks(queries.stream_chunk, (session_id,), after, last, 2)

    def read_all(self, after_seq: int = 0, upto_seq: int | None = None) -> Iterator[Recorded]:
        """All events with `seq` above `after_seq` and up to `upto_seq`, as far as committed now."""
        last = self.ask(queries.tail)
        return self.chunks(queries.all_chunk, (), after_seq, last if upto_seq is None else min(upto_seq, last), 0)

    def chunks(
        self, query: Callable[..., list[tuple[Any, ...]]], args: tuple[Any, ...], after: int, upto: int, column: int
    ) -> Iterator[Recorded]:
        """Yield what a query of our own modules finds, `queries.CHUNK` rows at a time; `column` is their place."""
        while after < upto:
            rows = self.ask(query, *args, after, upto)
            yield from queries.recordeds(rows)
            if len(rows) < queries.CHUNK:
                return
            after = rows[-1][column]

    def ask(self, query: Callable[Concatenate[Line, _P], _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run a query; once again where a connection that was idle turns out to be gone."""
        self._check_open()
        try:
            with self.server.line() as line:
                return query(line, *args, **options)
        except JournalUnreachable:
            with self.server.line(patient=True) as line:
                return query(line, *args, **options)
        except UnicodeEncodeError as error:
            raise UsageError(f"no id, key or commitment is called so: {error}") from error

    def vault(self, session_id: str, seed: int | None = None) -> SessionVault:
        """The bodies of one session. With a seed, salts are derived from it and the body, else random."""
        self._check_open()
        planning.id_bytes(session_id)
        return SessionVault(self.bodies, session_id, seed)

    def commitment_of(self, session_id: str, digest: bytes) -> str | None:
        """The commitment of a session to a stored body, by the body's SHA-256."""
        return self.ask(queries.commitment_of, session_id, digest)

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body (None: sealed) behind a stored commitment; None if there is no such row."""
        return self.ask(queries.stored, commitment)

    def stored_bodies(self, commitments: Sequence[str]) -> dict[str, bytes]:
        """Commitment → stored body; those that were sealed or are not stored are left out."""
        return self.ask(queries.bodies, commitments) if commitments else {}

    def bodies_kept(self, session_id: str | None = None) -> tuple[int, int]:
        """Bodies that the log (or one session) keeps, and their bytes; a shared one counts once."""
        return self.ask(queries.bodies_kept, session_id)

    def holders(self, commitment: str) -> tuple[tuple[str, str], ...]:
        """(session, commitment) of all that stand for the same body, this one included; empty if it has no row."""
        return self.ask(queries.holders, commitment)

    def wait(self, after_seq: int, timeout_s: float) -> bool:
        """Wait until the log holds an event above `after_seq`, at most `timeout_s`; return whether it does.

        A commit wakes the wait; the answer is read from the log, so a lost notice only costs time.
        """
        self._check_open()
        return waking.wait(self.server, after_seq, timeout_s)

    # ---------------------------------------------------------------------------------------- caches

    def snapshots(self) -> PostgresSnapshots:
        """The snapshots of this journal's states: the port `SnapshotStore`."""
        return PostgresSnapshots(self)

    def models(self, spec: ModelSpec) -> PostgresModels:
        """The stored read models of a definition: the port `ModelStore`."""
        return PostgresModels(self, spec)

    def texts(self) -> PostgresTexts:
        """The full-text index of the bodies: the port `TextIndex`."""
        return PostgresTexts(self)

    # ------------------------------------------------------------------------------- erasing, checking

    def pending_erasures(self) -> tuple[int, ...]:
        """None: rows are gone when the transaction ends, and what is left elsewhere is named, not waited for."""
        return ()

    def scrubbed(self) -> Sequence[tuple[str, str]]:
        """The tables, whose dead rows the server may write over."""
        return erasing.PLACES

    def known_copies(self) -> Sequence[str]:
        """The places of the server, and beside it, that may hold what was erased."""
        return self.ask(erasing.known_copies)

    def scrub(self, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
        """Let the server reuse the room of erased rows; never `erased`, since copies are out of reach."""
        return erasing.scrub(self, bodies)

    def verify(self, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
        """All problems of the journal, looked for in one state of it; see `Verifying`."""
        return problems(self.server, fast, note)

    def size(self) -> int:
        """The number of events, as far as committed now."""
        return self.ask(queries.tail)

    def hashes(self, after: int, upto: int) -> Iterator[bytes]:
        """The stored hashes of the events with `seq` above `after` and up to `upto`; see `Anchoring`."""
        seq = after
        while seq < upto and (rows := self.ask(queries.hashes, seq, upto)):
            for found, hash_ in rows:
                seq += 1
                if found != seq:
                    raise JournalDamaged(f"there is no event with seq {seq} and a hash")
                yield hash_
        if seq < upto:
            raise JournalDamaged(f"the log ends at seq {seq}, before {upto}")

    def sync(self) -> None:
        """Return when all that can be read is on the server's disk."""
        self._check_open()
        if not self.read_only:
            appending.barrier(self.server)

    def details(self) -> Mapping[str, Any]:
        """The server's version, the schema, and the bytes of its tables."""
        return self.ask(_details)

    def close(self) -> None:
        """Release the connections; twice is fine."""
        if self._writer is not None and not self._closed:
            raise UsageError(f"a transaction on {self.place} is still open")
        self._closed = True
        self.server.close()

    def __enter__(self) -> PostgresLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the journal {self.place} is closed")


def _details(line: Line) -> dict[str, Any]:
    size = """SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
        WHERE relkind = 'r' AND relnamespace = '{s}'::regnamespace"""
    version = divmod(line.db.info.server_version, 10_000)
    return {
        "server": f"PostgreSQL {version[0]}.{version[1]}",
        "schema": line.address.schema,
        "table_bytes": line.value(size),
    }
