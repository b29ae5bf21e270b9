"""The port of stored snapshots: caches of states beside the events that they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

import attrs

from clawvm_es.journal.ports.capabilities import Capability, declares
from clawvm_es.journal.ports.log import EventLog, Transaction
from clawvm_es.model.events import Event


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


class SnapshotReader(Protocol):
    """Reads stored snapshots, unchecked, and the events that they rest on.

    Every method raises `JournalDamaged` if the storage cannot read, and other `JournalError`s as reading does.
    """

    def before(self, stream: str, version: int, made_by: str) -> SnapshotRow | None:
        """The last snapshot of a stream at or before `version` that `made_by` made."""

    def others(self, made_by: str) -> Sequence[str]:
        """The streams that have snapshots which `made_by` did not make, by session id."""

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
        """The `seq` up to which streams were checked for due snapshots, and the log's last `seq`."""

    def active(self, after: int, upto: int) -> Sequence[str]:
        """The streams that have events with `seq` above `after` and up to `upto`."""


class SnapshotWriter(SnapshotReader, Protocol):
    """Reads and changes snapshots inside a write transaction."""

    def next_ids(self) -> tuple[int, int]:
        """The ids of the next snapshot and of its first node; neither was ever in use."""

    def insert(self, row: SnapshotRow, nodes: Sequence[tuple[int, bytes]]) -> None:
        """Store a snapshot and its nodes (id, sealed bytes)."""

    def set_position(self, seq: int) -> None:
        """Remember the `seq` up to which streams were checked."""

    def forget(self, streams: Iterable[str]) -> int:
        """Delete the snapshots of streams, and those that rest on them; returns how many there were.

        The next catch-up looks at these streams again.
        """

    def forget_others(self, stream: str, made_by: str) -> None:
        """Delete a stream's snapshots that another program made, and those that rest on them."""

    def clear(self) -> None:
        """Delete all snapshots, and anything else in their tables."""


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
    """The snapshots of a log; None if the log keeps none."""
    return cast(Snapshotting, log).snapshots() if declares(log, Capability.SNAPSHOTS) else None
