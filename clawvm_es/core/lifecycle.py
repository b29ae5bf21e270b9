"""Boundaries (§8): record, stage dirty pages, validate, commit, and only then change representations.

| boundary | stages and commits | destroys | changes representations |
|---|---|---|---|
| compact, reset | yes | what is not written back | all pages down to their floor, others leave the prompt |
| prune | yes | what it names and is not written back | the named pages leave (none named: all evidence) |
| flush, save | yes | nothing | none |
| end | yes | what is not written back | what it destroys leaves |

Without the staging mechanism nothing is staged, and what a boundary destroys while dirty is a `flush_miss`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from clawvm_es.core.state import FieldKey, State, Update
from clawvm_es.core.writeback import check, committed_version
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, FaultReason, FaultType, PressureReason
from clawvm_es.model.pages import ABSENT, LADDER, PageType
from clawvm_es.model.profile import Capability

_EVERYTHING = (Boundary.COMPACT, Boundary.RESET)
_DESTROYING = (*_EVERYTHING, Boundary.PRUNE, Boundary.END)


def boundary(state: State, reached: e.BoundaryReached) -> Iterator[e.Decision]:
    """The decisions that follow a `boundary_reached`."""
    if Capability.STAGING in state.capabilities:
        yield from _write_back(state, reached)
        lost: list[str] = []
    else:
        lost = list(_destroyed(state, reached))
        for page_id in lost:
            evidence = (state.pages[page_id].written_version, state.version + 1)
            yield e.FaultObserved(
                FaultType.FLUSH_MISS, FaultReason.DESTROYED_BEFORE_COMMIT, page_id, evidence=evidence
            )
    lowered = list(_lowered(state, reached, lost))
    yield from lowered
    yield e.BoundaryCompleted(reached.boundary, len(lowered))


def _write_back(state: State, reached: e.BoundaryReached) -> Iterator[e.Decision]:
    """Stage the dirty pages, then validate and commit everything that is pending, in order of staging."""
    first = len(state.updates) + 1
    staged = [
        Update(number, page.update, state.version + 1, page.page_id)
        for number, page in enumerate(reached.staged, first)
    ]
    for update in staged:
        assert update.page_id is not None
        yield e.DirtyPageStaged(update.page_id, update.update)
    renewed = {again.update: again.facts for again in reached.restaged}
    pending = [
        attrs.evolve(state.updates[number], facts=renewed.get(number, state.updates[number].facts))
        for number in state.pending
    ]
    ahead: dict[FieldKey, int] = {}
    committed: list[e.UpdateCommitted] = []
    rejected = 0
    for update in (*pending, *staged):
        reason = check(state, update.facts, ahead)
        if reason is not None:
            rejected += 1
            yield e.UpdateRejected(update.update, reason)
            continue
        if update.update >= first:
            yield e.UpdateValidated(update.update)
        version = committed_version(state, update.facts, ahead) + 1
        ahead[(update.facts.scope, update.facts.field)] = version
        committed.append(
            e.UpdateCommitted(update.update, update.facts.field, update.facts.op, version, update.facts.scope)
        )
    yield from committed
    yield e.CommitPointReached(len(committed), rejected)


def _destroyed(state: State, reached: e.BoundaryReached) -> Iterable[str]:
    """Dirty pages whose only copy this boundary destroys."""
    if reached.boundary not in _DESTROYING:
        return ()
    if reached.boundary is Boundary.PRUNE:
        return [page_id for page_id in state.dirty if page_id in reached.pages]
    return tuple(state.dirty)


def _lowered(state: State, reached: e.BoundaryReached, lost: Iterable[str]) -> Iterator[e.RepresentationChanged]:
    gone = dict.fromkeys(lost)
    for page_id, rank in _targets(state, reached):
        floor = ABSENT if page_id in gone else rank
        before = state.resident[page_id]
        if floor < before:
            yield e.RepresentationChanged(page_id, LADDER[before], LADDER[floor], ChangeReason.BOUNDARY)


def _targets(state: State, reached: e.BoundaryReached) -> Iterator[tuple[str, int]]:
    """(page id, rank it may keep) for each resident page that the boundary touches, by page number."""
    resident = sorted(state.resident, key=lambda page_id: state.pages[page_id].number)
    if reached.boundary in _EVERYTHING:
        floors = Capability.FLOORS in state.capabilities
        for page_id in resident:
            kept = state.required.get(page_id, ABSENT) if floors else ABSENT
            bootstrap = state.pages[page_id].page_type is PageType.BOOTSTRAP
            yield page_id, ABSENT if bootstrap and not state.can(Capability.BOUNDARY_FLOORS) else kept
    elif reached.boundary is Boundary.PRUNE:
        named = dict.fromkeys(reached.pages)
        for page_id in resident:
            evidence = state.pages[page_id].page_type is PageType.EVIDENCE
            if page_id in named or (not named and evidence):
                yield page_id, state.required.get(page_id, ABSENT)
    elif reached.boundary is Boundary.END:
        for page_id in resident:
            yield page_id, state.resident[page_id]  # unless its only copy is lost


def leave(state: State, page_ids: Iterable[str], reason: ChangeReason) -> Iterator[e.Decision]:
    """Pages that leave the prompt at once because they were retired or their content was erased."""
    required: list[str] = []
    for page_id in page_ids:
        before = state.resident.get(page_id, ABSENT)
        if before:
            yield e.RepresentationChanged(page_id, LADDER[before], LADDER[ABSENT], reason)
        if reason is ChangeReason.REDACTED and page_id in state.required:
            required.append(page_id)
    if required:
        tokens = sum(state.required_sizes[page_id] for page_id in required)
        yield e.InvariantPressureObserved(PressureReason.REDACTED, tokens, 0, tuple(required))
