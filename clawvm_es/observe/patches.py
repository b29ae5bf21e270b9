"""Patches in Codex's own form: `*** Begin Patch`, one section per file, hunks of context and changed lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

_BEGIN: Final = "*** Begin Patch"
_FILE = re.compile(r"^\*\*\* (?:(?:Add|Update|Delete) File|Move to): (.+?)\s*$", re.MULTILINE)
_COMMAND = re.compile(
    r"\s*(?:cd\s+(?P<quote>['\"]?)(?P<cwd>[^'\"\s;&|]+)(?P=quote)\s*&&\s*)?apply_?patch\s+"
    r"<<-?\s*['\"]?(?P<end>\w+)['\"]?[ \t]*\n(?P<patch>.*?)\n[ \t]*(?P=end)\s*",
    re.DOTALL,
)


@attrs.frozen
class Patch:
    """The text of a patch, and the directory to which a command changes before applying it (may be empty)."""

    text: str
    cwd: str = ""


def applied(command: str) -> Patch | None:
    """The patch that a shell command applies, if it does nothing else; else None."""
    found = _COMMAND.fullmatch(command) if _BEGIN in command else None
    return Patch(found["patch"], found["cwd"] or "") if found else None


def targets(text: str) -> tuple[str, ...]:
    """The paths in a patch, each once; none if the text is not a patch."""
    return tuple(dict.fromkeys(_FILE.findall(text))) if _BEGIN in text else ()


def replaced(text: str) -> Iterator[str]:
    """The text that each hunk of a patch searches in its file: context and removed lines."""
    if _BEGIN not in text:
        return
    hunk: list[str] = []
    for line in (*text.partition(_BEGIN)[2].partition("*** End Patch")[0].splitlines(), "@@"):
        if line.startswith(("@@", "***")):
            if any(hunk):
                yield "\n".join(hunk)
            hunk = []
        elif not line.startswith("+"):
            hunk.append(line[1:])
