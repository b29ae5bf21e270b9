"""Steps: what happened in a harness, recorded or live, in its own order; no page, need or event yet.

A step says what the harness showed. Which commands and facts follow from it is `observer`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from clawvm_es.model.facts import Boundary, ReturnStatus


@attrs.frozen
class Lines:
    """Lines (records) `first` to `last` of the file, counted from 1."""

    first: int
    last: int


@attrs.frozen
class Usage:
    """Token counts as the provider told them: the whole prompt, the part served from its cache, the answer."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@attrs.frozen
class SystemMessage:
    """A system or developer message."""

    text: str
    lines: Lines
    at_us: int


@attrs.frozen
class UserMessage:
    """What the user said; `harness` if the harness put the text into the context on its own."""

    text: str
    lines: Lines
    at_us: int
    harness: bool = False


@attrs.frozen
class SkillBody:
    """Instructions that the harness loaded; `name` is where they came from."""

    text: str
    name: str
    lines: Lines
    at_us: int


@attrs.frozen
class ToolUse:
    """One call: `call` counts calls of the session from 1, `cwd` is the directory that relative paths start from."""

    call: int
    name: str
    arguments: Mapping[str, object]
    cwd: str = ""


@attrs.frozen
class AssistantTurn:
    """One model call's answer, from `began_us` to `at_us`.

    `continued` if it only adds blocks to an answer that other steps have followed already.
    """

    texts: tuple[str, ...]
    calls: tuple[ToolUse, ...]
    usage: Usage
    lines: Lines
    began_us: int
    at_us: int
    continued: bool = False


@attrs.frozen
class ToolResult:
    """The result of call number `call`; `unmatched` if it came before its call."""

    call: int
    text: str
    status: ReturnStatus
    lines: Lines
    at_us: int
    unmatched: bool = False


@attrs.frozen
class RecordedBoundary:
    """The harness destroyed context here.

    With `dropped_calls` the results of those calls left it; otherwise nothing stays but system messages and
    what stands in `kept_lines`.
    """

    boundary: Boundary
    lines: Lines
    at_us: int
    kept_lines: frozenset[int] = frozenset()
    dropped_calls: tuple[int, ...] = ()


@attrs.frozen
class Summary:
    """The text that the harness put in place of what it destroyed."""

    text: str
    lines: Lines
    at_us: int


Step: TypeAlias = SystemMessage | UserMessage | SkillBody | AssistantTurn | ToolResult | RecordedBoundary | Summary
