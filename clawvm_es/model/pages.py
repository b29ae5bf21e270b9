"""Pages: types, their levels, and the table of page types."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs
import msgspec

from clawvm_es.model.bounds import Count, Ordinal, Tokens


class Fidelity(StrEnum):
    """Share of a page that is in the prompt: `absent < pointer < structured < compressed < full`."""

    ABSENT = "absent"
    POINTER = "pointer"
    STRUCTURED = "structured"
    COMPRESSED = "compressed"
    FULL = "full"


LADDER: Final = tuple(Fidelity)
"""All levels, lowest first; a level's rank is its place here."""
RANK: Final[Mapping[Fidelity, int]] = MappingProxyType({level: rank for rank, level in enumerate(LADDER)})
"""Level → rank, 0 (absent) to 4 (full)."""
ABSENT, POINTER, STRUCTURED, COMPRESSED, FULL = range(5)


class PageType(StrEnum):
    """Kind of state that a page holds; it decides floor, pin and levels."""

    BOOTSTRAP = "bootstrap"
    CONSTRAINT = "constraint"
    PLAN = "plan"
    PREFERENCE = "preference"
    EVIDENCE = "evidence"
    CONVERSATION = "conversation"
    SUMMARY = "summary"
    """Text that a harness wrote in place of what it took out of its context."""


class Pin(StrEnum):
    """Strength with which a page is held in the prompt."""

    NONE = "none"
    SOFT = "soft"
    HARD = "hard"


class Scope(StrEnum):
    """Sharing of a page or a field of the durable store: one session, or all sessions of a project."""

    SESSION = "session"
    PROJECT = "project"


class Author(StrEnum):
    """Author of a page's text; the frame around a page names it, so that data is never read as a rule."""

    HARNESS = "harness"
    USER = "user"
    MODEL = "model"
    TOOL = "tool"


class OriginKind(StrEnum):
    """Source of a page's text."""

    TRANSCRIPT = "transcript"
    TOOL_CALL = "tool_call"
    FILE = "file"
    RECORD = "record"


class Origin(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Provenance of a page: lines `first` to `last` of a transcript, a call's ordinal, or a resource's ordinal.

    The page of a call about one file or record also has the ordinal of that resource; so does the page of a file
    shown by the harness, if a call named that file before. `first` and `last` count lines (records) from 1 and are 0
    if there is no transcript.
    """

    kind: OriginKind
    first: Count = 0
    last: Count = 0
    call: Ordinal | None = None
    resource: Ordinal | None = None


class Level(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One kept level of a page: its framed size in tokens, the commitment to its text, and its builder."""

    level: Fidelity
    tokens: Tokens
    body: str
    builder: str


class Holding(StrEnum):
    """Kind of content of a type's pages, which predicts how likely they are needed again."""

    RESULT = "result"
    """The result of a tool: of one file or record, or another."""
    SPEECH = "speech"
    """Text that the model said or was told."""
    STATEMENT = "statement"
    """Text stated for good: a rule, a plan, a preference."""


class Extra(StrEnum):
    """Weight of a profile that a type adds to the score of its pages."""

    BOOT = "boot"
    PLAN = "plan"
    """Only while the page is active."""


@attrs.frozen
class TypeRule:
    """One row of the table of page types.

    `levels` are those that a builder makes, highest first. `required` pages stand in every prompt at their floor
    or above (plans only while active). With `writeback` a new or changed page is dirty until committed. `region`
    is the page's place in rendered order, lowest first; within a region pages are ordered by first appearance.
    `priority` is the order in which required pages are kept if not all fit, lowest first. `extra` is a weight of
    the profile that is added to the score. Pages that are not `offered` are never selected for a prompt.
    """

    floor: Fidelity
    pin: Pin
    levels: tuple[Fidelity, ...]
    required: bool
    writeback: bool
    region: int
    holding: Holding
    priority: int = 3
    extra: Extra | None = None
    offered: bool = True


_F, _C, _S, _P = Fidelity.FULL, Fidelity.COMPRESSED, Fidelity.STRUCTURED, Fidelity.POINTER
_STATED, _RESULT, _SPEECH = Holding.STATEMENT, Holding.RESULT, Holding.SPEECH

PAGE_TYPES: Final[Mapping[PageType, TypeRule]] = MappingProxyType(
    {
        PageType.BOOTSTRAP: TypeRule(
            _S, Pin.HARD, (_F, _C, _S), True, False, 0, _STATED, priority=0, extra=Extra.BOOT
        ),
        PageType.CONSTRAINT: TypeRule(_S, Pin.HARD, (_F, _S), True, True, 1, _STATED, 1),
        PageType.PLAN: TypeRule(_S, Pin.SOFT, (_F, _C, _S), True, True, 4, _STATED, 2, Extra.PLAN),
        PageType.PREFERENCE: TypeRule(_P, Pin.NONE, (_F, _C, _S, _P), False, True, 2, _STATED),
        PageType.EVIDENCE: TypeRule(_P, Pin.NONE, (_F, _C, _S, _P), False, False, 3, _RESULT),
        PageType.CONVERSATION: TypeRule(_P, Pin.NONE, (_F, _C, _P), False, False, 3, _SPEECH),
        PageType.SUMMARY: TypeRule(Fidelity.ABSENT, Pin.NONE, (_F,), False, False, 3, _SPEECH, offered=False),
    }
)
"""The table of page types: adding a type is a member of `PageType` and a row here."""
if missing := [page_type for page_type in PageType if page_type not in PAGE_TYPES]:
    raise AssertionError(f"page types without a row in PAGE_TYPES: {', '.join(missing)}")
