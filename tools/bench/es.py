"""The eventsourcing library as a peer, doing the same work: the same events, decoded to the same classes and folded
into the same state, by its application, transcoder, recorder and decorated aggregate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from bench import peers
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.journal.codec import to_plain
from clawvm_es.journal.ports import NewEvent
from clawvm_es.model.events import EVENT_TYPES

PEER = "eventsourcing"
MISSING = peers.missing(PEER)
AVAILABLE = peers.available(PEER)

if AVAILABLE:
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event
    from eventsourcing.persistence import JSONTranscoder, Transcoding

    class Stream(Aggregate):
        """A session as an aggregate around our state."""

        def __init__(self) -> None:
            self.state = State()

        @event("Happened")
        def happened(self, turn: int, principal: str, data: Any) -> None:
            """Fold one event of ours."""
            apply(self.state, data)

    class Streams(Application[UUID]):
        """An application whose transcoder knows our events."""

        def register_transcodings(self, transcoder: JSONTranscoder) -> None:
            """Let the transcoder write each of our event classes as a JSON object, and read it back."""
            super().register_transcodings(transcoder)
            for name, cls in EVENT_TYPES.items():
                methods = {"encode": lambda _, obj: to_plain(obj), "decode": _decoding(cls)}
                transcoder.register(type(cls.__name__, (Transcoding,), {"type": cls, "name": name, **methods})())


def _decoding(cls: type[Any]) -> Any:
    return lambda _, data: msgspec.convert(data, cls)


class Peer:
    """An event store of that library in one SQLite file."""

    def __init__(self, path: Path, synchronous: str = "normal") -> None:
        environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        self._application = Streams(env=environment)
        recorder: Any = self._application.recorder
        with recorder.datastore.get_connection(commit=True) as connection:  # kept by its pool
            connection.cursor().execute(f"PRAGMA synchronous={synchronous}")

    def append(self, events: Sequence[Any]) -> None:
        """Encode and insert events in one transaction."""
        self._application.events.put(events)

    def fold(self, stream: UUID) -> State:
        """Read, decode and fold all events of a stream."""
        aggregate: Any = self._application.repository.get(stream)
        state: State = aggregate.state
        return state

    def close(self) -> None:
        """Release the file."""
        self._application.close()


def domain_events(events: Sequence[NewEvent]) -> tuple[UUID, list[Any]]:
    """A stream's id and its events as that library's: one that creates the aggregate, then ours."""
    stream = Stream()
    for new in events:
        stream.happened(new.turn, new.principal, new.data)
    return stream.id, list(stream.collect_events())
