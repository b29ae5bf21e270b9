"""The shell around the core: decide, append in one transaction, evolve.

LAW-SHELL-1: the state is the fold of the log; after any failure it is read again.
LAW-SHELL-2: the idempotency check comes before the expected-version check, and is made against the log: a command
that another writer recorded meanwhile gives its first result, on any handle and in any process.
LAW-SHELL-3: a session continued from a snapshot decides byte for byte as one folded from zero; known keys, ordinals
and texts are looked up on demand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from clawvm_es import limits
from clawvm_es.core import lifecycle
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State, Update
from clawvm_es.core.writeback import rebased
from clawvm_es.engine import renderers, scopes
from clawvm_es.engine.delivered import Delivered
from clawvm_es.engine.idle import Idle
from clawvm_es.engine.ordinals import RecordedKeys
from clawvm_es.engine.render import Rendered, Rendering, renderer_of
from clawvm_es.engine.renderers import renderer_named
from clawvm_es.engine.retriever import PageIndex
from clawvm_es.errors import UsageError, VersionConflict
from clawvm_es.journal import snapshots
from clawvm_es.journal.admission import admit
from clawvm_es.journal.lineage import event_at, read_back
from clawvm_es.journal.ports import Durability, EventLog, Head, NewEvent, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, StagedPage, Trigger, UpdateFacts
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import TokenCounter


class Judge(Protocol):
    """Finds the facts of updates, by the harness's declarations."""

    def page(self, state: State, page_id: str) -> UpdateFacts:
        """The facts of writing a dirty page back."""

    def renewed(self, state: State, update: Update) -> UpdateFacts:
        """The facts of a pending update, against what is committed now."""


Build = Callable[[State], Sequence[Command]]
"""Makes the commands of a hook; called again, on the newer state, when another writer was faster."""


class Outcome(msgspec.Struct, frozen=True):
    """Outcome of commands: their inputs and decisions, and all events recorded now.

    `due` are the events of boundaries that the policy's own thresholds added to the commands.
    """

    events: tuple[e.Event, ...]
    recorded: tuple[e.Event, ...] = ()
    due: tuple[e.Event, ...] = ()

    @property
    def appended(self) -> int:
        """Number of events that were recorded now."""
        return len(self.recorded)


class Shell:
    """One session's stream: its folded state, and the only place that appends to it."""

    def __init__(
        self,
        log: EventLog,
        session_id: str,
        counter: TokenCounter,
        seed: int | None = None,
        hide_secrets: bool = False,
        reopens: bool = False,
    ) -> None:
        """Take the stream; with `reopens`, the first new command reopens it if it was closed when first read."""
        self.log = log
        self.session_id = session_id
        self.seed = seed
        self.vault = log.vault(session_id, seed)
        self.counter = counter
        self.judge: Judge | None = None  # set by the session, which knows what its harness declared
        self.lock = threading.RLock()
        self.edge = Edge(self.vault, counter, hide_secrets)
        self.rendered = Rendered("", b"")
        self._renderer = self._new_renderer("")
        self._head: Head | None = None
        self._state: State | None = None
        self._folded: dict[int, e.Event] = {}  # inputs that prompts of messages may show, until they are appended
        self._delivered = Delivered(log, session_id, self.vault, 0)
        self._index = PageIndex(self.vault)
        self._idle = Idle()
        self._reopens: bool | None = None if reopens else False  # None: not read yet

    # ------------------------------------------------------------------------------------- reading

    @property
    def state(self) -> State:
        """The session's state at the end of its stream, as far as this shell has read it.

        In a long session, parts of the state are read from the log on access.
        """
        with self.lock:
            return self._folded_state()

    def _folded_state(self) -> State:
        """The state, for callers that hold the lock."""
        if self._state is None:
            self._load()
        assert self._state is not None
        return self._state

    @property
    def head(self) -> Head | None:
        """Return the head of the stream, as far as this shell has read it."""
        with self.lock:
            if self._state is None:
                self._load()
            return self._head

    def _load(self) -> None:
        """Read the present state, including the fork parents' part, from the nearest snapshot."""
        self._idle = Idle()
        self._index.close()
        state = snapshots.state_at(self.log, self.session_id)
        self._delivered = Delivered(self.log, self.session_id, self.vault, state.version)
        self.edge = self._edge(state)
        self._renderer = self._new_renderer(renderer_named(state))
        head = self.log.head(self.session_id)
        self._head = head if head is None or head.version == state.version else None
        self.vault.found(state.version)
        if self._reopens is None:
            self._reopens = state.closed
        self._state = state

    def _edge(self, state: State) -> Edge:
        """An edge that knows the ordinals given out by the session's calls up to a state."""
        self.edge.renders(renderer_named(state))
        edge, recorded = self.edge.fresh(), RecordedKeys(self.log, self.session_id, state)
        edge.signatures, edge.resource_keys = recorded.signatures(), recorded.resources()
        return edge

    def edge_before(self, version: int) -> Edge:
        """An edge of the session as it was before an event."""
        before = State() if version == 1 else snapshots.state_at(self.log, self.session_id, version - 1)
        return self._edge(before)

    def _catch_up(self, state: State, recorded: Iterable[Recorded]) -> None:
        """Fold the events that others appended."""
        before = state.version
        for row in recorded:
            apply(state, row.data)
            self._idle.saw(row.data, row.at_us)
            self._delivered.took(row.idempotency_key, row.version)
            if isinstance(row.data, e.PageWritten):
                self._index.wrote(state, row.data)
            elif isinstance(row.data, e.ContentRedacted):
                self._index.close()
        if state.version > before:
            self.edge = self._edge(state)
            self._renderer = self._new_renderer(renderer_named(state))

    def refresh(self) -> None:
        """Drop the state; the next access reads it again."""
        self._state, self._head = None, None
        self._folded.clear()

    def last(self, boundary: Boundary) -> tuple[e.Event, ...]:
        """The newest boundary of a kind in the log and the events that followed from it; empty if there was none."""
        decided: list[e.Event] = []
        for row in read_back(self.log, self.session_id, self.state.version):
            if isinstance(row.data, e.BoundaryReached) and row.data.boundary is boundary:
                return (row.data, *reversed(decided))
            decided = [*decided, row.data] if row.kind == "decision" else []
        return ()

    def recorded(self, key: str) -> e.Event | None:
        """The input that the log holds under `key`, from any writer."""
        return next((row.data for row in self._delivered.recorded(key)), None)

    def state_after(self, key: str) -> State:
        """The state as it was when the input under `key` and its decisions had been folded."""
        recorded = self.log.find(self.session_id, key)
        upto = recorded[-1].version
        return snapshots.state_at(self.log, self.session_id, upto)

    def _new_renderer(self, name: str) -> Rendering:
        """A renderer of new prompts for the session: the newest of frames, or one of messages."""
        return renderers.newest(self.vault.open_all, self._event_at, name, self.edge.texts)

    def _event_at(self, version: int) -> e.Event:
        """An event of the session, folded but perhaps not appended yet."""
        found = self._folded.get(version)
        return event_at(self.log, self.session_id, version).data if found is None else found

    def render(self, state: State) -> Rendered:
        """The prompt last assembled in `state`, by the renderer under which it was recorded.

        Its texts come from the log, so that text erased since is missing.
        """
        name = renderer_of(self.log, self.session_id, state.assembled_version)
        return renderers.recorded(self.log, self.session_id, self.vault.open_all, name).render(state)

    # ------------------------------------------------------------------------------------- writing

    def run(self, build: Build, durability: Durability = Durability.NORMAL) -> Outcome:
        """Build commands on the folded state, decide them, and append all their events in one transaction.

        A command with a known key gives its first result and appends nothing. If another writer was faster, the shell
        catches up, builds and decides the commands again, `limits.RETRIES` times. Boundaries of a session that shares
        a scope sync with it first, in the same transaction.
        """
        with self.lock:
            for _ in range(limits.RETRIES):
                try:
                    return self._guarded(build, durability)
                except VersionConflict:
                    self.refresh()
            return self._guarded(build, durability)

    def _guarded(self, build: Build, durability: Durability) -> Outcome:
        """Make one attempt; after any failure the shell matches the log again.

        A refusal based on a state that others have left behind is a conflict: the command may be valid by now.
        """
        state = self._folded_state()
        before, mark = state.version, self.edge.mark()
        self.edge.full_only = _keeps_full_only(state)
        try:
            commands = build(state)
            kinds = {type(command.data) for command in commands}
            if not kinds.isdisjoint(_DURABLE):
                durability = Durability.FULL
            opened = self._folded_state().opened
            scope = opened.project if opened else None
            if scope is not None and e.BoundaryReached in kinds:
                self.edge.rewind(mark)
                return self._append_in_scope(scope, build)
            events, fresh, due = self._decide_all(commands)
            if due:
                durability = Durability.FULL
            if fresh:
                self._append(fresh, before, durability)
            self._folded.clear()
            return Outcome(events, tuple([new.data for new in fresh]), due)
        except BaseException as error:
            if self._state is not None and self._state.version == before:
                self.edge.rewind(mark)  # nothing was folded
            else:
                self.refresh()
            if isinstance(error, UsageError) and self._behind(before):
                raise VersionConflict(f"session {self.session_id}: another writer was faster") from error
            raise

    def _behind(self, version: int) -> bool:
        """Tell whether the stream has gone on since `version`."""
        head = self.log.head(self.session_id)
        return head is not None and head.version > version

    def catch_up(self) -> bool:
        """Read the state anew if others appended to the stream; tells whether they did."""
        with self.lock:
            behind = self._behind(self.state.version)
            if behind:
                self.refresh()
            return behind

    def _append(self, fresh: Sequence[NewEvent], before: int, durability: Durability) -> None:
        """Append events decided on version `before`; raises `VersionConflict` if another writer was faster.

        The shell knows all keys up to `before`; keys that another writer recorded later have to be found on the newer
        state.
        """
        self._head = self.log.append(self.session_id, fresh, before, durability, version_first=True)

    def _decide_all(
        self, commands: Sequence[Command]
    ) -> tuple[tuple[e.Event, ...], list[NewEvent], tuple[e.Event, ...]]:
        """The events of all commands; those not recorded yet; those of boundaries that were due."""
        results: list[e.Event] = []
        fresh: list[NewEvent] = []
        beside: list[e.Event] = []
        for command in commands:
            known = None if command.idempotency_key is None else self._delivered.result(command, fresh)
            if known is None:
                if self._reopens:
                    fresh.extend(self._reopening(command))
                if isinstance(command.data, e.TurnBegan) and (due := self._due(command, command.data)):
                    fresh.extend(due)
                    beside.extend(new.data for new in due)
                decided = self.decide(self._fitted(command))
                fresh.extend(decided)
                known = tuple([new.data for new in decided])
            results.extend(known)
        return tuple(results), fresh, tuple(beside)

    def _reopening(self, command: Command) -> list[NewEvent]:
        """Return the command that reopens the session, if it was closed when this handle was opened."""
        if not (self._reopens and self._folded_state().closed) or isinstance(command.data, e.ContentRedacted):
            return []
        return self.decide(Command(e.SessionReopened(), command.at_us, command.principal))

    def _due(self, command: Command, turn: e.TurnBegan) -> list[NewEvent]:
        """The boundary that the policy's own thresholds bring about before a turn; None if there is none."""
        boundary = lifecycle.due(self._folded_state(), turn.fixed_tokens)
        if boundary is None:
            return []
        reached = e.BoundaryReached(boundary, Trigger.THRESHOLD)
        return self.decide(Command(reached, command.at_us, command.principal))

    def _fitted(self, command: Command) -> Command:
        """A recorded input with this run's own numbers and base versions, which its thresholds may have changed."""
        data, state = command.data, self._folded_state()
        if not state.profile.compact_permille:
            return command
        if isinstance(data, e.UpdateStaged):
            return replace(command, data=replace(data, update=len(state.updates) + 1))
        if isinstance(data, e.BoundaryReached):
            return replace(command, data=replace(data, staged=rebased(state, data.staged)))
        return command

    def decide(self, command: Command) -> list[NewEvent]:
        """Decide one command on the folded state and fold what follows; nothing is appended yet."""
        state = self._folded_state()
        data = command.data
        if isinstance(data, e.TurnBegan):
            return self._turn(state, command, data)
        if isinstance(data, e.BoundaryReached) and not data.staged and state.dirty and self.judge is not None:
            staged = tuple(StagedPage(page_id, self.judge.page(state, page_id)) for page_id in state.dirty)
            command = replace(command, data=replace(data, staged=staged))
        decided = self._fold(state, command)
        if isinstance(data, e.PageWritten):
            self._index.wrote(state, data)
        elif isinstance(data, e.ContentRedacted):
            self.edge.texts.clear()
            self._index.close()
            self._renderer = self._new_renderer(renderer_named(state))
        elif isinstance(data, e.SessionOpened):
            self.edge.renders(data.renderer)
            self._renderer = self._new_renderer(data.renderer)
        return decided

    def _fold(self, state: State, command: Command) -> list[NewEvent]:
        """Stamp the events that follow from a command and fold them in place."""
        data, at, principal = command.data, command.at_us, command.principal
        raw = admit(data)
        events = decide(state, command)
        cause = cause_of(state, data)
        number = state.version + 1
        apply(state, data)
        self._delivered.took(command.idempotency_key, number)
        self._idle.saw(data, at)
        turn = state.turn
        stamped = [NewEvent(data, turn, at, principal, cause, command.idempotency_key, raw)]
        if state.by_groups:
            self._folded[number] = data
        for decision in events[1:]:
            apply(state, decision)
            stamped.append(NewEvent(decision, turn, at, principal, number))
        return stamped

    def _turn(self, state: State, command: Command, turn: e.TurnBegan) -> list[NewEvent]:
        """Assemble and render: a prompt is recorded with its assembly, in the same transaction."""
        if turn.idle_s is None and not command.as_told:
            self._idle.read(self.log, self.session_id, state)
            turn = self._idle.timed(turn)
        if state.profile.retrieves and not turn.retrieved:
            turn = replace(turn, retrieved=self._index.best(state))
        command = replace(command, data=turn)
        stamped = self._fold(state, command)
        if state.as_recorded:  # the harness sent a prompt of its own, whose bytes nobody kept
            self.rendered = Rendered("", b"")
            return stamped
        self.rendered = self._renderer.render(state)
        assembled = next(new.data for new in stamped if isinstance(new.data, e.PromptAssembled))
        tokens = turn.fixed_tokens + self._renderer.tokens(state, assembled, self.counter)
        rendered = e.PromptRendered(self._renderer.name, tokens, self.vault.seal(self.rendered.sealed))
        stamped.extend(self._fold(state, Command(rendered, command.at_us, command.principal)))
        return stamped

    # ------------------------------------------------------------------------------- shared scopes

    def _append_in_scope(
        self, scope: str, build: Build, at_us: int | None = None, durability: Durability = Durability.FULL
    ) -> Outcome:
        """Sync with `scope`, decide the commands (if any), and append both streams in one transaction.

        If all commands are known, they give their first results and the scope is not synced.
        """
        with self.log.transaction(durability) as transaction:
            state = self.state
            self._catch_up(state, transaction.read(self.session_id, after=state.version))
            before = state.version
            self.vault.found(before)
            self.edge.full_only = _keeps_full_only(state)
            commands = build(state)
            if commands and all(self._delivered.knows(command.idempotency_key) for command in commands):
                self._head = transaction.head(self.session_id)
                return Outcome(self._decide_all(commands)[0])
            theirs = self.log.vault(scope, self.seed)
            learned = scopes.learned(transaction, theirs, self.vault, scope, state.scopes[scope])
            told_at = at_us if at_us is not None else commands[0].at_us if commands else None
            fresh: list[NewEvent] = []
            if learned is not None and told_at is not None:
                synced = Command(learned, told_at)
                fresh = [*self._reopening(synced), *self.decide(synced)]
            events: list[e.Event] = []
            for command in commands:
                found, new, _ = self._decide_all([self._renewed(state, scope, command)])
                events.extend(found)
                fresh.extend(new)
            if fresh:
                head: Head | None = transaction.append(self.session_id, fresh, before)
                scopes.publish(transaction, theirs, self.vault, scope, state, self.session_id, before)
            else:
                head = transaction.head(self.session_id)
        self._head = head
        self._folded.clear()
        return Outcome(tuple(events), tuple(new.data for new in fresh))

    def _renewed(self, state: State, scope: str, command: Command) -> Command:
        """A boundary whose facts of pending updates are recomputed if `scope` moved on."""
        if not isinstance(command.data, e.BoundaryReached) or self.judge is None:
            return command
        again = scopes.renewed(state, scope, self.judge.renewed)
        return replace(command, data=replace(command.data, restaged=again)) if again else command

    def sync(self, scope: str, at_us: int) -> None:
        """Learn the commits of others to `scope`, in a transaction of its own."""
        with self.lock:
            try:
                self._append_in_scope(scope, lambda state: (), at_us, Durability.NORMAL)
            except BaseException:
                self.refresh()
                raise

    def search(self, query: str, limit: int) -> tuple[str, ...]:
        """The pages of the session that match any word of a query, best first, without erased pages."""
        with self.lock:
            return self._index.search(self.state, query, limit)

    def close(self) -> None:
        """Release what is held in memory."""
        with self.lock:
            self._index.close()
            self.refresh()


def _keeps_full_only(state: State) -> bool:
    """Tell whether the policy never selects, so that lower levels would be built for nothing."""
    return state.as_recorded and state.opened is not None and not state.opened.levels


_DURABLE = frozenset((e.BoundaryReached, e.SessionClosed))
"""Inputs after which a commit must survive a power cut."""


def cause_of(state: State, data: e.Input) -> int | None:
    """The version of the event that led to an input: for a prompt its assembly, for a result its call."""
    if isinstance(data, e.PromptRendered):
        return state.assembled_version or None
    if isinstance(data, e.ModelResponded):
        return max(state.rendered_version, state.assembled_version if state.as_recorded else 0) or None
    if isinstance(data, e.ToolCalled):
        return state.responded_version or None
    if isinstance(data, e.ToolReturned):
        call = state.calls.get(data.call)
        return call.version if call else None
    if isinstance(data, e.PageWritten) and data.origin.call is not None:
        call = state.calls.get(data.origin.call)
        return call.returned.version if call and call.returned else None
    return None
