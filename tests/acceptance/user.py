"""What a user at a shell has: sessions written by hand, and the program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

PROGRAM = (sys.executable, "-m", "clawvm_es")


class Ran(NamedTuple):
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)


def row(kind: str, content: Any, number: int, session_id: str = "s-one") -> dict[str, Any]:
    """A row of a Claude Code session."""
    message = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": f"m{number}", "model": "claude", "usage": {}}
    return {"type": kind, "uuid": f"u{number}", "sessionId": session_id, "cwd": "/w", "message": message}


def use(call_id: str, **arguments: Any) -> list[dict[str, Any]]:
    """The content of an answer that reads a file."""
    return [{"type": "tool_use", "id": call_id, "name": "Read", "input": arguments}]


def result(call_id: str, text: Any) -> list[dict[str, Any]]:
    """The content of a row that brings a result."""
    return [{"type": "tool_result", "tool_use_id": call_id, "content": text}]


def conversation(turns: int, session_id: str = "s-one") -> list[dict[str, Any]]:
    """The rows of a session: a question, `turns` calls with their results, an answer."""
    rows = [row("user", "please do the work", 0, session_id)]
    for turn in range(turns):
        lines = "\n".join(f"{turn} line {line} value {line * turn}" for line in range(8))
        rows.append(row("assistant", use(f"c{turn}", file_path=f"/w/f{turn % 5}.py"), 2 * turn + 1, session_id))
        rows.append(row("user", result(f"c{turn}", lines), 2 * turn + 2, session_id))
    return [*rows, row("assistant", [{"type": "text", "text": "done"}], 2 * turns + 1, session_id)]


def lines(rows: Iterable[Any]) -> str:
    """Rows as JSON Lines; strings stand for lines as they are."""
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows)


def in_shell(*arguments: object, **how: Any) -> Ran:
    """Run the program as a process of its own."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **how)
    return Ran(done.returncode, done.stdout, done.stderr)


def refused(ran: Ran, *says: str) -> bool:
    """Whether a run ended with exit code 2 and one line that says this; for use in `assert`."""
    assert ran.code == 2, ran
    assert ran.err.startswith("clawvm: ") and ran.err.count("\n") == 1, ran.err
    assert all(word in ran.err for word in says), ran.err
    return True
