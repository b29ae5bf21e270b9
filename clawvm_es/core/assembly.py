"""What one prompt assembly concludes: level changes, the prompt's totals and digest, pressure, and faults.

| required page after selection | outcome, first that matches |
|---|---|
| named by an `invariant_pressure_observed` of this assembly | none beside the pressure |
| a bootstrap page that is absent at the first assembly after a compaction or reset | post_compaction_bootstrap |
| below its floor | pinned_invariant_miss |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from clawvm_es.core.selector import Selection, select
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, FaultReason, FaultType
from clawvm_es.model.pages import ABSENT, LADDER, PageType


def assemble(state: State, turn: e.TurnBegan) -> list[e.Decision]:
    """The decisions that follow a `turn_began`."""
    selection = select(state, turn)
    decisions: list[e.Decision] = []
    if selection.levels != state.resident:
        decisions.extend(_changes(state, selection))
    decisions.append(_assembled(state, turn, selection))
    for found in selection.pressure:
        decisions.append(
            e.InvariantPressureObserved(found.reason, found.required_tokens, found.available_tokens, found.pages)
        )
    decisions.extend(_faults(state, selection))
    return decisions


def _changes(state: State, selection: Selection) -> Iterator[e.RepresentationChanged]:
    """Level changes by page number, those that leave the prompt first."""
    after, before = selection.levels, state.resident
    touched = sorted(after.items() ^ before.items(), key=lambda item: state.pages[item[0]].number)
    gone = dict.fromkeys(page_id for page_id, _ in touched if page_id not in after)
    for page_id in gone:
        yield e.RepresentationChanged(page_id, LADDER[before[page_id]], LADDER[ABSENT], ChangeReason.EVICTED)
    for page_id, rank in touched:
        if page_id in after and after[page_id] == rank:
            was = before.get(page_id, ABSENT)
            yield e.RepresentationChanged(page_id, LADDER[was], LADDER[rank], _reason(state, selection, page_id, was))


def _reason(state: State, selection: Selection, page_id: str, before: int) -> ChangeReason:
    known = selection.reasons.get(page_id)
    if known is not None:
        return known
    rank = selection.levels[page_id]
    if rank == state.required.get(page_id):
        return ChangeReason.FLOOR
    return ChangeReason.RAISED if rank > before else ChangeReason.LOWERED


def rendered_order(
    state: State, levels: Mapping[str, int], last: Sequence[str] | Mapping[str, None]
) -> tuple[list[str], list[str]]:
    """Page ids in rendered order: those in their own place, and the arrivals, which stand at the end."""
    pages = state.pages
    arrived = [page_id for page_id in last if page_id in levels]
    body = levels.keys() - arrived if arrived else levels
    return sorted(body, key=lambda p: pages[p].order), sorted(arrived, key=lambda p: pages[p].order)


def _assembled(state: State, turn: e.TurnBegan, selection: Selection) -> e.PromptAssembled:
    pages, levels = state.pages, selection.levels
    body, arrived = rendered_order(state, levels, state.arrivals)
    directory = state.present - len(levels)
    tokens = (
        turn.fixed_tokens
        + selection.directory_tokens
        + sum([pages[page_id].tokens[rank] for page_id, rank in levels.items()])
    )
    lines = [f"{page_id}.{pages[page_id].content_version}.{levels[page_id]}" for page_id in (*body, *arrived)]
    return e.PromptAssembled(
        budget_tokens=state.budget_tokens,
        tokens=tokens,
        pages=len(levels),
        uncached_tokens=tokens - _cached(state, turn, levels, body, arrived, directory, selection.directory_tokens),
        digest=sha256("\n".join(lines).encode()).hexdigest(),
        directory_tokens=selection.directory_tokens,
        utility=selection.utility,
        bound=selection.bound,
    )


def _cached(
    state: State,
    turn: e.TurnBegan,
    levels: Mapping[str, int],
    body: Sequence[str],
    arrived: Sequence[str],
    directory: int,
    directory_tokens: int,
) -> int:
    """Tokens before the first piece that differs from the prompt before."""
    if turn.fixed_tokens != state.assembled_fixed:
        return 0
    total = turn.fixed_tokens
    assembled, rewritten = state.assembled, state.rewritten
    body_before, last_before = rendered_order(state, assembled, state.assembled_last)
    for now, was in ((body, body_before), (arrived, last_before)):
        for page_id, other in zip(now, was, strict=False):
            rank = levels[page_id]
            if page_id != other or rank != assembled[page_id] or page_id in rewritten:
                return total
            total += state.pages[page_id].tokens[rank]
        if len(now) != len(was) or (now is body and directory != state.assembled_directory):
            return total
        total += directory_tokens if now is body else 0
    return total


def _faults(state: State, selection: Selection) -> Iterator[e.FaultObserved]:
    levels = selection.levels
    short = [page_id for page_id, floor in state.required.items() if levels.get(page_id, ABSENT) < floor]
    if not short:
        return
    pressed = {page_id for found in selection.pressure for page_id in found.pages}
    for page_id in short:
        if page_id in pressed:
            continue
        page = state.pages[page_id]
        evidence = tuple(v for v in (page.written_version, state.boundary_version) if v)
        fault, reason = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
        if state.boundary_version and page.page_type is PageType.BOOTSTRAP and page_id not in levels:
            fault, reason = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
        yield e.FaultObserved(fault, reason, page_id, evidence=evidence)
