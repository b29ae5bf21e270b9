"""A session as OpenTelemetry spans: one agent, its model calls and its tools, by the GenAI semantic conventions.

| span | name | holds |
|---|---|---|
| the session | `invoke_agent` | its id, its boundaries as events |
| a model call | `chat MODEL` | model, provider, finish reason, tokens; the prompt as the harness told it, answer |
| a tool call | `execute_tool TOOL` | name, id, arguments, result, failure |

Conventions: opentelemetry.io, semantic-conventions 1.37 (GenAI), messages as JSON text. Each line is one OTLP/JSON
request. A call holds its whole prompt, as the conventions say, so the size grows with the square of the session's.

LAW-OTLP-1: ids are digests of the session's id and the place of an event, so the same session gives the same bytes.
LAW-OTLP-2: our own importer of spans reads back the same answers, calls, results and usage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Finish, ReturnStatus
from clawvm_es.model.pages import Author, OriginKind, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.observe.learned import SYSTEM

_CLIENT, _INTERNAL = 3, 1
_ERROR: Final = 2
_PROVIDERS: Final = (("claude", "anthropic"), ("gpt", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"))
_FINISH: Final = MappingProxyType({Finish.STOP: "stop", Finish.TOOL_CALLS: "tool_call", Finish.LENGTH: "length"})
_CUTS: Final = (Boundary.COMPACT, Boundary.RESET)


@attrs.define
class _Message:
    """A message of the context: a text of one page, an answer with its calls, or the result of a call."""

    role: str
    parts: list[dict[str, Any]] = attrs.field(factory=list)


@attrs.define
class _Answer:
    """A model call: when it began and ended, its prompt, and what it said."""

    version: int
    began_us: int
    prompt: list[_Message]
    system: list[str]
    message: _Message = attrs.field(factory=lambda: _Message("assistant"))
    ended_us: int = 0
    model: str = ""
    provider: str = ""
    finish: Finish | None = None
    usage: dict[str, int] = attrs.field(factory=dict)


@attrs.define
class _Call:
    """A tool call that has not returned yet."""

    version: int
    began_us: int
    name: str
    call_id: str
    arguments: str


def export_spans(log: EventLog, session_id: str, *, texts: bool = True) -> Iterator[bytes]:
    """The lines of a session's spans, each an OTLP/JSON request; without `texts` they hold no text of the session.

    Raises `UsageError` if there is no such session.
    """
    if not lineage(log, session_id):
        raise UsageError(f"there is no session {session_id}")
    yield from _Export(log, session_id, texts).lines()


class _Export:
    """The context of a session while its events are read, and the spans that they end."""

    def __init__(self, log: EventLog, session_id: str, texts: bool) -> None:
        self.log, self.session_id, self.texts = log, session_id, texts
        self.trace = hashlib.sha256(f"clawvm trace\0{session_id}".encode()).hexdigest()[:32]
        self.root = self._id(0)
        self.open: Callable[[str], bytes | None] = log.vault(session_id).open
        self.system: dict[str, str] = {}
        self.context: dict[object, _Message] = {}  # by page, by ("call", n), by ("answer", group)
        self.away: dict[object, None] = {}
        self.keys: dict[str, object] = {}  # page → its message
        self.models: dict[int, str] = {}
        self.calls: dict[int, _Call] = {}
        self.answer: _Answer | None = None
        self.boundaries: list[dict[str, Any]] = []
        self.format = ""

    def lines(self) -> Iterator[bytes]:
        """All spans, that of the session last."""
        first = last = 0
        for row in read_session(self.log, self.session_id):
            first, last = first or row.at_us, max(last, row.at_us)
            for span in self._spans(row):
                yield self._line(span)
        if self.answer is not None:
            yield self._line(self._chat(self.answer))
        told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.format or "agent"}
        whole = self._span(0, "invoke_agent", _INTERNAL, first, last, told, parent=None)
        yield self._line({**whole, "events": self.boundaries})

    def _spans(self, row: Recorded) -> Iterator[dict[str, Any]]:
        data = row.data
        if isinstance(data, e.SessionOpened):
            self.format = data.format
        elif isinstance(data, e.TurnBegan):
            if self.answer is not None:
                yield self._chat(self.answer)
            self.answer = _Answer(row.version, row.at_us, self._prompt(), list(self.system.values()))
        elif isinstance(data, e.ModelResponded):
            self._responded(row, data)
        elif isinstance(data, e.ToolCalled):
            self._called(row, data)
        elif isinstance(data, e.ToolReturned):
            yield from self._returned(row, data)
        elif isinstance(data, e.PageWritten):
            self._written(data)
        elif isinstance(data, e.BoundaryReached):
            self._boundary(row, data)

    # ------------------------------------------------------------------------------------- the context

    def _prompt(self) -> list[_Message]:
        """The messages that stand in the context: a call goes with its result, an answer that is empty then, too."""
        gone = {part["id"] for key in self.away for part in self._parts(key) if part["type"] == "tool_call_response"}
        found: list[_Message] = []
        for key, message in self.context.items():
            parts = [part for part in message.parts if part["type"] != "tool_call" or part["id"] not in gone]
            if parts and key not in self.away:
                found.append(_Message(message.role, parts))
        return found

    def _parts(self, key: object) -> list[dict[str, Any]]:
        return self.context[key].parts if key in self.context else []

    def _responded(self, row: Recorded, data: e.ModelResponded) -> None:
        answer = self.answer
        if answer is None:
            answer = self.answer = _Answer(row.version, row.at_us, [], list(self.system.values()))
        if data.model is not None and data.model_name is not None:
            self.models[data.model] = self._text(data.model_name)
        answer.ended_us = row.at_us
        answer.model = self.models.get(data.model or 0, "") or answer.model
        answer.provider = self._text(data.provider) or answer.provider
        answer.finish = data.finish or answer.finish
        for name, count in (
            ("input_tokens", data.input_tokens),
            ("output_tokens", data.output_tokens),
            ("cache_read.input_tokens", data.cached_tokens),
            ("cache_creation.input_tokens", data.written_tokens),
            ("reasoning.output_tokens", data.thinking_tokens),
        ):
            if count:
                answer.usage[name] = answer.usage.get(name, 0) + count
        if data.thinking is not None:
            answer.message.parts.append({"type": "reasoning", "content": self._text(data.thinking)})
        self.context[("answer", row.version)] = answer.message

    def _called(self, row: Recorded, data: e.ToolCalled) -> None:
        name = self._text(data.name) or data.tool
        call_id = self._text(data.call_id) or f"call_{data.call}"
        arguments = self._text(data.arguments)
        self.calls[data.call] = _Call(row.version, row.at_us, name, call_id, arguments)
        if self.answer is not None:
            part = {"type": "tool_call", "id": call_id, "name": name, "arguments": _json(arguments)}
            self.answer.message.parts.append(part)

    def _returned(self, row: Recorded, data: e.ToolReturned) -> Iterator[dict[str, Any]]:
        call = self.calls.pop(data.call, None)
        result = self._text(data.result)
        if call is None:
            return
        part = {"type": "tool_call_response", "id": call.call_id, "response": result}
        self.context[("call", data.call)] = _Message("tool", [part])
        told: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.call_id,
            "gen_ai.tool.type": "function",
        }
        if self.texts:
            told |= {"gen_ai.tool.call.arguments": call.arguments, "gen_ai.tool.call.result": result}
        failed = data.status is not ReturnStatus.OK
        if failed:
            told["error.type"] = str(data.status)
        name = f"execute_tool {call.name}"
        yield self._span(call.version, name, _INTERNAL, call.began_us, row.at_us, told, failed=failed)

    def _written(self, data: e.PageWritten) -> None:
        """A page enters the context; those that a result or a system message stands for are in it already."""
        text = self._text(data.levels[0].body)
        source = self._text(data.source) if data.author is Author.HARNESS else ""
        if source == SYSTEM:
            if data.page_type is PageType.BOOTSTRAP:
                self.system[data.page_id] = text
            return
        if data.origin.kind is OriginKind.TOOL_CALL and data.origin.call is not None:
            self.keys[data.page_id] = ("call", data.origin.call)
        elif data.page_type is PageType.CONVERSATION and data.author is Author.MODEL and self.answer is not None:
            self.answer.message.parts.insert(_before_calls(self.answer.message), {"type": "text", "content": text})
            self.keys[data.page_id] = next(
                (key for key, each in self.context.items() if each is self.answer.message), data.page_id
            )
        elif data.page_type is not PageType.CONSTRAINT:
            self.keys[data.page_id] = data.page_id
            self.context.pop(data.page_id, None)
            self.context[data.page_id] = _Message("user", [{"type": "text", "content": text}])
        self.away.pop(self.keys.get(data.page_id), None)

    def _boundary(self, row: Recorded, data: e.BoundaryReached) -> None:
        told = {"clawvm.boundary": str(data.boundary), **({"clawvm.cut": str(data.cut)} if data.cut else {})}
        event = {"name": "clawvm.boundary", "timeUnixNano": str(row.at_us * 1000), "attributes": _attributes(told)}
        self.boundaries.append(event)
        if data.left or data.returned or data.cut is not None:
            self.away.update(dict.fromkeys(self.keys[page] for page in data.left if page in self.keys))
            if data.boundary in _CUTS:  # answers that said nothing but calls go with the results
                kept = {self.keys[page] for page in data.returned if page in self.keys}
                standing = {self.keys[page] for page in self.keys if page not in data.left} | kept
                self.away.update(dict.fromkeys(key for key in self.context if key not in standing))
            for page in data.returned:
                self.away.pop(self.keys.get(page), None)
        elif data.boundary in _CUTS:
            self.away.update(dict.fromkeys(self.context))

    # ---------------------------------------------------------------------------------------- the spans

    def _chat(self, answer: _Answer) -> dict[str, Any]:
        told: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": self._provider(answer)}
        if answer.model:
            told |= {"gen_ai.request.model": answer.model, "gen_ai.response.model": answer.model}
        told |= {f"gen_ai.usage.{name}": count for name, count in sorted(answer.usage.items())}
        finish = _FINISH.get(answer.finish, str(answer.finish)) if answer.finish else "stop"
        if answer.finish:
            told["gen_ai.response.finish_reasons"] = [finish]
        if self.texts:
            system = [{"type": "text", "content": text} for text in answer.system]
            told |= {"gen_ai.system_instructions": _dumped(system)} if system else {}
            prompt = [{"role": each.role, "parts": each.parts} for each in answer.prompt]
            told["gen_ai.input.messages"] = _dumped(prompt)
            said = {"role": "assistant", "parts": answer.message.parts, "finish_reason": finish}
            told["gen_ai.output.messages"] = _dumped([said])
        ended = max(answer.ended_us, answer.began_us)
        name = f"chat {answer.model}".strip()
        return self._span(answer.version, name, _CLIENT, answer.began_us, ended, told)

    def _provider(self, answer: _Answer) -> str:
        """The provider's name: as it was told, else by the model's."""
        guess = next((name for start, name in _PROVIDERS if answer.model.startswith(start)), "")
        return answer.provider or guess or "unknown"

    def _span(
        self,
        version: int,
        name: str,
        kind: int,
        began_us: int,
        ended_us: int,
        told: Mapping[str, Any],
        *,
        parent: str | None = "",
        failed: bool = False,
    ) -> dict[str, Any]:
        above = {} if parent is None else {"parentSpanId": self.root}
        return {
            "traceId": self.trace,
            "spanId": self._id(version),
            **above,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(began_us * 1000),
            "endTimeUnixNano": str(max(began_us, ended_us) * 1000),
            "attributes": _attributes({**told, "gen_ai.conversation.id": self.session_id}),
            **({"status": {"code": _ERROR}} if failed else {}),
        }

    def _line(self, span: Mapping[str, Any]) -> bytes:
        scope = {"scope": {"name": "clawvm"}, "spans": [span]}
        resource = {"attributes": _attributes({"service.name": "clawvm"})}
        return (_dumped({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}) + "\n").encode()

    def _id(self, version: int) -> str:
        return hashlib.sha256(f"clawvm span\0{self.session_id}\0{version}".encode()).hexdigest()[:16]

    def _text(self, commitment: str | None) -> str:
        """The text behind a commitment, as JSON can hold it; empty where it was erased."""
        body = self.open(commitment) if commitment else None
        return decode(body).encode("utf-8", "replace").decode() if body is not None else ""


def _before_calls(message: _Message) -> int:
    return next((n for n, part in enumerate(message.parts) if part["type"] == "tool_call"), len(message.parts))


def _json(text: str) -> Any:
    """The JSON value that arguments are; the text itself where they are none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _attributes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in told.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": value}
