"""Changes of each event type to the rows of its session: one function per type, and their table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
import msgspec

from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, Cut, Evidence, FaultType, UpdateFacts
from clawvm_es.model.pages import ABSENT, LADDER, PAGE_TYPES, OriginKind, PageType
from clawvm_es.model.profile import RULES, Paging, Profile
from clawvm_es.projections import losses
from clawvm_es.projections.lean import (
    LeanOrigin,
    LeanPageResolved,
    LeanPageUsed,
    LeanPageWritten,
    LeanPromptAssembled,
    LeanRepresentationChanged,
    LeanToolCalled,
)
from clawvm_es.projections.rows import FaultRow, FieldRow, UpdateRow
from clawvm_es.projections.session import SessionFold, tokens_at

_json = msgspec.json.Encoder(order="deterministic").encode
_PLURAL: Final = {
    "compact": "compactions",
    "prune": "prunes",
    "flush": "flushes",
    "reset": "resets",
    "save": "saves",
    "end": "ends",
}
_USED: Final = ("input_tokens", "cached_tokens", "written_tokens", "output_tokens")
_FIVE_MINUTES_S: Final = 300
_HOUR_S: Final = 3600
_COLUMN_MAX: Final = 2**63 - 1
_ABSENT: Final = LADDER[ABSENT].value
_RANKS: Final = {level.value: rank for rank, level in enumerate(LADDER)}
_RULES: Final = {page_type.value: (rule.pin.value, rule.writeback) for page_type, rule in PAGE_TYPES.items()}
_BOUNDARY: Final = ChangeReason.BOUNDARY.value
_SUMMARY: Final = PageType.SUMMARY.value
_FLUSH_MISS: Final = FaultType.FLUSH_MISS.value
_NEED_FAULTS: Final = frozenset({"duplicate_tool", "refetch"})
"""Faults that are the outcome of a need; the others are of an assembly, a recall or a boundary."""


def text_of(value: Any) -> str:
    """A value as compact JSON text."""
    return _json(value).decode()


def origin_text(origin: LeanOrigin) -> str:
    """Provenance as a person reads it: `lines 3-5`, `call 7`, `file 2, lines 3-5`."""
    parts = []
    if origin.call is not None:
        parts.append(f"call {origin.call}")
    if origin.resource is not None:
        parts.append(f"{'file' if origin.kind == OriginKind.FILE else 'resource'} {origin.resource}")
    if origin.first:
        one = origin.first == origin.last
        parts.append(f"line {origin.first}" if one else f"lines {origin.first}-{origin.last}")
    return ", ".join(parts) or origin.kind


def evidence_text(evidence: Evidence) -> str:
    """Return the evidence of an update as a person reads it: `page p3`, `event 17`, `scope version 4`."""
    parts = (("page", evidence.page_id), ("event", evidence.version), ("scope version", evidence.scope_version))
    return ", ".join(f"{what} {which}" for what, which in parts if which is not None)


def count(s: SessionFold, name: str, by: int = 1) -> None:
    """Add to a figure that the session and the turn both have."""
    setattr(s.row, name, getattr(s.row, name) + by)
    setattr(s.turn, name, getattr(s.turn, name) + by)


def total(so_far: int, more: int) -> int:
    """A sum, at most what a column holds: the figures of events that an older program took may be too large."""
    found = so_far + more
    return found if -_COLUMN_MAX <= found <= _COLUMN_MAX else _COLUMN_MAX if found > 0 else -_COLUMN_MAX


# --------------------------------------------------------------------------------------------- inputs


def _session_opened(s: SessionFold, data: e.SessionOpened) -> None:
    row = s.row
    row.format = data.format
    row.policy = data.profile.name
    row.budget_tokens = data.budget_tokens
    row.counter = data.counter
    row.decider_version = data.decider_version
    row.reproducible = data.reproducible
    row.project = data.project
    row.linked_to = data.linked_to
    row.opened_at = s.at
    s.in_epochs = _in_epochs(data.profile)


def _in_epochs(profile: Profile) -> bool:
    """Tell whether a policy pages in epochs; one that goes by the recorded harness does not."""
    return profile.paging is Paging.EPOCHS and not RULES[profile.rule].recorded


def _session_forked(s: SessionFold, data: e.SessionForked) -> None:
    if s.assembling and s.in_epochs:
        s.restore()
    s.assembling = False
    if data.profile is not None:
        s.in_epochs = _in_epochs(data.profile)
    row = s.row  # as it was at the end of the parent's prefix
    row.parent = data.parent
    row.parent_version = data.parent_version
    row.policy = data.profile.name if data.profile else row.policy
    row.budget_tokens = data.budget_tokens or row.budget_tokens
    row.status = "open"
    row.opened_at = s.at
    row.seq = s.seq


def _turn_began(s: SessionFold, data: e.TurnBegan) -> None:
    s.row.turns += 1
    s.assembling = True
    s.turn.fixed_tokens = data.fixed_tokens
    s.turn.idle_s = data.idle_s
    s.row.timed_turns += data.idle_s is not None
    if data.model is not None and data.model_name is not None:
        s.usage_of(data.model).name = data.model_name


def _prompt_rendered(s: SessionFold, data: e.PromptRendered) -> None:
    s.turn.rendered_tokens = data.tokens


def _page_written(s: SessionFold, data: LeanPageWritten) -> None:
    page_type = data.page_type
    page = s.known_page(data.page_id)
    if page is None:
        page = s.page(data.page_id)
        s.row.pages += 1
        s.count_page(page_type)
    turn = s.turn
    turn.pages_written += 1
    pin, writeback = _RULES[page_type]
    levels = data.levels
    page.page_type = page_type
    page.full_tokens = levels[0].tokens if levels else 0
    page.levels = "{" + ",".join([f'"{kept.level}":{kept.tokens}' for kept in levels]) + "}"
    if page.level != _ABSENT:
        page.tokens = tokens_at(page, page.level)
    page.status = "present"
    page.pin = page.pin or pin
    page.dirty = writeback if data.dirty is None else data.dirty
    page.active = data.active
    page.author = data.author
    page.scope = data.scope
    page.origin = origin_text(data.origin)
    page.content_version += 1
    page.written_turn = turn.turn
    page.signature = data.signature
    page.written_version = page.changed_version = s.event[2]
    page.left_version = 0
    if page_type == _SUMMARY:
        losses.summarized(s)


def _page_pinned(s: SessionFold, data: e.PagePinned) -> None:
    page = s.page(data.page_id)
    page.pin = data.pin.value
    page.changed_version = page.marked_version = s.version


def _page_retired(s: SessionFold, data: e.PageRetired) -> None:
    page = s.page(data.page_id)
    page.status = "retired"
    page.changed_version = page.marked_version = s.version


def _tool_called(s: SessionFold, data: LeanToolCalled) -> None:
    s.tools[data.call] = (data.tool, s.version)
    count(s, "tool_calls")
    if data.tool == e.UNKNOWN_TOOL and data.signature is not None and data.signature_key is None:
        s.row.repeat_unknown += 1  # a key that occurs again; told apart from alerts, and in no score


def _model_responded(s: SessionFold, data: e.ModelResponded) -> None:
    model = s.usage_of(data.model)
    model.name = data.model_name or model.name
    model.answers += 1
    for name in _USED:
        tokens = getattr(data, name)
        for row in (s.turn, s.row, model):
            setattr(row, name, total(getattr(row, name), tokens))


def stage(s: SessionFold, update: UpdateRow, facts: UpdateFacts) -> None:
    """Note the facts of an update that is staged, or staged again."""
    update.field = facts.field
    update.op = facts.op.value
    update.scope = facts.scope
    update.evidence = evidence_text(facts.evidence)
    update.base_version = facts.base_version
    update.size_bytes = facts.size_bytes
    update.value = facts.value
    update.turn, update.version = s.turn.turn, s.version


def _update_staged(s: SessionFold, data: e.UpdateStaged) -> None:
    stage(s, s.update(data.update), data.facts)


def _boundary_reached(s: SessionFold, data: e.BoundaryReached) -> None:
    if data.cut is Cut.REWIND:
        for page_id in data.left:
            _stand(s, page_id, "present", "rewound")
    else:
        name = _PLURAL[data.boundary.value]
        setattr(s.row, name, getattr(s.row, name) + 1)
    for page_id in data.returned:
        _stand(s, page_id, "rewound", "present")
    s.turn.boundaries += 1
    s.row.boundary_version, s.reached = s.version, data
    s.staged = {staged.page_id: staged.update for staged in data.staged}
    for again in data.restaged:
        stage(s, s.update(again.update), again.facts)


def _stand(s: SessionFold, page_id: str, was: str, now: str) -> None:
    """Note that a rewind took a page away, or that the harness returned to it."""
    page = s.known_page(page_id)
    if page is not None and page.status == was:
        page.status, page.changed_version = now, s.version


def _budget_changed(s: SessionFold, data: e.BudgetChanged) -> None:
    s.row.budget_tokens = data.budget_tokens


def _content_redacted(s: SessionFold, data: e.ContentRedacted) -> None:
    for page_id in data.pages:
        page = s.page(page_id)
        page.status = "redacted"
        page.changed_version = page.marked_version = s.version


def _session_reopened(s: SessionFold, data: e.SessionReopened) -> None:
    s.row.status = "open"


def _settings_adopted(s: SessionFold, data: e.SettingsAdopted) -> None:
    s.row.policy = data.profile.name if data.profile else s.row.policy
    s.row.budget_tokens = data.budget_tokens or s.row.budget_tokens
    if data.profile is not None:
        s.in_epochs = _in_epochs(data.profile)


def _session_closed(s: SessionFold, data: e.SessionClosed) -> None:
    s.row.status = data.reason.value


# ------------------------------------------------------------------------------------------ decisions


def _representation_changed(s: SessionFold, data: LeanRepresentationChanged) -> None:
    page = s.page(data.page_id)
    s.moves(page, data.after == _ABSENT)
    if data.reason == _BOUNDARY:
        losses.taken_out(s, page, data)
    else:
        page.left_version = 0
    page.level = data.after
    page.tokens = tokens_at(page, page.level)
    page.changed_version = s.version
    if _RANKS[data.after] > _RANKS[data.before]:
        s.turn.raised += 1
    else:
        s.turn.lowered += 1


def _prompt_assembled(s: SessionFold, data: LeanPromptAssembled) -> None:
    turn = s.turn
    s.assembling, s.has_prompt = False, True
    s.stood.clear()
    turn.budget_tokens = data.budget_tokens
    turn.pages = data.pages
    turn.utility = data.utility
    turn.bound = data.bound
    turn.tokens = total(turn.tokens, data.tokens)
    turn.uncached_tokens = total(turn.uncached_tokens, data.uncached_tokens)
    row = s.row
    row.tokens = total(row.tokens, data.tokens)
    row.largest_tokens = min(max(row.largest_tokens, data.tokens), _COLUMN_MAX)
    row.uncached_tokens = total(row.uncached_tokens, data.uncached_tokens)
    row.epochs += data.trigger is not None
    prefix, idle_s = data.tokens - data.uncached_tokens, (turn.idle_s or 0) if turn.turn > 0 else 0
    if idle_s <= _FIVE_MINUTES_S:
        row.held_5m_tokens = total(row.held_5m_tokens, prefix)
    if idle_s <= _HOUR_S:
        row.held_1h_tokens = total(row.held_1h_tokens, prefix)


def _missed(s: SessionFold) -> None:
    """Count a need whose page was not in the prompt, which is sent again."""
    for name in ("needs", "misses"):
        count(s, name)
    if s.turn.turn > 0:  # there was a prompt
        s.row.again_tokens = total(s.row.again_tokens, s.turn.tokens)


def _page_used(s: SessionFold, data: LeanPageUsed) -> None:
    page = s.page(data.page_id)
    page.hits += 1
    page.last_used_turn = s.turn.turn
    page.changed_version = s.version
    row, turn = s.row, s.turn
    row.needs += 1
    row.hits += 1
    turn.needs += 1
    turn.hits += 1


def _page_resolved(s: SessionFold, data: LeanPageResolved) -> None:
    page = s.page(data.page_id)
    page.page_ins += 1
    page.last_used_turn = s.turn.turn
    page.changed_version = s.version
    count(s, "page_ins")
    _missed(s)
    losses.paged_in(s, data)


def _need_unmet(s: SessionFold, data: e.NeedUnmet) -> None:
    s.page(data.page_id).changed_version = s.version
    _missed(s)
    s.row.unmet += 1
    losses.unmet(s, data)


def _fault_observed(s: SessionFold, data: e.FaultObserved) -> None:
    fault = data.fault.value
    count(s, "faults")
    setattr(s.row, fault, getattr(s.row, fault) + 1)
    if fault in _NEED_FAULTS:
        _missed(s)
    page = None if data.page_id is None else s.known_page(data.page_id)
    if page is not None:
        page.faults += 1
        page.changed_version = s.version
        if fault == _FLUSH_MISS:
            page.marked_version = s.version
    s.faults.append(
        FaultRow(
            s.session_id,
            s.turn.turn,
            s.version,
            s.seq,
            fault,
            data.reason.value,
            data.page_id,
            page.page_type if page else None,
            s.tool(data.call),
            text_of(data.evidence),
            data.call,
            s.at,
        )
    )
    if page is not None:
        losses.faulted(s, page, data)


def _duplicate_signature_alerted(s: SessionFold, data: e.DuplicateSignatureAlerted) -> None:
    count(s, "alerts")


def _invariant_pressure_observed(s: SessionFold, data: e.InvariantPressureObserved) -> None:
    count(s, "pressure")


def _dirty_page_staged(s: SessionFold, data: e.DirtyPageStaged) -> None:
    update = s.update(data.update)
    update.page_id = data.page_id
    facts = s.staged.get(data.page_id)
    if facts is not None:
        stage(s, update, facts)


def _update_validated(s: SessionFold, data: e.UpdateValidated) -> None:
    update = s.update(data.update)
    update.status, update.reason = "validated", None


def _update_rejected(s: SessionFold, data: e.UpdateRejected) -> None:
    update = s.update(data.update)
    update.status, update.reason = "rejected", data.reason.value
    count(s, "rejected")


def _update_committed(s: SessionFold, data: e.UpdateCommitted) -> None:
    update = s.update(data.update)
    update.status, update.reason = "committed", None
    count(s, "committed")
    page = None if update.page_id is None else s.known_page(update.page_id)
    if page is not None:
        page.dirty = False
        page.changed_version = s.version
    s.fields.append(
        FieldRow(
            s.session_id,
            data.scope,
            data.field,
            data.field_version,
            data.op.value,
            s.turn.turn,
            s.version,
            s.event[8],
            update.evidence,
            update.page_id,
            update.size_bytes,
            data.update,
            s.at,
            update.value,
            s.seq,
        )
    )


def _nothing(s: SessionFold, data: Any) -> None:
    """The event changes no row beyond the counts of its session and turn."""


_APPLY: Final[Mapping[type[e.Event], Callable[[SessionFold, Any], None]]] = {
    e.SessionOpened: _session_opened,
    e.SessionForked: _session_forked,
    e.ScopeSynced: _nothing,
    e.TurnBegan: _turn_began,
    e.PromptRendered: _prompt_rendered,
    e.PageWritten: _page_written,
    e.PagePinned: _page_pinned,
    e.PageRetired: _page_retired,
    e.ToolCalled: _tool_called,
    e.ToolReturned: _nothing,
    e.ModelResponded: _model_responded,
    e.RecallAnswered: _nothing,
    e.UpdateStaged: _update_staged,
    e.BoundaryReached: _boundary_reached,
    e.BudgetChanged: _budget_changed,
    e.ContentRedacted: _content_redacted,
    e.SessionClosed: _session_closed,
    e.SessionReopened: _session_reopened,
    e.SettingsAdopted: _settings_adopted,
    e.ScopeChanged: _nothing,
    e.RepresentationChanged: _representation_changed,
    e.PromptAssembled: _prompt_assembled,
    e.PageUsed: _page_used,
    e.PageResolved: _page_resolved,
    e.NeedUnmet: _need_unmet,
    e.FaultObserved: _fault_observed,
    e.DuplicateSignatureAlerted: _duplicate_signature_alerted,
    e.InvariantPressureObserved: _invariant_pressure_observed,
    e.DirtyPageStaged: _dirty_page_staged,
    e.UpdateValidated: _update_validated,
    e.UpdateRejected: _update_rejected,
    e.UpdateCommitted: _update_committed,
    e.CommitPointReached: _nothing,
    e.BoundaryCompleted: _nothing,
}
e.assert_rows(_APPLY, e.EVENT_TYPES.values(), "projections.handlers")


LEAN: Final[Mapping[type[e.Event], type[msgspec.Struct]]] = MappingProxyType(
    {
        e.PageWritten: LeanPageWritten,
        e.ToolCalled: LeanToolCalled,
        e.RepresentationChanged: LeanRepresentationChanged,
        e.PromptAssembled: LeanPromptAssembled,
        e.PageUsed: LeanPageUsed,
        e.PageResolved: LeanPageResolved,
    }
)
"""Event class → the struct that holds the part of it that rows are made of."""


@attrs.frozen
class Handler:
    """Decoder and function for the events of one type, in their current schema version."""

    version: int
    tag: bytes  # type and version, as the decision digest has them
    decode: Callable[[str], Any]
    apply: Callable[[SessionFold, Any], None]


def _ignore(data: str) -> None:
    """Data that no row is made of stays undecoded."""


def _handler(event: type[e.Event]) -> Handler:
    apply = _APPLY[event]
    decode = _ignore if apply is _nothing else msgspec.json.Decoder(LEAN.get(event, event)).decode
    return Handler(event.SCHEMA_VERSION, f"{event.TYPE} {event.SCHEMA_VERSION} ".encode(), decode, apply)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({c.TYPE: _handler(c) for c in e.EVENT_TYPES.values()})
"""Event type name → how it is decoded and applied."""
