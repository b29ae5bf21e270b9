"""The event log in an SQLite file: one writing connection, one reading connection, the writer's lock.

One process may use one log from many threads. Writers of the process queue for its one writing connection; reads
go through a second connection and fetch in whole chunks, so they see only what is committed, hold no snapshot
between chunks, and wait for no writer, of this process or another. A log survives `os.fork`: connections are
closed before it and opened again on first use on either side.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from clawvm_es import files, limits
from clawvm_es.errors import (
    DiskFailed,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalReadOnly,
    UsageError,
    no_journal,
)
from clawvm_es.journal import planning
from clawvm_es.journal.chain import HASH_BYTES
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
from clawvm_es.journal.vault import Bodies, SessionVault
from clawvm_es.logs import Log
from clawvm_es.storage.sqlite import (
    erasure,
    foreign,
    forking,
    holders,
    judging,
    opening,
    queries,
    schema,
    stale,
    upgrading,
)
from clawvm_es.storage.sqlite.asking import value
from clawvm_es.storage.sqlite.lock import WriterLock
from clawvm_es.storage.sqlite.models import SQLiteModels
from clawvm_es.storage.sqlite.snapshots import SQLiteSnapshots
from clawvm_es.storage.sqlite.text_index import SQLiteTexts
from clawvm_es.storage.sqlite.transaction import SQLiteTransaction
from clawvm_es.storage.sqlite.verify import verify_file
from clawvm_es.storage.sqlite.wal import Wal
from clawvm_es.storage.sqlite.watched import Connect

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Chunk: TypeAlias = Callable[..., list[tuple[Any, ...]]]

_DONE: Final = (Erasure.ERASED, Erasure.REMOVED)
_HEADS_CACHED: Final = 10_000
_NEAR: Final = 64
"""Events of a stream that are fetched first, before whole chunks."""
_SYNC_FAILED: Final = "SQLITE_IOERR_FSYNC"
_log = Log("clawvm_es.journal")


def open_log(
    path: str | os.PathLike[str],
    *,
    connect: Connect = sqlite3.connect,
    wait_s: float = limits.LOCK_WAIT_S,
    read_only: bool = False,
    reproducible: bool = False,
    group: bool = False,
    upgrade: bool = True,
) -> SQLiteLog:
    """Open the journal at `path`; a missing or empty file becomes a new one, marked `reproducible` if asked.

    A new journal is readable by its owner only, with `group` also by the file's group; an existing one keeps its
    permissions. A link to a journal is resolved once, here, so that all users of any name share one lock and one
    write-ahead log; nothing is made through a link.

    A journal of an older format is upgraded to today's, unless `upgrade` is false; then only upkeep may write to it.
    `connect` makes all connections. `wait_s` bounds each wait for other writers, in seconds. Pending erasures are
    finished, if nothing is in the way. With `read_only`, or if the file is not writable, every write raises
    `JournalReadOnly` and the file is not changed. Raises `NotAJournal`, `JournalTooNew`, `JournalDamaged` (each
    leaves file and directory as they were), `UnreadableInput` (reading: no journal there), `UsageError` (no such
    directory), `JournalBusy`, `JournalReadOnly`, `JournalFull`, `ForeignObject` (writing: a trigger that is not
    ours).
    """
    place = os.path.realpath(path)
    missing = judging.is_new(place, connect)
    mode = files.mode_of(place, files.SHARED if group else files.PRIVATE)
    lock = WriterLock(place + ".lock", wait_s, mode)
    if missing:
        if read_only:
            raise no_journal(place)
        if os.path.islink(path):
            raise UsageError(f"{path} is a link to {place}, where there is no journal", hint=f"name {place} itself")
        opening.create(place, lock, reproducible, mode, connect)
    stale.check(place, connect)
    writable = os.access(place, os.W_OK) and os.access(os.path.dirname(place), os.W_OK)
    log = SQLiteLog(place, lock, read_only=read_only or not writable, connect=connect)
    if not log.read_only:
        try:
            log.ask(foreign.refuse_triggers, place)
            if upgrade:
                upgrading.upgrade(log)
            finish_erasures(log)
        except BaseException:
            log.close()
            raise
    return log


def finish_erasures(log: SQLiteLog) -> None:
    """Continue erasures that a reader, a full disk or a crash left pending; obstacles are logged."""
    if log.pending_erasures() and (state := log.scrub(wait_s=0)) not in _DONE:
        _log.warning("an erasure is still not finished", path=log.path, state=str(state))


class SQLiteLog:
    """An `EventLog` in one file; made by `open_log`, also a context manager that closes it."""

    kind: Final = "sqlite"
    capabilities: Final = frozenset(Capability)

    def __init__(self, path: str, lock: WriterLock, read_only: bool, connect: Connect = sqlite3.connect) -> None:
        self.path: Final = path
        self.place: Final = path
        self.read_only: Final = read_only
        self.connect: Final = connect
        self._lock = lock
        self._mutex = threading.RLock()  # held by the thread that writes
        self._reading = threading.Lock()
        self._writer_db: sqlite3.Connection | None = None
        self._reader_db: sqlite3.Connection | None = None
        self._open: SQLiteTransaction | None = None
        self._closed = False
        self._synchronous: Durability | None = None
        self._schema_seen = -1  # version of the schema that had no trigger but ours
        self._current = False  # whether the next two are right as long as nobody else writes
        self._tail: tuple[int, bytes] | None = None  # seq and hash of the log's last event
        self._spots: dict[str, Spot] = {}  # where streams stand, as far as known
        self._wal = Wal(path)
        self._bodies = Bodies(self)
        try:
            with self._reading:
                db = self._reader()
                self._journal_id, self.created_at_us, self.reproducible = opening.check_tables(db, path)
                last = queries.tail(db)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._release_connections()
            raise opening.translate(error, path) from error
        except BaseException:
            self._release_connections()
            raise
        self._durable_seq = last[0] if last and not opening.wal_bytes(path) else 0
        forking.OPEN.add(self)

    @property
    def journal_id(self) -> str:
        """The random id given to this journal when it was made."""
        return self._journal_id

    # ----------------------------------------------------------------------------------------- writing

    def transaction(self, durability: Durability = Durability.NORMAL) -> SQLiteTransaction:
        """Open a write transaction; see `EventLog.transaction`. Not re-entrant: `UsageError`."""
        return SQLiteTransaction(self, durability)

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
        with SQLiteTransaction(self, durability) as transaction:
            if version_first:
                planning.check_expected(session_id, transaction._spot(session_id), expected)
            return transaction.append(session_id, events, expected)

    @contextlib.contextmanager
    def alone(self, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """The writing connection outside of a transaction, with the writer's lock held, for the length of the block.

        For upkeep that no transaction can hold: truncating the WAL, rebuilding the file. It does not wait for
        readers.
        """
        if self.read_only:
            raise JournalReadOnly(f"{self.path} cannot be written", hint="check its permissions and its folder's")
        with self._mutex:
            self._check_open()
            if self._open is not None:
                raise UsageError(f"a transaction on {self.path} is open in this thread")
            self._acquire(wait_s)
            self._current = False
            try:
                connection = self._writer()
                self._refuse_changes(connection)
                connection.execute("PRAGMA busy_timeout=0")
                yield connection
            except sqlite3.Error as error:
                self._note_failed_sync(error)
                raise
            finally:
                if self._writer_db is not None:
                    self._writer_db.execute(f"PRAGMA busy_timeout={opening.BUSY_MS}")
                self._lock.release()

    def _begin(self, transaction: SQLiteTransaction, durability: Durability) -> sqlite3.Connection:
        """Take all locks, begin, and find out whether the heads we remember still stand."""
        self._check_open()
        if self.read_only:
            raise JournalReadOnly(f"{self.path} cannot be written", hint="check its permissions and its folder's")
        if not self._mutex.acquire(timeout=self._lock.wait_s):
            raise JournalBusy(f"another thread writes to {self.path} for more than {self._lock.wait_s:g} s")
        try:
            if self._open is not None:
                raise UsageError(f"a transaction on {self.path} is already open in this thread")
            self._check_open()
            self._current = self._acquire() and self._current  # known from now on, whatever fails below
            try:
                db = self._writer()
                if self._synchronous is not durability:
                    db.execute(f"PRAGMA synchronous={durability.value}")
                    self._synchronous = durability
                db.execute("BEGIN IMMEDIATE")
                self._refuse_changes(db)
                if not self._current or len(self._spots) > _HEADS_CACHED:
                    self._spots.clear()
                    self._tail = queries.tail(db)
                    self._current = True
                self._open = transaction
            except BaseException:
                self._rollback_if_open()
                self._lock.release()
                raise
        except sqlite3.Error as error:
            self._mutex.release()
            raise opening.translate(error, self.path) from error
        except BaseException:
            self._mutex.release()
            raise
        return db

    def _acquire(self, wait_s: float | None = None) -> bool:
        """Take the writer's lock, see `WriterLock.acquire`; what a failed sync left unsure is synced first."""
        same = self._lock.acquire(wait_s)
        if self._lock.unsynced:
            try:
                self._told(self._wal.renew)
                self._lock.synced()
            except BaseException:
                self._lock.release()
                raise
        return same

    def _note_failed_sync(self, error: BaseException | None) -> None:
        """Leave a mark for the next writer if a sync failed: the error itself, or what it was raised from."""
        while error is not None:
            if getattr(error, "sqlite_errorname", None) == _SYNC_FAILED:
                return self._lock.sync_failed()
            error = error.__cause__
        return None

    def _told(self, sync: Callable[[], None]) -> None:
        """Sync, and tell the system's errors by ours."""
        try:
            sync()
        except JournalError:  # of the lock, which could not be marked
            raise
        except OSError as error:
            raise files.disk_error(error, f"{self.path} cannot be synced", "do it again") from error

    def _refuse_changes(self, db: sqlite3.Connection) -> None:
        """Raise `JournalTooNew` where a newer program upgraded the file, `ForeignObject` where a trigger is not ours.

        Both are looked for when the schema has changed.
        """
        version = value(db, "PRAGMA schema_version")
        if version != self._schema_seen:
            user_version = value(db, "PRAGMA user_version")
            judging.check_marks(self.path, schema.APPLICATION_ID, user_version)
            foreign.refuse_triggers(db, self.path)
            self._schema_seen = version

    def _end(self, transaction: SQLiteTransaction, commit: bool) -> None:
        """Commit or roll back, checkpoint if it is time, and let the next writer in."""
        if self._open is not transaction or self._writer_db is None:
            raise UsageError(f"the transaction on {self.path} belongs to the process that began it")
        try:
            if commit and transaction.failed:
                raise JournalError(f"an append to {self.path} failed, so the whole transaction was rolled back")
            if commit:
                self._commit(self._writer_db, transaction)
                if self._wal.is_long():
                    self._checkpoint(self._writer_db)
        except sqlite3.Error as error:
            self._note_failed_sync(error)
            raise opening.translate(error, self.path) from error
        finally:
            self._rollback_if_open()
            self._open = None
            self._lock.release()
            self._mutex.release()

    def _commit(self, db: sqlite3.Connection, transaction: SQLiteTransaction) -> None:
        """Commit; where that raises, the outcome is unknown, so nothing that is remembered holds any more."""
        self._current = False
        try:
            db.execute("COMMIT")
        except BaseException:
            with self._bodies.mutex:
                self._bodies.share()
            raise
        self._current = True
        if transaction.durability is Durability.FULL and transaction.last is None:
            self._sync_found()
        self._committed(transaction)

    def _sync_found(self) -> None:
        """Make durable what a `FULL` transaction found and did not write again: SQLite syncs for writes only."""
        if self._tail is not None and self._tail[0] > self._durable_seq:
            self._told(self._sync)

    def _committed(self, transaction: SQLiteTransaction) -> None:
        if transaction.last is not None:
            self._tail = transaction.last
            self._spots.update(transaction.spots)
            for session_id, place in transaction.spots.items():
                self._bodies.wrote(session_id, place[0], session_id in transaction.began)
            if transaction.stored:
                self._bodies.forget(transaction.stored.values())
        if transaction.durability is Durability.FULL and self._tail is not None:
            self._durable_seq = self._tail[0]

    def _rollback_if_open(self) -> None:
        if self._writer_db is not None and self._writer_db.in_transaction:
            self._current = False
            self._writer_db.execute("ROLLBACK")

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        """Copy the WAL into the file while the lock is held; what keeps us from it is reported, never an error."""
        try:
            _, frames, copied = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:  # what was committed stays committed, in the WAL
            self._note_failed_sync(error)
            _log.warning("the write-ahead log could not be copied into the journal", path=self.path, error=str(error))
            return
        if copied == frames and self._tail is not None:
            self._durable_seq = self._tail[0]
        held = copied < frames or self._wal.went_on()
        self._wal.checkpointed(frames)
        if held and self._wal.bytes_of(frames) > limits.WAL_WARN_BYTES:
            _log.warning(
                "a reader keeps the write-ahead log from being written from its start again",
                path=self.path,
                wal_bytes=self._wal.bytes_of(frames),
                held_by=[str(process) for process in holders.holders(self.path)],
            )

    # ----------------------------------------------------------------------------------------- reading

    def first(self, session_id: str) -> Recorded | None:
        """The first event of a stream; None if it does not exist."""
        with self._reading:
            return next(queries.recordeds(self._read(queries.first, session_id)), None)

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream; None if it does not exist."""
        with self._reading:
            place = self._read(queries.spot, session_id)
        return None if place is None else self._head(session_id, place)

    def heads(self) -> tuple[Head, ...]:
        """The heads of all streams, by session id."""
        with self._reading:
            places = self._read(queries.spots)
        return tuple(self._head(session_id, place) for session_id, place in places.items())

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and the decisions that follow it."""
        with self._reading:
            first = self._read(queries.keyed, session_id, (idempotency_key,)).get(idempotency_key)
            return () if first is None else self._read(queries.group, first)

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The events of a stream with versions above `after` and up to `upto`, as far as committed now."""
        if upto is not None and max(0, after) < upto <= min(after + queries.CHUNK, queries.LAST):  # one statement
            return queries.recordeds(self.ask(queries.stream_chunk, session_id, after, upto))
        place = self.head(session_id)
        if place is None:
            return iter(())
        last = place.version if upto is None else min(upto, place.version)
        near = min(after + _NEAR, last)  # most who read to an end of their own find it near
        places = ((after, near), (near, last))
        parts = (self.chunks(queries.stream_chunk, (session_id,), *each, 2) for each in places)
        return itertools.chain.from_iterable(parts)

    def read_all(self, after_seq: int = 0, upto_seq: int | None = None) -> Iterator[Recorded]:
        """All events with `seq` above `after_seq` and up to `upto_seq`, as far as committed now."""
        last = self.size()
        return self.chunks(queries.all_chunk, (), after_seq, last if upto_seq is None else min(upto_seq, last), 0)

    def vault(self, session_id: str, seed: int | None = None) -> SessionVault:
        """The bodies of one session. With a seed, salts are derived from it and the body, else random."""
        self._check_open()
        planning.id_bytes(session_id)
        return SessionVault(self._bodies, session_id, seed)

    def commitment_of(self, session_id: str, digest: bytes) -> str | None:
        """The commitment of a session to a stored body, by the body's SHA-256."""
        with self._reading:
            return self._read(queries.commitment_of, session_id, digest)

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body (None: sealed) behind a stored commitment; None if there is no such row."""
        with self._reading:
            return self._read(queries.stored, commitment)

    def stored_bodies(self, commitments: Sequence[str]) -> dict[str, bytes]:
        """Commitment → stored body; those that were sealed or are not stored are left out."""
        with self._reading:
            return self._read(queries.bodies, commitments)

    def snapshots(self) -> SQLiteSnapshots:
        """The snapshots of this journal's states: the port `SnapshotStore`."""
        return SQLiteSnapshots(self, self.ask)

    def bodies_kept(self, session_id: str | None = None) -> tuple[int, int]:
        """Bodies that the log (or one session) keeps, and their bytes; a shared one counts once."""
        with self._reading:
            return self._read(queries.bodies_kept, session_id)

    def models(self, spec: ModelSpec) -> SQLiteModels:
        """The stored read models of a definition: the port `ModelStore`."""
        return SQLiteModels(self, spec)

    def texts(self) -> SQLiteTexts:
        """The full-text index of the bodies: the port `TextIndex`."""
        return SQLiteTexts(self)

    def pending_erasures(self) -> tuple[int, ...]:
        """The first events of erasures of which traces may still stand in the files."""
        with self._reading:
            return self._read(erasure.pending)

    def scrubbed(self) -> Sequence[tuple[str, str]]:
        """The files that hold older pages, and how those are cleaned."""
        return erasure.PLACES

    def known_copies(self) -> Sequence[str]:
        """The archives that are noted beside the file; its own files can be cleaned, other copies are not known."""
        folders = files.archives_of(self.path)
        return tuple(f"the archive {folder}, until clawvm archive runs again" for folder in folders)

    def scrub(self, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
        """Remove what the files still hold of erased bodies; see `Erasing`."""
        state = erasure.scrub(self, bodies, wait_s)
        return Erasure.REMOVED if state is Erasure.ERASED and self.known_copies() else state

    def holders(self, commitment: str) -> tuple[tuple[str, str], ...]:
        """(session, commitment) of all that stand for the same body, this one included; empty if it has no row."""
        with self._reading:
            return self._read(queries.holders, commitment)

    def details(self) -> Mapping[str, Any]:
        """Bytes of the file and of its write-ahead log, and the processes that keep the latter from being cut."""
        return {
            "file_bytes": os.path.getsize(self.path),
            "wal_bytes": opening.wal_bytes(self.path),
            "wal_held_by": [str(process) for process in holders.holders(self.path)],
        }

    def ask(self, query: opening.Query[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run a query of one of the journal's own modules over the reading connection."""
        with self._reading:
            return self._read(query, *args, **options)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The reading connection, in one read transaction for the length of the block; it sees one state of the file.

        For the journal's own modules, and for short blocks: other threads wait, and no method that reads may be
        called inside.
        """
        with self._reading:
            self._check_open()
            try:
                db = self._reader()
                db.execute("BEGIN")
                try:
                    yield db
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")  # ends a read also where a damaged page cut it short
            except sqlite3.Error as error:
                raise opening.translate(error, self.path) from error

    def chunks(self, query: _Chunk, args: tuple[Any, ...], after: int, upto: int, column: int) -> Iterator[Recorded]:
        """Yield what a query of our own modules finds, `queries.CHUNK` rows at a time; `column` is their place."""
        while after < upto:
            rows = self.ask(query, *args, after, upto)
            yield from queries.recordeds(rows)
            if len(rows) < queries.CHUNK:
                return
            after = rows[-1][column]

    def _read(self, query: opening.Query[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
        """Run one of `queries` over the reading connection, whose lock is held."""
        self._check_open()
        try:
            return query(self._reader(), *args, **options)
        except sqlite3.Error as error:
            raise opening.translate(error, self.path) from error

    def _head(self, session_id: str, place: Spot) -> Head:
        version, seq, hash_ = place
        return Head(session_id, version, seq, hash_, provisional=seq > self._durable_seq)

    # ------------------------------------------------------------------------------- checking, anchoring

    def verify(self, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
        """All problems of the file; see `Verifying`. Looked for over a connection of its own."""
        return verify_file(self.path, fast=fast, note=note, connect=self.connect)

    def size(self) -> int:
        """The number of events, as far as committed now."""
        return self.ask(queries.last_seq)

    def hashes(self, after: int, upto: int) -> Iterator[bytes]:
        """The stored hashes of the events with `seq` above `after` and up to `upto`; see `Anchoring`."""
        seq = after
        while rows := self.ask(queries.hashes, seq, upto):
            for found, hash_ in rows:
                seq += 1
                if found != seq or not isinstance(hash_, bytes) or len(hash_) != HASH_BYTES:
                    raise JournalDamaged(f"there is no event with seq {seq} and a hash")
                yield hash_
        if seq < upto:
            raise JournalDamaged(f"the log ends at seq {seq}, before {upto}")

    def sync(self) -> None:
        """Make what can be read durable: the WAL, as far as it is not in the file.

        SQLite syncs what it copies there. The file itself is not opened: closing it would drop the locks that
        SQLite holds on it for this process.
        """
        with self._mutex:
            if self.read_only or self._open is not None:
                return self._sync()
            self._acquire()
            try:
                return self._sync()
            finally:
                self._lock.release()

    def _sync(self) -> None:
        try:
            for place in (self.path + "-wal", os.path.dirname(self.path)):
                with contextlib.suppress(FileNotFoundError):
                    files.sync_path(place)
        except OSError:
            if not self.read_only:
                self._lock.sync_failed()
            raise

    # ----------------------------------------------------------------------------------- opening, closing

    def close(self) -> None:
        """Release everything; twice is fine.

        The last connection to close, of any process, copies the WAL into the file and removes it; the lock is
        held meanwhile, unless another writer has it, who then is not the last.
        """
        with self._mutex:
            if self._closed:
                return
            if self._open is not None:
                raise UsageError(f"a transaction on {self.path} is still open")
            self._closed = True
            forking.OPEN.discard(self)
            if self._writer_db is not None:
                with contextlib.suppress(JournalBusy, JournalFull, DiskFailed):
                    self._acquire(wait_s=0)
            with self._reading:
                self._release_connections()
            self._lock.close()

    def __enter__(self) -> SQLiteLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the journal {self.path} is closed")

    def _writer(self) -> sqlite3.Connection:
        if self._writer_db is None:
            self._writer_db = opening.connect_writer(self.path, self.connect)
            self._synchronous = None
        return self._writer_db

    def _reader(self) -> sqlite3.Connection:
        if self._reader_db is None:
            self._reader_db = opening.connect_reader(self.path, self.read_only, self.connect)
        return self._reader_db

    def _release_connections(self) -> None:
        for db in (self._reader_db, self._writer_db):
            if db is not None:
                db.close()
        self._reader_db = self._writer_db = None
        self._wal.close()

    def before_fork(self) -> None:
        """Let go of the connections, and hold all locks until the fork is done."""
        self._mutex.acquire()
        self._bodies.mutex.acquire()
        self._bodies.share()
        self._reading.acquire()
        if self._open is None:
            self._release_connections()

    def after_fork(self, child: bool) -> None:
        """Give the locks back; a transaction that was open stays the parent's alone."""
        if child and self._open is not None:  # the transaction is the parent's: its connection must not be touched
            forking.LEFT_TO_PARENT.extend((self._writer_db, self._reader_db))
            self._open = self._writer_db = self._reader_db = None
            self._closed = True
        self._reading.release()
        self._bodies.mutex.release()
        self._mutex.release()
