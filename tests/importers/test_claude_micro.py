"""Micro-compactions of Claude Code without a row: inferred from the provider's counts by the harness's own rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal, views
from clawvm_es.cli.losses import _lines
from clawvm_es.history.losses import losses, losses_of
from clawvm_es.importers.claude_code import FORMAT, parse
from clawvm_es.importers.claude_micro import KEPT_TOKENS, SAVED_TOKENS_MIN, Results, rough
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.facts import Cut, ToldBy
from clawvm_es.observe.steps import ContextDropped, Lines
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.views import words
from tests.importers.followed import Followed, assert_same

Jsonl = Callable[[list[Any]], bytes]
FILE = 16_000
"""Characters of each file: 4,000 tokens by the harness's count."""


def row(number: int, kind: str, content: Any, **message: Any) -> dict[str, Any]:
    """A row that hangs on the one before it."""
    at = f"2026-01-01T00:00:{number:02}.000Z"
    parent = f"u{number - 1}" if number else None
    message = {"role": kind, "content": content, **message}
    return {"type": kind, "uuid": f"u{number}", "parentUuid": parent, "sessionId": "s", "timestamp": at} | {
        "message": message
    }


def reads(count: int, asked: list[int], model: str = "m", size: int = FILE) -> Iterator[dict[str, Any]]:
    """A prompt, then as many files read, one an answer; `asked` are the provider's counts of the last answers."""
    yield row(0, "user", "Read them all.")
    for number in range(count + len(asked)):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"file_path": f"/w/{number}.py"}}
        last = number - count
        tokens = 20_000 + 4_000 * number if last < 0 else asked[last]
        usage = {"input_tokens": tokens, "output_tokens": 1}
        by = "m" if last < 0 else model
        yield row(2 * number + 1, "assistant", [use], id=f"a{number}", model=by, usage=usage)
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"{number:>{size}}"}
        yield row(2 * number + 2, "user", [result])


def inferred(data: bytes) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """The cuts of a file that are inferred: line, calls whose results left, calls whose results returned."""
    steps = [step for step in parse(data, "t.jsonl")[0].steps if isinstance(step, ContextDropped) and step.told_by]
    assert all(step.cut is Cut.MICRO and step.told_by is ToldBy.COUNTS for step in steps)
    assert all(step.lines == Lines(step.lines.first, step.lines.first) for step in steps)
    return [(step.lines.first, step.dropped_calls, step.returned_calls) for step in steps]


def test_a_fall_is_explained_by_the_rule_of_the_harness(jsonl: Jsonl) -> None:
    """The oldest leave until 40,000 tokens are left: of 16 of 4,000 each six, before the call that shows it."""
    data = jsonl(list(reads(16, [60_000, 64_000])))
    assert inferred(data) == [(34, (1, 2, 3, 4, 5, 6), ())]
    recording = parse(data, "t.jsonl")[0]
    places = [type(step).__name__ for step in recording.steps]
    assert places.index("ContextDropped") == places.index("ModelMessage", 32) - 1


def test_counts_that_rise_again_bring_the_results_back(jsonl: Jsonl) -> None:
    """What left by the counts returns by them, and may leave again; a rise that rows explain brings nothing."""
    data = jsonl(list(reads(16, [60_000, 64_000, 96_000, 70_000])))
    first, later = tuple(range(1, 7)), tuple(range(1, 10))
    assert inferred(data) == [(34, first, ()), (38, (), first), (40, later, ())]
    assert len(inferred(jsonl(list(reads(16, [60_000, 68_000, 76_000, 84_000]))))) == 1


def parallel(resumed: bool, asked: int, first: str | None = None) -> list[dict[str, Any]]:
    """An answer with three calls whose results hang on their own rows; then a resume, and a call after it."""
    rows = [row(0, "user", "Read them all.") | {"parentUuid": first}]
    usage = {"input_tokens": 20_000, "output_tokens": 1}
    for number in range(3):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"file_path": f"/w/{number}.py"}}
        rows.append(row(number + 1, "assistant", [use], id="a", model="m", usage=usage))
    for number in range(3):
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"{number:>{FILE}}"}
        rows.append(row(number + 4, "user", [result]) | {"parentUuid": f"u{number + 1}"})
    usage = {"input_tokens": 35_000, "output_tokens": 1}
    rows.append(row(7, "assistant", [{"type": "text", "text": "Read."}], id="b", model="m", usage=usage))
    said = "No response requested." if resumed else "API Error"
    rows.append(row(8, "assistant", [{"type": "text", "text": said}], id="x", model="<synthetic>"))
    rows.append(row(9, "user", "Go on."))
    usage = {"input_tokens": asked, "output_tokens": 1}
    rows.append(row(10, "assistant", [{"type": "text", "text": "On."}], id="c", model="m", usage=usage))
    return rows


def test_a_resume_loses_results_that_stand_beside_the_path(jsonl: Jsonl) -> None:
    """Of three parallel calls two results hang on no row that the newest one goes back to: the counts show it.

    There is none where less left, where no resume is told, or where the path leads to a row that is missing.
    """
    assert inferred(jsonl(parallel(True, 26_000))) == [(11, (1, 2), ())]
    assert inferred(jsonl(parallel(True, 35_200))) == []
    assert inferred(jsonl(parallel(True, 29_000))) == []
    assert inferred(jsonl(parallel(False, 26_000))) == []
    assert inferred(jsonl(parallel(True, 26_000, first="missing"))) == []


def test_a_session_that_begins_with_a_progress_row_has_a_whole_path(jsonl: Jsonl) -> None:
    """A progress row without a parent is the first row, as any other."""
    first = {"type": "progress", "uuid": "p", "parentUuid": None, "sessionId": "s", "data": {"type": "hook_progress"}}
    assert inferred(jsonl([first, *parallel(True, 26_000, first="p")])) == [(12, (1, 2), ())]
    first.pop("parentUuid")
    assert inferred(jsonl([first, *parallel(True, 26_000, first="p")])) == []


def test_a_resume_loses_results_of_any_tool(jsonl: Jsonl) -> None:
    """Results that no micro-compaction takes out are lost at a resume as well, and weigh as much."""
    rows = parallel(True, 26_000)
    rows[1]["message"]["content"][0]["name"] = "Task"
    assert inferred(jsonl(rows)) == [(11, (1, 2), ())]
    rows[-1]["message"]["usage"]["input_tokens"] = 30_000
    assert inferred(jsonl(rows)) == []


@pytest.mark.parametrize(
    ("count", "asked", "model", "size"),
    [
        (16, 84_000, "m", FILE),  # it rises
        (16, 75_000, "m", FILE),  # it falls by less than the rule saves
        (16, 60_000, "another", FILE),  # another model counts otherwise
        (14, 40_000, "m", FILE),  # the rule would save 16,000
        (3, 9_000, "m", 8 * FILE),  # of the newest three nothing leaves
    ],
)
def test_other_falls_are_none(jsonl: Jsonl, count: int, asked: int, model: str, size: int) -> None:
    """Nothing is inferred where the rule takes nothing out, or the counts do not show what it would."""
    assert inferred(jsonl(list(reads(count, [asked], model, size)))) == []


def test_a_row_that_tells_of_the_cut_explains_the_fall(jsonl: Jsonl) -> None:
    """After a row of a micro-compaction or of a compaction the counts before it and after are not compared."""
    rows = list(reads(16, [60_000]))
    told = {"type": "system", "subtype": "microcompact_boundary", "uuid": "m", "parentUuid": "u32", "sessionId": "s"}
    for cut in (
        {**told, "microcompactMetadata": {"compactedToolIds": ["t0", "t1"]}},
        {**told, "subtype": "compact_boundary", "parentUuid": None},
    ):
        assert inferred(jsonl([*rows[:33], cut, *rows[33:]])) == []


def test_a_compaction_ends_what_was_inferred(jsonl: Jsonl) -> None:
    """Results that had left by inference do not return after a compaction, however the counts rise."""
    rows = list(reads(16, [60_000, 64_000, 20_000, 120_000]))
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "c", "parentUuid": None, "sessionId": "s"}
    assert len(inferred(jsonl([*rows[:37], boundary, *rows[37:]]))) == 1


@pytest.mark.parametrize("rows", [list(reads(16, [60_000, 64_000, 96_000, 70_000])), parallel(True, 26_000)])
def test_the_law_of_following_holds_at_every_line(jsonl: Jsonl, rows: list[dict[str, Any]]) -> None:
    """LAW-MICRO-1: taken after every line, what left and returned is that of the whole file."""
    data = jsonl(rows)
    followed, end = Followed(FORMAT), 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        followed.read(data, end)
        followed.keep()
    followed.finish(data)
    assert_same(followed, parse(data, "t.jsonl"), "every line")


def test_the_rule_counts_as_the_harness_does() -> None:
    """Half a token is one; an image is 2,000; other tools, and calls without a result, weigh nothing."""
    assert [rough("x" * count) for count in (0, 1, 2, 5, 6)] == [0, 0, 1, 1, 2]
    results = Results()
    for number in range(9):
        results.called(f"t{number}", "Task" if number == 1 else "Read")
        if number:
            results.came(KEPT_TOKENS // 4, f"t{number}")
    results.answered(10 * KEPT_TOKENS, "m")
    everything = [f"t{number}" for number in range(9)]
    assert results.left(5 * KEPT_TOKENS, "m", lambda: everything) == ("t2", "t3", "t4")
    assert sum(results.out.values()) == 30_000 > SAVED_TOKENS_MIN
    assert results.left(KEPT_TOKENS, "m", lambda: everything) == ()


def test_losses_and_why_say_that_it_is_inferred(jsonl: Jsonl, tmp_path: Path) -> None:
    """The event, the losses by rows and by events, and the words of both verbs."""
    path = tmp_path / "s.jsonl"
    rows = list(reads(16, [60_000, 64_000]))
    again = {"type": "tool_use", "id": "t99", "name": "Read", "input": {"file_path": "/w/0.py"}}
    usage = {"input_tokens": 70_000, "output_tokens": 1}
    rows.append(row(37, "assistant", [again], id="a99", model="m", usage=usage))
    rows.append(row(38, "user", [{"type": "tool_result", "tool_use_id": "t99", "content": f"{0:>{FILE}}"}]))
    path.write_bytes(jsonl(rows))
    with Journal(MemoryLog()) as journal:
        replay(journal, path, ReplaySettings(as_recorded=True, counter="lines4"))
        (cut,) = losses_of(journal.log, "s").dropped
        assert cut.inferred and cut.pages == 6
        assert losses(read_session(journal.log, "s")).dropped[0].inferred
        document = views.lost(journal.log, "s")
        assert "6 pages" in (told := next(_lines(document))) and "inferred from the provider's counts" in told
        found = views.why(journal.log, "s", "p2", turn=18)
        assert found["changed"]["inferred"]
        assert "inferred from the provider's counts" in words.change(found["changed"], "absent")


def results(*sizes: int) -> Results:
    """Results of reads of these sizes, which came before an answer that was asked with 100 000 tokens."""
    found = Results()
    for number, size in enumerate(sizes):
        found.called(f"c{number}", "Read")
        found.came(size, f"c{number}")
    found.answered(100_000, "m")
    return found


@pytest.mark.parametrize(
    ("sizes", "fell", "left"),
    [
        ((25_000, 1, 1, 40_000), 25_000, ("c0",)),
        ((25_000, 1, 1, 40_000), 12_501, ("c0",)),
        ((25_000, 1, 1, 40_000), 12_499, ()),
        ((24_998, 1, 1, 40_000), 12_499, ("c0",)),
        ((24_998, 1, 1, 40_000), 12_498, ()),
        ((20_000, 1, 1, 40_000), 10_000, ("c0",)),
        ((20_000, 1, 1, 40_000), 9_999, ()),
        ((19_999, 1, 1, 40_000), 60_000, ()),
        ((20_000, 1, 1, 19_998), 60_000, ()),
        ((20_000, 1, 1, 19_999), 60_000, ("c0",)),
        ((20_000, 1, 1, 1), 60_000, ()),
        ((10_000, 0, 10_000, 10_000, 20_000, 10_000, 10_000), 60_000, ("c0", "c2", "c3")),
        ((60_000, 1, 1), 60_000, ()),
    ],
    ids=str,
)
def test_the_oldest_results_leave_where_a_prompt_lacks_half_of_them(sizes, fell, left) -> None:
    """At each bound and one token beside it: what is kept, what has to be saved, and what a prompt has to lack."""
    found = results(*sizes)
    every = [f"c{number}" for number in range(len(sizes))]
    assert found.left(100_000 - fell, "m", lambda: every) == left
    assert list(found.out) == list(left) and [*found.sizes] == [each for each in every if each not in left]
    assert found.left(100_000 - fell, "m", lambda: every) == ()
    assert results(*sizes).left(100_000 - fell, "another", lambda: every) == ()
    assert results(*sizes).left(100_000 - fell, "m", lambda: every[1:]) == () or len(sizes) > 4


@pytest.mark.parametrize(
    ("sizes", "fell", "lost"),
    [
        ((5_000,), 5_000, ("c0",)),
        ((5_000,), 5_001, ("c0",)),
        ((5_000,), 4_999, ()),
        ((4_999,), 9_000, ()),
        ((2_500, 2_500), 5_000, ("c0", "c1")),
        ((2_500, 2_500), 4_999, ()),
    ],
    ids=str,
)
def test_a_resume_lost_results_where_a_prompt_lacks_all_of_them(sizes, fell, lost) -> None:
    """At each bound and one token beside it; what is lost is gone for good."""
    found = results(*sizes)
    aside = {f"c{number}" for number in range(len(sizes))}
    assert found.lost(100_000 - fell, "m", aside) == lost
    assert [*found.sizes] == [each for each in sorted(aside) if each not in lost] and found.out == {}
    assert results(*sizes).lost(100_000 - fell, "m", aside - {"c0"}) == ()


@pytest.mark.parametrize(
    ("grown", "rose", "back"), [(0, 10_000, True), (0, 9_999, False), (7, 10_014, True), (7, 10_013, False)]
)
def test_results_are_back_where_a_prompt_rose_by_half_of_them(grown, rose, back) -> None:
    """Beside what came since, which a provider may count twice; after a change that was told none is compared."""
    found = results(20_000, 1, 1, 40_000)
    assert found.returned(200_000, "m") == ()
    assert found.left(40_000, "m", lambda: list(found.sizes)) == ("c0",)
    found.answered(40_000, "m")
    found.came(grown)
    assert found.returned(40_000 + rose, "another") == ()
    assert found.returned(40_000 + rose, "m") == (("c0",) if back else ())
    assert (next(iter(found.sizes)) == "c0") is back and (found.out == {}) is back
    found.changed(["c0", "c3"])
    assert "c0" not in found.sizes and "c0" not in found.out and list(found.sizes) == ["c1", "c2"]
    assert found.returned(200_000, "m") == () and found.fallen(0, "m") == 0


def test_nothing_is_known_before_the_first_answer() -> None:
    """No prompt was there to compare with; a call of another tool and one that is out have no size."""
    found = Results()
    found.came(9)
    assert (found.fallen(3, ""), found.grown) == (0, 9)
    found.called("c1", "Task")
    found.out["c2"] = 5
    found.called("c2", "Read")
    found.called("c3", "Read")
    assert found.sizes == {"c3": 0}
    found.came(0, "c1")
    found.came(0, "c2")
    assert found.others == {"c1": 0}
    found.changed(["c1"])
    assert found.others == {}
    found.came(4, "c3")
    found.called("c3", "Read")
    assert found.sizes == {"c3": 4}
    found.answered(50, "m")
    found.came(6)
    assert (found.grown, found.fallen(50, "m"), found.fallen(40, "m"), found.fallen(40, "n")) == (6, 6, 16, 0)
    assert [rough("x" * length) for length in (0, 1, 2, 5, 6, 9, 10)] == [0, 0, 1, 1, 2, 2, 3]
