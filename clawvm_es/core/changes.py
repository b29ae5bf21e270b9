"""Decisions common to all selections: changes of level, and faults for required pages below their floor.

| required page after selection | outcome, first that matches |
|---|---|
| named by an `invariant_pressure_observed` of this assembly | none beside the pressure |
| a bootstrap page that is absent at the first assembly after a compaction or reset | post_compaction_bootstrap |
| below its floor | pinned_invariant_miss |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from clawvm_es.core.selector import Selection
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, FaultReason, FaultType
from clawvm_es.model.pages import ABSENT, LADDER, Fidelity, PageType

_ABSENT = Fidelity.ABSENT
_EVICTED, _FLOOR = ChangeReason.EVICTED, ChangeReason.FLOOR
_RAISED, _LOWERED = ChangeReason.RAISED, ChangeReason.LOWERED


def add_changes(decisions: list[e.Decision], state: State, selection: Selection) -> None:
    """Add the level changes: first the pages that leave the prompt, then the others, each in rendered order."""
    after, before = selection.levels, state.resident
    gone = [page_id for page_id in before if page_id not in after]
    if len(gone) > 1:
        gone.sort(key=state.place)
    for page_id in gone:
        decisions.append(e.RepresentationChanged(page_id, LADDER[before[page_id]], _ABSENT, _EVICTED))
    touched = [page_id for page_id, rank in after.items() if before.get(page_id) != rank]
    if len(touched) > 1:
        touched.sort(key=state.place)
    reasons, required = selection.reasons, state.required
    for page_id in touched:
        rank, was = after[page_id], before.get(page_id, ABSENT)
        reason = reasons.get(page_id)
        if reason is None:
            reason = _FLOOR if rank == required.get(page_id) else _RAISED if rank > was else _LOWERED
        decisions.append(e.RepresentationChanged(page_id, LADDER[was], LADDER[rank], reason))


def faults(
    state: State,
    levels: Mapping[str, int],
    pressure: Iterable[e.InvariantPressureObserved],
    short: Iterable[str],
) -> Iterator[e.FaultObserved]:
    """One fault for each required page in `short`, which stands below its floor, that no pressure here names."""
    pressed = {page_id for found in pressure for page_id in found.pages}
    for page_id in short:
        if page_id in pressed:
            continue
        page = state.pages[page_id]
        evidence = tuple(v for v in (page.written_version, state.boundary_version) if v)
        fault, reason = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
        if state.boundary_version and page.page_type is PageType.BOOTSTRAP and page_id not in levels:
            fault, reason = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
        yield e.FaultObserved(fault, reason, page_id, evidence=evidence)
