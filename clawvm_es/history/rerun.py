"""Re-run: a fork that receives the rest of its parent's inputs, to see their outcome under other settings.

The model's answers and the needs are the parent's; calls are served from the tape, and nothing runs. Results are fed
as they came where prompts or needs depend on that: in sessions of messages, which show how a call ended, and of calls
that ended in a later turn, or more than once. Like what-if it is open loop, but it leaves a session for all verbs.

LAW-RERUN-1: under the parent's own settings a re-run assembles the parent's prompts, turn by turn, with the same
figures.
LAW-RERUN-2: inputs are keyed by their version in the parent, so that an interrupted re-run can continue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es import limits
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import UsageError
from clawvm_es.history.figures import Figures, Parting, assemblies, figures_of, parting
from clawvm_es.history.refeed import Refeed
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.events import INPUTS
from clawvm_es.model.facts import Need, Trigger
from clawvm_es.model.profile import Profile

Progress = Callable[[int, int], None]
"""(inputs given, inputs in all)."""
KEY: Final = "rerun:"
"""Idempotency keys of a re-run are this and the version of the parent's input."""


@attrs.frozen
class Rerun:
    """Outcome of a re-run beside its parent's; both from the fork on.

    `served` counts calls answered from the tape, `appended` the events that were new this time, `left_out` the needs
    whose pages came after the call that they were moved to.
    """

    session_id: str
    parent: str
    parent_version: int
    appended: int
    served: int
    left_out: int
    recorded: Figures
    now: Figures
    parted: Parting | None


def rerun(
    journal: Journal,
    parent: str,
    session_id: str,
    *,
    at: int,
    policy: str | Profile | None = None,
    budget_tokens: int | None = None,
    progress: Progress | None = None,
) -> Rerun:
    """Fork `parent` at its event `at` and feed the fork the parent's inputs since; continues an interrupted re-run.

    Raises `UsageError` if the session cannot be forked, if a session of that name is another fork or went on by
    itself, and for sessions of a project, whose updates have already been published.
    """
    opened = journal.opened(parent)
    if opened is not None and opened.project is not None:
        raise UsageError(
            f"session {parent} shares the store of {opened.project}: a re-run would publish to it again",
            hint="clawvm whatif writes nothing",
        )
    if journal.log.head(session_id) is None:
        session = journal.fork(parent, session_id, at=at, policy=policy, budget_tokens=budget_tokens)
    else:
        session = journal.session(session_id, policy=policy, budget_tokens=budget_tokens, on_other_settings="raise")
    with session:
        fork, done = _place(journal.log, session_id, parent, at)
        feed = _Feed(journal.log, fork, session)
        appended = feed.run(done, progress)
    return _compared(journal.log, fork, session_id, appended, feed.left_out)


def _place(log: EventLog, session_id: str, parent: str, at: int) -> tuple[e.SessionForked, int]:
    """The fork `session_id`, and the parent's last input that it received."""
    first = log.first(session_id)
    if first is None or not isinstance(first.data, e.SessionForked):
        raise UsageError(f"session {session_id} is no fork", hint="give the re-run another name")
    fork, done = first.data, at
    if (fork.parent, fork.parent_version) != (parent, at):
        raise UsageError(
            f"session {session_id} is a fork of {fork.parent} at version {fork.parent_version}",
            hint="give the re-run another name",
        )
    for row in log.read(session_id, first.version):
        if row.kind == "input" and not _is_of_the_shell(row):
            key = row.idempotency_key or ""
            if not key.startswith(KEY):
                raise UsageError(
                    f"session {session_id} went on by itself at version {row.version}",
                    hint="give the re-run another name",
                )
            done = int(key.removeprefix(KEY))
    return fork, done


def _is_of_the_shell(row: Recorded) -> bool:
    """Tell whether the shell added an input to those it was given."""
    data = row.data
    own = isinstance(data, e.BoundaryReached) and data.trigger is Trigger.THRESHOLD
    return row.idempotency_key is None and (own or isinstance(data, e.PromptRendered))


class _Feed:
    """Feeds a fork its parent's inputs."""

    def __init__(self, log: EventLog, fork: e.SessionForked, session: Session) -> None:
        self._session = session
        self._at = fork.parent_version
        rows = read_session(log, fork.parent, self._at)
        self._rows = [row for row in rows if row.kind == "input" and not isinstance(row.data, e.PromptRendered)]
        self._told = fork.profile is None  # else the fork's own shell finds what a retrieval policy needs
        self._refeed = Refeed(fork.profile, fork.budget_tokens)
        self._results: dict[int, Recorded] = {}  # call → its result, of calls that are served
        self._made: dict[int, int] = {}  # version → call: of calls, and of their results
        self._written: dict[str, int] = {}  # page → version of the event that wrote it first
        for row in self._rows:
            if isinstance(row.data, e.ToolReturned) and not row.data.unmatched:
                self._results[row.data.call] = row
            if isinstance(row.data, e.ToolReturned | e.ToolCalled):
                self._made[row.version] = row.data.call
            elif isinstance(row.data, e.PageWritten) and row.data.page_id not in session.state.pages:
                self._written.setdefault(row.data.page_id, row.version)
        made = {row.data.call: row.turn for row in self._rows if isinstance(row.data, e.ToolCalled)}
        as_they_came = frozenset(made) if session.state.by_groups else _ended_apart(self._rows, made)
        for call in as_they_came:
            self._results.pop(call, None)
        self._calls = frozenset(made) - as_they_came

    def run(self, done: int, progress: Progress | None) -> int:
        """Feed all inputs after the parent's version `done`; returns the number of events appended."""
        appended, batch = 0, list[Command]()
        rows = [row for row in self._rows if row.version > done]
        for number, row in enumerate(rows, 1):
            if self._looks_at_state(row.data) or len(batch) >= limits.IMPORT_BATCH:
                appended += self._session.execute(*batch).appended
                batch.clear()
                if progress is not None:
                    progress(number, len(rows))
            given = self._given(self._session.state, row)
            if given is not None:
                batch.append(Command(given, row.at_us, row.principal, f"{KEY}{row.version}", as_told=True))
        appended += self._session.execute(*batch).appended
        if progress is not None and rows:
            progress(len(rows), len(rows))
        return appended

    def _looks_at_state(self, data: e.Event) -> bool:
        """Tell whether an input depends on the state that earlier inputs left."""
        again = isinstance(data, e.ToolCalled) and data.served_by is None and (data.served_from or 0) > self._at
        return again or isinstance(data, e.BoundaryReached | e.UpdateStaged)

    def _given(self, state: State, row: Recorded) -> e.Input | None:
        """The input to feed in place of one of the parent's; None if it is left out."""
        data = row.data
        if isinstance(data, e.ToolReturned) and data.call in self._calls and not data.unmatched:
            return None  # its call is served
        if isinstance(data, e.ToolCalled):
            return self._called(state, row.version, data)
        assert isinstance(data, INPUTS)
        found = data.retrieved if isinstance(data, e.TurnBegan) and self._told else ()
        return self._refeed.given(state, data, lambda top_k: found)

    def _called(self, state: State, version: int, data: e.ToolCalled) -> e.ToolCalled:
        """A call as the fork makes it: served the parent's result, whether that came from a run, a log or a tape."""
        result = self._results.get(data.call)
        if data.served_from is None and result is not None:
            assert isinstance(result.data, e.ToolReturned)
            return replace(
                data,
                served_from=result.version,
                served_by=result.session_id,
                served_status=result.data.status,
                needs=(*data.needs, *(need for need in result.data.needs if self._known(need, version))),
            )
        if self._looks_at_state(data):  # the parent served a result that in the fork is a served call's
            returned = state.calls[self._made[data.served_from or 0]].returned
            return replace(data, served_from=returned.version if returned else None)
        return data

    def _known(self, need: Need, version: int) -> bool:
        """Tell whether the pages of a need that rode on a result exist when its call is made."""
        return all(self._written.get(holder.page_id, 0) < version for holder in need.holders)

    @property
    def left_out(self) -> int:
        """Number of needs left out, because their pages came between call and result."""
        made = {row.data.call: row.version for row in self._rows if isinstance(row.data, e.ToolCalled)}
        found = [row.data for row in self._results.values() if isinstance(row.data, e.ToolReturned)]
        needs = [(made[data.call], need) for data in found if data.call in made for need in data.needs]
        return sum(not self._known(need, version) for version, need in needs)


def _ended_apart(rows: Iterable[Recorded], made: Mapping[int, int]) -> frozenset[int]:
    """The calls that ended in a later turn than that in which they were `made`, or more than once."""
    ends = [
        (row.data.call, row.turn) for row in rows if isinstance(row.data, e.ToolReturned) and not row.data.unmatched
    ]
    times = Counter(call for call, _ in ends)
    return frozenset(call for call, turn in ends if call in made and (turn != made[call] or times[call] > 1))


def _compared(log: EventLog, fork: e.SessionForked, session_id: str, appended: int, left_out: int) -> Rerun:
    """Both runs from the fork on, as recorded in the log."""
    own = [row.data for row in log.read(session_id)]
    return Rerun(
        session_id=session_id,
        parent=fork.parent,
        parent_version=fork.parent_version,
        appended=appended,
        served=sum(isinstance(data, e.ToolCalled) and data.served_from is not None for data in own),
        left_out=left_out,
        recorded=figures_of(row.data for row in read_session(log, fork.parent, fork.parent_version)),
        now=figures_of(own),
        parted=_parted(log, fork, session_id),
    )


def _parted(log: EventLog, fork: e.SessionForked, session_id: str) -> Parting | None:
    """The first turn since the fork whose prompts differ."""
    theirs = assemblies(read_session(log, fork.parent), fork.parent_version)
    ours = assemblies(read_session(log, session_id), fork.parent_version)
    for was, now in zip(theirs, ours, strict=False):
        found = parting(was, now.levels)
        if found is not None:
            return found
    return None
