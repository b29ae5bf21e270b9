"""A recorded session of any harness: steps in file order, with their lines.

It holds only facts of the recording; `translate` derives pages, needs and events from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from clawvm_es.limits import SKIPPED_LINES
from clawvm_es.model.events import SessionOpened
from clawvm_es.observe.steps import Lines, ModelMessage, Step


class Skip(StrEnum):
    """Reason why something in a file became no step; every skip is counted."""

    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    TRUNCATED_LINE = "truncated_line"
    MALFORMED_RECORD = "malformed_record"
    UNKNOWN_RECORD = "unknown_record"
    UNKNOWN_BLOCK = "unknown_block"
    DUPLICATE_RECORD = "duplicate_record"
    DUPLICATE_RESULT = "duplicate_result"
    RESULT_WITHOUT_CALL = "result_without_call"
    CALL_WITHOUT_RESULT = "call_without_result"
    AMBIGUOUS_RESULT = "ambiguous_result"  # its id is that of several calls, or of none
    UNKNOWN_PARENT = "unknown_parent"
    EMPTY_TURN = "empty_turn"
    EMPTY_MESSAGE = "empty_message"
    SYNTHETIC = "synthetic"
    THINKING = "thinking"
    IMAGE = "image"
    HARNESS_ROW = "harness_row"
    META = "meta"
    AGENT_PROGRESS = "agent_progress"
    PROGRESS = "progress"
    HOOK_PROGRESS = "hook_progress"
    BASH_PROGRESS = "bash_progress"
    MCP_PROGRESS = "mcp_progress"
    FILE_HISTORY_SNAPSHOT = "file_history_snapshot"
    QUEUE_OPERATION = "queue_operation"
    SYSTEM_NOTICE = "system_notice"
    SUMMARY_TITLE = "summary_title"
    ATTACHMENT = "attachment"
    PR_LINK = "pr_link"
    SETTING_CHANGE = "setting_change"
    LABEL = "label"
    CUSTOM = "custom"
    MIRRORED = "mirrored"  # it repeats what another row says
    ENCRYPTED = "encrypted"
    UNCLAIMED_USAGE = "usage_without_answer"
    OTHER_MODEL_CALL = "other_model_call"  # of a grader or another agent
    OTHER_SPAN = "other_span"  # of no call of a model
    MISSING_ATTACHMENT = "missing_attachment"


ODD: Final = frozenset(
    (
        Skip.NOT_JSON,
        Skip.NOT_UTF8,
        Skip.NOT_AN_OBJECT,
        Skip.TOO_DEEP,
        Skip.TRUNCATED_LINE,
        Skip.MALFORMED_RECORD,
        Skip.UNKNOWN_RECORD,
        Skip.UNKNOWN_BLOCK,
        Skip.UNKNOWN_PARENT,
    )
)
"""Reasons that say that a file is damaged, or is not what this program knows; their lines are told to people."""


@attrs.define
class Skips:
    """Records that became no step: their number and first lines by reason."""

    counts: Counter[str] = attrs.field(factory=Counter)
    lines: dict[str, list[int]] = attrs.field(factory=dict)

    def add(self, reason: Skip, line: int = 0, times: int = 1) -> None:
        """Count a reason; line 0 is no line."""
        self.counts[reason] += times
        known = self.lines.setdefault(reason, [])
        if line and len(known) < SKIPPED_LINES and line not in known:
            known.append(line)

    def first_lines(self) -> Mapping[str, tuple[int, ...]]:
        """The first lines of each reason that has any."""
        return {str(reason): tuple(lines) for reason, lines in sorted(self.lines.items()) if lines}

    def update(self, others: Skips) -> None:
        """Add the counts of another one."""
        self.counts.update(others.counts)
        for reason, lines in others.lines.items():
            self.lines[reason] = sorted({*self.lines.get(reason, ()), *lines})[:SKIPPED_LINES]


@attrs.frozen
class TraceInput:
    """One input of a `clawvm-trace`, with bodies inline: the event's type, and its data as parsed JSON."""

    type: str
    data: Mapping[str, object]
    lines: Lines
    at_us: int
    principal: str = "harness"
    key: str | None = None


RecordedStep: TypeAlias = Step | TraceInput


def _sorted(counts: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({str(reason): counts[reason] for reason in sorted(counts)})


@attrs.frozen
class Recording:
    """One recorded session.

    `linked_to` names the session whose agent started this one, `resumed_from` the one that this one continues and
    with whose messages it begins. A `partial` one is the part of a subagent in its parent's file.

    `opened` is the session's opening in a `clawvm-trace`; with it the replay takes the same decisions. `source` is
    the name of the file, for messages only. `skipped_lines` are the first lines of each reason in `skipped`.
    """

    session_id: str
    format: str
    steps: Sequence[RecordedStep]
    began_us: int = 0
    skipped: Mapping[str, int] = attrs.field(factory=dict, converter=_sorted)
    linked_to: str | None = None
    opened: SessionOpened | None = None
    source: str = ""
    skipped_lines: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    resumed_from: str | None = None
    partial: bool = False
    cwd: str | None = None  # the folder that the first record names; None in formats whose records name none

    @property
    def turns(self) -> int:
        """Model calls in the recording."""
        return sum(isinstance(step, ModelMessage) and not step.continued for step in self.steps)

    @property
    def folder(self) -> str:
        """The agent's working folder, from the file or its first call; empty if neither names it."""
        if self.cwd is not None:
            return self.cwd
        calls = (call for step in self.steps if isinstance(step, ModelMessage) for call in step.calls)
        return next((call.cwd for call in calls if call.cwd), "")

    @property
    def tool_calls(self) -> int:
        """Tool calls in the recording."""
        return sum(len(step.calls) for step in self.steps if isinstance(step, ModelMessage))
