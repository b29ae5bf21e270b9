"""What one prompt assembly concludes: level changes, the prompt's totals and digest, pressure, and faults.

| required page after selection | outcome, first that matches |
|---|---|
| named by an `invariant_pressure_observed` of this assembly | none beside the pressure |
| a bootstrap page that is absent at the first assembly after a compaction or reset | post_compaction_bootstrap |
| below its floor | pinned_invariant_miss |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

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


DIRECTORY: Final = ""
"""Stands for the directory line among page ids in rendered order."""


def rendered_order(state: State, levels: Mapping[str, int], last: Iterable[str], directory: int) -> list[str]:
    """Page ids in rendered order: each in its place, the directory line (if it counts any), the arrivals."""
    pages = state.pages
    arrived = [page_id for page_id in last if page_id in levels]
    body: Iterable[str] = levels.keys() - arrived if arrived else levels
    order = sorted(body, key=lambda page_id: pages[page_id].order)
    if directory:
        order.append(DIRECTORY)
    order.extend(sorted(arrived, key=lambda page_id: pages[page_id].order))
    return order


def _assembled(state: State, turn: e.TurnBegan, selection: Selection) -> e.PromptAssembled:
    pages, levels = state.pages, selection.levels
    directory = state.present - len(levels) if selection.directory_tokens else 0
    order = rendered_order(state, levels, state.arrivals, directory)
    sizes = {page_id: pages[page_id].tokens[rank] for page_id, rank in levels.items()}
    tokens = turn.fixed_tokens + selection.directory_tokens + sum(sizes.values())
    lines = [f"{p}.{pages[p].content_version}.{levels[p]}" for p in order if p]
    sizes[DIRECTORY] = selection.directory_tokens
    return e.PromptAssembled(
        budget_tokens=state.budget_tokens,
        tokens=tokens,
        pages=len(levels),
        uncached_tokens=tokens - _cached(state, turn, levels, order, sizes, directory),
        digest=sha256("\n".join(lines).encode()).hexdigest(),
        directory_tokens=selection.directory_tokens,
        utility=selection.utility,
        bound=selection.bound,
    )


def _cached(
    state: State,
    turn: e.TurnBegan,
    levels: Mapping[str, int],
    order: Sequence[str],
    sizes: Mapping[str, int],
    directory: int,
) -> int:
    """Tokens before the first piece that differs from the prompt before."""
    if turn.fixed_tokens != state.assembled_fixed:
        return 0
    total = turn.fixed_tokens
    assembled, rewritten = state.assembled, state.rewritten
    before = rendered_order(state, assembled, state.assembled_last, state.assembled_directory)
    for page_id, other in zip(order, before, strict=False):
        if page_id != other or page_id in rewritten or levels.get(page_id) != assembled.get(page_id):
            return total
        if page_id == DIRECTORY and directory != state.assembled_directory:
            return total
        total += sizes[page_id]
    if len(order) == len(before) and not directory:
        total += sizes[DIRECTORY]
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
