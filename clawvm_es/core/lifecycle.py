"""Boundaries: record, stage dirty pages, validate, commit, and only then change representations.

| boundary | stages and commits | destroys | changes representations |
|---|---|---|---|
| compact, reset | yes | pages not written back | required pages down to their floor, others leave the prompt |
| prune | yes | named pages not written back | the named pages leave (none named, and no cut: all evidence) |
| flush, save | yes | nothing | none |
| end | yes | pages not written back | the destroyed pages leave |

A policy without the staging mechanism stages nothing; each dirty page that a boundary destroys is then a
`flush_miss`. With `flush_staging` alone, only flush and save stage and commit.

A recorded compaction or pruning may name the pages that it cut. Rules that compact (`RuleRow.compacts`) then move
pages; all others write back and keep their pages. Under `recorded`, the pages that the harness took out leave. A
rewind takes its pages out of the prompt under every policy, and destroys nothing.

Under the rule `compaction` a compaction leaves a summary: the newest pages, each at its lowest kept level, as
many as `summary_permille` of the budget holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from clawvm_es.core import recorded
from clawvm_es.core.state import FieldKey, State, Update
from clawvm_es.core.writeback import check, committed_version
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, Cut, FaultReason, FaultType, PressureReason, Trigger
from clawvm_es.model.pages import ABSENT, LADDER, PageType
from clawvm_es.model.profile import RULES, Capability

_EVERYTHING = (Boundary.COMPACT, Boundary.RESET)
_DESTROYING = (*_EVERYTHING, Boundary.PRUNE, Boundary.END)


def boundary(state: State, reached: e.BoundaryReached) -> Iterator[e.Decision]:
    """Return the decisions that follow a `boundary_reached`."""
    if stages(state, reached.boundary):
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


def stages(state: State, boundary: Boundary) -> bool:
    """Tell whether the policy writes back at a boundary."""
    flushing = boundary in (Boundary.FLUSH, Boundary.SAVE) and Capability.FLUSH_STAGING in state.capabilities
    return flushing or Capability.STAGING in state.capabilities


def due(state: State, fixed_tokens: int) -> Boundary | None:
    """The boundary that the policy's thresholds bring about before a turn; None if there is none.

    A compaction comes before a flush: a context that jumps past both thresholds at once is never flushed. At most one
    compaction is due per turn, and none for an empty context.
    """
    profile = state.profile
    if not (profile.compact_permille or profile.flush_permille):
        return None
    fill = state.fill_permille + fixed_tokens * 1000 // max(1, state.budget_tokens)
    if 0 < profile.compact_permille <= fill and state.resident and not state.boundary_version:
        return Boundary.COMPACT
    return Boundary.FLUSH if 0 < profile.flush_permille <= fill and state.dirty else None


def _write_back(state: State, reached: e.BoundaryReached) -> Iterator[e.Decision]:
    """Stage the dirty pages, then validate and commit everything pending, in order of staging."""
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
    if reached.boundary not in _DESTROYING or reached.cut is Cut.REWIND:
        return ()
    if reached.boundary is Boundary.PRUNE:
        return [page_id for page_id in state.dirty if page_id in reached.pages]
    return tuple(state.dirty)


def _lowered(state: State, reached: e.BoundaryReached, lost: Iterable[str]) -> Iterator[e.RepresentationChanged]:
    gone = dict.fromkeys(lost)
    for page_id, rank in _targets(state, reached, gone):
        floor = ABSENT if page_id in gone else rank
        before = state.resident[page_id]
        if floor < before:
            yield e.RepresentationChanged(page_id, LADDER[before], LADDER[floor], ChangeReason.BOUNDARY)


def _targets(state: State, reached: e.BoundaryReached, lost: Mapping[str, None]) -> Iterator[tuple[str, int]]:
    """(page id, highest rank it may keep) for each resident page that the boundary touches, by page number."""
    resident = sorted(state.resident, key=lambda page_id: state.pages[page_id].number)
    if reached.cut is Cut.REWIND or state.as_recorded:
        left = {*(recorded.leaving(state, reached) if state.as_recorded else reached.left), *lost}
        for page_id in resident:
            if page_id in left:
                yield page_id, ABSENT
    elif reached.boundary is Boundary.END or not _moves(state, reached):
        for page_id in resident:
            yield page_id, state.resident[page_id]  # unless its only copy is lost
    elif reached.boundary in _EVERYTHING:
        summary = _summary(state, lost) if reached.boundary is Boundary.COMPACT else {}
        unkept = not (state.keeps_bootstrap or state.can(Capability.BOUNDARY_FLOORS))
        for page_id in resident:
            page = state.pages[page_id]
            kept = ABSENT if unkept and page.page_type is PageType.BOOTSTRAP else state.held_floor(page)
            yield page_id, summary.get(page_id, kept)
    elif reached.boundary is Boundary.PRUNE:
        named = dict.fromkeys(reached.pages)
        for page_id in resident:
            evidence = state.pages[page_id].page_type is PageType.EVIDENCE
            if state.in_epochs and page_id in state.required:
                continue  # it would stand in the layout all the same
            if page_id in named or (not named and evidence and reached.cut is None):
                yield page_id, state.required.get(page_id, ABSENT)


def _moves(state: State, reached: e.BoundaryReached) -> bool:
    """Tell whether a boundary moves pages other than those it destroys."""
    told = reached.trigger is Trigger.RECORDED and reached.cut is not None
    return not told or reached.boundary is Boundary.RESET or RULES[state.profile.rule].compacts


def cuts(state: State, reached: e.BoundaryReached) -> bool:
    """Tell whether, under a policy that pages in epochs, a boundary ends the prefix that prompts share.

    Pages that a pruning takes out remain as stale tokens, unless they are many (`core.epochs`).
    """
    if reached.cut is Cut.REWIND:
        return any(page_id in state.copies for page_id in reached.left)
    return reached.boundary in _EVERYTHING and _moves(state, reached)


def _summary(state: State, lost: Mapping[str, None]) -> Mapping[str, int]:
    """Page id → its rank in the summary that a compaction leaves."""
    if not RULES[state.profile.rule].keeps:
        return {}
    rest = state.budget_tokens * state.profile.summary_permille // 1000
    out_of_date = {**lost, **state.rewritten}
    pages = [state.pages[page_id] for page_id in state.resident if page_id not in out_of_date]
    found: dict[str, int] = {}
    for page in sorted(pages, key=lambda page: -page.written_version):
        rank = next(rank for rank in range(1, 5) if page.tokens[rank] >= 0)
        if rank > state.held_floor(page) and page.tokens[rank] <= rest:
            found[page.page_id] = rank
            rest -= page.tokens[rank]
    return found


def leave(state: State, page_ids: Iterable[str], reason: ChangeReason) -> Iterator[e.Decision]:
    """Make retired pages and pages with erased content leave the prompt at once."""
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
