"""Random sessions of Claude Code and a digest of what is read of each: rows of every kind, in any order.

`python -m tests.importers.claude_walks` writes `claude_walks.txt` anew. The near misses change one place of a good
file; here branches, compactions, resumes, counts of the provider, queued prompts and subagents meet each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs

from clawvm_es.errors import ClawVMError
from clawvm_es.importers.claude_code import parse
from clawvm_es.importers.claude_session import RESUMED
from tests.importers.near_misses import told

HERE = Path(__file__).with_name("claude_walks.txt")
WALKS, ROWS = 140, 45
SIZES = (3, 3, 40, 3_000, 30_000)
_RESULTS = (3, 40, 9_000, 33_333, 33_333, 60_000)
PATHS = ("/w/a.py", "/w/b.py", "/w/c.py", "/w/CLAUDE.md", "/h/.claude/plans/p.md", "")
TEXTS = (
    "Mend it.",
    " ",
    "",
    "[Request interrupted by user]",
    "<command-name>/skill</command-name><command-args>one two</command-args>",
    "<command-name>/clear</command-name>",
    "<bash-input>ls</bash-input>",
    "<bash-stdout>a\n</bash-stdout><bash-stderr></bash-stderr> and more",
    "<system-reminder>now</system-reminder>",
    "Base directory for this skill: /w/skill\nDo it.",
)
_SAYING = ("ok", "ok then", "ok then, all of it", "other", " ")
Row = dict[str, Any]


@attrs.define
class Walk:
    """A session and the choices of a seed."""

    random: Random
    rows: list[Row] = attrs.field(factory=list)
    uuids: list[str] = attrs.field(factory=list)
    calls: list[tuple[str, str, str]] = attrs.field(factory=list)  # id, name and row of those without a result
    made: list[str] = attrs.field(factory=list)
    stray: int = 14  # percent of rows that hang on another one than the newest
    late: bool = False  # the row before hangs on this one
    asked: int = 12_000
    fell: int = 0
    answer: str = "a0"

    def one(self, *values: Any) -> Any:
        """Choose a value."""
        return self.random.choice(values)

    def chance(self, percent: int) -> bool:
        """Tell whether something of a likelihood comes."""
        return self.random.randrange(100) < percent

    def text(self, size: int = 0) -> str:
        """Choose a text, or make one of a size."""
        self.asked += size * 5 // 16
        return f"{len(self.rows):>{size}}" if size else self.one(*TEXTS, *TEXTS[:1] * 9)

    def row(self, kind: str, **more: Any) -> Row:
        """Begin a row that hangs on the newest one, or now and then on another, on none, or on one to come."""
        number = len(self.uuids)
        parent = self.uuids[-1] if self.uuids else None
        if self.late:
            parent, self.late = self.one(None, parent, *self.uuids[-9:-1]), False
        elif self.chance(self.stray):
            parent = self.one(
                self.one(*self.uuids[-9:], None), self.one(*self.uuids[-9:], None), None, "gone", "late"
            )
            if parent == "late":
                parent, self.late = f"u{number + 1}", True
        found = {"type": kind, "uuid": f"u{number}", "parentUuid": parent, "sessionId": "s", "cwd": "/w"}
        found["timestamp"] = f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000Z"
        for name in ("uuid", "parentUuid", "timestamp", "cwd", "sessionId"):
            if self.chance(1):
                del found[name]
        if self.chance(4):
            found |= {"isSidechain": True, "agentId": "x1"} if self.chance(70) else {"isSidechain": True}
        if self.chance(2):
            found |= self.one({"sessionId": "t"}, {"parent_tool_use_id": "x2"}, {"sessionId": "s"})
        self.uuids.append(f"u{number}")
        return found | more

    def says(self) -> Row:
        """Say something, as the user or as the harness."""
        content = self.text(self.one(0, 0, *SIZES))
        blocks = [{"type": "text", "text": content}, *self.one([], [], [image()], [{"type": "text", "text": "too"}])]
        found = self.row("user", message={"role": "user", "content": self.one(content, content, blocks)})
        if self.chance(20):
            found |= self.one(
                {"isMeta": True}, {"isMeta": True, "sourceToolUseID": "c1"}, {"isVisibleInTranscriptOnly": True}
            )
        return found

    def answers(self) -> Row:
        """Answer, or go on with the last answer, with calls or without."""
        if self.chance(75):
            self.answer = f"a{len(self.rows)}"
        content: list[Row] = []
        if self.chance(60):
            content.append({"type": "text", "text": self.one(*_SAYING)})
        if self.chance(20):
            content.append(
                self.one({"type": "thinking", "thinking": "hm"}, {"type": "redacted_thinking"}, {"type": "odd"})
            )
        for _ in range(self.one(0, 1, 1, 1, 2, 3)):
            content.append(self._use())
        if self.chance(3):
            content.append({"type": "web_search_tool_result", "tool_use_id": "c9", "content": [{"title": "found"}]})
        usage = {"input_tokens": max(1, self.asked + self._drift()), "output_tokens": 7}
        message: Row = {"role": "assistant", "id": self.answer, "content": content, "usage": usage}
        message["model"] = "m" if self.chance(95) else "n"
        message |= self.one({}, {"stop_reason": "end_turn"}, {"stop_reason": "tool_use"}, {"stop_reason": "odd"})
        if self.chance(3):
            message |= self.one({"usage": None}, {"id": ""}, {"content": "plain"}, {"content": 7})
        return self.row("assistant", message=message)

    def _use(self) -> Row:
        call_id = f"c{len(self.made)}" if self.chance(97) or not self.made else self.one(*self.made)
        name = self.one("Read", "Read", "Read", "Bash", "Edit", "Write", "Task")
        self.made.append(call_id)
        self.calls.append((call_id, name, f"u{len(self.uuids)}"))
        return {"type": "tool_use", "id": call_id, "name": name, "input": {"file_path": self.one(*PATHS)}}

    def _drift(self) -> int:
        """Change the count: what left the prompt, or came back, of which no row tells."""
        if self.fell and self.chance(40):
            self.asked, self.fell = self.asked + self.fell, 0
        elif self.chance(25):
            self.fell = min(self.one(5_000, 9_000, 12_000, 18_000, 26_000, 34_000), max(0, self.asked - 9_000))
            self.asked -= self.fell
        return self.one(0, 0, 100, -100)

    def returns(self) -> Row:
        """Give a call its result, or several, or one that nobody made."""
        blocks, told, asking = [], None, ""
        for _ in range(self.one(1, 1, 1, 2)):
            waiting = self.calls or [("c77", "Read", "gone")]
            call_id, name, asking = waiting.pop(0 if self.chance(80) else -1)
            content = self.text(self.one(*_RESULTS))
            shown = self.one([], [image()], [{"type": "tool_reference", "tool_name": "T"}], [{"type": "odd"}])
            block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
            if self.chance(10):
                block["content"] = [{"type": "text", "text": content}, *shown]
            blocks.append(block | self.one({}, {}, {}, {"is_error": True}))
            told = self._told(name)
        if self.chance(5):
            blocks.append({"type": "text", "text": "and so on"})
        found = self.row("user", message={"role": "user", "content": blocks})
        found |= {"toolUseResult": told} if told else {}
        return found | ({"parentUuid": asking} if self.chance(50) else {})

    def _told(self, name: str) -> Any:
        """Tell of a result what the harness does."""
        path, size = self.one(*PATHS[:5]), self.one(9, 3_000, 8_000, 12_000, 30_000)
        text = "\n".join(f"old line {number}" for number in range(size // 12))
        if name == "Read":
            lines = text.count("\n") + 1
            file = {"filePath": path, "content": text, "startLine": self.one(1, 1, 1, 2), "numLines": lines}
            return {"type": "text", "file": file | {"totalLines": lines + self.one(0, 0, 0, 5)}}
        if name == "Write":
            return {"filePath": path, "content": text}
        edit = {"oldString": self.one("old", "old", ""), "newString": "new", "replaceAll": self.one(True, False)}
        if name == "Edit":
            whole = self.one(
                {"filePath": path, **edit},
                {"filePath": path, "edits": [edit, {"old_string": "line", "new_string": ""}]},
            )
            return whole | self.one({}, {"originalFile": text})
        return self.one(None, {"interrupted": True}, "text", {"stdout": "x"})

    def made_up(self) -> Row:
        """Make up an answer, as the harness does at a resume or an error."""
        if self.chance(70):
            self.asked = max(9_000, self.asked - self.one(5_000, 9_000, 16_000, 26_000, 40_000))
        content = [{"type": "text", "text": self.one(RESUMED, RESUMED, "API Error")}]
        return self.row(
            "assistant", message={"role": "assistant", "id": "x", "model": "<synthetic>", "content": content}
        )

    def compacts(self) -> Row:
        """Compact: a boundary that keeps rows or none, or a summary without one."""
        self.asked = 13_000 + self.one(0, 0, 4_000, 9_000, 18_000)
        last = self.rows[-1:]
        if self.chance(50) or (last and last[0].get("subtype") == "compact_boundary"):
            content = {"role": "user", "content": "What was done."}
            return self.row("user", message=content, isCompactSummary=True)
        some = [self.one(*self.uuids) for _ in range(3)] if self.uuids else []
        kept = [{}, {}, {"preservedMessages": {"uuids": some}}]
        if some:
            kept.append({"preservedSegment": {"headUuid": some[0], "tailUuid": some[1]}})
            kept.append({"preserved_segment": {"head_uuid": some[0], "tail_uuid": self.uuids[-1]}})
        return self.row("system", subtype="compact_boundary", compactMetadata=self.one(*kept)) | {"parentUuid": None}

    def system(self) -> Row:
        """Write a row of the system."""
        if self.chance(40) and self.made:
            gone = [self.one(*self.made) for _ in range(2)]
            return self.row(
                "system", subtype="microcompact_boundary", microcompactMetadata={"compactedToolIds": gone}
            )
        return self.row(
            "system", **self.one({"subtype": "local_command", "content": self.text()}, {"subtype": "init"}, {})
        )

    def attaches(self) -> Row:
        """Attach a file, rules, a prompt that waited, or something else."""
        path, text = self.one(*PATHS), self.one("shown", "", " ")
        file = {"filePath": path, "content": text}
        picture = {"type": "image/png", "base64": "aGk="}
        attachment = self.one(
            {"type": "file", "filename": path, "content": {"type": "text", "file": file}},
            {"type": "file", "filename": path, "content": {"type": "image", "file": picture}},
            {"type": "file", "path": path, "content": text, "snippet": "a bit"},
            {"type": "edited_text_file", "filename": path, "snippet": "1 changed"},
            {"type": "compact_file_reference", "filename": path, "displayPath": path},
            {"type": "plan_file_reference", "planContent": text, "planFilePath": path},
            {"type": "nested_memory", "path": path, "content": {"path": "/w/CLAUDE.md", "content": text}},
            {"type": "nested_memory", "path": path, "content": "rules"},
            {"type": "instructions", "files": [file | {"path": path}, {"content": "rules"}]},
            {"type": "invoked_skills", "skills": [{"name": "n", "content": text}, {"path": "p", "content": "do"}]},
            {"type": "queued_command", "prompt": self.one("wait", "then", [{"type": "text", "text": "wait"}], "")},
            {
                "type": "hook_success",
                "hookEvent": self.one("SessionStart", "Stop", ""),
                "content": text,
                "stdout": "y",
            },
            {"type": "already_read_file", "content": "x"},
            {"type": "todo_reminder", "content": [{"content": "mend", "status": "open"}], "itemCount": 1},
        )
        rendered = [{"content": self.one("as rendered", " ")}]
        return self.row("attachment", attachment=attachment) | self.one({}, {}, {}, {"rendered": rendered})

    def queues(self) -> Row:
        """Do something to the queue of prompts."""
        content = self.one("wait", "then", "")
        found = self.row(
            "queue-operation", operation=self.one("enqueue", "dequeue", "remove", "popAll"), content=content
        )
        return found | self.one({}, {}, {"reason": self.one("absorbed_mid_turn", "cancelled")})

    def goes_on(self) -> Row:
        """Tell of the progress of a subagent or a hook."""
        message = self.one(self.says, self.answers, self.returns)()
        self.uuids.pop()
        message["uuid"] = f"n{len(self.rows)}"
        data = self.one(
            {"type": "agent_progress", "agentId": self.one("x1", "x3"), "message": message}, {"type": "hook_progress"}
        )
        return self.row("progress", data=data)

    def notes(self) -> Row:
        """Write a row that holds nothing the model saw."""
        return self.row(self.one("summary", "file-history-snapshot", "tag", "pr-link", "of tomorrow"))

    def repeats(self) -> Row:
        """Write a row again, as it was or under another id."""
        again = self.one(*self.rows) if self.rows else self.says()
        return again | self.one({}, {"uuid": f"d{len(self.rows)}"}, {"sessionId": "t"})


MOVES: Mapping[str, tuple[tuple[Callable[[Walk], Row], int], ...]] = {
    "work": ((Walk.answers, 9), (Walk.returns, 9), (Walk.says, 1), (Walk.made_up, 3)),
    "turns": (
        (Walk.answers, 4),
        (Walk.returns, 4),
        (Walk.says, 3),
        (Walk.attaches, 2),
        (Walk.queues, 2),
        (Walk.repeats, 1),
    ),
    "cuts": (
        (Walk.answers, 6),
        (Walk.returns, 6),
        (Walk.says, 2),
        (Walk.compacts, 2),
        (Walk.system, 1),
        (Walk.made_up, 2),
    ),
    "all": (
        *(
            (Walk.answers, 6),
            (Walk.returns, 6),
            (Walk.says, 3),
            (Walk.compacts, 1),
            (Walk.system, 2),
            (Walk.made_up, 1),
        ),
        *((Walk.attaches, 2), (Walk.queues, 2), (Walk.goes_on, 2), (Walk.notes, 1), (Walk.repeats, 1)),
    ),
}


def image() -> Row:
    """A block with a picture."""
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def session(seed: int) -> bytes:
    """The file of a seed."""
    name = tuple(MOVES)[seed % len(MOVES)]
    walk, moves = Walk(Random(seed), stray=14 if name in ("turns", "all") else 2), MOVES[name]
    for move in walk.random.choices(
        [move for move, _ in moves],
        [weight for _, weight in moves],
        k=ROWS if moves is not MOVES["work"] else 2 * ROWS,
    ):
        walk.rows.append(move(walk))
    return "".join(json.dumps(row) + "\n" for row in walk.rows).encode()


def words() -> Iterator[str]:
    """A line for each session: its seed, its steps, and a digest of all that is read of it."""
    for seed in range(WALKS):
        try:
            found = parse(session(seed), "s.jsonl")
        except ClawVMError as error:
            yield f"{seed} {error}"
            continue
        steps = " ".join(str(len(each.steps)) for each in found)
        yield f"{seed} {steps} {hashlib.sha256(json.dumps(told(found)).encode()).hexdigest()[:12]}"


if __name__ == "__main__":
    HERE.write_text("\n".join(words()) + "\n", encoding="utf-8")
