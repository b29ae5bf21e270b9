"""Tool calls that the session runs itself, or answers from recorded results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clawvm_es.core.state import State
from clawvm_es.engine import given
from clawvm_es.engine.calls import Played, Stored, source_of
from clawvm_es.engine.hooks import ToolResult, ToolRun
from clawvm_es.engine.session.handle import MODEL, TOOL, Handle, first_of, page_of
from clawvm_es.errors import ToolFailed
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import ReturnStatus

_BEGUN = "what begin_tool returned"


class Tools(Handle):
    """The hooks for tools."""

    def tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        run: Callable[..., str] | None = None,
        *,
        call: int | str | None = None,
    ) -> ToolResult:
        """Run a tool, or serve a stored result that still holds; in a fork, serve the parent's result.

        `call` is the number or id of a call that `observe_model` recorded. Without it, the session looks for a call
        of the newest answer with the same name and arguments and no result yet, so that each call is recorded once.

        Raises `ToolFailed`, whose cause is the tool's own error; the failure is recorded. A fork without
        `allow_new_calls` raises `NewToolCall` for a call that its parent did not make.
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
        """The function that a declared tool runs; None if there is none."""
        return self._calls.tool(given.text("tool name", name)).run

    def begin_tool(
        self, name: str, arguments: Mapping[str, Any], *, runs: bool = True, call: int | str | None = None
    ) -> ToolRun:
        """Record a call before it runs; `served` holds a recorded result if one is served instead.

        `call` is as for `tool`. With `runs` False, a call that would have to run is not recorded and raises
        `UsageError`. Raises `NewToolCall` in a fork that may not run it, and `ToolFailed` if the parent's call failed
        and its failure is served.
        """
        given.text("tool name", name), given.arguments("arguments", arguments), given.boolean("runs", runs)
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
            number = first_of(events, e.ToolCalled).call if joined is None else joined
            self._calls.begun(number)
            if found is not None and not (joined is None and isinstance(found, Stored)):
                self._flush_when_full()
        if isinstance(found, Played) and found.taped.status is not ReturnStatus.OK:
            raise ToolFailed(f"tool {name} failed: {found.text}")
        served = None
        if found is not None:
            stands = joined is None and isinstance(found, Stored)
            page_id = found.page.page_id if stands and isinstance(found, Stored) else page_of(events)
            served = ToolResult(found.text, number, page_id, served=True)
        return ToolRun(number, name, arguments, validator, served)

    def finish_tool(self, begun: ToolRun, text: str) -> ToolResult:
        """Record the result of a call that `begin_tool` recorded; a result that is not text is a failure."""
        given.instance("begun", ToolRun, begun, _BEGUN)
        if not isinstance(text, str):
            self.fail_tool(begun, TypeError(f"a tool must return text, got {type(text).__name__}"))
        source = source_of(begun.name, begun.arguments)
        page_id = self._returned(begun.number, text, ReturnStatus.OK, begun.validator, source)
        return ToolResult(text, begun.number, page_id, served=False)

    def fail_tool(self, begun: ToolRun, error: BaseException) -> None:
        """Record that a call failed. Raises `ToolFailed`, or returns if `error` is an interrupt for the caller."""
        given.instance("begun", ToolRun, begun, _BEGUN)
        ordinary = isinstance(given.instance("error", BaseException, error, "an exception"), Exception)
        status = ReturnStatus.ERROR if ordinary else ReturnStatus.INTERRUPTED
        text = f"{type(error).__name__}: {error}"
        self._returned(begun.number, text, status, None, source_of(begun.name, begun.arguments, status))
        if ordinary:
            raise ToolFailed(f"tool {begun.name} failed: {text}") from error
