"""Sessions of a log as a tree of forks, to read the common part of many sessions only once.

`lineage` finds the streams of one session; called for each of a thousand forks of forks, it would walk the same
parents a thousand times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.lineage import Fork, descends_from_itself, fork_of, has_no_events
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.snapshots import state_at

_KEPT: Final = 64
"""States at the beginnings of forks that are kept at once; others are made again from the nearest snapshot."""


@attrs.frozen
class _First:
    """The first event of a stream: its version, and its fork place, if it is a fork."""

    version: int
    fork: Fork | None


@attrs.define
class Forks:
    """Parents of the streams of a log, each looked up once."""

    _log: EventLog
    _firsts: dict[str, _First] = attrs.field(factory=dict)
    _forks: dict[str, Fork | None] = attrs.field(factory=dict)

    def fork(self, stream: str) -> Fork | None:
        """Return the stream that holds the event before a stream's first, and that event's version; None if it is no
        fork.

        Raises `JournalDamaged` if that stream has no events, the versions do not fit, or the stream descends from
        itself.
        """
        if stream not in self._forks:
            fork, seen = self._first(stream, stream).fork, {stream}
            while fork is not None and fork.version < (first := self._first(fork.parent, stream)).version:
                if fork.parent in seen or first.fork is None:
                    raise descends_from_itself(stream, fork.parent)
                seen.add(fork.parent)  # forked at an event that its parent itself inherits
                fork = Fork(first.fork.parent, min(fork.version, first.fork.version))
            self._forks[stream] = fork
        return self._forks[stream]

    def streams(self, session_ids: Iterable[str]) -> tuple[str, ...]:
        """The streams that hold the events of sessions, each once, parents before their forks."""
        found: dict[str, None] = {}
        for session_id in session_ids:
            line: dict[str, None] = {}
            at: str | None = session_id
            while at is not None and at not in found:
                line[at] = None
                fork = self.fork(at)  # of a stream that begins earlier, so there is no circle
                at = fork.parent if fork else None
            found.update(dict.fromkeys(reversed(line)))
        return tuple(found)

    def folded(self, streams: Collection[str]) -> Iterator[tuple[str, State, Iterator[Recorded]]]:
        """Yield each stream's name, its initial state, and its events, which are folded as they are taken.

        `streams` must list parents before their forks, as `streams()` does.
        """
        kept: dict[Fork, State] = {}
        forks = [fork for stream in streams if (fork := self.fork(stream)) is not None]
        places: dict[str, set[int]] = {fork.parent: set() for fork in forks}
        for fork in forks:
            places[fork.parent].add(fork.version)
        for stream in streams:
            state = self._beginning(stream, kept)
            rows = self._fold(stream, state, kept, places.get(stream, set()))
            yield stream, state, rows
            for _ in rows:  # the ones that were not taken
                pass

    def _beginning(self, stream: str, kept: dict[Fork, State]) -> State:
        fork = self.fork(stream)
        if fork is None:
            return State()
        found = kept.get(fork)
        state = state_at(self._log, fork.parent, fork.version) if found is None else found.copy()
        if state.version != fork.version:
            raise JournalDamaged(f"{fork.parent} has no version {fork.version}, from which {stream} was forked")
        return state

    def _fold(self, stream: str, state: State, kept: dict[Fork, State], places: set[int]) -> Iterator[Recorded]:
        for row in self._log.read(stream):
            apply(state, row.data)
            if row.version in places:
                kept[Fork(stream, row.version)] = state.copy()
                if len(kept) > _KEPT:
                    del kept[next(iter(kept))]
            yield row

    def _first(self, stream: str, descendant: str) -> _First:
        found = self._firsts.get(stream)
        if found is None:
            row = self._log.first(stream)
            if row is None:
                raise has_no_events(descendant, stream)
            found = _First(row.version, fork_of(stream, row))
            self._firsts[stream] = found
        return found
