"""Levels: the pages in a session's prompts, with the level of each and the turns at which it had that level.

A *run* is one page at one level, of one size, at one place, in the prompts of consecutive turns. A column of a
picture is one prompt: its runs in the order of their places.

LAW-LEVELS-1: the tokens of every prompt are the sum of the fixed region, the directory's reserve, tokens of no page,
and the tokens of its runs; its runs, in the order of their places, are the pages of its text.
LAW-LEVELS-2: collecting in two parts, split at any version, gives the same prompts as collecting at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.layout import content_of
from clawvm_es.core.pages import REGION_SHIFT
from clawvm_es.core.state import State
from clawvm_es.history.figures import NEED_FAULTS
from clawvm_es.history.places import range_of_turn, state_at
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.snapshots import load, named_pages
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultType
from clawvm_es.model.pages import ABSENT, FULL, RANK, PageType

ARRIVAL: Final = 1
"""Flag of a run: the first prompt that shows this text, at the end of the prompt."""
STALE: Final = 2
"""Flag of a run: a copy that is out of date."""
CONTINUES: Final = 4
"""Flag of a run: the page stood there before the first turn that was looked at, too."""
BEFORE: Final = -1
"""Turn of a departure: before the first turn that was looked at."""
TYPES: Final = tuple(PageType)
MARKS: Final = (
    "used",
    "page_in",
    "unmet",
    "fault",
    "pressure",
    "alert",
    "redacted",
    "retired",
    "pinned",
    "written",
)
"""Kinds of marks."""
_USED, _PAGE_IN, _UNMET, _FAULT, _PRESSURE, _ALERT, _REDACTED, _RETIRED, _PINNED, _WRITTEN = range(len(MARKS))
_MISSED: Final = (_PAGE_IN, _UNMET, _FAULT)
_REGION: Final = 10**8  # from one region of a prompt to the next; page numbers are smaller
_ARRIVED: Final = 10 * _REGION  # added to the places of arrivals, which stand at the end
_PIECE: Final = 512


class Run(NamedTuple):
    """One page (by number) in the prompts of turns `first` to `last`, at a rank, with its tokens."""

    number: int
    first: int
    last: int
    rank: int
    tokens: int
    place: int
    flags: int


class Mark(NamedTuple):
    """An event of a page (number 0: of none) in a turn; `kind` is an index into `MARKS`."""

    number: int
    turn: int
    kind: int
    version: int


class Gone(NamedTuple):
    """A miss, and where its page had left: its last prompt, its level there, and the event that took it out.

    `left` is 0 if the page was in no prompt, `BEFORE` if it left before the turns collected.
    """

    number: int
    missed: int
    left: int
    left_version: int
    missed_version: int


class Turn(NamedTuple):
    """One prompt in figures. `by_type` is indexed as `TYPES`; `provider` is the provider's token count (0: none)."""

    turn: int
    version: int
    assembled: e.PromptAssembled
    fixed: int
    by_type: tuple[int, ...]
    provider: tuple[int, int, int] = (0, 0, 0)  # input, cached, written
    misses: int = 0
    faults: int = 0

    @property
    def cached(self) -> int:
        """Tokens of the prefix that the provider's cache serves."""
        told = self.assembled
        return told.cached_tokens if told.layout_digest else told.tokens - told.uncached_tokens

    @property
    def other(self) -> int:
        """Tokens of no page: arguments of calls, thoughts, outdated copies."""
        told = self.assembled
        return told.tokens - self.fixed - told.directory_tokens - sum(self.by_type)


class Bound(NamedTuple):
    """A boundary that was reached after the prompt of `turn`."""

    turn: int
    boundary: str
    version: int
    cut: str | None
    left: int
    returned: int


class Known(NamedTuple):
    """A page that runs and marks name, as last seen; `born` is the turn in which it was first written.

    `born` is `BEFORE` if that was before the turns collected. `source` and `body` are commitments to its source line
    and to its full text.
    """

    number: int
    page_id: str
    page_type: int
    tokens: tuple[int, ...]
    author: str
    born: int
    erased: bool
    source: str | None
    body: str | None


@attrs.define
class Levels:
    """Runs, marks and figures of the turns `first` to `last` of a session, in order; `upto` is the last version."""

    first: int
    last: int
    upto: int
    runs: list[Run]
    marks: list[Mark]
    gone: list[Gone]
    turns: list[Turn]
    bounds: list[Bound]
    commits: list[tuple[int, bool, int]]  # (turn, committed or rejected, version)
    faults: dict[int, FaultType]  # by version
    pages: dict[int, Known]

    def between(self, first: int, last: int) -> Levels:
        """The part for some turns; runs that cross its edges stay whole."""

        def within(turn: int) -> bool:
            return first <= turn <= last or (turn == 0 and first == 1)

        runs = [run for run in self.runs if run.last >= first and run.first <= last]
        marks = [mark for mark in self.marks if within(mark.turn)]
        gone = [each for each in self.gone if within(each.missed)]
        numbers = {each.number for part in (runs, marks) for each in part}
        turns = [turn for turn in self.turns if within(turn.turn)]
        return Levels(
            first,
            last,
            self.upto,
            runs,
            marks,
            gone,
            turns,
            [bound for bound in self.bounds if within(bound.turn)],
            [commit for commit in self.commits if within(commit[0])],
            {mark.version: self.faults[mark.version] for mark in marks if mark.kind == _FAULT},
            {number: page for number, page in self.pages.items() if number in numbers},
        )


@attrs.define
class _Open:
    """A run that has not ended yet."""

    first: int
    rank: int
    tokens: int
    place: int
    flags: int
    page_type: int


class Collector:
    """Collects the data of `Levels` while a session is folded: call `note` for each event after `apply`."""

    def __init__(self, state: State) -> None:
        """Begin at `state`, the one before the first event to note."""
        self._state = state
        self._open: dict[str, _Open] = {}
        self._laid: dict[int, tuple[str, _Open]] = {}  # in epochs: place in the layout → page and run
        self._by_type = [0] * len(TYPES)
        self._touched: dict[str, None] = {}
        self._left: dict[str, tuple[int, int]] = {}
        self._born: dict[str, int] = {}
        self._arrived: tuple[str, ...] = ()
        self._turn: Turn | None = None
        self._prompt = state.turn if state.assembled_version else 0  # the last turn that has a prompt,
        self._before = self._prompt  # and the one before it: a fork may have cut an assembly off
        self._began = self._prompt + 1
        self._since = state.version
        self._first = (state.assembled_version, self._prompt)  # event and turn of that prompt
        self.found = Levels(self._began, self._prompt, state.version, [], [], [], [], [], [], {}, {})
        if self._prompt and state.in_epochs:
            self._lay_out([*state.entries], self._began, CONTINUES)
        elif self._prompt:
            self._arrived = tuple(state.assembled_last)
            held = [*state.assembled, *self._arrived]  # what a cut took out since then goes on nowhere
            self._settle([each for each in held if each in state.copies] if state.as_recorded else held, CONTINUES)
            self._touched = dict.fromkeys(page_id for page_id, _ in state.assembled.items() ^ state.resident.items())
        self._touched |= dict.fromkeys(state.arrivals)  # written again, and shown at the end of the next prompt

    def note(self, event: e.Event, version: int) -> None:
        """Note an event that the state has folded."""
        self.found.upto = version
        handler: Any = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, version)

    def end(self) -> Levels:
        """Close the open runs, and return what was collected."""
        self._end_turn()
        for page_id in list(self._open):
            self._close(page_id, self._prompt)
        for place in list(self._laid):
            self._take_up(place, self._prompt)
        self.found.last = self._prompt
        self.found.runs.sort(key=lambda run: (run.first, run.place))
        for page_id in self._named():
            self._know(page_id)
        return self.found

    # ------------------------------------------------------------------------------------- prompts

    def assembled(self, event: e.PromptAssembled, version: int) -> None:
        """Note a prompt: pages touched since the last one may have moved."""
        self._end_turn()
        state = self._state
        self._before, self._prompt = self._prompt, state.turn
        now = tuple(state.assembled_last)
        if state.in_epochs:
            self._grow(event)
            self._settle([*self._open], 0)  # of a policy that selected at every turn
        else:
            for place in list(self._laid):
                self._take_up(place, self._before)
            self._settle([*self._touched, *self._arrived, *now], 0)
        self._arrived = now
        self._touched.clear()
        self._turn = Turn(state.turn, version, event, max(0, state.assembled_fixed), tuple(self._by_type))

    def _settle(self, page_ids: Iterable[str], flags: int) -> None:
        """Open and close the runs of pages that may have moved in the present prompt."""
        state, arrived = self._state, frozenset(self._state.assembled_last)
        for page_id in dict.fromkeys(page_ids):
            rank, known = state.assembled.get(page_id, ABSENT), self._open.get(page_id)
            if rank == ABSENT:
                if known is not None:
                    self._close(page_id, self._before)
                continue
            page = state.pages[page_id]
            tokens, place, new = page.tokens[rank], self._place(page_id), page_id in arrived
            if known is not None:
                if (known.rank, known.tokens, known.place) == (rank, tokens, place) and not new:
                    continue
                self._close(page_id, self._before)
            kind = TYPES.index(page.page_type)
            self._by_type[kind] += tokens
            first = self._began if flags & CONTINUES else self._prompt
            self._open[page_id] = _Open(first, rank, tokens, place, flags | (ARRIVAL if new else 0), kind)

    def _grow(self, event: e.PromptAssembled) -> None:
        """Open runs for the entries that a layout gained, and close those of a layout that an epoch replaced."""
        state = self._state
        if event.trigger is not None:
            for place in list(self._laid):
                self._take_up(place, self._before)
        new = range(state.appended - len(event.entries) + 1, state.appended + 1)
        touched = dict.fromkeys([*self._touched, *(entry.page_id for entry in event.entries)])
        for page_id in touched:
            for place in state.copies.get(page_id, ()):
                known = self._laid.get(place)
                if known is not None and not known[1].flags & STALE and state.standing.get(page_id) != place:
                    self._take_up(place, self._before)
                    self._lay_out([place], self._prompt, 0)
        self._lay_out(new, self._prompt, 0 if event.trigger is not None else ARRIVAL)

    def _lay_out(self, places: Iterable[int], first: int, flags: int) -> None:
        """Open a run for each of the given places in the layout."""
        state = self._state
        for place in places:
            entry = state.entries[place]
            content = content_of(state, entry)
            if content is None:  # arguments and marks of messages, which are no page's
                continue
            kind = TYPES.index(content.page_type)
            stale = 0 if state.standing.get(entry.page_id) == place else STALE
            run = _Open(first, RANK[entry.level], entry.tokens, place, flags | stale, kind)
            self._laid[place] = entry.page_id, run
            self._by_type[kind] += entry.tokens

    def _take_up(self, place: int, last: int) -> None:
        """Close the run of a place in the layout."""
        page_id, known = self._laid.pop(place)
        self._by_type[known.page_type] -= known.tokens
        self._keep(page_id, known, last)

    def _place(self, page_id: str) -> int:
        """The place of a page in the present prompt."""
        state = self._state
        if state.as_recorded:
            return state.copies[page_id][-1]
        region, number = divmod(state.place(page_id), 1 << REGION_SHIFT)
        return region * _REGION + number + (_ARRIVED if page_id in state.assembled_last else 0)

    def _close(self, page_id: str, last: int) -> None:
        known = self._open.pop(page_id)
        self._by_type[known.page_type] -= known.tokens
        self._keep(page_id, known, last)

    def _keep(self, page_id: str, known: _Open, last: int) -> None:
        if last >= known.first:
            number = self._know(page_id)
            run = Run(number, known.first, last, known.rank, known.tokens, known.place, known.flags)
            self.found.runs.append(run)

    def _end_turn(self) -> None:
        if self._turn is not None:
            self.found.turns.append(self._turn)
            self._turn = None

    # --------------------------------------------------------------------------------------- pages

    def _know(self, page_id: str) -> int:
        """Remember a page as it is now; returns its number."""
        page = self._state.pages[page_id]
        self.found.pages[page.number] = Known(
            page.number,
            page_id,
            TYPES.index(page.page_type),
            tuple(max(0, size) for size in page.tokens),
            str(page.author),
            self._birth(page_id),
            page.redacted,
            page.source,
            page.bodies[FULL],
        )
        return page.number

    def _birth(self, page_id: str) -> int:
        """The turn in which a page was first written; a page unknown at the last prompt was born in its own turn."""
        page, (assembled, turn) = self._state.pages[page_id], self._first
        waits = page.content_version == 1 and page.written_version > assembled
        return self._born.get(page_id, turn if waits else BEFORE)

    def _named(self) -> Iterator[str]:
        return iter([page.page_id for page in self.found.pages.values()])

    def changed(self, event: e.RepresentationChanged, version: int) -> None:
        """Note that a page has another level in the next prompt."""
        self._touched[event.page_id] = None
        if RANK[event.after] < RANK[event.before]:
            self._left[event.page_id] = (self._prompt, version)

    def written(self, event: e.PageWritten, version: int) -> None:
        """Note new content of a page."""
        self._touched[event.page_id] = None
        page = self._state.pages[event.page_id]
        if page.content_version > 1:
            self._mark(event.page_id, _WRITTEN, version)
        else:
            self._born[event.page_id] = self._state.turn

    def _mark(self, page_id: str | None, kind: int, version: int) -> None:
        number = 0 if page_id is None else self._know(page_id)
        self.found.marks.append(Mark(number, self._state.turn, kind, version))
        if kind in _MISSED and page_id is not None:
            unknown = 0 if self._since == 0 or self._birth(page_id) != BEFORE else BEFORE
            left, left_version = self._left.get(page_id, (unknown, 0))
            self.found.gone.append(Gone(number, self._state.turn, left, left_version, version))

    def _count(self, misses: int = 0, faults: int = 0) -> None:
        if self._turn is not None:
            turn = self._turn
            self._turn = turn._replace(misses=turn.misses + misses, faults=turn.faults + faults)

    def used(self, event: e.PageUsed, version: int) -> None:
        """Note a hit."""
        self._mark(event.page_id, _USED, version)

    def resolved(self, event: e.PageResolved, version: int) -> None:
        """Note a page-in: the page arrives again."""
        self._touched[event.page_id] = None
        self._count(misses=1)
        self._mark(event.page_id, _PAGE_IN, version)

    def unmet(self, event: e.NeedUnmet, version: int) -> None:
        """Note a need of a page that the harness had dropped."""
        self._count(misses=1)
        self._mark(event.page_id, _UNMET, version)

    def faulted(self, event: e.FaultObserved, version: int) -> None:
        """Note a fault; a need's fault is also a miss."""
        self._count(misses=event.fault in NEED_FAULTS, faults=1)
        self.found.faults[version] = event.fault
        self._mark(event.page_id, _FAULT, version)

    def pressed(self, event: e.InvariantPressureObserved, version: int) -> None:
        """Note pressure on each page that it names."""
        for page_id in event.pages or (None,):
            self._mark(page_id, _PRESSURE, version)

    def alerted(self, event: e.DuplicateSignatureAlerted, version: int) -> None:
        """Note a repeated call."""
        self._mark(None, _ALERT, version)

    def redacted(self, event: e.ContentRedacted, version: int) -> None:
        """Note erased pages."""
        for page_id in event.pages:
            self._touched[page_id] = None
            self._mark(page_id, _REDACTED, version)

    def retired(self, event: e.PageRetired, version: int) -> None:
        """Note that a page left for good."""
        self._mark(event.page_id, _RETIRED, version)

    def pinned(self, event: e.PagePinned, version: int) -> None:
        """Note that a page was pinned."""
        self._mark(event.page_id, _PINNED, version)

    # -------------------------------------------------------------------------- the rest of a turn

    def responded(self, event: e.ModelResponded, version: int) -> None:
        """Note the provider's own count of the prompt."""
        if self._turn is not None and event.input_tokens:
            told = (event.input_tokens, event.cached_tokens, event.written_tokens)
            self._turn = self._turn._replace(provider=told)

    def recalled(self, event: e.RecallAnswered, version: int) -> None:
        """Note that pages named by a memory backend arrive again."""
        self._touched.update(dict.fromkeys(event.pages))

    def bounded(self, event: e.BoundaryReached, version: int) -> None:
        """Note a boundary; pages that it put back arrive again."""
        self._touched.update(dict.fromkeys(event.returned))
        cut = None if event.cut is None else str(event.cut)
        self.found.bounds.append(
            Bound(self._state.turn, str(event.boundary), version, cut, len(event.left), len(event.returned))
        )

    def committed(self, event: e.UpdateCommitted, version: int) -> None:
        """Note that an update was committed."""
        self.found.commits.append((self._state.turn, True, version))

    def rejected(self, event: e.UpdateRejected, version: int) -> None:
        """Note that an update was rejected."""
        self.found.commits.append((self._state.turn, False, version))


_HANDLERS = {
    e.PromptAssembled: Collector.assembled,
    e.RepresentationChanged: Collector.changed,
    e.PageWritten: Collector.written,
    e.PageUsed: Collector.used,
    e.PageResolved: Collector.resolved,
    e.NeedUnmet: Collector.unmet,
    e.FaultObserved: Collector.faulted,
    e.InvariantPressureObserved: Collector.pressed,
    e.DuplicateSignatureAlerted: Collector.alerted,
    e.ContentRedacted: Collector.redacted,
    e.PageRetired: Collector.retired,
    e.PagePinned: Collector.pinned,
    e.ModelResponded: Collector.responded,
    e.RecallAnswered: Collector.recalled,
    e.BoundaryReached: Collector.bounded,
    e.UpdateCommitted: Collector.committed,
    e.UpdateRejected: Collector.rejected,
}


# ------------------------------------------------------------------------------------------ from a log


def turns_of(log: EventLog, session_id: str) -> int:
    """The last turn of a session; 0 before its first."""
    head = log.head(session_id)
    return 0 if head is None else event_at(log, session_id, head.version).turn


def levels(log: EventLog, session_id: str, first: int = 1, last: int | None = None) -> Levels:
    """The levels of a session's pages in the prompts of turns `first` to `last` (None: its last).

    The cost depends on the turns asked for, not on the session's length. Raises `UsageError` for an unknown turn.
    """
    after = range_of_turn(log, session_id, first - 1)[1] if first > 1 else 0
    upto = None if last is None else range_of_turn(log, session_id, last)[1]
    return levels_after(log, session_id, after, upto)


def levels_after(log: EventLog, session_id: str, after: int, upto: int | None = None) -> Levels:
    """The levels of a session's pages in the prompts that were assembled after an event."""
    state = state_at(log, session_id, after) if after else State()
    collector = Collector(state)
    for rows in _pieces(read_session(log, session_id, after, upto)):
        wanted = dict.fromkeys(named_pages(row.data for row in rows))
        wanted |= dict.fromkeys((*state.resident, *state.arrivals, *state.required))
        load(state.pages, wanted)
        for row in rows:
            apply(state, row.data)
            collector.note(row.data, row.version)
    return collector.end()


def _pieces(rows: Iterator[Recorded]) -> Iterator[list[Recorded]]:
    piece: list[Recorded] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
