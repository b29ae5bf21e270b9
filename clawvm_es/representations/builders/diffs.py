"""Levels for unified diffs, whole or cut off: files and hunks, then changed lines, then context.

Lines are told apart by their first characters, which also works where a tool truncated the diff; a parser that
insists on whole hunks (unidiff) refuses those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import compressed_aim, excerpt, pointer_line, select, structured_aim

_FILE = ("diff --git ", "--- ", "+++ ", "rename ", "new file", "deleted file", "Binary files")
_PROBE = 400  # lines


def is_diff(lines: Sequence[str]) -> bool:
    """Tell whether a hunk header, and a file header or changed lines on both sides, stand in the first lines."""
    probe = lines[:_PROBE]
    hunks = [line for line in probe if line.startswith("@@ ") and line.find(" @@", 3) > 0]
    return bool(hunks) and any(line.startswith(("diff --git ", "--- ", "+++ ")) for line in probe)


class DiffBuilder:
    """Structured: per file its names, hunk headers and counts. Compressed: also changed lines, hunk by hunk."""

    name: Final = "diff/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        lines = text.split("\n")
        files = [i for i, line in enumerate(lines) if line.startswith("diff --git ") or _starts_file(lines, i)]
        hunks = [i for i, line in enumerate(lines) if line.startswith("@@")]
        changed = [i for i, line in enumerate(lines) if line[:1] in ("+", "-") and not line.startswith(_FILE)]
        headers = [i for i, line in enumerate(lines) if line.startswith(_FILE)]
        order = [*files, *hunks, *headers, *changed, *range(len(lines))]
        return {
            Fidelity.COMPRESSED: excerpt(lines, order, compressed_aim(text)),
            Fidelity.STRUCTURED: "\n".join(_structured(lines, files, hunks, structured_aim(text))),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _starts_file(lines: Sequence[str], index: int) -> bool:
    """A ``+++`` line starts a file where no ``diff --git`` line stands a few lines above it."""
    if not lines[index].startswith("+++ "):
        return False
    return not any(line.startswith("diff --git ") for line in lines[max(0, index - 6) : index])


def _structured(lines: Sequence[str], files: Sequence[int], hunks: Sequence[int], aim: int) -> Iterator[str]:
    kept = select(lines, [*files, *hunks], aim)
    ends = [*files[1:], len(lines)]
    counts = {start: _counts(lines[start:end]) for start, end in zip(files, ends, strict=True)} if files else {}
    for index in sorted(kept):
        yield f"{lines[index]} {counts[index]}" if index in counts else lines[index]
    if len(kept) < len(files) + len(hunks):
        yield f"[… {len(files)} files, {len(hunks)} hunks in all]"


def _counts(lines: Sequence[str]) -> str:
    added = sum(1 for line in lines if line.startswith("+") and not line.startswith("+++ "))
    removed = sum(1 for line in lines if line.startswith("-") and not line.startswith("--- "))
    return f"[+{added} -{removed}]"
