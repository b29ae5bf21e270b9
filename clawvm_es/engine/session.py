"""A live session: the hooks that a harness calls (§8). Each is one or a few commands given to the shell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import attrs

from clawvm_es.core.state import Call, State
from clawvm_es.engine.calls import ToolCalls, source_of
from clawvm_es.engine.scopes import execute_in_scope, sync_scope
from clawvm_es.engine.shell import Shell
from clawvm_es.engine.store import FieldSchema, Validator
from clawvm_es.engine.tools import Tool
from clawvm_es.engine.updates import Updates, as_evidence
from clawvm_es.errors import InvariantPressure, ToolFailed, UsageError
from clawvm_es.journal.protocol import Durability
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Evidence,
    Need,
    OnPressure,
    Op,
    RecallOutcome,
    RetireReason,
    ReturnStatus,
    Trigger,
)
from clawvm_es.model.pages import FULL, LADDER, Author, Fidelity, Origin, OriginKind, PageType, Pin, Scope

MODEL: Final = "model"
USER: Final = "user"
TOOL: Final = "tool"
HARNESS: Final = "harness"


@attrs.frozen
class Prompt:
    """An assembled prompt: its text (without the fixed region), its size and budget in tokens, its pages."""

    turn: int
    text: str
    tokens: int
    budget_tokens: int
    pages: Mapping[str, Fidelity]


@attrs.frozen
class ToolResult:
    """What a tool call gave; `served` says that a stored result was returned and nothing ran."""

    text: str
    call: int
    page_id: str
    served: bool


@attrs.frozen
class StageResult:
    """What became of a staged update: its number, and why it was rejected (None: it passed)."""

    update: int
    reason: str | None


@attrs.frozen
class Settings:
    """What a harness declares for a session and the log does not hold: tools, fields, validators, writers."""

    tools: Sequence[Tool] = ()
    fields: Mapping[str, FieldSchema] = attrs.field(factory=dict)
    validators: Mapping[str, Validator] = attrs.field(factory=dict)
    writers: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    """Scope (`session`, `project`) → principals that may write it; a scope that is not named takes all."""
    flush_at_permille: int = 800
    """Fill (of the budget, by the actual pages) at which dirty pages are flushed."""


def now_us() -> int:
    """The clock of live sessions: UTC microseconds."""
    return time.time_ns() // 1000


class Session:
    """One agent run. Thread-safe; a context manager that closes nothing but the handle (`close` ends the session)."""

    def __init__(
        self,
        shell: Shell,
        settings: Settings | None = None,
        clock: Callable[[], int] = now_us,
        on_commit_point: Callable[[], None] = lambda: None,
    ) -> None:
        self._shell = shell
        settings = settings or Settings()
        self._calls = ToolCalls(shell, {tool.name: tool for tool in settings.tools})
        self._updates = Updates(shell, settings.fields, settings.validators, settings.writers)
        self._flush_at_permille = settings.flush_at_permille
        self._clock = clock
        self._on_commit_point = on_commit_point

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.close()

    # ------------------------------------------------------------------------------------- looking

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._shell.session_id

    @property
    def state(self) -> State:
        """The folded state; treat it as read-only."""
        return self._shell.state

    @property
    def head(self) -> tuple[int, str]:
        """(version, hash) of the last event: what an auditor keeps outside the journal."""
        head = self._shell.head
        return (head.version, head.hash.hex()) if head else (0, "")

    @property
    def in_flight(self) -> tuple[Call, ...]:
        """Tool calls without a result: after a crash, what was being done."""
        return tuple(call for call in self.state.calls.values() if call.status is None)

    @property
    def fill_permille(self) -> int:
        """How full the context is by the pages that stand in it and those about to, in permille of the budget."""
        state = self.state
        held = {page_id: state.pages[page_id].tokens[rank] for page_id, rank in state.resident.items()}
        held.update({page_id: state.pages[page_id].full_tokens for page_id in state.arrivals})
        return sum(held.values()) * 1000 // max(1, state.budget_tokens)

    def value(self, field: str, scope: Scope = Scope.SESSION) -> Any:
        """The committed value of a field of the durable store; None if it was never set."""
        with self._shell.lock:
            return self._updates.value(self.state, self._updates.scope_id(scope), field)

    def read_page(self, page_id: str) -> str:
        """The full text of a page, from the log."""
        page = self.state.pages.get(page_id)
        if page is None:
            raise UsageError(f"no page {page_id} in session {self.session_id}")
        return self._open(page.bodies[FULL])

    # ------------------------------------------------------------------------------------- writing

    def open(self, opened: e.SessionOpened) -> None:
        """Begin the session's stream; a session of a project learns first of what others committed."""
        command = Command(opened, self._clock(), HARNESS)
        self._shell.execute((command,))
        if opened.project is not None:
            sync_scope(self._shell, opened.project, self._clock())

    def execute(self, *commands: Command, durability: Durability = Durability.NORMAL) -> tuple[e.Event, ...]:
        """Record ready-made commands (importers, replays) in one transaction."""
        return self._shell.execute(commands, durability)

    def write_page(
        self,
        page_type: PageType | str,
        text: str,
        *,
        page_id: str | None = None,
        author: Author | str = Author.HARNESS,
        source: str = "",
        active: bool = True,
        dirty: bool | None = None,
        scope: Scope | str = Scope.SESSION,
        key: str | None = None,
    ) -> str:
        """Write a page, or with `page_id` its next content, and return its id."""
        with self._shell.lock:
            target = page_id or self._next_page_id()
            written = self._shell.edge.page(
                target,
                PageType(page_type),
                text,
                author=Author(author),
                origin=Origin(OriginKind.RECORD),
                source=source,
                active=active,
                dirty=dirty,
                scope=Scope(scope),
            )
            self._do(written.event, Author(author), key)
            self._flush_when_full()
            return target

    def user_says(self, text: str, *, key: str | None = None) -> str:
        """Write the user's message as a conversation page."""
        return self.write_page(PageType.CONVERSATION, text, author=Author.USER, key=key)

    def pin(self, page_id: str, pin: Pin | str) -> None:
        """Change a page's pin."""
        self._do(e.PagePinned(page_id, Pin(pin)))

    def retire(self, page_id: str, reason: RetireReason | str = RetireReason.WITHDRAWN) -> None:
        """Take a page out of the working set; its content stays in the log."""
        self._do(e.PageRetired(page_id, RetireReason(reason)))

    def set_budget(self, tokens: int) -> None:
        """Change the prompt's budget."""
        self._do(e.BudgetChanged(tokens))

    def assemble(self, hints: Iterable[str] = (), fixed_tokens: int = 0, *, key: str | None = None) -> Prompt:
        """Begin a turn: assemble and render its prompt.

        Raises `InvariantPressure` (after the events are committed) if the required pages do not fit and the
        session was opened to raise.
        """
        with self._shell.lock:
            found = self._do(e.TurnBegan(hints=tuple(hints), fixed_tokens=fixed_tokens), key=key)
            state = self.state
            assembled = next(event for event in found if isinstance(event, e.PromptAssembled))
            pressure = [event for event in found if isinstance(event, e.InvariantPressureObserved)]
            opened = state.opened
            if pressure and opened is not None and opened.on_pressure is OnPressure.RAISE:
                first = pressure[0]
                raise InvariantPressure(
                    f"session {self.session_id} turn {state.turn}: required pages need "
                    f"{first.required_tokens} tokens, {first.available_tokens} are left",
                    hint="raise the budget, or retire or unpin pages",
                )
            pages = {page_id: LADDER[rank] for page_id, rank in state.assembled.items()}
            return Prompt(state.turn, self._shell.prompt, assembled.tokens, state.budget_tokens, pages)

    def observe_model(
        self,
        text: str = "",
        calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
        *,
        needs: Sequence[Need] = (),
        input_tokens: int = 0,
        cached_tokens: int = 0,
        output_tokens: int = 0,
        key: str | None = None,
    ) -> tuple[int, ...]:
        """Record the model's answer and the tool calls in it; returns the calls' numbers.

        For calls that the harness runs itself: give their results to `observe_result`.
        """
        with self._shell.lock:
            at = self._clock()
            responded = e.ModelResponded(tuple(needs), input_tokens, cached_tokens, output_tokens)
            commands = [Command(responded, at, MODEL, key)]
            first = len(self.state.calls) + 1
            for number, (name, arguments) in enumerate(calls, first):
                event = self._calls.called(number, name, arguments)
                commands.append(Command(event, at, MODEL, key and f"{key}:call:{number - first}"))
            if text:
                commands.append(Command(self._says(text), at, MODEL, key and f"{key}:text"))
            self._shell.execute(commands)
            return tuple(range(first, first + len(calls)))

    def observe_result(
        self,
        call: int,
        text: str,
        status: ReturnStatus | str = ReturnStatus.OK,
        *,
        source: str = "",
        key: str | None = None,
    ) -> str:
        """Record the result of a tool call that the harness ran; returns the id of its evidence page."""
        return self._returned(call, text, ReturnStatus(status), None, source, key)

    def tool(self, name: str, arguments: Mapping[str, Any], run: Callable[..., str] | None = None) -> ToolResult:
        """Run a tool, or serve a stored result that is known to hold still.

        Raises `ToolFailed` (the failure is recorded) with the tool's own error as its cause.
        """
        tool = self._calls.tool(name)
        run = run or tool.run
        if run is None:
            raise UsageError(f"tool {name!r} has nothing to run", hint="declare it with run=, or pass run=")
        validator = tool.validator(arguments) if tool.validator else None
        with self._shell.lock:
            number = len(self.state.calls) + 1
            stored = self._calls.stored(self.state, name, arguments, validator)
            self._do(self._calls.called(number, name, arguments, stored), MODEL)
            if stored is not None:
                return ToolResult(stored.text, number, stored.page.page_id, served=True)
        source = source_of(name, arguments)
        try:
            text = run(**arguments)
        except BaseException as error:
            status = ReturnStatus.ERROR if isinstance(error, Exception) else ReturnStatus.INTERRUPTED
            self._returned(number, f"{type(error).__name__}: {error}", status, None, source)
            if isinstance(error, Exception):
                raise ToolFailed(f"tool {name} failed: {type(error).__name__}: {error}") from error
            raise
        page_id = self._returned(number, text, ReturnStatus.OK, validator, source)
        return ToolResult(text, number, page_id, served=False)

    def recall(
        self,
        query: str,
        answer: Callable[[str], Sequence[str]] | Sequence[str] | None,
        *,
        outcome: RecallOutcome | str | None = None,
    ) -> tuple[str, ...]:
        """Ask a memory backend and write what it returns as evidence pages; returns their ids.

        `answer` is the backend (called with the query) or its answer; `None` means malformed. A
        `PermissionError` counts as denied, any other `OSError`, `RuntimeError` or `LookupError` as a backend
        error: both are recorded, so that an empty answer is never taken for "nothing known".
        """
        texts: Sequence[str] = ()
        found = RecallOutcome(outcome) if outcome is not None else None
        try:
            given = answer(query) if callable(answer) else answer
            if given is None or isinstance(given, str) or not all(isinstance(text, str) for text in given):
                found = found or RecallOutcome.MALFORMED
            else:
                texts = given
        except PermissionError:
            found = RecallOutcome.DENIED
        except (OSError, RuntimeError, LookupError):
            found = RecallOutcome.BACKEND_ERROR
        with self._shell.lock:
            pages = tuple(
                self.write_page(PageType.EVIDENCE, text, author=Author.TOOL, source=f"recall {query}")
                for text in texts
            )
            outcome = found or (RecallOutcome.OK if pages else RecallOutcome.NO_MATCH)
            number = self.state.recalls + 1
            self._do(e.RecallAnswered(number, outcome, self._shell.edge.text(query), pages))
            return pages

    # ----------------------------------------------------------------------------------- writeback

    def stage(
        self,
        field: str,
        op: Op | str,
        value: Any,
        *,
        scope: Scope | str = Scope.SESSION,
        evidence: Evidence | str | int | None = None,
        base_version: int | None = None,
        principal: str = MODEL,
    ) -> StageResult:
        """Propose a change of the durable store; it is committed at the next commit point if it passes.

        `evidence` is a page id, an event version, or an `Evidence`.
        """
        with self._shell.lock:
            facts = self._updates.facts(
                field,
                Op(op),
                value,
                scope=Scope(scope),
                evidence=as_evidence(evidence),
                base_version=base_version,
                principal=principal,
            )
            number = len(self.state.updates) + 1
            found = self._do(e.UpdateStaged(number, facts), principal)
            rejected = next((event for event in found if isinstance(event, e.UpdateRejected)), None)
            return StageResult(number, str(rejected.reason) if rejected else None)

    def compact(self) -> None:
        """The harness compacts: write back, then lower pages to their floors."""
        self._boundary(Boundary.COMPACT)

    def reset(self) -> None:
        """The harness resets the context: write back, then lower pages to their floors."""
        self._boundary(Boundary.RESET)

    def prune(self, page_ids: Iterable[str] = ()) -> None:
        """The harness drops tool results: the named pages, or all evidence."""
        self._boundary(Boundary.PRUNE, pages=tuple(page_ids))

    def flush(self) -> None:
        """Write back what is dirty."""
        self._boundary(Boundary.FLUSH)

    def save(self) -> None:
        """Write back what is dirty and let the read models catch up."""
        self._boundary(Boundary.SAVE)

    def close(self) -> None:
        """End the session: write back, then take no further commands."""
        with self._shell.lock:
            if not self.state.closed:
                self._boundary(Boundary.END)
                self._do(e.SessionClosed(CloseReason.ENDED), durability=Durability.FULL)
                self._on_commit_point()

    # ------------------------------------------------------------------------------------ internals

    def _do(
        self,
        data: e.Input,
        principal: str = HARNESS,
        key: str | None = None,
        durability: Durability = Durability.NORMAL,
    ) -> tuple[e.Event, ...]:
        return self._shell.execute((Command(data, self._clock(), principal, key),), durability)

    def _boundary(self, boundary: Boundary, trigger: Trigger = Trigger.CALLER, pages: tuple[str, ...] = ()) -> None:
        with self._shell.lock:
            command = Command(e.BoundaryReached(boundary, trigger, pages=pages), self._clock(), HARNESS)
            scope = self.state.opened.project if self.state.opened else None
            if scope is None:
                self._shell.execute((command,), Durability.FULL)
            else:
                execute_in_scope(self._shell, scope, command, self._updates.renewed)
            self._on_commit_point()

    def _flush_when_full(self) -> None:
        if self.state.dirty and self.fill_permille >= self._flush_at_permille:
            self._boundary(Boundary.FLUSH, Trigger.THRESHOLD)

    def _next_page_id(self) -> str:
        return f"p{len(self.state.pages) + 1}"

    def _open(self, commitment: str | None) -> str:
        body = self._shell.vault.open(commitment) if commitment else None
        return body.decode("utf-8", "surrogatepass") if body is not None else ""

    def _says(self, text: str) -> e.PageWritten:
        return self._shell.edge.page(
            self._next_page_id(),
            PageType.CONVERSATION,
            text,
            author=Author.MODEL,
            origin=Origin(OriginKind.RECORD),
        ).event

    def _returned(
        self,
        call: int,
        text: str,
        status: ReturnStatus,
        validator: str | None,
        source: str,
        key: str | None = None,
    ) -> str:
        with self._shell.lock:
            at = self._clock()
            returned, page = self._calls.returned(self.state, call, text, status, validator, source)
            commands = (Command(returned, at, TOOL, key), Command(page, at, TOOL, key and f"{key}:page"))
            self._shell.execute(commands)
            self._flush_when_full()
            return page.page_id
