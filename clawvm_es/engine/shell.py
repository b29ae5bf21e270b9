"""The shell around the core: decide, append in one transaction, evolve.

LAW-SHELL-1: what is in the log is what the state has folded; after any failure the state is folded anew.
LAW-SHELL-2: the idempotency check comes before the expected-version check.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from clawvm_es import limits
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.edge import Edge, decode, encode
from clawvm_es.engine.render import Renderer
from clawvm_es.engine.retriever import Retriever
from clawvm_es.errors import IdempotencyConflict, VersionConflict
from clawvm_es.journal.protocol import Durability, EventLog, Head, NewEvent, Recorded, Transaction, Vault
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Evidence, Op, StagedPage, UpdateFacts
from clawvm_es.model.pages import FULL, Author, PageType
from clawvm_es.model.profile import Rule
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import directory_line

SESSION: Final = "session"
"""The scope of a session's own durable store."""


class Shell:
    """One session's stream: its folded state, and the only place that appends to it."""

    def __init__(self, log: EventLog, session_id: str, vault: Vault, counter: TokenCounter) -> None:
        self.log = log
        self.session_id = session_id
        self.vault = vault
        self.counter = counter
        self.lock = threading.RLock()
        self.edge = Edge(vault, counter)
        self.renderer = Renderer(vault.open)
        self.head: Head | None = None
        self.prompt = ""
        self._state: State | None = None
        self._keys: dict[str, int] = {}
        self._retriever: Retriever | None = None
        self._query: dict[Author, str] = {}

    # ------------------------------------------------------------------------------------- reading

    @property
    def state(self) -> State:
        """The session's state, folded up to the end of its stream as far as this shell has seen it."""
        if self._state is None:
            self._load()
        assert self._state is not None
        return self._state

    def _load(self) -> None:
        """Fold the whole stream: the state, the known keys, and the edge's ordinals."""
        self._state = State()
        self._keys = {}
        self.edge = Edge(self.vault, self.counter)
        self._close_retriever()
        self._query = {}
        self._catch_up(self.log.read(self.session_id))
        self.head = self.log.head(self.session_id)

    def _catch_up(self, recorded: Iterable[Recorded]) -> None:
        assert self._state is not None
        for row in recorded:
            apply(self._state, row.data)
            if row.idempotency_key is not None:
                self._keys[row.idempotency_key] = row.version
            if isinstance(row.data, e.ToolCalled):
                self._relearn(row.data)

    def _relearn(self, called: e.ToolCalled) -> None:
        """Intern the keys of a stored call again, in their order of first occurrence."""
        if called.signature_key is not None:
            self.edge.signatures.intern(self._text(called.signature_key))
        for resource in called.resources:
            self.edge.resource_keys.intern(f"{resource.kind}:{self._text(resource.key)}")

    def _text(self, commitment: str) -> str:
        body = self.vault.open(commitment)
        return f"[erased {commitment}]" if body is None else decode(body)

    def refresh(self) -> None:
        """Forget what was folded; the next look folds the stream anew."""
        self._state = None

    # ------------------------------------------------------------------------------------- writing

    def execute(self, commands: Sequence[Command], durability: Durability = Durability.NORMAL) -> tuple[e.Event, ...]:
        """Decide the commands one after the other and append all their events in one transaction.

        A command whose key is known gives what it gave the first time and appends nothing. When another
        writer was faster, the commands are decided again, `limits.RETRIES` times.
        """
        with self.lock:
            for attempt in range(limits.RETRIES + 1):
                try:
                    return self._attempt(commands, durability)
                except VersionConflict:
                    self.refresh()
                    if attempt == limits.RETRIES:
                        raise
                except BaseException:
                    self.refresh()
                    raise
        raise AssertionError("unreachable")

    def _attempt(self, commands: Sequence[Command], durability: Durability) -> tuple[e.Event, ...]:
        before = self.state.version
        results: list[e.Event] = []
        fresh: list[NewEvent] = []
        for command in commands:
            known = self._first_result(command, fresh)
            if known is not None:
                results.extend(known)
                continue
            decided = self.decide(command)
            fresh.extend(decided)
            results.extend(new.data for new in decided)
        if fresh:
            self.head = self.log.append(self.session_id, fresh, before, durability)
        return tuple(results)

    def _first_result(self, command: Command, fresh: Sequence[NewEvent]) -> tuple[e.Event, ...] | None:
        """What a command with a known key gave the first time; None if the key is new."""
        key = command.idempotency_key
        if key is None or key not in self._keys:
            return None
        recorded: tuple[Recorded, ...] | tuple[NewEvent, ...] = self.log.find(self.session_id, key)
        if not recorded:
            recorded = tuple(new for new in fresh if new.idempotency_key == key)
        if _as_sent(recorded[0].data, command.data) != command.data:
            raise IdempotencyConflict(
                f"session {self.session_id}: key {key!r} was used before, at version {self._keys[key]}, "
                f"for other content ({recorded[0].data.TYPE})",
                hint="send the same content again, or use another key",
            )
        return tuple(row.data for row in recorded)

    def decide(self, command: Command) -> list[NewEvent]:
        """Decide one command on the folded state and fold what follows; nothing is appended yet."""
        state = self.state
        data = command.data
        if isinstance(data, e.TurnBegan):
            return self._turn(state, command, data)
        if isinstance(data, e.BoundaryReached) and not data.staged and state.dirty:
            command = attrs.evolve(command, data=attrs.evolve(data, staged=self._dirty_pages(state)))
        decided = self._fold(state, command)
        if isinstance(data, e.PageWritten) and state.profile.rule is Rule.RETRIEVAL:
            self._index(state, data)
        return decided

    def _fold(self, state: State, command: Command) -> list[NewEvent]:
        """Stamp the events that follow from a command and fold them in place."""
        data, at, principal = command.data, command.at_us, command.principal
        events = decide(state, command)
        cause = cause_of(state, data)
        number = state.version + 1
        apply(state, data)
        if command.idempotency_key is not None:
            self._keys[command.idempotency_key] = number
        turn = state.turn
        stamped = [NewEvent(data, turn, at, principal, cause, command.idempotency_key)]
        for decision in events[1:]:
            apply(state, decision)
            stamped.append(NewEvent(decision, turn, at, principal, number))
        return stamped

    def _turn(self, state: State, command: Command, turn: e.TurnBegan) -> list[NewEvent]:
        """Assemble and render: a turn's prompt is recorded with its assembly, in the same transaction."""
        if state.profile.rule is Rule.RETRIEVAL and not turn.retrieved:
            command = attrs.evolve(command, data=attrs.evolve(turn, retrieved=self._retrieve(state)))
        stamped = self._fold(state, command)
        self.prompt = self.renderer.render(state)
        tokens = turn.fixed_tokens + sum(
            [state.pages[page_id].tokens[rank] for page_id, rank in state.assembled.items()]
        )
        if state.assembled_directory:
            tokens += self.counter.count(directory_line(state.assembled_directory))
        rendered = e.PromptRendered(self.renderer.name, tokens, self.vault.seal(encode(self.prompt)))
        stamped.extend(self._fold(state, Command(rendered, command.at_us, command.principal)))
        return stamped

    def _dirty_pages(self, state: State) -> tuple[StagedPage, ...]:
        """All dirty pages with the facts of their writeback: each is a field of the session's own store."""
        found = []
        for page_id in state.dirty:
            value = state.pages[page_id].bodies[FULL] or ""
            known = state.store.get((SESSION, page_id))
            facts = UpdateFacts(
                field=page_id,
                op=Op.SET_WITH_VERSION,
                value=value,
                size_bytes=len(self.vault.open(value) or b""),
                evidence=Evidence(page_id=page_id),
                base_version=known.version if known else 0,
            )
            found.append(StagedPage(page_id, facts))
        return tuple(found)

    # ----------------------------------------------------------------------------- in a transaction

    def caught_up(self, transaction: Transaction) -> State:
        """The state, folded up to what this transaction sees."""
        state = self.state
        head = transaction.head(self.session_id)
        if head is not None and head.version > state.version:
            self._catch_up(transaction.read(self.session_id, after=state.version))
        return state

    def append_in(self, transaction: Transaction, events: Sequence[NewEvent], before: int) -> Head:
        """Append decided events inside a transaction that the caller holds."""
        self.head = transaction.append(self.session_id, events, before)
        return self.head

    # ------------------------------------------------------------------------------------ retrieval

    def _index(self, state: State, written: e.PageWritten) -> None:
        text = self._text(written.levels[0].body)
        self._retrieving(state).put(state.pages[written.page_id].number, text)
        if written.page_type is PageType.CONVERSATION:
            self._query[written.author] = text

    def _retrieving(self, state: State) -> Retriever:
        if self._retriever is None:
            self._retriever = Retriever()
            for page in state.pages.values():
                body = page.bodies[FULL]
                text = self._text(body) if body else ""
                self._retriever.put(page.number, text)
                if page.page_type is PageType.CONVERSATION:
                    self._query[page.author] = text
        return self._retriever

    def _retrieve(self, state: State) -> tuple[str, ...]:
        """Pages that match what the user and the model said last, best first."""
        retriever = self._retrieving(state)
        query = " ".join(self._query.get(author, "") for author in (Author.USER, Author.MODEL))
        return tuple(f"p{number}" for number in retriever.search(query, state.profile.top_k))

    def _close_retriever(self) -> None:
        if self._retriever is not None:
            self._retriever.close()
        self._retriever = None

    def close(self) -> None:
        """Release what is held in memory."""
        with self.lock:
            self._close_retriever()
            self.refresh()


def _as_sent(recorded: e.Event, sent: e.Input) -> e.Event:
    """A recorded input without what the edge itself added to it."""
    if isinstance(recorded, e.TurnBegan) and isinstance(sent, e.TurnBegan):
        return attrs.evolve(recorded, retrieved=sent.retrieved)
    if isinstance(recorded, e.BoundaryReached) and isinstance(sent, e.BoundaryReached):
        return attrs.evolve(recorded, staged=sent.staged, restaged=sent.restaged)
    return recorded


def cause_of(state: State, data: e.Input) -> int | None:
    """The version of the event that led to an input: a prompt its assembly, a result its call."""
    if isinstance(data, e.PromptRendered):
        return state.assembled_version or None
    if isinstance(data, e.ModelResponded):
        return state.rendered_version or None
    if isinstance(data, e.ToolCalled):
        return state.responded_version or None
    if isinstance(data, e.ToolReturned):
        call = state.calls.get(data.call)
        return call.version if call else None
    if isinstance(data, e.PageWritten) and data.origin.call is not None:
        call = state.calls.get(data.origin.call)
        return call.returned_version if call else None
    return None
