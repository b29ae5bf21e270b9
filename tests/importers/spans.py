"""One conversation as spans of every instrumentation that is read, for the tests of OpenTelemetry exports.

The conversation: rules, a prompt, an answer with a call, its result, a last answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

RULES, ASK, LOOK, FOUND, DONE = "Be brief.", "Weather in Paris?", "I look.", "rainy", "It rains."
CALL_ID, TOOL, ARGUMENTS = "call_1", "get_weather", {"city": "Paris"}
T0 = 1_767_225_600


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP/JSON writes it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": value}


def attributes(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON writes them."""
    return [{"key": name, "value": any_value(value)} for name, value in given.items()]


def span(
    number: int, given: dict[str, Any], *, parent: int = 0, trace: str = "t1", events: Any = (), name: str = "chat m"
) -> dict[str, Any]:
    """A span that begins `number` seconds after the first and lasts two."""
    return {
        "traceId": trace,
        "spanId": f"s{number}",
        **({"parentSpanId": f"s{parent}"} if parent else {}),
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str((T0 + number) * 10**9),
        "endTimeUnixNano": str((T0 + number + 2) * 10**9),
        "attributes": attributes(given),
        "events": [{"name": event, "timeUnixNano": "1", "attributes": attributes(told)} for event, told in events],
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    """An export of spans."""
    resource = {"attributes": attributes({"service.name": "agent"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


# --------------------------------------------------------------------------------------- the instrumentations

_USAGE = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 3}
_GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.model": "m",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.conversation.id": "conversation-1",
    **_USAGE,
}


def _part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


_ASKED = {"role": "user", "parts": [_part("text", content=ASK)]}
_LOOKED = {
    "role": "assistant",
    "parts": [_part("text", content=LOOK), _part("tool_call", id=CALL_ID, name=TOOL, arguments=ARGUMENTS)],
    "finish_reason": "tool_call",
}
_RETURNED = {"role": "tool", "parts": [_part("tool_call_response", id=CALL_ID, response=FOUND)]}
_ANSWERED = {"role": "assistant", "parts": [_part("text", content=DONE)], "finish_reason": "stop"}


def conventions() -> list[dict[str, Any]]:
    """GenAI conventions from 1.37 on, messages as JSON text."""
    system = json.dumps([_part("text", content=RULES)])
    pairs = (([_ASKED], _LOOKED), ([_ASKED, _LOOKED, _RETURNED], _ANSWERED))
    return [
        span(
            number,
            {
                **_GENAI,
                "gen_ai.system_instructions": system,
                "gen_ai.input.messages": json.dumps(prompt),
                "gen_ai.output.messages": json.dumps([answer]),
            },
        )
        for number, (prompt, answer) in enumerate(pairs, 1)
    ]


def structured() -> list[dict[str, Any]]:
    """The same conventions, messages as structured attributes."""
    found = conventions()
    for each in found:
        for attribute in each["attributes"]:
            text = attribute["value"].get("stringValue", "")
            if text.startswith("["):
                attribute["value"] = any_value(json.loads(text))
    return found


_CHAT_CALL = {"id": CALL_ID, "type": "function", "function": {"name": TOOL, "arguments": json.dumps(ARGUMENTS)}}


def events() -> list[dict[str, Any]]:
    """The earlier conventions, a span event for each message."""
    system, user = ("gen_ai.system.message", {"content": RULES}), ("gen_ai.user.message", {"content": ASK})
    looked = {"content": LOOK, "tool_calls": [_CHAT_CALL]}
    back = [("gen_ai.assistant.message", looked), ("gen_ai.tool.message", {"id": CALL_ID, "content": FOUND})]
    choice = {"index": 0, "finish_reason": "stop"}
    return [
        span(1, _GENAI, events=[system, user, ("gen_ai.choice", {**choice, "message": looked})]),
        span(2, _GENAI, events=[system, user, *back, ("gen_ai.choice", {**choice, "message": {"content": DONE}})]),
    ]


def logfire() -> list[dict[str, Any]]:
    """Those events as one attribute, as Logfire's integrations write them."""
    found = []
    for each in events():
        told = [
            {"event.name": event["name"], **{a["key"]: _plain(a["value"]) for a in event["attributes"]}}
            for event in each["events"]
        ]
        each["attributes"] += attributes({"events": json.dumps(told)})
        found.append({**each, "events": []})
    return found


def _plain(value: dict[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_plain(each) for each in value["arrayValue"]["values"]]
    if "kvlistValue" in value:
        return {each["key"]: _plain(each["value"]) for each in value["kvlistValue"]["values"]}
    return next(iter(value.values()))


def openinference() -> list[dict[str, Any]]:
    """OpenInference, as Phoenix's instrumentations write it: flat names with places."""
    base = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.provider": "openai",
        "session.id": "conversation-1",
        "llm.token_count.prompt": 9,
        "llm.token_count.completion": 3,
        "llm.finish_reason": "stop",
    }
    call = "message.tool_calls.0.tool_call"
    looked = {
        "message.role": "assistant",
        "message.content": LOOK,
        f"{call}.id": CALL_ID,
        f"{call}.function.name": TOOL,
        f"{call}.function.arguments": json.dumps(ARGUMENTS),
    }
    system = {"message.role": "system", "message.content": RULES}
    user = {
        "message.role": "user",
        "message.contents.0.message_content.type": "text",
        "message.contents.0.message_content.text": ASK,
    }
    tool = {"message.role": "tool", "message.content": FOUND, "message.tool_call_id": CALL_ID}
    done = {"message.role": "assistant", "message.content": DONE}
    pairs = (([system, user], looked), ([system, user, looked, tool], done))
    return [
        span(
            number,
            {
                **base,
                **{f"llm.input_messages.{n}.{k}": v for n, each in enumerate(prompt) for k, v in each.items()},
                **{f"llm.output_messages.0.{k}": v for k, v in answer.items()},
            },
        )
        for number, (prompt, answer) in enumerate(pairs, 1)
    ]


def openllmetry() -> list[dict[str, Any]]:
    """OpenLLMetry: `gen_ai.prompt.N` and `gen_ai.completion.N`."""
    base = {
        "llm.request.type": "chat",
        "gen_ai.system": "openai",
        "gen_ai.response.model": "m",
        "gen_ai.conversation.id": "conversation-1",
        "gen_ai.usage.prompt_tokens": 9,
        "gen_ai.usage.completion_tokens": 3,
    }
    looked = {
        "role": "assistant",
        "content": LOOK,
        "tool_calls.0.id": CALL_ID,
        "tool_calls.0.name": TOOL,
        "tool_calls.0.arguments": json.dumps(ARGUMENTS),
    }
    system, user = {"role": "system", "content": RULES}, {"role": "user", "content": ASK}
    tool = {"role": "tool", "tool_call_id": CALL_ID, "content": FOUND}
    done = {"role": "assistant", "content": DONE, "finish_reason": "stop"}
    pairs = (([system, user], {**looked, "finish_reason": "stop"}), ([system, user, looked, tool], done))
    return [
        span(
            number,
            {
                **base,
                **{f"gen_ai.prompt.{n}.{k}": v for n, each in enumerate(prompt) for k, v in each.items()},
                **{f"gen_ai.completion.0.{k}": v for k, v in answer.items()},
            },
        )
        for number, (prompt, answer) in enumerate(pairs, 1)
    ]


_CHAT = (
    [{"role": "system", "content": RULES}, {"role": "user", "content": ASK}],
    {"role": "assistant", "content": LOOK, "tool_calls": [_CHAT_CALL]},
    {"role": "tool", "tool_call_id": CALL_ID, "content": FOUND},
    {"role": "assistant", "content": DONE},
)


def _chats(make: Callable[[Any, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    head, looked, tool, done = _CHAT
    pairs = ((head, looked), ([*head, looked, tool], done))
    return [span(n, {**_GENAI, **make(prompt, answer)}) for n, (prompt, answer) in enumerate(pairs, 1)]


def logfire_openai() -> list[dict[str, Any]]:
    """Logfire's instrumentation of the OpenAI client: whole requests and responses."""
    return _chats(
        lambda prompt, answer: {
            "request_data": json.dumps({"model": "m", "messages": prompt}),
            "response_data": json.dumps({"message": answer}),
        }
    )


def langfuse() -> list[dict[str, Any]]:
    """Langfuse's SDK: input and output of an observation."""
    return _chats(
        lambda prompt, answer: {
            "langfuse.observation.input": json.dumps(prompt),
            "langfuse.observation.output": json.dumps(answer),
        }
    )


def vercel() -> list[dict[str, Any]]:
    """The AI SDK: its prompt as JSON text, its answer in parts."""

    def parts(message: dict[str, Any]) -> dict[str, Any]:
        if message["role"] == "tool":
            part = {"type": "tool-result", "toolCallId": CALL_ID, "toolName": TOOL, "output": FOUND}
            return {"role": "tool", "content": [part]}
        if "tool_calls" in message:
            part = {"type": "tool-call", "toolCallId": CALL_ID, "toolName": TOOL, "input": ARGUMENTS}
            return {"role": "assistant", "content": [{"type": "text", "text": LOOK}, part]}
        return message

    def make(prompt: Any, answer: Any) -> dict[str, Any]:
        calls = [{"toolCallId": CALL_ID, "toolName": TOOL, "input": ARGUMENTS}] if "tool_calls" in answer else []
        told = {"ai.response.toolCalls": json.dumps(calls)} if calls else {}
        return {
            "ai.prompt.messages": json.dumps(list(map(parts, prompt))),
            "ai.response.text": answer["content"],
            **told,
        }

    return _chats(make)


def ai_sdk() -> list[dict[str, Any]]:
    """The AI SDK without a name of the operation in the GenAI conventions, results of tools with their type."""
    plain = {"gen_ai.operation.name", "gen_ai.response.finish_reasons", *_USAGE}
    own = {"ai.usage.promptTokens": 9, "ai.usage.completionTokens": 3, "ai.response.finishReason": "stop"}
    found = vercel()
    for each in found:
        kept = [given for given in each["attributes"] if given["key"] not in plain]
        named = {"operation.name": "ai.generateText.doGenerate", "ai.operationId": "ai.generateText.doGenerate"}
        each["attributes"] = [*kept, *attributes({**named, **own})]
    prompt = next(given for given in found[1]["attributes"] if given["key"] == "ai.prompt.messages")["value"]
    typed = json.dumps({"type": "text", "value": FOUND})
    prompt["stringValue"] = prompt["stringValue"].replace(json.dumps(FOUND), typed)
    return found


def _told(make: Callable[[Any, Any], list[tuple[str, dict[str, Any]]]]) -> list[dict[str, Any]]:
    head, looked, tool, done = _CHAT
    pairs = ((head, looked), ([*head, looked, tool], done))
    return [span(n, _GENAI, events=make(prompt, answer)) for n, (prompt, answer) in enumerate(pairs, 1)]


def content_events() -> list[dict[str, Any]]:
    """The conventions of 1.27: an event for the prompt and one for the answer."""
    return _told(
        lambda prompt, answer: [
            ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(prompt)}),
            ("gen_ai.content.completion", {"gen_ai.completion": json.dumps([answer])}),
        ]
    )


def details() -> list[dict[str, Any]]:
    """The conventions from 1.38 on, whose content may be in an event."""
    found = conventions()
    for each in found:
        content = [given for given in each["attributes"] if given["value"].get("stringValue", "").startswith("[")]
        each["attributes"] = [given for given in each["attributes"] if given not in content]
        name = "gen_ai.client.inference.operation.details"
        each["events"] = [{"name": name, "timeUnixNano": "1", "attributes": content}]
    return found


def event_content() -> list[dict[str, Any]]:
    """Azure's clients: an event for each message, which is JSON text in one attribute."""

    def make(prompt: Any, answer: Any) -> list[tuple[str, dict[str, Any]]]:
        choice = {"finish_reason": "stop", "index": 0, "message": answer}
        told = [(f"gen_ai.{each['role']}.message", each) for each in prompt]
        return [(n, {"gen_ai.event.content": json.dumps(each)}) for n, each in [*told, ("gen_ai.choice", choice)]]

    return _told(make)


def blocks() -> list[dict[str, Any]]:
    """Strands' agents: an event for each message, whose content is JSON text of Bedrock's blocks."""

    def content(message: dict[str, Any]) -> str:
        text = {"text": message["content"]}
        if message["role"] == "tool":
            result = {"toolUseId": CALL_ID, "status": "success", "content": [text]}
            return json.dumps([{"toolResult": result}])
        call = {"toolUse": {"toolUseId": CALL_ID, "name": TOOL, "input": ARGUMENTS}}
        return json.dumps([text, call] if "tool_calls" in message else [text])

    def make(prompt: Any, answer: Any) -> list[tuple[str, dict[str, Any]]]:
        told = [(f"gen_ai.{each['role']}.message", {"content": content(each)}) for each in prompt]
        return [*told, ("gen_ai.choice", {"finish_reason": "stop", "message": content(answer)})]

    return _told(make)


def whole_requests() -> list[dict[str, Any]]:
    """LangSmith: whole requests and responses as JSON text."""
    return _chats(
        lambda prompt, answer: {
            "gen_ai.prompt": json.dumps({"messages": prompt}),
            "gen_ai.completion": json.dumps({"choices": [{"message": answer}]}),
        }
    )


INSTRUMENTATIONS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    each.__name__: each
    for each in (
        *(conventions, structured, events, logfire, openinference, openllmetry, logfire_openai, langfuse, vercel),
        *(ai_sdk, content_events, details, event_content, blocks, whole_requests),
    )
}


def logs(made: list[dict[str, Any]], apart: str = "body") -> dict[str, Any]:
    """The events of spans as records of a log, with their attributes as its body or as its attributes."""
    records = []
    for each in made:
        for number, event in enumerate(each["events"]):
            inside = apart == "body"
            said = {"body": {"kvlistValue": {"values": event["attributes"]}}} if inside else {}
            told = [{"key": "event.name", "value": any_value(event["name"])}]
            records.append(
                {
                    "timeUnixNano": str(int(each["startTimeUnixNano"]) + number),
                    "traceId": each["traceId"],
                    "spanId": each["spanId"],
                    "attributes": [*told, *([] if inside else event["attributes"])],
                    **said,
                }
            )
        each["events"] = []
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}


def phoenix_rows() -> list[dict[str, Any]]:
    """The spans of OpenInference as Phoenix's own JSON has them: nested attributes, ids in a context, ISO times."""
    rows = []
    for number, each in enumerate(openinference(), 1):
        given = {attribute["key"]: _plain(attribute["value"]) for attribute in each["attributes"]}
        given = {name: int(value) if "token_count" in name else value for name, value in given.items()}
        rows.append(
            {
                "name": each["name"],
                "context": {"trace_id": "t1", "span_id": each["spanId"]},
                "parent_id": None,
                "start_time": f"2026-01-01T00:00:0{number}+00:00",
                "end_time": f"2026-01-01T00:00:0{number + 2}+00:00",
                "attributes": given,
                "events": [],
            }
        )
    return rows
