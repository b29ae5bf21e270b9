"""OpenTelemetry spans of model calls: every instrumentation says the same; conversations, agents, tools, usage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import Recording, read_bytes
from clawvm_es.importers.otel import parse
from clawvm_es.importers.otlp import attributes_of, decoded, listed, nested
from clawvm_es.model.facts import Cut, Finish, ReturnStatus
from clawvm_es.observe.steps import (
    ContextDropped,
    ModelMessage,
    Summary,
    SystemMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from tests.importers import spans
from tests.importers.spans import INSTRUMENTATIONS, any_value, export, span
from tests.importers.texts import texts_in


def session(*given: dict[str, Any]) -> Recording:
    """The only session of spans."""
    (recording,) = parse(json.dumps(export(*given)).encode(), "f")
    return recording


def chat(number: int, prompt: Any, answer: Any, *, parent: int = 0, trace: str = "t1", **more: Any) -> dict[str, Any]:
    """A span of a call by the GenAI conventions; texts stand for messages of the user and of the assistant."""

    def said(role: str, value: Any) -> Any:
        return {"role": role, "parts": [{"type": "text", "content": value}]} if isinstance(value, str) else value

    given = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps([said("user", each) for each in prompt]),
        "gen_ai.output.messages": json.dumps([said("assistant", answer)]),
        **more,
    }
    return span(number, given, parent=parent, trace=trace)


@pytest.mark.parametrize("name", INSTRUMENTATIONS)
def test_every_instrumentation_says_the_same(name: str) -> None:
    """The same conversation gives the same steps, ids, usage and names, whoever instrumented it."""
    assert_the_conversation(session(*INSTRUMENTATIONS[name]()))


def assert_the_conversation(recording: Recording) -> None:
    """State that a recording is the conversation of all instrumentations."""
    system, prompt, first, result, second = recording.steps
    assert isinstance(system, SystemMessage) and system.text == spans.RULES
    assert isinstance(prompt, UserMessage) and prompt.text == spans.ASK
    assert isinstance(first, ModelMessage) and first.texts == (spans.LOOK,)
    (use,) = first.calls
    assert (use.call_id, use.name, dict(use.arguments)) == (spans.CALL_ID, spans.TOOL, spans.ARGUMENTS)
    assert isinstance(result, ToolResult) and (result.call, result.text) == (1, spans.FOUND)
    assert isinstance(second, ModelMessage) and second.texts == (spans.DONE,)
    for answer in (first, second):
        assert (answer.usage, answer.model, answer.provider, answer.finish) == (
            Usage(9, 0, 3),
            "m",
            "openai",
            Finish.STOP,
        )
        assert answer.at_us - answer.began_us == 2_000_000
    assert (recording.session_id, recording.turns, recording.tool_calls) == ("conversation-1", 2, 1)
    assert not recording.skipped


@pytest.mark.parametrize("apart", ["body", "attributes"])
@pytest.mark.parametrize("name", ["events", "details", "event_content", "content_events", "blocks"])
def test_events_in_logs_say_the_same_as_in_spans(name: str, apart: str) -> None:
    """Records of a log in the same file, before or after their spans, are the events of these spans."""
    made = INSTRUMENTATIONS[name]()
    told = spans.logs(made, apart)
    lines = [json.dumps(export(*made)), json.dumps(told)]
    for text in ("\n".join(lines), "\n".join(reversed(lines)), json.dumps({**export(*made), **told})):
        (recording,) = read_bytes(text.encode(), "f")
        assert_the_conversation(recording)


def test_logs_without_their_spans_are_calls() -> None:
    """A file that holds only records of a log has the conversation, but no model and no usage; others are counted."""
    told = spans.logs(INSTRUMENTATIONS["events"]())
    records = told["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    records.append({**records[0], "attributes": [], "body": {"stringValue": "CANARY"}})
    plain = [
        {
            "trace_id": each["traceId"],
            "span_id": each["spanId"],
            "timestamp": f"2026-01-01T00:00:{number:02}Z",
            "attributes": {a["key"]: a["value"]["stringValue"] for a in each["attributes"]},
            "body": each["body"],
        }
        for number, each in enumerate(records)
    ]
    for data in (json.dumps(told), "\n".join(map(json.dumps, plain)), json.dumps(plain)):
        (recording,) = read_bytes(data.encode(), "f")
        kinds = [type(step) for step in recording.steps]
        assert kinds == [SystemMessage, UserMessage, ModelMessage, ToolResult, ModelMessage]
        assert (recording.session_id, recording.turns, recording.skipped) == ("trace-t1", 2, {"other_span": 1})


def test_a_cycle_around_a_call_is_no_call() -> None:
    """Messages in events of a span that is no call, such as an agent's cycle, are those of the call inside it."""
    call = INSTRUMENTATIONS["blocks"]()[0]
    call["parentSpanId"] = "s9"
    cycle = span(9, {"event_loop.cycle_id": "1"}, events=[("gen_ai.user.message", {"content": "CANARY"})])
    recording = session(cycle, call)
    assert recording.turns == 1 and recording.skipped == {"other_span": 1, "call_without_result": 1}


def test_shapes_of_files() -> None:
    """A document, an export a line, a list of spans, an object of spans and Phoenix's own rows say the same."""
    whole = spans.openinference()
    rows = spans.phoenix_rows()
    shapes = [
        json.dumps(export(*whole), indent=2),
        "".join(f"{json.dumps(export(each))}\n" for each in reversed(whole)),
        json.dumps(whole),
        json.dumps({"spans": whole}),
        "".join(f"{json.dumps(row)}\n" for row in rows),
        json.dumps({"data": rows}),
        json.dumps([{**row, "attributes": _tree(row["attributes"])} for row in rows]),
    ]
    found = [read_bytes(shape.encode(), "f") for shape in shapes]
    assert all(len(recordings) == 1 and recordings[0].format == "otel" for recordings in found)
    assert [recordings[0].steps for recordings in found[1:]] == [found[0][0].steps] * 6


def _tree(flat: dict[str, Any]) -> Any:
    return nested(flat)


def test_conversations_of_several_traces() -> None:
    """Spans of one conversation are one session over all traces, also where only the root names it."""
    root = span(1, {"session.id": "c1", "openinference.span.kind": "CHAIN"}, name="turn")
    first, second = (
        chat(2, ["a"], "b", parent=1),
        chat(9, ["a", {"role": "assistant", "content": "b"}, "c"], "d", trace="t2"),
    )
    second["attributes"] += spans.attributes({"gen_ai.conversation.id": "c1"})
    found = parse(json.dumps(export(second, root, first, chat(5, ["x"], "y", trace="t3"))).encode(), "f")
    assert [recording.session_id for recording in found] == ["c1", "trace-t3"]
    assert [s.text for s in found[0].steps if isinstance(s, UserMessage)] == ["a", "c"]
    assert found[0].turns == 2 and found[0].skipped == {"other_span": 1}


def test_agents_inside_agents_are_sessions_of_their_own() -> None:
    """An agent that runs inside another has a session that names the outer one's; a lone one is the session."""
    outer = span(1, {"gen_ai.operation.name": "invoke_agent"}, name="invoke_agent lead")
    inner = span(3, {"openinference.span.kind": "AGENT"}, parent=1, name="helper")
    calls = [
        chat(2, ["a"], "b", parent=1),
        chat(4, ["x"], "y", parent=3),
        chat(6, ["a", {"role": "assistant", "content": "b"}, "c"], "d", parent=1),
    ]
    lead, helper = parse(json.dumps(export(outer, inner, *calls)).encode(), "f")
    assert (lead.session_id, lead.turns, lead.linked_to) == ("trace-t1", 2, None)
    assert (helper.session_id, helper.turns, helper.linked_to) == ("trace-t1/agent-s3", 1, "trace-t1")
    assert not any(isinstance(step, ContextDropped) for step in lead.steps)
    (alone,) = parse(json.dumps(export(outer, inner, calls[1])).encode(), "f")
    assert alone.linked_to is None


def test_a_call_inside_a_call_is_one() -> None:
    """A framework's span around a client's is the call; the inner one is counted."""
    recording = session(chat(1, ["a"], "b"), chat(2, ["a"], "b", parent=1))
    assert recording.turns == 1 and recording.skipped == {"mirrored": 1}


def test_results_that_only_a_span_tells() -> None:
    """A result that no prompt repeats comes from its tool's span; one that a prompt repeats is counted."""
    first, second = spans.conventions()
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.id": spans.CALL_ID,
        "gen_ai.tool.call.result": "rainy",
    }
    failed = span(3, {**tool, "error.type": "Timeout"}, name="execute_tool")
    alone, both = session(first, failed), session(first, span(2, tool, name="execute_tool"), second)
    last = alone.steps[-1]
    assert isinstance(last, ToolResult) and (last.call, last.text, last.status) == (1, "rainy", ReturnStatus.ERROR)
    assert both.skipped == {"mirrored": 1} and sum(isinstance(s, ToolResult) for s in both.steps) == 1


def test_prompts_that_lack_messages_say_so() -> None:
    """A prompt without earlier messages dropped them; a text in front of those that stay is the summary."""
    b = {"role": "assistant", "content": "b"}
    recording = session(
        chat(1, ["a"], "b"), chat(2, ["a", b, "c"], "d"), chat(3, ["We did a.", "c", {**b, "content": "d"}], "e")
    )
    dropped = next(step for step in recording.steps if isinstance(step, ContextDropped))
    assert dropped.cut is Cut.COMPACT and recording.turns == 3
    assert [step.text for step in recording.steps if isinstance(step, Summary)] == ["We did a."]


def test_usage_by_every_name() -> None:
    """Tokens that a cache served or took and those of thinking have names of each convention."""
    new = {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }
    old = {
        "llm.token_count.prompt": 9,
        "llm.token_count.prompt_details.cache_read": 4,
        "llm.token_count.prompt_details.cache_write": 2,
        "llm.token_count.completion": 3,
        "llm.token_count.completion_details.reasoning": 1,
    }
    for given in (new, old):
        answer = session(chat(1, ["a"], "b", **given)).steps[-1]
        assert isinstance(answer, ModelMessage) and answer.usage == Usage(9, 4, 3, 2, 1)


def test_parts_that_name_no_type_are_counted() -> None:
    """A part of Bedrock's is read by the name of its field; one of an unknown name is counted."""
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "x"}}}
    result = {"toolResult": {"toolUseId": "c", "content": [{"json": {"n": 1}}]}}
    image = {"image": {"format": "png", "source": {"bytes": "AAAA"}}}
    call = {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}
    prompt = [
        {"role": "user", "content": [{"text": "see"}, image, {"novelty": 1}]},
        {"role": "assistant", "content": [call], "tool_calls": [{"id": "c", "name": "f"}]},
        {"role": "user", "content": [result]},
    ]
    recording = session(chat(1, prompt, {"role": "assistant", "content": [thought, {"text": "ok"}]}))
    user, first, answered, last = recording.steps
    assert isinstance(user, UserMessage) and len(user.images) == 1
    assert isinstance(first, ModelMessage) and [call.call_id for call in first.calls] == ["c"]
    assert isinstance(answered, ToolResult) and answered.text == '{"n":1}'
    assert isinstance(last, ModelMessage) and last.thinking == ("hm",)
    assert recording.skipped == {"unknown_block": 1}


def test_thinking_images_and_several_results() -> None:
    """Reasoning is thinking, images are kept by digest, each result in a message is one."""
    blob = {"type": "blob", "mime_type": "image/png", "content": "AAAA"}
    url = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    results = [{"type": "tool_call_response", "id": f"c{n}", "response": {"n": n}} for n in (1, 2)]
    calls = [{"type": "tool_call", "id": f"c{n}", "name": "f", "arguments": {}} for n in (1, 2)]
    asks = {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, *calls]}
    user = {"role": "user", "parts": [{"type": "text", "content": "see"}, blob, url]}
    recording = session(chat(1, [user], asks), chat(2, [user, asks, {"role": "user", "parts": results}], "done"))
    prompt, answer, one, two, _done = recording.steps
    assert isinstance(prompt, UserMessage) and [each.size_bytes for each in prompt.images] == [3, 0]
    assert isinstance(answer, ModelMessage) and answer.thinking == ("hm",) and len(answer.calls) == 2
    assert [(s.call, s.text) for s in (one, two) if isinstance(s, ToolResult)] == [(1, '{"n":1}'), (2, '{"n":2}')]


SEEN: list[dict[str, Any]] = [
    chat(1, ["CANARY"], "b"),
    chat(1, ["a"], "CANARY"),
    chat(
        1,
        ["a"],
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "CANARY"}, {"type": "text", "content": "x"}],
        },
    ),
    chat(
        1,
        ["a"],
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": "CANARY"}'}}]},
    ),
    chat(1, [{"role": "tool", "tool_call_id": "c", "content": "CANARY"}], "b"),
    chat(1, [{"role": "system", "content": [{"type": "text", "text": "CANARY"}]}], "b"),
    chat(1, ["a"], "b", **{"gen_ai.system_instructions": "CANARY"}),
]
UNSEEN: list[dict[str, Any]] = [
    span(2, {"openinference.span.kind": "RETRIEVER", "output.value": "CANARY"}),
    span(2, {"openinference.span.kind": "AGENT", "input.value": "CANARY"}),
    span(2, {"openinference.span.kind": "TOOL", "output.value": "CANARY"}),
    span(2, {"http.url": "CANARY"}),
]


@pytest.mark.parametrize("planted", SEEN, ids=range(len(SEEN)))
def test_what_the_model_saw_is_in_a_body(vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any part that the model saw or wrote stands in the journal."""
    assert any("CANARY" in text for text in texts_in(translate(session(planted)), vault))


@pytest.mark.parametrize("planted", UNSEEN, ids=range(len(UNSEEN)))
def test_what_the_model_did_not_see_is_counted(vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in a span of another kind stands nowhere, and the span is counted by its reason."""
    recording = session(chat(1, ["a"], "b"), planted)
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) == 1


def test_files_without_calls_are_refused() -> None:
    """Spans of no call, damaged exports and lines that are no spans: refused in one line, or counted."""
    with pytest.raises(UnreadableInput, match="f: holds no spans of model calls"):
        read_bytes(json.dumps(export(span(1, {"http.url": "x"}))).encode(), "f")
    with pytest.raises(UnreadableInput, match="f: is JSON that ends early"):
        read_bytes(json.dumps(export(chat(1, ["a"], "b"))).encode()[:-3], "f")
    (recording,) = read_bytes(f"{json.dumps(export(chat(1, ['a'], 'b')))}\n{{}}\n{{".encode(), "f")
    assert recording.skipped == {"malformed_record": 1, "truncated_line": 1}


def test_a_call_whose_content_was_not_recorded() -> None:
    """Spans without content, the default of most instrumentations, are turns without a text: counted."""
    recording = session(span(1, {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5}))
    assert not recording.steps and recording.skipped == {"empty_turn": 1}


def test_conversations_without_a_call_are_counted_with_what_their_tools_gave() -> None:
    """Spans of a conversation that has no call of a model, results of tools among them, are counted one by one."""
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c", "gen_ai.tool.call.result": "x"}
    lone = [span(number, tool, trace="t2", name="execute_tool") for number in (3, 4)]
    recording = session(chat(1, ["a"], "b"), *lone, span(5, {"http.url": "x"}, trace="t3"))
    assert recording.skipped == {"other_span": 3}


@pytest.mark.parametrize("given", [["hi", ""], ["", "hi"], "hi"])
def test_plain_values_are_messages(given: Any) -> None:
    """A prompt that is a plain text, or a list of texts of which one is empty, is taken."""
    value = given if isinstance(given, str) else json.dumps(given)
    recording = session(span(1, {"openinference.span.kind": "LLM", "input.value": value, "output.value": "ok"}))
    prompts = [step.text for step in recording.steps if isinstance(step, UserMessage)]
    assert "".join(prompts) == "hi" and recording.turns == 1


def test_attributes_are_decoded() -> None:
    """Every kind of value of OTLP is the JSON that it stands for; dotted names nest, places count."""
    given = {"s": "x", "b": True, "i": 7, "d": 1.5, "l": [1, "a"], "o": {"k": [2]}}
    assert attributes_of([{"key": name, "value": any_value(value)} for name, value in given.items()]) == given
    assert attributes_of([{"key": "n", "value": {"intValue": "x"}}, {"value": {}}, 7]) == {"n": None}
    assert attributes_of({"a": {"b": 1}, "c.d": 2}) == {"a.b": 1, "c.d": 2}
    assert nested({"a.0.b": 1, "a.1.b": 2, "c": {"d.e": 3}}) == {"a": [{"b": 1}, {"b": 2}], "c": {"d": {"e": 3}}}
    assert listed({"m.1.x": 1, "m.0.x": 2, "m.y": 3}, "m") == [{"x": 2}, {"x": 1}]
    assert listed({"m": '{"a": 1}'}, "m") == [{"a": 1}] and listed({"m": "[broken"}, "m") == []
    assert [decoded(text) for text in (' {"a": 1}', "[1]", "7", "true", "null", '"x"')] == [
        *({"a": 1}, [1], "7", "true", "null", '"x"')
    ]


@pytest.mark.parametrize("inner", ["messages", "choices"])
def test_messages_inside_an_object_are_messages(inner: str) -> None:
    """A prompt that is an object around its messages is taken as they are."""
    value = json.dumps(
        {"model": "m", inner: [{"role": "user", "content": "hi"}, {"role": "user", "content": "there"}]}
    )
    recording = session(span(1, {"openinference.span.kind": "LLM", "input.value": value, "output.value": "ok"}))
    assert [step.text for step in recording.steps if isinstance(step, UserMessage)] == ["hi", "there"]
