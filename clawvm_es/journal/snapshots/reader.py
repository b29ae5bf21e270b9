"""How snapshots and events are read: over a log's reading connection, or inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import attrs

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.lineage import Segment
from clawvm_es.model.events import Event
from clawvm_es.storage.sqlite import queries
from clawvm_es.storage.sqlite import snapshots as tables
from clawvm_es.storage.sqlite.snapshots import Damaged

_P = ParamSpec("_P")
_T = TypeVar("_T")
END: Final = 2**63 - 1
"""Beyond every version."""


class Ask(Protocol):
    """How a query is run: over a log's reading connection, or inside a write transaction."""

    def __call__(
        self, query: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **options: _P.kwargs
    ) -> _T:
        """What the query gives."""


@attrs.define(eq=False)
class Reader:
    """What a session's snapshots are read with: how to ask just now, and the streams that hold its events."""

    ask: Ask
    segments: tuple[Segment, ...]

    def nodes(self, part: int, node_ids: Mapping[int, int]) -> dict[int, bytes]:
        """Number → the checked payload of its node; raises `Damaged`."""
        try:
            stored = self.ask(tables.nodes, list(node_ids.values()))
        except (JournalDamaged, sqlite3.Error) as error:
            raise Damaged(f"its nodes cannot be read: {error}") from error
        return {
            number: tables.open_node(node_id, part, number, stored.get(node_id))
            for number, node_id in node_ids.items()
        }

    def events_at(self, versions: Sequence[int]) -> dict[int, Event]:
        """The events at some versions of the session, wherever in its lineage they stand."""
        found: dict[int, Event] = {}
        rest = list(versions)
        for segment in self.segments:
            here = [version for version in rest if segment.upto is None or version <= segment.upto]
            if here:
                found.update(self.ask(queries.events_at, segment.stream, here))
                rest = [version for version in rest if version not in found]
        return found

    def events_after(self, version: int, upto: int | None = None) -> Iterator[Event]:
        """The events of the session above a version, up to another, where one is given."""
        for segment in self.segments:
            last = min(END if upto is None else upto, END if segment.upto is None else segment.upto)
            while version < last and (rows := self.ask(queries.events_after, segment.stream, version, last)):
                version = rows[-1][0]
                for _, event in rows:
                    yield event


def inside(
    db: sqlite3.Connection,
    query: Callable[Concatenate[sqlite3.Connection, _P], _T],
    *args: _P.args,
    **options: _P.kwargs,
) -> _T:
    """Ask over a connection of the caller's, inside its transaction."""
    return query(db, *args, **options)
