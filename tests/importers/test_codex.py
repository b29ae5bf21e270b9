"""Codex rollouts: prompts told once, injected text, compactions, rollbacks, usage, patches; counts of real files."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.importers import Recording, read, read_bytes
from clawvm_es.importers.codex import parse
from clawvm_es.model.events import PageWritten, ToolCalled
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.model.pages import Author, PageType
from clawvm_es.observe.steps import (
    ContextDropped,
    ModelMessage,
    RulesLoaded,
    Summary,
    SystemMessage,
    ToolResult,
    UserMessage,
)
from tests.importers.texts import finished, texts_in

Jsonl = Callable[[Iterable[Any]], bytes]
META = {"id": "s1", "cwd": "/w", "base_instructions": {"text": "Be brief."}}


def row(kind: str, payload: Any, second: int = 0) -> dict[str, Any]:
    """A row."""
    return {"timestamp": f"2026-01-01T00:00:{second:02}.000Z", "type": kind, "payload": payload}


def item(kind: str, **fields: Any) -> dict[str, Any]:
    """A response item."""
    return row("response_item", {"type": kind, **fields})


def message(role: str, *texts: str, **fields: Any) -> dict[str, Any]:
    """A message of a role."""
    return item("message", role=role, content=[{"type": "input_text", "text": text} for text in texts], **fields)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event."""
    return row("event_msg", {"type": kind, **fields})


def call(name: str, arguments: Any, call_id: str = "c1") -> dict[str, Any]:
    """A function call."""
    return item("function_call", name=name, arguments=json.dumps(arguments), call_id=call_id)


def output(text: Any, call_id: str = "c1") -> dict[str, Any]:
    """The output of a function call."""
    return item("function_call_output", call_id=call_id, output=text)


def tokens(count: int, total: int) -> dict[str, Any]:
    """A row of usage: the last call's, and the total so far."""
    told = {"input_tokens": count, "cached_input_tokens": 1, "output_tokens": 2}
    return event("token_count", info={"last_token_usage": told, "total_token_usage": {"input_tokens": total}})


@pytest.fixture
def steps(jsonl: Jsonl) -> Callable[..., list[Any]]:
    """The steps of rows."""
    return lambda *rows: list(parse(jsonl(rows), "f")[0].steps)


def test_the_real_rollout_is_counted_as_its_rows_have_it(traces: Path) -> None:
    """Turns, calls, results, prompts and tokens of the real rollout equal those of its rows."""
    (path,) = (traces / "codex").glob("rollout-*.jsonl")
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    (recording,) = read(path)
    kinds = Counter(r["payload"].get("type") for r in rows if r["type"] in ("response_item", "event_msg"))
    infos = [r["payload"]["info"] for r in rows if r["payload"].get("type") == "token_count" and r["payload"]["info"]]
    answers = [step for step in recording.steps if isinstance(step, ModelMessage)]
    prompts = [step for step in recording.steps if isinstance(step, UserMessage) and not step.harness]
    assert path.stem.endswith(recording.session_id) and recording.format == "codex"
    assert recording.turns == len({json.dumps(info["total_token_usage"]) for info in infos}) == 39
    assert recording.tool_calls == kinds["function_call"] == 39
    assert sum(isinstance(step, ToolResult) for step in recording.steps) == kinds["function_call_output"]
    assert [step.text for step in prompts] == [
        r["payload"]["message"] for r in rows if r["payload"].get("type") == "user_message"
    ]
    total = infos[-1]["total_token_usage"]
    assert sum(step.usage.input_tokens for step in answers) == total["input_tokens"]
    assert sum(step.usage.cached_tokens for step in answers) == total["cached_input_tokens"]
    assert sum(step.usage.output_tokens for step in answers) == total["output_tokens"]
    assert sum(step.usage.thinking_tokens for step in answers) == total["reasoning_output_tokens"]
    assert sum(len(step.thinking) for step in answers) == kinds["agent_reasoning"]
    assert not set(recording.skipped) & {"unknown_record", "malformed_record", "unknown_block"}


def test_the_file_with_every_kind_of_row_is_counted_as_its_rows_have_it(traces: Path) -> None:
    """Compactions and calls of the file that has nearly every row equal those of its rows; no row is unknown."""
    path = traces / "codex" / "small.jsonl"
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    found = read(path)
    calls = sum(
        r["type"] == "response_item" and r["payload"]["type"].endswith("_call") for r in rows if "payload" in r
    )
    steps = [step for recording in found for step in recording.steps]
    dropped = [step for step in steps if isinstance(step, ContextDropped)]
    ids = dict.fromkeys(r["payload"]["id"] for r in rows if r["type"] == "session_meta")
    assert [recording.session_id for recording in found] == list(ids)
    assert sum(recording.tool_calls for recording in found) == calls
    assert len(dropped) == sum(r["type"] == "compacted" for r in rows) == 6
    assert all(step.boundary is Boundary.COMPACT for step in dropped)
    for recording in found:
        assert not set(recording.skipped) & {"unknown_record", "malformed_record", "unknown_block"}


def test_files_that_were_put_together_are_sessions_of_their_own(jsonl: Jsonl) -> None:
    """After items another id begins another session; a fork's copy of its parent's rows, old or new, does not."""
    meta = [row("session_meta", {"id": name}) for name in ("a", "b")]
    forked = row("session_meta", {"id": "c", "forked_from_id": "b"})
    items = [message("user", "one"), message("assistant", "two")]
    first, second = parse(jsonl([meta[0], *items, meta[1], *items]), "f")
    assert (first.session_id, second.session_id, first.steps[0].text) == ("a", "b", "one")
    assert [step.lines.first for step in second.steps] == [5, 6] and not first.resumed_from
    for rows in ([meta[0], meta[1], *items], [forked, meta[1], *items, meta[1], *items]):
        (fork,) = parse(jsonl(rows), "f")
        assert fork.resumed_from == "b" and fork.skipped["duplicate_record"]


@pytest.mark.parametrize("name", ["rollout-*.jsonl", "small.jsonl"])
def test_prefix_law_at_any_place(traces: Path, name: str) -> None:
    """The finished steps of a rollout cut after any line, or inside one, are the first steps of the whole."""
    (path,) = (traces / "codex").glob(name)
    data = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    chance = random.Random(7)
    wholes = parse(data, "f")
    for cut in sorted({*chance.sample(ends, 40), *chance.sample(range(ends[0], len(data)), 20)}):
        for part, whole in zip(parse(data[:cut], "f"), wholes, strict=False):
            done = finished(part)
            assert (part.session_id, done) == (whole.session_id, whole.steps[: len(done)]), cut


@pytest.mark.parametrize("item_first", [True, False])
def test_a_prompt_that_an_item_and_an_event_tell_is_one(steps: Any, item_first: bool) -> None:
    """Whichever row comes first is the prompt; the same words said again are another prompt."""
    pair = [message("user", "go  on\n"), event("user_message", message="go on")]
    found = steps(*(pair if item_first else pair[::-1]), message("assistant", "ok"), *pair)
    said = [step for step in found if isinstance(step, UserMessage)]
    assert len(said) == 2 and not any(step.harness for step in said)


def test_a_picture_alone_is_a_prompt_each_time(steps: Any) -> None:
    """Prompts without words are told by items and events too: two of one kind are two, one of each is one."""
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    told = event("user_message", message="", images=[picture["image_url"]])
    found = steps(*[item("message", role="user", content=[picture]) for _ in range(2)], message("user", ""), told)
    assert [len(step.images) for step in found if isinstance(step, UserMessage)] == [1, 1]


def test_a_rollout_without_a_name_is_named_by_its_first_row(jsonl: Jsonl) -> None:
    """Another beginning is another session, the same one goes on; what follows changes no name."""
    files = (["one"], ["two"], ["one", "more"])
    found = [parse(jsonl([message("user", text) for text in texts]), "f")[0].session_id for texts in files]
    assert found[0] == found[2] != found[1]


def test_a_prompt_that_only_one_row_tells(steps: Any) -> None:
    """Old files have no events, trimmed ones no items, new ones tell prompts as completed items."""
    told = {"type": "UserMessage", "content": [{"type": "text", "text": "three"}]}
    found = steps(message("user", "one"), event("user_message", message="two"), event("item_completed", item=told))
    assert [step.text for step in found] == ["one", "two", "three"]


def test_injected_text_is_the_harness_s(steps: Any) -> None:
    """Environment, hooks and what a recorded kind says are harness text; a user's own tags are a prompt."""
    environment = "<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"
    kinds = {"content_item_kinds": ["environment.context", "user.text"]}
    found = steps(
        message("user", environment),
        message("user", '<hook_prompt hook_run_id="h">look</hook_prompt>', "<question>why?</question>"),
        message("user", "set by Codex", "mine", internal_chat_message_metadata_passthrough=kinds),
        row("event_msg", {"type": "user_message", "message": environment, "kind": "environment_context"}),
    )
    assert [(step.text[:12], step.harness) for step in found] == [
        ("<environment", True),
        ("<hook_prompt", True),
        ("<question>wh", False),
        ("set by Codex", True),
        ("mine", False),
    ]


def test_rules_files_and_system_prompts(steps: Any) -> None:
    """AGENTS.md is a file of rules with its path; instructions and developer messages are system messages."""
    rules = "# AGENTS.md instructions for /w/app\n\n<INSTRUCTIONS>\n- Never push.\n</INSTRUCTIONS>"
    found = steps(row("session_meta", META), message("developer", "Sandbox on."), message("user", rules))
    assert [type(step) for step in found] == [SystemMessage, SystemMessage, RulesLoaded]
    assert (found[2].path, found[2].text) == ("/w/app/AGENTS.md", "- Never push.")


def test_items_of_one_answer_are_one_turn(steps: Any) -> None:
    """Reasoning, text and calls up to their outputs are one answer; what follows the outputs is the next one."""
    found = steps(
        item("reasoning", summary=[{"type": "summary_text", "text": "hm"}]),
        message("assistant", "I look"),
        call("shell", {"command": ["ls"], "workdir": "/other"}),
        call("shell", {"command": ["pwd"]}, "c2"),
        output("a", "c2"),
        output("b"),
        message("assistant", "done"),
    )
    answers = [step for step in found if isinstance(step, ModelMessage)]
    assert answers[0].thinking == ("hm",)
    assert [(step.texts, len(step.calls)) for step in answers] == [(("I look",), 2), (("done",), 0)]
    assert [each.cwd for each in answers[0].calls] == ["/other", ""]
    assert [(step.call, step.text) for step in found if isinstance(step, ToolResult)] == [(2, "a"), (1, "b")]


def test_usage_before_and_after_its_answer(steps: Any) -> None:
    """Rows of usage belong to the answer after them, or before them, by how the file begins; repeats are counted."""
    one, two = message("assistant", "one"), message("assistant", "two")
    before = steps(tokens(5, 5), one, tokens(5, 5), tokens(7, 12), two)
    after = steps(one, tokens(5, 5), tokens(5, 5), two, tokens(7, 12))
    for found in (before, after):
        assert [step.usage.input_tokens for step in found if isinstance(step, ModelMessage)] == [5, 7]


def test_usage_told_twice_is_one(steps: Any) -> None:
    """A file with records of usage and token counts has each usage once; equal usages of two calls are two."""
    told = row("token_usage_record", {"usage": {"input_tokens": 5, "cached_input_tokens": 1, "output_tokens": 2}})
    one, two = message("assistant", "one"), message("assistant", "two")
    found = steps(one, told, tokens(5, 5), two, tokens(5, 10), told)
    assert [step.usage.input_tokens for step in found if isinstance(step, ModelMessage)] == [5, 5]


def test_usage_of_a_call_that_summarised_is_counted(jsonl: Jsonl) -> None:
    """The usage of a compaction's own call belongs to no answer and is counted as such."""
    rows = [message("assistant", "one"), tokens(5, 5), tokens(9, 14), row("compacted", {"message": "sum"})]
    (recording,) = parse(jsonl([*rows, message("assistant", "two"), tokens(3, 17)]), "f")
    assert [s.usage.input_tokens for s in recording.steps if isinstance(s, ModelMessage)] == [5, 3]
    assert recording.skipped["usage_without_answer"] == 1


@pytest.mark.parametrize(
    ("given", "text", "status"),
    [
        ('{"output":"a","metadata":{"exit_code":0}}', "a", ReturnStatus.OK),
        ('{"output":"a","metadata":{"exit_code":2}}', "a", ReturnStatus.ERROR),
        ("Exit code: 1\nWall time: 0 seconds\nOutput:\nno", None, ReturnStatus.ERROR),
        ("Chunk ID: x\nProcess exited with code 0\nOutput:\nExit code: 1", None, ReturnStatus.OK),
        ("Exit code: 1 stands in a file", None, ReturnStatus.OK),
        ({"content": "a", "success": False}, "a", ReturnStatus.ERROR),
        ({"type": "input_text", "text": "a"}, "a", ReturnStatus.OK),
        ([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}], "a\nb", ReturnStatus.OK),
        ('{"output": broken', '{"output": broken', ReturnStatus.OK),
        (7, "", ReturnStatus.OK),
    ],
)
def test_outputs_in_every_form(steps: Any, given: Any, text: str | None, status: ReturnStatus) -> None:
    """An output is a text, JSON text of one, an object or blocks; exit codes tell how it ended."""
    result = steps(call("shell", {"command": ["x"]}), output(given))[-1]
    assert (result.text, result.status) == (given if text is None else text, status)


def test_models_cuts_and_images(steps: Any) -> None:
    """Answers name the model and its provider; prompts and results have their images; boundaries say how they cut."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    found = steps(
        row("session_meta", {"id": "s", "model_provider": "openai"}),
        row("turn_context", {"model": "gpt-5", "cwd": "/w"}),
        item("message", role="user", content=[{"type": "input_text", "text": "<image name=x>"}, image]),
        call("view_image", {"path": "a.png"}),
        output([image]),
        row("compacted", {"message": "sum"}),
    )
    prompt, answer, result, dropped, _summary = found
    assert (answer.model, answer.provider, answer.calls[0].call_id) == ("gpt-5", "openai", "c1")
    assert [each.size_bytes for each in (*prompt.images, *result.images)] == [3, 3]
    assert prompt.text == "" and dropped.cut is Cut.COMPACT


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"type": "input_image"}, "image"),
        ({"type": "image", "image_url": ""}, "image"),
        ({"type": "input_text", "text": 7}, "unknown_block"),
        ({"type": "input_hologram", "text": "x", "image_url": "http://x"}, "unknown_block"),
        ({"type": "encrypted_content", "data": "x"}, "encrypted"),
    ],
)
def test_blocks_that_are_neither_text_nor_image_are_counted(jsonl: Jsonl, block: Any, reason: str) -> None:
    """A block of an unknown kind, an image without an address or bytes, a text that is none: counted by reason."""
    text = {"type": "input_text", "text": "look"}
    (recording,) = parse(jsonl([row("session_meta", META), item("message", role="user", content=[text, block])]), "f")
    (prompt,) = (step for step in recording.steps if isinstance(step, UserMessage))
    assert (prompt.text, prompt.images, recording.skipped) == ("look", (), {reason: 1})


def test_calls_in_every_form(steps: Any) -> None:
    """Custom calls, calls with a namespace and calls that name no tool have the names of their tools."""
    (answer,) = steps(
        item("custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="a"),
        item("custom_tool_call", name="shell", input='{"command": ["ls"]}', call_id="b"),
        item("function_call", name="get", namespace="mcp.x", arguments="", call_id="c"),
        item("function_call", name="get", namespace="functions", arguments=None, call_id="d"),
        item("local_shell_call", call_id="e", action={"command": ["ls"], "working_directory": "/d"}),
        item("tool_search_call", call_id="f", arguments={"query": "q"}),
        item("web_search_call", id="g", action={"query": "q"}),
        item("image_generation_call", id="h", revised_prompt="a cat", result="AAAA"),
    )
    assert [each.name for each in answer.calls] == [
        *("apply_patch", "shell", "mcp.x.get", "get", "local_shell", "tool_search", "web_search", "image_generation")
    ]
    assert answer.calls[0].arguments == {"input": "*** Begin Patch"}
    assert answer.calls[1].arguments == {"command": ["ls"]} and answer.calls[2].arguments == {}
    assert answer.calls[4].cwd == "/d"


def test_a_compaction_keeps_what_its_history_repeats(steps: Any) -> None:
    """Messages of the replacement history that stood in the context stay; new ones are the summary or the harness."""
    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "prompt"}]},
        {"type": "function_call", "name": "shell", "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "new rules"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<skill>x</skill>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "We did this."}]},
        {"type": "compaction", "encrypted_content": "x"},
    ]
    found = steps(
        message("user", "prompt"),
        message("assistant", "gone"),
        call("shell", {"command": ["ls"]}),
        output("a"),
        row("compacted", {"message": "", "replacement_history": history}),
    )
    dropped = next(step for step in found if isinstance(step, ContextDropped))
    assert dropped.boundary is Boundary.COMPACT and dropped.kept_lines == frozenset((1, 3, 4))
    after = found[found.index(dropped) + 1 :]
    assert [(type(step), step.text) for step in after] == [
        (SystemMessage, "new rules"),
        (UserMessage, "<skill>x</skill>"),
        (Summary, "We did this."),
    ]


def test_a_summary_that_a_later_history_repeats_stays(steps: Any) -> None:
    """The summary of one compaction is kept by the next one whose history has it again."""
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "We did this."}]}
    twice = [row("compacted", {"message": "", "replacement_history": [said]})] * 2
    found = steps(message("user", "prompt"), *twice)
    assert [step.kept_lines for step in found if isinstance(step, ContextDropped)] == [frozenset(), frozenset((2,))]
    assert sum(isinstance(step, Summary) for step in found) == 1


def test_a_compaction_that_drops_nothing(jsonl: Jsonl, translate: Any) -> None:
    """Where a history repeats all that stood in the context, pages are still in it: a later need says so."""
    token = "deployment-token-0123456789-abcdefghijkl"
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"use {token}"}]}
    rows = [message("user", f"use {token}"), row("compacted", {"message": "", "replacement_history": [said]})]
    (recording,) = parse(jsonl([*rows, call("shell", {"command": ["deploy", token]})]), "f")
    needs = [need for each in translate(recording) for need in getattr(each.data, "needs", ())]
    assert [holder.recorded_resident for need in needs for holder in need.holders] == [True]


def test_an_old_compaction_keeps_prompts_and_environment(steps: Any) -> None:
    """Without a replacement history the newest prompts, up to a bound, and the harness's texts stay."""
    environment = "<environment_context>x</environment_context>"
    found = steps(
        message("user", environment),
        message("user", "a" * 70_000),
        message("user", "b" * 20_000),
        message("assistant", "gone"),
        row("compacted", {"message": "We did this."}),
    )
    assert found[-2].kept_lines == frozenset((1, 3))
    assert isinstance(found[-1], Summary) and found[-1].text == "We did this."


@pytest.mark.parametrize(("chars", "kept"), [(60_000, {2, 3}), (60_001, {3})])
def test_an_old_compaction_keeps_prompts_up_to_its_bound(steps: Any, chars: int, kept: set[int]) -> None:
    """Prompts of exactly as many characters as the bound stay, of one more the oldest goes."""
    rows = [message("user", "a" * 9), message("user", "b" * chars), message("user", "c" * 20_000)]
    found = steps(*rows, row("compacted", {"message": "We did this."}))
    assert found[-2].kept_lines == kept


def test_a_rollback_drops_the_last_prompts(steps: Any) -> None:
    """A rollback of one turn drops the last prompt and all after it; one of no turns drops nothing."""
    rows = [message("user", "one"), message("assistant", "a"), message("user", "two"), message("assistant", "b")]
    found = steps(*rows, event("thread_rolled_back", num_turns=1), event("thread_rolled_back", num_turns=0))
    (dropped,) = (step for step in found if isinstance(step, ContextDropped))
    assert dropped.boundary is Boundary.PRUNE and dropped.kept_lines == frozenset((1, 2))


def test_a_rollback_undoes_the_compactions_after_it(steps: Any) -> None:
    """Before a prompt that is rolled back stands what stood there, also what a later compaction had dropped."""
    rows = [message("user", "one"), call("shell", "{}"), output("x"), message("user", "two")]
    kept = {
        "message": "",
        "replacement_history": [message("user", "one")["payload"], message("user", "S")["payload"]],
    }
    again = {"message": "", "replacement_history": [message("user", "T")["payload"]]}
    more = [event("thread_rolled_back", num_turns=1), event("thread_rolled_back", num_turns=2)]
    whole = [*rows, row("compacted", kept), message("user", "three"), row("compacted", again), message("user", "4")]
    cuts = [step for step in steps(*whole, *more) if isinstance(step, ContextDropped)]
    assert [(cut.boundary, cut.kept_lines) for cut in cuts[2:]] == [
        (Boundary.PRUNE, {7}),
        (Boundary.PRUNE, {1, 2, 3}),
    ]


def test_pictures_that_only_an_event_tells(steps: Any) -> None:
    """An event's pictures are those of its prompt, by their digest or their path; an item's are not doubled."""
    pictures = {"images": ["data:image/png;base64,aGk="], "local_images": ["/a.png"]}
    (alone,) = steps(event("user_message", message="look", **pictures))
    assert [(each.media_type, each.size_bytes, each.url) for each in alone.images] == [
        ("image/png", 2, ""),
        ("", 0, "/a.png"),
    ]
    (both,) = steps(message("user", "look"), event("user_message", message="look", **pictures))
    assert both.images == ()


def test_an_agent_names_the_thread_that_spawned_it_in_its_source(jsonl: Jsonl) -> None:
    """Older versions name the parent of an agent in its source alone."""
    source = {"subagent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1}}}
    rows = [row("session_meta", {"id": "s", "source": source}), message("user", "hi")]
    assert parse(jsonl(rows), "f")[0].linked_to == "p"
    assert parse(jsonl([row("session_meta", {"id": "s", "source": "cli"}), rows[1]]), "f")[0].linked_to is None


def test_patches_name_what_they_write(jsonl: Jsonl, translate: Any, vault: Any) -> None:
    """A patch writes the files that it names, as a tool or by a shell command; another command may write anything."""
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n*** Add File: /abs/b.py\n+z\n*** End Patch"
    heredoc = f"cd sub && apply_patch <<'EOF'\n{patch}\nEOF\n"
    rows = [
        row("session_meta", META),
        item("custom_tool_call", name="apply_patch", input=patch, call_id="a"),
        call("shell", {"command": ["bash", "-lc", heredoc]}, "b"),
        call("shell", {"command": ["bash", "-lc", f"{heredoc}; make"]}, "c"),
        call("shell", {"command": ["bash", "-lc", "sed -n 1,5p a.py"]}, "d"),
    ]
    (recording,) = parse(jsonl(rows), "f")
    keys: list[str] = []
    wrote: list[set[str]] = []
    for command in translate(recording):
        if isinstance(command.data, ToolCalled):
            keys += [vault.open(each.key).decode() for each in command.data.resources]
            wrote.append({keys[n - 1] for n in command.data.writes if not keys[n - 1].startswith("tree:")})
            last = command.data
    assert wrote == [{"/w/a.py", "/abs/b.py"}, {"/w/sub/a.py", "/abs/b.py"}, set(), set()]
    assert last.deterministic


def test_plans_and_a_session_s_starter(jsonl: Jsonl, translate: Any) -> None:
    """`update_plan` writes the plan page; a subagent's rollout names the session that started it."""
    rows = [
        row("session_meta", {**META, "parent_thread_id": "s0"}),
        call("update_plan", {"plan": [{"step": "look", "status": "in_progress"}]}),
        output("Plan updated"),
        row("session_meta", {"id": "s0"}),
    ]
    (recording,) = parse(jsonl(rows), "f")
    pages = [command.data for command in translate(recording) if isinstance(command.data, PageWritten)]
    assert [page.page_type for page in pages if page.author is Author.MODEL] == [PageType.PLAN]
    assert (recording.session_id, recording.linked_to) == ("s1", "s0")
    assert recording.skipped == {"duplicate_record": 1}


SEEN = [
    row("session_meta", {"id": "s1", "base_instructions": {"text": "CANARY"}}),
    message("developer", "CANARY"),
    message("system", "CANARY"),
    message("user", "CANARY"),
    message("user", "<environment_context>CANARY</environment_context>"),
    message("assistant", "CANARY"),
    item("reasoning", summary=[{"type": "summary_text", "text": "CANARY"}]),
    event("user_message", message="CANARY"),
    event("item_completed", item={"type": "UserMessage", "content": [{"type": "text", "text": "CANARY"}]}),
    item("agent_message", content=[{"type": "input_text", "text": "CANARY"}]),
    row("inter_agent_communication", {"content": "CANARY"}),
    call("shell", {"command": ["CANARY"]}),
    item("custom_tool_call", name="apply_patch", input="CANARY", call_id="x"),
    item("local_shell_call", call_id="x", action={"command": ["CANARY"]}),
    item("web_search_call", id="x", action={"query": "CANARY"}),
    item("tool_search_call", call_id="x", arguments={"query": "CANARY"}),
    item("image_generation_call", id="x", revised_prompt="CANARY"),
    output("CANARY"),
    item("custom_tool_call_output", call_id="x", output=[{"type": "input_text", "text": "CANARY"}]),
    item("tool_search_output", call_id="x", tools=[{"description": "CANARY"}]),
    row("compacted", {"message": "CANARY"}),
    row("compacted", {"replacement_history": [{"type": "message", "role": "user", "content": "CANARY"}]}),
    row("compacted", {"replacement_history": [{"type": "agent_message", "content": "CANARY"}]}),
]
UNSEEN = [
    row("session_meta", {"id": "s2", "base_instructions": {"text": "CANARY"}}),
    row("turn_context", {"cwd": "/CANARY"}),
    row("world_state", {"state": {"agents_md": {"text": "CANARY"}}}),
    event("agent_message", message="CANARY"),
    event("agent_reasoning", text="CANARY"),
    event("exec_command_end", stdout="CANARY"),
    event("item_completed", item={"type": "CommandExecution", "command": ["CANARY"]}),
    event("task_complete", last_agent_message="CANARY"),
    event("new_event", text="CANARY"),
    row("new_row", {"text": "CANARY"}),
    item("ghost_snapshot", ghost_commit={"id": "CANARY"}),
    item("new_item", text="CANARY"),
    message("new_role", "CANARY"),
    message("user", "", internal="CANARY"),
]


@pytest.mark.parametrize("planted", SEEN, ids=lambda each: f"{each['type']}-{each['payload'].get('type')}")
def test_what_the_model_saw_is_in_a_body(jsonl: Jsonl, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any row that the model saw or wrote stands in the journal."""
    (recording,) = parse(jsonl([planted, message("assistant", "ok")]), "f")
    assert any("CANARY" in text for text in texts_in(translate(recording), vault))


@pytest.mark.parametrize("planted", UNSEEN, ids=range(len(UNSEEN)))
def test_what_the_model_did_not_see_is_counted(jsonl: Jsonl, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any other row stands nowhere, and the row is counted by its reason."""
    (recording,) = parse(jsonl([row("session_meta", {"id": "s1"}), planted]), "f")
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) == 1


def test_a_rollout_is_told_by_its_rows(jsonl: Jsonl) -> None:
    """A file of Codex rows is detected, and one without a session's row has an id of its first row."""
    (recording,) = read_bytes(jsonl([message("user", "hi")]), "f")
    assert isinstance(recording, Recording) and recording.session_id.startswith("codex-")
    assert (
        read_bytes(jsonl([message("user", "hi"), message("user", "you")]), "f")[0].session_id == recording.session_id
    )
