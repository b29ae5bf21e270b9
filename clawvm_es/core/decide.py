"""`decide`: takes a state and one command, returns the events that follow. Pure; all decisions are made here.

LAW-DECIDE-1: the first event is the command's own input; all others are decisions.
LAW-DECIDE-2: the same state and command give byte-identical events, on any machine, under any hash seed.
LAW-DECIDE-3: under a policy with all mechanisms no fault is observed, except for erased content (by construction).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from clawvm_es.core import lifecycle, observer, writeback
from clawvm_es.core.assembly import assemble
from clawvm_es.core.state import State
from clawvm_es.errors import UsageError
from clawvm_es.limits import PRICE_MAX, RENT_MAX, TOKENS_MAX
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT, RANK
from clawvm_es.model.profile import RULES, Paging, Profile

DECIDER_VERSION: Final = 3
"""Changes whenever the same inputs may give other decisions."""


_WHOLE: Final = 1_000
"""A whole in permille."""


def decide(state: State, command: Command) -> tuple[e.Event, ...]:
    """Return the command's input and the decisions that follow; raises `UsageError` for a command it refuses."""
    data = command.data
    _admit(state, data)
    return (data, *DECIDERS[type(data)](state, data))


def _admit(state: State, data: e.Input) -> None:
    """Refuse a command that no order of events can make valid."""
    if state.opened is None and not isinstance(data, e.SessionOpened):
        raise UsageError(f"{data.TYPE} before session_opened")
    if state.closed and not isinstance(data, (e.ContentRedacted, e.SessionForked, e.SessionReopened)):
        raise UsageError(f"{data.TYPE} on a closed session", hint="open the session again, or fork it")
    check = ADMISSION.get(type(data))
    if check is not None:
        check(state, data)


# ------------------------------------------------------------------------------------------ admission


def _admit_opened(state: State, data: e.SessionOpened) -> None:
    if state.opened is not None:
        raise UsageError("session_opened on a session that is open")
    _check_budget(data.budget_tokens, data.profile)
    _check_paging(data.profile)
    _check_thresholds(data.profile, data.project)


def _admit_forked(state: State, data: e.SessionForked) -> None:
    if data.parent_version != state.version:
        raise UsageError(f"forked at version {data.parent_version}, decided on the state at {state.version}")
    _check_settings(state, data.profile, data.budget_tokens)


def _admit_reopened(state: State, data: e.SessionReopened) -> None:
    if not state.closed:
        raise UsageError("session_reopened on a session that is open")


def _admit_adopted(state: State, data: e.SettingsAdopted) -> None:
    if data == e.SettingsAdopted():
        raise UsageError("settings_adopted without a setting")
    _check_settings(state, data.profile, data.budget_tokens)


def _admit_scope_changed(state: State, data: e.ScopeChanged) -> None:
    raise UsageError("scope_changed belongs to the stream of a shared scope, not to a session")


def _admit_budget(state: State, data: e.BudgetChanged) -> None:
    _check_budget(data.budget_tokens, state.profile)


def _check_settings(state: State, profile: Profile | None, budget_tokens: int | None) -> None:
    """Refuse a policy or budget that this session cannot adopt."""
    if budget_tokens is not None or profile is not None:
        _check_budget(state.declared_budget if budget_tokens is None else budget_tokens, profile or state.profile)
    if profile is not None:
        _check_paging(profile)
    if profile is not None and state.opened is not None:
        _check_thresholds(profile, state.opened.project)


def _check_budget(tokens: int, profile: Profile) -> None:
    """Check a budget. A budget of 0 means none, which only the rule `recorded` accepts."""
    if tokens or not RULES[profile.rule].recorded:
        check_budget(tokens, "a recorded session has no budget: name one" if tokens == 0 else "")


def check_budget(tokens: int, hint: str = "") -> None:
    """Raise `UsageError` for a budget outside the range that a prompt can have."""
    if tokens < 1:
        raise UsageError(f"budget of {tokens} tokens: must be at least 1", hint=hint)
    if tokens > TOKENS_MAX:
        raise UsageError(f"budget of {tokens:,} tokens: must be at most {TOKENS_MAX:,}")


def _check_paging(profile: Profile) -> None:
    """Refuse marks and prices by which epochs cannot be timed."""
    if profile.paging is not Paging.EPOCHS or RULES[profile.rule].recorded:
        return
    if not 0 < profile.cold_low_permille <= profile.low_permille <= _WHOLE:
        marks = f"cold_low_permille {profile.cold_low_permille}, low_permille {profile.low_permille}"
        raise UsageError(f"policy {profile.name}: {marks}", hint="0 < cold_low_permille ≤ low_permille ≤ 1000")
    if not 0 <= profile.read_price <= profile.write_price <= PRICE_MAX:
        prices = f"read_price {profile.read_price}, write_price {profile.write_price}"
        raise UsageError(f"policy {profile.name}: {prices}", hint=f"0 ≤ read_price ≤ write_price ≤ {PRICE_MAX}")
    if not 0 <= profile.rent_permille <= RENT_MAX:
        raise UsageError(f"policy {profile.name}: rent_permille {profile.rent_permille}", hint=f"at most {RENT_MAX}")


def _check_thresholds(profile: Profile, project: str | None) -> None:
    """Refuse automatic boundaries in a project: they would commit without first syncing the shared store."""
    if project is not None and (profile.flush_permille or profile.compact_permille):
        raise UsageError(
            f"policy {profile.name} flushes and compacts by itself: its sessions cannot belong to a project",
            hint="leave the project out, or choose another policy",
        )


def _admit_turn(state: State, data: e.TurnBegan) -> None:
    _known(state, (*data.hints, *data.retrieved))
    if data.fixed_tokens < 0:
        raise UsageError(f"fixed region of {data.fixed_tokens} tokens: must not be negative")


def _admit_page(state: State, data: e.PageWritten) -> None:
    expected = f"p{len(state.pages) + 1}"
    if data.page_id != expected and data.page_id not in state.pages:
        raise UsageError(f"page {data.page_id}: the next new page is {expected}")
    if not data.levels or data.levels[0].level != "full":
        raise UsageError(f"page {data.page_id}: the full level must be kept and come first")
    levels = [(RANK[level.level], level.tokens) for level in data.levels]
    falling = all(high[0] > low[0] and high[1] > low[1] for high, low in pairwise(levels))
    if not falling or levels[-1][0] == ABSENT or levels[-1][1] < 0:
        raise UsageError(f"page {data.page_id}: levels must fall in fidelity and in tokens, got {levels}")


def _admit_page_id(state: State, data: e.PagePinned | e.PageRetired) -> None:
    _known(state, (data.page_id,))


def _admit_call(state: State, data: e.ToolCalled) -> None:
    if data.call in state.calls:
        raise UsageError(f"call {data.call} was made before")
    keys = len(state.resources) + len(data.resources)
    if any(not 1 <= key <= keys for key in (*data.reads, *data.writes)):
        raise UsageError(f"call {data.call}: names a resource beyond the {keys} known ones")
    if data.served_by is not None and data.served_from is None:
        raise UsageError(f"call {data.call}: served by {data.served_by}, but from none of its events")
    _known_holders(state, data.needs)


def _admit_needs(state: State, data: Any) -> None:
    _known_holders(state, data.needs)


def _admit_recall(state: State, data: e.RecallAnswered) -> None:
    _known(state, data.pages)
    _known_holders(state, data.needs)


def _admit_update(state: State, data: e.UpdateStaged) -> None:
    expected = len(state.updates) + 1
    if data.update != expected:
        raise UsageError(f"update {data.update}: the next update is {expected}")


def _admit_boundary(state: State, data: e.BoundaryReached) -> None:
    _known(state, (*data.pages, *data.left, *data.returned, *(staged.page_id for staged in data.staged)))
    if any(again.update not in state.pending for again in data.restaged):
        raise UsageError("boundary renews an update that is not pending")


def _admit_redaction(state: State, data: e.ContentRedacted) -> None:
    _known(state, data.pages)


def _known_holders(state: State, needs: Iterable[Any]) -> None:
    for need in needs:
        if not need.holders:
            raise UsageError("a need without holders")
        _known(state, [holder.page_id for holder in need.holders])


def _known(state: State, page_ids: Iterable[str]) -> None:
    for page_id in page_ids:
        if page_id not in state.pages:
            raise UsageError(f"no page {page_id} in this session")


# ------------------------------------------------------------------------------------------- decisions


def _tool_called(state: State, data: e.ToolCalled) -> Iterable[e.Decision]:
    ran = data.served_from is None or data.served_by is not None  # or what another stream recorded stands for that
    earlier = state.valid_call(data.signature) if data.deterministic and ran else None
    found: list[e.Decision] = []
    if earlier is not None:
        found.append(e.DuplicateSignatureAlerted(data.call, earlier.call))
    found.extend(observer.needs(state, data.needs, data.call, earlier.call if earlier else None))
    return found


def _tool_returned(state: State, data: e.ToolReturned) -> Iterable[e.Decision]:
    call = state.calls.get(data.call)
    return observer.needs(state, data.needs, data.call, call.repeats if call else None)


def _model_responded(state: State, data: e.ModelResponded) -> Iterable[e.Decision]:
    return observer.needs(state, data.needs)


def _recall_answered(state: State, data: e.RecallAnswered) -> Iterable[e.Decision]:
    return (*observer.recall(state, data), *observer.needs(state, data.needs))


def _update_staged(state: State, data: e.UpdateStaged) -> Iterable[e.Decision]:
    reason = writeback.check(state, data.facts)
    if reason is not None:
        return (e.UpdateRejected(data.update, reason),)
    return (e.UpdateValidated(data.update),)


def _page_retired(state: State, data: e.PageRetired) -> Iterable[e.Decision]:
    return lifecycle.leave(state, (data.page_id,), ChangeReason.RETIRED)


def _content_redacted(state: State, data: e.ContentRedacted) -> Iterable[e.Decision]:
    return lifecycle.leave(state, data.pages, ChangeReason.REDACTED)


def _nothing(state: State, data: e.Input) -> Iterable[e.Decision]:
    return ()


DECIDERS: Final[Mapping[type[Any], Callable[[State, Any], Iterable[e.Decision]]]] = MappingProxyType(
    {
        e.SessionOpened: _nothing,
        e.SessionForked: _nothing,
        e.ScopeSynced: _nothing,
        e.TurnBegan: assemble,
        e.PromptRendered: _nothing,
        e.PageWritten: _nothing,
        e.PagePinned: _nothing,
        e.PageRetired: _page_retired,
        e.ToolCalled: _tool_called,
        e.ToolReturned: _tool_returned,
        e.ModelResponded: _model_responded,
        e.RecallAnswered: _recall_answered,
        e.UpdateStaged: _update_staged,
        e.BoundaryReached: lifecycle.boundary,
        e.BudgetChanged: _nothing,
        e.ContentRedacted: _content_redacted,
        e.SessionClosed: _nothing,
        e.SessionReopened: _nothing,
        e.SettingsAdopted: _nothing,
        e.ScopeChanged: _nothing,
    }
)
"""Input class → what follows from it."""
e.assert_rows(DECIDERS, e.INPUTS, "core.decide.DECIDERS")

ADMISSION: Final[Mapping[type[Any], Callable[[State, Any], None]]] = MappingProxyType(
    {
        e.SessionOpened: _admit_opened,
        e.SessionForked: _admit_forked,
        e.SessionReopened: _admit_reopened,
        e.SettingsAdopted: _admit_adopted,
        e.ScopeChanged: _admit_scope_changed,
        e.BudgetChanged: _admit_budget,
        e.TurnBegan: _admit_turn,
        e.PageWritten: _admit_page,
        e.PagePinned: _admit_page_id,
        e.PageRetired: _admit_page_id,
        e.ToolCalled: _admit_call,
        e.ToolReturned: _admit_needs,
        e.ModelResponded: _admit_needs,
        e.RecallAnswered: _admit_recall,
        e.UpdateStaged: _admit_update,
        e.BoundaryReached: _admit_boundary,
        e.ContentRedacted: _admit_redaction,
    }
)
"""Input class → what it must satisfy beside the session being open."""
