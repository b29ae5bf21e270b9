"""From a snapshot back to a state, and on to the version that was asked for.

LAW-SNAP-1: a state through snapshots equals the fold of all its events from zero.

Events and snapshots are never changed once written, so reading them piece by piece, also while others append, sees
one state of the session. Snapshots can vanish (an erasure, a rebuild) or be damaged: then the part that was not yet
read is folded from zero.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import attrs
import msgspec
import structlog

from clawvm_es.core.evolve import fold
from clawvm_es.core.pages import place_of
from clawvm_es.core.state import State
from clawvm_es.errors import JournalDamaged
from clawvm_es.journal import queries
from clawvm_es.journal.lineage import Segment, lineage
from clawvm_es.journal.protocol import EventLog
from clawvm_es.journal.snapshots import tables
from clawvm_es.journal.snapshots.lazy import Lazy
from clawvm_es.journal.snapshots.parts import (
    MADE_BY,
    OPENING,
    PARTS,
    Part,
    decode_head,
    decode_opening,
    fill,
)
from clawvm_es.journal.snapshots.tables import Damaged, Row
from clawvm_es.journal.snapshots.tree import Tree
from clawvm_es.journal.sqlite_log import SQLiteLog
from clawvm_es.model.events import Event

_P = ParamSpec("_P")
_T = TypeVar("_T")
_END: Final = 2**63 - 1
_log = structlog.get_logger("clawvm_es.journal")


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
            last = min(_END if upto is None else upto, _END if segment.upto is None else segment.upto)
            while version < last and (rows := self.ask(queries.events_after, segment.stream, version, last)):
                version = rows[-1][0]
                for _, event in rows:
                    yield event


@attrs.define(eq=False)
class Base:
    """The state that a snapshot is of, as far as it was read; `rescue` folds it when a part cannot be read."""

    reader: Reader
    trees: dict[int, Tree]
    counts: dict[int, int]
    rescue: Callable[[Damaged], State]
    whole: State | None = None

    def rescued(self, damage: Damaged) -> State:
        """The same state, folded from zero."""
        if self.whole is None:
            self.whole = self.rescue(damage)
        return self.whole


@attrs.frozen(eq=False)
class PartSource:
    """The entries of one mapping of a snapshot's state."""

    base: Base
    part: Part

    def count(self) -> int:
        """How many there are."""
        return self.base.counts[self.part.number]

    def keys(self) -> Iterator[Any]:
        """All keys: by leaf, so numbered ones in the order of their numbers."""
        return iter(self._try(self._keys, list))

    def has(self, key: Any) -> bool:
        """Whether there is such a key."""
        return self._try(lambda: key in self._leaf(key), lambda whole: key in whole)

    def find(self, keys: Sequence[Any]) -> dict[Any, Any]:
        """The entries among `keys` that there are."""
        return self._try(lambda: self._find(keys), lambda whole: {key: whole[key] for key in keys if key in whole})

    def _try(self, stored: Callable[[], _T], folded: Callable[[dict[Any, Any]], _T]) -> _T:
        if self.base.whole is None:
            try:
                return stored()
            except Damaged as damage:
                self.base.rescued(damage)
        assert self.base.whole is not None
        return folded(getattr(self.base.whole, self.part.name))

    def _leaf(self, key: Any) -> dict[Any, Any]:
        return self.base.trees[self.part.number].leaf(self.part.leaf_of(key))

    def _keys(self) -> list[Any]:
        tree = self.base.trees[self.part.number]
        return [key for number in tree.numbers() for key in tree.leaf(number)]

    def _find(self, keys: Sequence[Any]) -> dict[Any, Any]:
        tree, leaf_of = self.base.trees[self.part.number], self.part.leaf_of
        leaves = {key: leaf_of(key) for key in keys}
        tree.fetch(leaves.values())
        records = {key: leaf[key] for key, number in leaves.items() if key in (leaf := tree.leaf(number))}
        return self.part.thaw(records, self.base.reader.events_at)


@attrs.frozen(eq=False)
class PlaceSource:
    """Places in rendered order, which follow from the pages."""

    pages: PartSource
    loaded: Lazy[str, Any]

    def count(self) -> int:
        """As many as pages."""
        return self.pages.count()

    def keys(self) -> Iterator[Any]:
        """The ids of all pages."""
        return self.pages.keys()

    def has(self, key: Any) -> bool:
        """Whether there is such a page."""
        return self.pages.has(key)

    def find(self, keys: Sequence[Any]) -> dict[Any, int]:
        """The places of those pages that there are."""
        self.loaded.load(keys)
        return {key: place_of(self.loaded[key]) for key in keys if key in self.loaded}


def empty(reader: Reader, rescue: Callable[[Damaged], State]) -> tuple[State, Base]:
    """The state before a session's first event, ready to be followed from snapshot to snapshot."""
    trees = {part.number: Tree(part.number, part.decode, reader.nodes, {}) for part in PARTS}
    trees[OPENING] = Tree(OPENING, decode_opening, reader.nodes, {})
    base = Base(reader, trees, dict.fromkeys(trees, 0), rescue)
    return _with_trees(base), base


def restore(reader: Reader, row: Row, rescue: Callable[[Damaged], State]) -> tuple[State, Base]:
    """The state that a snapshot is of; raises `Damaged`."""
    try:
        head: Any = decode_head(row.payload())
    except (msgspec.MsgspecError, TypeError) as error:
        raise Damaged(f"its head holds something else: {error}") from error
    if reader.ask(queries.hash_at, row.session_id, row.version) != row.event_hash or head.version != row.version:
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
    pages = state.pages
    assert isinstance(pages, Lazy)
    state.places = Lazy(PlaceSource(PartSource(base, PARTS[0]), pages))
    return state


def state_at(log: EventLog, session_id: str, version: int | None = None) -> State:
    """The state of a session after event `version` (by default its last), from the nearest snapshot.

    The version must exist. What a session holds in great numbers is read when it is looked at, so the log must be
    open then. Raises `JournalDamaged` and `UnknownEvent` where an event cannot be folded.
    """
    segments = lineage(log, session_id, version)
    if not isinstance(log, SQLiteLog):
        return fold(row.data for each in segments for row in log.read(each.stream, upto=each.upto))
    reader = Reader(log.ask, segments)
    with log.reading() as db:
        reader.ask = partial(inside, db)
        try:
            return _follow(_nearest(reader), reader)
        finally:
            reader.ask = log.ask


def inside(
    db: sqlite3.Connection,
    query: Callable[Concatenate[sqlite3.Connection, _P], _T],
    *args: _P.args,
    **options: _P.kwargs,
) -> _T:
    """Ask over a connection of the caller's, inside its transaction."""
    return query(db, *args, **options)


def _nearest(reader: Reader) -> State:
    """The state of the nearest snapshot that can be used; the empty one if there is none."""
    for row in stored(reader):
        try:
            return restore(reader, row, partial(_folded, reader, row))[0]
        except Damaged as damage:
            _warn(row, damage)
    return State()


def _follow(state: State, reader: Reader) -> State:
    """Fold a session's events on top of `state`."""
    if not isinstance(state.pages, Lazy) or not isinstance(state.places, Lazy):
        return fold(reader.events_after(0), state)
    rest = list(reader.events_after(state.version))
    state.pages.load(dict.fromkeys([*state.resident, *_named(rest)]))  # one query for what will be looked at
    state.places.load(state.resident)
    return fold(rest, state)


def _named(events: Iterable[Event]) -> Iterator[str]:
    """Pages that events are about, as far as is easily seen."""
    for event in events:
        page_id = getattr(event, "page_id", None)
        if page_id is not None:
            yield page_id


def stored(reader: Reader) -> Iterator[Row]:
    """The snapshots that a session's state can start from, nearest first."""
    if not reader.ask(tables.exist):
        return
    for segment in reversed(reader.segments):
        upto = _END if segment.upto is None else segment.upto
        while (row := reader.ask(tables.before, segment.stream, upto, MADE_BY)) is not None:
            yield row
            upto = row.version - 1


def _folded(reader: Reader, row: Row, damage: Damaged) -> State:
    """The state at a snapshot's place, from the events alone."""
    _warn(row, damage)
    return fold(reader.events_after(0, row.version))


def _warn(row: Row, damage: Damaged) -> None:
    _log.warning(
        "a damaged snapshot is not used; `clawvm rebuild` makes it again",
        session_id=row.session_id,
        version=row.version,
        damage=str(damage),
    )
