"""Rows of the read models. Columns are in the order in which a person reads them.

Levels, types and reasons are stored by name, times as UTC text; `seq` and `version` lead back to the event. Texts
are commitments, which the views of `tables` resolve. A fork has rows of its own only for what its own events
changed; the versions of the first and last event of a row decide what it inherits (`ancestry`).
"""

from __future__ import annotations

import attrs

from clawvm_es.model.pages import Fidelity


@attrs.define
class SessionRow:
    """One session: its settings, all figures that `replay` prints, and its head."""

    session_id: str
    format: str = ""
    policy: str = ""
    budget_tokens: int = 0
    status: str = "open"
    events: int = 0
    turns: int = 0
    tool_calls: int = 0
    needs: int = 0
    hits: int = 0
    page_ins: int = 0
    misses: int = 0
    faults: int = 0
    duplicate_tool: int = 0
    refetch: int = 0
    post_compaction_bootstrap: int = 0
    pinned_invariant_miss: int = 0
    silent_recall: int = 0
    flush_miss: int = 0
    alerts: int = 0
    repeat_unknown: int = 0
    pressure: int = 0
    tokens: int = 0
    uncached_tokens: int = 0
    compactions: int = 0
    prunes: int = 0
    flushes: int = 0
    resets: int = 0
    saves: int = 0
    ends: int = 0
    pages: int = 0
    unmet: int = 0
    input_tokens: int = 0  # as the provider told them
    cached_tokens: int = 0
    output_tokens: int = 0
    written_tokens: int = 0  # to the provider's cache
    usage_by_model: str = "{}"  # JSON: ordinal of the model, 0 where it is not told → its name and the same counts
    largest_tokens: int = 0  # of a prompt
    epochs: int = 0  # selections of a policy that pages in epochs
    held_5m_tokens: int = 0  # with which the prompt before began, at most five minutes earlier or at no known time
    held_1h_tokens: int = 0  # the same at most an hour earlier
    timed_turns: int = 0  # whose time since the answer before is known
    again_tokens: int = 0  # that round trips for missing pages send again
    pages_by_type: str = "{}"  # JSON: page type → how many, types without any left out
    committed: int = 0
    rejected: int = 0
    opened_at: str = ""
    last_at: str = ""
    counter: str = ""
    decider_version: int = 0
    reproducible: bool = False
    project: str | None = None
    linked_to: str | None = None
    parent: str | None = None
    parent_version: int | None = None
    head_version: int = 0
    head_hash: str = ""
    decision_digest: str = ""
    boundary_version: int = 0  # the last boundary; 0: none
    seq: int = 0  # of the session's first event


@attrs.define
class TurnRow:
    """One turn: its assembled prompt, the model's needs, and the events until the next turn."""

    session_id: str
    turn: int
    at: str = ""
    budget_tokens: int = 0
    tokens: int = 0
    uncached_tokens: int = 0
    pages: int = 0
    needs: int = 0
    hits: int = 0
    page_ins: int = 0
    misses: int = 0
    faults: int = 0
    alerts: int = 0
    pressure: int = 0
    tool_calls: int = 0
    pages_written: int = 0
    raised: int = 0
    lowered: int = 0
    boundaries: int = 0
    committed: int = 0
    rejected: int = 0
    fixed_tokens: int = 0
    idle_s: int | None = None  # since the answer before; None: not known
    rendered_tokens: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    written_tokens: int = 0
    utility: int = 0
    bound: int = 0
    first_version: int = 0
    last_version: int = 0


@attrs.define
class PageRow:
    """One page at the end of the log. `levels` is a JSON object: level → tokens.

    The event `written_version` holds the commitments to its texts.
    """

    session_id: str
    page_id: str
    page_type: str = ""
    level: str = Fidelity.ABSENT.value
    tokens: int = 0  # of that level
    full_tokens: int = 0
    status: str = "present"  # or retired, redacted, rewound
    pin: str = ""
    dirty: bool = False
    active: bool = True
    author: str = ""
    scope: str = ""
    origin: str = ""
    content_version: int = 0
    written_turn: int = 0
    last_used_turn: int | None = None
    hits: int = 0
    page_ins: int = 0
    faults: int = 0
    levels: str = "{}"
    signature: int | None = None
    written_version: int = 0
    first_version: int = 0
    changed_version: int = 0
    marked_version: int = 0  # of the last event that pinned, retired, redacted or destroyed it
    left_version: int = 0  # of the boundary that took it out, as long as it was not written or moved since
    seq: int = 0  # of the page's first event


@attrs.define
class FaultRow:
    """One fault: type, reason, page or tool, and the versions of the events that show it (JSON)."""

    session_id: str
    turn: int
    version: int
    seq: int
    fault: str
    reason: str
    page_id: str | None
    page_type: str | None
    tool: str | None
    evidence: str
    call: int | None
    at: str


@attrs.define
class LossRow:
    """One needed page, or one rule, that was not in the prompt; see `history.losses`.

    `line` is the page's line in the transcript (0: none), `boundary_version` the boundary that took it out.
    """

    session_id: str
    turn: int
    version: int
    seq: int
    kind: str
    page_id: str
    page_type: str
    rule: str | None
    tokens: int
    line: int
    call: int | None
    boundary_version: int | None


@attrs.define
class BoundaryRow:
    """One boundary that took pages out of the prompt: how many, and whether a summary replaced them."""

    session_id: str
    version: int
    turn: int = 0
    boundary: str = ""
    cut: str | None = None
    pages: int = 0
    tokens: int = 0
    summary: bool = False
    changed_version: int = 0


@attrs.define
class FieldRow:
    """One committed version of one field of the durable store."""

    session_id: str
    scope: str
    field: str
    field_version: int
    op: str
    turn: int
    version: int
    principal: str
    evidence: str
    page_id: str | None
    size_bytes: int
    update_number: int
    at: str
    value: str
    seq: int


@attrs.define
class UpdateRow:
    """One proposed change of the durable store and its outcome."""

    session_id: str
    update_number: int
    field: str = ""
    op: str = ""
    scope: str = ""
    status: str = "staged"  # then validated, committed or rejected
    reason: str | None = None
    page_id: str | None = None
    turn: int = 0
    version: int = 0
    evidence: str = ""
    base_version: int | None = None
    size_bytes: int = 0
    value: str = ""
    first_version: int = 0
    changed_version: int = 0
