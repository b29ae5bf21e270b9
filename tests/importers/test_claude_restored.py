"""Files that Claude Code shows again after a compaction without a row, by its own rule and the provider's counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal, views
from clawvm_es.importers.claude_code import FORMAT, parse
from clawvm_es.importers.claude_restored import FILES, FILES_KNOWN, Files
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.model.facts import ToldBy
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import FileShown
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.views import words
from tests.importers.test_claude_micro import row
from tests.importers.test_following import Followed, assert_same

Jsonl = Callable[[list[Any]], bytes]
TEXT = "\n".join(f"value_{number} = {number}" for number in range(400))
"""The content of a file: some 1,700 tokens by the harness's count."""


def read_of(path: str, text: str, first: int = 1, total: int | None = None) -> dict[str, Any]:
    """What the harness wrote of a read."""
    lines = text.count("\n") + 1
    file = {"filePath": path, "content": text, "startLine": first, "numLines": lines, "totalLines": total or lines}
    return {"type": "text", "file": file}


def session(asked: int, *, model: str = "m", between: Any = None, kept: bool = False) -> list[dict[str, Any]]:
    """One file is read, another edited, then a compaction; `asked` is the count of the answer after it."""
    usage = {"input_tokens": 20_000, "output_tokens": 1}
    rows = [row(0, "user", "Mend it.")]
    told = [read_of("/w/a.py", TEXT), {"filePath": "/w/b.py", "oldString": "old", "newString": "new"}]
    told[1]["originalFile"] = f"old\n{TEXT}"
    for number, (name, each) in enumerate(zip(("Read", "Edit"), told, strict=True)):
        use = {"type": "tool_use", "id": f"t{number}", "name": name, "input": {"file_path": f"/w/{'ab'[number]}.py"}}
        rows.append(row(2 * number + 1, "assistant", [use], id=f"a{number}", model="m", usage=usage))
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "done"}
        rows.append(row(2 * number + 2, "user", [result]) | {"toolUseResult": each})
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "c", "parentUuid": None, "sessionId": "s"}
    boundary["compactMetadata"] = {"preservedMessages": {"uuids": ["u4"]}} if kept else {}
    rows += [boundary, row(7, "user", "What was done.") | {"isCompactSummary": True, "parentUuid": "c"}]
    rows += [between] if between else []
    last = {"input_tokens": asked, "output_tokens": 1}
    rows.append(row(9, "assistant", [{"type": "text", "text": "On."}], id="z", model=model, usage=last))
    return [each | {"parentUuid": "u7"} if each.get("uuid") == "u9" else each for each in rows]


def shown(data: bytes) -> list[tuple[str, int]]:
    """The files that are inferred, and the line where they stand."""
    steps = [step for step in parse(data, "t.jsonl")[0].steps if isinstance(step, FileShown) and step.told_by]
    assert all(step.told_by is ToldBy.COUNTS for step in steps)
    return [(step.path, step.lines.first) for step in steps]


def test_what_no_row_explains_after_a_compaction_are_the_files_used_last(jsonl: Jsonl) -> None:
    """The newest first, as edited, with numbers of lines, beside the summary and before the answer."""
    data = jsonl(session(26_000))
    assert shown(data) == [("/w/b.py", 7), ("/w/a.py", 7)]
    steps = parse(data, "t.jsonl")[0].steps
    assert [type(step).__name__ for step in steps[-4:]] == ["Summary", "FileShown", "FileShown", "ModelMessage"]
    edited = steps[-3]
    assert isinstance(edited, FileShown) and edited.text.startswith("     1→new\n     2→value_0 = 0\n")


def test_without_the_tokens_nothing_was_shown(jsonl: Jsonl) -> None:
    """The counts must hold half of the files; those of another model say nothing."""
    assert shown(jsonl(session(21_000))) == []
    assert shown(jsonl(session(26_000, model="another"))) == []


def test_a_version_that_tells_is_taken_at_its_word(jsonl: Jsonl) -> None:
    """Where a row shows a file, or the compaction kept rows, nothing is inferred."""
    attachment = {"type": "file", "filename": "/w/b.py", "content": {"type": "text", "file": {"content": TEXT}}}
    told = {"type": "attachment", "uuid": "u8", "parentUuid": "u7", "sessionId": "s", "attachment": attachment}
    assert shown(jsonl(session(26_000, between=told))) == []
    assert shown(jsonl(session(26_000, kept=True))) == []


def test_the_law_of_following_holds_at_every_line(jsonl: Jsonl) -> None:
    """LAW-RESTORED-1: taken after every line, what was shown is that of the whole file."""
    data = jsonl(session(26_000))
    followed, end = Followed(FORMAT), 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        followed.read(data, end)
        followed.keep()
    followed.finish(data)
    assert_same(followed, parse(data, "t.jsonl"), "every line")


def test_a_page_that_is_inferred_says_so(jsonl: Jsonl, tmp_path: Path) -> None:
    """The event of the page, and the words of `why`."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(jsonl(session(26_000)))
    with Journal(MemoryLog()) as journal:
        replay(journal, path, ReplaySettings(as_recorded=True, counter="lines4"))
        pages = [row.data for row in journal.log.read("s") if row.type == "page_written"]
        inferred = [page.page_id for page in pages if page.told_by is ToldBy.COUNTS]
        assert len(inferred) == 2
        found = views.why(journal.log, "s", inferred[0], turn=3)
        assert words.origin(found["provenance"]) == "line 7, inferred from the provider's counts"


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (read_of("/w/x", "two\nlines"), "two\nlines"),
        (read_of("/w/x", "a part", first=3, total=9), "before"),
        ({"filePath": "/w/x", "type": "create", "content": "new"}, "new"),
        ({"filePath": "/w/x", "oldString": "before", "newString": "after"}, "after"),
        ({"filePath": "/w/x", "oldString": "b", "newString": "c", "originalFile": "b b"}, "c b"),
        ({"filePath": "/w/x", "oldString": "b", "newString": "c", "originalFile": "b b", "replaceAll": True}, "c c"),
        ({"filePath": "/w/x", "originalFile": "ab", "edits": [{"old_string": "a", "new_string": "c"}]}, "cb"),
        ({"filePath": "/w/x", "content": "x" * 20_000}, None),
        ({"filePath": 7}, "before"),
        ({"stdout": "x"}, "before"),
    ],
)
def test_what_is_in_a_file_follows_from_its_calls(told: dict[str, Any], known: str | None) -> None:
    """A whole read, a write, edits; a part tells nothing new, and a file that is too large is never shown."""
    files = Files({"/w/x": "before"})
    files.touched(Fields(told))
    assert files.known == {"/w/x": known}


def test_only_the_last_files_and_the_plan_are_shown() -> None:
    """Five by their last use, with the session's plan before them; what was not shown is forgotten."""
    files = Files()
    names = ["/h/.claude/plans/p.md", *(f"/w/{number}" for number in range(FILES_KNOWN)), "/w/CLAUDE.md"]
    for path in (*names, "/w/9", names[0]):
        files.touched(Fields({"filePath": path, "content": path}))
    assert len(files.known) == FILES_KNOWN and "/w/CLAUDE.md" not in files.known
    files.asked(1_000, "m")
    files.compacted(5, keeps=False)
    newest = ["/w/9", *(f"/w/{number}" for number in range(FILES_KNOWN - 1, FILES_KNOWN - FILES, -1))]
    assert list(files.asked(9_000, "m")) == [*newest, names[0]] and len(files.known) == FILES + 1
    assert files.asked(9_000, "m") == {}
