"""The eventsourcing library as a peer, used as its manual does: an application over SQLite, decorated aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

from clawvm_es.journal.codec import to_plain
from clawvm_es.journal.protocol import NewEvent

PEER = "eventsourcing"
MISSING = "eventsourcing is not installed (extra: bench)"
AVAILABLE = find_spec("eventsourcing") is not None

if AVAILABLE:
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event

    class Stream(Aggregate):
        """A session as an aggregate: its turn, its pages' last data, and how many events of each type it had."""

        def __init__(self) -> None:
            self.turn = 0
            self.pages: dict[str, Any] = {}
            self.counts: dict[str, int] = {}

        @event("Happened")
        def happened(self, turn: int, type: str, principal: str, data: dict[str, Any]) -> None:
            """Take one event of ours, its data as JSON values."""
            self.turn = turn
            self.counts[type] = self.counts.get(type, 0) + 1
            if "page_id" in data:
                self.pages[data["page_id"]] = data


class Peer:
    """An event store of that library in one SQLite file."""

    def __init__(self, path: Path, synchronous: str = "normal") -> None:
        environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        self._application: Any = Application(env=environment)
        recorder: Any = self._application.recorder
        with recorder.datastore.get_connection(commit=True) as connection:  # kept by its pool
            connection.cursor().execute(f"PRAGMA synchronous={synchronous}")

    def append(self, events: Sequence[Any]) -> None:
        """Encode and insert events in one transaction."""
        self._application.events.put(events)

    def fold(self, stream: UUID) -> Any:
        """Read, decode and fold all events of a stream."""
        return self._application.repository.get(stream)

    def close(self) -> None:
        """Release the file."""
        self._application.close()


def domain_events(events: Sequence[NewEvent]) -> tuple[UUID, list[Any]]:
    """A stream's id and the events of it as that library's: the first one creates the aggregate."""
    stream: Any = Stream()
    for new in events[1:]:
        stream.happened(new.turn, new.data.TYPE, new.principal, to_plain(new.data))
    return stream.id, list(stream.collect_events())
