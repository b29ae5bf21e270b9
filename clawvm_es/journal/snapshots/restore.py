"""Restore a state from a snapshot, and fold it on to the requested version.

LAW-SNAP-1: a state restored through snapshots equals the fold of all its events from zero.

Written events and snapshots never change, so reading them piece by piece, even while others append, sees one state of
the session. Snapshots can vanish (by an erasure or a rebuild) or be damaged: then the unread part is folded from
zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from clawvm_es import limits
from clawvm_es.core.evolve import fold
from clawvm_es.core.state import Page, State
from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog, SnapshotRow, snapshots_of
from clawvm_es.journal.snapshots.lazy import Lazy, load
from clawvm_es.journal.snapshots.parts import MADE_BY, OPENING, PARTS, decode_head, decode_opening, fill
from clawvm_es.journal.snapshots.reader import END, Reader
from clawvm_es.journal.snapshots.seal import Damaged, open_head
from clawvm_es.journal.snapshots.sources import Base, PartSource
from clawvm_es.journal.snapshots.tree import Tree
from clawvm_es.logs import Log
from clawvm_es.model.events import Event, PageWritten, PromptAssembled

_TAIL: Final = 4 * limits.SNAPSHOT_EVENTS
"""Events folded inside the read transaction; what goes on longer (there are no snapshots) must not hold it."""
_log = Log("clawvm_es.journal")


def empty(reader: Reader, rescue: Callable[[Damaged], State]) -> tuple[State, Base]:
    """The state before a session's first event, ready to be continued from snapshot to snapshot."""
    trees = {part.number: Tree(part.number, part.decode, reader.nodes, {}) for part in PARTS}
    trees[OPENING] = Tree(OPENING, decode_opening, reader.nodes, {})
    base = Base(reader, trees, dict.fromkeys(trees, 0), rescue)
    return _with_trees(base), base


def restore(reader: Reader, row: SnapshotRow, rescue: Callable[[Damaged], State]) -> tuple[State, Base]:
    """The state of a snapshot; raises `Damaged`."""
    try:
        head: Any = decode_head(open_head(row))
    except (msgspec.MsgspecError, TypeError) as error:
        raise Damaged(f"its head holds something else: {error}") from error
    if reader.store.hash_at(row.session_id, row.version) != row.event_hash or head.version != row.version:
        raise Damaged(f"it is of another event {row.version}")
    roots: dict[int, dict[int, int]] = head._roots
    trees = {part.number: Tree(part.number, part.decode, reader.nodes, roots[part.number]) for part in PARTS}
    trees[OPENING] = Tree(OPENING, decode_opening, reader.nodes, roots[OPENING])
    base = Base(reader, trees, head._counts, rescue)
    state = _with_trees(base)
    opening = trees[OPENING].leaf(0)
    if 0 not in opening:
        raise Damaged("it does not say how the session was opened")
    fill(state, head, *opening[0])
    return state, base


def _with_trees(base: Base) -> State:
    state = State()
    for part in PARTS:
        setattr(state, part.name, Lazy(PartSource(base, part)))
    return state


def state_at(log: EventLog, session_id: str, version: int | None = None) -> State:
    """The state of a session after event `version` (by default its last), from the nearest snapshot.

    The version must exist. Pages and calls are read on access, so the log must stay open. Raises `JournalDamaged`
    and `UnknownEvent` if an event cannot be folded.
    """
    segments = lineage(log, session_id, version)
    store = snapshots_of(log)
    if store is None:
        return from_zero(log, session_id, version)
    reader = Reader(store, segments)
    with store.at_once() as now:
        reader.store = now
        try:
            state = _nearest(reader)
            _follow(state, reader, goes_on=version is None)
        finally:
            reader.store = store
    return fold(reader.events_after(state.version), state)


def newest_pages(log: EventLog, session_id: str) -> tuple[Mapping[str, Page], dict[str, PageWritten]]:
    """The pages of a session's nearest snapshot, and those written since by the events that wrote them last.

    What a page holds is told by these as by its state at the end; nothing is folded. The log must be open.
    """
    segments, store = lineage(log, session_id), snapshots_of(log)
    before: Mapping[str, Page] = {}
    events: Iterator[Event] = (row.data for each in segments for row in log.read(each.stream, upto=each.upto))
    if store is not None:
        reader = Reader(store, segments)
        state = _nearest(reader)
        before, events = state.pages, reader.events_after(state.version)
    return before, {event.page_id: event for event in events if isinstance(event, PageWritten)}


def from_zero(log: EventLog, session_id: str, version: int | None = None) -> State:
    """The state from the events alone, without a snapshot; all of it is in memory."""
    segments, store = lineage(log, session_id, version), snapshots_of(log)
    if store is None:
        return fold(row.data for each in segments for row in log.read(each.stream, upto=each.upto))
    return fold(Reader(store, segments).events_after(0, version))


def _nearest(reader: Reader) -> State:
    """The state of the nearest usable snapshot; the empty one if there is none."""
    for row in stored(reader):
        try:
            return restore(reader, row, partial(_folded, reader, row))[0]
        except Damaged as damage:
            _warn(row, damage)
    return State()


def _follow(state: State, reader: Reader, goes_on: bool) -> None:
    """Fold the next events of a session, a bounded number, in place.

    Pages that will be needed are read in one query: pages that the events name, and, at an assembly or the end of a
    session, pages that an assembly weighs.
    """
    rest = list(reader.events_after(state.version, state.version + _TAIL))
    looked_at = dict.fromkeys(named_pages(rest))
    if goes_on or any(isinstance(event, PromptAssembled) for event in rest):
        looked_at |= dict.fromkeys([*state.resident, *state.required, *state.arrivals])
    load(state.pages, looked_at)
    fold(rest, state)


def named_pages(events: Iterable[Event]) -> Iterator[str]:
    """Pages that the events obviously concern."""
    for event in events:
        page_id = getattr(event, "page_id", None)
        if page_id is not None:
            yield page_id
        for need in getattr(event, "needs", ()):
            for holder in need.holders:
                yield holder.page_id


def stored(reader: Reader) -> Iterator[SnapshotRow]:
    """The snapshots that a session's state can start from, nearest first."""
    try:
        for segment in reversed(reader.segments):
            upto = END if segment.upto is None else segment.upto
            while (row := reader.store.before(segment.stream, upto, MADE_BY)) is not None:
                yield row
                upto = row.version - 1
    except JournalDamaged as error:
        _log.warning("the snapshots cannot be read, so they are not used", damage=str(error))


def _folded(reader: Reader, row: SnapshotRow, damage: Damaged) -> State:
    """The state at a snapshot's place, from the events alone."""
    _warn(row, damage)
    return fold(reader.events_after(0, row.version))


def _warn(row: SnapshotRow, damage: Damaged) -> None:
    _log.warning(
        "a damaged snapshot is not used; `clawvm rebuild` makes it again",
        session_id=row.session_id,
        version=row.version,
        damage=str(damage),
    )
