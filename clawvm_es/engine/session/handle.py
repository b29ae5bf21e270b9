"""The handle of a session, shared by its hooks: it records their commands, and writes back when due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from clawvm_es.core.state import Page, State
from clawvm_es.engine import given, reports
from clawvm_es.engine.answers import Answers
from clawvm_es.engine.calls import ToolCalls
from clawvm_es.engine.declared import builders_of
from clawvm_es.engine.excerpts import Excerpts
from clawvm_es.engine.hooks import Report, Settings
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.shell import Outcome, Shell
from clawvm_es.engine.updates import Updates
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, ReturnStatus, Trigger

MODEL: Final = "model"
TOOL: Final = "tool"
HARNESS: Final = "harness"
T = TypeVar("T")


def now_us() -> int:
    """The clock of live sessions: UTC microseconds."""
    return time.time_ns() // 1000


class Handle:
    """One agent run: what all hooks share."""

    def __init__(
        self,
        shell: Shell,
        settings: Settings | None = None,
        clock: Callable[[], int] = now_us,
        on_commit_point: Callable[[], None] = lambda: None,
        on_recorded: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._shell = shell
        settings = settings or Settings()
        tools = {tool.name: tool for tool in settings.tools}
        self._observed = Observed(shell, tools)
        self._calls = ToolCalls(shell, tools, self._observed)
        self._answers = Answers(shell, self._observed)
        self._excerpts = Excerpts(shell, self._observed)
        self._updates = Updates(shell, settings.fields, settings.validators, settings.writers, clock=clock)
        shell.judge = self._updates
        shell.edge.builders = builders_of(settings.builders)
        self._flush_at_permille = settings.flush_at_permille
        self._clock = clock
        self._on_commit_point = on_commit_point
        self._on_recorded = on_recorded
        self._untold: list[Report] = []  # of boundaries that came of themselves

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._shell.session_id

    @property
    def state(self) -> State:
        """The folded state; treat it as read-only."""
        return self._shell.state

    @property
    def fill_permille(self) -> int:
        """Fill of the context by resident pages and arrivals, in permille of the budget."""
        with self._shell.lock:
            return self.state.fill_permille

    def _run(self, build: Callable[[State], Sequence[Command]]) -> Outcome:
        """Record the commands that a hook builds, and observe them."""
        with self._shell.lock:
            outcome = self._shell.run(build)
            self._observed.took(outcome, self._shell.state)
            self._on_recorded(outcome.appended)
            return outcome

    def _is_new(self, key: str | None) -> bool:
        """Tell whether a key is not recorded yet."""
        return key is None or self._shell.recorded(key) is None

    def _do(self, data: e.Input, key: str | None = None) -> Outcome:
        given.key(key)
        return self._run(lambda state: (Command(data, self._clock(), HARNESS, key),))

    def _boundary(
        self,
        boundary: Boundary,
        trigger: Trigger = Trigger.CALLER,
        pages: tuple[str, ...] = (),
        key: str | None = None,
    ) -> Report:
        with self._shell.lock:
            outcome = self._do(e.BoundaryReached(boundary, trigger, pages=pages), key)
            if trigger is Trigger.CALLER:
                found = self._report(boundary, outcome.events, outcome.appended)
            else:
                found = self._keep(boundary, outcome.events)
        self._on_commit_point()
        return found

    def _report(self, boundary: Boundary, events: Iterable[e.Event], appended: int) -> Report:
        """Return the report of a boundary; the first time, with earlier outcomes that no report mentioned."""
        found = reports.report(self.state, boundary, events, self._shell.edge.open)
        if appended:
            found, self._untold = reports.with_earlier(found, self._untold), []
        return found

    def _keep(self, boundary: Boundary, events: Iterable[e.Event]) -> Report:
        """Keep the outcome of an automatic boundary for the next report."""
        found = reports.report(self.state, boundary, events, self._shell.edge.open)
        if not found.ok:
            self._untold.append(found)
        return found

    def _flush_when_full(self) -> None:
        """Write back before the harness has to compact; the fill counted includes the page just written."""
        if self.state.profile.flush_permille:
            return  # the policy has a threshold of its own
        if self.state.dirty and self.fill_permille >= self._flush_at_permille:
            self._boundary(Boundary.FLUSH, Trigger.THRESHOLD)

    def _page(self, page_id: str, state: State | None = None) -> Page:
        """A page of a state; without a state, of the current one, after catching up with other writers if needed."""
        given.text("page id", page_id)
        pages = (self.state if state is None else state).pages
        if state is None and page_id not in pages and self._shell.catch_up():
            pages = self.state.pages
        page = pages.get(page_id)
        if page is None:
            last = f"its pages are p1 to p{len(pages)}" if pages else "it has none"
            raise UsageError(f"no page {page_id} in session {self.session_id}", hint=last)
        return page

    def _returned(
        self,
        call: int | str,
        text: str,
        status: ReturnStatus,
        validator: str | None,
        source: str,
        key: str | None = None,
        native: str = "",
    ) -> str:
        def build(state: State) -> Sequence[Command]:
            at = self._clock()
            number = self._calls.of(state, call)
            if self._is_new(key):
                self._calls.open(state, number)
            named = source or self._calls.source(state, number, status)
            found = self._calls.returned(state, number, text, status, validator, named, native)
            keys = (key, key and f"{key}:page", key and f"{key}:shown")
            return [Command(data, at, TOOL, own) for data, own in zip(found, keys, strict=False)]

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return page_of(found)


def next_page_id(state: State) -> str:
    """The id of the next new page."""
    return f"p{len(state.pages) + 1}"


def page_of(events: Iterable[e.Event]) -> str:
    """The result page among some events: its own, or the one that it shows again."""
    page = next((event.page_id for event in events if isinstance(event, e.PageWritten)), None)
    return page or first_of(events, e.RecallAnswered).pages[0]


def first_of(events: Iterable[e.Event], kind: type[T]) -> T:
    """Return the first event of a class; a hook's commands always produce one."""
    return next(event for event in events if isinstance(event, kind))
