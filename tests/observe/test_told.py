"""What providers tell of an answer: token counts under their several names, and why it ended."""

from __future__ import annotations

import pytest

from clawvm_es.model.facts import Finish
from clawvm_es.observe.steps import Usage
from clawvm_es.observe.told import finish_of, usage_of


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({}, Usage()),
        ({"prompt_tokens": 90}, Usage(90)),
        ({"prompt_tokens": 90, "completion_tokens": 8}, Usage(90, 0, 8)),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(90, 40, 8, 0, 5),
        ),
        ({"input_tokens": 9, "output_tokens": 8, "cache_read_input_tokens": 40}, Usage(49, 40, 8)),
        ({"input_tokens": 9, "output_tokens": 8, "cache_creation_input_tokens": 30}, Usage(39, 0, 8, 30)),
        (
            {
                "input_tokens": 9,
                "output_tokens": 8,
                "cache_read_input_tokens": 40,
                "cache_creation_input_tokens": 30,
            },
            Usage(79, 40, 8, 30),
        ),
        (
            {
                "input_tokens": 90,
                "output_tokens": 8,
                "input_tokens_details": {"cached_tokens": 40},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(90, 40, 8, 0, 5),
        ),
        (
            {
                "input_tokens": 90,
                "cached_tokens": 40,
                "output_tokens": 8,
                "written_tokens": 30,
                "thinking_tokens": 5,
            },
            Usage(90, 40, 8, 30, 5),
        ),
        ({"input_tokens": -1, "output_tokens": "8", "cached_tokens": None}, Usage()),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_token_counts_are_taken_under_each_providers_names(told, usage) -> None:
    """The whole prompt with what was read from the cache and written to it; a count that is none is 0."""
    assert usage_of(told) == usage


@pytest.mark.parametrize(
    ("finish", "reasons"),
    [
        (Finish.STOP, "stop end_turn stop_sequence completed STOP End_Turn"),
        (Finish.TOOL_CALLS, "tool_call tool_calls tool_use tool-calls function_call"),
        (Finish.LENGTH, "length max_tokens MAX_TOKENS"),
        (Finish.REFUSAL, "content_filter content-filter refusal safety SAFETY"),
        (Finish.ERROR, "error"),
        (Finish.OTHER, "novelty stopped"),
    ],
)
def test_why_an_answer_ended_is_known_by_its_providers_word(finish, reasons) -> None:
    """In any case of letters; an unknown word is another reason, and none is none."""
    assert {finish_of(reason) for reason in reasons.split()} == {finish}
    assert finish_of("") is None
