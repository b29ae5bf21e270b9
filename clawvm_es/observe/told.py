"""Translate the usage and finish reasons of providers into our terms."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clawvm_es.model.facts import Finish
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Usage

FINISHES: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        **dict.fromkeys(("stop", "end_turn", "stop_sequence", "completed"), Finish.STOP),
        **dict.fromkeys(("tool_call", "tool_calls", "tool_use", "tool-calls", "function_call"), Finish.TOOL_CALLS),
        **dict.fromkeys(("length", "max_tokens"), Finish.LENGTH),
        **dict.fromkeys(("content_filter", "content-filter", "refusal", "safety"), Finish.REFUSAL),
        "error": Finish.ERROR,
    }
)
"""Reasons of several providers, in lower case."""


def finish_of(reason: str) -> Finish | None:
    """The finish reason, from its provider's name: `OTHER` for an unknown one, None for none."""
    return FINISHES.get(reason.lower(), Finish.OTHER) if reason else None


def usage_of(told: Mapping[str, object]) -> Usage:
    """Token counts from Anthropic's or OpenAI's (chat and responses) names, or from a `Usage`; invalid counts are 0.

    Anthropic's `input_tokens` exclude tokens read from and written to its cache; ours count the whole prompt.
    """
    fields = Fields(told)
    if "prompt_tokens" in fields:
        thought = fields.fields("completion_tokens_details").count("reasoning_tokens")
        cached = fields.fields("prompt_tokens_details").count("cached_tokens")
        return Usage(fields.count("prompt_tokens"), cached, fields.count("completion_tokens"), 0, thought)
    whole, output = fields.count("input_tokens"), fields.count("output_tokens")
    if "cache_read_input_tokens" in fields or "cache_creation_input_tokens" in fields:
        cached, written = fields.count("cache_read_input_tokens"), fields.count("cache_creation_input_tokens")
        return Usage(whole + cached + written, cached, output, written)
    cached = fields.count("cached_tokens") or fields.fields("input_tokens_details").count("cached_tokens")
    thought = fields.count("thinking_tokens") or fields.fields("output_tokens_details").count("reasoning_tokens")
    return Usage(whole, cached, output, fields.count("written_tokens"), thought)
