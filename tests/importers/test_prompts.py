"""Whole prompts → steps: new messages are said once, missing ones leave, what returns returns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers.merging import Use
from clawvm_es.importers.prompts import Conversation, Message, Told
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.observe.steps import (
    ContextDropped,
    Lines,
    ModelMessage,
    Summary,
    SystemMessage,
    ToolResult,
    UserMessage,
)

SYSTEM, ONE, TWO, THREE = Message("system", "rules"), *(Message("user", text) for text in ("one", "two", "three"))
ASKS = Message("assistant", "I look", (Use("c1", "ls", {}),))
FOUND, DONE = Message("tool", "a.py", call_id="c1"), Message("assistant", "done")


def steps(*prompts: Any) -> list[Any]:
    """The steps of prompts, each with its answer."""
    talk = Conversation()
    for at_us, (prompt, answer) in enumerate(prompts, 1):
        talk.prompted(prompt, at_us)
        talk.answered(answer, Told(began_us=at_us, at_us=at_us))
    return list(talk.into.recording("s", "pi", "f").steps)


def test_a_conversation_that_grows_drops_nothing() -> None:
    """Each message is said once, in order; an answer is known again by its calls."""
    again = Message("assistant", "", (Use("c1", "ls", {}),))
    found = steps(
        ([SYSTEM, ONE], ASKS), ([SYSTEM, ONE, again, FOUND], DONE), ([SYSTEM, ONE, again, FOUND, DONE, TWO], DONE)
    )
    assert [type(step) for step in found] == [
        *(SystemMessage, UserMessage, ModelMessage, ToolResult, ModelMessage, UserMessage, ModelMessage)
    ]
    assert [step.lines.first for step in found] == [1, 2, 3, 4, 5, 6, 7]


def test_messages_that_are_missing_left() -> None:
    """A tail that is missing was rewound, single messages were taken out; what stands again has returned."""
    first = ([SYSTEM, ONE, TWO, THREE], DONE)
    rewound, taken, back = steps(first, ([SYSTEM, ONE], DONE)), steps(first, ([SYSTEM, ONE, THREE, DONE], DONE)), None
    (dropped,) = (step for step in rewound if isinstance(step, ContextDropped))
    assert (dropped.boundary, dropped.cut, dropped.kept_lines) == (Boundary.PRUNE, Cut.REWIND, frozenset((2,)))
    (dropped,) = (step for step in taken if isinstance(step, ContextDropped))
    assert (dropped.cut, dropped.kept_lines) == (Cut.MICRO, frozenset((2, 4, 5)))
    back = steps(first, ([SYSTEM, ONE], DONE), ([SYSTEM, ONE, TWO], DONE))
    assert [step.kept_lines for step in back if isinstance(step, ContextDropped)][-1] == frozenset((2, 3))


def test_results_that_a_proxy_takes_out_leave_after_the_newest_message() -> None:
    """Said once until others leave: all other messages stay, and it stands where the next message will."""
    talk = Conversation()
    talk.prompted([SYSTEM, ONE], 1)
    talk.answered(ASKS, Told(began_us=1, at_us=1))
    talk.prompted([SYSTEM, ONE, ASKS, FOUND], 2)
    for identities in ([FOUND.identity], [FOUND.identity, "unknown"], []):
        talk.take_out(identities, 2)
    left = [step for step in talk.into.recording("s", "pi", "f").steps if isinstance(step, ContextDropped)]
    assert [(step.lines, step.kept_lines) for step in left] == [
        (Lines(5, 5), frozenset((2, 3))),
        (Lines(5, 5), frozenset((2, 3, 4))),
    ]


def test_a_message_in_front_of_those_that_stay_is_a_summary() -> None:
    """New text before kept messages took the place of what is missing; after them it is a prompt."""
    found = steps(([SYSTEM, ONE, TWO, THREE], DONE), ([SYSTEM, Message("user", "sum"), THREE, DONE, ONE], DONE))
    dropped, summary = next((a, b) for a, b in pairwise(found) if isinstance(a, ContextDropped))
    assert (dropped.boundary, dropped.cut, dropped.kept_lines) == (
        Boundary.COMPACT,
        Cut.COMPACT,
        frozenset((2, 4, 5)),
    )
    assert isinstance(summary, Summary) and summary.text == "sum"


def test_the_same_words_twice_are_two_messages() -> None:
    """The second occurrence of a text in one prompt is another message than the first."""
    found = steps(([ONE], DONE), ([ONE, DONE, ONE], DONE), ([ONE, DONE, ONE, DONE], DONE))
    assert sum(isinstance(step, UserMessage) for step in found) == 2
    assert sum(isinstance(step, ModelMessage) for step in found) == 3


@given(st.lists(st.lists(st.sampled_from("abcde"), unique=True, max_size=5), max_size=6))
def test_the_context_is_the_prompt(prompts: list[list[str]]) -> None:
    """LAW-PROMPTS-1: whatever the prompts, the lines in the context after each are those of its messages."""
    talk = Conversation()
    lines: dict[str, int] = {}
    for number, prompt in enumerate(prompts):
        before = len(talk.into.steps)
        talk.prompted([Message("user", text) for text in prompt], number)
        talk.into.flush()
        for step in talk.into.steps[before:]:
            if isinstance(step, (UserMessage, Summary)):
                lines[step.text] = step.lines.first
        assert sorted(talk.context) == sorted(lines[text] for text in prompt)
