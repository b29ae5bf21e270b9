"""What the hooks of a session take and give: settings that a harness declares, and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from clawvm_es.engine.store import FieldSchema, Validator
from clawvm_es.engine.tools import Tool
from clawvm_es.model.pages import Fidelity


@attrs.frozen
class Prompt:
    """An assembled prompt: its text (without the fixed region), its size and budget in tokens, its pages."""

    turn: int
    text: str
    tokens: int
    budget_tokens: int
    pages: Mapping[str, Fidelity]


@attrs.frozen
class ToolResult:
    """What a tool call gave; `served` says that a stored result was returned and nothing ran."""

    text: str
    call: int
    page_id: str
    served: bool


@attrs.frozen
class ToolRun:
    """A tool call that has begun: run it and give the result to `finish_tool`, unless `served` is set already."""

    number: int
    name: str
    arguments: Mapping[str, Any]
    validator: str | None
    served: ToolResult | None


@attrs.frozen
class StageResult:
    """What became of a staged update: its number, and why it was rejected (None: it passed)."""

    update: int
    reason: str | None


@attrs.frozen
class Settings:
    """What a harness declares for a session and the log does not hold: tools, fields, validators, writers."""

    tools: Sequence[Tool] = ()
    fields: Mapping[str, FieldSchema] = attrs.field(factory=dict)
    validators: Mapping[str, Validator] = attrs.field(factory=dict)
    writers: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    """Scope (`session`, `project`) → principals that may write it; a scope that is not named takes all."""
    flush_at_permille: int = 800
    """Fill (of the budget, by the actual pages) at which dirty pages are flushed."""
