"""Files that Claude Code shows again after a compaction, of which its older versions write no row.

It reads the `FILES` files anew that it read, wrote or edited last, leaves out those of more than `FILE_TOKENS`, and
shows the others beside the summary, and the plan of the session with them. The rows of its calls tell what is in a
file that it saw whole, or edited since. The provider's count of the next call tells whether they were shown: what no
row explains of it has to hold half of them at least. They stand at the line of the boundary. A resume does not show
them again: where the provider's count later falls by as much as they are, they left.

LAW-RESTORED-1: what is inferred at an answer depends on the rows up to its first one alone (as LAW-MICRO-1).
"""

from __future__ import annotations

from typing import Final

import attrs

from clawvm_es.importers.claude_micro import LOST_TOKENS_MIN, rough
from clawvm_es.observe.fields import Fields

FILES: Final = 5
FILE_TOKENS: Final = 5_000
PLANS: Final = "/.claude/plans/"
FILES_KNOWN: Final = 32
"""Files whose last use is remembered, and what is in them."""
UNEXPLAINED_MIN: Final = 500
"""Least tokens by the provider's count that say anything."""
_RULES: Final = ("CLAUDE.md", "CLAUDE.local.md")
"""Ends of paths of files that are in every prompt."""


def dense(tokens: int) -> int:
    """About what a provider counts for tokens by the harness's count: of source text a quarter more."""
    return tokens * 5 // 4


@attrs.define
class Files:
    """Files by their last use, oldest first, with what is in them (None: not known), and how prompts were counted.

    `base` are the tokens of a prompt of `model` that no row holds, by the provider's count.
    """

    known: dict[str, str | None] = attrs.field(factory=dict)
    waiting: dict[str, str] = attrs.field(factory=dict)  # what the newest compaction may have shown again
    line: int = 0  # of its boundary
    apart: bool = False  # that line has a row of its own
    shown: int = 0  # tokens of what it showed again by inference, about as the provider counts
    grown: int = 0  # tokens of the rows since it, by the harness's count
    base: int | None = None
    model: str = ""

    def touched(self, told: Fields) -> None:
        """Note the file of a call; `told` is what the harness wrote of its result."""
        file = told.fields("file")
        path = file.text("filePath") or told.text("filePath")
        if not path or path.endswith(_RULES):
            return
        before = self.known.pop(path, None)
        text = _read(file, before) if "file" in told else _written(told, before)
        self.known[path] = text if text is not None and dense(rough(text)) <= FILE_TOKENS else None
        while len(self.known) > FILES_KNOWN:
            del self.known[next(iter(self.known))]

    def compacted(self, line: int, keeps: bool, apart: bool = True) -> None:
        """A compaction came: what it shows again is all that it still knows of files. It may keep rows, too.

        It has a row of its own (`apart`), or is known from its summary alone.
        """
        plans = [path for path in self.known if PLANS in path]
        latest = [*plans[-1:], *[path for path in self.known if PLANS not in path][-FILES:]]
        self.known = {path: self.known[path] for path in latest}
        self.waiting = {} if keeps else {path: text for path, text in reversed(self.known.items()) if text}
        self.line, self.apart, self.shown, self.grown = line, apart, 0, 0

    def asked(self, tokens: int, model: str) -> dict[str, str]:
        """The files that a prompt holds though no row tells of them, by path: their text with line numbers."""
        if self.base is None:
            self.base, self.model = tokens - dense(self.grown), model
        found = {path: _numbered(text) for path, text in self.waiting.items()}
        self.waiting = {}
        unexplained = tokens - self.base - dense(self.grown)
        least = max(UNEXPLAINED_MIN, sum([rough(text) for text in found.values()]) // 2)
        if not found or model != self.model or unexplained < least:
            return {}
        self.shown = sum([dense(rough(text)) for text in found.values()])
        return found

    def left(self, fallen: int) -> bool:
        """Tell that the files shown by inference left, where a prompt has `fallen` tokens less than rows explain."""
        if not (self.shown and self.apart) or fallen < max(LOST_TOKENS_MIN, self.shown):
            return False
        self.shown = 0
        return True


def _read(file: Fields, before: str | None) -> str | None:
    """The content of a file that was read: it was read whole, or it is known."""
    whole = file.count("startLine") == 1 and file.count("numLines") == file.count("totalLines")
    return file.text("content") if whole and file.is_text("content") else before


def _written(told: Fields, before: str | None) -> str | None:
    """The content of a file that was written or edited."""
    if told.is_text("content"):
        return told.text("content")
    text = told.text("originalFile") if told.is_text("originalFile") else before
    for edit in told.objects("edits") or [told]:
        old = edit.text("oldString") or edit.text("old_string")
        new = edit.text("newString") or edit.text("new_string")
        every = edit.flag("replaceAll") or edit.flag("replace_all")
        if text is not None and old:
            text = text.replace(old, new, -1 if every else 1)
    return text


def _numbered(text: str) -> str:
    """A text as the harness shows that of a file."""
    return "\n".join(f"{number:>6}→{line}" for number, line in enumerate(text.split("\n"), 1))
