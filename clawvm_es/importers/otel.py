"""OpenTelemetry spans of model calls (OTLP/JSON, and plain lists of spans), as Phoenix, Langfuse and Logfire export.

A span of a model call holds its prompt and its answer, by the GenAI conventions or those of OpenInference. Spans
of one conversation form one session, in order of their start times. An agent that runs inside another is a session
of its own, and so is a trace without a conversation. Line numbers count messages from 1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.document import read_document
from clawvm_es.importers.format import Format, Growth
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.otel_events import events_of, of_a_call, with_logs
from clawvm_es.importers.otel_messages import messages_of, system_of
from clawvm_es.importers.otlp import Log, Span, is_span, listed, logs_in, spans_in
from clawvm_es.importers.prompts import Conversation, Message, Told
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import read_lines
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Usage
from clawvm_es.observe.told import finish_of

NAME: Final = "otel"

_CONVERSATION: Final = ("gen_ai.conversation.id", "session.id", "langfuse.session.id", "langfuse.sessionId")
_INPUTS: Final = ("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "ai.prompt.messages")
_OUTPUTS: Final = ("gen_ai.output.messages", "llm.output_messages", "gen_ai.completion")
_CALLS: Final = frozenset(("chat", "completion", "generate_content", "text_completion"))
_CALLED: Final = (".doGenerate", ".doStream")
"""Ends of the names that Vercel's AI SDK gives to calls."""
_RESULTS: Final = ("gen_ai.tool.call.result", "output.value", "tool_response", "ai.toolCall.result")
_PLAIN_ID: Final = re.compile(r"[\w.:@+-]{1,200}")


@attrs.define
class _Thread:
    """The calls of one agent, in order, and the results that tool spans hold."""

    calls: list[Span] = attrs.field(factory=list)
    results: list[Span] = attrs.field(factory=list)
    skipped: Skips = attrs.field(factory=Skips)


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file. Raises `UnreadableInput` if it is damaged, or has no span of a model call."""
    spans, skipped = _spans(data, name)
    threads = _threads(spans)
    found = {key: thread for key, thread in threads.items() if thread.calls}
    if not found:
        raise UnreadableInput(f"{name}: holds no spans of model calls", hint="export spans that follow gen_ai or llm")
    mains = {session for session, agent in found if not agent}
    made: list[Recording] = []
    for (session, agent), thread in sorted(found.items(), key=lambda each: bool(each[0][1])):
        talk = _conversation(thread)
        talk.into.skipped.update(thread.skipped)
        if not made:
            _count_rest(talk, threads, skipped)
        session_id = f"{session}/agent-{agent}" if agent else session
        linked_to = session if agent and session in mains else None
        made.append(talk.into.recording(session_id, NAME, name, linked_to=linked_to))
    return tuple(made)


def _count_rest(talk: Conversation, threads: Mapping[tuple[str, str], _Thread], skipped: Skips) -> None:
    """Count what belongs to no session: lines that are no spans, and spans of conversations without a call."""
    talk.into.skipped.update(skipped)
    for thread in threads.values():
        if not thread.calls:
            talk.into.skipped.update(thread.skipped)
            talk.into.skip(Skip.OTHER_SPAN, len(thread.results))


def _spans(data: bytes, name: str) -> tuple[list[Span], Skips]:
    skipped = Skips()
    try:
        values: list[object] = [read_document(data, name)]
    except UnreadableInput:
        records, skipped = read_lines(data)
        values = [record.data.raw for record in records]
        if not any(map(_is_session, values)):
            raise
    spans: list[Span] = []
    logs: list[Log] = []
    for value in values:
        found, told = list(spans_in(value, len(spans))), list(logs_in(value, len(logs)))
        skipped.add(Skip.MALFORMED_RECORD, times=1) if not (found or told or _is_session(value)) else None
        spans.extend(found)
        logs.extend(told)
    mine = [log for log in logs if of_a_call(log.name)]
    skipped.add(Skip.OTHER_SPAN, times=len(logs) - len(mine)) if len(mine) < len(logs) else None
    return with_logs(spans, mine), skipped


# ------------------------------------------------------------------------------------- spans → conversations


def _threads(spans: Sequence[Span]) -> dict[tuple[str, str], _Thread]:
    """(session, innermost agent that runs inside another) → its calls and results, in order."""
    by_id = {(span.trace, span.span): span for span in spans}
    named = {span.trace: found for span in reversed(spans) if (found := span.text(*_CONVERSATION))}
    threads: dict[tuple[str, str], _Thread] = {}
    for span in sorted(spans, key=lambda each: (each.began_us, each.number)):
        above = _above(span, by_id)
        session = next((found for each in (span, *above) if (found := each.text(*_CONVERSATION))), "")
        agents = [each.span for each in above if _is_agent(each)]
        key = (_session_id(session or named.get(span.trace, ""), span), agents[0] if len(agents) > 1 else "")
        thread = threads.setdefault(key, _Thread())
        if _is_call(span) and not any(map(_is_call, above)):
            thread.calls.append(span)
        elif _is_tool(span):
            thread.results.append(span)
        else:
            mirrored = _is_call(span) or _is_agent(span)
            thread.skipped.add(Skip.MIRRORED if mirrored else Skip.OTHER_SPAN)
    return threads


def _above(span: Span, by_id: Mapping[tuple[str, str], Span]) -> list[Span]:
    """The enclosing spans of a span, innermost first."""
    found: list[Span] = []
    parent = by_id.get((span.trace, span.parent))
    while parent is not None and parent not in found and parent is not span:
        found.append(parent)
        parent = by_id.get((parent.trace, parent.parent))
    return found


def _session_id(conversation: str, span: Span) -> str:
    if conversation:
        return conversation if _PLAIN_ID.fullmatch(conversation) else content_id("otel", conversation)
    return f"trace-{span.trace}" if _PLAIN_ID.fullmatch(span.trace) else content_id("otel", span.trace)


def _kind(span: Span) -> str:
    return span.text("openinference.span.kind").upper()


def _operation(span: Span) -> str:
    return span.text("gen_ai.operation.name", "llm.request.type", "ai.operationId")


def _is_agent(span: Span) -> bool:
    return _kind(span) == "AGENT" or _operation(span) == "invoke_agent"


def _is_tool(span: Span) -> bool:
    return _kind(span) == "TOOL" or _operation(span) in ("execute_tool", "ai.toolCall")


def _is_call(span: Span) -> bool:
    kind, operation = _kind(span), _operation(span)
    if kind or operation:
        return kind == "LLM" or (not kind and (operation in _CALLS or operation.endswith(_CALLED)))
    return any(name.startswith(("gen_ai.input.messages", "gen_ai.prompt.", "llm.input_")) for name in span.attributes)


# ------------------------------------------------------------------------------------ conversations → steps


def _conversation(thread: _Thread) -> Conversation:
    talk = Conversation()
    asked: set[str] = set()
    failed = {_result(span).call_id for span in thread.results if _result(span).status is ReturnStatus.ERROR}
    for span in thread.calls:
        prompt, answer = [_with_status(message, failed) for message in _prompt(span)], _answer(span)
        talk.prompted(prompt, span.began_us)
        talk.answered(answer, _told(span))
        asked.update(use.call_id for use in answer.uses)
        asked.difference_update(message.call_id for message in prompt if message.role == "tool")
    for span in thread.results:
        result = _result(span)
        if result.call_id in asked:
            talk.finish([result], span.ended_us)
            asked.discard(result.call_id)
        else:
            talk.into.skip(Skip.MIRRORED)
    return talk


def _with_status(message: Message, failed: Collection[str]) -> Message:
    """A result in a prompt, with the status of the tool's own span, which alone holds a failure."""
    if message.role == "tool" and message.call_id and message.call_id in failed:
        return attrs.evolve(message, status=ReturnStatus.ERROR)
    return message


def _prompt(span: Span) -> list[Message]:
    """The prompt of a call, from the first attribute or event that holds one."""
    system = system_of(span.attributes.get("gen_ai.system_instructions"))
    for name in _INPUTS:
        if found := messages_of(_inner(span, name), "user"):
            return [*system, *found]
    told = [given for role, given in events_of(span) if role != "choice"]
    request = Fields.of(next(iter(listed(span.attributes, "request_data")), None))
    other = _inner(span, "langfuse.observation.input", "input.value")
    return [
        *system,
        *(
            messages_of(told)
            or messages_of(each.raw for each in request.objects("messages"))
            or messages_of(other, "user")
        ),
    ]


def _answer(span: Span) -> Message:
    """The answer of a call: its first choice."""
    choices = [Fields(given) for role, given in events_of(span) if role == "choice"]
    told = [(each.fields("message") or each).raw for each in choices]
    response = Fields.of(next(iter(listed(span.attributes, "response_data")), None))
    spoken = {"content": span.text("ai.response.text"), "tool_calls": span.attributes.get("ai.response.toolCalls")}
    places: tuple[Sequence[object], ...] = (
        *(_inner(span, name)[:1] for name in _OUTPUTS),
        told[:1],
        [response.fields("message").raw] if response.fields("message") else [],
        [spoken] if any(spoken.values()) else [],
        _inner(span, "langfuse.observation.output", "output.value")[:1],
    )
    for values in places:
        found = [message for message in messages_of(values, "assistant") if message.role != "tool"]
        if found:
            return attrs.evolve(found[0], role="assistant")
    return Message("assistant")


def _inner(span: Span, *names: str) -> list[object]:
    """The messages in an attribute that holds JSON or a text."""
    for name in names:
        values = listed(span.attributes, name) or [span.text(name)]
        first = Fields.of(values[0])
        for inner in ("messages", "choices"):
            if first.is_list(inner):
                return [each.raw for each in first.objects(inner)]
        if any(values):
            return [value if isinstance(value, dict) else {"content": value} for value in values]
    return []


def _result(span: Span) -> Message:
    """The result in a span of a tool."""
    told = next((given for role, given in events_of(span) if role == "tool"), {})
    given = Fields(told)
    text = span.text(*_RESULTS) or given.text("content")
    call_id = span.text("gen_ai.tool.call.id", "tool_call.id", "tool.id", "ai.toolCall.id") or given.ident("id")
    failed = "error.type" in span.attributes
    return Message("tool", text, call_id=call_id, status=ReturnStatus.ERROR if failed else ReturnStatus.OK)


def _told(span: Span) -> Told:
    outputs = Fields.of(next(iter(listed(span.attributes, "gen_ai.output.messages")), None))
    choices = [Fields(given) for role, given in events_of(span) if role == "choice"]
    reasons = [
        *Fields(span.attributes).texts("gen_ai.response.finish_reasons"),
        span.text("gen_ai.completion.0.finish_reason", "llm.finish_reason", "ai.response.finishReason"),
        outputs.text("finish_reason"),
        *(each.text("finish_reason") for each in choices),
    ]
    reason = next((each for each in reasons if each), "")
    return Told(
        usage=_usage(span),
        model=span.text("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "ai.model.id"),
        provider=span.text(
            "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"
        ),
        finish=finish_of(reason),
        began_us=span.began_us,
        at_us=span.ended_us,
    )


def _usage(span: Span) -> Usage:
    used, counted, vercel = "gen_ai.usage", "llm.token_count", "ai.usage"
    return Usage(
        span.count(
            f"{used}.input_tokens",
            f"{used}.prompt_tokens",
            f"{counted}.prompt",
            f"{vercel}.inputTokens",
            f"{vercel}.promptTokens",
        ),
        span.count(
            f"{used}.cache_read.input_tokens",
            f"{used}.cache_read_input_tokens",
            f"{used}.details.cache_read_tokens",
            f"{counted}.prompt_details.cache_read",
            f"{vercel}.cachedInputTokens",
        ),
        span.count(
            f"{used}.output_tokens",
            f"{used}.completion_tokens",
            f"{counted}.completion",
            f"{vercel}.outputTokens",
            f"{vercel}.completionTokens",
        ),
        span.count(
            f"{used}.cache_creation.input_tokens",
            f"{used}.cache_creation_input_tokens",
            f"{used}.details.cache_write_tokens",
            f"{counted}.prompt_details.cache_write",
        ),
        span.count(
            f"{used}.reasoning.output_tokens",
            f"{used}.details.reasoning_tokens",
            f"{counted}.completion_details.reasoning",
            f"{vercel}.reasoningTokens",
        ),
    )


def _is_session(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and _is_session(value[0])
    given = Fields.of(value)
    if is_span(given):
        return "attributes" in given
    inner = next((each for name in ("spans", "data") for each in given.objects(name)), Fields())
    return any(
        given.is_list(name) for name in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")
    ) or (is_span(inner) and "attributes" in inner)


FORMAT: Final = Format(NAME, parse, tools="otel", is_session=_is_session, growth=Growth.UNORDERED)
