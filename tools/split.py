"""Write `clawvm_es/evaluation/split.json` from a folder of recorded sessions: python tools/split.py FOLDER.

Origins of coding sessions and tasks of chat sessions are assigned apart, each by `split.assign`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clawvm_es.errors import UnreadableInput
from clawvm_es.evaluation import split
from clawvm_es.evaluation.workload import from_recording
from clawvm_es.importers import openai_chat, read
from clawvm_es.importers.recording import Recording
from clawvm_es.representations.counter import counter

TARGET = Path(__file__).resolve().parent.parent / "clawvm_es" / "evaluation" / "split.json"
RULE = (
    "An origin is the checkout that a session's first tool call worked in (worktrees of a checkout are one), or the "
    "task it tries. Per family, origins with most needs first, each to the side with fewer needs so far, the first "
    "held out. Subagents stand with the session that started them. A session that is not named here is held out."
)


def recordings(folder: Path) -> Iterator[tuple[Path, Recording]]:
    """Every session that can be read, file by file."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found = read(path)
        except UnreadableInput as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for recording in found:
            yield path.relative_to(folder), recording


def contents(folder: Path) -> Mapping[str, Any]:
    """What the split file says of the sessions in `folder`."""
    tokens = counter("o200k_base")
    origins: dict[str, str] = {}
    family: dict[str, str] = {}
    needs: Counter[str] = Counter()
    sources: dict[str, list[str]] = {}
    for path, recording in recordings(folder):
        root = recording.linked_to or recording.session_id
        known = recording.session_id in sources
        sources.setdefault(recording.session_id, []).append(path.as_posix())
        if not known:
            name = origins.setdefault(root, split.origin(recording))
            family[name] = openai_chat.NAME if recording.format == openai_chat.NAME else "coding"
            needs[name] += sum(1 for _ in from_recording(recording, tokens).all_needs())
    sides: dict[str, str] = {}
    for kind in sorted({*family.values()}):
        sides.update(split.assign({name: needs[name] for name in family if family[name] == kind}))
    rows = {
        name: {
            "side": sides[name],
            "family": family[name],
            "needs": needs[name],
            "sessions": sorted(session for session, its in origins.items() if its == name),
        }
        for name in sorted(family)
    }
    twins = {session: files for session, files in sources.items() if len(files) > 1}
    return {"rule": RULE, "twins": twins, "origins": rows}


if __name__ == "__main__":
    TARGET.write_text(json.dumps(contents(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
