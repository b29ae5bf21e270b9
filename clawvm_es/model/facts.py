"""The small values inside events: enums with stable names, and facts computed at the edge."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawvm_es.model.bounds import Count, Ordinal, Tokens
from clawvm_es.model.pages import Fidelity


class Boundary(StrEnum):
    """An instant at which a harness may destroy context."""

    COMPACT = "compact"
    PRUNE = "prune"
    FLUSH = "flush"
    RESET = "reset"
    SAVE = "save"
    END = "end"


class Trigger(StrEnum):
    """The initiator of a boundary."""

    RECORDED = "recorded"
    CALLER = "caller"
    THRESHOLD = "threshold"


class Cut(StrEnum):
    """Way in which a harness cut its own context."""

    COMPACT = "compact"
    MICRO = "micro"
    """Single results were taken out."""
    CLEAR = "clear"
    REWIND = "rewind"
    """The session went back to an earlier message."""


class ToldBy(StrEnum):
    """Source of a fact that no transcript holds, or not yet."""

    HOOK = "hook"
    FILE = "file"
    COUNTS = "counts"
    """Nobody: it is inferred from what the provider counted."""


class Finish(StrEnum):
    """Reason why a model ended its answer."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    REFUSAL = "refusal"
    ERROR = "error"
    OTHER = "other"


class EpochTrigger(StrEnum):
    """Reason why a new epoch began."""

    FORCED = "forced"
    HIGH = "high"
    COLD = "cold"
    RENT = "rent"


class OnPressure(StrEnum):
    """Reaction of the engine if the required pages do not fit the budget.

    `protect` raises if a bootstrap or constraint page is lost, `raise` at any pressure, `degrade` never.
    """

    PROTECT = "protect"
    RAISE = "raise"
    DEGRADE = "degrade"


class ResourceClass(StrEnum):
    """Kind of thing that a tool reads or changes; an unknown tool invalidates all results that read any."""

    FILE = "file"
    PROCESS = "process"
    NETWORK = "network"


class ReturnStatus(StrEnum):
    """End of a tool call."""

    OK = "ok"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class RecallOutcome(StrEnum):
    """Answer of a memory backend."""

    OK = "ok"
    NO_MATCH = "no_match"
    DENIED = "denied"
    BACKEND_ERROR = "backend_error"
    MALFORMED = "malformed"


class NeedRule(StrEnum):
    """Rule by which a need was found: a repeated read, data flow into a call, or told by the caller."""

    REPEATED_READ = "repeated_read"
    DATA_FLOW = "data_flow"
    DECLARED = "declared"


class Op(StrEnum):
    """Operation of an update on a field of the durable store."""

    APPEND = "append"
    MERGE = "merge"
    SET_WITH_VERSION = "set_with_version"
    DELETE = "delete"
    REPLACE = "replace"


class SchemaVerdict(StrEnum):
    """Verdict of the edge on a field: known, of the right type and size."""

    OK = "ok"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"


class RejectReason(StrEnum):
    """Reason why an update was refused, in order of precedence."""

    SCHEMA_INVALID = "SCHEMA_INVALID"
    PROVENANCE_UNRESOLVED = "PROVENANCE_UNRESOLVED"
    SCOPE_DENIED = "SCOPE_DENIED"
    DESTRUCTIVE_OP = "DESTRUCTIVE_OP"
    POLICY_VIOLATION = "POLICY_VIOLATION"


class ChangeReason(StrEnum):
    """Reason why a page's level in the prompt changed."""

    FLOOR = "floor"
    ARRIVAL = "arrival"
    HINT = "hint"
    RETRIEVED = "retrieved"
    RAISED = "raised"
    LOWERED = "lowered"
    EVICTED = "evicted"
    PRESSURE = "pressure"
    BOUNDARY = "boundary"
    RETIRED = "retired"
    REDACTED = "redacted"


class FaultType(StrEnum):
    """The six silent failures that the observer makes visible."""

    DUPLICATE_TOOL = "duplicate_tool"
    REFETCH = "refetch"
    POST_COMPACTION_BOOTSTRAP = "post_compaction_bootstrap"
    PINNED_INVARIANT_MISS = "pinned_invariant_miss"
    SILENT_RECALL = "silent_recall"
    FLUSH_MISS = "flush_miss"


class FaultReason(StrEnum):
    """Observation that a fault rests on."""

    NOT_RESIDENT = "not_resident"
    RERUN = "rerun"
    REDACTED = "redacted"
    ABSENT_AFTER_BOUNDARY = "absent_after_boundary"
    BELOW_FLOOR = "below_floor"
    DENIED = "denied"
    BACKEND_ERROR = "backend_error"
    MALFORMED = "malformed"
    DESTROYED_BEFORE_COMMIT = "destroyed_before_commit"


class PressureReason(StrEnum):
    """Part of the required set that did not fit."""

    FLOORS = "floors"
    ARRIVALS = "arrivals"
    REDACTED = "redacted"


class RetireReason(StrEnum):
    """Reason why a page left the working set for good."""

    REPLACED = "replaced"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class CloseReason(StrEnum):
    """Reason why a session was closed."""

    ENDED = "ended"
    ABANDONED = "abandoned"


class RedactReason(StrEnum):
    """Reason why content was erased."""

    REQUEST = "request"
    SECRET = "secret"
    RETENTION = "retention"


class Holder(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A page that holds a needed text, and the levels whose text contains it.

    `recorded_resident` says whether the recorded harness had the page in its context then; None: unknown.
    """

    page_id: str
    levels: tuple[Fidelity, ...] = (Fidelity.FULL,)
    recorded_resident: bool | None = None  # since version 2 of the answers, 3 of `tool_called`


class Need(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A text that the model used, and its `holders`, oldest page first.

    A need is a hit if any holder is resident at one of its levels. Otherwise one miss is charged to the newest
    holder, and a page-in costs `tokens`.
    """

    holders: tuple[Holder, ...]
    rule: NeedRule
    tokens: Tokens = 0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One page in a layout, as sent: its content, its level, and its tokens."""

    page_id: str
    content_version: int
    level: Fidelity
    tokens: int


class Resource(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A resource key at its first occurrence; its session-local ordinal is its place among all of them."""

    kind: ResourceClass
    key: str  # commitment


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Verdict of one registered validator on an update.

    If the validator raised an exception, or was not done in time, it does not agree, and `error` is a commitment to
    that.
    """

    validator: str
    agrees: bool
    error: str | None = None  # since version 2 of `update_staged` and `boundary_reached`


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Evidence of an update: a page or an event version of this session, or a version of a shared scope."""

    page_id: str | None = None
    version: int | None = None
    scope_version: int | None = None


class UpdateFacts(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Facts that the edge found about one update of the durable store; `decide` needs nothing else.

    `field` is a declared name, the id of the page that is written back, or the ordinal of a name that matches a
    pattern. `field_name` is a commitment to such a name. `base_version` is the committed version of the field that
    the writer saw (0: none), `scope_version` the version of the shared scope on which these facts are based.
    `keys_changed` counts the keys that a merge (or an append to a value that is no list) would overwrite, against
    committed and pending values. `replaces` are the pages that a `replace` replaces.
    """

    field: str
    op: Op
    value: str  # commitment
    size_bytes: Count
    evidence: Evidence
    scope: str = "session"
    verdict: SchemaVerdict = SchemaVerdict.OK
    allowed: bool = True
    base_version: Count | None = None
    keys_added: Count = 0
    keys_changed: Count = 0
    scope_version: Count = 0
    validators: tuple[Verdict, ...] = ()
    field_name: str | None = None  # since version 3 of `update_staged` and `boundary_reached`, as all that follows
    replaces: tuple[str, ...] = ()


class StagedPage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A dirty page that a boundary writes back, with the facts of its update."""

    page_id: str
    update: UpdateFacts


class ScopeChange(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One committed change of a shared scope, as a session learns of it."""

    field: str
    op: Op
    scope_version: Ordinal
    value: str  # commitment
