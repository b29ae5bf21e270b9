"""Gemini CLI sessions in both shapes: messages written again, rewinds, compactions, masked results; real counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.following import follow
from clawvm_es.importers.gemini import parse
from clawvm_es.importers.replay import ReplaySettings
from clawvm_es.model.events import PageWritten
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.model.pages import PageType
from clawvm_es.observe.steps import ContextDropped, ModelMessage, Summary, ToolResult, UserMessage
from tests.importers.texts import finished, texts_in

Jsonl = Callable[[Iterable[Any]], bytes]
META = {"sessionId": "s1", "projectHash": "h", "startTime": "2026-01-01T00:00:00.000Z"}


def said(kind: str, number: int, content: Any = "", **more: Any) -> dict[str, Any]:
    """A message."""
    return {
        "id": f"m{number}",
        "timestamp": f"2026-01-01T00:00:{number:02}.000Z",
        "type": kind,
        "content": content,
        **more,
    }


def call(number: int, output: Any = "out", status: str = "success", **args: Any) -> dict[str, Any]:
    """A call with its result."""
    parts = None if output is None else [{"functionResponse": {"id": "x", "response": {"output": output}}}]
    return {"id": f"c{number}", "name": "run_shell_command", "args": args, "result": parts, "status": status}


def used(count: int) -> dict[str, int]:
    """The tokens of an answer."""
    return {"input": count, "output": 2, "cached": 1, "thoughts": 0, "tool": 0, "total": count + 2}


@pytest.fixture
def document() -> Callable[..., Any]:
    """The session of a document with these messages."""
    return lambda *messages: parse(json.dumps({**META, "messages": messages}).encode(), "f")[0]


@pytest.fixture
def lines(jsonl: Jsonl) -> Callable[..., Any]:
    """The session of a file of lines."""
    return lambda *rows: parse(jsonl([META, *rows]), "f")[0]


def test_real_sessions_are_counted_as_their_documents_have_it(traces: Path) -> None:
    """Turns, calls, results, prompts and tokens of each document equal those of its messages."""
    for path in sorted((traces / "gemini").glob("*.json")):
        document = json.loads(path.read_bytes())
        (recording,) = read(path)
        answers = [m for m in document["messages"] if m["type"] == "gemini"]
        spoken = [m for m in answers if m["content"] or m["thoughts"] or m["tokens"]["total"]]
        calls = [c for m in answers for c in m.get("toolCalls", ())]
        steps = [s for s in recording.steps if isinstance(s, ModelMessage)]
        assert recording.session_id == document["sessionId"] and recording.format == "gemini"
        assert recording.turns == len(spoken), path.name
        assert recording.tool_calls == len(calls), path.name
        assert sum(isinstance(s, ToolResult) for s in recording.steps) == sum(c["result"] is not None for c in calls)
        steps = [s for s in steps if not s.continued]
        assert sum(s.usage.input_tokens for s in steps) == sum(m["tokens"]["input"] for m in answers), path.name
        assert sum(s.usage.cached_tokens for s in steps) == sum(m["tokens"]["cached"] for m in answers), path.name
        assert sum(s.usage.output_tokens for s in steps) == sum(
            m["tokens"]["output"] + m["tokens"]["thoughts"] for m in answers
        ), path.name
        assert sum(s.usage.input_tokens + s.usage.output_tokens for s in steps) == sum(
            m["tokens"]["total"] for m in answers
        ), path.name
        assert sum(len(s.thinking) for s in steps) == sum(len(m["thoughts"]) for m in answers), path.name
        prompts = [s.text for s in recording.steps if isinstance(s, UserMessage)]
        assert prompts == [m["content"] for m in document["messages"] if m["type"] == "user"], path.name


def test_a_document_that_grew_begins_as_it_was(traces: Path, translate: Any) -> None:
    """All commands of an earlier state of a session, its last answer too, are the first commands of a later one."""
    early, late = (read(path)[0] for path in sorted((traces / "gemini").glob("*.json")))
    done, whole = translate(early), translate(late)
    assert early.session_id == late.session_id and len(done) > 20
    assert done == whole[: len(done)]


def test_a_document_that_grows_is_followed(traces: Path, tmp_path: Path) -> None:
    """A document that is written anew as it grows goes on where its session ends, as one import of the last state."""
    path, inputs = tmp_path / "session.json", []
    states = [state.read_bytes() for state in sorted((traces / "gemini").glob("*.json"))]
    for number, taken in enumerate((states, states[-1:])):
        with Journal.open(tmp_path / f"{number}.db") as journal:
            for state in taken:
                path.write_bytes(state)
                assert follow(journal, path, ReplaySettings(counter="lines4"), final=True).appended
            (head,) = journal.log.heads()
            rows = list(journal.log.read(head.session_id))
            inputs.append(
                [(row.type, row.idempotency_key) for row in rows if (row.idempotency_key or "").startswith("i:")]
            )
    assert inputs[0] == inputs[1] and len(inputs[0]) > 40


def test_both_shapes_say_the_same(document: Any, lines: Any) -> None:
    """A session as a document and as lines, where a message is written again as it grows, has the same steps."""
    prompt, answer = said("user", 1, [{"text": "go"}]), said("gemini", 2, "I look")
    final = {**answer, "tokens": used(5), "toolCalls": [call(1, command="ls")]}
    whole = document(prompt, final, said("gemini", 3, "done", tokens=used(9)))
    rows = lines(prompt, answer, {**answer, "tokens": used(5)}, final, said("gemini", 3, "done", tokens=used(9)))
    for recording in (whole, rows):
        first, calls, second = (s for s in recording.steps if isinstance(s, ModelMessage))
        assert (first.texts, first.usage.input_tokens, first.continued) == (("I look",), 5, False)
        assert (calls.texts, len(calls.calls), calls.continued) == ((), 1, True)
        assert (second.texts, second.usage.input_tokens) == (("done",), 9)
        assert [(s.call, s.text) for s in recording.steps if isinstance(s, ToolResult)] == [(1, "out")]
        assert recording.session_id == "s1"


def test_calls_alone_go_on_with_the_answer_before_them(document: Any, lines: Any) -> None:
    """A message of calls without text, thoughts and tokens is the rest of the answer that a notice had parted."""
    alone = said("gemini", 4, "", thoughts=[], tokens=used(0) | {"output": 0, "cached": 0}, toolCalls=[call(1)])
    recording = document(said("gemini", 2, "I look", tokens=used(5)), said("info", 3, "Update available"), alone)
    answer, calls = (s for s in recording.steps if isinstance(s, ModelMessage))
    assert (answer.usage.input_tokens, len(calls.calls), recording.turns) == (5, 1, 1)
    one, other = (said("gemini", number, "", toolCalls=[call(number)]) for number in (2, 3))
    assert document(one, other).turns == lines(one, other).turns == lines(one, one, other).turns == 2


@pytest.mark.parametrize("shape", ["document", "lines"])
def test_the_calls_of_an_answer_stand_apart_from_its_text_and_with_its_thoughts(
    shape: str, document: Any, lines: Any
) -> None:
    """A text is there before its calls are known, so it is a step of its own; thoughts alone are no step."""
    held = [each for each in product((False, True), repeat=3) if any(each)]
    for answers in product(held, held):
        messages, expected = [], []
        for number, (text, thoughts, calls) in enumerate(answers, 1):
            more: dict[str, Any] = {"thoughts": [{"subject": "hm"}]} if thoughts else {}
            more |= {"toolCalls": [call(2 * number), call(2 * number + 1)]} if calls else {}
            messages.append(said("gemini", number, "I look" if text else "", tokens=used(5), **more))
            before = (("I look",) if text else (), ("hm",) if thoughts else ())
            expected += [(*before, 0, False)] if text else []
            expected += [((), (), 2, True) if text else (*before, 2, False)] if calls else []
        found = (document if shape == "document" else lines)(*messages)
        steps = [step for step in found.steps if isinstance(step, ModelMessage)]
        assert [(s.texts, s.thinking, len(s.calls), s.continued) for s in steps] == expected, answers
        assert found.turns == sum(text or calls for text, _, calls in answers)


@pytest.mark.parametrize("first", [{}, {"tokens": used(5)}], ids=["no tokens", "tokens"])
@pytest.mark.parametrize("again", [{}, {"tokens": used(7)}], ids=["as it was", "more tokens"])
@pytest.mark.parametrize("calls", [{}, {"toolCalls": [call(1)]}], ids=["text", "calls"])
def test_the_tokens_of_an_answer_are_its_own(first: Any, again: Any, calls: Any, lines: Any) -> None:
    """Those that a later row of its message tells count, and none of the answer before it, whose own are not told."""
    one, other = said("gemini", 2, "" if calls else "I look", **calls), said("gemini", 3, "done")
    found = lines({**one, **first}, {**one, **first, **again}, other)
    usage = [step.usage.input_tokens for step in found.steps if isinstance(step, ModelMessage) and not step.continued]
    assert usage == [(first | again).get("tokens", {}).get("input", 0), 0]


def test_the_calls_of_one_answer_are_one_step_whichever_row_tells_them(lines: Any) -> None:
    """Its own row, written again, and a row of calls alone: the text before them is parted from them once."""
    answer = said("gemini", 2, "I look")
    for results in product(("out", None), repeat=2):
        alone = said("gemini", 3, "", toolCalls=[call(1, results[0])])
        found = lines(answer, alone, {**answer, "toolCalls": [call(2, results[1])]})
        steps = [step for step in found.steps if isinstance(step, ModelMessage)]
        assert [(step.texts, len(step.calls)) for step in steps] == [(("I look",), 0), ((), 2)]
        assert found.turns == 1


def test_a_history_that_lacks_no_prompt_drops_nothing(lines: Any) -> None:
    """Answers and texts of the harness may be missing in it, as they are after a failed request."""
    rows = [said("user", 1, "one"), said("gemini", 2, "a"), said("user", 3, "two")]
    summary = said("user", 8, [{"text": "<state_snapshot>We did.</state_snapshot>"}])
    for histories in ([[rows[0], rows[2]]], [[*rows, summary], rows], [[*rows, summary], [rows[0], rows[2]]]):
        found = lines(*rows, *({"$set": {"messages": history}} for history in histories))
        assert not any(isinstance(step, ContextDropped) for step in found.steps)


def test_images_that_the_model_made_are_counted(lines: Any) -> None:
    """No step of an answer holds one: each is told by its reason."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert lines(said("gemini", 2, [{"text": "see"}, image, image])).skipped == {"image": 2}


def test_a_text_is_said_once_however_often_its_message_is_written(lines: Any) -> None:
    """Written again it may have grown, be as it was, or be left out: each part of it is told once, in its order."""
    whole = "I look at it."
    grown = [
        each
        for each in product((0, 4, 7, len(whole)), repeat=4)
        if sorted(filter(None, each)) == [*filter(None, each)]
    ]
    for lengths in grown:
        found = lines(*(said("gemini", 2, whole[:length], tokens=used(5)) for length in lengths))
        texts = [text for step in found.steps if isinstance(step, ModelMessage) for text in step.texts]
        assert "".join(texts) == whole[: max(lengths)], lengths
        assert len(texts) == len({*lengths} - {0}) and found.turns == bool(max(lengths))


def test_calls_that_come_after_results_are_another_turn(lines: Any) -> None:
    """New calls in a message whose earlier calls have results come from another call of the model."""
    one = said("gemini", 2, "I look", toolCalls=[call(1)])
    recording = lines(one, {**one, "toolCalls": [call(1), call(2)]})
    assert recording.turns == 2 and recording.tool_calls == 2


def test_results_in_every_form(document: Any) -> None:
    """A result is an output, an error, any other response, parts, or missing; its status says how it ended."""
    responses = ({"output": "a"}, {"error": "b"}, {"rows": [1]}, {})
    calls = [
        {**call(n), "result": [{"functionResponse": {"response": response}}]} for n, response in enumerate(responses)
    ]
    calls += [call(5, None), {**call(6), "result": "text"}, {**call(7), "result": {"text": "part"}}]
    failed = "Command: make\nOutput: no\nExit Code: 2\n"
    assert document(said("gemini", 1, "", toolCalls=[call(1, failed)])).steps[1].status is ReturnStatus.ERROR
    calls += [{**call(8, "x"), "status": "error"}, {**call(9, "y"), "status": "cancelled"}]
    recording = document(said("gemini", 1, "", toolCalls=calls))
    results = [s for s in recording.steps if isinstance(s, ToolResult)]
    assert [s.text for s in results] == ["a", "b", '{"rows":[1]}', "", "text", "part", "x", "y"]
    assert [s.status for s in results[-2:]] == [ReturnStatus.ERROR, ReturnStatus.INTERRUPTED]
    assert recording.skipped["call_without_result"] == 1


def test_a_rewind_drops_a_message_and_what_follows(lines: Any) -> None:
    """A rewind keeps the messages before the one that it names; to one that is unknown it keeps none."""
    rows = [said("user", 1, "one"), said("gemini", 2, "a"), said("user", 3, "two"), said("gemini", 4, "b")]
    dropped = [
        s for s in lines(*rows, {"$rewindTo": "m3"}, {"$rewindTo": "gone"}).steps if isinstance(s, ContextDropped)
    ]
    assert [(s.boundary, s.kept_lines) for s in dropped] == [
        (Boundary.PRUNE, frozenset((2, 3))),
        (Boundary.PRUNE, frozenset()),
    ]


def test_a_kept_message_keeps_what_its_later_rows_told(lines: Any) -> None:
    """A message that was written again with its calls stays whole over a rewind and over a compaction."""
    answer = said("gemini", 2, "I look")
    rows = [said("user", 1, "one"), answer, {**answer, "toolCalls": [call(1, "found")]}, said("user", 3, "two")]
    rewound = lines(*rows, {"$rewindTo": "m3"}).steps[-1]
    assert isinstance(rewound, ContextDropped) and rewound.kept_lines == frozenset((2, 3, 4))
    compacted = lines(*rows, {"$set": {"messages": [{**answer, "toolCalls": [call(1, "found")]}]}}).steps[-1]
    assert isinstance(compacted, ContextDropped) and compacted.kept_lines == frozenset((3, 4))


def test_a_history_after_a_compaction(lines: Any) -> None:
    """Prompts that a new history lacks were compacted away; its new messages are the summary and harness text."""
    rows = [said("user", 1, "one"), said("gemini", 2, "a"), said("user", 3, "two"), said("gemini", 4, "b")]
    snapshot = said("user", 8, [{"text": "<state_snapshot>We did one.</state_snapshot>"}])
    history = [snapshot, said("gemini", 9, "Got it."), {**rows[2], "content": [{"text": "two"}]}, rows[3]]
    recording = lines(*rows, {"$set": {"messages": history}}, said("user", 5, "three"))
    dropped, summary, heard, prompt = recording.steps[-4:]
    assert (dropped.boundary, dropped.kept_lines) == (Boundary.COMPACT, frozenset((4, 5)))
    assert isinstance(summary, Summary) and "We did one." in summary.text
    assert (heard.text, heard.harness, prompt.text) == ("Got it.", True, "three")


def test_a_history_that_masks_results(lines: Any) -> None:
    """A result that differs in a new history left the context; a history that says the same drops nothing."""
    row = said("gemini", 2, "I look", toolCalls=[call(1), call(2, "long")])
    masked = {**row, "toolCalls": [call(1), call(2, "masked")]}
    recording = lines(said("user", 1, "one"), row, {"$set": {"messages": [said("user", 1, "one"), masked]}})
    (dropped,) = (s for s in recording.steps if isinstance(s, ContextDropped))
    assert (dropped.boundary, dropped.dropped_calls) == (Boundary.PRUNE, (2,))
    again = lines(said("user", 1, "one"), row, {"$set": {"messages": [said("user", 1, "one"), row]}})
    assert not any(isinstance(s, ContextDropped) for s in again.steps)


def test_a_notice_of_a_compaction(document: Any) -> None:
    """An old document tells of a compaction by a notice; the newest three tenths stay."""
    told = said("info", 4, "Chat history compressed from 900 to 100 tokens.")
    recording = document(said("user", 1, "a" * 70), said("gemini", 2, "b" * 10), said("user", 3, "c" * 20), told)
    dropped = recording.steps[-1]
    assert (dropped.boundary, dropped.cut, dropped.kept_lines) == (Boundary.COMPACT, Cut.COMPACT, frozenset((2, 3)))


def test_thoughts_models_and_images(document: Any) -> None:
    """An answer has the model's thoughts and name, a prompt and a result the images that stand in them."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    thought = {"subject": "Look", "description": "There is a file."}
    response = {"functionResponse": {"response": {"output": "a"}, "parts": [image]}}
    answer = said(
        "gemini", 2, "ok", thoughts=[thought], model="m", toolCalls=[{**call(1), "result": [response, image]}]
    )
    linked = {"fileData": {"mimeType": "image/png", "fileUri": "gs://x"}}
    recording = document(said("user", 1, [image, linked]), answer)
    prompt, answered, _calls, result = recording.steps
    assert [each.text for each in prompt.images] == [prompt.images[0].text, "[image/png at gs://x]"]
    assert prompt.images[0].size_bytes == 3 and len(result.images) == 2
    assert (answered.thinking, answered.model) == (("Look\nThere is a file.",), "m")


def test_plans_of_todos(document: Any, translate: Any) -> None:
    """`write_todos` states the plan."""
    todos = {"todos": [{"description": "look", "status": "in_progress"}]}
    recording = document(said("gemini", 1, "", toolCalls=[{**call(1), "name": "write_todos", "args": todos}]))
    pages = [each.data for each in translate(recording) if isinstance(each.data, PageWritten)]
    assert [page.page_type for page in pages] == [PageType.PLAN]


def test_prefix_law_at_any_line(jsonl: Jsonl) -> None:
    """The finished steps of lines cut anywhere are the first steps of the whole."""
    answer = said("gemini", 2, "I look")
    rows = [
        META,
        said("user", 1, "one"),
        answer,
        {**answer, "tokens": used(5)},
        {**answer, "tokens": used(5), "toolCalls": [call(1)]},
        said("info", 3, "Update"),
        said("gemini", 4, "done", tokens=used(6)),
        {"$set": {"lastUpdated": "x"}},
        said("user", 5, "two"),
        {"$rewindTo": "m5"},
        said("user", 6, "three"),
        {"$set": {"messages": [said("user", 6, "three")]}},
        said("gemini", 7, "end"),
    ]
    (whole,) = parse(jsonl(rows), "f")
    for cut in range(1, len(rows)):
        (part,) = parse(jsonl(rows[:cut]), "f")
        done = finished(part)
        assert (part.session_id, done) == (whole.session_id, whole.steps[: len(done)]), cut


@pytest.mark.parametrize(
    "planted",
    [
        said("user", 1, "CANARY"),
        said("user", 1, ["CANARY"]),
        said("user", 1, {"text": "CANARY"}),
        said("gemini", 1, "CANARY"),
        said("gemini", 1, "x", thoughts=[{"description": "CANARY"}]),
        said("gemini", 1, [{"text": "CANARY"}]),
        said("gemini", 1, toolCalls=[call(1, command="CANARY")]),
        said("gemini", 1, toolCalls=[call(1, "CANARY")]),
        {"$set": {"messages": [said("user", 9, "CANARY")]}},
    ],
)
def test_what_the_model_saw_is_in_a_body(lines: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any row that the model saw or wrote stands in the journal."""
    assert any("CANARY" in text for text in texts_in(translate(lines(planted)), vault))


@pytest.mark.parametrize(
    "planted",
    [
        *(said(kind, 1, "CANARY") for kind in ("info", "warning", "error", "new")),
        {"$set": {"summary": "CANARY"}},
        {**META, "summary": "CANARY"},
        {"text": "CANARY"},
        said("user", 1, "", displayContent="CANARY"),
    ],
)
def test_what_the_model_did_not_see_is_counted(lines: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any other row stands nowhere, and the row is counted by its reason."""
    recording = lines(planted)
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) == 1


def test_a_second_header_is_counted_and_names_nothing(lines: Any) -> None:
    """The session keeps the id of the first header of its file."""
    recording = lines({**META, "sessionId": "other"}, said("user", 1, "hi"))
    assert (recording.session_id, recording.skipped) == ("s1", {"duplicate_record": 1})


def test_damaged_documents_are_refused(jsonl: Jsonl) -> None:
    """A document that ends early is refused in one line; a file of lines with a torn line is read."""
    document = json.dumps({**META, "messages": [said("user", 1, "hi")]}, indent=2).encode()
    with pytest.raises(UnreadableInput, match="f: is not JSON"):
        parse(document[:-9], "f")
    (recording,) = read_bytes(jsonl([META, said("user", 1, "hi"), '{"id": "m2", "ty']), "f")
    assert recording.format == "gemini" and recording.skipped == {"not_json": 1}
