"""Inputs and outputs of a session's hooks: declared settings, and results."""

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
    """A page that stands too low in a prompt, or is missing from it; `tokens` is the size that it needs."""

    page_id: str
    page_type: PageType
    tokens: int


@attrs.frozen
class Pressure:
    """A required part of a prompt that did not fit: its pages, its size in tokens, and the tokens that were left.

    Empty `pages` mean that the fixed region alone exceeds the budget.
    """

    reason: PressureReason
    required_tokens: int
    available_tokens: int
    pages: tuple[Pressed, ...]

    @property
    def missing_tokens(self) -> int:
        """Tokens that the budget lacks."""
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

    `pressure` is empty unless a required page or an arrival did not fit. `cached_tokens` estimates the tokens that
    the provider's cache holds. `cost` is the price of the prompt in input tokens, rounded down; None if the policy
    has no prices.

    If the session's renderer makes messages, `blocks` holds their content and `text` is a readable transcript. The
    first `layout` blocks stand before the directory line.
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
        """Return the prompt as a list of provider messages, by default in its session's shape.

        Shapes are `"anthropic"`, `"openai"` (Chat Completions) and `"responses"` (items of OpenAI's Responses API).

        `tokens` counts the session's own shape only. In Anthropic's shape a cache mark stands at the end of the
        part that the next prompt repeats. Raises `UsageError` if the session's renderer does not make messages.
        """
        return messages(self.blocks, self._shape(shape), self.shape, (self.layout - 1,))

    def system(self, text: str, shape: Shape | str | None = None) -> list[dict[str, Any]]:
        """The fixed region to send beside the messages: Anthropic's `system`, marked, or OpenAI's first message."""
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

    `args` is a dict, or the JSON text that the model wrote. Text that is not a JSON object is recorded as the
    argument `input`.
    """

    id: str
    name: str
    args: Mapping[str, Any] | str


@attrs.frozen
class ToolResult:
    """Result of a tool call; `served` is True if a stored result was returned and nothing ran."""

    text: str
    call: int
    page_id: str
    served: bool


@attrs.frozen
class ToolRun:
    """A tool call that has begun. If `served` is not set, run it and pass its result to `finish_tool`."""

    number: int
    name: str
    arguments: Mapping[str, Any]
    validator: str | None
    served: ToolResult | None


@attrs.frozen
class Objection:
    """A validator's refusal of an update; `error` is the exception it raised, None if it just said no."""

    validator: str
    error: str | None


@attrs.frozen
class StageResult:
    """Outcome of staging an update: its number, and the reason of its rejection (None: it passed)."""

    update: int
    reason: str | None
    objections: tuple[Objection, ...] = ()


@attrs.frozen
class UpdateResult:
    """Outcome of one update at a commit point.

    `version` is the field's committed version. It is None if the update was refused: then `reason` says why, and
    `objections` lists the validators that refused. `page_id` is set if a dirty page was written back.
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
    """Report of a boundary: updates it committed and refused, and pages whose only copy it destroyed.

    It also reports what earlier automatic boundaries (those of a threshold) refused or lost.
    """

    boundary: Boundary
    committed: tuple[UpdateResult, ...] = ()
    refused: tuple[UpdateResult, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if everything was committed and nothing was lost."""
        return not self.refused and not self.lost


class OtherSettings(StrEnum):
    """Choice of what happens when a session is opened again under other settings."""

    RAISE = "raise"
    ADOPT = "adopt"
    KEEP = "keep"


@attrs.frozen
class Settings:
    """A harness's declarations for a session, which the log does not hold: tools, fields, validators, builders, …"""

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
