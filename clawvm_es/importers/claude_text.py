"""Texts of Claude Code's user rows: the user's own words, and the harness's words inside its tags."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import attrs


class Said(StrEnum):
    """Source of a text in a user row."""

    USER = "user"
    HARNESS = "harness"
    COMMAND = "command"  # a slash command: its name and what stands after it
    SHELL = "shell"  # a command line after `!`


@attrs.frozen
class Part:
    """A text without the tags around it, and its source; `name` is the name of a slash command."""

    said: Said
    text: str
    name: str = ""


CLEAR: Final = "/clear"
_TAGS: Final = (
    *("command-message", "command-name", "command-args", "command-contents", "bash-input", "bash-stdout"),
    *("bash-stderr", "local-command-stdout", "local-command-stderr", "local-command-caveat"),
)
_TAG = re.compile(rf"\s*<({'|'.join(_TAGS)})>(.*?)</\1>", re.DOTALL)
_INJECTED = re.compile(
    r"\[Request interrupted|Caveat: The messages below|"
    r"<(?:command-|local-command-|bash-|system-reminder>|ide_|task-notification|user-prompt-submit-hook|"
    r"session-start-hook|post-tool-use-hook|teammate-message|cross-session-message|channel-message|channel source=|"
    r"fork-boilerplate>|tick>|task-reminder|mcp-resource-update|mcp-polling-update)"
)


def part_of(text: str) -> Part:
    """Parse a text block of a user row. Tags count only at the start of the text, so that quoted tags are ignored."""
    tags, rest = _tags(text)
    if not tags:
        return Part(Said.HARNESS if _INJECTED.match(text.lstrip()) else Said.USER, text)
    values = dict(reversed(tags))  # of a tag that comes twice the first
    others = [value for name, value in tags if name not in ("command-name", "command-args")] + [rest]
    name = values.get("command-name", "").strip()
    if name:
        line = f"{name} {values.get('command-args', '').strip()}".strip()
        more = [other.strip() for other in others if other.strip() and other.strip() not in line]
        return Part(Said.COMMAND, "\n".join([line, *more]), name)
    if "bash-input" in values:
        return Part(Said.SHELL, f"! {values['bash-input'].strip()}")
    told = [value.strip("\n") for _, value in tags] + [rest.strip()]
    return Part(Said.HARNESS, "\n".join(each for each in told if each.strip()))


def _tags(text: str) -> tuple[list[tuple[str, str]], str]:
    """The tags at the start of a text, with their contents, and the text after them."""
    found: list[tuple[str, str]] = []
    place = 0
    while match := _TAG.match(text, place):
        found.append((match[1], match[2]))
        place = match.end()
    return found, text[place:]
