"""The harnesses with hooks, one row each: their settings file, our events, and the rules files that they restore.

Claude Code and Codex speak one dialect: JSON on stdin and stdout, the same names of events.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

_BYTES_MAX: Final = 1 << 20


@attrs.frozen
class Harness:
    """A harness: its name for people, the environment's name of its folder, its settings in there, our events.

    `rules` are the rules files that it loads by itself, and again after a compaction; `own_rules` are those in its
    own folder. `told` means that it reports which ones it loaded.
    """

    name: str
    title: str
    variable: str
    folder: str
    settings: str
    events: tuple[str, ...]
    rules: tuple[str, ...]
    own_rules: tuple[str, ...]
    format: str

    def home(self) -> Path:
        """The harness's own folder."""
        return Path(os.environ.get(self.variable) or os.path.join(os.path.expanduser("~"), self.folder))

    def settings_path(self) -> Path:
        """The file that holds its hooks."""
        return self.home() / self.settings

    def restores(self, path: str) -> bool:
        """Tell whether the harness itself puts a rules file back after a compaction."""
        return os.path.basename(path) in {os.path.basename(name) for name in self.rules}

    def loaded(self, cwd: str) -> Iterator[tuple[str, str]]:
        """The rules files that it loads in a folder: its own, then from the root down, as (path, text)."""
        places = [(self.home(), self.own_rules)]
        if os.path.isabs(cwd):
            places += [(folder, self.rules) for folder in reversed([Path(cwd), *Path(cwd).parents])]
        for folder, names in places:
            for name in names:
                text = read_rules(folder / name)
                if text:
                    yield str(folder / name), text


def read_rules(path: str | os.PathLike[str]) -> str:
    """The text of a rules file; empty if there is none, or it cannot be read."""
    try:
        if not os.path.isfile(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_BYTES_MAX)
    except OSError:
        return ""


CLAUDE_CODE: Final = Harness(
    name="claude-code",
    title="Claude Code",
    variable="CLAUDE_CONFIG_DIR",
    folder=".claude",
    settings="settings.json",
    events=("SessionStart", "InstructionsLoaded", "PreCompact", "Stop", "SessionEnd"),
    rules=("CLAUDE.md", ".claude/CLAUDE.md", "CLAUDE.local.md"),
    own_rules=("CLAUDE.md",),
    format="claude_code",
)
CODEX: Final = Harness(
    name="codex",
    title="Codex",
    variable="CODEX_HOME",
    folder=".codex",
    settings="hooks.json",
    events=("SessionStart", "PreCompact", "Stop"),
    rules=("AGENTS.md", "AGENTS.override.md"),
    own_rules=(),
    format="codex",
)
HARNESSES: Final[Mapping[str, Harness]] = MappingProxyType({each.name: each for each in (CLAUDE_CODE, CODEX)})
"""Harness by the name that people type."""
