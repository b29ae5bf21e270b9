"""Claude Code (C1): what the model saw in any kind of row is in a page, once; all else is counted by reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.importers import Recording, read
from clawvm_es.importers.claude_code import parse
from clawvm_es.importers.claude_queue import Queue
from clawvm_es.importers.claude_text import Said, part_of
from clawvm_es.model.commands import Command
from clawvm_es.model.events import PageWritten, ToolCalled
from clawvm_es.model.pages import Author, PageType

CANARY = "CANARY-4711"
NUMBERS = iter(range(10**6))
Translate = Callable[[Recording], list[Command]]


def row(kind: str, **more: Any) -> dict[str, Any]:
    """A row of session `s`."""
    return {"type": kind, "uuid": f"u{next(NUMBERS)}", "sessionId": "s", "timestamp": "2026-05-01T10:00:00Z", **more}


def user(content: Any, **more: Any) -> dict[str, Any]:
    """A user row."""
    return row("user", message={"role": "user", "content": content}, **more)


def answer(*content: Any, **more: Any) -> dict[str, Any]:
    """A row of an answer."""
    return row("assistant", message={"id": "m1", "role": "assistant", "content": list(content), **more})


def attached(kind: str, **more: Any) -> dict[str, Any]:
    """An attachment row."""
    return row("attachment", attachment={"type": kind, **more})


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


QUEUED = {"type": "queue-operation", "sessionId": "s"}
CALL = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "/w/a"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1"}
SEEN: dict[str, list[Any]] = {
    "prompt": [user(CANARY)],
    "prompt in blocks": [user([text("look"), text(CANARY)])],
    "document in a prompt": [user([{"type": "document", "source": {"type": "text", "data": CANARY}}])],
    "slash command": [user(f"<command-name>/fix</command-name>\n<command-args>{CANARY}</command-args>")],
    "message of a command": [user(f"<command-message>{CANARY}</command-message><command-name>/fix</command-name>")],
    "body of a command": [
        user("<command-name>/fix</command-name>", uuid="c"),
        user([text(CANARY)], isMeta=True, parentUuid="c"),
    ],
    "skill": [user([text(f"Base directory for this skill: /s\n{CANARY}")], isMeta=True)],
    "skill of a call": [user(CANARY, isMeta=True, sourceToolUseID="t1")],
    "words of the harness": [user(CANARY, isMeta=True)],
    "command of a shell": [user(f"<bash-input>{CANARY}</bash-input>")],
    "output of a shell": [user(f"<bash-stdout>{CANARY}</bash-stdout><bash-stderr></bash-stderr>")],
    "errors of a shell": [user(f"<bash-stdout></bash-stdout><bash-stderr>{CANARY}</bash-stderr>")],
    "output of a local command": [user(f"<local-command-stdout>{CANARY}</local-command-stdout>")],
    "interruption": [user([text(f"[Request interrupted by user] {CANARY}")])],
    "reminder": [user([text(f"<system-reminder>{CANARY}</system-reminder>")])],
    "local command in a system row": [
        row("system", subtype="local_command", content=f"<local-command-stdout>{CANARY}</local-command-stdout>")
    ],
    "summary": [user(CANARY, isCompactSummary=True, isVisibleInTranscriptOnly=True)],
    "text of an answer": [answer(text(CANARY))],
    "result": [answer(CALL), user([{**RESULT, "content": CANARY}])],
    "result in blocks": [answer(CALL), user([{**RESULT, "content": [text("x"), text(CANARY)]}])],
    "failed result": [answer(CALL), user([{**RESULT, "content": CANARY, "is_error": True}])],
    "text beside a result": [answer(CALL), user([{**RESULT, "content": "ok"}, text(CANARY)])],
    "result of a server's tool": [
        answer(
            {"type": "server_tool_use", "id": "w", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "w", "content": [{"title": CANARY, "url": "u"}]},
        )
    ],
    "prompt typed in mid-turn": [
        {**QUEUED, "operation": "enqueue", "content": CANARY},
        {**QUEUED, "operation": "remove"},
    ],
    "queued prompt attached": [attached("queued_command", prompt=CANARY, commandMode="prompt")],
    "queued prompt in blocks": [attached("queued_command", prompt=[text(CANARY)])],
    "file": [attached("file", filename="/w/n.md", content={"type": "text", "file": {"content": CANARY}})],
    "edited file": [attached("edited_text_file", filename="/w/n.md", snippet=CANARY)],
    "lines of a file": [attached("selected_lines_in_ide", filename="/w/n.md", content=CANARY, lineStart=1)],
    "folder": [attached("directory", path="/w", content=CANARY)],
    "nested memory": [attached("nested_memory", path="/w/CLAUDE.md", content={"content": CANARY, "type": "Project"})],
    "instructions": [attached("instructions", files=[{"path": "/w/CLAUDE.md", "content": CANARY}])],
    "a rendering": [{**attached("date", date="x"), "rendered": [{"content": f"<system-reminder>{CANARY}"}]}],
    "memories": [attached("relevant_memories", memories=[{"path": "/m", "content": CANARY}])],
    "skills": [attached("invoked_skills", skills=[{"name": "s", "path": "/s", "content": CANARY}])],
    "list of skills": [attached("skill_listing", content=CANARY)],
    "context of a hook": [attached("hook_additional_context", content=[CANARY], hookName="h")],
    "error of a hook": [attached("hook_blocking_error", blockingError={"blockingError": CANARY, "command": "c"})],
    "start of a session": [attached("hook_success", hookEvent="SessionStart", content=CANARY)],
    "plan": [attached("plan_file_reference", planFilePath="/w/p.md", planContent=CANARY)],
    "to-do list": [attached("todo_reminder", content=[{"content": CANARY, "status": "pending"}])],
    "diagnostics": [attached("diagnostics", files=[{"uri": "/w/a", "diagnostics": [{"message": CANARY}]}])],
    "resource": [attached("mcp_resource", server="s", uri="u", content={"contents": [{"text": CANARY}]})],
    "an attachment of tomorrow": [attached("novelty", deep=[{"er": {"est": CANARY}}])],
}
UNSEEN: dict[str, tuple[list[Any], str]] = {
    "transcript only": ([user(CANARY, isVisibleInTranscriptOnly=True)], "meta"),
    "notice": ([row("system", subtype="informational", content=CANARY)], "system_notice"),
    "duration": ([row("system", subtype="turn_duration", content=CANARY)], "system_notice"),
    "answer that is none": ([answer(text(CANARY), model="<synthetic>")], "synthetic"),
    "error of the API": ([{**answer(text(CANARY)), "isApiErrorMessage": True}], "synthetic"),
    "title": ([{"type": "summary", "summary": CANARY, "leafUuid": "x"}], "summary_title"),
    "snapshot": ([{"type": "file-history-snapshot", "snapshot": {"x": CANARY}}], "file_history_snapshot"),
    "progress of a hook": ([row("progress", data={"type": "hook_progress", "command": CANARY})], "hook_progress"),
    "progress of a shell": ([row("progress", data={"type": "bash_progress", "output": CANARY})], "bash_progress"),
    "link": ([{"type": "pr-link", "sessionId": "s", "prUrl": CANARY}], "pr_link"),
    "setting": ([{"type": "permission-mode", "sessionId": "s", "permissionMode": CANARY}], "setting_change"),
    "label": ([{"type": "last-prompt", "sessionId": "s", "lastPrompt": CANARY}], "label"),
    "thinking kept secret": ([answer(text("x"), {"type": "redacted_thinking", "data": CANARY})], "thinking"),
    "hook that only failed": ([attached("hook_non_blocking_error", stderr=CANARY)], "attachment"),
    "system prompt and tools": ([attached("prompt_snapshot", systemPrompt=[CANARY], tools=[])], "attachment"),
    "request": ([{"type": "api-request", "sessionId": "s", "params": {"model": CANARY}}], "mirrored"),
    "message of a request": ([{"type": "api-request-blob", "sessionId": "s", "message": CANARY}], "mirrored"),
    "system prompt of a request": ([{"type": "api-request-shape", "shape": {"system": CANARY}}], "mirrored"),
    "tools that were used": ([{"type": "tools-used", "sessionId": "s", "tools": [CANARY]}], "mirrored"),
    "latch": ([{"type": "atis-latch", "sessionId": "s", "atis": CANARY}], "setting_change"),
    "hook that ran well": ([attached("hook_success", hookEvent="PostToolUse", content=CANARY)], "attachment"),
    "prompt that waits": ([{**QUEUED, "operation": "enqueue", "content": CANARY}], "queue_operation"),
    "prompt that was taken back": (
        [{**QUEUED, "operation": "enqueue", "content": CANARY}, {**QUEUED, "operation": "popAll", "content": CANARY}],
        "queue_operation",
    ),
    "prompt that was dropped": (
        [
            {**QUEUED, "operation": "enqueue", "content": CANARY},
            {**QUEUED, "operation": "remove", "content": CANARY, "reason": "deleted"},
        ],
        "queue_operation",
    ),
    "row of tomorrow": ([row("novelty", content=CANARY)], "unknown_record"),
    "block of tomorrow": ([user([{"type": "novelty", "text": CANARY}])], "unknown_block"),
}


def recording(rows: list[Any]) -> Recording:
    """A session that begins with a prompt, then these rows."""
    lines = [json.dumps(each) for each in [user("hello"), *rows]]
    return parse("\n".join([*lines, ""]).encode(), "s.jsonl")[0]


def pages_with(found: list[Command], vault: Any, words: str) -> list[PageWritten]:
    """The pages whose full text holds these words."""
    written = [command.data for command in found if isinstance(command.data, PageWritten)]
    return [page for page in written if words in vault.open(page.levels[0].body).decode()]


@pytest.mark.parametrize("kind", SEEN)
def test_what_the_model_saw_is_in_a_page(kind: str, translate: Translate, vault: Any) -> None:
    """A planted text in any kind of row that the model saw stands in exactly one page."""
    found = recording(SEEN[kind])
    assert len(pages_with(translate(found), vault, CANARY)) == 1, found.steps


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_the_model_did_not_see_is_counted(kind: str, translate: Translate, vault: Any) -> None:
    """A planted text in any other kind of row is in no page, and the row is counted by its reason."""
    rows, reason = UNSEEN[kind]
    found = recording(rows)
    assert not pages_with(translate(found), vault, CANARY)
    assert found.skipped.get(reason, 0) > 0, found.skipped


def test_a_queued_prompt_is_said_once(cases: Path, translate: Translate, vault: Any) -> None:
    """Enqueued, removed and attached it is one page of the user's, before the answer that heeds it."""
    (found,) = read(cases / "01-queued-command" / "s.jsonl")
    (page,) = pages_with(translate(found), vault, "PRODDB-77")
    assert (page.page_type, page.author) == (PageType.CONVERSATION, Author.USER)
    (other,) = read(cases / "50-rows" / "queued.jsonl")
    assert len(pages_with(translate(other), vault, "never push to main")) == 1


def test_slash_commands(cases: Path, translate: Translate, vault: Any) -> None:
    """A command's arguments are the user's words, its body is loaded as a skill's is."""
    (found,) = read(cases / "02-slash-command-body" / "s.jsonl")
    said, body = pages_with(translate(found), vault, "BILL-4711")
    assert (said.author, body.page_type) == (Author.USER, PageType.BOOTSTRAP)
    (other,) = read(cases / "50-rows" / "slash.jsonl")
    assert pages_with(translate(other), vault, "/review 167 and check error handling")
    assert pages_with(translate(other), vault, "must check tests")


def test_attachments(cases: Path, translate: Translate, vault: Any) -> None:
    """An attached file is evidence that holds a need, nested memory a bootstrap page."""
    (found,) = read(cases / "22-attachments" / "s.jsonl")
    commands = translate(found)
    (file,), (memory,) = (pages_with(commands, vault, words) for words in ("NOTE-CONTENT-551", "RULE-552"))
    assert (file.page_type, memory.page_type) == (PageType.EVIDENCE, PageType.BOOTSTRAP)
    (called,) = [command.data for command in commands if isinstance(command.data, ToolCalled)]
    assert file.page_id in {holder.page_id for need in called.needs for holder in need.holders} or called.needs == ()


def test_shell_mode(cases: Path, translate: Translate, vault: Any) -> None:
    """The output of a `!` command holds the need of an edit that replaces it."""
    (found,) = read(cases / "26-bash-mode" / "s.jsonl")
    commands = translate(found)
    (page,) = pages_with(commands, vault, "BASHOUT")
    (called,) = [command.data for command in commands if isinstance(command.data, ToolCalled)]
    (need,) = called.needs
    assert [holder.page_id for holder in need.holders] == [page.page_id]
    assert pages_with(commands, vault, "! cat settings.toml")


def test_a_prompt_in_mid_turn_does_not_part_an_answer() -> None:
    """What comes between the rows of one answer follows the whole answer."""
    first, second = answer(text("one")), answer(CALL)
    queued = [{**QUEUED, "operation": "enqueue", "content": "wait"}, {**QUEUED, "operation": "remove"}]
    found = recording([first, *queued, second, user([{**RESULT, "content": "ok"}])])
    assert [type(step).__name__ for step in found.steps] == [
        "UserMessage",
        "ModelMessage",
        "UserMessage",
        "ToolResult",
    ]
    assert (found.turns, found.tool_calls) == (1, 1)
    again = recording([first, *queued, attached("queued_command", prompt="wait", commandMode="prompt")])
    assert again.skipped == {**found.skipped, "duplicate_record": 1}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("plain words", (Said.USER, "plain words", "")),
        ("see <command-name>/clear</command-name>", (Said.USER, "see <command-name>/clear</command-name>", "")),
        (" <command-name>/clear</command-name>", (Said.COMMAND, "/clear", "/clear")),
        ("<command-message>x</command-message><command-name>/x</command-name>", (Said.COMMAND, "/x", "/x")),
        ("<bash-stdout></bash-stdout><bash-stderr></bash-stderr>", (Said.HARNESS, "", "")),
        ("<bash-input>ls", (Said.HARNESS, "<bash-input>ls", "")),
    ],
)
def test_tags_count_at_the_beginning_only(said: str, expected: tuple[Said, str, str]) -> None:
    """A quoted tag says nothing, one that is not closed is text of the harness."""
    part = part_of(said)
    assert (part.said, part.text, part.name) == expected


def test_the_queue() -> None:
    """The oldest prompt is taken where none is named; each is said once, whichever row shows it first."""
    queue = Queue()
    for text_ in ("a", "b", "c"):
        assert queue.did("enqueue", text_, "") is None
    assert queue.did("dequeue", "", "") is None
    assert queue.did("remove", "c", "absorbed_mid_turn") == "c"
    assert queue.show("c") is None
    assert queue.show("b") == "b"
    assert queue.did("remove", "", "") is None
    assert queue.did("remove", "", "") is None
    assert queue.show("c") == "c"
