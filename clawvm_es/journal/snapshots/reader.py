"""The snapshots and events of one session, wherever in its lineage they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.lineage import Segment
from clawvm_es.journal.ports import SnapshotReader
from clawvm_es.journal.snapshots.seal import Damaged, open_node
from clawvm_es.model.events import Event

END: Final = 2**63 - 1
"""Beyond every version."""


@attrs.define(eq=False)
class Reader:
    """Reads a session's snapshots and events: `store` as it is read just now, and the streams of its events."""

    store: SnapshotReader
    segments: tuple[Segment, ...]

    def nodes(self, part: int, node_ids: Mapping[int, int]) -> dict[int, bytes]:
        """Number → the checked payload of its node; raises `Damaged`."""
        try:
            stored = self.store.nodes(list(node_ids.values()))
        except JournalDamaged as error:
            raise Damaged(f"its nodes cannot be read: {error}") from error
        return {number: open_node(node_id, part, number, stored.get(node_id)) for number, node_id in node_ids.items()}

    def events_at(self, versions: Sequence[int]) -> dict[int, Event]:
        """The events at some versions of the session, wherever in its lineage they stand."""
        found: dict[int, Event] = {}
        rest = list(versions)
        for segment in self.segments:
            here = [version for version in rest if segment.upto is None or version <= segment.upto]
            if here:
                found.update(self.store.events_at(segment.stream, here))
                rest = [version for version in rest if version not in found]
        return found

    def events_after(self, version: int, upto: int | None = None) -> Iterator[Event]:
        """The events of the session above a version, up to another, where one is given."""
        for segment in self.segments:
            last = min(END if upto is None else upto, END if segment.upto is None else segment.upto)
            while version < last and (rows := self.store.events_after(segment.stream, version, last)):
                version = rows[-1][0]
                for _, event in rows:
                    yield event
