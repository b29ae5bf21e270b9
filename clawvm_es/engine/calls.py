"""Tool calls at the edge: their facts, the pages of their results, and results that are served again.

| in a fork, a call | outcome |
|---|---|
| on the tape, which the parent ran | served from the tape |
| on the tape, which the parent was served from its log | served from this log if it holds, else from the tape |
| on the tape, but erased | runs if new calls are allowed, else `NewToolCall` |
| whose result stands in this log and still holds | served; where new calls are allowed, if its validator agrees |
| any other | runs if new calls are allowed, else `NewToolCall` |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.state import Call, Page, State
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.shell import Shell
from clawvm_es.engine.tape import Tape, Taped, tape_of
from clawvm_es.errors import NewToolCall, UsageError
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, ReturnStatus
from clawvm_es.model.pages import FULL
from clawvm_es.observe.signatures import signature_key
from clawvm_es.observe.steps import ToolResult, ToolUse
from clawvm_es.observe.tools import Tool, named, normalised
from clawvm_es.representations.visible import visible

PREVIEW_CHARS: Final = 120
"""Characters of a call's arguments that an error shows."""
ALLOW: Final = "fork with allow_new_calls=True to let it run"


@attrs.frozen
class Stored:
    """A recorded result that is known to hold still: its page, its text, and the event that recorded it."""

    page: Page
    text: str
    version: int


@attrs.frozen
class Played:
    """A result from a fork's tape, and its text."""

    taped: Taped
    text: str


class ToolCalls:
    """Calls and results of one session: their facts by its observer, and what is served instead of running."""

    def __init__(self, shell: Shell, tools: Mapping[str, Tool], observed: Observed) -> None:
        self._shell = shell
        self._tools = tools
        self._observed = observed
        self._tape: Tape | None = None
        self._is_fork: bool | None = None  # None: not looked yet

    def tool(self, name: str) -> Tool:
        """The declared tool of that name, else the unknown tool."""
        return named(self._tools, name)

    def made(self, state: State, calls: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[e.ToolCalled, ...]:
        """The facts of the calls of one answer."""
        first = len(state.calls) + 1
        uses = [_use(first + place, name, arguments) for place, (name, arguments) in enumerate(calls)]
        return self._observed.at(state).calls(uses)

    def called(
        self, state: State, name: str, arguments: Mapping[str, Any], found: Stored | Played | None = None
    ) -> e.ToolCalled:
        """The facts of a call; with `found`, of one that is served from a recorded result."""
        (called,) = self.made(state, [(name, arguments)])
        if isinstance(found, Stored):
            need = Need((Holder(found.page.page_id),), NeedRule.REPEATED_READ, found.page.full_tokens)
            return replace(called, needs=(*called.needs, need), served_from=found.version)
        if isinstance(found, Played):
            taped = found.taped
            return replace(called, served_from=taped.version, served_by=taped.stream, served_status=taped.status)
        return called

    def validator(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Return what must hold for a result to be served again, as of now; None if that cannot be told.

        A fork that runs nothing lives in the world that its parent recorded, and asks nobody about this one.
        """
        tape = self._taped()
        if tape is not None and not tape.allows_new_calls:
            return None
        tool = self.tool(name)
        try:
            return tool.validator(arguments) if tool.validator else None
        except Exception:  # as above
            return None

    def recorded(
        self, state: State, name: str, arguments: Mapping[str, Any], validator: str | None, runs: bool
    ) -> Stored | Played | None:
        """Return what is served instead of running a call; None if the caller is to run it.

        Raises `NewToolCall` in a fork that may not run it, `UsageError` where the caller has nothing to run.
        """
        tape = self._taped()
        found: Stored | Played | None
        if tape is None:
            found = self.stored(state, name, arguments, validator)
        else:
            found = self._of_fork(tape, state, name, arguments, validator)
        if found is None and not runs:
            raise UsageError(f"tool {name!r} has nothing to run", hint="declare it with run=, or pass run=")
        return found

    def _of_fork(
        self, tape: Tape, state: State, name: str, arguments: Mapping[str, Any], validator: str | None
    ) -> Stored | Played | None:
        """Return what a fork serves, by the table above."""
        edge = self._shell.edge
        kept = edge.open(edge.text(as_json(arguments))) or ""
        taped = tape.next(name, kept, state.version)
        if taped is None or taped.again:
            if taped is None and tape.allows_new_calls:
                stored = self.stored(state, name, arguments, validator)
            else:
                stored = self._held(tape, state, name, kept)
            if stored is not None:
                return stored
        text = None if taped is None else edge.open(taped.result)
        if taped is not None and text is not None:
            return Played(taped, text)
        if tape.allows_new_calls:
            return None
        raise _new_call(self._shell.session_id, name, kept, taped, tape)

    def _taped(self) -> Tape | None:
        """The session's tape; None if it is no fork."""
        if self._is_fork is None:
            open_ = self._shell.edge.open
            ignores = lambda name: self.tool(name).ignores  # noqa: E731
            self._tape = tape_of(self._shell.log, self._shell.session_id, open_, ignores)
            self._is_fork = self._tape is not None
        return self._tape

    def _held(self, tape: Tape, state: State, name: str, arguments: str) -> Stored | None:
        """A result of the same call in this session's log that nothing made invalid; the newest."""
        wanted = tape.key(name, arguments)
        for number in reversed(list(state.results.values())):
            call = state.calls[number]
            if call.tool not in (name, e.UNKNOWN_TOOL) or call.page_id is None or not state.holds(call):
                continue
            (row,) = read_session(self._shell.log, self._shell.session_id, call.version - 1, call.version)
            if isinstance(row.data, e.ToolCalled) and tape.key_of(row.data) == wanted:
                return self._stored(state, call)
        return None

    def stored(self, state: State, name: str, arguments: Mapping[str, Any], validator: str | None) -> Stored | None:
        """The recorded result of the same call, if nothing that it read was written and its validator agrees."""
        tool = self.tool(name)
        if not tool.deterministic or validator is None:
            return None
        key = signature_key(name, normalised(tool, _use(0, name, arguments)))
        ordinal = self._shell.edge.signatures.get(key)
        earlier = state.valid_call(ordinal)
        if earlier is None or earlier.returned is None:
            return None
        agrees = self._shell.edge.open(earlier.returned.validator) == validator
        return self._stored(state, earlier) if agrees else None

    def _stored(self, state: State, call: Call) -> Stored | None:
        """The result of a call and the page that holds it, if both are still there."""
        if call.returned is None or call.page_id is None:
            return None
        page = state.pages[call.page_id]
        text = self._shell.edge.open(call.returned.result or page.bodies[FULL])
        return Stored(page, text, call.returned.version) if text is not None and state.holdable(page) else None

    def source(self, state: State, call: int, status: ReturnStatus) -> str:
        """The line that names the page of a result, by the recorded call; empty where there is none yet."""
        made = state.calls.get(call)
        if made is None:
            return ""
        row = event_at(self._shell.log, self._shell.session_id, made.version)
        assert isinstance(row.data, e.ToolCalled)
        open_ = self._shell.edge.open
        name = row.data.tool if row.data.name is None else open_(row.data.name)
        return _source(name or made.tool, open_(row.data.arguments) or "", status)

    def returned(
        self,
        state: State,
        call: int,
        text: str,
        status: ReturnStatus,
        validator: str | None = None,
        source: str = "",
    ) -> list[e.Input]:
        """The facts of a result, and its page."""
        unmatched = call not in state.calls
        result = ToolResult(call, text, status, unmatched=unmatched, source=source, validator=validator)
        return self._observed.at(state).result(result)

    def played(self, state: State, called: e.ToolCalled, found: Played, source: str) -> e.PageWritten:
        """The page of a result that a call is served from the tape."""
        result = ToolResult(called.call, found.text, found.taped.status, source=source)
        return self._observed.at(state).evidence(result, called)


def _use(number: int, name: str, arguments: Mapping[str, Any]) -> ToolUse:
    """A call as a step, made in the directory that the harness works in."""
    try:
        cwd = os.getcwd()
    except OSError:  # it was removed
        cwd = ""
    return ToolUse(number, name, arguments, cwd, as_json(arguments))


def as_json(arguments: Mapping[str, Any]) -> str:
    """Arguments as text, keys sorted; what JSON cannot say is said by `str`."""
    text: str = json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)
    return text


def source_of(name: str, arguments: Mapping[str, Any], status: ReturnStatus = ReturnStatus.OK) -> str:
    """The line that names a result's page: the tool, its arguments, and how the call ended if not well."""
    return _source(name, as_json(arguments), status)


def _source(name: str, arguments: str, status: ReturnStatus) -> str:
    """The status comes before the arguments, which a frame may cut off."""
    return f"{name}{'' if status is ReturnStatus.OK else f' ({status})'} {arguments}"


def _new_call(session_id: str, name: str, arguments: str, taped: Taped | None, tape: Tape) -> NewToolCall:
    """The error for a call that may not run: why it is not on the tape, and what comes nearest to it."""
    near = None if taped is not None else tape.nearest(name, arguments)
    if taped is not None:
        why = f"its result in {taped.stream} (version {taped.version}) was erased, or is in another journal"
    elif recorded := tape.recorded(name, arguments):
        why = f"the parent recorded {recorded} result{'s' if recorded > 1 else ''} of it, which were served"
    elif near is None:
        why = "the parent recorded no result of it after the fork, and no other call"
    else:
        why = f"the parent recorded no result of it after the fork; {near}"
    call = f"{name} {arguments if len(arguments) <= PREVIEW_CHARS else arguments[:PREVIEW_CHARS] + '…'}"
    error = NewToolCall(visible(f"session {session_id}: {call}: not on the tape: {why}"), hint=ALLOW)
    if near is not None:
        error.nearest, error.difference = near.call, near.difference
    return error
