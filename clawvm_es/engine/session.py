"""A live session: the hooks that a harness calls (§8). Each is one or a few commands given to the shell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

import attrs
from msgspec.structs import replace

from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.state import Call as MadeCall
from clawvm_es.core.state import Page, State
from clawvm_es.core.writeback import check
from clawvm_es.engine import given, reports
from clawvm_es.engine.answers import Answers, Told
from clawvm_es.engine.calls import Played, Stored, ToolCalls, source_of
from clawvm_es.engine.declared import builders_of
from clawvm_es.engine.excerpts import Excerpts
from clawvm_es.engine.finding import Hit, hit
from clawvm_es.engine.hooks import Call, OtherSettings, Prompt, Report, Settings, StageResult, ToolResult, ToolRun
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.recall import Answer, answer_of
from clawvm_es.engine.renderers import renderer_named
from clawvm_es.engine.shell import Outcome, Shell
from clawvm_es.engine.updates import Updates, as_evidence
from clawvm_es.errors import InvariantPressure, ToolFailed, UsageError, VersionConflict
from clawvm_es.journal.ports import Durability
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Evidence,
    Finish,
    Need,
    OnPressure,
    Op,
    RecallOutcome,
    RetireReason,
    ReturnStatus,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import FULL, LADDER, Author, Origin, OriginKind, PageType, Pin, Scope
from clawvm_es.model.profile import Profile
from clawvm_es.observe.marks import marked
from clawvm_es.observe.observer import Observer
from clawvm_es.observe.steps import ModelMessage, Step, Usage
from clawvm_es.observe.tools import Tool, absolute
from clawvm_es.representations.messages import RENDERERS

MODEL: Final = "model"
USER: Final = "user"
TOOL: Final = "tool"
HARNESS: Final = "harness"
T = TypeVar("T")


def now_us() -> int:
    """The clock of live sessions: UTC microseconds."""
    return time.time_ns() // 1000


class Session:
    """One agent run. Thread-safe; leaving its `with` block releases the handle, `close` ends the session.

    Hooks with a `key` can be retried: the same key with the same content returns what it returned the first
    time and records nothing; other content raises `IdempotencyConflict`.
    """

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
    def in_flight(self) -> tuple[MadeCall, ...]:
        """Tool calls without a result: after a crash, what was being done."""
        with self._shell.lock:
            return tuple(call for call in self.state.calls.values() if call.returned is None)

    @property
    def fill_permille(self) -> int:
        """Fill of the context by the pages in it and those about to be, in permille of the budget."""
        with self._shell.lock:
            return self.state.fill_permille

    def value(self, field: str, scope: Scope | str = Scope.SESSION) -> Any:
        """The committed value of a field of the durable store; None if it was never set.

        Of a project's store, as this session knows it from its last commit point.
        """
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self._updates.value(self.state, where, given.text("field", field))

    def field_version(self, field: str, scope: Scope | str = Scope.SESSION) -> int:
        """The committed version of a field of the durable store, for `stage`; 0 if it was never set."""
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self.state.store.get((where, self._updates.field(self.state, given.text("field", field))), 0)

    def store(self, scope: Scope | str = Scope.SESSION) -> dict[str, Any]:
        """The durable store: field → committed value, pages that were written back by their ids.

        Of a project's store, as this session knows it from its last commit point.
        """
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self._updates.store(self.state, where)

    def search(self, query: str, limit: int = 10) -> tuple[Hit, ...]:
        """The pages of this session that match any word of a query, best first; nothing is recorded.

        Pages count that are in no prompt, too. Page in what you need with `resolve`.
        """
        given.text("query", query), given.integer("limit", limit, 1)
        with self._shell.lock:
            pages = [self.state.pages[page_id] for page_id in self._shell.search(query, limit)]
            return tuple(hit(page.page_id, page.page_type, self.read_page(page.page_id), query) for page in pages)

    def read_page(self, page_id: str) -> str:
        """The full text of a page, from the log (empty if it was erased); nothing is recorded (see `resolve`)."""
        with self._shell.lock:
            return self._shell.edge.open(self._page(page_id).bodies[FULL]) or ""

    def emit(self, page_id: str, first_line: int = 1, last_line: int | None = None) -> str:
        """Lines of a page for the context of a harness that builds its own prompts, inside a mark.

        Nothing is recorded now. When the harness shows the text again, in a message or as the result of a tool, it is
        recorded as a rendering of the page: neither as a new page nor as a need. Raises as `resolve` does.
        """
        with self._shell.lock:
            text = self.read_page(page_id)
            lines = text.splitlines(keepends=True)
            first, last = given.lines(page_id, len(lines), first_line, last_line)
            return marked(page_id, first, last, "".join(lines[first - 1 : last]))

    # ------------------------------------------------------------------------------------- writing

    def open(self, opened: e.SessionOpened) -> e.SessionOpened:
        """Begin the session's stream, unless it has begun; returns how it was opened.

        A session of a project learns at once what others committed.
        """

        def build(state: State) -> Sequence[Command]:
            return () if state.opened is not None else (Command(opened, self._clock(), HARNESS),)

        with self._shell.lock:
            self._run(build)
            stored = self.state.opened
            assert stored is not None
            if stored.project is not None:
                self._shell.sync(stored.project, self._clock())
            return stored

    def adopt(self, wanted: e.SettingsAdopted, how: OtherSettings | None = None) -> None:
        """Go on under other settings, by an event, unless they are those that the session has.

        Raises `UsageError` if the session is open, or where `how` is `raise`, unless it is `adopt`.
        """

        def build(state: State) -> Sequence[Command]:
            has = {"policy": state.profile, "budget": state.declared_budget, "on_pressure": state.on_pressure}
            asked = dict(zip(has, (wanted.profile, wanted.budget_tokens, wanted.on_pressure), strict=True))
            other = {name: now for name, now in asked.items() if now is not None and now != has[name]}
            if not other:
                return ()
            if how is OtherSettings.RAISE or (how is None and not state.closed):
                name = next(iter(other))
                hint = 'leave it out, or open the session with on_other_settings="adopt" (or "keep")'
                raise other_settings(self.session_id, name, has[name], other[name], hint)
            adopted = e.SettingsAdopted(
                wanted.profile if "policy" in other else None,
                wanted.budget_tokens if "budget" in other else None,
                wanted.on_pressure if "on_pressure" in other else None,
            )
            return (Command(adopted, self._clock(), HARNESS),)

        self._run(build)

    def keep(self, text: str) -> str:
        """Keep a text as a body, and return the commitment to it, for commands that a caller makes."""
        return self._shell.edge.text(text)

    def execute(
        self,
        *commands: Command,
        durability: Durability = Durability.NORMAL,
        after: int | None = None,
    ) -> Outcome:
        """Record ready-made commands (importers, replays) in one transaction.

        Commands that were made on version `after` raise `VersionConflict` where the session has gone on since.
        """

        def build(state: State) -> Sequence[Command]:
            if after is not None and state.version != after:
                raise VersionConflict(f"session {self.session_id}: made on version {after}, not on {state.version}")
            return commands

        return self._shell.run(build, durability)

    def observer(self, tools: Mapping[str, Tool], version: int) -> Observer:
        """An observer that knows the session up to `version`, for importers that go on from there."""
        return Observed(self._shell, tools).before(version + 1)

    def write_page(
        self,
        page_type: PageType | str,
        text: str,
        *,
        page_id: str | None = None,
        slot: str | None = None,
        author: Author | str = Author.HARNESS,
        source: str = "",
        active: bool = True,
        dirty: bool | None = None,
        scope: Scope | str = Scope.SESSION,
        key: str | None = None,
    ) -> str:
        """Write a page, or with `page_id` its next content, and return its id.

        With `slot`, a name of your own such as `file:AGENTS.md`, the page of that name is written, or written again
        where it has changed. `file:` and a path also names the page of a file of rules that a tool read.
        `scope` says whom the page concerns and raises its utility; it is written back to the session's own store.
        """
        kind, by = given.choice("page type", PageType, page_type), given.choice("author", Author, author)
        concerns = given.choice("scope", Scope, scope)
        given.text("text", text), given.text("source", source), given.key(key)
        named = None if slot is None else slot_name(given.text("slot", slot))
        if named is not None and page_id is not None:
            raise UsageError("write_page: expected either page_id= or slot=")

        def page(target: str) -> e.PageWritten:
            written = self._shell.edge.page(
                target,
                kind,
                text,
                author=by,
                origin=Origin(OriginKind.RECORD),
                source=source,
                active=active,
            ).event
            return replace(written, dirty=dirty, scope=concerns)

        return self._write(page, by, key, page_id) if named is None else self._write_slot(page, named, by, key)

    def user_says(self, text: str, *, native: Any = None, key: str | None = None) -> str:
        """Write the user's message as a conversation page.

        `native` is the message as the provider takes it (with its images), in plain lists and dicts.
        """
        given.text("text", text), given.key(key)
        kept = given.native(native)

        def page(target: str) -> e.PageWritten:
            edge, origin = self._shell.edge, Origin(OriginKind.RECORD)
            said = edge.page(
                target, PageType.CONVERSATION, text, author=Author.USER, origin=origin, native=kept
            ).event
            return replace(said, native=edge.text(kept)) if kept else said

        return self._write(page, Author.USER, key)

    def pin(self, page_id: str, pin: Pin | str, *, key: str | None = None) -> None:
        """Change a page's pin."""
        self._do(e.PagePinned(given.text("page id", page_id), given.choice("pin", Pin, pin)), key)

    def retire(
        self, page_id: str, reason: RetireReason | str = RetireReason.WITHDRAWN, *, key: str | None = None
    ) -> None:
        """Take a page out of the working set; its content stays in the log."""
        self._do(e.PageRetired(given.text("page id", page_id), given.choice("reason", RetireReason, reason)), key)

    def repage(self, *, key: str | None = None) -> None:
        """Select the pages of the next prompt anew, whatever it costs; a policy that pages by turn does so anyway."""
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            return (Command(e.SettingsAdopted(profile=state.profile), self._clock(), HARNESS, key),)

        self._run(build)

    def set_budget(self, tokens: int, *, key: str | None = None) -> None:
        """Change the prompt's budget."""
        self._do(e.BudgetChanged(given.integer("budget in tokens", tokens, 1)), key)

    def assemble(
        self,
        hints: Iterable[str] | None = None,
        fixed_tokens: int = 0,
        *,
        fixed: str = "",
        model: str = "",
        key: str | None = None,
    ) -> Prompt:
        """Begin a turn: assemble and render its prompt; `Prompt.pressure` says what did not fit.

        `hints` are pages that the turn will need; by default those whose file the user or the plan names. `fixed` is
        the fixed region, or any text that is another where it is; `model` names the model that is asked. Where either
        changes, the provider's cache holds no prefix any more, and a policy that pages in epochs begins a new one.

        Raises `InvariantPressure` (after the events are committed; with `prompt` and `pressure`) if a bootstrap or
        constraint page does not fit at its floor. Opened with `on_pressure="raise"`, a session raises for any
        pressure, with `"degrade"` for none.
        """
        tokens = given.integer("fixed_tokens", fixed_tokens, 0)
        given.text("fixed", fixed), given.text("model", model)
        told = None if hints is None else given.ids("hints", hints)
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            named = self._hints(state, key) if told is None else told
            region = self._shell.edge.text(fixed) if fixed else None
            asked, name = self._observed.at(state).model(model) if model else (None, None)
            began = e.TurnBegan(named, (), tokens, region, asked, name)
            return (Command(began, self._clock(), HARNESS, key),)

        with self._shell.lock:
            outcome = self._run(build)
            if outcome.appended or key is None:
                state = self.state
                rendered = self._shell.render(state) if state.as_recorded else self._shell.rendered
            else:
                state = self._shell.state_after(key)
                rendered = self._shell.render(state)
            if outcome.due:
                self._keep(Boundary.FLUSH, outcome.due)
            assembled = _first(outcome.events, e.PromptAssembled)
            pages = {page_id: LADDER[rank] for page_id, rank in levels_of_prompt(state).items()}
            pressure = reports.pressures(state, outcome.events)
            cached, cost = reports.priced(state.profile, assembled)
            prompt = Prompt(
                state.turn,
                rendered.text,
                assembled.tokens,
                assembled.budget_tokens,
                pages,
                pressure,
                cached,
                cost,
                rendered.blocks,
                RENDERERS.get(renderer_named(state)),
                rendered.layout,
            )
            if pressure:
                self._raise_on_pressure(state, prompt)
            return prompt

    def observe(self, step: Step, *, key: str | None = None) -> Outcome:
        """Record what happened in a harness that assembles its own prompts: the events of an import of the same.

        Give its steps in their order, with the numbers of its calls counted from 1; a time of 0 is now. Nothing is
        flushed by itself: `save` at the end.
        """
        given.key(key)
        first = None if key is None else next(iter(self._shell.log.find(self.session_id, key)), None)

        def build(state: State) -> Sequence[Command]:
            observer = self._observed.at(state) if first is None else self._observed.before(first.version)
            commands = observer.look(self._stamped(step))
            keys = (key and (f"{key}:{place}" if place else key) for place in range(len(commands)))
            return [attrs.evolve(each, idempotency_key=own) for each, own in zip(commands, keys, strict=True)]

        with self._shell.lock:
            return self._run(build)

    def observe_model(
        self,
        /,
        text: str = "",
        calls: Sequence[Call | tuple[str, Mapping[str, Any]]] = (),
        *,
        model: str = "",
        provider: str = "",
        finish: Finish | str | None = None,
        usage: Usage | Mapping[str, Any] | None = None,
        thinking: str | Sequence[str] = "",
        native: Any = None,
        needs: Sequence[Need] = (),
        key: str | None = None,
        **counts: int,
    ) -> tuple[int, ...]:
        """Record the model's answer and the tool calls in it; returns the calls' numbers.

        Run the calls with `tool`, or give the results of calls that the harness runs itself to `observe_result`.
        `finish` may be the provider's own reason and `usage` its own counts (Anthropic, OpenAI); counts can also
        be given by name, such as `input_tokens=`. `native` is the answer as the provider wrote it, in plain
        lists and dicts.

        While an answer is streamed, tell what came so far again and again under one `key`: a text that goes on, calls
        once they are whole, and at the end usage and finish. It stays one answer with one page of text. Raises
        `IdempotencyConflict` for anything else under the key, and once the next answer began.
        """
        told = Told(
            text=given.text("text", text),
            calls=given.calls(calls),
            needs=given.needs(needs),
            usage=given.usage(usage, counts),
            thinking=given.thoughts(thinking),
            model=given.text("model", model),
            provider=given.text("provider", provider),
            finish=given.finish(finish),
            native=given.native(native),
        )
        given.key(key)
        before: list[tuple[int, ...]] = []

        def build(state: State) -> Sequence[Command]:
            at = self._clock()
            inputs, recorded = self._answers.inputs(state, told, key)
            before.append(recorded)
            return [Command(data, at, MODEL, own) for data, own in inputs]

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return (*before[-1], *(event.call for event in found if isinstance(event, e.ToolCalled)))

    def observe_result(
        self,
        call: int | None = None,
        text: str | None = None,
        status: ReturnStatus | str = ReturnStatus.OK,
        *,
        call_id: str | None = None,
        source: str = "",
        native: Any = None,
        key: str | None = None,
    ) -> str:
        """Record the result of a tool call that the harness ran; returns the id of its evidence page.

        Name the call by its number, or by the harness's id of it. The page's frame names the call, its arguments and
        its status, unless `source` says something else; `native` is the result as the provider takes it.

        Raises `UsageError` for a call that no answer made, or that has its result. A result that really comes before
        its call is a step for `observe`.
        """
        given.text("result", text), given.text("source", source), given.key(key)
        ended, kept = given.choice("status", ReturnStatus, status), given.native(native)
        if (call is None) == (call_id is None):
            raise UsageError("observe_result: expected either call= or call_id=")
        named = given.integer("call", call, 1) if call_id is None else given.text("call_id", call_id)
        assert text is not None
        return self._returned(named, text, ended, None, source, key, kept)

    # --------------------------------------------------------------------------------------- tools

    def tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        run: Callable[..., str] | None = None,
        *,
        call: int | str | None = None,
    ) -> ToolResult:
        """Run a tool, or serve a stored result that is known to hold still; in a fork, what its parent recorded.

        `call` is the number or id of a call that `observe_model` recorded. Without it, a call of the newest answer
        that has the same name and arguments and no result yet is meant, if there is one: each call is recorded once.

        Raises `ToolFailed` (the failure is recorded) with the tool's own error as its cause; in a fork `NewToolCall`
        for what its parent did not call, unless it may.
        """
        run = run or self.declared(name)
        begun = self.begin_tool(name, arguments, runs=run is not None, call=call)
        if begun.served is not None:
            return begun.served
        assert run is not None
        try:
            text = run(**arguments)
        except BaseException as error:
            self.fail_tool(begun, error)
            raise
        return self.finish_tool(begun, text)

    def declared(self, name: str) -> Callable[..., str] | None:
        """Function that a declared tool runs; None if there is none."""
        return self._calls.tool(name).run

    def begin_tool(
        self, name: str, arguments: Mapping[str, Any], *, runs: bool = True, call: int | str | None = None
    ) -> ToolRun:
        """Record a call before it runs; `served` holds a recorded result where one is served instead.

        `call` is as for `tool`. Without `runs` a call that would have to run is not recorded, but raises
        `UsageError`. Raises `NewToolCall` in a fork that may not run it, and `ToolFailed` where the failure of its
        parent's call is served.
        """
        given.text("tool name", name), given.arguments("arguments", arguments)
        wanted = None if call is None else given.call(call)
        validator = self._calls.validator(name, arguments)
        seen: list[tuple[int | None, Stored | Played | None]] = []

        def build(state: State) -> Sequence[Command]:
            joined = self._calls.joined(state, name, arguments, wanted)
            found = self._calls.recorded(state, name, arguments, validator, runs, joined)
            seen.append((joined, found))
            at = self._clock()
            if joined is not None:
                inputs = self._calls.served(state, joined, found, validator)
                return [Command(data, at, TOOL) for data in inputs]
            called = self._calls.called(state, name, arguments, found)
            commands = [Command(called, at, MODEL)]
            if isinstance(found, Played):
                source = source_of(name, arguments, found.taped.status)
                page = self._calls.played(state, called, found, source)
                commands.append(Command(page, at, TOOL))
            return commands

        with self._shell.lock:
            events = self._run(build).events
            joined, found = seen[-1]
            number = _first(events, e.ToolCalled).call if joined is None else joined
            self._calls.begun(number)
            if found is not None and not (joined is None and isinstance(found, Stored)):
                self._flush_when_full()
        if isinstance(found, Played) and found.taped.status is not ReturnStatus.OK:
            raise ToolFailed(f"tool {name} failed: {found.text}")
        served = None
        if found is not None:
            stands = joined is None and isinstance(found, Stored)
            page_id = found.page.page_id if stands and isinstance(found, Stored) else _page_of(events)
            served = ToolResult(found.text, number, page_id, served=True)
        return ToolRun(number, name, arguments, validator, served)

    def finish_tool(self, begun: ToolRun, text: str) -> ToolResult:
        """Record what a call that `begin_tool` recorded has given. A result that is no text is a failure."""
        if not isinstance(text, str):
            self.fail_tool(begun, TypeError(f"a tool must return text, got {type(text).__name__}"))
        source = source_of(begun.name, begun.arguments)
        page_id = self._returned(begun.number, text, ReturnStatus.OK, begun.validator, source)
        return ToolResult(text, begun.number, page_id, served=False)

    def fail_tool(self, begun: ToolRun, error: BaseException) -> None:
        """Record that a call failed; raises `ToolFailed`, or nothing if `error` is an interrupt for the caller."""
        ordinary = isinstance(error, Exception)
        status = ReturnStatus.ERROR if ordinary else ReturnStatus.INTERRUPTED
        text = f"{type(error).__name__}: {error}"
        self._returned(begun.number, text, status, None, source_of(begun.name, begun.arguments, status))
        if ordinary:
            raise ToolFailed(f"tool {begun.name} failed: {text}") from error

    # ------------------------------------------------------------------------------------- recalls

    def recall(
        self,
        query: str,
        answer: Answer,
        *,
        outcome: RecallOutcome | str | None = None,
        key: str | None = None,
    ) -> tuple[str, ...]:
        """Ask a memory backend and write what it returns as evidence pages; returns their ids.

        `answer` is the backend (called with the query) or its answer. What is no series of texts is malformed,
        a `PermissionError` is denied, any other error of the backend is a backend error: all are recorded, so
        that an empty answer is never taken for "nothing known". Delivered again under its `key`, the backend is
        not asked again.
        """
        given.text("query", query), given.key(key)
        told = None if outcome is None else given.choice("outcome", RecallOutcome, outcome)
        first = self._shell.recorded(key) if callable(answer) and key is not None else None
        if isinstance(first, e.RecallAnswered) and self._shell.edge.open(first.query) == query:
            return first.pages
        texts, found = answer_of(query, answer)
        found = told or found

        def build(state: State) -> Sequence[Command]:
            at, first = self._clock(), len(state.pages) + 1
            pages = [
                self._shell.edge.page(
                    f"p{first + place}",
                    PageType.EVIDENCE,
                    text,
                    author=Author.TOOL,
                    origin=Origin(OriginKind.RECORD),
                    source=f"recall {query}",
                ).event
                for place, text in enumerate(texts)
            ]
            ids = tuple(page.page_id for page in pages)
            answered = e.RecallAnswered(state.recalls + 1, found, self._shell.edge.text(query), ids)
            written = [Command(page, at, TOOL, key and f"{key}:{n}") for n, page in enumerate(pages)]
            return (*written, Command(answered, at, HARNESS, key))

        with self._shell.lock:
            pages = _first(self._run(build).events, e.RecallAnswered).pages
            self._flush_when_full()
            return pages

    def resolve(
        self,
        page_id: str,
        first_line: int = 1,
        last_line: int | None = None,
        *,
        lines: str | tuple[int, int | None] | None = None,
        arrives: bool = True,
        key: str | None = None,
    ) -> str:
        """Page in: the text of lines `first_line` to `last_line` (from 1, inclusive) of a page, from the log.

        `lines` says the same as `(120, 180)` or `"120-180"`. Recorded as a need: a hit if the page stands in full,
        else a page-in that costs the tokens of the range: the next prompt holds the range as a page of its own, or
        the page where all of it was asked for. Not so with `arrives=False`, where the text reaches the model by
        another way; then only a hit is recorded as a need.

        A last line past the end means the end. Raises `UsageError` for any other range that the page does not have,
        and (after the fault is recorded) if its content was erased.
        """
        given.key(key)
        first, last = (first_line, last_line) if lines is None else given.line_range(lines)
        if lines is not None and (first_line, last_line) != (1, None):
            raise UsageError("resolve: expected either lines= or first_line and last_line")
        found: list[str | None] = []

        def build(state: State) -> Sequence[Command]:
            looked = self._excerpts.look(self._page(page_id, state), first, last)
            found.append(looked.text)
            at, inputs = self._clock(), self._excerpts.inputs(state, looked, arrives)
            keys = (key and f"{key}:lines", key)[-len(inputs) :]
            return [Command(data, at, MODEL, own) for data, own in zip(inputs, keys, strict=True)]

        with self._shell.lock:
            if key is not None and self._excerpts.is_recorded(key, f"{page_id}:{first}-{last or ''}"):
                page = self._page(page_id, self._shell.state_after(key))
                found.append(self._excerpts.look(page, first, last).text)
            else:
                self._run(build)
            text = found[-1]
        if text is None:
            raise UsageError(f"page {page_id}: its content was erased", hint="get it again from where it came from")
        return text

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
        replaces: Iterable[str] = (),
        principal: str = MODEL,
        key: str | None = None,
    ) -> StageResult:
        """Propose a change of the durable store; it is committed at the next commit point if it passes.

        `append` adds to a list and `merge` keys to an object, as they come. `set_with_version`, `delete` (value None)
        and `replace` need the committed version of the field as `base_version` (0: none). `replace` sets the field to
        a text that stands for the pages `replaces`: if it passes, that text becomes a page and those are retired.

        `evidence` is a page id, an event version, or an `Evidence`. A refused update stays in the log with its
        reason; stage it again once the reason is gone.
        """
        given.text("field", field), given.text("principal", principal), given.key(key)
        how, where = given.choice("op", Op, op), given.choice("scope", Scope, scope)
        instead = given.ids("replaces", replaces)
        if how is Op.REPLACE:
            given.text("value", value)
        if (how is Op.REPLACE) != bool(instead):
            raise UsageError(
                f"replaces: expected the pages of a 'replace', and none else, got {len(instead)} for {how}"
            )
        if how is Op.DELETE and value is not None:
            raise UsageError(f"value: expected None for op 'delete', got {given.shown(value)}")
        rests_on = as_evidence(instead[0] if instead and evidence is None else evidence)
        base = None if base_version is None else given.integer("base_version", base_version, 0)

        def build(state: State) -> Sequence[Command]:
            facts = self._updates.facts(
                state,
                field,
                how,
                value,
                scope=where,
                evidence=rests_on,
                base_version=base,
                principal=principal,
                replaces=instead,
            )
            at = self._clock()
            staged = Command(e.UpdateStaged(len(state.updates) + 1, facts), at, principal, key)
            rest = self._replacing(state, facts, value, key) if instead else []
            keys = [key and f"{key}:{place}" for place in range(len(rest))]
            return (staged, *(Command(data, at, principal, own) for data, own in zip(rest, keys, strict=True)))

        with self._shell.lock:
            found = self._run(build).events
            number = _first(found, e.UpdateStaged).update
            rejected = next((event for event in found if isinstance(event, e.UpdateRejected)), None)
            said = reports.objections(self.state.updates[number], self._shell.edge.open)
            return StageResult(number, str(rejected.reason) if rejected else None, said)

    def _replacing(self, state: State, facts: UpdateFacts, text: str, key: str | None) -> list[e.Input]:
        """The page of a text that stands for others, and their retirement; nothing where the update does not pass."""
        if check(state, facts) is not None:
            return []
        dirty = [page_id for page_id in facts.replaces if page_id in state.dirty]
        if dirty and self._is_new(key):
            raise UsageError(f"page {dirty[0]} is not written back yet", hint="save() first, then replace it")
        edge, origin = self._shell.edge, Origin(OriginKind.RECORD)
        source = f"stands for {', '.join(facts.replaces)}"
        written = edge.page(
            _next_page_id(state), PageType.EVIDENCE, text, author=Author.MODEL, origin=origin, source=source
        ).event
        retired = (e.PageRetired(page_id, RetireReason.REPLACED) for page_id in facts.replaces)
        return [replace(written, replaces=facts.replaces), *retired]

    def compact(self, *, key: str | None = None) -> Report:
        """The harness compacts: write back, then lower pages to their floors."""
        return self._boundary(Boundary.COMPACT, key=key)

    def reset(self, *, key: str | None = None) -> Report:
        """The harness resets the context: write back, then lower pages to their floors."""
        return self._boundary(Boundary.RESET, key=key)

    def prune(self, page_ids: Iterable[str] = (), *, key: str | None = None) -> Report:
        """The harness drops tool results: the named pages, or all evidence."""
        return self._boundary(Boundary.PRUNE, pages=given.ids("page ids", page_ids), key=key)

    def flush(self, *, key: str | None = None) -> Report:
        """Write back what is dirty."""
        return self._boundary(Boundary.FLUSH, key=key)

    def save(self, *, key: str | None = None) -> Report:
        """Write back what is dirty and let the read models catch up."""
        return self._boundary(Boundary.SAVE, key=key)

    def close(self, *, key: str | None = None) -> Report:
        """End the session: write back, then take no further commands until it is opened again.

        Closing a closed session records nothing and tells again what its end came to.
        """
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            if state.closed and (key is None or self._shell.recorded(key) is None):
                return ()
            at = self._clock()
            end = Command(e.BoundaryReached(Boundary.END, Trigger.CALLER), at, HARNESS, key)
            closed = e.SessionClosed(CloseReason.ENDED)
            return (end, Command(closed, at, HARNESS, key and f"{key}:closed"))

        with self._shell.lock:
            outcome = self._run(build)
            found = self._report(Boundary.END, outcome.events or self._shell.last(Boundary.END), outcome.appended)
        self._on_commit_point()
        return found

    # ------------------------------------------------------------------------------------ internals

    def _run(self, build: Callable[[State], Sequence[Command]]) -> Outcome:
        """Record what a hook builds, and observe it."""
        with self._shell.lock:
            outcome = self._shell.run(build)
            self._observed.took(outcome, self._shell.state)
            self._on_recorded(outcome.appended)
            return outcome

    def _write(
        self, page: Callable[[str], e.PageWritten], by: str, key: str | None, page_id: str | None = None
    ) -> str:
        """Record a page, or the next content of one."""

        def build(state: State) -> Sequence[Command]:
            target = _next_page_id(state) if page_id is None else self._page(page_id, state).page_id
            return (Command(page(target), self._clock(), by, key),)

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return _first(found, e.PageWritten).page_id

    def _write_slot(self, page: Callable[[str], e.PageWritten], name: str, by: str, key: str | None) -> str:
        """Record the page of a name, unless it holds just that."""
        standing: list[str | None] = []

        def build(state: State) -> Sequence[Command]:
            known = self._observed.at(state).known
            target = known.slots.get(name) or _next_page_id(state)
            written = page(target)
            standing.append(target if self._is_new(key) and _stands(state.pages.get(target), written) else None)
            if standing[-1] is not None:
                return ()
            ordinal = known.slot_names.get(name)
            named = self._shell.edge.text(name) if ordinal is None else None
            written = replace(written, slot=ordinal or len(known.slot_names) + 1, slot_name=named)
            return (Command(written, self._clock(), by, key),)

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return standing[-1] or _first(found, e.PageWritten).page_id

    def _is_new(self, key: str | None) -> bool:
        """Tell whether nothing was recorded under a key."""
        return key is None or self._shell.recorded(key) is None

    def _hints(self, state: State, key: str | None) -> tuple[str, ...]:
        """The pages whose file the user or the plan names; of a turn that is delivered again, those of the first."""
        first = None if key is None else self._shell.recorded(key)
        return first.hints if isinstance(first, e.TurnBegan) else self._observed.at(state).known.hints.now()

    def _stamped(self, step: Step) -> Step:
        at_us = step.at_us or self._clock()
        if isinstance(step, ModelMessage):
            return attrs.evolve(step, at_us=at_us, began_us=step.began_us or at_us)
        return attrs.evolve(step, at_us=at_us)

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
        """Return the report of a boundary; the first time, with what nobody was told before it."""
        found = reports.report(self.state, boundary, events, self._shell.edge.open)
        if appended:
            found, self._untold = reports.with_earlier(found, self._untold), []
        return found

    def _keep(self, boundary: Boundary, events: Iterable[e.Event]) -> Report:
        """Keep what a boundary of our own came to for the next report."""
        found = reports.report(self.state, boundary, events, self._shell.edge.open)
        if not found.ok:
            self._untold.append(found)
        return found

    def _flush_when_full(self) -> None:
        """Write back before the harness has to compact; what counts is what stands now, this page included."""
        if self.state.profile.flush_permille:
            return  # the policy has a threshold of its own
        if self.state.dirty and self.fill_permille >= self._flush_at_permille:
            self._boundary(Boundary.FLUSH, Trigger.THRESHOLD)

    def _raise_on_pressure(self, state: State, prompt: Prompt) -> None:
        """Raise where the session was opened so that this pressure is not to be passed over."""
        how = state.on_pressure
        rules = reports.lost_rules(state, prompt.pressure)
        if how is OnPressure.RAISE or (how is OnPressure.PROTECT and rules):
            told = next((found for found in prompt.pressure if set(rules) & set(found.pages)), prompt.pressure[0])
            raise InvariantPressure(
                f"session {self.session_id} turn {state.turn}: {told}",
                hint=f"raise the budget of {prompt.budget_tokens} tokens, retire or unpin pages, or open with "
                'on_pressure="degrade"',
                prompt=prompt,
            )

    def _page(self, page_id: str, state: State | None = None) -> Page:
        """A page of a state; of the current one if none is given, caught up with other writers where need be."""
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
            return _page_of(found)


def other_settings(session_id: str, name: str, was: object, now: object, hint: str) -> UsageError:
    """The refusal to go on with a session under another setting than it has."""
    names = [value.name if isinstance(value, Profile) else value for value in (was, now)]
    return UsageError(f"session {session_id} goes on with {name} {names[0]}, not {names[1]}", hint=hint)


def slot_name(name: str) -> str:
    """The name of a slot: that of a file with its absolute path, as the observer of tools names it."""
    kind, colon, path = name.partition(":")
    return f"file:{absolute(path, os.getcwd())}" if colon and kind == "file" and path else name


def _stands(page: Page | None, written: e.PageWritten) -> bool:
    """Tell whether a page holds what would be written."""
    if page is None or page.retired or page.gone or page.away:
        return False
    was = (page.page_type, page.author, page.active, page.source, page.bodies[FULL])
    return was == (written.page_type, written.author, written.active, written.source, written.levels[0].body)


def _next_page_id(state: State) -> str:
    return f"p{len(state.pages) + 1}"


def _page_of(events: Iterable[e.Event]) -> str:
    """The page of a result among its events: its own, or the one that it shows again."""
    page = next((event.page_id for event in events if isinstance(event, e.PageWritten)), None)
    return page or _first(events, e.RecallAnswered).pages[0]


def _first(events: Iterable[e.Event], kind: type[T]) -> T:
    """The first event of a class; a hook's commands always give one."""
    return next(event for event in events if isinstance(event, kind))
