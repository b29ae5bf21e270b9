"""The life of one page: its contents, its levels from prompt to prompt, its uses and misses, and its end.

Only the events from the page's first to the prompt after its last are read; nothing is folded.
"""

from __future__ import annotations

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.history.origins import Place, require_page, require_session
from clawvm_es.history.places import state_at
from clawvm_es.history.spans import Spans
from clawvm_es.journal.lineage import Line, event_at, lineage, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, FaultType
from clawvm_es.model.pages import ABSENT, RANK, Author, Fidelity
from clawvm_es.projections import snapshot

_USES = {e.PageUsed: "used", e.PageResolved: "page_in", e.NeedUnmet: "unmet", e.FaultObserved: "fault"}


@attrs.frozen
class LevelRun:
    """The page at one level, with its tokens, in the prompts of turns `first` to `last`."""

    first: int
    last: int
    rank: int
    tokens: int


@attrs.frozen
class LevelChange:
    """An event that changed the page's level, and the input that caused it (with its boundary, if it is one)."""

    event: Place
    before: Fidelity
    after: Fidelity
    reason: str
    cause: Place
    boundary: Boundary | None


@attrs.frozen
class Written:
    """One content of the page: the event that wrote it, its author, and its tokens in full."""

    event: Place
    author: Author
    tokens: int


@attrs.frozen
class Use:
    """A need or a fault of the page; `kind` is one of `history.levels.MARKS`."""

    turn: int
    kind: str
    version: int


@attrs.define
class History:
    """The life of a page up to the end of its session; `page` is its last form, in `state`."""

    session_id: str
    page: Page
    state: State
    contents: list[Written] = attrs.field(factory=list)
    runs: list[LevelRun] = attrs.field(factory=list)
    changes: list[LevelChange] = attrs.field(factory=list)
    uses: list[Use] = attrs.field(factory=list)
    marks: list[tuple[Place, str]] = attrs.field(factory=list)


def page_history(log: EventLog, session_id: str, page_id: str) -> History:
    """The life of a page. Raises `UsageError` for an unknown session or page."""
    require_session(log, session_id)
    state = state_at(log, session_id)
    found = History(session_id, require_page(state, session_id, page_id), state)
    story = _Story(found, Line(log, session_id))
    first, last = _span(log, session_id, page_id, state.version)
    for row in read_session(log, session_id, first - 1):
        story.note(row)
        if row.version > last and isinstance(row.data, e.PromptAssembled):  # the page stays as it is there
            story.prompt = event_at(log, session_id, state.assembled_version).turn
            break
    story.end()
    return found


def _span(log: EventLog, session_id: str, page_id: str, end: int) -> tuple[int, int]:
    """The page's first and last event; in a fork, which may have cut an assembly off, the last is the session's."""
    with snapshot(log) as view:
        span = Spans.of(view, log, session_id).page(page_id)
    if span is None:
        return 1, end
    return span.first, end if len(lineage(log, session_id)) > 1 else span.last


@attrs.define
class _Story:
    """One pass over the events from the page's first on."""

    found: History
    line: Line
    rank: int = ABSENT
    tokens: tuple[int, ...] = (0, 0, 0, 0, 0)
    standing: tuple[int, int, int] | None = None  # (first turn, rank, tokens) of the run that goes on
    prompt: int = 0
    began: int | None = None  # the rank before the assembly that is not done yet
    in_epochs: bool = False

    def note(self, row: Recorded) -> None:
        data, page_id = row.data, self.found.page.page_id
        if isinstance(data, e.PromptAssembled):
            self.began, self.in_epochs = None, bool(data.layout_digest)
            self._assembled(row.turn)
        elif isinstance(data, e.TurnBegan):
            self.began = self.rank
        elif isinstance(data, e.SessionForked):
            if self.in_epochs and self.began is not None:  # the fork cuts the assembly off
                self.rank = self.began
            self.began = None
        elif isinstance(data, e.ContentRedacted):
            if page_id in data.pages:
                self.found.marks.append((Place.of(row), f"redacted, {data.reason}"))
        elif getattr(data, "page_id", None) == page_id:
            self._mine(row)

    def end(self) -> None:
        """Close the open run."""
        if self.standing is not None:
            self.found.runs.append(LevelRun(self.standing[0], self.prompt, *self.standing[1:]))

    def _mine(self, row: Recorded) -> None:
        """Take an event about the page."""
        data, found = row.data, self.found
        match data:
            case e.PageWritten():
                sizes = [0] * len(self.tokens)
                for level in data.levels:
                    sizes[RANK[level.level]] = level.tokens
                self.tokens = tuple(sizes)
                found.contents.append(Written(Place.of(row), data.author, max(sizes)))
            case e.RepresentationChanged():
                self.rank = RANK[data.after]
                found.changes.append(self._change(row, data))
            case e.PagePinned():
                found.marks.append((Place.of(row), f"pinned {data.pin}"))
            case e.PageRetired():
                found.marks.append((Place.of(row), f"retired, {data.reason}"))
            case e.FaultObserved(fault=FaultType.FLUSH_MISS):
                found.marks.append((Place.of(row), "destroyed before it was committed"))
        kind = _USES.get(type(data))
        if kind is not None:
            found.uses.append(Use(row.turn, kind, row.version))

    def _change(self, row: Recorded, data: e.RepresentationChanged) -> LevelChange:
        cause = self.line.at(row.cause or row.version)
        boundary = cause.data.boundary if isinstance(cause.data, e.BoundaryReached) else None
        return LevelChange(Place.of(row), data.before, data.after, str(data.reason), Place.of(cause), boundary)

    def _assembled(self, turn: int) -> None:
        now = (self.rank, self.tokens[self.rank]) if self.rank else None
        was = None if self.standing is None else self.standing[1:]
        if now != was:
            if self.standing is not None:
                self.found.runs.append(LevelRun(self.standing[0], self.prompt, *self.standing[1:]))
            self.standing = None if now is None else (turn, *now)
        self.prompt = turn
