"""Claude Code (C3): the recorded context is the path of parents; what a compaction preserved stays in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers import Recording, read
from clawvm_es.importers.claude_code import parse
from clawvm_es.importers.claude_tree import Tree
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached, PageWritten, ToolCalled
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.observe.steps import ContextDropped

Translate = Callable[[Recording], list[Command]]
Rows = list[dict[str, Any]]


def row(uuid: str, parent: str | None, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A user or assistant row of session `s`; an answer's id is the first part of its uuid."""
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message["id"] = uuid.partition(".")[0]
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message, **more}


def use(call_id: str) -> dict[str, Any]:
    """A tool_use block."""
    return {"type": "tool_use", "id": call_id, "name": "Read", "input": {"file_path": f"/w/{call_id}"}}


def result(uuid: str, parent: str, call_id: str) -> dict[str, Any]:
    """A row with a result."""
    block = {"type": "tool_result", "tool_use_id": call_id, "content": f"result of {call_id}"}
    return row(uuid, parent, "user", [block])


def recording(rows: Rows) -> Recording:
    """The session of these rows."""
    return parse("\n".join([*map(json.dumps, rows), ""]).encode(), "s.jsonl")[0]


def resident(found: list[Command], vault: Any) -> list[str]:
    """The texts that the harness has in its context at the end, by what boundaries moved."""
    texts: dict[str, str] = {}
    inside: dict[str, None] = {}
    for command in found:
        data = command.data
        if isinstance(data, PageWritten):
            texts[data.page_id] = vault.open(data.levels[0].body).decode()
            inside[data.page_id] = None
        elif isinstance(data, BoundaryReached):
            inside = dict.fromkeys(p for p in (*inside, *data.returned) if p not in data.left)
    return [texts[page_id] for page_id in sorted(inside, key=lambda page_id: int(page_id[1:]))]


def cuts(found: Recording) -> list[Cut | None]:
    """The ways in which the context was cut, in order."""
    return [step.cut for step in found.steps if isinstance(step, ContextDropped)]


def test_a_rewind_leaves_what_was_abandoned(cases: Path, translate: Translate, vault: Any) -> None:
    """After going back, the abandoned answer and result are out of the context and hold no need."""
    (found,) = read(cases / "03-rewind-branch" / "s.jsonl")
    commands = translate(found)
    (boundary,) = [command.data for command in commands if isinstance(command.data, BoundaryReached)]
    assert (boundary.boundary, boundary.cut, len(boundary.left)) == (Boundary.PRUNE, Cut.REWIND, 3)
    assert not any("ABANDONED" in text for text in resident(commands, vault))
    last = [command.data for command in commands if isinstance(command.data, ToolCalled)][-1]
    assert not any(holder.recorded_resident for need in last.needs for holder in need.holders)


def test_a_prompt_at_the_root_leaves_all(cases: Path) -> None:
    """A prompt without a parent begins again: nothing that was said before stands in the context."""
    (found,) = read(cases / "50-rows" / "rewind.jsonl")
    (dropped,) = [step for step in found.steps if isinstance(step, ContextDropped)]
    assert (dropped.cut, dropped.kept_lines, dropped.lines.first) == (Cut.REWIND, frozenset(), 3)


def test_messages_that_a_compaction_kept_hold_needs(cases: Path, translate: Translate) -> None:
    """The edit after the compaction takes its text from the result that was kept, as without a compaction."""
    for name in ("s", "control"):
        (found,) = read(cases / "07-compaction-keeps-messages" / f"{name}.jsonl")
        edit = [command.data for command in translate(found) if isinstance(command.data, ToolCalled)][-1]
        (need,) = edit.needs
        assert [holder.recorded_resident for holder in need.holders] in ([True], [None])


PARALLEL = [
    row("u", None, "user", "go"),
    row("m.1", "u", "assistant", [use("a")]),
    row("m.2", "m.1", "assistant", [use("b")]),
    {"type": "progress", "uuid": "p", "parentUuid": "m.1", "sessionId": "s", "data": {"type": "hook_progress"}},
    result("ra", "m.1", "a"),
    result("rb", "m.2", "b"),
    row("note", "ra", "user", "a note", isMeta=True, sourceToolUseID="a"),
    row("n", "rb", "assistant", [{"type": "text", "text": "both"}]),
]


def test_parallel_results_and_progress_are_no_branches(translate: Translate, vault: Any) -> None:
    """An answer that hangs on one of several results has all of them, and what hung on the others."""
    found = recording(PARALLEL)
    assert cuts(found) == []
    assert resident(translate(found), vault) == ["go", "result of a", "result of b", "a note", "both"]


def test_going_back_and_forth(translate: Translate, vault: Any) -> None:
    """A rewind to a branch that was left brings its pages back, and takes the other branch's out."""
    rows = [
        *PARALLEL,
        row("v", "u", "user", "another way"),
        row("o", "v", "assistant", [{"type": "text", "text": "fine"}]),
    ]
    assert resident(translate(recording(rows)), vault) == ["go", "another way", "fine"]
    rows.append(row("w", "n", "user", "the first way after all"))
    found = recording(rows)
    assert cuts(found) == [Cut.REWIND, Cut.REWIND]
    assert resident(translate(found), vault) == [
        *resident(translate(recording(PARALLEL)), vault),
        rows[-1]["message"]["content"],
    ]


def test_a_plan_stays_where_one_of_its_writings_does(translate: Translate, vault: Any) -> None:
    """A rewind behind the second writing of a plan leaves the plan in the context, behind the first one none."""

    def plan(uuid: str, parent: str, words: str) -> Rows:
        todo = {"todos": [{"content": words, "status": "pending"}]}
        call = {"type": "tool_use", "id": uuid, "name": "TodoWrite", "input": todo}
        return [row(f"{uuid}.1", parent, "assistant", [call]), result(f"{uuid}.2", f"{uuid}.1", uuid)]

    rows = [
        row("u", None, "user", "go"),
        *plan("m", "u", "one"),
        row("v", "m.2", "user", "on"),
        *plan("n", "v", "two"),
    ]
    stays = resident(translate(recording([*rows, row("w", "m.2", "user", "back")])), vault)
    assert [text.splitlines()[0] for text in stays] == ["go", "# To-do list", "back"]
    gone = resident(translate(recording([*rows, row("w", "u", "user", "back")])), vault)
    assert gone == ["go", "back"]


def test_a_late_result_of_an_abandoned_call_reaches_no_context(translate: Translate, vault: Any) -> None:
    """A result that comes after the user went back is recorded, and leaves at once."""
    rows = [*PARALLEL[:5], row("v", "u", "user", "stop"), result("rb", "m.2", "b")]
    assert resident(translate(recording(rows)), vault) == ["go", "stop"]


def boundary(**more: Any) -> dict[str, Any]:
    """A row of a compaction."""
    return {
        "type": "system",
        "subtype": "compact_boundary",
        "uuid": "c",
        "parentUuid": None,
        "sessionId": "s",
        **more,
    }


SUMMARY = row("sum", "c", "user", "the story", isCompactSummary=True)


@pytest.mark.parametrize(
    "told",
    [
        {"compactMetadata": {"preservedMessages": {"uuids": ["m.2", "rb"]}}},
        {"compact_metadata": {"preserved_messages": {"uuids": ["m.2", "rb", "gone"]}}},
        {"compactMetadata": {"preservedSegment": {"headUuid": "rb", "tailUuid": "rb"}}},
    ],
)
def test_what_a_compaction_preserved(told: dict[str, Any], translate: Translate, vault: Any) -> None:
    """Named rows, or those of a segment, stay; the next prompt may hang on the last of them."""
    last = row("next", "rb", "user", "now")
    found = recording([*PARALLEL, boundary(**told), SUMMARY, last])
    assert cuts(found) == [Cut.COMPACT]
    assert resident(translate(found), vault) == ["result of b", "the story", "now"]


def test_a_rewind_past_a_compaction(translate: Translate, vault: Any) -> None:
    """Who goes back before a compaction has again what it dropped, and no summary."""
    rows = [*PARALLEL, boundary(), SUMMARY, row("next", "sum", "user", "now")]
    assert resident(translate(recording(rows)), vault) == ["the story", "now"]
    rows.append(row("back", "n", "user", "back then"))
    found = recording(rows)
    assert cuts(found) == [Cut.COMPACT, Cut.REWIND]
    texts = resident(translate(found), vault)
    assert texts == ["go", "result of a", "result of b", "a note", "both", "back then"]


def test_a_summary_without_a_boundary_drops(translate: Translate, vault: Any) -> None:
    """A summary is a compaction, also where no row says so; after a boundary it is no second one."""
    found = recording([*PARALLEL, SUMMARY, row("next", "sum", "user", "now")])
    assert cuts(found) == [Cut.COMPACT]
    assert resident(translate(found), vault) == ["the story", "now"]
    assert cuts(recording([*PARALLEL, boundary(), SUMMARY])) == [Cut.COMPACT]


def test_an_answer_that_is_tried_again(translate: Translate, vault: Any) -> None:
    """An error of the API is no answer: the next try, on the row before it or on it, leaves nothing."""
    error = row("e", "n", "assistant", [{"type": "text", "text": "overloaded"}], isApiErrorMessage=True)
    for parent in ("n", "e"):
        found = recording([*PARALLEL, error, row("o", parent, "assistant", [{"type": "text", "text": "now"}])])
        assert cuts(found) == []
        assert resident(translate(found), vault)[-2:] == ["both", "now"]


def test_clear_and_results_that_were_taken_out(translate: Translate, vault: Any) -> None:
    """`/clear` leaves nothing; a result that a micro-compaction took out does not return by a rewind."""
    cleared = row("x", "n", "user", "<command-name>/clear</command-name>")
    assert resident(translate(recording([*PARALLEL, cleared, row("y", "x", "user", "new")])), vault) == ["new"]
    micro = {
        "type": "system",
        "subtype": "microcompact_boundary",
        "uuid": "mc",
        "parentUuid": "n",
        "microcompactMetadata": {"compactedToolIds": ["a"]},
    }
    rows = [*PARALLEL, micro, row("v", "n", "user", "on"), row("w", "n", "user", "or so")]
    found = recording(rows)
    assert cuts(found) == [Cut.MICRO, Cut.REWIND]
    assert resident(translate(found), vault) == ["go", "result of b", "a note", "both", "or so"]


def test_parents_that_come_after_their_children(translate: Translate, vault: Any) -> None:
    """Rows in another order than their parents are no rewinds, and their path is the one that the parents tell."""
    rows = [
        PARALLEL[0],
        row("m", "v", "assistant", [{"type": "text", "text": "yes"}]),
        row("v", "u", "user", "well?"),
    ]
    found = recording(rows)
    assert (cuts(found), found.skipped) == ([], {})
    assert resident(translate(found), vault) == ["go", "yes", "well?"]
    back = recording([*rows, row("w", "v", "user", "or not?")])
    assert resident(translate(back), vault) == ["go", "well?", "or not?"]


def test_a_parent_that_is_no_row_is_counted() -> None:
    """A prompt on an unknown row follows the newest one."""
    found = recording([row("u", None, "user", "go"), row("v", "gone", "user", "on")])
    assert cuts(found) == []
    assert found.skipped == {"unknown_parent": 1}


@given(st.lists(st.integers(-1, 12), max_size=14))
def test_the_context_is_the_path_of_parents(parents: list[int]) -> None:
    """LAW-TREE-1: after each prompt the context is its path to the root, told only where it is not the newest's."""
    tree = Tree()
    known: list[int | None] = []
    inside: set[int] = set()
    for number, wanted in enumerate(parents):
        parent = None if wanted < 0 or not known else min(wanted, len(known) - 1)
        on = None if parent is None else f"u{parent}"
        newest = tree.follows(on)
        told = tree.begin(f"u{number}", number + 1, on)
        inside = (inside if told is None else set(told)) | {number + 1}
        known.append(parent)
        path, place = set(), number
        while place is not None:
            path.add(place + 1)
            place = known[place]
        assert inside == path == tree.context()
        assert newest == (told is None) == (parent == number - 1 or (parent is None and number == 0))
