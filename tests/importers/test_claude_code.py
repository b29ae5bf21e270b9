"""Claude Code: every trap of the format, on rows written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawvm_es.importers.claude_code import parse
from clawvm_es.importers.recording import Recording
from clawvm_es.model.facts import Boundary, ReturnStatus
from clawvm_es.observe.steps import ContextDropped, ModelMessage, SkillLoaded, Summary, ToolResult, UserMessage

Jsonl = Callable[[list[Any]], bytes]
COUNTER = iter(range(10_000))


def row(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A user or assistant row of session `s`."""
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": more.pop("id", f"msg{next(COUNTER)}"), "model": more.pop("model", "claude")}
        message["usage"] = more.pop("usage", {})
    return {"type": kind, "uuid": f"u{next(COUNTER)}", "sessionId": "s", "cwd": "/w", "message": message, **more}


def use(call_id: str, name: str = "Read", **arguments: Any) -> dict[str, Any]:
    """A tool_use block."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str, content: Any = "ok", **more: Any) -> dict[str, Any]:
    """A user row with a tool_result."""
    return row("user", [{"type": "tool_result", "tool_use_id": call_id, "content": content, **more}])


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


def main(jsonl: Jsonl, rows: list[Any]) -> Recording:
    """The main session of a file with these rows."""
    return parse(jsonl(rows), "test.jsonl")[0]


def test_rows_of_one_message_are_one_turn_with_the_last_usage(jsonl: Jsonl) -> None:
    """Rows that share `message.id` are one turn; usage is the last row's, results between them come after it."""
    usage = {"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5}
    rows = [
        row("assistant", [text("first")], id="m", usage={**usage, "output_tokens": 1}),
        row("assistant", [use("a")], id="m", usage={**usage, "output_tokens": 7}),
        result("a"),
        row("assistant", [use("b")], id="m", usage={**usage, "output_tokens": 9}),
        result("b"),
    ]
    turn, first, second = main(jsonl, rows).steps
    assert isinstance(turn, ModelMessage) and turn.texts == ("first",)
    assert [u.call for u in turn.calls] == [1, 2]
    assert (turn.usage.input_tokens, turn.usage.cached_tokens, turn.usage.output_tokens) == (37, 30, 9)
    assert (turn.lines.first, turn.lines.last) == (1, 4)
    assert isinstance(first, ToolResult) and isinstance(second, ToolResult)
    assert (first.call, second.call) == (1, 2)


def test_file_order_wins_over_parents_and_timestamps(jsonl: Jsonl) -> None:
    """A row whose parent comes later, or whose time is earlier, stays where it stands."""
    rows = [
        row("user", "second", parentUuid="later", timestamp="2026-01-02T00:00:00Z"),
        row("user", "first", timestamp="2026-01-01T00:00:00.5Z"),
    ]
    rows[1]["uuid"] = "later"
    steps = main(jsonl, rows).steps
    assert [step.text for step in steps if isinstance(step, UserMessage)] == ["second", "first"]
    assert [step.at_us for step in steps if isinstance(step, UserMessage)] == [1767312000000000, 1767225600500000]


def test_rows_without_a_time_are_a_second_a_line(jsonl: Jsonl) -> None:
    """A missing or odd timestamp is 1970-01-01 plus one second a record."""
    steps = main(jsonl, [row("user", "a"), row("user", "b", timestamp="soon")]).steps
    assert [step.at_us for step in steps if isinstance(step, UserMessage)] == [1_000_000, 2_000_000]


def test_compaction_and_its_summary(jsonl: Jsonl) -> None:
    """A compact_boundary row is a boundary, the summary row is no prompt; the words inside a text are nothing."""
    rows = [
        row("user", "compact_boundary is a word"),
        {"type": "system", "subtype": "compact_boundary", "sessionId": "s", "uuid": "c"},
        row("user", "the story so far", isCompactSummary=True),
    ]
    said, boundary, summary = main(jsonl, rows).steps
    assert isinstance(said, UserMessage)
    assert isinstance(boundary, ContextDropped) and boundary.boundary is Boundary.COMPACT
    assert boundary.kept_lines == frozenset()
    assert isinstance(summary, Summary) and summary.text == "the story so far"


def test_micro_compaction_names_results(jsonl: Jsonl) -> None:
    """A microcompact_boundary drops the results of the calls it names; unknown ids are ignored."""
    rows = [
        row("assistant", [use("a"), use("b")]),
        result("a"),
        result("b"),
        {
            "type": "system",
            "subtype": "microcompact_boundary",
            "uuid": "x",
            "microcompactMetadata": {"compactedToolIds": ["b", "gone"]},
        },
    ]
    boundary = main(jsonl, rows).steps[-1]
    assert isinstance(boundary, ContextDropped) and boundary.boundary is Boundary.PRUNE
    assert boundary.dropped_calls == (2,)


def test_clear_is_a_reset_and_other_commands_are_said(jsonl: Jsonl) -> None:
    """`/clear` resets; commands are the user's words; caveats, output and interruptions are the harness's."""
    rows = [
        row("user", "<local-command-caveat>Caveat</local-command-caveat>", isMeta=True),
        row("user", "<command-name>/clear</command-name>\n<command-args></command-args>"),
        row("user", "<command-name>/model</command-name>"),
        row("user", "<local-command-stdout>it was <command-name>/clear</command-name></local-command-stdout>"),
        row("user", "<bash-input>ls</bash-input>"),
        row("user", [text("[Request interrupted by user]"), text("go on")]),
        row("user", "Continue from where you left off.", isMeta=True),
    ]
    recording = main(jsonl, rows)
    boundaries = [step.boundary for step in recording.steps if isinstance(step, ContextDropped)]
    said = [(step.text, step.harness) for step in recording.steps if isinstance(step, UserMessage)]
    assert boundaries == [Boundary.RESET]
    assert said == [
        ("<local-command-caveat>Caveat</local-command-caveat>", True),
        ("/model", False),
        ("it was <command-name>/clear</command-name>", True),
        ("! ls", False),
        ("[Request interrupted by user]", True),
        ("go on", False),
        ("Continue from where you left off.", True),
    ]
    assert recording.skipped == {}


def test_skill_bodies_are_meta_rows_of_a_tool_use(jsonl: Jsonl) -> None:
    """An isMeta row that names its skill, or its tool use, is a skill body."""
    body = "Base directory for this skill: /skills/review\n\n# Review"
    rows = [
        row("user", [text(body)], isMeta=True),
        row("user", [text("# Other")], isMeta=True, sourceToolUseID="a"),
    ]
    first, second = main(jsonl, rows).steps
    assert isinstance(first, SkillLoaded) and first.name == "/skills/review" and first.text == body
    assert isinstance(second, SkillLoaded) and (second.name, second.text) == ("skill", "# Other")


def test_synthetic_and_empty_answers_are_counted(jsonl: Jsonl) -> None:
    """`<synthetic>` rows and answers with neither text nor tool block are no turns."""
    rows = [
        row("assistant", [text("No response requested.")], model="<synthetic>"),
        row("assistant", [{"type": "thinking", "thinking": "hm"}]),
        row("assistant", [text("done")]),
    ]
    recording = main(jsonl, rows)
    assert recording.turns == 1
    assert recording.skipped == {"synthetic": 1, "empty_turn": 1, "thinking": 1}


def test_an_answer_without_a_word_is_a_turn(jsonl: Jsonl) -> None:
    """A text of blanks was answered, and is no text; what repeats it later is no second turn."""
    said = [row("assistant", [text(" ")], id="m"), row("user", "go on"), row("assistant", [text(" ")], id="m")]
    recording = main(jsonl, said)
    assert recording.turns == 1 and recording.skipped == {"duplicate_record": 1}
    assert [step.texts for step in recording.steps if isinstance(step, ModelMessage)] == [()]


def test_duplicated_records_are_counted_once(jsonl: Jsonl) -> None:
    """A row that comes again with its uuid, or without one but byte for byte, is skipped and counted."""
    said, answer = row("user", "once"), row("assistant", [use("a")], id="m")
    bare = row("user", "bare")
    del bare["uuid"]
    recording = main(jsonl, [said, said, answer, answer, bare, bare, result("a"), result("a", "again")])
    assert recording.tool_calls == 1
    assert recording.skipped == {"duplicate_record": 3, "duplicate_result": 1}
    assert sum(isinstance(step, UserMessage) for step in recording.steps) == 2


AT = {"timestamp": "2026-01-01T00:00:00Z"}
GIVEN = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("first", "second", "is_copy"),
    [
        (row("user", "go on", **AT), row("user", "go on", **AT), True),
        (row("user", "go on", **AT), row("user", [text("go on")], **AT), True),
        (row("user", [GIVEN], **AT), row("user", [GIVEN], **AT), True),
        (row("user", [PICTURE, text("go on")], **AT), row("user", [PICTURE, text("go on")], **AT), True),
        (row("user", "go on"), row("user", "go on"), False),
        (row("user", "go on", **AT), row("user", "go on", timestamp="2026-01-01T00:00:01Z"), False),
        (row("user", "go on", **AT), row("user", "go back", **AT), False),
        (row("user", "go on", **AT), row("user", "go on", isMeta=True, **AT), False),
        (row("user", "go on", **AT), row("user", [text("go"), text("on")], **AT), False),
        (row("user", [GIVEN], **AT), row("user", [{**GIVEN, "tool_use_id": "b"}], **AT), False),
        (row("user", [GIVEN], **AT), row("user", [{**GIVEN, "content": "other"}], **AT), False),
        (row("user", [GIVEN], **AT), row("user", [{**GIVEN, "content": [text("ok")]}], **AT), False),
        (row("user", [PICTURE], **AT), row("user", [{**PICTURE, "source": {}}], **AT), False),
        (row("assistant", [text("yes")], **AT), row("assistant", [text("yes")], **AT), False),
    ],
)
def test_a_copy_is_told_by_its_instant_and_what_it_says(jsonl: Jsonl, first: Any, second: Any, is_copy: bool) -> None:
    """A resumed session writes the user's rows again under new ids; another row of the user's is no copy of one."""
    recording = main(jsonl, [row("assistant", [use("a"), use("b")], id="m"), first, second])
    assert recording.skipped.get("duplicate_record", 0) == is_copy


def test_calls_and_results_that_miss_each_other(jsonl: Jsonl) -> None:
    """A result before its call is unmatched and has the call's number; orphans on both sides are counted."""
    rows = [
        result("late", "early bird"),
        result("orphan"),
        row("assistant", [use("late"), use("open")]),
    ]
    recording = main(jsonl, rows)
    early, orphan, turn = recording.steps
    assert isinstance(early, ToolResult) and early.unmatched and early.call == 1
    assert isinstance(orphan, ToolResult) and orphan.unmatched and orphan.call == 2
    assert isinstance(turn, ModelMessage) and [u.call for u in turn.calls] == [1, 3]
    assert recording.skipped == {"result_without_call": 1, "call_without_result": 1}


def test_status_of_results(jsonl: Jsonl) -> None:
    """is_error is an error, an interruption is told apart, content may be a list of blocks."""
    rows = [
        row("assistant", [use("a"), use("b"), use("c")]),
        result("a", "no", is_error=True),
        result("b", [text("one"), {"type": "image"}, text("two")]),
        {**result("c", "half"), "toolUseResult": {"interrupted": True}},
    ]
    recording = main(jsonl, rows)
    results = [step for step in recording.steps if isinstance(step, ToolResult)]
    found = [(step.text, step.status) for step in results]
    assert found == [("no", ReturnStatus.ERROR), ("one\ntwo", ReturnStatus.OK), ("half", ReturnStatus.INTERRUPTED)]
    (image,) = results[1].images
    assert image.text == "[image]"


def test_an_answer_that_goes_on_after_other_steps_is_no_second_turn(jsonl: Jsonl) -> None:
    """Blocks of a message that others have followed continue it: the calls count, the turn does not."""
    rows = [
        row("assistant", [use("a")], id="m"),
        row("user", "meanwhile"),
        row("assistant", [use("b")], id="m"),
    ]
    recording = main(jsonl, rows)
    last = recording.steps[-1]
    assert (recording.turns, recording.tool_calls) == (1, 2)
    assert isinstance(last, ModelMessage) and last.continued


def progress(agent_id: str, nested: dict[str, Any]) -> dict[str, Any]:
    """A progress row of a subagent."""
    data = {"type": "agent_progress", "agentId": agent_id, "message": nested}
    return {"type": "progress", "sessionId": "s", "uuid": f"p{next(COUNTER)}", "cwd": "/w", "data": data}


def test_subagents_are_linked_sessions(jsonl: Jsonl) -> None:
    """agent_progress rows are grouped by agent, and stay out of the main session."""
    rows = [
        row("user", "start"),
        progress("x", row("user", [text("explore")])),
        progress("y", row("user", [text("test")])),
        progress("x", row("assistant", [use("a")], id="m")),
        progress("x", result("a")),
        {"type": "progress", "data": {"type": "bash_progress"}, "sessionId": "s", "uuid": "q"},
    ]
    recordings = parse(jsonl(rows), "test.jsonl")
    assert [r.session_id for r in recordings] == ["s", "s/agent-x", "s/agent-y"]
    assert [r.linked_to for r in recordings] == [None, "s", "s"]
    assert [len(r.steps) for r in recordings] == [1, 3, 1]
    assert recordings[0].skipped == {"bash_progress": 1}


def test_sidechain_rows_are_subagents(jsonl: Jsonl) -> None:
    """Inline sidechain rows follow their parents into one session; a file of its own has no main session."""
    first = {**row("user", "explore", isSidechain=True), "uuid": "abcdefgh-1", "parentUuid": None}
    second = row("assistant", [text("found")], isSidechain=True, parentUuid="abcdefgh-1")
    inline = parse(jsonl([row("user", "start"), first, second]), "test.jsonl")
    assert [(r.session_id, len(r.steps)) for r in inline] == [("s", 1), ("s/agent-abcdefgh", 2)]
    own = parse(jsonl([{**first, "agentId": "k"}, {**second, "agentId": "k"}]), "test.jsonl")
    assert [(r.session_id, r.linked_to) for r in own] == [("s/agent-k", "s")]


def test_malformed_rows_are_counted_by_reason(jsonl: Jsonl) -> None:
    """What is no JSON, no object, too deep, of no known type or without a message is skipped and counted."""
    deep = '{"type":"user","message":' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}"
    rows = [
        row("user", "fine"),
        "{not json",
        "[1, 2]",
        deep,
        {"type": "novelty", "sessionId": "s"},
        {"type": "assistant", "sessionId": "s", "message": "text"},
        {"type": "file-history-snapshot"},
    ]
    data = jsonl(rows) + b'{"type":"user","mess'
    recording = parse(data, "test.jsonl")[0]
    assert recording.skipped == {
        "not_json": 1,
        "not_an_object": 1,
        "too_deep": 1,
        "unknown_record": 1,
        "malformed_record": 1,
        "file_history_snapshot": 1,
        "truncated_line": 1,
    }
    assert len(recording.steps) == 1


def test_tools_that_a_search_found_are_named_and_other_blocks_are_counted(jsonl: Jsonl) -> None:
    """A `tool_reference` shows the tool's name; a block of another type is unknown, whatever it holds."""
    found = [{"type": "tool_reference", "tool_name": "Grep"}, {"type": "novelty", "tool_name": "Read"}]
    recording = main(jsonl, [row("assistant", [use("a")]), result("a", found)])
    assert isinstance(recording.steps[-1], ToolResult)
    assert (recording.steps[-1].text, recording.skipped) == ("Grep", {"unknown_block": 1})


def test_what_a_search_found_is_said_in_its_result(jsonl: Jsonl) -> None:
    """All texts of a `search_result` stand in the result, in order; what names its kind does not."""
    said = {"type": "search_result", "title": "A page", "content": [{"type": "text", "text": "its words"}]}
    recording = main(jsonl, [row("assistant", [use("a")]), result("a", [said])])
    assert isinstance(recording.steps[-1], ToolResult)
    assert (recording.steps[-1].text, recording.skipped) == ("A page\nits words", {})


def test_an_attachment_that_holds_nothing_is_counted(jsonl: Jsonl) -> None:
    """A row of a known kind without any text gives no page, and its reason is told."""
    empty = {"type": "attachment", "sessionId": "s", "attachment": {"type": "invoked_skills", "skills": []}}
    recording = main(jsonl, [row("user", "fine"), {**empty, "uuid": "e"}])
    assert (len(recording.steps), recording.skipped) == (1, {"empty_message": 1})


def test_hostile_texts_arrive_whole(jsonl: Jsonl) -> None:
    """NULs, lone surrogates and ten megabytes in a result are kept to the last character."""
    odd = "\0\ud800\udc00x\udfff" + "y" * 10_000_000
    recording = main(jsonl, [row("assistant", [use("a")]), result("a", odd)])
    found = recording.steps[-1]
    assert isinstance(found, ToolResult)
    whole = found.text == "\0\U00010000x\udfff" + "y" * 10_000_000
    assert whole  # apart, so that a failure does not print it


def test_a_text_block_whose_text_is_none_is_unknown(jsonl: Jsonl) -> None:
    """In an answer, a prompt and a result, what is no string is skipped and counted, and the texts beside it stay."""
    odd = [{"type": "text", "text": 5}, {"type": "text"}, {"type": "text", "text": ["x"]}]
    rows = [
        row("user", [*odd, text("asked")]),
        row("assistant", [*odd, text("answered"), use("a")]),
        result("a", [*odd, text("found")]),
    ]
    recording = main(jsonl, rows)
    asked, answered, found = recording.steps
    assert isinstance(asked, UserMessage) and isinstance(answered, ModelMessage) and isinstance(found, ToolResult)
    assert (asked.text, answered.texts, found.text) == ("asked", ("answered",), "found")
    assert recording.skipped == {"unknown_block": 9}
