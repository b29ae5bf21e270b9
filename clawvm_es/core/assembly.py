"""Decisions of one prompt assembly: level changes, the prompt's totals and digest, pressure, and faults.

| required page after selection | outcome, first that matches |
|---|---|
| named by an `invariant_pressure_observed` of this assembly | none beside the pressure |
| a bootstrap page that is absent at the first assembly after a compaction or reset | post_compaction_bootstrap |
| below its floor | pinned_invariant_miss |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from clawvm_es.core import recorded
from clawvm_es.core.evolve import rendered_order, tags_of
from clawvm_es.core.selector import Selection, select
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, FaultReason, FaultType
from clawvm_es.model.pages import ABSENT, LADDER, Fidelity, PageType

_ABSENT = Fidelity.ABSENT
_EVICTED, _FLOOR = ChangeReason.EVICTED, ChangeReason.FLOOR
_RAISED, _LOWERED = ChangeReason.RAISED, ChangeReason.LOWERED


def assemble(state: State, turn: e.TurnBegan) -> list[e.Decision]:
    """The decisions that follow a `turn_began`."""
    if state.as_recorded:
        return recorded.assemble(state, turn)
    return conclude(state, turn, select(state, turn))


def conclude(state: State, turn: e.TurnBegan, selection: Selection) -> list[e.Decision]:
    """Yield the decisions of an assembly from what was selected."""
    decisions: list[e.Decision] = []
    if selection.levels != state.resident:
        _add_changes(decisions, state, selection)
    decisions.append(_assembled(state, turn, selection))
    decisions.extend(selection.pressure)
    levels = selection.levels
    short = [page_id for page_id, floor in state.required.items() if levels.get(page_id, ABSENT) < floor]
    if short:
        decisions.extend(_faults(state, selection, short))
    return decisions


def _add_changes(decisions: list[e.Decision], state: State, selection: Selection) -> None:
    """Add the level changes: first the pages that leave the prompt, then the others, each in rendered order."""
    after, before, places = selection.levels, state.resident, state.places
    gone = [page_id for page_id in before if page_id not in after]
    if len(gone) > 1:
        gone.sort(key=places.__getitem__)
    for page_id in gone:
        decisions.append(e.RepresentationChanged(page_id, LADDER[before[page_id]], _ABSENT, _EVICTED))
    touched = [page_id for page_id, rank in after.items() if before.get(page_id) != rank]
    if len(touched) > 1:
        touched.sort(key=places.__getitem__)
    reasons, required = selection.reasons, state.required
    for page_id in touched:
        rank, was = after[page_id], before.get(page_id, ABSENT)
        reason = reasons.get(page_id)
        if reason is None:
            reason = _FLOOR if rank == required.get(page_id) else _RAISED if rank > was else _LOWERED
        decisions.append(e.RepresentationChanged(page_id, LADDER[was], LADDER[rank], reason))


def _assembled(state: State, turn: e.TurnBegan, selection: Selection) -> e.PromptAssembled:
    pages, levels, reserve = state.pages, selection.levels, selection.directory_tokens
    directory = state.present - len(levels) if reserve else 0
    order = rendered_order(state, levels, state.arrivals, directory)
    tags = tags_of(state, levels, order, directory)
    sizes = [pages[page_id].tokens[levels[page_id]] if page_id else reserve for page_id in order]
    tokens = turn.fixed_tokens + sum(sizes) + (0 if directory else reserve)
    digest = sha256("\n".join(tags).encode()).hexdigest()
    if state.index is not None:
        state.index.memo = (digest, tags)
    return e.PromptAssembled(
        state.budget_tokens,
        tokens,
        len(levels),
        tokens - _cached(state, turn, tags, sizes, 0 if directory else reserve),
        digest,
        reserve,
        selection.utility,
        selection.bound,
    )


def _cached(state: State, turn: e.TurnBegan, tags: Sequence[str], sizes: Sequence[int], spare: int) -> int:
    """Tokens before the first piece that differs from the prompt before; `spare` are reserved but not used."""
    if turn.fixed_tokens != state.assembled_fixed:
        return 0
    before = state.assembled_tags
    if tags == before:
        return turn.fixed_tokens + sum(sizes) + spare
    same = 0
    for now, was in zip(tags, before, strict=False):
        if now != was:
            break
        same += 1
    return turn.fixed_tokens + sum(sizes[:same])


def _faults(state: State, selection: Selection, short: Sequence[str]) -> Iterator[e.FaultObserved]:
    """A fault for each required page below its floor that no pressure of this assembly explains."""
    pressed = {page_id for found in selection.pressure for page_id in found.pages}
    for page_id in short:
        if page_id in pressed:
            continue
        page = state.pages[page_id]
        evidence = tuple(v for v in (page.written_version, state.boundary_version) if v)
        fault, reason = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
        if state.boundary_version and page.page_type is PageType.BOOTSTRAP and page_id not in selection.levels:
            fault, reason = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
        yield e.FaultObserved(fault, reason, page_id, evidence=evidence)
