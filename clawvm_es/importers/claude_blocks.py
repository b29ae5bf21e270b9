"""Blocks of Anthropic's messages → texts, thinking, calls, results; any other block is counted as skipped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.claude_attachments import said
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Skip
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Image, Usage

SKILL: Final = re.compile(r"Base directory for this skill: ([^\n]*)")
"""Beginning of the body of a skill; the group is its directory."""
_THINKING: Final = frozenset(("thinking", "redacted_thinking"))
_CALLS: Final = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))
_FINISH: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "end_turn": Finish.STOP,
        "stop_sequence": Finish.STOP,
        "tool_use": Finish.TOOL_CALLS,
        "max_tokens": Finish.LENGTH,
        "refusal": Finish.REFUSAL,
    }
)


@attrs.define
class Answer:
    """The blocks of one row of an answer; `results` are those of tools that the provider ran."""

    texts: list[str] = attrs.field(factory=list)
    thinking: list[str] = attrs.field(factory=list)
    uses: list[Use] = attrs.field(factory=list)
    results: list[tuple[str, str]] = attrs.field(factory=list)
    skipped: Counter[Skip] = attrs.field(factory=Counter)


@attrs.define
class Result:
    """The result of a call."""

    text: str
    status: ReturnStatus
    images: tuple[Image, ...] = ()
    skipped: Counter[Skip] = attrs.field(factory=Counter)


def text_of(block: Fields) -> str | None:
    """The text of a text block or of a plain-text document; None for any other block."""
    kind, source = block.text("type"), block.fields("source")
    if kind == "text" and block.is_text("text"):
        return block.text("text")
    if kind == "document" and source.text("type") == "text":
        return source.text("data")
    return None


def server_result(block: Fields) -> tuple[str, str, int]:
    """The call's id and the text of a result that the API made itself, and the number of its encrypted parts."""
    encrypted = sum("encrypted_content" in each for each in block.objects("content"))
    return block.ident("tool_use_id"), "\n".join(said(block.raw.get("content"))), encrypted


def answer(message: Fields, cwd: str) -> Answer:
    """The blocks of a row of an answer."""
    found = Answer()
    for block in message.blocks("content"):
        kind, text = block.text("type"), text_of(block)
        if text is not None:
            found.texts.append(text)
        elif kind in _CALLS:
            found.uses.append(Use(block.ident("id"), block.text("name"), block.arguments("input"), cwd))
        elif block.text("thinking").strip():
            found.thinking.append(block.text("thinking"))
        elif kind.endswith("_tool_result"):
            call_id, told, encrypted = server_result(block)
            found.results.append((call_id, told))
            found.skipped[Skip.ENCRYPTED] += encrypted
        else:
            found.skipped[Skip.THINKING if kind in _THINKING else Skip.UNKNOWN_BLOCK] += 1
    return found


def result(block: Fields, told: Fields) -> Result:
    """The result in a block; `told` is the harness's own note on it."""
    texts: list[str] = []
    shown: list[Image] = []
    skipped: Counter[Skip] = Counter()
    for item in block.blocks("content"):
        if (text := text_of(item)) is not None:
            texts.append(text)
        elif item.text("type") in images.BLOCKS:
            shown.append(images.of_block(item))
        elif item.text("type") == "tool_reference" and item.text("tool_name"):
            texts.append(item.text("tool_name"))
        elif item.text("type") == "search_result":
            texts.append("\n".join(said(item.raw)))
        else:
            skipped[Skip.UNKNOWN_BLOCK] += 1
    whole = "\n".join(texts)
    if told.flag("interrupted") or whole.startswith("[Request interrupted"):
        status = ReturnStatus.INTERRUPTED
    else:
        status = ReturnStatus.ERROR if block.flag("is_error") else ReturnStatus.OK
    return Result(whole, status, tuple(shown), skipped)


def usage(told: Fields) -> Usage:
    """Token counts in Anthropic's form."""
    cached, written = told.count("cache_read_input_tokens"), told.count("cache_creation_input_tokens")
    return Usage(told.count("input_tokens") + written + cached, cached, told.count("output_tokens"), written)


def finish(reason: str) -> Finish | None:
    """The reason why the model ended an answer; None if unknown."""
    return _FINISH.get(reason, Finish.OTHER) if reason else None
