"""The ports that a storage fills: what an event log is, whatever stores it, and what else it may be able to do.

Every storage keeps events and bodies (`EventLog`). What else it can do it declares (`Capability`); `require` refuses
aloud what a log does not declare. Nothing outside `clawvm_es.storage` knows which log it has.

LAW-LOG-1: a stream's versions are gapless from 1 (a fork's from its parent's version on), the log's `seq` is
gapless from 1 and in commit order.
LAW-LOG-2: a transaction is appended whole or not at all.
LAW-LOG-3: the same idempotency key with the same content appends nothing and returns the first result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, cast

import attrs

from clawvm_es.errors import MissingCapability
from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.model.events import Event


class Durability(StrEnum):
    """How a commit reaches the disk: `normal` survives a killed process, `full` also a power cut."""

    NORMAL = "normal"
    FULL = "full"


class Expected(Enum):
    """What the caller expects of a stream, where it names no version."""

    ANY = "any"
    NO_STREAM = "no_stream"
    STREAM_EXISTS = "stream_exists"


ExpectedVersion: TypeAlias = int | Expected


@attrs.frozen
class NewEvent:
    """An event about to be appended; session, version, seq and hashes are the log's to give.

    `cause` is the version of an earlier event of the stream; a decision without one is caused by the last input
    before it in its batch. Only inputs have an idempotency key.
    """

    data: Event
    turn: int
    at_us: int
    principal: str
    cause: int | None = None
    idempotency_key: str | None = None


class Recorded(NamedTuple):
    """One stored row of the log: `raw` are the stored bytes that the hash covers, `data` their current class.

    A tuple, because folds make them by the million.
    """

    seq: int
    session_id: str
    version: int
    turn: int
    kind: str
    type: str
    schema_version: int
    at_us: int
    principal: str
    cause: int | None
    idempotency_key: str | None
    raw: bytes
    prev_hash: bytes
    hash: bytes
    data: Event


@attrs.frozen
class Head:
    """Where a stream stands: its last version, that event's seq and hash; provisional after a `normal` commit."""

    session_id: str
    version: int
    seq: int
    hash: bytes
    provisional: bool = False


@attrs.frozen
class Erased:
    """A body that left the log: its id in the store (0 where there is none) and what it was."""

    blob_id: int
    body: bytes


@attrs.frozen
class SnapshotRow:
    """A stored snapshot, unchecked: its place, its maker, the one it is a delta of, its nodes, its sealed head."""

    snapshot_id: int
    session_id: str
    version: int
    event_hash: bytes
    made_by: str
    base: int | None
    first_node: int
    nodes: int
    head: bytes


class Erasure(StrEnum):
    """How far an erasure came."""

    NOTHING = "nothing"
    """There was nothing to erase."""
    ERASED = "erased"
    """Rows are gone, and so is every trace in the files."""
    PENDING = "pending"
    """Rows are gone; a reader (or a full disk) keeps old pages from being overwritten."""
    RESIDUE = "residue"
    """A piece was found after all was done: a copy in a table that is not ours."""


class Capability(StrEnum):
    """What a log can do beside keeping events and bodies.

    `snapshots`, `models` and `text` are caches: without them, states and read models are folded and texts are
    scanned. Without one of the others its verbs refuse.
    """

    VERIFY = "verify"
    """Checks what it stored: `Verifying`."""
    ANCHOR = "anchor"
    """Gives the hashes of its events in order: `Anchoring`."""
    ERASE = "erase"
    """Deletes bodies so that no trace of them is left: `Erasing`."""
    SNAPSHOTS = "snapshots"
    """Keeps snapshots of states: `SnapshotStore`."""
    MODELS = "models"
    """Keeps read models in tables: `caches.ModelStore`."""
    TEXT = "text"
    """Keeps a full-text index of bodies: `caches.TextIndex`."""


def declares(log: object, capability: Capability) -> bool:
    """Tell whether a log declares a capability; one that declares nothing has none."""
    return capability in getattr(log, "capabilities", frozenset())


def require(log: object, capability: Capability, verb: str) -> None:
    """Raise `MissingCapability` unless the log declares `capability`, which `verb` needs."""
    if not declares(log, capability):
        kind = getattr(log, "kind", type(log).__name__)
        raise MissingCapability(
            f"{verb} is not possible here: the storage {kind} does not declare the capability {capability}",
            hint="nothing was done; use a journal file, or a storage that declares it",
        )


class Verifying(Protocol):
    """A log that checks what it stored (`Capability.VERIFY`)."""

    def verify(self, fast: bool = False, note: Note = silent) -> tuple[Problem, ...]:
        """All problems of the log, at most `PROBLEMS_MAX`; empty if it is what was written. Writes nothing.

        `fast` checks numbers and chains only. `note` is told what an older program took and today's would not.
        Stored content never raises: it is a problem.
        """


class Anchoring(Protocol):
    """A log that gives the hashes of its events, in order (`Capability.ANCHOR`)."""

    @property
    def journal_id(self) -> str:
        """The random id given to this log when it was made."""

    def size(self) -> int:
        """The number of events; raises `JournalDamaged`."""

    def hashes(self, after: int, upto: int) -> Iterator[bytes]:
        """The stored hashes of the events with `seq` above `after` and up to `upto`, 32 bytes each, without a gap.

        Raises `JournalDamaged` where one of them is missing.
        """

    def sync(self) -> None:
        """Return when all that can be read is where a power cut leaves it."""


def verifying(log: object, verb: str) -> Verifying:
    """The log as one that verifies; raises `MissingCapability`."""
    require(log, Capability.VERIFY, verb)
    return cast(Verifying, log)


def anchoring(log: object, verb: str) -> Anchoring:
    """The log as one that gives its hashes; raises `MissingCapability`."""
    require(log, Capability.ANCHOR, verb)
    return cast(Anchoring, log)


class Erasing(Protocol):
    """A log that leaves no trace of erased bodies (`Capability.ERASE`).

    A transaction deletes the rows (`Transaction.erase`); `scrub` removes what the files still hold.
    """

    def pending_erasures(self) -> tuple[int, ...]:
        """The first events of erasures of which traces may still be there."""

    def scrubbed(self) -> Sequence[tuple[str, str]]:
        """The places beside rows that `scrub` cleans, and how, for certificates; empty where there are none."""

    def scrub(self, bodies: Sequence[bytes] | None = None, wait_s: float | None = None) -> Erasure:
        """Remove the traces of erased `bodies` (None: not known any more) and say how far that came.

        Waits `wait_s` for other writers, by default as long as the log does. What is in the way never raises: the
        erasure stays pending, and the next open of the log finishes it.
        """


def erasing(log: object, verb: str) -> Erasing:
    """The log as one that erases; raises `MissingCapability`."""
    require(log, Capability.ERASE, verb)
    return cast(Erasing, log)


class Vault(Protocol):
    """The bodies of one session: text in, salted commitments out."""

    def commit(self, body: bytes) -> str:
        """Keep `body` and return its commitment (64 hex digits); equal bodies of one session give the same."""

    def seal(self, body: bytes) -> str:
        """Return the commitment to `body` and keep its salt, but not the body."""

    def open(self, commitment: str) -> bytes | None:
        """Return the body behind a commitment; None where it was sealed or erased."""

    def found(self, version: int) -> None:
        """Note that the stream was read up to `version`: bodies that other writers stored are known from there."""


class Transaction(Protocol):
    """An open write transaction: the only writer until it ends."""

    def head(self, session_id: str) -> Head | None:
        """Where a stream stands, inside this transaction."""

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and its decisions; empty if there is none."""

    def read(self, session_id: str, after: int = 0) -> Iterator[Recorded]:
        """The events of a stream with versions above `after`."""

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        prev_hash: bytes | None = None,
    ) -> Head:
        """Append to one stream (with the bodies its vault holds back); see `EventLog.append`.

        `prev_hash`, where given, must be what the first event will chain to. A stream that begins with
        `session_forked` goes on from the version and hash of the parent that it names, which must be in the log.
        """

    def erase(self, commitments: Sequence[str], streams: Sequence[str] = ()) -> tuple[Erased, ...]:
        """Delete commitments with their salts, and the bodies that no other commitment stands for; returns those.

        A `content_redacted` that names each of them must be in the log, or come before in this transaction. What
        caches hold of those bodies and of `streams` goes in the same transaction, and the erasure is pending
        (`Erasing`) from its commit until no file holds a trace.
        """


class EventLog(Protocol):
    """An append-only log of events in streams, with bodies kept apart from them."""

    @property
    def kind(self) -> str:
        """The name of the storage, for people: `sqlite`, `memory`."""

    @property
    def place(self) -> str:
        """Where the log is kept, for messages: the path of a file."""

    @property
    def read_only(self) -> bool:
        """Whether every write raises `JournalReadOnly`."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the log can do beside keeping events and bodies."""

    @property
    def journal_id(self) -> str:
        """The random id given to this log when it was made."""

    @property
    def reproducible(self) -> bool:
        """Whether its salts are derived from a seed, so that it comes out the same anywhere."""

    def transaction(self, durability: Durability = Durability.NORMAL) -> AbstractContextManager[Transaction]:
        """Open a write transaction; commit when the block ends, roll everything back when it raises.

        Raises `JournalBusy`, `JournalReadOnly`, `JournalFull`.
        """

    def append(
        self,
        session_id: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion = Expected.ANY,
        durability: Durability = Durability.NORMAL,
    ) -> Head:
        """Append events to one stream in a transaction of their own and return the new head.

        Each input begins a group with the decisions that follow it. A group whose key is known with the same
        content is left out; with other content `IdempotencyConflict` is raised. This check comes before the
        expected version's, which raises `VersionConflict` (version 0: there is no stream yet). Where groups are
        left out, causes above the head count as if none were, and move with their events.

        Raises `UsageError`, `NotCanonical`, and what `transaction` raises.
        """

    def first(self, session_id: str) -> Recorded | None:
        """The first event of a stream; None if it does not exist."""

    def head(self, session_id: str) -> Head | None:
        """Where a stream stands; None if it does not exist."""

    def heads(self) -> tuple[Head, ...]:
        """The heads of all streams, by session id."""

    def find(self, session_id: str, idempotency_key: str) -> tuple[Recorded, ...]:
        """The input that was recorded under a key and its decisions (events whose cause it is)."""

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The events of a stream with versions above `after` and up to `upto`, in order."""

    def read_all(self, after_seq: int = 0, upto_seq: int | None = None) -> Iterator[Recorded]:
        """All events with `seq` above `after_seq` and up to `upto_seq`, in order."""

    def vault(self, session_id: str, seed: int | None = None) -> Vault:
        """The bodies of one session. With a seed, salts are derived from it and the body, else random."""

    def bodies_kept(self, session_id: str | None = None) -> tuple[int, int]:
        """Bodies that the log (or one session) keeps, and their bytes; a shared one counts once."""

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body (None: sealed) behind a commitment; None where it was erased, or never stored."""

    def holders(self, commitment: str) -> tuple[tuple[str, str], ...]:
        """(session, commitment) of all that stand for the same body, by age; empty where nothing is stored.

        The commitment itself is one of them, the only one where its body is sealed.
        """

    def details(self) -> Mapping[str, Any]:
        """Figures of the storage for people, by name: sizes of files, who holds them open. May be empty."""

    def close(self) -> None:
        """Release the log; further calls raise."""

    def __enter__(self) -> Self:
        """The log itself, which is closed when the block ends."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""


class SnapshotReader(Protocol):
    """Reads stored snapshots, unchecked, and the events that they rest on.

    Every method raises `JournalDamaged` where the storage cannot read, and other `JournalError`s as reading does.
    """

    def before(self, stream: str, version: int, made_by: str) -> SnapshotRow | None:
        """The last snapshot of a stream at or before `version` that `made_by` made."""

    def rows(self) -> Sequence[SnapshotRow]:
        """All snapshots, each after the one it is a delta of."""

    def nodes(self, node_ids: Sequence[int]) -> Mapping[int, bytes]:
        """Node id → stored bytes; those that are missing are left out."""

    def hash_at(self, stream: str, version: int) -> bytes | None:
        """The hash of one event of a stream."""

    def events_at(self, stream: str, versions: Sequence[int]) -> Mapping[int, Event]:
        """Version → event of a stream; those that are missing are left out."""

    def events_after(self, stream: str, after: int, upto: int) -> Sequence[tuple[int, Event]]:
        """The next versions and events of a stream above `after`, up to `upto`: a piece, empty at the end."""

    def news(self) -> tuple[int, int]:
        """The `seq` up to which streams were looked at for snapshots that are due, and the log's last."""

    def active(self, after: int, upto: int) -> Sequence[str]:
        """The streams that have events with `seq` above `after` and up to `upto`."""


class SnapshotWriter(SnapshotReader, Protocol):
    """Reads and changes snapshots inside a write transaction."""

    def next_ids(self) -> tuple[int, int]:
        """The ids of the next snapshot and of its first node; neither was ever in use."""

    def insert(self, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
        """Store a snapshot and its nodes (id, sealed bytes)."""

    def set_position(self, seq: int) -> None:
        """Remember up to where streams were looked at."""

    def forget(self, streams: Iterable[str]) -> int:
        """Delete the snapshots of streams, and those that rest on them; returns how many there were.

        The next catch-up looks at these streams again.
        """

    def forget_others(self, stream: str, made_by: str) -> None:
        """Delete a stream's snapshots that another program made, and those that rest on them."""

    def clear(self) -> None:
        """Delete all snapshots, whatever stands in their place."""


class SnapshotStore(SnapshotReader, Protocol):
    """The snapshots of a log: `Capability.SNAPSHOTS`."""

    def at_once(self) -> AbstractContextManager[SnapshotReader]:
        """Read one state of the log for the length of the block, which must be short."""

    def within(self, transaction: Transaction) -> SnapshotWriter:
        """The same snapshots inside an open write transaction of this log."""


class Snapshotting(EventLog, Protocol):
    """A log that keeps snapshots."""

    def snapshots(self) -> SnapshotStore:
        """Its snapshots."""


def snapshots_of(log: EventLog) -> SnapshotStore | None:
    """The snapshots of a log; None where it does not declare that it keeps any."""
    return cast(Snapshotting, log).snapshots() if declares(log, Capability.SNAPSHOTS) else None
