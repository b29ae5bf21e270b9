"""Sessions of Claude Code as their files and hooks tell them, made row by row, without the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs

from clawvm_es.integrations import spool
from clawvm_es.integrations.ingest import spool_of

HARNESS: Final = "claude-code"


@attrs.define
class Live:
    """A session that is being written: its transcript grows, its hooks tell of it."""

    journal: Path
    work: Path
    session_id: str = "11111111-2222-3333-4444-555555555555"
    number: int = 0
    last: str | None = None
    written: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.work.mkdir(exist_ok=True)
        spool_of(self.journal).mkdir(mode=0o700, exist_ok=True)

    @property
    def transcript(self) -> Path:
        """The file of its rows."""
        return self.work.parent / f"{self.session_id}.jsonl"

    def row(self, **fields: Any) -> str:
        """Append a row; returns its id."""
        self.number += 1
        uuid = f"{self.session_id[:8]}-{self.number:04d}"
        row = {
            "parentUuid": self.last,
            "isSidechain": False,
            "uuid": uuid,
            "timestamp": f"2026-03-02T09:{self.number // 60:02d}:{self.number % 60:02d}.000Z",
            "cwd": str(self.work),
            "sessionId": self.session_id,
            "version": "2.1.197",
            **fields,
        }
        with open(self.transcript, "a") as file:
            file.write(json.dumps(row) + "\n")
        self.last = uuid
        return uuid

    def user(self, text: str) -> str:
        """The user says something."""
        return self.row(type="user", message={"role": "user", "content": text})

    def answer(self, text: str, *uses: tuple[str, dict[str, Any], str]) -> str:
        """The model answers, with calls (tool, arguments, result)."""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
        ids = [f"toolu_{self.number}_{place}" for place in range(len(uses))]
        for call_id, (name, arguments, _) in zip(ids, uses, strict=True):
            blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": arguments})
        message = {"id": f"msg_{self.number}", "role": "assistant", "model": "m", "content": blocks}
        uuid = self.row(type="assistant", message={**message, "usage": {"input_tokens": 9, "output_tokens": 9}})
        for call_id, (_, _, result) in zip(ids, uses, strict=True):
            content = [{"type": "tool_result", "tool_use_id": call_id, "content": result}]
            self.row(type="user", message={"role": "user", "content": content})
        return uuid

    def plan(self, *subjects: str) -> None:
        """The model makes a plan of tasks."""
        told = [f"Task #{n} created successfully: {subject}" for n, subject in enumerate(subjects, 1)]
        uses = [("TaskCreate", {"subject": subject}, result) for subject, result in zip(subjects, told, strict=True)]
        self.answer("I plan.", *uses)

    def compacted(self, *kept: str, context: str = "") -> None:
        """The rows that follow a compaction."""
        self.last = None
        metadata = (
            {"trigger": "manual", "preservedMessages": {"uuids": list(kept)}} if kept else {"trigger": "manual"}
        )
        self.row(
            type="system", subtype="compact_boundary", content="Conversation compacted", compactMetadata=metadata
        )
        self.row(type="user", isCompactSummary=True, message={"role": "user", "content": "The summary."})
        if context:
            stdout = json.dumps({"hookSpecificOutput": {"additionalContext": context}})
            ran = {"type": "hook_success", "hookEvent": "SessionStart", "content": "", "stdout": stdout}
            self.row(type="attachment", attachment=ran)
            shown = {"type": "hook_additional_context", "content": [context], "hookEvent": "SessionStart"}
            self.row(type="attachment", attachment=shown)

    def hook(self, event: str, **payload: Any) -> Path:
        """A hook tells an event; returns the file of the spool."""
        told = {"session_id": self.session_id, "transcript_path": str(self.transcript), "cwd": str(self.work)}
        told = {**told, "hook_event_name": event, **payload}
        return Path(spool.keep(str(spool_of(self.journal)), HARNESS, told))
