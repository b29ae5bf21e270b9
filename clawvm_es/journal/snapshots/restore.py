"""From a snapshot back to a state, and on to the version that was asked for.

LAW-SNAP-1: a state through snapshots equals the fold of all its events from zero.

Events and snapshots are never changed once written, so reading them piece by piece, also while others append, sees
one state of the session. Snapshots can vanish (an erasure, a rebuild) or be damaged: then the part that was not yet
read is folded from zero.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import attrs
import msgspec
import structlog

from clawvm_es.core.evolve import apply, fold
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
_log = structlog.get_logger("clawvm_es.journal")


class Ask(Protocol):
    """How a query is run: over a log's reading connection, or inside a write transaction."""

    def __call__(
        self, query: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **options: _P.kwargs
    ) -> _T:
        """What the query gives."""


@attrs.frozen
class Reader:
    """What a session's snapshots are read with: how to ask, and the streams that hold its events."""

    ask: Ask
    segments: tuple[Segment, ...]

    def node(self, node_id: int, part: int, number: int) -> bytes:
        """The checked payload of a node; raises `Damaged`."""
        try:
            return tables.open_node(node_id, part, number, self.ask(tables.node, node_id))
        except (JournalDamaged, sqlite3.Error) as error:
            raise Damaged(f"its node {node_id} cannot be read: {error}") from error

    def events_at(self, versions: Sequence[int]) -> dict[int, Event]:
        """The events at some versions of the session, wherever in its lineage they stand."""
        found: dict[int, Event] = {}
        rest = list(versions)
        for segment in self.segments:
            here = [version for version in rest if segment.upto is None or version <= segment.upto]
            if here:
                found |= self.ask(queries.events_at, segment.stream, here)
                rest = [version for version in rest if version not in found]
        return found


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

    def load(self, keys: list[Any]) -> list[Any]:
        """The values of keys."""
        return self._try(lambda: self._load(keys), lambda whole: [whole[key] for key in keys])

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

    def _load(self, keys: list[Any]) -> list[Any]:
        return self.part.thaw([(key, self._leaf(key)[key]) for key in keys], self.base.reader.events_at)


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

    def load(self, keys: list[Any]) -> list[int]:
        """The places of pages."""
        self.loaded.load(keys)
        return [place_of(self.loaded[key]) for key in keys]


def empty(reader: Reader, rescue: Callable[[Damaged], State]) -> tuple[State, Base]:
    """The state before a session's first event, ready to be followed from snapshot to snapshot."""
    trees = {part.number: Tree(part.number, part.decode, reader.node, {}) for part in PARTS}
    trees[OPENING] = Tree(OPENING, decode_opening, reader.node, {})
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
    trees = {part.number: Tree(part.number, part.decode, reader.node, roots[part.number]) for part in PARTS}
    trees[OPENING] = Tree(OPENING, decode_opening, reader.node, roots[OPENING])
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
    if not isinstance(log, SQLiteLog):
        return fold(row.data for segment in lineage(log, session_id, version) for row in _rows(log, segment))
    segments = lineage(log, session_id, version)
    reader = Reader(log.ask, segments)
    state = State()
    for row in stored(reader):
        try:
            state, _ = restore(reader, row, partial(_folded, log, reader.segments, row))
            break
        except Damaged as damage:
            _warn(row, damage)
    for each in _after(log, segments, state.version):
        apply(state, each)
    return state


def stored(reader: Reader) -> Iterator[Row]:
    """The snapshots that a session's state can start from, nearest first."""
    if not reader.ask(tables.exist):
        return
    for segment in reversed(reader.segments):
        upto = 2**63 - 1 if segment.upto is None else segment.upto
        while (row := reader.ask(tables.before, segment.stream, upto, MADE_BY)) is not None:
            yield row
            upto = row.version - 1


def _after(log: SQLiteLog, segments: Iterable[Segment], version: int) -> Iterator[Event]:
    for segment in segments:
        if segment.upto is None or segment.upto > version:
            for row in log.read(segment.stream, version, segment.upto):
                yield row.data


def _rows(log: EventLog, segment: Segment) -> Iterator[Any]:
    return log.read(segment.stream, upto=segment.upto)


def _folded(log: SQLiteLog, segments: Iterable[Segment], row: Row, damage: Damaged) -> State:
    """The state at a snapshot's place, from the events alone."""
    _warn(row, damage)
    upto = [
        attrs.evolve(each, upto=row.version if each.upto is None else min(each.upto, row.version))
        for each in segments
    ]
    return fold(_after(log, upto, 0))


def _warn(row: Row, damage: Damaged) -> None:
    _log.warning(
        "a damaged snapshot is not used; `clawvm rebuild` makes it again",
        session_id=row.session_id,
        version=row.version,
        damage=str(damage),
    )
