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
from clawvm_es.model.events import BoundaryReached, PageWritten
from clawvm_es.model.facts import Boundary, Cut, ToldBy
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import ContextDropped, FileShown
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.views import words
from tests.importers.followed import Followed, assert_same
from tests.importers.test_claude_micro import row

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


def resumed(asked: int, *, model: str = "m", apart: bool = True, times: int = 1) -> list[dict[str, Any]]:
    """As `session`, then prompts and answers that are counted as `asked`."""
    rows = session(26_000)
    if not apart:
        rows = [each | {"parentUuid": None} if each["uuid"] == "u7" else each for each in rows if each["uuid"] != "c"]
    for number in range(10, 10 + 2 * times, 2):
        rows.append(row(number, "user", "Go on."))
        usage = {"input_tokens": asked, "output_tokens": 1}
        said = [{"type": "text", "text": "On."}]
        rows.append(row(number + 1, "assistant", said, id=f"b{number}", model=model, usage=usage))
    return rows


def cuts(data: bytes) -> list[ContextDropped]:
    """The cuts that are inferred."""
    return [step for step in parse(data, "t.jsonl")[0].steps if isinstance(step, ContextDropped) and step.told_by]


def shown(data: bytes) -> list[tuple[str, int]]:
    """The files that are inferred, and their line."""
    steps = [step for step in parse(data, "t.jsonl")[0].steps if isinstance(step, FileShown) and step.told_by]
    assert all(step.told_by is ToldBy.COUNTS for step in steps)
    return [(step.path, step.lines.first) for step in steps]


def test_what_no_row_explains_after_a_compaction_are_the_files_used_last(jsonl: Jsonl) -> None:
    """The newest first, as edited, with numbers of lines, at the boundary's line and before the answer."""
    data = jsonl(session(26_000))
    assert shown(data) == [("/w/b.py", 6), ("/w/a.py", 6)]
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


def test_a_fall_of_as_much_says_that_the_files_left_again(jsonl: Jsonl) -> None:
    """Once, at the answer whose count shows it, and all lines but theirs stay."""
    (cut,) = cuts(jsonl(resumed(19_000, times=2)))
    assert (cut.boundary, cut.cut, cut.lines.first) == (Boundary.PRUNE, Cut.MICRO, 10)
    assert cut.kept_lines == {7, 8, 9, 10}


@pytest.mark.parametrize(
    ("asked", "model", "apart"),
    [
        (21_500, "m", True),  # it falls by less than they are
        (26_100, "m", True),  # it rises
        (19_000, "another", True),  # another model counts otherwise
        (19_000, "m", False),  # without a row of the boundary they share the summary's line
    ],
)
def test_other_falls_leave_the_files(jsonl: Jsonl, asked: int, model: str, apart: bool) -> None:
    """Nothing is inferred where the counts do not show it, or where the files share their line with a summary."""
    data = jsonl(resumed(asked, model=model, apart=apart))
    assert len(shown(data)) == 2 and cuts(data) == []


def test_files_that_left_do_not_return_on_a_path(jsonl: Jsonl) -> None:
    """A prompt that hangs on an answer from before a resume brings back no file that the resume lost."""
    rows = resumed(19_000)
    rows.append(row(12, "user", "Another way.") | {"parentUuid": "u9"})
    steps = parse(jsonl(rows), "t.jsonl")[0].steps
    last = [step for step in steps if isinstance(step, ContextDropped)][-1]
    assert last.cut is Cut.REWIND and last.kept_lines == {7, 8}


def test_the_pages_of_the_files_leave_alone(jsonl: Jsonl, tmp_path: Path) -> None:
    """In a journal the cut takes the two pages that were inferred, and is told as inferred."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(jsonl(resumed(19_000)))
    with Journal(MemoryLog()) as journal:
        replay(journal, path, ReplaySettings(as_recorded=True, counter="lines4"))
        events = [each.data for each in journal.log.read("s")]
        files = [each.page_id for each in events if isinstance(each, PageWritten) and each.told_by is ToldBy.COUNTS]
        (cut,) = [each for each in events if isinstance(each, BoundaryReached) and each.told_by is ToldBy.COUNTS]
        assert sorted(cut.left) == sorted(files) and not cut.returned


@pytest.mark.parametrize("rows", [session(26_000), resumed(19_000)], ids=["shown", "lost"])
def test_the_law_of_following_holds_at_every_line(jsonl: Jsonl, rows: list[dict[str, Any]]) -> None:
    """LAW-RESTORED-1: taken after every line, what was shown, and left, is that of the whole file."""
    data = jsonl(rows)
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
        assert words.origin(found["provenance"]) == "line 6, inferred from the provider's counts"


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
        ({"filePath": "/w/x", "oldString": "", "newString": "c"}, "before"),
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
    assert FILES == 5  # the harness's own number
    assert files.asked(9_000, "m") == {}
