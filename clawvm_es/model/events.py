"""All events: inputs (facts from the harness) and decisions (conclusions of the engine).

Events hold no authored text: only enums, integers within ±(2**53 - 1), booleans, ids that we mint, names from
declared lists, and commitments to bodies, which stand in inputs only. Fields at their default are omitted
from canonical data. Names are stable: a changed meaning is a new schema version with an upcaster.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from clawvm_es.model.bounds import Count, Ordinal, Tokens
from clawvm_es.model.facts import (
    Boundary,
    ChangeReason,
    CloseReason,
    Cut,
    Entry,
    EpochTrigger,
    FaultReason,
    FaultType,
    Finish,
    Need,
    NeedRule,
    OnPressure,
    Op,
    PressureReason,
    RecallOutcome,
    RedactReason,
    RejectReason,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    ScopeChange,
    StagedPage,
    ToldBy,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, PageType, Pin, Scope
from clawvm_es.model.profile import Profile

Kind: TypeAlias = Literal["input", "decision"]
SCOPE_PREFIX: Final = "scope:"
"""Stream ids of shared scopes begin with this."""
UNKNOWN_TOOL: Final = "unknown"
"""Name in `tool_called` of a tool that is on no declared list."""


# --------------------------------------------------------------------------------------------- inputs


class SessionOpened(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A session began, with this policy, budget and counter, under this version of `decide`.

    `renderer` makes the prompts (empty: unknown, `prompt_rendered` names it). `importer` is the version of the
    importer that recorded the session (0: unknown, or live). Without `levels` pages are kept in full only. `folder`
    is a commitment to the agent's working folder. A budget of 0 means none, which only the policy `recorded` allows.
    """

    TYPE: ClassVar[str] = "session_opened"
    SCHEMA_VERSION: ClassVar[int] = 8
    profile: Profile
    """Since version 2 with `scoring` and thresholds, 4 with paging and prices, 5 with `recorded`, 6 `epoch_reuse`,
    7 `exchange_reuse`, 8 `copy_reuse`."""
    budget_tokens: Tokens
    counter: str
    decider_version: Count
    format: str = "live"
    on_pressure: OnPressure = OnPressure.DEGRADE  # since version 3 may be `protect`
    reproducible: bool = False
    project: str | None = None  # stream id of the shared scope
    linked_to: str | None = None  # session id of the agent that started this one
    misfits: Count = 32
    directory_tokens: Tokens = 40
    renderer: str = ""  # since version 4, as all that follows
    importer: Count = 0
    levels: bool = True
    hides_secrets: bool | None = None  # None: not known
    folder: str | None = None  # since version 5


class SessionForked(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A session began as a continuation of `parent` after its event `parent_version`.

    Unless it may `allow_new_calls`, its tools do not run: calls are served the results that the parent recorded.
    """

    TYPE: ClassVar[str] = "session_forked"
    SCHEMA_VERSION: ClassVar[int] = 8
    parent: str
    parent_version: Ordinal
    parent_hash: str
    profile: Profile | None = None  # since version 3 as in `session_opened` 2, since versions 4 to 8 as in its 4 to 8
    budget_tokens: Tokens | None = None
    allow_new_calls: bool = False  # since version 2


class ScopeSynced(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The session learned of changes that others committed to a shared scope."""

    TYPE: ClassVar[str] = "scope_synced"
    SCHEMA_VERSION: ClassVar[int] = 2
    scope: str
    from_version: Count
    to_version: Count
    changes: tuple[ScopeChange, ...] = ()


class TurnBegan(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A model call is about to be made; the prompt is assembled now.

    `hints` are pages that the user's message or the plan's current step names; `retrieved` are pages that a retriever
    at the edge returned, best first (if the policy uses one). `fixed` is a commitment to the fixed region, `model`
    the ordinal of the model, `model_name` the commitment to its name at its first occurrence, `idle_s` the whole
    seconds since the last answer (None: unknown).
    """

    TYPE: ClassVar[str] = "turn_began"
    SCHEMA_VERSION: ClassVar[int] = 2
    hints: tuple[str, ...] = ()
    retrieved: tuple[str, ...] = ()
    fixed_tokens: Tokens = 0
    fixed: str | None = None  # since version 2, as all that follows
    model: Ordinal | None = None
    model_name: str | None = None
    idle_s: Count | None = None


class PromptRendered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The prompt was rendered: the renderer, the tokens, and a salted commitment to the bytes."""

    TYPE: ClassVar[str] = "prompt_rendered"
    SCHEMA_VERSION: ClassVar[int] = 1
    renderer: str
    tokens: Tokens
    prompt: str


class PageWritten(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A page was created, or its content replaced (same id, next content version).

    `levels` are the kept levels, highest first. `active` matters for plans. `signature` is the ordinal of the call
    signature whose result this is. `slot` is the ordinal of a name under which the page can be written again,
    `slot_name` the commitment to it at its first occurrence. `group` is the exchange to which the page belongs: one
    answer with its calls and their results. `replaces` are the pages that a summary replaces. `native` is a
    commitment to the provider's own form of the content. `told_by` is the source of the fact, if that is not a
    transcript.
    """

    TYPE: ClassVar[str] = "page_written"
    SCHEMA_VERSION: ClassVar[int] = 3
    page_id: str
    page_type: PageType
    author: Author
    origin: Origin
    levels: tuple[Level, ...]
    scope: Scope = Scope.SESSION
    active: bool = True
    dirty: bool | None = None  # None: by the table of page types
    signature: Ordinal | None = None
    source: str | None = None  # commitment to the line that names the page: a path, a tool and its arguments
    slot: Ordinal | None = None  # since version 2, as all that follows
    slot_name: str | None = None
    group: Ordinal | None = None
    replaces: tuple[str, ...] = ()
    native: str | None = None
    told_by: ToldBy | None = None  # `counts` since version 3


class PagePinned(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A caller changed a page's pin."""

    TYPE: ClassVar[str] = "page_pinned"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    pin: Pin


class PageRetired(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A page left the working set; its content stays in the log."""

    TYPE: ClassVar[str] = "page_retired"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    reason: RetireReason


class ToolCalled(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The model called a tool. `call` counts calls from 1; `tool` is a declared name or `unknown`.

    `resources` are keys that occur for the first time; `reads` and `writes` are ordinals of keys (from 1);
    `invalidates` lists classes of resources: all results that read one become invalid.

    `served_from` is the version of the event whose result was served in place of a run: a `tool_returned`, or a call
    that was served itself. With `served_by` it is an event of that stream, outside this session's own lineage: a fork
    got a result that its parent recorded. `served_status` is the status of the run behind it.

    `levels` are those of the arguments (none: not counted), `call_id` is a commitment to the harness's own id of the
    call, `group` the exchange to which it belongs.
    """

    TYPE: ClassVar[str] = "tool_called"
    SCHEMA_VERSION: ClassVar[int] = 3
    call: Ordinal
    tool: str
    arguments: str
    name: str | None = None  # commitment to the name of a tool that is on no declared list
    signature: Ordinal | None = None
    signature_key: str | None = None  # commitment to the signature, at its first occurrence
    deterministic: bool = False
    resources: tuple[Resource, ...] = ()
    reads: tuple[Ordinal, ...] = ()
    writes: tuple[Ordinal, ...] = ()
    invalidates: tuple[ResourceClass, ...] = ()
    needs: tuple[Need, ...] = ()
    served_from: Ordinal | None = None
    served_by: str | None = None  # since version 2
    served_status: ReturnStatus = ReturnStatus.OK  # since version 2
    levels: tuple[Level, ...] = ()  # since version 3, as all that follows
    call_id: str | None = None
    group: Ordinal | None = None


class ToolReturned(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tool call ended. `result` is the raw result; a page is written of it only if it is evidence."""

    TYPE: ClassVar[str] = "tool_returned"
    SCHEMA_VERSION: ClassVar[int] = 2
    call: Ordinal
    status: ReturnStatus
    size_bytes: Count = 0
    result: str | None = None
    validator: str | None = None  # commitment to what must still hold for the result to be served again
    needs: tuple[Need, ...] = ()
    unmatched: bool = False
    native: str | None = None  # since version 2: commitment to the provider's own form of the result


class ModelResponded(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The model answered; token counts are the provider's, if it reported them.

    `model` and `model_name` are as in `turn_began`; `provider` is a commitment to the provider's name.
    `written_tokens` are the tokens that the provider wrote to its cache, `thinking_tokens` those of `output_tokens`
    that the user does not see; if the provider reports none, the session's own counter counts them. `group` is the
    exchange that the answer begins; `thinking` and `native` are commitments to the model's thoughts and to the
    provider's own form of the answer. If `thinking_passes`, the provider drops the thoughts once the user speaks.
    """

    TYPE: ClassVar[str] = "model_responded"
    SCHEMA_VERSION: ClassVar[int] = 3
    needs: tuple[Need, ...] = ()
    input_tokens: Tokens = 0
    cached_tokens: Tokens = 0
    output_tokens: Tokens = 0
    model: Ordinal | None = None  # since version 2, as all that follows
    model_name: str | None = None
    provider: str | None = None
    finish: Finish | None = None
    written_tokens: Tokens = 0
    thinking_tokens: Tokens = 0
    group: Ordinal | None = None
    thinking: str | None = None
    native: str | None = None
    thinking_passes: bool = False  # since version 3


class RecallAnswered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A memory backend answered a query; `pages` now hold what it returned."""

    TYPE: ClassVar[str] = "recall_answered"
    SCHEMA_VERSION: ClassVar[int] = 2
    recall: Ordinal
    outcome: RecallOutcome
    query: str
    pages: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()


class UpdateStaged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A change of the durable store was proposed; `update` counts updates of this session from 1."""

    TYPE: ClassVar[str] = "update_staged"
    SCHEMA_VERSION: ClassVar[int] = 3
    update: Ordinal
    facts: UpdateFacts


class BoundaryReached(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The harness is about to destroy context, or to save; `staged` are all dirty pages with their facts.

    `pages` are those that a prune names (none: all evidence). `restaged` renews the facts of pending updates, by
    their ordinals, in the same order, if a shared scope moved on. `cut` says how a harness cut its context (None:
    unknown); `left` and `returned` are the pages that it took out and put back. `told_by` is the source of the fact,
    if that is not a transcript.
    """

    TYPE: ClassVar[str] = "boundary_reached"
    SCHEMA_VERSION: ClassVar[int] = 4
    boundary: Boundary
    trigger: Trigger
    staged: tuple[StagedPage, ...] = ()
    pages: tuple[str, ...] = ()
    restaged: tuple[UpdateStaged, ...] = ()
    cut: Cut | None = None  # since version 3, as all that follows
    left: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    told_by: ToldBy | None = None  # `counts` since version 4


class BudgetChanged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The prompt's budget changed."""

    TYPE: ClassVar[str] = "budget_changed"
    SCHEMA_VERSION: ClassVar[int] = 1
    budget_tokens: Tokens


class ContentRedacted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Content was erased from the journal; the commitments to it stay."""

    TYPE: ClassVar[str] = "content_redacted"
    SCHEMA_VERSION: ClassVar[int] = 1
    reason: RedactReason
    commitments: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()


class SessionClosed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The session takes no further commands, unless it is reopened."""

    TYPE: ClassVar[str] = "session_closed"
    SCHEMA_VERSION: ClassVar[int] = 1
    reason: CloseReason


class SessionReopened(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A closed session takes commands again: its harness resumed it under the same id."""

    TYPE: ClassVar[str] = "session_reopened"
    SCHEMA_VERSION: ClassVar[int] = 1


class SettingsAdopted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The session continues under other settings; those that are not given stay unchanged."""

    TYPE: ClassVar[str] = "settings_adopted"
    SCHEMA_VERSION: ClassVar[int] = 6
    profile: Profile | None = None  # since versions 2 to 6 as in versions 4 to 8 of `session_opened`
    budget_tokens: Tokens | None = None
    on_pressure: OnPressure | None = None
    hides_secrets: bool | None = None  # since version 2


class ScopeChanged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The only event of a shared scope's own stream: one field changed, by a session's commit."""

    TYPE: ClassVar[str] = "scope_changed"
    SCHEMA_VERSION: ClassVar[int] = 2
    field: str
    op: Op
    scope_version: Ordinal
    base_version: Count
    value: str
    session_id: str
    version: Ordinal
    hash: str


# ------------------------------------------------------------------------------------------ decisions


class RepresentationChanged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A page is held at another level in the prompt from now on."""

    TYPE: ClassVar[str] = "representation_changed"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    before: Fidelity
    after: Fidelity
    reason: ChangeReason


class PromptAssembled(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The next prompt was chosen: totals, and a digest over the ordered (page_id, content_version, level).

    `tokens` counts the whole prompt, including the reserves for the fixed region and the directory line;
    `uncached_tokens` counts the tokens after the first page that differs from the last prompt. `utility` is the
    gain of phase 2 above floors and arrivals, `bound` its upper bound under the relaxation (density order).

    Paging in epochs adds the layout. `epoch` counts selections, `trigger` says why a new one was made (None: the
    prompt only grew), `entries` are the appended entries, or all entries of a new epoch. `layout_digest` covers the
    digest before and the new entries. `cached_tokens` is the prefix that the provider is assumed to hold,
    `stale_tokens` the size of outdated copies, `rent` the rent paid for the prefix since the epoch began.
    """

    TYPE: ClassVar[str] = "prompt_assembled"
    SCHEMA_VERSION: ClassVar[int] = 2
    budget_tokens: int
    tokens: int
    pages: int
    uncached_tokens: int
    digest: str
    directory_tokens: int = 0
    utility: int = 0
    bound: int = 0
    layout_digest: str = ""  # since version 2, as all that follows
    epoch: int = 0
    trigger: EpochTrigger | None = None
    entries: tuple[Entry, ...] = ()
    cached_tokens: int = 0
    stale_tokens: int = 0
    rent: int = 0


class PageUsed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A need was met by a page in the prompt (a hit)."""

    TYPE: ClassVar[str] = "page_used"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    rule: NeedRule


class PageResolved(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A need was not met in the prompt but could be resolved from the log (a page-in)."""

    TYPE: ClassVar[str] = "page_resolved"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    rule: NeedRule
    tokens: int = 0


class NeedUnmet(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The harness had dropped every page that holds the text the model used; `page_id` is the newest of them.

    `tokens` is the size of the used text, `call` the call that used it. Observed only under the policy `recorded`.
    """

    TYPE: ClassVar[str] = "need_unmet"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    rule: NeedRule
    tokens: int = 0
    call: int | None = None


class FaultObserved(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One of the six faults, with its reason, its page or call, and the versions of the events that show it."""

    TYPE: ClassVar[str] = "fault_observed"
    SCHEMA_VERSION: ClassVar[int] = 1
    fault: FaultType
    reason: FaultReason
    page_id: str | None = None
    call: int | None = None
    evidence: tuple[int, ...] = ()


class DuplicateSignatureAlerted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call repeats a declared, deterministic call whose result is still valid."""

    TYPE: ClassVar[str] = "duplicate_signature_alerted"
    SCHEMA_VERSION: ClassVar[int] = 1
    call: int
    first: int  # the earlier call


class InvariantPressureObserved(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The required set does not fit the budget; `pages` stand too low, or are missing."""

    TYPE: ClassVar[str] = "invariant_pressure_observed"
    SCHEMA_VERSION: ClassVar[int] = 1
    reason: PressureReason
    required_tokens: int
    available_tokens: int
    pages: tuple[str, ...] = ()


class DirtyPageStaged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A boundary staged a dirty page as update number `update`."""

    TYPE: ClassVar[str] = "dirty_page_staged"
    SCHEMA_VERSION: ClassVar[int] = 1
    page_id: str
    update: int


class UpdateValidated(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An update passed all checks."""

    TYPE: ClassVar[str] = "update_validated"
    SCHEMA_VERSION: ClassVar[int] = 1
    update: int


class UpdateRejected(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An update failed a check; it stays in the log, and can be staged again."""

    TYPE: ClassVar[str] = "update_rejected"
    SCHEMA_VERSION: ClassVar[int] = 1
    update: int
    reason: RejectReason


class UpdateCommitted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An update is part of the durable store as version `field_version` of its field."""

    TYPE: ClassVar[str] = "update_committed"
    SCHEMA_VERSION: ClassVar[int] = 2
    update: int
    field: str
    op: Op
    field_version: int
    scope: str = "session"


class CommitPointReached(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """All updates that were pending are committed or rejected; the log is durable up to here."""

    TYPE: ClassVar[str] = "commit_point_reached"
    SCHEMA_VERSION: ClassVar[int] = 1
    committed: int = 0
    rejected: int = 0


class BoundaryCompleted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The boundary is done; `lowered` pages lost their place in the prompt."""

    TYPE: ClassVar[str] = "boundary_completed"
    SCHEMA_VERSION: ClassVar[int] = 1
    boundary: Boundary
    lowered: int = 0


Input: TypeAlias = (
    SessionOpened
    | SessionForked
    | ScopeSynced
    | TurnBegan
    | PromptRendered
    | PageWritten
    | PagePinned
    | PageRetired
    | ToolCalled
    | ToolReturned
    | ModelResponded
    | RecallAnswered
    | UpdateStaged
    | BoundaryReached
    | BudgetChanged
    | ContentRedacted
    | SessionClosed
    | SessionReopened
    | SettingsAdopted
    | ScopeChanged
)
Decision: TypeAlias = (
    RepresentationChanged
    | PromptAssembled
    | PageUsed
    | PageResolved
    | NeedUnmet
    | FaultObserved
    | DuplicateSignatureAlerted
    | InvariantPressureObserved
    | DirtyPageStaged
    | UpdateValidated
    | UpdateRejected
    | UpdateCommitted
    | CommitPointReached
    | BoundaryCompleted
)
Event: TypeAlias = Input | Decision

INPUTS: Final[tuple[type[Input], ...]] = Input.__args__
DECISIONS: Final[tuple[type[Decision], ...]] = Decision.__args__
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {**{c.TYPE: "input" for c in INPUTS}, **{c.TYPE: "decision" for c in DECISIONS}}
)
"""Event type name → input or decision."""
EVENT_TYPES: Final[Mapping[str, type[Event]]] = MappingProxyType({c.TYPE: c for c in (*INPUTS, *DECISIONS)})
"""Event type name → the class of its current schema version."""


def assert_rows(table: Collection[type[Event]], classes: Collection[type[Event]], name: str) -> None:
    """Raise `AssertionError` unless a table has a row for each of these event classes; `name` is the table's."""
    if missing := [event.__name__ for event in classes if event not in table]:
        raise AssertionError(f"event types without a row in {name}: {', '.join(missing)}")
