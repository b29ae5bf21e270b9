"""No text that a person, model, tool or file wrote stands in `events`, whatever the format."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import count

import pytest

from clawvm_es.storage.sqlite.packing import unpack

_NUMBERS = count(1)


def canary(what: str) -> str:
    """A text that occurs nowhere else."""
    return f"CANARY{next(_NUMBERS)}{what} must not be seen"


def claude_code() -> list[dict]:
    """Every text field of Claude Code rows: texts, thoughts, calls, results, summaries, skills, directories, ids."""
    session = {"sessionId": "s-claude", "cwd": canary("cwd"), "gitBranch": canary("branch"), "version": canary("v")}

    def row(kind, content, **more):
        message = {"role": kind, "content": content, "model": canary("model"), "id": canary("message")}
        return (
            {"type": kind, "uuid": canary("uuid"), "parentUuid": canary("parent"), "message": message}
            | session
            | more
        )

    def call(name, call_id, **given):
        return {"type": "tool_use", "id": call_id, "name": name, "input": given}

    def result(call_id, content, **more):
        return row("user", [{"type": "tool_result", "tool_use_id": call_id, "content": content}], **more)

    path, edit, todo, odd, bash, grep = (canary(name) for name in ("read", "edit", "todo", "odd", "bash", "grep"))
    return [
        row("user", canary("question")),
        row(
            "assistant",
            [{"type": "text", "text": canary("text")}, {"type": "thinking", "thinking": canary("thought")}],
        ),
        row("assistant", [call("Read", path, file_path=canary("/path"))]),
        result(path, canary("result"), toolUseResult={"stdout": canary("stdout"), "interrupted": False}),
        row(
            "assistant",
            [call("Edit", edit, file_path=canary("/p"), old_string=canary("old"), new_string=canary("new"))],
        ),
        result(edit, [{"type": "text", "text": canary("edited")}]),
        row("assistant", [call("TodoWrite", todo, todos=[{"content": canary("step"), "status": "in_progress"}])]),
        result(todo, canary("done")),
        row("assistant", [call(canary("UnknownTool"), odd, **{canary("key"): {canary("inner"): [canary("value")]}})]),
        result(odd, canary("unknown"), is_error=True),
        row("assistant", [call("Bash", bash, command=canary("command"), description=canary("description"))]),
        row("assistant", [call("Grep", grep, pattern=canary("pattern"), path=canary("/where"))]),
        result(canary("lost"), canary("orphan")),
        row("user", f"Base directory for this skill: {canary('/skill')}\n{canary('skill')}", isMeta=True),
        {"type": "system", "subtype": "compact_boundary", "uuid": "c", "content": canary("notice")} | session,
        row("user", canary("summary"), isCompactSummary=True),
        row("assistant", [{"type": "text", "text": canary("aside")}], isSidechain=True, agentId="a1"),
        {"type": canary("unknown_record"), "uuid": "x", "text": canary("unknown_text")} | session,
        row("assistant", [{"type": "text", "text": canary("end")}]),
    ]


def pi() -> list[dict]:
    """Every text field of pi entries."""

    def entry(entry_id, parent, role, content, **more):
        return {
            "type": "message",
            "id": entry_id,
            "parentId": parent,
            "message": {"role": role, "content": content} | more,
        }

    def text(what):
        return [{"type": "text", "text": canary(what)}]

    a, b, c, d, read, odd = (canary(name) for name in ("a", "b", "c", "d", "call", "call"))
    return [
        {"type": "session", "version": 3, "id": "s-pi", "cwd": canary("/cwd")},
        entry(a, None, "user", text("question")),
        entry(b, a, "assistant", [
            *text("words"),
            {"type": "toolCall", "id": read, "name": "read", "arguments": {"path": canary("/path")}},
            {"type": "toolCall", "id": odd, "name": canary("odd"), "arguments": {canary("key"): canary("it")}},
        ], provider=canary("provider"), model=canary("model")),
        entry(c, b, "toolResult", text("result"), toolCallId=read, toolName=canary("tool"), details=canary("x")),
        entry(d, c, "toolResult", text("failed"), toolCallId=odd, toolName=canary("tool"), isError=True),
        entry("e", d, "bashExecution", None, command=canary("command"), output=canary("output")),
        entry("f", "e", "custom", text("custom"), customType=canary("type")),
        {"type": "compaction", "id": "g", "parentId": "f", "summary": canary("summary"), "firstKeptEntryId": d},
        {"type": "branch_summary", "id": "h", "parentId": b, "fromId": "g", "summary": canary("branch")},
        {"type": "label", "id": "i", "parentId": "h", "label": canary("label")},
        entry("j", "i", canary("role"), text("odd")),
        entry("k", "j", "assistant", text("end")),
    ]  # fmt: skip


def openai_chat() -> dict:
    """Every text field of OpenAI messages."""
    known, odd = canary("id"), canary("id")

    def call(call_id, name, arguments):
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

    arguments = json.dumps({canary("key"): [canary("value")]})
    return {
        "task_id": 1, "trial": 0, "info": canary("info"),
        "traj": [
            {"role": "system", "content": f"{canary('title')}\n- You must {canary('rule')}\n- never {canary('no')}"},
            {"role": "developer", "content": canary("developer")},
            {"role": "user", "content": canary("question"), "name": canary("name")},
            {"role": "assistant", "content": canary("text"), "tool_calls": [
                call(known, "get_user_details", arguments), call(odd, canary("function"), canary("broken")),
            ]},
            {"role": "tool", "tool_call_id": known, "name": canary("tool"), "content": json.dumps([canary("leaf")])},
            {"role": "tool", "tool_call_id": odd, "name": canary("tool"), "content": "Error: " + canary("error")},
            {"role": "tool", "tool_call_id": canary("lost"), "content": canary("orphan")},
            {"role": canary("role"), "content": canary("odd")},
            {"role": "assistant", "content": canary("end")},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("policy", ["clawvm", "retrieval"])
@pytest.mark.parametrize("session", [claude_code, pi, openai_chat], ids=lambda made: made.__name__)
def test_no_authored_text_stands_in_events(run, file, tmp_path, session, policy):
    """Canaries in every text field are in no column of any event, though the bodies hold them."""
    made, journal = session(), tmp_path / "j.db"
    path = file(json.dumps(made) if isinstance(made, dict) else made)
    (first, *_) = run("replay", path, "-j", journal, "--json", "--policy", policy, "--budget", 150).json["sessions"]
    assert first["format"] == session.__name__ and first["turns"] >= 2 and first["tool_calls"] >= 2
    assert run("verify", journal).code == 0
    with closing(sqlite3.connect(journal)) as db:
        events = db.execute("SELECT * FROM events").fetchall()
        bodies = b"\n".join(unpack(*row) for row in db.execute("SELECT body, digest FROM blobs"))
    assert bodies.upper().count(b"CANARY") >= 10
    assert len(events) > 20
    for event in events:
        for cell in event:
            assert "CANARY" not in str(cell).upper(), event
            assert not isinstance(cell, bytes) or b"CANARY" not in cell.upper()
