"""Rows of one answer (C5): what they repeat is said once, what they extend grows, usage is merged per field."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers import read
from clawvm_es.importers.merging import Use, merge_texts, merge_uses, most
from clawvm_es.importers.transcript import Transcript
from clawvm_es.observe.steps import ModelMessage, ToolResult, Usage, UserMessage

BLOCKS = st.lists(st.text("abc ", min_size=1, max_size=5).filter(str.strip), max_size=4)


def test_cumulative_snapshots(cases: Path) -> None:
    """Three growing rows of one answer are one turn: one call, its text once, the last count of tokens."""
    (recording,) = read(cases / "05-cumulative-snapshots" / "s.jsonl")
    first = next(step for step in recording.steps if isinstance(step, ModelMessage))
    assert (recording.turns, recording.tool_calls) == (2, 1)
    assert (first.texts, first.usage.output_tokens) == (("Running.",), 60)
    assert recording.skipped == {}


def test_rows_that_a_resume_wrote_again(cases: Path) -> None:
    """Rows of an answer and of a result that come again under new ids make no second call and no second result."""
    (recording,) = read(cases / "50-rows" / "resumecopy.jsonl")
    assert (recording.turns, recording.tool_calls) == (3, 2)
    assert sum(isinstance(step, ToolResult) for step in recording.steps) == 2
    assert 1 <= sum(recording.skipped.values()) <= 2


def test_an_answer_that_others_followed_is_extended_by_the_rest() -> None:
    """Of a text that was said and then grew, the rest is added; of its calls those that are new."""
    into = Transcript(cumulative=True)
    use = Use("t", "Read", {"file_path": "a"})
    into.answer("m", texts=["One"], uses=[use], usage=Usage(), line=1, at_us=1)
    into.say(UserMessage("meanwhile"))
    into.answer("m", texts=["One two"], uses=[use, Use("u", "Read", {})], usage=Usage(), line=3, at_us=3)
    first, _, second = into.recording("s", "claude_code", "f").steps
    assert isinstance(first, ModelMessage) and isinstance(second, ModelMessage)
    assert (first.texts, second.texts) == (("One",), (" two",))
    assert [[call.call_id for call in step.calls] for step in (first, second)] == [["t"], ["u"]]
    assert second.continued


def test_one_row_may_say_the_same_twice() -> None:
    """Blocks of one row are never taken for each other, and calls without an id are all kept."""
    texts: list[str] = []
    merge_texts(texts, ["ok", "ok"])
    uses: list[Use] = []
    merge_uses(uses, [Use("", "a", {}), Use("", "a", {})])
    assert (texts, len(uses)) == (["ok", "ok"], 2)


@given(BLOCKS, st.data())
def test_growing_snapshots_end_as_the_last_one(blocks: list[str], data: st.DataObject) -> None:
    """Rows that each repeat and extend the one before say together what the last one says."""
    known: list[str] = []
    for size in range(1, len(blocks) + 1):
        *whole, last = blocks[:size]
        cut = data.draw(st.integers(1, len(last)))
        for row in ([*whole, last[:cut]], [*whole, last]):
            merge_texts(known, row if row[-1].strip() else whole)
    assert known == blocks


@given(st.tuples(*[st.integers(0, 9)] * 5), st.tuples(*[st.integers(0, 9)] * 5))
def test_usage_is_merged_per_field(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Of each count the larger one is kept."""
    merged = most(Usage(*one), Usage(*other))
    assert merged == most(Usage(*other), Usage(*one)) == most(merged, Usage(*one))
    assert merged.input_tokens == max(one[0], other[0])
