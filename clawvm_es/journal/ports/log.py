"""The port that every storage implements: an append-only log of events in streams, and its write transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import msgspec

from clawvm_es.journal.ports.bodies import Erased, Vault
from clawvm_es.journal.ports.capabilities import Capability
from clawvm_es.model.events import Event


class Durability(StrEnum):
    """Durability of a commit: `normal` survives a killed process, `full` also a power cut."""

    NORMAL = "normal"
    FULL = "full"


class Expected(Enum):
    """Expectation of the caller about a stream, in place of a version."""

    ANY = "any"
    NO_STREAM = "no_stream"
    STREAM_EXISTS = "stream_exists"


ExpectedVersion: TypeAlias = int | Expected


class NewEvent(msgspec.Struct, frozen=True):
    """An event to be appended; the log assigns version, seq and hashes.

    `cause` is the version of an earlier event of the stream; a decision without one is caused by the last input
    before it in its batch. Only inputs have an idempotency key. `raw` is the result of `admit` for the data, if it
    was computed before.
    """

    data: Event
    turn: int
    at_us: int
    principal: str
    cause: int | None = None
    idempotency_key: str | None = None
    raw: bytes | None = None


class Recorded(NamedTuple):
    """One stored row of the log: `raw` are the stored bytes that the hash covers, `data` their current class.

    It is a tuple, because folds make millions of them.
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


class Head(msgspec.Struct, frozen=True):
    """Head of a stream: its last version, that event's seq and hash; provisional after a `normal` commit."""

    session_id: str
    version: int
    seq: int
    hash: bytes
    provisional: bool = False


class Transaction(Protocol):
    """An open write transaction: the only writer until it ends."""

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream inside this transaction."""

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
        """Append to one stream, with the bodies that its vault holds back; see `EventLog.append`.

        `prev_hash`, if given, must be the hash that the first event will follow. A stream that begins with
        `session_forked` continues from the version and hash of the named parent, which must be in the log.
        """

    def erase(self, commitments: Sequence[str], streams: Sequence[str] = ()) -> tuple[Erased, ...]:
        """Delete commitments with their salts, and bodies that no other commitment refers to; returns those bodies.

        A `content_redacted` that names each of them must be in the log, or come earlier in this transaction. Cached
        data of those bodies and of `streams` is deleted in the same transaction. From its commit on the erasure is
        pending (`Erasing`), until no file holds a trace.
        """


class EventLog(Protocol):
    """An append-only log of events in streams, with bodies kept apart from them."""

    @property
    def kind(self) -> str:
        """The name of the storage, for people: `sqlite`, `memory`."""

    @property
    def place(self) -> str:
        """Place of the log, for messages: the path of a file."""

    @property
    def read_only(self) -> bool:
        """Tell whether every write raises `JournalReadOnly`."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Capabilities of the log beside keeping events and bodies."""

    @property
    def journal_id(self) -> str:
        """The random id given to this log when it was made."""

    @property
    def reproducible(self) -> bool:
        """Tell whether its salts are derived from a seed, so that the same input gives the same bytes anywhere."""

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
        *,
        version_first: bool = False,
    ) -> Head:
        """Append events to one stream in a transaction of their own and return the new head.

        Each input begins a group with the decisions that follow it. A group with a known key and the same content
        is left out; with other content `IdempotencyConflict` is raised. This check comes before the check of the
        expected version, which raises `VersionConflict` (version 0: there is no stream yet). If groups are left
        out, causes above the head are renumbered with their events. With `version_first` the version is checked
        before the keys, so that anything recorded since is a conflict, even under a known key.

        Raises `UsageError`, `NotCanonical`, and what `transaction` raises.
        """

    def first(self, session_id: str) -> Recorded | None:
        """The first event of a stream; None if it does not exist."""

    def head(self, session_id: str) -> Head | None:
        """Return the head of a stream; None if it does not exist."""

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
        """Salt and body (None: sealed) behind a commitment; None if it was erased, or never stored."""

    def holders(self, commitment: str) -> tuple[tuple[str, str], ...]:
        """(session, commitment) of all commitments to the same body, by age; empty if nothing is stored.

        The commitment itself is one of them; it is the only one if its body is sealed.
        """

    def details(self) -> Mapping[str, Any]:
        """Figures of the storage for people, by name: file sizes, processes that hold them open. May be empty."""

    def close(self) -> None:
        """Release the log; further calls raise."""

    def __enter__(self) -> Self:
        """The log itself, which is closed when the block ends."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""
