"""Tool calls at the edge: their facts, their result pages, and stored results that are served again.

| in a fork, a call | outcome |
|---|---|
| on the tape, which the parent ran | served from the tape |
| on the tape, which the parent was served from its log | served from this log if it holds, else from the tape |
| on the tape, but erased | runs if new calls are allowed, else `NewToolCall` |
| whose result is in this log and still holds | served; if new calls are allowed, only if its validator agrees |
| any other | runs if new calls are allowed, else `NewToolCall` |
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.state import Call, Page, State
from clawvm_es.engine.hooks import Call as Given
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.shell import Shell
from clawvm_es.engine.tape import Tape, Taped, tape_of
from clawvm_es.errors import NewToolCall, UsageError
from clawvm_es.journal.lineage import event_at
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, ReturnStatus
from clawvm_es.model.pages import FULL
from clawvm_es.observe.fields import arguments_of
from clawvm_es.observe.signatures import signature_key
from clawvm_es.observe.steps import ToolResult, ToolUse
from clawvm_es.observe.tools import Tool, named, normalised
from clawvm_es.representations.visible import visible

PREVIEW_CHARS: Final = 120
"""Characters of a call's arguments that an error shows."""
_in_order: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode
ALLOW: Final = "fork with allow_new_calls=True to let it run"


@attrs.frozen
class Stored:
    """A recorded result that may be served again: its page, its text, and the event that recorded it."""

    page: Page
    text: str
    version: int


@attrs.frozen
class Played:
    """A result from a fork's tape, and its text."""

    taped: Taped
    text: str


class ToolCalls:
    """Calls and results of one session: their facts, and stored results served in place of a run."""

    def __init__(self, shell: Shell, tools: Mapping[str, Tool], observed: Observed) -> None:
        self._shell = shell
        self._tools = tools
        self._observed = observed
        self._tape: Tape | None = None
        self._is_fork: bool | None = None  # None: not looked yet
        self._begun: set[int] = set()  # recorded calls that this handle runs or ran

    def tool(self, name: str) -> Tool:
        """The declared tool of that name; if there is none, the unknown tool."""
        return named(self._tools, name)

    def of(self, state: State, call: int | str) -> int:
        """The number of a recorded call, given that number or the harness's id of the call.

        Of several calls with one id: the newest without a result, else the newest. Raises `UsageError` for an unknown
        call.
        """
        if isinstance(call, int):
            if call not in state.calls:
                raise self._unknown(state, f"call {call}")
            return call
        known = self._observed.at(state).known.call_ids.get(self._shell.edge.text(call), ())
        waiting = [number for number in known if state.calls[number].returned is None]
        if not known:
            raise self._unknown(state, f"call id {call!r}")
        return (waiting or known)[-1]

    def open(self, state: State, call: int) -> None:
        """Raise `UsageError` if a call already has its result."""
        made = state.calls[call]
        if made.returned is not None:
            page = f" (page {made.page_id})" if made.page_id else ""
            raise UsageError(
                f"session {self._shell.session_id}: call {call} of {made.tool} has a result already{page}",
                hint="a result that is delivered again needs the key of the first delivery",
            )

    def _unknown(self, state: State, what: str) -> UsageError:
        open_calls = sorted(self._observed.at(state).known.calls)
        listed = ", ".join(map(str, open_calls)) or "none"
        return UsageError(
            f"session {self._shell.session_id}: there is no {what}; calls without a result: {listed}",
            hint="record the answer that made it with observe_model first",
        )

    def joined(self, state: State, name: str, arguments: Mapping[str, Any], call: int | str | None) -> int | None:
        """Find the recorded call to run: the named one, else an equal call of the newest answer.

        None for a new call. Raises `UsageError` if the named call is unknown, differs, or already has its result.
        """
        if call is not None:
            number = self.of(state, call)
            self.open(state, number)
            if not self._says(state, number, name, arguments):
                raise UsageError(
                    f"session {self._shell.session_id}: call {number} has another tool or other arguments",
                    hint="pass those that observe_model was given; a call of your own needs no call=",
                )
            return number
        known = self._observed.at(state).known
        for number, made in sorted(known.calls.items()):
            newest = made.group == known.groups
            if newest and number not in self._begun and self._says(state, number, name, arguments):
                return number
        return None

    def begun(self, number: int) -> None:
        """Note that this handle is running a call."""
        self._begun.add(number)

    def _says(self, state: State, number: int, name: str, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a recorded call has this tool and these arguments."""
        edge, called = self._shell.edge, self._called(state, number)
        said = called.tool if called.name is None else edge.open(called.name)
        return said == edge.clean(name) and same_arguments(
            edge.clean(as_json(arguments)), edge.open(called.arguments)
        )

    def _called(self, state: State, number: int) -> e.ToolCalled:
        row = event_at(self._shell.log, self._shell.session_id, state.calls[number].version)
        assert isinstance(row.data, e.ToolCalled)
        return row.data

    def called(
        self, state: State, name: str, arguments: Mapping[str, Any], found: Stored | Played | None = None
    ) -> e.ToolCalled:
        """The facts of a call; with `found`, of a call served from a recorded result."""
        (called,) = self._observed.at(state).calls([_use(len(state.calls) + 1, name, arguments)])
        if isinstance(found, Stored):
            need = Need((Holder(found.page.page_id),), NeedRule.REPEATED_READ, found.page.full_tokens)
            return replace(called, needs=(*called.needs, need), served_from=found.version)
        if isinstance(found, Played):
            taped = found.taped
            return replace(called, served_from=taped.version, served_by=taped.stream, served_status=taped.status)
        return called

    def validator(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Return a fingerprint of what a call reads, as of now; None if the tool cannot tell.

        A fork that runs nothing uses the fingerprints that its parent recorded.
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
        self,
        state: State,
        name: str,
        arguments: Mapping[str, Any],
        validator: str | None,
        runs: bool,
        joined: int | None = None,
    ) -> Stored | Played | None:
        """Return the recorded result to serve in place of a run; None if the caller is to run the call.

        `joined` is the number of a call that is already recorded. Raises `NewToolCall` in a fork that may not run it,
        `UsageError` if there is nothing to serve and the caller has nothing to run.
        """
        tape = self._taped()
        found: Stored | Played | None
        if tape is None:
            found = self.stored(state, name, arguments, validator)
        else:
            found = self._of_fork(tape, state, name, arguments, validator, joined)
        if found is None and not runs:
            raise UsageError(f"tool {name!r} has nothing to run", hint="declare it with run=, or pass run=")
        return found

    def _of_fork(
        self,
        tape: Tape,
        state: State,
        name: str,
        arguments: Mapping[str, Any],
        validator: str | None,
        joined: int | None,
    ) -> Stored | Played | None:
        """Return the result that a fork serves, by the table above."""
        edge = self._shell.edge
        kept = edge.clean(as_json(arguments))
        taped = tape.next(name, kept, state.version, None if joined is None else state.calls[joined].version)
        if taped is None or taped.again:
            if taped is None and tape.allows_new_calls:
                stored = self.stored(state, name, arguments, validator)
            else:
                stored = self._held(tape, state, name, kept)
            if stored is not None:
                return stored
        if taped is not None and (text := edge.open(taped.result)) is not None:
            return Played(taped, text)
        if tape.allows_new_calls:
            return None
        raise _new_call(self._shell.session_id, name, kept, taped, tape)

    def _taped(self) -> Tape | None:
        """The session's tape; None if the session is not a fork."""
        if self._is_fork is None:
            open_ = self._shell.edge.open
            ignores = lambda name: self.tool(name).ignores  # noqa: E731
            self._tape = tape_of(self._shell.log, self._shell.session_id, open_, ignores)
            self._is_fork = self._tape is not None
        return self._tape

    def _held(self, tape: Tape, state: State, name: str, arguments: str) -> Stored | None:
        """The newest result of the same call in this session's log that nothing has invalidated."""
        wanted = tape.key(name, arguments)
        for number in sorted(state.results.values(), reverse=True):
            call = state.calls[number]
            if call.tool not in (name, e.UNKNOWN_TOOL) or call.page_id is None or not state.holds(call):
                continue
            if tape.key_of(self._called(state, number)) == wanted:
                return self._stored(state, call)
        return None

    def stored(self, state: State, name: str, arguments: Mapping[str, Any], validator: str | None) -> Stored | None:
        """The recorded result of the same call, if nothing it read was written and its validator agrees."""
        tool = self.tool(name)
        if not tool.deterministic or validator is None:
            return None
        key = signature_key(name, normalised(tool, _use(0, name, arguments)))
        ordinal = self._shell.edge.signatures.get(key)
        earlier = state.valid_call(ordinal)
        if earlier is None:
            return None
        assert earlier.returned is not None, "only calls with results are known by their signatures"
        agrees = self._shell.edge.open(earlier.returned.validator) == validator
        return self._stored(state, earlier) if agrees else None

    def _stored(self, state: State, call: Call) -> Stored | None:
        """The result of a call and its page, if both still exist and the call did not end again, in another way."""
        assert call.returned is not None, "it is the call of a result"
        if call.page_id is None or call.returned.status is not ReturnStatus.OK:
            return None
        page = state.pages[call.page_id]
        text = self._shell.edge.open(call.returned.result or page.bodies[FULL])
        return Stored(page, text, call.returned.version) if text is not None and state.holdable(page) else None

    def source(self, state: State, call: int, status: ReturnStatus) -> str:
        """The source line of a result's page, from the recorded call; empty if there is no such call yet."""
        made = state.calls.get(call)
        if made is None:
            return ""
        called, open_ = self._called(state, call), self._shell.edge.open
        name = called.tool if called.name is None else open_(called.name)
        return _source(name or made.tool, open_(called.arguments) or "", status)

    def returned(
        self,
        state: State,
        call: int,
        text: str,
        status: ReturnStatus,
        validator: str | None = None,
        source: str = "",
        native: str = "",
    ) -> list[e.Input]:
        """The facts of a result, and its page."""
        result = ToolResult(call, text, status, source=source, validator=validator, native=native)
        return self._observed.at(state).result(result)

    def served(self, state: State, call: int, found: Stored | Played | None, validator: str | None) -> list[e.Input]:
        """The facts of serving a recorded call: its result and its page; none if the call has to run."""
        if found is None:
            return []
        status = found.taped.status if isinstance(found, Played) else ReturnStatus.OK
        return self.returned(state, call, found.text, status, validator, self.source(state, call, status))

    def played(self, state: State, called: e.ToolCalled, found: Played, source: str) -> e.PageWritten:
        """The page of a result served from the tape."""
        result = ToolResult(called.call, found.text, found.taped.status, source=source)
        return self._observed.at(state).evidence(result, called)


def use_of(number: int, call: Given) -> ToolUse:
    """A call as a step, made in the harness's working directory.

    Text arguments that are a JSON object are kept as they are; any other text becomes the argument `input`.
    """
    if not isinstance(call.args, str):
        return _use(number, call.name, call.args, call.id)
    arguments = arguments_of(call.args)
    is_object = call.args.lstrip().startswith("{") and arguments != {"input": call.args}
    use = _use(number, call.name, arguments, call.id)
    return attrs.evolve(use, text=call.args) if is_object else use


def _use(number: int, name: str, arguments: Mapping[str, Any], call_id: str = "") -> ToolUse:
    try:
        cwd = os.getcwd()
    except OSError:  # it was removed
        cwd = ""
    text = as_json(arguments)  # refuses what holds itself
    return ToolUse(number, name, _as_read(arguments), cwd, text, call_id)


def _as_read(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments as they will be read back: tuples are lists."""
    layer: list[object] = list(arguments.values())
    while layer:
        node = layer.pop()
        if isinstance(node, tuple):
            return {name: _lists(value) for name, value in arguments.items()}
        layer.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
    return arguments


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


def same_arguments(one: str, other: str | None) -> bool:
    """Tell whether two texts are the same arguments: equal JSON values, else equal texts."""
    if one == other or other is None:
        return one == other
    try:
        return json.dumps(json.loads(one), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)
    except (ValueError, RecursionError):
        return False


def as_json(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON text with sorted keys; `str` converts values that JSON cannot hold."""
    return _in_order(arguments)


def source_of(name: str, arguments: Mapping[str, Any], status: ReturnStatus = ReturnStatus.OK) -> str:
    """The source line of a result's page: the tool, its arguments, and the status unless it is ok."""
    return _source(name, as_json(arguments), status)


def _source(name: str, arguments: str, status: ReturnStatus) -> str:
    """Make the source line. The status comes before the arguments, which a frame may cut off."""
    return f"{name}{'' if status is ReturnStatus.OK else f' ({status})'} {arguments}"


def _new_call(session_id: str, name: str, arguments: str, taped: Taped | None, tape: Tape) -> NewToolCall:
    """The error for a call that may not run: why it is not on the tape, and the nearest call that is."""
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
