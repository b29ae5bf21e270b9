"""Events of model calls: those of a span, those that an attribute lists, and records of logs.

| event | content |
|---|---|
| `gen_ai.ROLE.message` | a message of the prompt: attributes, a body, or JSON text in one attribute |
| `gen_ai.choice` | an answer |
| `gen_ai.client.inference.operation.details`, `gen_ai.content.*` | more attributes |

A record of a log belongs to the span that it names. If a file lacks that span, its records are the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.importers.otlp import Log, Span, decoded, listed
from clawvm_es.observe.fields import Fields

_DETAILS: Final = frozenset(
    (
        "gen_ai.client.inference.operation.details",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
    )
)
_INSTRUCTIONS: Final = frozenset(("gen_ai.system.instruction", "gen_ai.system.instructions"))
_CONTENT: Final = "gen_ai.event.content"


def with_logs(spans: Sequence[Span], logs: Iterable[Log]) -> list[Span]:
    """The spans with the events that logs hold, and with the attributes that events hold."""
    told: dict[tuple[str, str], list[Log]] = {}
    for log in sorted(logs, key=lambda log: (log.at_us, log.number)):
        told.setdefault((log.trace, log.span), []).append(log)
    found = [_heard(span, told.pop((span.trace, span.span), [])) for span in spans]
    return [_detailed(span) for span in (*found, *(_heard(_of_logs(rest), rest) for rest in told.values()))]


def _heard(span: Span, logs: Sequence[Log]) -> Span:
    events = ((log.name, log.given) for log in logs)
    return attrs.evolve(span, events=(*span.events, *events)) if logs else span


def _of_logs(logs: Sequence[Log]) -> Span:
    """The call of which a file has only records of logs."""
    first, last = logs[0], logs[-1]
    given = {"gen_ai.operation.name": "chat", **first.given}
    return Span(first.trace, first.span, "", "", first.at_us, last.at_us, given, number=first.number)


def _detailed(span: Span) -> Span:
    details = [_opened(given) for name, given in span.events if name in _DETAILS]
    if not details:
        return span
    return attrs.evolve(
        span, attributes={name: value for given in (*details, span.attributes) for name, value in given.items()}
    )


def of_a_call(event: str) -> bool:
    """Tell whether the name of an event is that of a part of a model call."""
    return event in _DETAILS or bool(_role_of(event))


def _opened(given: Mapping[str, object]) -> Mapping[str, object]:
    """The fields of an event, with those of its body."""
    body = decoded(given.get("body"))
    return {**given, "body": None, **body} if isinstance(body, dict) else given


def events_of(span: Span) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The events that hold messages, as the role (`choice` for an answer) and the message's fields."""
    for name, given in span.events:
        if role := _role_of(name):
            yield role, _fields(role, given)
    for event in listed(span.attributes, "events") or listed(span.attributes, "all_messages_events"):
        told = Fields.of(event)
        if role := _role_of(told.text("event.name") or told.fields("event").text("name")):
            yield role, _fields(role, told.raw)


def _role_of(event: str) -> str:
    """The role that the name of an event means, `choice` for an answer; empty for other events."""
    if event in _INSTRUCTIONS:
        return "system"
    name = event.removeprefix("gen_ai.")
    return (
        name.removesuffix(".message") if event.startswith("gen_ai.") and name.endswith((".message", "choice")) else ""
    )


def _fields(role: str, given: Mapping[str, object]) -> Mapping[str, object]:
    """The fields of an event's message; a text or parts in place of them are its content."""
    found = _opened(given)
    inner = decoded(found.get(_CONTENT, found.get("body")))
    if isinstance(inner, dict):
        found = inner
    elif inner is not None:
        found = {**found, "content": inner}
    if role != "choice":
        return {"role": role, **found}
    message = decoded(found.get("message"))
    if message is None:
        return found
    return {**found, "message": message if isinstance(message, dict) else {"content": message}}
