"""The queue of prompts that a user types while Claude Code works.

| operation | the prompt |
|---|---|
| `enqueue` | waits |
| `dequeue` | becomes a row of its own |
| `remove` | was given to the model in mid-turn, unless its reason says otherwise |
| `popAll` | went back into the user's editor |

An attachment `queued_command` shows the same prompt: it becomes one step, at the first of the two rows.
"""

from __future__ import annotations

from typing import Final

import attrs

_ABSORBED: Final = ("", "absorbed_mid_turn")


@attrs.define
class Queue:
    """The waiting prompts, oldest first, and prompts that one of their two rows has already brought."""

    waiting: list[str] = attrs.field(factory=list)
    shown: list[str] = attrs.field(factory=list)  # by an attachment, not yet removed
    removed: list[str] = attrs.field(factory=list)  # not yet shown by an attachment

    def did(self, operation: str, content: str, reason: str) -> str | None:
        """Apply an operation; returns the prompt that the model received by it, or None."""
        if operation == "enqueue":
            self.waiting.append(content)
        elif operation == "popAll":
            self.waiting.clear()
        elif operation in ("dequeue", "remove"):
            text = self._take(content)
            if operation == "remove" and reason in _ABSORBED and text:
                return self._once(text, self.shown, self.removed)
        return None

    def show(self, text: str) -> str | None:
        """Take a prompt from an attachment; returns it, or None if it was brought before."""
        return self._once(text, self.removed, self.shown)

    def _take(self, content: str) -> str:
        """Take the prompt named, else the oldest, out of the queue."""
        if content in self.waiting:
            self.waiting.remove(content)
            return content
        return content or (self.waiting.pop(0) if self.waiting else "")

    @staticmethod
    def _once(text: str, said: list[str], saying: list[str]) -> str | None:
        if text in said:
            said.remove(text)
            return None
        saying.append(text)
        return text
