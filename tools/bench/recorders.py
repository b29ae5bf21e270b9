"""Recorders as peers of a durable step: incident-ledger seals it with its prompt, agent-rewind traces its calls."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

LEDGER = "incident-ledger"
REWIND = "agent-rewind"


class Recorder(Protocol):
    """Keeps the steps of a session."""

    def step(self, message: str, result: str, prompt: str) -> None:
        """Make one step durable."""

    def close(self) -> None:
        """Release the file."""


class Ledger:
    """A ledger in a file of its own: one sealed row a step."""

    def __init__(self, path: Path) -> None:
        from incident_ledger import IncidentLedger

        self._ledger: Any = IncidentLedger(str(path))

    def step(self, message: str, result: str, prompt: str) -> None:
        """Seal message, result and prompt in one row."""
        self._ledger.append(
            query=message, answer=result, confidence=1.0, model_version="bench", context_snapshot=prompt
        )

    def close(self) -> None:
        """Release the file."""
        self._ledger._conn.close()


class Rewind:
    """A trace file: one line for the model's call, one for the tool's."""

    def __init__(self, path: Path) -> None:
        import rewind

        self._open = ExitStack()
        self._open.enter_context(rewind.record(path))
        self._says: Any = rewind.llm(lambda **request: request["message"])
        self._runs: Any = rewind.tool(lambda text: text)

    def step(self, message: str, result: str, prompt: str) -> None:
        """Record the call and its result; prompts are not kept."""
        self._says(message=message)
        self._runs(result)

    def close(self) -> None:
        """End the trace."""
        self._open.close()
