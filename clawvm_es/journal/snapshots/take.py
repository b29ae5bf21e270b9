"""Take snapshots: each holds the changes since the one before it, every `limits.SNAPSHOT_EVENTS` events.

LAW-SNAP-3: a snapshot is stored whole or not at all, and a continuing session pays only for its own events.

Snapshots are caches: an obstacle to taking one is logged and stops nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from clawvm_es import limits
from clawvm_es.core.evolve import fold
from clawvm_es.core.state import State
from clawvm_es.errors import DiskFailed, JournalDamaged, JournalError, JournalFull
from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog, SnapshotRow, SnapshotStore, SnapshotWriter, snapshots_of
from clawvm_es.journal.snapshots.lazy import Lazy
from clawvm_es.journal.snapshots.parts import MADE_BY, OPENING, PARTS, encode_head, head_of
from clawvm_es.journal.snapshots.reader import END, Reader
from clawvm_es.journal.snapshots.restore import empty, restore, stored
from clawvm_es.journal.snapshots.seal import Damaged, seal_head, seal_node
from clawvm_es.journal.snapshots.sources import Base
from clawvm_es.journal.snapshots.tree import Leaf
from clawvm_es.logs import Log
from clawvm_es.model.events import SessionForked, SessionOpened

_log = Log("clawvm_es.journal")


def catch_up(log: EventLog) -> None:
    """Take the snapshots that are due; quick if none is, since streams are not checked twice.

    Snapshots of another program version are taken anew, even for sessions that ended. Errors are not raised: they are
    logged, and states are folded from further back.
    """
    _guarded(log, _take_all, anew=True)


def keep_up(log: EventLog) -> None:
    """Take some of the snapshots that are due, in one transaction; the rest is left to `catch_up`."""
    _guarded(log, _take_piece)


def stale(log: EventLog) -> Sequence[str]:
    """The streams whose snapshots are of another program version; their states are folded from further back."""
    store = snapshots_of(log)
    return () if store is None else store.others(MADE_BY)


def _guarded(
    log: EventLog,
    work: Callable[[EventLog, SnapshotStore, int, int], None],
    *,
    anew: bool = False,
    raised: tuple[type[JournalError], ...] = (),
) -> None:
    """Work on the sessions that continued, if enough was recorded; errors are logged, unless they are `raised`."""
    store = snapshots_of(log)
    if store is None or log.read_only:
        return
    try:
        if anew and (old := store.others(MADE_BY)):
            with log.transaction() as transaction:
                store.within(transaction).forget(old)
        after, upto = store.news()
        if upto - after >= limits.SNAPSHOT_EVENTS // 2:
            work(log, store, after, upto)
    except raised:
        raise
    except (JournalError, OverflowError) as error:  # the last: ids are used up
        _log.warning("snapshots could not be taken", path=log.place, error=str(error))


def rebuild(log: EventLog) -> None:
    """Delete all snapshots and take them again. Raises what a transaction raises, and errors of the disk."""
    store = snapshots_of(log)
    if store is None:
        return
    with log.transaction() as transaction:
        store.within(transaction).clear()
    _guarded(log, _take_all, anew=True, raised=(JournalFull, DiskFailed))


def _take_all(log: EventLog, store: SnapshotStore, after: int, upto: int) -> None:
    """Check the sessions that continued, taking a bounded number of snapshots in each transaction."""
    waiting = deque(store.active(after, upto))
    nearest: dict[str, int] = {}
    while True:
        with log.transaction() as transaction:
            writer = store.within(transaction)
            _take_some(log, writer, waiting, nearest, limits.SNAPSHOTS_AT_ONCE)
            if not waiting:
                writer.set_position(upto)
                return


def _take_piece(log: EventLog, store: SnapshotStore, after: int, upto: int) -> None:
    """Check the sessions that continued in the next part of the log, taking a bounded number of snapshots."""
    upto = min(upto, after + 2 * limits.KEEP_UP_EVENTS)
    waiting = deque(store.active(after, upto))
    with log.transaction() as transaction:
        writer = store.within(transaction)
        _take_some(log, writer, waiting, {}, 2 * limits.KEEP_UP_EVENTS // limits.SNAPSHOT_EVENTS)
        if not waiting:
            writer.set_position(upto)


def _take_some(
    log: EventLog, writer: SnapshotWriter, waiting: deque[str], nearest: dict[str, int], left: int
) -> None:
    """Take up to `left` snapshots; finished sessions leave `waiting`."""
    while waiting and left > 0:
        if not _may_be_due(log, writer, waiting[0], nearest):
            waiting.popleft()
            continue
        taken, done = take(log, writer, waiting[0], left)
        left -= taken
        if done:
            nearest[waiting[0]] = _last(log, writer, waiting[0])
            waiting.popleft()


def _may_be_due(log: EventLog, writer: SnapshotWriter, session_id: str, nearest: dict[str, int]) -> bool:
    """Tell whether a session may need a snapshot. A fork's parent tells where the last one is, so that a long line
    of forks is not searched once for each; `nearest` holds the version of each session's last snapshot, 0 for none.
    """
    first, head = log.first(session_id), log.head(session_id)
    assert first is not None, "what waits has events"
    assert head is not None, "what waits has events"
    row = writer.before(session_id, END, MADE_BY)
    found = 0 if row is None else row.version
    if row is None and isinstance(first.data, SessionForked):
        of_parent = nearest.get(first.data.parent)
        if of_parent is None or of_parent > first.data.parent_version:
            of_parent = _last(log, writer, session_id)
        found = of_parent
    nearest[session_id] = found
    return head.version - found >= limits.SNAPSHOT_EVENTS


def _last(log: EventLog, writer: SnapshotWriter, session_id: str) -> int:
    row = next(stored(Reader(writer, lineage(log, session_id))), None)
    return 0 if row is None else row.version


def take(log: EventLog, writer: SnapshotWriter, session_id: str, most: int) -> tuple[int, bool]:
    """Take up to `most` snapshots of a session, in the caller's transaction; returns how many, and whether none is
    due now.

    A session with damaged snapshots loses them, and gets new ones.
    """
    first, head = log.first(session_id), log.head(session_id)
    if first is None or head is None or not isinstance(first.data, SessionOpened | SessionForked):
        return 0, True  # a shared scope's stream has no state worth keeping
    reader = Reader(writer, lineage(log, session_id))
    row = next(stored(reader), None)
    try:
        return _follow(writer, reader, row, head.version, most)
    except Damaged as damage:
        if row is None:
            raise JournalDamaged(f"session {session_id}: its snapshot cannot be read back: {damage}") from damage
        writer.forget([row.session_id])
        _log.warning("damaged snapshots were thrown away", session_id=row.session_id, damage=str(damage))
    return 0, False


def _follow(
    writer: SnapshotWriter, reader: Reader, row: SnapshotRow | None, last: int, most: int
) -> tuple[int, bool]:
    """Fold a session on from its last snapshot, taking due snapshots on the way."""
    state, base = empty(reader, give_up) if row is None else restore(reader, row, give_up)
    taken = 0
    while last - state.version >= limits.SNAPSHOT_EVENTS and taken < most:
        stream, hash_ = advance(reader, state, state.version + limits.SNAPSHOT_EVENTS)
        if taken == 0:
            writer.forget_others(stream, MADE_BY)
        row = _store(writer, state, base, stream, hash_, None if row is None else row.snapshot_id)
        taken += 1
    return taken, last - state.version < limits.SNAPSHOT_EVENTS


def give_up(damage: Damaged) -> NoReturn:
    """Raise in place of continuing from damaged data."""
    raise damage


def advance(reader: Reader, state: State, upto: int) -> tuple[str, bytes]:
    """Fold `state` on to version `upto`; returns stream and hash of that event."""
    fold(reader.events_after(state.version, upto), state)
    for segment in reader.segments:
        if segment.upto is None or upto <= segment.upto:
            hash_ = reader.store.hash_at(segment.stream, upto)
            if hash_ is not None and state.version == upto:
                return segment.stream, hash_
    raise JournalDamaged(f"the session that ends in {reader.segments[-1].stream} has no event {upto}")


def _store(
    writer: SnapshotWriter, state: State, base: Base, stream: str, hash_: bytes, onto: int | None
) -> SnapshotRow:
    """Write the changes since `base`, which becomes the written state."""
    snapshot_id, first_node = writer.next_ids()
    nodes: list[tuple[int, bytes]] = []

    def put(part: int, number: int, payload: bytes) -> int:
        node_id = first_node + len(nodes)
        nodes.append((node_id, seal_node(node_id, part, number, payload)))
        return node_id

    for part, leaves in changes(state, base).items():
        base.trees[part].replace(leaves, put)
    head = head_of(state, {part: tree.roots for part, tree in base.trees.items()})
    row = SnapshotRow(snapshot_id, stream, state.version, hash_, MADE_BY, onto, first_node, len(nodes), b"")
    row = seal_head(row, encode_head(head))
    writer.insert(row, nodes)
    settle(state, base)
    return row


def changes(state: State, base: Base) -> dict[int, dict[int, Leaf]]:
    """Part → leaf number → its new entries, for everything that differs from `base`."""
    found: dict[int, dict[int, Leaf]] = {}
    for part in PARTS:
        tree, changed = base.trees[part.number], found.setdefault(part.number, {})
        for key, value in _lazy(state, part.name).looked_at():
            number, record = part.leaf_of(key), part.freeze(value)
            was = changed.get(number, tree.leaf(number))
            if key not in was or was[key] != record:
                changed.setdefault(number, dict(was))[key] = record
    opened = {0: (state.opened, state.profile)}
    found[OPENING] = {} if base.trees[OPENING].leaf(0) == opened else {0: opened}
    return found


def settle(state: State, base: Base) -> None:
    """Continue from a stored state: `base` is now that state, and only recent entries stay in memory."""
    for part in PARTS:
        base.counts[part.number] = len(getattr(state, part.name))
    resident = state.resident
    for part in PARTS:
        _lazy(state, part.name).settle(resident.__contains__ if part.name == "pages" else lambda _: False)


def _lazy(state: State, name: str) -> Lazy[Any, Any]:
    found = getattr(state, name)
    assert isinstance(found, Lazy)
    return found
