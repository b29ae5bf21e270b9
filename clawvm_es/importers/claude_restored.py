"""Infer files that Claude Code shows again after a compaction, of which its older versions write no row.

After a compaction Claude Code reads the last `FILES` files that it had read, written or edited. It shows those of at
most `FILE_TOKENS` tokens, and the session's plan, beside the summary. Their content follows from the rows of calls
that saw a file whole or edited it since. The files were shown if the provider's count of the next call has enough
tokens that no row explains: at least half of theirs. They are placed at the line of the boundary. A resume does not
show them again: if the provider's count later falls by their size, they left.

LAW-RESTORED-1: an inference at an answer depends only on the rows up to the answer's first row (as in LAW-MICRO-1).
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
    """Estimate the provider's count from the harness's count: a quarter more, as for source text."""
    return tokens * 5 // 4


@attrs.define
class Files:
    """Files by last use, oldest first, with their content (None: unknown), and how prompts were counted.

    `base` is the provider's count of the part of a prompt of `model` that no row holds.
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
        """Note the file of a call; `told` is the harness's own note on its result."""
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
        """Note a compaction: it forgets all files but those it shows again. It may keep rows, too.

        It has a row of its own (`apart`), or is known only from its summary.
        """
        plans = [path for path in self.known if PLANS in path]
        latest = [*plans[-1:], *[path for path in self.known if PLANS not in path][-FILES:]]
        self.known = {path: self.known[path] for path in latest}
        self.waiting = {} if keeps else {path: text for path, text in reversed(self.known.items()) if text}
        self.line, self.apart, self.shown, self.grown = line, apart, 0, 0

    def asked(self, tokens: int, model: str) -> dict[str, str]:
        """The files that a prompt must hold although no row shows them, by path: their text with line numbers."""
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
        """Tell whether the files shown by inference left: a prompt has `fallen` tokens fewer than rows explain."""
        if not (self.shown and self.apart) or fallen < max(LOST_TOKENS_MIN, self.shown):
            return False
        self.shown = 0
        return True


def _read(file: Fields, before: str | None) -> str | None:
    """The content of a file after a read that saw it whole, or that adds nothing to the known content."""
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
    """A text in the form in which the harness shows a file."""
    return "\n".join(f"{number:>6}→{line}" for number, line in enumerate(text.split("\n"), 1))
