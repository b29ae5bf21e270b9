"""`evolve`: apply each event to the state. One small function per event type; nothing is decided here.

LAW-CORE-1: folding in place (`apply`) and folding with copies (`evolve`) give equal states at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from clawvm_es.core import groups, lifecycle, placing, recorded
from clawvm_es.core.layout import by_turn, hidden, prefix_is_lost
from clawvm_es.core.pages import kept_at_or_above, page_of
from clawvm_es.core.ranking import advance, reindex, reindex_copy, unindex
from clawvm_es.core.reuse import NEARNESS
from clawvm_es.core.state import Call, Page, Returned, State, Update, holder_set, known_by
from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, Cut, FaultType, Need, NeedRule, ResourceClass, ReturnStatus
from clawvm_es.model.pages import ABSENT, PAGE_TYPES, POINTER, RANK, Author, PageType, Pin
from clawvm_es.model.profile import RULES, Capability, Paging, Profile

REDUCER_VERSION: Final = 13
"""Version of the fold: raise it when an event changes the state otherwise, or the state holds something else.

Snapshots that another version made are not used.
"""


def evolve(state: State, event: e.Event) -> State:
    """Return the state after `event`; `state` itself is not changed."""
    return apply(state.copy(), event)


def fold(events: Iterable[e.Event], state: State | None = None) -> State:
    """Fold events in place into `state` (by default an empty one) and return it."""
    state = State() if state is None else state
    for event in events:
        apply(state, event)
    return state


def apply(state: State, event: e.Event) -> State:
    """Fold one event into `state` in place and return it.

    Raises `JournalDamaged` if `decide` cannot have made this event after the events before it.
    """
    state.version += 1
    try:
        _HANDLERS[type(event)](state, event)
    except ClawVMError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise JournalDamaged(
            f"event {state.version}, a {event.TYPE}, does not fit the events before it: {error!r}"
        ) from error
    return state


# ------------------------------------------------------------------------------------------- sessions


def _session_opened(state: State, event: e.SessionOpened) -> None:
    state.opened = event
    state.by_groups = event.renderer.startswith(groups.PREFIX)
    adopt(state, event.profile)
    state.budget_tokens = state.declared_budget = event.budget_tokens
    state.on_pressure = event.on_pressure
    if event.project is not None:
        state.scopes[event.project] = 0


def adopt(state: State, profile: Profile) -> None:
    """Fold the policy under which a session goes on."""
    state.profile = profile
    state.capabilities = frozenset(profile.capabilities)
    state.keeps_floors = Capability.FLOORS in state.capabilities
    state.ranks_reuse = RULES[profile.rule].key in NEARNESS and Capability.SCORING in state.capabilities
    state.keeps_bootstrap = Capability.FIXED_BOOTSTRAP in state.capabilities and not state.keeps_floors
    state.as_recorded = RULES[profile.rule].recorded
    state.in_epochs = profile.paging is Paging.EPOCHS and not state.as_recorded
    state.index = None


def _session_forked(state: State, event: e.SessionForked) -> None:
    state.closed = False
    if state.assembling and state.in_epochs:
        placing.restored(state)
    elif state.assembling and state.index is not None:
        advance(state, state.index, ())  # the turn counts, though nothing was assembled in it
    state.assembling = False
    override(state, event.profile, event.budget_tokens)


def override(state: State, profile: Profile | None, budget_tokens: int | None) -> None:
    """Fold the policy or budget, if given, under which a session goes on."""
    if profile is not None:
        as_recorded, in_epochs = state.as_recorded, state.in_epochs
        adopt(state, profile)
        for page in state.pages.values():  # the weights so far are not those from here on
            page.weight = page.score = None
        if as_recorded is not state.as_recorded:
            _change_offers(state)
        if in_epochs is not state.in_epochs:
            placing.settled(state)
        state.cut = state.cut or state.in_epochs
    if budget_tokens is not None:
        state.budget_tokens = state.declared_budget = budget_tokens


def _change_offers(state: State) -> None:
    """Update the pages on offer: the new policy may show summaries, or no longer."""
    state.present = sum(map(state.holdable, state.pages.values()))
    state.arrivals = {page_id: None for page_id in state.arrivals if state.holdable(state.pages[page_id])}
    for page in state.pages.values():
        if not PAGE_TYPES[page.page_type].offered:
            _require(state, page)
    recorded.settled(state)


def _session_closed(state: State, event: e.SessionClosed) -> None:
    state.closed = True


def _session_reopened(state: State, event: e.SessionReopened) -> None:
    state.closed = False


def _settings_adopted(state: State, event: e.SettingsAdopted) -> None:
    override(state, event.profile, event.budget_tokens)
    if event.on_pressure is not None:
        state.on_pressure = event.on_pressure


def _budget_changed(state: State, event: e.BudgetChanged) -> None:
    state.budget_tokens = event.budget_tokens


def _scope_synced(state: State, event: e.ScopeSynced) -> None:
    for change in event.changes:
        key = (event.scope, change.field)
        state.store[key] = state.store.get(key, 0) + 1
    state.scopes[event.scope] = event.to_version


# ---------------------------------------------------------------------------------------------- pages


def _page_written(state: State, event: e.PageWritten) -> None:
    known = state.pages.get(event.page_id)
    if known is not None:
        _give_way(state, known, event)
    page = _new_page(state, event, known)
    state.pages[page.page_id] = page
    unindex(state, page)
    if state.holdable(page):
        state.present += 1
        state.arrivals[page.page_id] = None
    if known is not None or page.pin is Pin.HARD or PAGE_TYPES[page.page_type].required:
        _require(state, page)
    if page.dirty:
        state.dirty[page.page_id] = None
    if state.by_groups:
        groups.written(state, page)
    if event.origin.call is not None or event.origin.resource is not None:
        _show(state, page)
    if event.author is Author.USER and event.page_type is PageType.CONVERSATION:
        state.written_classes[ResourceClass.FILE] = state.version
        if state.as_recorded:
            recorded.spoke(state)


def _give_way(state: State, known: Page, event: e.PageWritten) -> None:
    """Remove the content of a page that another page replaces."""
    if state.in_epochs:
        placing.written(state, known, event)
    state.present -= state.holdable(known)
    state.arrivals.pop(known.page_id, None)
    state.dirty.pop(known.page_id, None)
    if known.page_id in (state.resident if state.in_epochs else state.assembled):
        state.rewritten[known.page_id] = None


def _show(state: State, page: Page) -> None:
    """Note the page that holds a call's result, and the newest page of a resource."""
    call = state.calls.get(page.origin.call) if page.origin.call is not None else None
    if call is not None and call.page_id is None:
        call.page_id = page.page_id
    about = page.origin.resource
    if about is not None and (call is None or about in call.reads):  # what a write answers shows little
        state.shown[about] = page.page_id


def _new_page(state: State, event: e.PageWritten, known: Page | None) -> Page:
    pin = known.pin if known and known.page_type is event.page_type else PAGE_TYPES[event.page_type].pin
    return page_of(
        event,
        number=known.number if known else len(state.pages) + 1,
        content_version=known.content_version + 1 if known else 1,
        written_version=state.version,
        last_used=state.turn,
        pin=pin,
        uses=known.uses if known else 0,
        edited=known.edited if known else 0,
    )


def _page_pinned(state: State, event: e.PagePinned) -> None:
    page = state.pages[event.page_id]
    page.pin, page.weight, page.score = event.pin, None, None
    _require(state, page)
    reindex(state, page)


def _page_retired(state: State, event: e.PageRetired) -> None:
    page = state.pages[event.page_id]
    if state.in_epochs:
        placing.retired(state, page)
    _withdraw(state, page, retired=True)


def _content_redacted(state: State, event: e.ContentRedacted) -> None:
    if state.in_epochs:
        placing.erased(state, event)
        state.cut = state.cut or state.by_groups  # arguments and native forms have no entry that names their text
    for page_id in event.pages:
        page = state.pages[page_id]
        _withdraw(state, page, gone=True)
        page.redacted = True


def _withdraw(state: State, page: Page, *, retired: bool = False, gone: bool = False) -> None:
    if state.holdable(page):
        state.present -= 1
    page.retired = page.retired or retired
    page.gone = page.gone or gone
    page.dirty = False
    state.dirty.pop(page.page_id, None)
    state.arrivals.pop(page.page_id, None)
    unindex(state, page)
    _require(state, page)


def _set_aside(state: State, page: Page) -> None:
    """Take out a page that a rewind removed; no prompt shows it until it is put back."""
    state.present -= state.holdable(page)
    page.away = True
    state.dirty.pop(page.page_id, None)
    state.arrivals.pop(page.page_id, None)
    unindex(state, page)
    _require(state, page)


def _put_back(state: State, page: Page) -> None:
    """Let a page arrive again that a rewind had removed: the harness returned to it."""
    page.away = False
    if state.holdable(page):
        state.present += 1
        state.arrivals[page.page_id] = None
        unindex(state, page)
    if page.dirty:
        state.dirty[page.page_id] = None
    _require(state, page)


def _require(state: State, page: Page) -> None:
    """Keep the set of required pages: bootstrap, constraint, the active plan, and pages pinned hard."""
    before = state.required.pop(page.page_id, None)
    if before is not None:
        state.required_tokens -= state.required_sizes.pop(page.page_id)
    wanted = PAGE_TYPES[page.page_type].required and page.active
    if (wanted or page.pin is Pin.HARD) and state.holdable(page):
        floor = max(page.floor, kept_at_or_above(page.tokens, POINTER + 1))
        state.required[page.page_id] = floor
        state.required_sizes[page.page_id] = page.tokens[floor]
        state.required_tokens += page.tokens[floor]
    if state.in_epochs:
        placing.look(state, page.page_id)


# ---------------------------------------------------------------------------------- turns and prompts


def _turn_began(state: State, event: e.TurnBegan) -> None:
    state.turn += 1
    state.turn_needs.clear()
    state.assembling = True
    if state.in_epochs and prefix_is_lost(state, event):
        state.cut = True  # for a fork that begins before this turn's prompt
    state.assembled_fixed = event.fixed_tokens
    state.assembled_region = event.fixed or state.assembled_region
    state.assembled_model = event.model or state.assembled_model


def _representation_changed(state: State, event: e.RepresentationChanged) -> None:
    rank, resident = RANK[event.after], state.changing()
    if rank != ABSENT:
        resident[event.page_id] = rank
    else:
        resident.pop(event.page_id, None)
        if state.as_recorded:
            recorded.left(state, event.page_id)
        elif not state.assembling:
            placing.left(state, event.page_id, pruned=event.reason is ChangeReason.BOUNDARY)
    if state.in_epochs:
        placing.look(state, event.page_id)


def _prompt_assembled(state: State, event: e.PromptAssembled) -> None:
    state.assembling = False
    if state.as_recorded:
        _context_assembled(state, event)
    elif state.in_epochs:
        _layout_assembled(state, event)
    else:
        _selection_assembled(state, event)


def _selection_assembled(state: State, event: e.PromptAssembled) -> None:
    """Fold a prompt that was selected for one turn."""
    state.assembled = state.resident
    state.assembled_last = tuple(state.arrivals)
    state.assembled_directory = _hidden(state, event)
    if state.memo is not None and state.memo[0] == event.digest:
        state.assembled_tags = state.memo[1]
    else:
        line = state.assembled_directory
        state.assembled_tags, _ = by_turn(state, state.assembled, state.arrivals, line, 0)
    _assembled(state)
    arrived = state.assembled_last
    for page_id in arrived:
        state.pages[page_id].last_used = state.turn
    if state.index is not None:
        advance(state, state.index, arrived)


def _layout_assembled(state: State, event: e.PromptAssembled) -> None:
    """Fold a prompt that pages in epochs: it grew at its end, or was laid out anew."""
    placing.assembled(state, event)
    state.assembled_directory = _hidden(state, event)
    for page_id in state.arrivals:
        state.pages[page_id].last_used = state.turn
    _assembled(state)


def _hidden(state: State, event: e.PromptAssembled) -> int:
    """Number of pages that the directory line counts; 0 without such a line."""
    return hidden(state, len(state.resident)) if event.directory_tokens else 0


def _assembled(state: State) -> None:
    state.assembled_version = state.version
    state.boundary_version = 0
    groups.assembled(state)
    state.rewritten.clear()
    state.arrivals.clear()


def _context_assembled(state: State, event: e.PromptAssembled) -> None:
    """Fold a prompt under the rule `recorded`, which needs nothing of the prompt before."""
    recorded.assembled(state)
    state.assembled = state.resident
    state.assembled_last, state.assembled_tags, state.assembled_directory = (), (), 0
    state.chain, state.epoch = event.digest, event.epoch
    _assembled(state)


def _prompt_rendered(state: State, event: e.PromptRendered) -> None:
    state.rendered_version = state.version


def _page_used(state: State, event: e.PageUsed) -> None:
    page = state.pages[event.page_id]
    if page.last_used != state.turn:
        page.last_used = state.turn
        reindex(state, page)


def _page_resolved(state: State, event: e.PageResolved) -> None:
    _arrive(state, state.pages[event.page_id])


def _arrive(state: State, page: Page) -> None:
    page.last_used = state.turn
    if state.holdable(page):
        state.arrivals[page.page_id] = None
        unindex(state, page)


# ------------------------------------------------------------------------------------- tools and needs


def _meet(state: State, needs: Iterable[Need]) -> None:
    for need in needs:
        holders = holder_set(need)
        if holders in state.turn_needs:
            continue
        state.turn_needs[holders] = None
        for holder in need.holders:
            page = state.pages[holder.page_id]
            page.uses += 1
            if state.ranks_reuse:
                page.score = None
                reindex(state, page)


def _tool_called(state: State, event: e.ToolCalled) -> None:
    _meet(state, event.needs)
    for number, resource in enumerate(event.resources, len(state.resources) + 1):
        state.resources[number] = resource.kind
        state.resource_keys[number] = known_by(resource.key)
    if event.signature_key is not None and event.signature is not None:
        state.signature_keys[event.signature] = known_by(event.signature_key)
    earlier = state.valid_call(event.signature) if event.deterministic else None
    call = Call(event.call, event.tool, state.version, state.turn, event.deterministic, event.signature, event.reads)
    call.writes, call.group = event.writes, event.group
    call.repeats = earlier.call if earlier else None
    state.calls[event.call] = call
    if _is_repeated(event.needs):
        _note_copy(state, call)
    if state.by_groups:
        groups.called(state, event)
    if state.as_recorded:
        recorded.called(state, event)
    if event.served_by is not None:  # what another stream recorded stands for a run of this one
        _join(state, call, Returned(event.served_status, state.version, None, None))
    elif event.served_from is not None:
        call.returned = Returned(ReturnStatus.OK, event.served_from, None, None)
    for key in event.writes:
        state.written_keys[key] = state.version
        page_id = state.shown.get(key)
        if page_id is not None:
            state.pages[page_id].edited = state.turn
            reindex(state, state.pages[page_id])
    for kind in event.invalidates:
        state.written_classes[kind] = state.version
    waiting = state.unmatched.pop(event.call, None)
    if waiting is not None:
        call.page_id = next((p.page_id for p in state.pages.values() if p.origin.call == event.call), None)
        _join(state, call, waiting)


def _tool_returned(state: State, event: e.ToolReturned) -> None:
    _meet(state, event.needs)
    returned = Returned(event.status, state.version, event.result, event.validator, _is_repeated(event.needs))
    call = state.calls.get(event.call)
    if state.by_groups:
        groups.returned(state, event)
    if call is None:
        state.unmatched[event.call] = returned
    else:
        _join(state, call, returned)


def _is_repeated(needs: Iterable[Need]) -> bool:
    """Tell whether earlier pages held a call's whole result: one of its needs is then a repeated read."""
    return any(need.rule is NeedRule.REPEATED_READ for need in needs)


def _note_copy(state: State, call: Call) -> None:
    """Mark a call as a copy: earlier pages held its whole result. Some rules rank its pages lower from now on."""
    call.copied = True
    if RULES[state.profile.rule].knows_copies:
        reindex_copy(state, call)


def _join(state: State, call: Call, returned: Returned) -> None:
    call.returned = returned
    if returned.copied:
        _note_copy(state, call)
    if returned.status is ReturnStatus.OK and call.deterministic and call.signature is not None:
        state.results[call.signature] = call.call


def _model_responded(state: State, event: e.ModelResponded) -> None:
    _meet(state, event.needs)
    state.responded_version = state.version
    if state.by_groups:
        groups.responded(state, event)
    if state.as_recorded:
        recorded.responded(state, event)


def _recall_answered(state: State, event: e.RecallAnswered) -> None:
    _meet(state, event.needs)
    state.recalls += 1
    for page_id in event.pages:
        _arrive(state, state.pages[page_id])


def _fault_observed(state: State, event: e.FaultObserved) -> None:
    if event.page_id is None:
        return
    page = state.pages[event.page_id]
    if event.fault in (FaultType.REFETCH, FaultType.DUPLICATE_TOOL) and state.holdable(page):
        if not state.as_recorded:  # where what the harness got again is a page of its own
            _arrive(state, page)  # the agent gets it again, so it stands in the next prompt
    elif event.fault is FaultType.FLUSH_MISS:
        _withdraw(state, page, gone=True)


def _nothing(state: State, event: e.Event) -> None:
    pass


# ------------------------------------------------------------------------------------------ writeback


def _update_staged(state: State, event: e.UpdateStaged) -> None:
    state.updates[event.update] = Update(event.update, event.facts, state.version)


def _boundary_reached(state: State, event: e.BoundaryReached) -> None:
    number = len(state.updates)
    for place, staged in enumerate(event.staged, number + 1):
        state.updates[place] = Update(place, staged.update, state.version, page_id=staged.page_id)
    for again in event.restaged:
        state.updates[again.update].facts = again.facts
    if event.boundary in (Boundary.COMPACT, Boundary.RESET) and event.cut is not Cut.REWIND:
        state.boundary_version = state.version
    if state.as_recorded:
        recorded.taken_out(state, event)
    elif state.in_epochs:
        state.cut = state.cut or lifecycle.cuts(state, event)
    if event.cut is Cut.REWIND:
        for page_id in event.left:
            _set_aside(state, state.pages[page_id])
    for page_id in event.returned:
        if state.pages[page_id].away:
            _put_back(state, state.pages[page_id])
    if state.as_recorded:
        recorded.put_back(state, event)


def _update_validated(state: State, event: e.UpdateValidated) -> None:
    state.pending[event.update] = None


def _update_rejected(state: State, event: e.UpdateRejected) -> None:
    state.pending.pop(event.update, None)
    state.updates[event.update].reason = event.reason


def _update_committed(state: State, event: e.UpdateCommitted) -> None:
    update = state.updates[event.update]
    update.field_version = event.field_version
    state.pending.pop(event.update, None)
    state.store[(event.scope, event.field)] = event.field_version
    if event.scope in state.scopes:
        state.scopes[event.scope] += 1
    if update.page_id is not None:
        state.pages[update.page_id].dirty = False
        state.dirty.pop(update.page_id, None)


HANDLERS: Final[Mapping[type[Any], Callable[[State, Any], None]]] = MappingProxyType(
    {
        e.SessionOpened: _session_opened,
        e.SessionForked: _session_forked,
        e.ScopeSynced: _scope_synced,
        e.TurnBegan: _turn_began,
        e.PromptRendered: _prompt_rendered,
        e.PageWritten: _page_written,
        e.PagePinned: _page_pinned,
        e.PageRetired: _page_retired,
        e.ToolCalled: _tool_called,
        e.ToolReturned: _tool_returned,
        e.ModelResponded: _model_responded,
        e.RecallAnswered: _recall_answered,
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
        e.NeedUnmet: _nothing,
        e.FaultObserved: _fault_observed,
        e.DuplicateSignatureAlerted: _nothing,
        e.InvariantPressureObserved: _nothing,
        e.DirtyPageStaged: _nothing,
        e.UpdateValidated: _update_validated,
        e.UpdateRejected: _update_rejected,
        e.UpdateCommitted: _update_committed,
        e.CommitPointReached: _nothing,
        e.BoundaryCompleted: _nothing,
    }
)
"""Event class → how it changes the state."""
e.assert_rows(HANDLERS, e.EVENT_TYPES.values(), "core.evolve.HANDLERS")
_HANDLERS = dict(HANDLERS)  # a plain dict is looked up faster than its read-only view
