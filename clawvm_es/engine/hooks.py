"""What the hooks of a session take and give: settings that a harness declares, and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import attrs

from clawvm_es.engine.store import FieldSchema, Validator
from clawvm_es.model.facts import Boundary, Op, PressureReason, RejectReason
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.observe.tools import Tool


@attrs.frozen
class Pressed:
    """A page that stands lower in a prompt than it should, or not at all; `tokens` is what it needs."""

    page_id: str
    page_type: PageType
    tokens: int


@attrs.frozen
class Pressure:
    """What a prompt had no room for: which part of what it must hold, at what size, beside what was left for it.

    Without `pages` it is the fixed region alone that exceeds the budget.
    """

    reason: PressureReason
    required_tokens: int
    available_tokens: int
    pages: tuple[Pressed, ...]

    @property
    def missing_tokens(self) -> int:
        """By how much the budget is too small."""
        return self.required_tokens - self.available_tokens

    def __str__(self) -> str:
        named = [f"{page.page_id} ({page.page_type}, {page.tokens} tokens)" for page in self.pages[:_NAMED]]
        more = len(self.pages) - len(named)
        listed = ", ".join([*named, *([f"and {more} more"] if more else [])]) or "the fixed region"
        return (
            f"{self.reason}: {self.required_tokens} tokens required, {self.available_tokens} available, "
            f"{self.missing_tokens} missing: {listed}"
        )


_NAMED: Final = 5
"""How many pages a pressure names in its text."""


@attrs.frozen
class Prompt:
    """An assembled prompt: its text (without the fixed region), its size and budget in tokens, its pages.

    `pressure` is empty unless something that the prompt must hold, or that just arrived, did not fit.
    """

    turn: int
    text: str
    tokens: int
    budget_tokens: int
    pages: Mapping[str, Fidelity]
    pressure: tuple[Pressure, ...] = ()


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
class Objection:
    """A validator that did not agree to an update; `error` is what it raised, None where it just said no."""

    validator: str
    error: str | None


@attrs.frozen
class StageResult:
    """What became of a staged update: its number, and why it was rejected (None: it passed)."""

    update: int
    reason: str | None
    objections: tuple[Objection, ...] = ()


@attrs.frozen
class UpdateResult:
    """What became of one update at a commit point.

    `version` is the field's committed version, None if the update was refused; then `reason` says why, and
    `objections` which validators did not agree. `page_id` is set where a dirty page was written back.
    """

    update: int
    field: str
    op: Op
    scope: str
    page_id: str | None
    version: int | None
    reason: RejectReason | None
    objections: tuple[Objection, ...] = ()


@attrs.frozen
class Report:
    """What a boundary came to: updates that it committed and refused, and pages whose only copy it destroyed.

    What a boundary refused or lost that came of itself (a threshold) is told by the next report.
    """

    boundary: Boundary
    committed: tuple[UpdateResult, ...] = ()
    refused: tuple[UpdateResult, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was committed and nothing was lost."""
        return not self.refused and not self.lost


class OtherSettings(StrEnum):
    """What to do where a session is opened again under other settings than those that it goes on under."""

    RAISE = "raise"
    ADOPT = "adopt"
    KEEP = "keep"


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
