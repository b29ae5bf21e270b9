"""Results find their calls (C4): ids of any kind, missing, equal, late; a choice between several is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers import Recording, read, read_bytes
from clawvm_es.importers.pairing import Calls, Paired
from clawvm_es.observe.steps import ModelMessage, ToolResult


def results(recording: Recording) -> dict[str, str]:
    """Text of each result → the arguments of its call."""
    uses = {use.call: use for s in recording.steps if isinstance(s, ModelMessage) for use in s.calls}
    told = [step for step in recording.steps if isinstance(step, ToolResult)]
    return {step.text: json.dumps(dict(uses[step.call].arguments)) if step.call in uses else "" for step in told}


@pytest.mark.parametrize("name", ["good", "empty", "int", "missing", "same"])
def test_north_is_north(cases: Path, name: str) -> None:
    """Whatever the ids of two calls are, NORTH is the result of north.txt and SOUTH of south.txt."""
    (recording,) = read(cases / "09-tool-call-ids" / f"{name}.json")
    found = results(recording)
    assert "north" in found["NORTH content"] and "south" in found["SOUTH content"]
    certain = name in ("good", "int")
    assert recording.skipped.get("ambiguous_result", 0) == (0 if certain else 1)
    assert "call_without_result" not in recording.skipped


def test_a_call_of_messages_takes_no_result_that_came_before_it(tmp_path: Path) -> None:
    """A history that was cut begins with a result whose call is gone; the next call of that id has its own."""
    use = {"id": "read_file", "function": {"name": "read_file", "arguments": '{"path": "south.txt"}'}}
    told = [
        {"role": "tool", "tool_call_id": "read_file", "content": f"{name} content"} for name in ("NORTH", "SOUTH")
    ]
    asked = {"role": "assistant", "content": None, "tool_calls": [use]}
    (tmp_path / "s.json").write_text(json.dumps([{"role": "user", "content": "go on"}, told[0], asked, told[1]]))
    (recording,) = read(tmp_path / "s.json")
    assert results(recording) == {"NORTH content": "", "SOUTH content": '{"path": "south.txt"}'}
    assert recording.skipped == {"result_without_call": 1}


def test_odd_ids_and_names(cases: Path) -> None:
    """Numbers are ids; a call whose id is null stays without a result."""
    (recording,) = read(cases / "24-odd-ids-and-names" / "s.jsonl")
    told = [(step.call, step.text) for step in recording.steps if isinstance(step, ToolResult)]
    assert told == [(1, "SEVENTEEN"), (2, "EIGHTEEN")]
    assert recording.skipped == {"call_without_result": 1}


def test_functions_of_the_older_form(cases: Path) -> None:
    """`function_call` is a call that its function's result answers; refusal and reasoning are kept."""
    (recording,) = read(cases / "10-openai-function-call" / "s.json")
    assert results(recording) == {"rain 7C": '{"city": "Oslo"}'}
    answers = [step for step in recording.steps if isinstance(step, ModelMessage)]
    assert [use.name for use in answers[0].calls] == ["get_weather"]
    assert (answers[1].texts, answers[1].finish) == (("I cannot help with REFUSAL-TEXT-1",), "refusal")
    assert answers[2].thinking == ("hidden thoughts",)
    assert recording.skipped == {}


def chat(*messages: dict[str, Any]) -> Recording:
    """A chat of these messages."""
    return read_bytes(json.dumps([{"role": "user", "content": "go"}, *messages]).encode(), "chat.json")[0]


def test_the_name_of_the_tool_decides_before_the_order() -> None:
    """Results that come in another order than their calls are told apart by the tool's name."""
    calls = [{"function": {"name": name, "arguments": json.dumps({"of": name})}} for name in ("one", "two")]
    recording = chat(
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "name": "two", "content": "second"},
        {"role": "tool", "name": "one", "content": "first"},
    )
    assert results(recording) == {"second": '{"of": "two"}', "first": '{"of": "one"}'}
    assert recording.skipped == {}


def test_a_custom_tool_and_a_result_that_nobody_waits_for() -> None:
    """The text of a custom tool is its input; results without id and call are kept, each on its own, and counted."""
    recording = chat(
        {"role": "assistant", "tool_calls": [{"id": 5, "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "5", "content": "files"},
        {"role": "tool", "content": "stray"},
        {"role": "tool", "content": "another"},
    )
    assert results(recording) == {"files": '{"input": "ls"}', "stray": "", "another": ""}
    assert recording.skipped == {"result_without_call": 2}


def test_a_result_belongs_to_the_latest_answer() -> None:
    """An id that comes again means the newest call; the older one stays without a result."""
    calls = Calls()
    for name in ("a", "b"):
        calls.answers += 1
        calls.made("x", name)
    assert calls.returned("x") == Paired(2)
    assert calls.returned("x") == Paired(1)
    assert calls.returned("x") is None
    assert calls.of(["x", "y"]) == (1, 2)


def test_calls_of_several_ids_are_told_in_their_order() -> None:
    """The numbers of calls rise, whatever the order of their ids and however many there are."""
    calls = Calls(answers=1)
    for number in range(40):
        calls.made(str(number), "t")
    assert calls.returned("3") == Paired(4)
    assert calls.of([str(number) for number in range(39, -1, -1)]) == tuple(range(1, 41))


def test_an_id_that_no_call_has_answers_a_call_without_id() -> None:
    """A harness that names results but not calls is read in order, and the choice counted."""
    calls = Calls(answers=1)
    calls.made("", "a")
    calls.made("", "b")
    assert (calls.returned("r1"), calls.returned("r2")) == (Paired(1, ambiguous=True), Paired(2))
    assert calls.returned("r3") == Paired(3, unmatched=True)
    assert calls.made("r3", "late") == 3
    assert calls.returned("r3") is None


@given(st.permutations(range(6)), st.integers(1, 6))
def test_distinct_ids_pair_in_any_order(order: list[int], answers: int) -> None:
    """Results under distinct ids find their calls whatever their order, and no choice is counted."""
    calls = Calls()
    made = {}
    for number in range(6):
        calls.answers += number % answers == 0
        made[number] = calls.made(str(number), "tool")
    assert {n: calls.returned(str(n), "tool") for n in order} == {n: Paired(made[n]) for n in order}
    assert (calls.unanswered, calls.unclaimed) == (0, 0)


@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=8), st.lists(st.sampled_from(["", "a", "b"]), max_size=8))
def test_every_result_has_its_own_number(uses: list[str], found: list[str]) -> None:
    """However calls and results are named, no two results share a call, and nothing is lost uncounted."""
    calls = Calls(answers=1)
    made = [calls.made(use, "t") for use in uses]
    paired = [calls.returned(each, "t") for each in found]
    numbers = [each.number for each in paired if each is not None]
    assert len(set(numbers)) == len(numbers)
    matched = [each.number for each in paired if each is not None and not each.unmatched]
    assert set(matched) <= set(made) and calls.unanswered == len(made) - len(matched)


IDS, NAMES = st.sampled_from(["", "", "a", "b"]), st.sampled_from(["", "x", "y"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["made", "made", "returned", "returned", "answer"]), IDS, NAMES), max_size=14
)


@given(STEPS, st.booleans())
def test_calls_pair_as_the_rule_says(steps: list[tuple[str, str, str]], ordered: bool) -> None:
    """The first paragraph of the module over a plain list of calls: id, then answer, then name, then order."""
    calls, plain, early, count, lost = Calls(ordered=ordered), list[list[Any]](), dict[str, int](), 0, 0
    for step, call_id, name in steps:
        if step == "answer":
            calls.answers += 1
            continue
        known = call_id != "" and (call_id in early or any(each[1] == call_id for each in plain))
        if step == "made":
            number = early.pop(call_id, 0)
            count += not number
            plain.append([number or count, call_id, name, calls.answers, number == 0])
            assert calls.made(call_id, name) == plain[-1][0]
            continue
        mine = [each for each in plain if each[4] and (not call_id or each[1] == (call_id if known else ""))]
        if not mine and known:
            assert calls.returned(call_id, name) is None
            continue
        if not mine:
            count += 1
            if call_id and not ordered:
                early[call_id] = count
            else:
                lost += 1
            assert calls.returned(call_id, name) == Paired(count, unmatched=True)
            continue
        mine = [each for each in mine if each[3] == max(one[3] for one in mine)]
        mine = [each for each in mine if name != "" and each[2] == name] or mine
        first = min(mine, key=lambda each: each[0])
        first[4] = False
        assert calls.returned(call_id, name) == Paired(first[0], ambiguous=len(mine) > 1)
    assert (calls.count, calls.unclaimed) == (count, len(early) + lost)
    assert calls.unanswered == sum(each[4] for each in plain)
    assert calls.of(["b", "a", ""]) == tuple(sorted(each[0] for each in plain))
