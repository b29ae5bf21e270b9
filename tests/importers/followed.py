"""Files that are followed: rows to write, the steps of a file that grows, and what an import of the whole gives."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clawvm_es import Journal
from clawvm_es.importers.following import AS_RECORDED
from clawvm_es.importers.format import Format
from clawvm_es.importers.growing import lines
from clawvm_es.importers.kept import _Loader
from clawvm_es.importers.recording import RecordedStep, Recording, Skips
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.importers.streaming import read_one
from tests.importers.bases import LINES


class Followed:
    """The steps that following gives of a file, as the reader's state goes from cut to cut."""

    def __init__(self, row: Format) -> None:
        assert row.reader is not None
        self.reader = row.reader
        self.state = row.reader.begin()
        self.number = self.end = 0
        self.steps: dict[str, list[RecordedStep]] = {}
        self.facts: dict[str, tuple[Any, ...]] = {}  # what a session is opened with, at its first step

    def read(self, data: bytes, upto: int, final: bool = False) -> None:
        """Take the whole lines of a file that has grown up to a place, at the end also one without an end."""
        for line in lines(io.BytesIO(data[self.end : upto]), self.number, self.end, hashlib.sha256()):
            if not (line.whole or final):
                break
            read_one(self.reader, self.state, line, Skips())
            self.number, self.end = line.number, line.end
        self.take()

    def take(self) -> None:
        """Take the steps that are whole, of all sessions whose id is known."""
        for part in self.reader.parts(self.state):
            if part.session_id and part.into.steps and part.into.began_us is not None:
                self.steps.setdefault(part.session_id, []).extend(part.into.take())
                facts = (part.into.began_us, part.linked_to, part.resumed_from)
                assert self.facts.setdefault(part.session_id, facts) == facts

    def keep(self) -> None:
        """Go through the cache and back."""
        self.state = _Loader(io.BytesIO(pickle.dumps(self.state, protocol=5))).load()

    def finish(self, data: bytes) -> None:
        """Take what was held back."""
        self.read(data, len(data), final=True)
        for part in self.reader.parts(self.state):
            part.into.flush()
        self.take()


def assert_same(followed: Followed, whole: Sequence[Recording], place: object) -> None:
    """What was followed is what an import of the whole reads."""
    read = {recording.session_id: recording for recording in whole if recording.steps}
    assert followed.steps.keys() == read.keys(), place
    for name, recording in read.items():
        assert tuple(followed.steps[name]) == recording.steps, (place, name)
        facts = (recording.began_us, recording.linked_to, recording.resumed_from)
        assert followed.facts[name] == facts, (place, name)


AT = "2026-01-01T00:00:%02d.000Z"


def claude(second: int, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A row of a Claude Code session."""
    return {
        "type": kind,
        "uuid": f"u{second}",
        "parentUuid": f"u{second - 1}" if second else None,
        "sessionId": "s1",
        "cwd": "/w",
        "timestamp": AT % second,
        "message": {"role": kind, "content": content, **more},
    }


def use(call: str, path: str) -> list[dict[str, Any]]:
    """The blocks of a call."""
    return [{"type": "tool_use", "id": call, "name": "Read", "input": {"file_path": path}}]


def result(call: str, text: str) -> list[dict[str, Any]]:
    """The blocks of a result."""
    return [{"type": "tool_result", "tool_use_id": call, "content": text}]


USAGE = {"input_tokens": 5, "output_tokens": 1}


CLAUDE: list[Any] = [
    claude(0, "user", "Look at both files. Größe, 连接."),
    claude(1, "assistant", [{"type": "text", "text": "I read both."}], id="m1", usage=USAGE),
    claude(2, "assistant", use("t1", "/w/a.py"), id="m1", usage={**USAGE, "output_tokens": 40}),
    claude(3, "user", result("t1", "alpha = 'long enough to be needed'")),
    claude(4, "assistant", use("t2", "/w/b.py"), id="m1", usage={**USAGE, "output_tokens": 90}),
    claude(5, "user", result("t2", "beta = 2")),
    {**claude(6, "user", "agent's prompt"), "isSidechain": True, "agentId": "a1"},
    {**claude(7, "assistant", [{"type": "text", "text": "Done."}], id="m9", usage=USAGE), "isSidechain": True},
    claude(8, "assistant", use("t3", "/w/a.py"), id="m2", usage=USAGE),
    claude(9, "user", result("t3", "alpha = 'long enough to be needed'")),
    claude(10, "assistant", [{"type": "text", "text": "Both read."}], id="m3", usage=USAGE),
]


CLAUDE[7]["agentId"] = "a1"


PI: list[Any] = [
    {"type": "session", "version": 3, "id": "s2", "cwd": "/w", "timestamp": AT % 0},
    {
        "type": "message",
        "id": "e1",
        "parentId": None,
        "timestamp": AT % 1,
        "message": {"role": "user", "content": "hi"},
    },
    {
        "type": "message",
        "id": "e2",
        "parentId": "e1",
        "timestamp": AT % 2,
        "message": {"role": "assistant", "content": [{"type": "toolCall", "id": "c", "name": "ls", "arguments": {}}]},
    },
    {
        "type": "message",
        "id": "e3",
        "parentId": "e2",
        "timestamp": AT % 3,
        "message": {"role": "toolResult", "toolCallId": "c", "toolName": "ls", "content": "a.py"},
    },
    {
        "type": "message",
        "id": "e4",
        "parentId": "e1",
        "timestamp": AT % 4,
        "message": {"role": "user", "content": "no"},
    },
]


ROWS = {**LINES, "claude_code": CLAUDE, "pi": PI}


def as_lines(rows: Sequence[Any], end: str = "\n") -> bytes:
    """Rows as JSON Lines, not escaped."""
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def inputs(journal: Journal) -> dict[str, list[tuple[Any, ...]]]:
    """The inputs of all sessions, as they stand in the log."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in journal.log.read_all():
        if row.kind == "input" and row.data.TYPE != "prompt_rendered":
            said = (row.idempotency_key, row.data.TYPE, row.turn, row.at_us, row.data)
            found.setdefault(row.session_id, []).append(said)
    return found


def imported(tmp_path: Path, data: bytes, settings: ReplaySettings = AS_RECORDED) -> dict[str, list[tuple[Any, ...]]]:
    """The inputs that an import of a file makes."""
    path = tmp_path / "whole.jsonl"
    path.write_bytes(data)
    with Journal.open("memory:", seed=1) as journal:
        replay(journal, path, settings)
        return inputs(journal)


GEMINI = {"id": "u1", "type": "user", "timestamp": AT % 1, "content": "hello"}
