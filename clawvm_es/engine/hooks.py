"""Input and output of a session's hooks: settings that a harness declares, and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import attrs

from clawvm_es.engine.store import FieldSchema, Judge, Validator
from clawvm_es.errors import UsageError
from clawvm_es.model.facts import Boundary, Op, PressureReason, RejectReason
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.observe.tools import Tool
from clawvm_es.representations.builders import LevelBuilder
from clawvm_es.representations.messages import Block, Shape, messages, system


@attrs.frozen
class Pressed:
    """A page that stands lower in a prompt than it should, or not at all; `tokens` is what it needs."""

    page_id: str
    page_type: PageType
    tokens: int


@attrs.frozen
class Pressure:
    """A required part of a prompt that had no room: its pages, its size in tokens, and the tokens that were left.

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
        listed = ", ".join([*named, *([f"and {more} more"] if more else [])]) or _NO_PAGES[self.reason]
        return (
            f"{self.reason}: {self.required_tokens} tokens required, {self.available_tokens} available, "
            f"{self.missing_tokens} missing: {listed}"
        )


_NO_PAGES: Final = {
    **dict.fromkeys(PressureReason, "the fixed region"),
    PressureReason.ARRIVALS: "calls without results",
}
_NAMED: Final = 5
"""Pages that a pressure names in its text at most."""


@attrs.frozen
class Prompt:
    """An assembled prompt: its text (without the fixed region), its size and budget in tokens, its pages.

    `pressure` is empty unless something that the prompt must hold, or that just arrived, did not fit. `cached_tokens`
    are those that the provider is taken to hold, `cost` is what the prompt costs in input tokens, rounded down; None
    where the policy has no prices.

    In a session whose renderer makes messages, `blocks` are what they say, the first `layout` of them before the line
    that stands for stored pages, and `text` is a transcript of them for people.
    """

    turn: int
    text: str
    tokens: int
    budget_tokens: int
    pages: Mapping[str, Fidelity]
    pressure: tuple[Pressure, ...] = ()
    cached_tokens: int = 0
    cost: int | None = None
    blocks: tuple[Block, ...] = ()
    shape: Shape | None = None
    layout: int = 0

    def messages(self, shape: Shape | str | None = None) -> list[dict[str, Any]]:
        """The prompt as the messages of a provider, by default in its session's shape.

        Shapes are `"anthropic"`, `"openai"` (Chat Completions) and `"responses"` (items of OpenAI's Responses API).

        Tokens are counted for the session's own shape alone; the other one says the same and claims no count. In
        Anthropic's the end of what the next prompt begins with is marked for its cache. Raises `UsageError` where the
        session was opened with another renderer than messages.
        """
        return messages(self.blocks, self._shape(shape), self.shape, (self.layout - 1,))

    def system(self, text: str, shape: Shape | str | None = None) -> list[dict[str, Any]]:
        """The harness's fixed region beside the messages: Anthropic's `system`, marked, or OpenAI's first message."""
        return system(text, self._shape(shape))

    def _shape(self, shape: Shape | str | None) -> Shape:
        if self.shape is None:
            raise UsageError("this prompt is one text", hint='open the session with renderer="messages/1:anthropic"')
        if shape is not None and shape not in tuple(Shape):
            raise UsageError(f"shape: expected one of {', '.join(Shape)}, got {shape!r}")
        return self.shape if shape is None else Shape(shape)


@attrs.frozen
class Call:
    """One tool call of an answer: the harness's own id of it (may be empty), the tool's name, its arguments.

    `args` is a dict, or the JSON text that the model wrote; text that is no JSON object is recorded as the argument
    `input`.
    """

    id: str
    name: str
    args: Mapping[str, Any] | str


@attrs.frozen
class ToolResult:
    """Result of a tool call; `served` says that a stored result was returned and nothing ran."""

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
    """Outcome of a staged update: its number, and why it was rejected (None: it passed)."""

    update: int
    reason: str | None
    objections: tuple[Objection, ...] = ()


@attrs.frozen
class UpdateResult:
    """Outcome of one update at a commit point.

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
    """Report of a boundary: updates that it committed and refused, and pages whose only copy it destroyed.

    What a boundary refused or lost that came of itself (a threshold) is told by the next report.
    """

    boundary: Boundary
    committed: tuple[UpdateResult, ...] = ()
    refused: tuple[UpdateResult, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether everything was committed and nothing was lost."""
        return not self.refused and not self.lost


class OtherSettings(StrEnum):
    """Choice for a session that is opened again under other settings."""

    RAISE = "raise"
    ADOPT = "adopt"
    KEEP = "keep"


@attrs.frozen
class Settings:
    """Declarations of a harness for a session, which the log does not hold: tools, fields, validators, builders, …"""

    tools: Sequence[Tool] = ()
    fields: Mapping[str, FieldSchema] = attrs.field(factory=dict)
    """Field of the durable store, or a pattern such as `memory.*`, → its schema."""
    validators: Mapping[str, Validator | Judge] = attrs.field(factory=dict)
    writers: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    """Scope (`session`, `project`) → principals that may write it; a scope that is not named takes all."""
    builders: Mapping[PageType | str, LevelBuilder] = attrs.field(factory=dict)
    """Page type → what makes the levels of its pages, in place of the builders that ship."""
    flush_at_permille: int = 800
    """Fill (of the budget, by the actual pages) at which dirty pages are flushed."""
