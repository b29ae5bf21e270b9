"""The event log in memory, for tests and evaluation: contract, chain and canonical bytes of the SQLite log."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from clawvm_es.errors import JournalDamaged, UsageError
from clawvm_es.journal import planning
from clawvm_es.journal.check_events import check_log
from clawvm_es.journal.ports import (
    Capability,
    Durability,
    Erased,
    Erasure,
    Expected,
    ExpectedVersion,
    Head,
    NewEvent,
    Recorded,
)
from clawvm_es.journal.problems import Note, Problem, at_most, first_problems, silent
from clawvm_es.journal.vault import Bodies, Body, SessionVault


class MemoryLog:
    """An `EventLog` in memory. Thread-safe; `full` and `normal` differ only in whether heads are provisional."""

    kind: Final = "memory"
    place: Final = "memory:"
    read_only: Final = False
    capabilities: Final = frozenset({Capability.VERIFY, Capability.ANCHOR, Capability.ERASE})

    def __init__(self, *, reproducible: bool = False) -> None:
        self.reproducible = reproducible
        self._journal_id = secrets.token_hex(16)
        self._mutex = threading.RLock()  # held by the thread that writes
        self._state = threading.Lock()  # held while committed events are read or added to
        self._events: list[Recorded] = []
        self._streams: dict[str, list[Recorded]] = {}
        self._keys: dict[tuple[str, str], Recorded] = {}
        self._stored: dict[str, Body] = {}  # by commitment
        self._kept: dict[tuple[str, bytes], str] = {}  # (session, digest) → commitment, where the body is kept
        self._bodies = Bodies(self)
        self._durable_seq = 0
        self._open: MemoryTransaction | None = None
        self._closed = False

    @property
    def journal_id(self) -> str:
        """The random id given to this log when it was made."""
        return self._journal_id

    def transaction(self, durability: Durability = Durability.NORMAL) -> MemoryTransaction:
        """Open a write transaction; see `EventLog.transaction`."""
        return MemoryTransaction(self, durability)

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
        with MemoryTransaction(self, durability) as transaction:
            if version_first:
                planning.check_expected(session_id, transaction._spot(session_id), expected)
            return transaction.append(session_id, events, expected)

    def first(self, session_id: str) -> Recorded | None:
        """The first event of a stream; None if it does not exist."""
        with self._reading():
            return next(iter(self._streams.get(session_id, ())), None)

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream; None if it does not exist."""
        with self._reading():
            stream = self._streams.get(session_id)
            return self._head(stream[-1]) if stream else None

    def heads(self) -> tuple[Head, ...]:
        """The heads of all streams, by session id."""
        with self._reading():
            return tuple(self._head(self._streams[key][-1]) for key in sorted(self._streams, key=str.encode))

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and the decisions that follow it."""
        with self._reading():
            return _group(self._keys.get((session_id, idempotency_key)), self._streams.get(session_id, []))

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The events of a stream with versions above `after` and up to `upto`, as far as committed now."""
        with self._reading():
            return iter(_part(self._streams.get(session_id, []), after, upto))

    def read_all(self, after_seq: int = 0, upto_seq: int | None = None) -> Iterator[Recorded]:
        """All events with `seq` above `after_seq` and up to `upto_seq`, as far as committed now."""
        with self._reading():
            return iter(self._events[max(after_seq, 0) : upto_seq if upto_seq is None else max(upto_seq, 0)])

    def vault(self, session_id: str, seed: int | None = None) -> SessionVault:
        """The bodies of one session. With a seed, salts are derived from it and the body, else random."""
        self._check_open()
        planning.id_bytes(session_id)
        return SessionVault(self._bodies, session_id, seed)

    def verify(self, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
        """All problems of the log; see `Verifying`."""
        return first_problems(check_log(self, fast, at_most(note)))

    def size(self) -> int:
        """The number of events."""
        with self._reading():
            return len(self._events)

    def hashes(self, after: int, upto: int) -> Iterator[bytes]:
        """The hashes of the events with `seq` above `after` and up to `upto`; see `Anchoring`."""
        if upto > self.size():
            raise JournalDamaged(f"the log ends at seq {self.size()}, before {upto}")
        return (recorded.hash for recorded in self.read_all(after, upto))

    def sync(self) -> None:
        """Nothing of a log in memory outlives its process, so there is nothing to write."""

    def close(self) -> None:
        """Release the log; further calls raise."""
        if self._open is not None:
            raise UsageError("a transaction on this log is still open")
        self._closed = True

    def __enter__(self) -> MemoryLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def commitment_of(self, session_id: str, digest: bytes) -> str | None:
        """The commitment of a session to a stored body, by the body's SHA-256."""
        with self._reading():
            return self._kept.get((session_id, digest))

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body (None: sealed) behind a stored commitment; None if there is none."""
        with self._reading():
            body = self._stored.get(commitment)
            return None if body is None else (body.salt, None if body.sealed else body.body)

    def stored_bodies(self, commitments: Sequence[str]) -> dict[str, bytes]:
        """Commitment → stored body; those that were sealed or are not stored are left out."""
        with self._reading():
            found = {name: self._stored[name] for name in commitments if name in self._stored}
            return {name: body.body for name, body in found.items() if not body.sealed}

    def bodies_kept(self, session_id: str | None = None) -> tuple[int, int]:
        """Bodies that the log (or one session) keeps, and their bytes; a shared one counts once."""
        with self._reading():
            kept = (
                each for each in self._stored.values() if not each.sealed and session_id in (None, each.session_id)
            )
            sizes = {each.digest: len(each.body) for each in kept if not each.sealed}
        return len(sizes), sum(sizes.values())

    def holders(self, commitment: str) -> tuple[tuple[str, str], ...]:
        """(session, commitment) of all that stand for the same body, this one included; empty if it has no row."""
        with self._reading():
            body = self._stored.get(commitment)
            if body is None or body.sealed:
                return () if body is None else ((body.session_id, commitment),)
            same = (other for other in self._stored.values() if not other.sealed and other.digest == body.digest)
            return tuple((other.session_id, other.commitment) for other in same)

    def pending_erasures(self) -> tuple[int, ...]:
        """None: what a transaction deletes is gone when it ends."""
        return ()

    def scrubbed(self) -> Sequence[tuple[str, str]]:
        """No place: there are rows only."""
        return ()

    def known_copies(self) -> Sequence[str]:
        """No place: nothing else of the process is known to hold one."""
        return ()

    def scrub(self, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
        """There are no files that hold older states."""
        return Erasure.NOTHING if bodies is None else Erasure.ERASED

    def details(self) -> Mapping[str, Any]:
        """Nothing: a log in memory has no file."""
        return {}

    def _head(self, last: Recorded) -> Head:
        return Head(last.session_id, last.version, last.seq, last.hash, provisional=last.seq > self._durable_seq)

    def _reading(self) -> threading.Lock:
        self._check_open()
        return self._state

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the log is closed")

    def _begin(self, transaction: MemoryTransaction) -> None:
        self._check_open()
        self._mutex.acquire()
        if self._open is not None:
            self._mutex.release()
            raise UsageError("a transaction on this log is already open in this thread")
        self._open = transaction

    def _end(self, transaction: MemoryTransaction, commit: bool) -> None:
        try:
            if commit:
                with self._state:
                    self._add(transaction)
                self._bodies.forget(transaction.bodies)
        finally:
            self._open = None
            self._mutex.release()

    def _add(self, transaction: MemoryTransaction) -> None:
        for body in transaction.bodies:
            self._store(body)
        for commitment in transaction.erased:
            gone = self._stored.pop(commitment, None)
            if gone is not None and self._kept.get((gone.session_id, gone.digest)) == commitment:
                del self._kept[gone.session_id, gone.digest]
        for recorded in transaction.events:
            self._streams.setdefault(recorded.session_id, []).append(recorded)
            if recorded.idempotency_key is not None:
                self._keys[recorded.session_id, recorded.idempotency_key] = recorded
        self._events.extend(transaction.events)
        if transaction.durability is Durability.FULL:
            self._durable_seq = len(self._events)

    def _store(self, body: Body) -> None:
        before = self._stored.get(body.commitment)
        if before is None or before.sealed:
            self._stored[body.commitment] = body
            if not body.sealed:
                self._kept.setdefault((body.session_id, body.digest), body.commitment)


class MemoryTransaction:
    """An open write transaction of a `MemoryLog`: what it appends is added to the log when its block ends."""

    def __init__(self, log: MemoryLog, durability: Durability) -> None:
        self.durability: Final = durability
        self.events: list[Recorded] = []
        self.bodies: list[Body] = []
        self.erased: dict[str, None] = {}
        self._log = log
        self._active = False

    def __enter__(self) -> MemoryTransaction:
        self._log._begin(self)
        self._active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        self._log._end(self, commit=kind is None)

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream inside this transaction."""
        place = self._spot(session_id)
        if place is None:
            return None
        version, seq, hash_ = place
        provisional = self.durability is not Durability.FULL and seq > self._log._durable_seq
        return Head(session_id, version, seq, hash_, provisional)

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and its decisions; empty if there is none."""
        return _group(self._keyed(session_id, (idempotency_key,)).get(idempotency_key), self._stream(session_id))

    def read(self, session_id: str, after: int = 0) -> Iterator[Recorded]:
        """The events of a stream with versions above `after`, as far as appended now."""
        return iter(_part(self._stream(session_id), after, None))

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        prev_hash: bytes | None = None,
    ) -> Head:
        """Append to one stream, with the bodies that its inputs name; see `EventLog.append`."""
        head = self._spot(session_id)
        plan = planning.plan(
            session_id,
            events,
            head,
            expected,
            prev_hash,
            known=self._keyed,
            same=self._log._bodies.same,
            hash_at=self._hash_at,
        )
        if plan is None:
            return self._head_after(session_id)
        rows = plan.rows(len(self._log._events) + len(self.events))
        self.bodies += self._log._bodies.named_by(session_id, rows)
        for row, index in zip(rows, plan.kept, strict=True):
            self.events.append(Recorded(*row[:11], row[11].encode(), *row[12:], events[index].data))
        return self._head_after(session_id)

    def erase(self, commitments: Sequence[str], streams: Sequence[str] = ()) -> tuple[Erased, ...]:
        """Delete commitments, and the bodies that no other one stands for; see `Transaction.erase`."""
        self.erased.update(dict.fromkeys(commitments))
        stored = self._log._stored
        gone = {stored[name].digest: stored[name].body for name in commitments if name in stored}
        for name, body in stored.items():
            if name not in self.erased:
                gone.pop(body.digest, None)
        return tuple(Erased(0, body) for digest, body in gone.items() if digest)

    def _spot(self, session_id: str) -> planning.Spot | None:
        stream = self._stream(session_id)
        return (stream[-1].version, stream[-1].seq, stream[-1].hash) if stream else None

    def _head_after(self, session_id: str) -> Head:
        head = self.head(session_id)
        assert head is not None
        return head

    def _stream(self, session_id: str) -> list[Recorded]:
        if not self._active:
            raise UsageError("this transaction has ended, or has not begun")
        here = [recorded for recorded in self.events if recorded.session_id == session_id]
        stream = self._log._streams.get(session_id, [])
        return [*stream, *here] if here else stream

    def _keyed(self, session_id: str, keys: Sequence[str]) -> dict[str, Recorded]:
        found = {key: self._log._keys[session_id, key] for key in keys if (session_id, key) in self._log._keys}
        here = (recorded for recorded in self.events if recorded.session_id == session_id)
        found.update(
            (r.idempotency_key, r) for r in here if r.idempotency_key in keys and r.idempotency_key is not None
        )
        return found

    def _hash_at(self, session_id: str, version: int) -> bytes | None:
        found = _part(self._stream(session_id), version - 1, version)
        return found[0].hash if found else None


def _part(stream: Sequence[Recorded], after: int, upto: int | None) -> Sequence[Recorded]:
    """The events of a stream with versions above `after` and up to `upto`; versions are gapless."""
    if not stream:
        return ()
    before = stream[0].version - 1
    return stream[max(after - before, 0) : None if upto is None else max(upto - before, 0)]


def _group(first: Recorded | None, stream: Sequence[Recorded]) -> tuple[Recorded, ...]:
    """An input and the decisions that directly follow it in its stream."""
    if first is None:
        return ()
    found = [first]
    for recorded in _part(stream, first.version, None):
        if recorded.kind != "decision":
            break
        found.append(recorded)
    return tuple(found)
