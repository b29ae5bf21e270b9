"""Broken storages, each with one fault, and the tests of the contract that catch it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

from clawvm_es.errors import VersionConflict
from clawvm_es.journal import planning
from clawvm_es.journal.ports import Capability, Durability, Edition, Erasure, Expected
from clawvm_es.journal.vault import Body, SessionVault, commitment_to
from clawvm_es.storage.memory.log import MemoryLog, MemoryTransaction
from clawvm_es.storage.sqlite import text_index
from clawvm_es.storage.sqlite.log import SQLiteLog
from clawvm_es.storage.sqlite.models import SQLiteModels, SQLiteWriter
from clawvm_es.storage.sqlite.snapshots import SQLiteSnapshots
from clawvm_es.storage.sqlite.transaction import SQLiteTransaction
from clawvm_es.testing.logs import Place
from tests.contract.places import Watch, memory_place, sqlite_place

# ---------------------------------------------------------------------------------------- in memory


class SerialNumbers(MemoryLog):
    """Numbers come from a sequence, which a transaction that is rolled back does not give back."""

    serial = 0

    def _end(self, transaction, commit):
        events = transaction.events
        transaction.events = [each._replace(seq=self.serial + n) for n, each in enumerate(events, 1)]
        self.serial += len(events)
        super()._end(transaction, commit)


class OutOfOrder(MemoryLog):
    """`read_all` gives session after session."""

    def read_all(self, after_seq=0, upto_seq=None):
        """All events, not in the order of commits."""
        return iter(sorted(super().read_all(after_seq, upto_seq), key=lambda each: each.session_id))


class HashesOutOfOrder(MemoryLog):
    """`hashes` gives session after session."""

    def hashes(self, after, upto):
        """All hashes, not in the order of commits."""
        list(super().hashes(after, upto))
        return (each.hash for each in sorted(self.read_all(after, upto), key=lambda each: each.session_id))


class OtherTransactions(MemoryLog):
    """A log whose transactions are of another class."""

    transactions = MemoryTransaction

    def transaction(self, durability=Durability.NORMAL):
        """Open a transaction of that class."""
        return self.transactions(self, durability)

    def append(self, session_id, events, expected=Expected.ANY, durability=Durability.NORMAL, *, version_first=False):
        """Append in a transaction of that class."""
        with self.transaction(durability) as transaction:
            if version_first:
                planning.check_expected(session_id, transaction._spot(session_id), expected)
            return transaction.append(session_id, events, expected)


class KeyFirst(MemoryLog):
    """The key is looked at before the expected version, whatever the caller wants."""

    def append(self, *args, version_first=False, **options):
        """Append in the one order."""
        return super().append(*args, **options)


class VersionFirst(OtherTransactions):
    """The expected version is looked at before the key."""

    class transactions(MemoryTransaction):
        """Checks the version first."""

        def append(self, session_id, events, expected=Expected.ANY, prev_hash=None):
            """Append, unless the version is another one."""
            planning.id_bytes(session_id)
            planning.check_expected(session_id, self._spot(session_id), expected)
            return super().append(session_id, events, expected, prev_hash)


class KeepsBodies(OtherTransactions):
    """An erasure says that the body is gone, and leaves it."""

    class transactions(MemoryTransaction):
        """Erases nothing."""

        def erase(self, commitments, streams=()):
            """Say what would be gone."""
            gone = super().erase(commitments, streams)
            self.erased.clear()
            return gone


class TakesNul(OtherTransactions):
    """Control characters in ids are left out instead of refused."""

    class transactions(MemoryTransaction):
        """Cleans ids."""

        def append(self, session_id, events, expected=Expected.ANY, prev_hash=None):
            """Append under a cleaned id."""
            return super().append(session_id.replace("\0", "") or "s", events, expected, prev_hash)


class HalfTransactions(MemoryLog):
    """What a transaction appended before it raised stays."""

    def _end(self, transaction, commit):
        super()._end(transaction, commit=True)


class OneSalt(MemoryLog):
    """All bodies have the same salt."""

    def vault(self, session_id, seed=None):
        """A vault that does not shake its salt."""
        if seed is not None:
            return super().vault(session_id, seed)
        super().vault(session_id)
        return _OneSaltVault(self._bodies, session_id)


class _OneSaltVault(SessionVault):
    def commit(self, body):
        return self._keep(body, hashlib.sha256(body).digest())

    def seal(self, body):
        return self._keep(body, b"")

    def _keep(self, body, digest):
        salt = bytes(32)
        name = commitment_to(salt, body)
        self._bodies._pending[name] = Body(self.session_id, name, salt, digest, body, not digest)
        return name


class LonelyErrors(MemoryLog):
    """A conflict is raised as a class that no other process knows."""

    def append(self, *args, **options):
        """Append, or raise an error that cannot be pickled."""

        class Conflict(VersionConflict):
            """A class inside a function."""

        try:
            return super().append(*args, **options)
        except VersionConflict as error:
            raise Conflict(error.message, hint=error.hint) from error


class DeclaresTooMuch(MemoryLog):
    """A capability is declared whose port is not there."""

    capabilities = MemoryLog.capabilities | {Capability.SNAPSHOTS}


# ------------------------------------------------------------------------------------------ in a file


class NoLock(Watch):
    """Connections of a log that begins to write without a lock."""

    def statement(self, text):
        """Begin as a reader does."""
        return "BEGIN" if text == "BEGIN IMMEDIATE" else text


def without_lock(log):
    """A log that takes no lock, and so never learns of others."""
    log._lock.acquire = lambda wait_s=None: True
    log._lock.release = lambda: None
    return log


def trusting(log):
    """A log that takes the lock, and does not look whether another log held it meanwhile."""
    acquire = log._lock.acquire
    log._lock.acquire = lambda wait_s=None: acquire(wait_s) or True
    return log


class StaleReads(SQLiteLog):
    """Reads see the state of the first one."""

    def _reader(self):
        db = super()._reader()
        if not db.in_transaction:
            db.execute("BEGIN")
        return db


def unguarded(log):
    """A journal without its triggers."""
    with closing(sqlite3.connect(log.path, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
    return log


class FullIsNormal(SQLiteLog):
    """A `full` commit is a `normal` one that says it is durable."""

    def _begin(self, transaction, durability):
        return super()._begin(transaction, Durability.NORMAL)


class WritesBehind(SQLiteLog):
    """`append` returns before its commit, which comes when the log is closed."""

    def append(self, session_id, events, expected=Expected.ANY, durability=Durability.NORMAL, *, version_first=False):
        """Append, and commit later."""
        self.behind = self.transaction(durability)
        return self.behind.__enter__().append(session_id, events, expected)

    def close(self):
        """Commit what was acknowledged."""
        if self._open is not None:
            self.behind.__exit__(None, None, None)
        super().close()


class OtherErasure(SQLiteLog):
    """A log whose transactions are of another class."""

    transactions = SQLiteTransaction

    def transaction(self, durability=Durability.NORMAL):
        """Open a transaction of that class."""
        return self.transactions(self, durability)


class KeepsWords(OtherErasure):
    """An erasure leaves the words in the text index."""

    class transactions(SQLiteTransaction):
        """Indexes again what it erased."""

        def erase(self, commitments, streams=()):
            """Erase the bodies only."""
            gone = super().erase(commitments, streams)
            for each in gone if text_index.exists(self.connection) else ():
                self.connection.execute(
                    "INSERT INTO body_index (rowid, body) VALUES (?, ?)", (each.blob_id, each.body.decode())
                )
            return gone


class KeepsSnapshots(OtherErasure):
    """An erasure leaves the snapshots."""

    class transactions(SQLiteTransaction):
        """Forgets which streams it was about."""

        def erase(self, commitments, streams=()):
            """Erase the bodies only."""
            return super().erase(commitments)


class SaysErased(SQLiteLog):
    """An erasure is called finished while the files hold the text."""

    def scrub(self, bodies=None, wait_s=None):
        """Forget that something was to be done."""
        with self.alone(wait_s) as connection:
            connection.execute("DELETE FROM pending_erasures")
        return Erasure.ERASED


class StaleSnapshots(SQLiteLog):
    """The snapshot that was found first is found for ever."""

    def snapshots(self):
        """A store that remembers too well."""
        self.__dict__.setdefault("found", {})
        return _StaleStore(self, self.ask)


class _StaleStore(SQLiteSnapshots):
    def before(self, stream, version, made_by):
        return self._log.found.setdefault((stream, made_by), super().before(stream, version, made_by))


class PositionApart(SQLiteLog):
    """The position of read models is committed after their rows."""

    def models(self, spec):
        """A store that commits twice."""
        return _ApartModels(self, spec)


class _ApartModels(SQLiteModels):
    @contextmanager
    def writing(self):
        with self.log.transaction() as transaction:
            writer = _ApartWriter(transaction.connection, self.spec)
            yield writer
        for seq in writer.later:
            with self.log.transaction() as transaction:
                SQLiteWriter(transaction.connection, self.spec).write(Edition.LIVE, (), seq)


@attrs.frozen
class _ApartWriter(SQLiteWriter):
    later: list[int] = attrs.field(factory=list)

    def write(self, edition, rows, seq):
        if edition is not Edition.LIVE:
            return super().write(edition, rows, seq)
        self.later.append(seq)
        return super().write(edition, rows, self.position())


def as_class(kind):
    """A change of a log's class."""

    def made(log):
        log.__class__ = kind
        return log

    return made


def writes_anyway(path: Path) -> Place:
    """A place whose logs are writable also when they are opened to be read."""
    place = sqlite_place(path)
    return attrs.evolve(place, open=lambda read_only=False, **options: place.open(**options))


@attrs.frozen
class Fault:
    """A broken storage: how its place is made at a path, and the tests that must fail there."""

    name: str
    place: Callable[[Path], Place]
    caught_by: tuple[str, ...]


def _in_memory(kind: type[MemoryLog], *caught_by: str) -> Fault:
    return Fault(kind.__name__, lambda path: memory_place(kind), caught_by)


def _in_file(kind: type[SQLiteLog], *caught_by: str) -> Fault:
    return Fault(kind.__name__, lambda path: sqlite_place(path, as_class(kind)), caught_by)


FAULTS = (
    Fault(
        "no lock",
        lambda path: sqlite_place(path, without_lock, NoLock()),
        ("test_writers_take_turns", "test_one_transaction_at_a_time", "test_writers_in_threads_over_two_logs"),
    ),
    Fault(
        "stale head",
        lambda path: sqlite_place(path, trusting),
        ("test_writers_take_turns", "test_a_stale_expected_version_is_refused"),
    ),
    _in_file(StaleReads, "test_writers_take_turns", "test_a_commit_is_seen_whole"),
    _in_memory(SerialNumbers, "test_a_transaction_is_whole_or_nothing"),
    _in_memory(HalfTransactions, "test_a_transaction_is_whole_or_nothing"),
    Fault("no guards", lambda path: sqlite_place(path, unguarded), ("test_stored_events_are_guarded",)),
    _in_file(FullIsNormal, "test_full_is_synced_before_it_is_acknowledged"),
    _in_file(WritesBehind, "test_what_was_acknowledged_survives_a_kill"),
    _in_memory(KeepsBodies, "test_an_erased_body_is_gone_with_its_salt", "test_redact_leaves_no_trace"),
    _in_file(KeepsWords, "test_redact_leaves_no_trace"),
    _in_file(KeepsSnapshots, "test_snapshots_of_an_erased_stream_are_gone"),
    _in_file(SaysErased, "test_redact_leaves_no_trace", "test_a_reader_in_the_way_leaves_it_pending"),
    _in_memory(OneSalt, "test_unseeded_salts_do_not_repeat"),
    _in_memory(OutOfOrder, "test_numbers_are_gapless"),
    _in_memory(HashesOutOfOrder, "test_hashes_are_those_of_the_events"),
    _in_memory(VersionFirst, "test_the_key_is_looked_at_before_the_version"),
    _in_memory(KeyFirst, "test_the_version_is_looked_at_first_where_that_is_wanted"),
    _in_memory(TakesNul, "test_odd_characters_in_ids_are_refused"),
    _in_memory(LonelyErrors, "test_errors_survive_pickling"),
    _in_memory(DeclaresTooMuch, "test_what_is_declared_is_there"),
    _in_file(StaleSnapshots, "test_a_new_snapshot_is_seen_at_once"),
    _in_file(PositionApart, "test_no_cut_parts_rows_from_their_position"),
    Fault("read-only is ignored", writes_anyway, ("test_a_log_that_is_only_read",)),
)
