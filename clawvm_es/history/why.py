"""`why`: decide a turn's assembly again with tracing on, to explain the level of each page.

LAW-WHY-1: the assembly decided again equals the recorded one, event for event, or `differs` is True; then the reasons
are those of today's code, not of the code that recorded it.

In a session of frames with more than `MANY` pages, only the pages that the assembly touched are candidates, provided
that they explain the recorded levels (LAW-RETRACE-1); otherwise all pages are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Final

import attrs

from clawvm_es.core.assembly import assemble
from clawvm_es.core.epochs import rent_due
from clawvm_es.core.retracing import retrace
from clawvm_es.core.state import State
from clawvm_es.core.tracing import Account, Candidate, Traced, trace
from clawvm_es.errors import UsageError, no_page
from clawvm_es.history.origins import Origins, Place, Provenance, is_inferred, require_session
from clawvm_es.history.places import end_of_turn, state_at
from clawvm_es.history.spans import last_move, reach
from clawvm_es.journal.lineage import Blocks, Line, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.snapshots import load
from clawvm_es.model.events import (
    BoundaryReached,
    Event,
    PageWritten,
    PromptAssembled,
    RepresentationChanged,
    TurnBegan,
)
from clawvm_es.model.facts import Boundary, ChangeReason, EpochTrigger
from clawvm_es.model.pages import RANK, Fidelity
from clawvm_es.model.profile import RULES, Order, Rule

MANY: Final = 2_000
"""Pages of a session from which on only those that an assembly touched are candidates."""


@attrs.frozen
class Change:
    """The event that gave a page its level, and the input that caused it (with its boundary, if it is one).

    That boundary is `inferred` if it was found from the provider's counts alone, without a row in the transcript.
    """

    event: Place
    before: Fidelity
    after: Fidelity
    reason: ChangeReason
    cause: Place
    boundary: Boundary | None = None
    inferred: bool = False


@attrs.frozen
class Since:
    """The epoch to which a prompt between epochs belongs: its event, its turn, and its trigger.

    `candidate` is the page as that epoch weighed it (None: it did not exist yet), `steps` the number of steps in the
    epoch's order. `appended` is the last turn since then at which the page was appended. `rent_percent` is the rent
    paid so far, in percent of the rent that begins the next epoch.
    """

    epoch: int
    turn: int
    trigger: EpochTrigger
    candidate: Candidate | None
    steps: int
    appended: int | None
    rent_percent: int


@attrs.frozen
class Why:
    """One turn's assembly, explained, with the page that was asked about.

    `began` is the turn's `turn_began`, `assembled` its `prompt_assembled`. `changed` is the last change of the
    page's level up to there (None: it never had one); for a missing page, the change by which it left.
    `candidates` are all pages (in a long session, those that the assembly touched): first the page asked about,
    then by place in the order, then by number. If the policy pages in epochs, `trigger` says why this turn began
    an epoch, or `since` names the epoch to which it belongs.
    """

    session_id: str
    turn: int
    began: int
    assembled: int
    policy: str
    rule: Rule
    order: Order
    account: Account
    page: Candidate
    provenance: Provenance
    changed: Change | None
    candidates: tuple[Candidate, ...]
    differs: bool
    epoch: int = 0  # 0: the policy selects at every turn
    trigger: EpochTrigger | None = None
    since: Since | None = None


def why(log: EventLog, session_id: str, page_id: str, turn: int | None = None, version: int | None = None) -> Why:
    """Explain why a page had its level in the prompt of a turn (by default the last turn up to `version`).

    Raises `UsageError` for an unknown session, turn or page, and for a page that was written after the assembly.
    """
    end = require_session(log, session_id)
    upto = end_of_turn(log, session_id, turn) if turn is not None else end if version is None else version
    rows = Blocks(Line(log, session_id))
    group = _assembly(rows, upto, turn)
    began = group[0].data
    assert isinstance(began, TurnBegan)
    state = state_at(log, session_id, group[0].version - 1)
    if page_id not in state.pages:
        raise _no_page(log, session_id, page_id, group[0].turn)
    assembled, made = next((row.version, row.data) for row in group if isinstance(row.data, PromptAssembled))
    decided = [row.data for row in group[1:]]
    traced, differs = _traced(state, began, decided, page_id)
    asked = next(each for each in traced.candidates if each.page_id == page_id)
    return Why(
        session_id=session_id,
        turn=group[0].turn,
        began=group[0].version,
        assembled=assembled,
        policy=state.profile.name,
        rule=state.profile.rule,
        order=state.profile.order,
        account=traced.account,
        page=asked,
        provenance=Origins(log, session_id, state).page(state.pages[page_id]),
        changed=_last_change(rows, page_id, assembled),
        candidates=tuple(sorted(traced.candidates, key=lambda each: _place(each, page_id))),
        differs=differs,
        epoch=made.epoch if state.in_epochs else 0,
        trigger=made.trigger if state.in_epochs else None,
        since=_since(rows, page_id, state, traced) if state.in_epochs and made.trigger is None else None,
    )


def _traced(
    state: State, began: TurnBegan, decided: Sequence[Event], page_id: str, told: Collection[str] | None = None
) -> tuple[Traced, bool]:
    """The explained assembly, and whether it differs from the recorded one; with `told` only these are candidates."""
    if len(state.pages) > MANY and not state.by_groups and RULES[state.profile.rule].spends:
        found = _touched(state, began, decided, page_id, told)
        if found is not None:
            return found, False
    traced = trace(state, began, told=told)
    return traced, list(decided) != list(assemble(state, began))[: len(decided)]


def _touched(
    state: State, began: TurnBegan, decided: Sequence[Event], page_id: str, told: Collection[str] | None
) -> Traced | None:
    """The assembly explained by the pages that it touched; None if that gives another prompt than recorded."""
    outcome = dict(state.resident)
    for event in decided:
        if isinstance(event, RepresentationChanged):
            outcome[event.page_id] = RANK[event.after]
    named = (*outcome, *state.arrivals, *state.required, *began.hints, *began.retrieved, page_id)
    among = dict.fromkeys(named)
    load(state.pages, among)
    traced = retrace(state, began, outcome, among, told)
    selection, plan = traced.selection, traced.plan
    made = next(event for event in decided if isinstance(event, PromptAssembled))
    gained = selection.utility if plan is None or plan.selection is not None else made.utility
    held = {each: rank for each, rank in outcome.items() if rank}
    return traced if (selection.levels, gained) == (held, made.utility) else None


def _since(rows: Blocks, page_id: str, state: State, traced: Traced) -> Since | None:
    """The epoch with which a state's layout began, and how it weighed a page."""
    appended: int | None = None
    for row in rows.back(state.assembled_version):
        if not isinstance(row.data, PromptAssembled):
            continue
        if row.data.trigger is not None:
            break
        if appended is None and any(entry.page_id == page_id for entry in row.data.entries):
            appended = row.turn
    else:
        return None
    began, *decided = _assembly(rows, row.version, row.turn)
    if not isinstance(began.data, TurnBegan) or traced.plan is None:
        return None
    then = state_at(rows.line.log, rows.line.session_id, began.version - 1)
    candidate, steps = None, 0
    if page_id in then.pages:
        weighed = _traced(then, began.data, [each.data for each in decided], page_id, (page_id,))[0]
        (candidate,), steps = weighed.candidates, weighed.steps
    due = rent_due(state.profile, traced.plan.room)
    percent = 100 * state.rent // max(1, due)
    return Since(row.data.epoch, row.turn, row.data.trigger, candidate, steps, appended, percent)


def _place(candidate: Candidate, page_id: str) -> tuple[bool, bool, int]:
    """Sort key: the page asked about first, then pages with a place in the order, then the others by number."""
    return candidate.page_id != page_id, candidate.rank is None, candidate.rank or candidate.number


def _assembly(rows: Blocks, end: int, turn: int | None) -> list[Recorded]:
    """The `turn_began` of a turn and the decisions that followed it."""
    began = next((row for row in rows.back(end) if isinstance(row.data, TurnBegan)), None)
    if began is not None and turn in (None, began.turn):
        following = rows.onwards(began.version)
        group = [began, *takewhile(lambda row: row.kind == "decision", following)]
        if any(isinstance(row.data, PromptAssembled) for row in group):
            return group
    raise UsageError(
        f"session {rows.line.session_id}: no prompt was assembled {f'in turn {turn}' if turn else 'yet'}"
    )


def _no_page(log: EventLog, session_id: str, page_id: str, turn: int) -> UsageError:
    """Tell whether a page was never written, or only after the assembly of a turn."""
    first, last = reach(log, session_id, page_id)
    for row in read_session(log, session_id, first - 1, last):
        if isinstance(row.data, PageWritten) and row.data.page_id == page_id:
            later = (
                f"it was written in turn {row.turn}, version {row.version}; its first prompt is turn {row.turn + 1}'s"
            )
            return UsageError(f"page {page_id} was not written yet when turn {turn} was assembled", hint=later)
    return no_page(session_id, page_id)


def _last_change(rows: Blocks, page_id: str, upto: int) -> Change | None:
    """The last event up to a version that changed a page's level; None before its first prompt."""
    row = last_move(rows, page_id, upto)
    if row is None or not isinstance(data := row.data, RepresentationChanged):
        return None
    cause = rows.at(row.cause or row.version)
    boundary = cause.data.boundary if isinstance(cause.data, BoundaryReached) else None
    inferred, place = is_inferred(cause.data), Place.of(cause)
    return Change(Place.of(row), data.before, data.after, data.reason, place, boundary, inferred)
