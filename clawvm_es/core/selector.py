"""Prompt assembly: a multiple-choice knapsack with hard constraints, in two deterministic phases.

Phase 1 installs the fixed region, the directory line, the floors of all required pages, and the arrivals. Under
the rule `compaction` it also keeps the last prompt's pages, before the arrivals. Phase 2 spends the rest: on
retrieved pages, or on steps of the pages' upper hulls, best first. Hinted pages come before all others.

LAW-SELECT-1: the tokens installed never exceed the budget.
LAW-SELECT-2: if the floors fit, every required page stands at its floor or above.
LAW-SELECT-3: in density order, the utility reached never exceeds `bound`, the optimum of the linear
relaxation given phase 1 and the hints (Dantzig 1957; for multiple-choice hulls Sinha and Zoltners 1979).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import attrs

from clawvm_es.core.groups import Dues, dues_of, group_of, left_out, open_pages
from clawvm_es.core.index import Index, Step, priority_of
from clawvm_es.core.ranking import in_full, index_of, scored, since
from clawvm_es.core.state import Page, State
from clawvm_es.core.utility import hull
from clawvm_es.limits import DENSITY_SHIFT
from clawvm_es.model.events import InvariantPressureObserved, TurnBegan
from clawvm_es.model.facts import ChangeReason, PressureReason
from clawvm_es.model.pages import ABSENT, FULL, PAGE_TYPES, POINTER, Author, PageType
from clawvm_es.model.profile import RULES, Capability

_FLOORS, _BOUNDARY_FLOORS = Capability.FLOORS, Capability.BOUNDARY_FLOORS
_RESOLUTION, _PREFETCH = Capability.RESOLUTION, Capability.PREFETCH
_ARRIVAL = ChangeReason.ARRIVAL
# Looking up an enum's member costs 0.1 µs on Python 3.11, ten times a global; assembly does it dozens of times.


@attrs.define
class Selection:
    """Pages of the next prompt with their ranks, and the reasons for those that were touched."""

    levels: dict[str, int]
    rest: int
    directory_tokens: int
    utility: int = 0
    bound: int = 0
    reasons: dict[str, ChangeReason] = attrs.field(factory=dict)
    pressure: list[InvariantPressureObserved] = attrs.field(factory=list)
    settled: dict[str, None] = attrs.field(factory=dict)
    """Pages whose level is final, so that phase 2 passes over their steps."""
    refused: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    """Hinted or retrieved page → what its next level would have cost, and what was left."""
    dues: Dues | None = None
    """Cost of the groups of messages; None where prompts are no messages."""

    def install(self, page: Page, rank: int, reason: ChangeReason) -> None:
        """Hold `page` at `rank` and pay for it."""
        self.reasons[page.page_id] = reason
        self.hold(page, rank)

    def hold(self, page: Page, rank: int) -> None:
        """Hold `page` at `rank`, without a reason of its own; pay for it and for all that its group adds."""
        if self.dues is not None and page.page_id not in self.levels:
            tokens, stubs = self.dues.due(page, self.levels)
            self.rest -= tokens
            self.levels.update(stubs)
        self.rest -= page.tokens[rank] - page.tokens[self.levels.get(page.page_id, ABSENT)]
        self.levels[page.page_id] = rank

    def total(self, pages: Iterable[Page]) -> int:
        """Tokens that the pages held in full cost."""
        if self.dues is None:
            return sum([above_floor(self, page, FULL) for page in pages])
        trial = Selection(dict(self.levels), 0, 0, dues=self.dues)
        for page in pages:
            trial.hold(page, FULL)
        return -trial.rest


Watch: TypeAlias = Callable[[Selection, Iterable[Step]], Iterable[Step]]
"""Sees the selection that phase 1 left and hands on each step that phase 2 is offered, unchanged."""


def select(state: State, turn: TurnBegan, watch: Watch | None = None) -> Selection:
    """Select the next prompt's pages; `state` is the one before the turn began. `watch` only observes."""
    if state.as_recorded:
        return _all_that_stands(state)
    selection, degraded = require(state, turn)
    return fill(state, turn, selection, degraded, watch)


def _all_that_stands(state: State) -> Selection:
    """Select nothing: the rule `recorded` keeps what stands."""
    levels = {**state.resident, **dict.fromkeys(state.arrivals, FULL)}
    return Selection(levels, 0, 0, reasons=dict.fromkeys(state.arrivals, _ARRIVAL))


# -------------------------------------------------------------------------------------------- phase 1


def require(state: State, turn: TurnBegan) -> tuple[Selection, tuple[str, ...]]:
    """Phase 1: the selection with everything required, and the arrivals that stand in it below full."""
    assert state.opened is not None
    selection = _fixed_region(state, turn, state.opened.directory_tokens)
    install_floors(state, selection)
    if RULES[state.profile.rule].keeps:
        _install_context(state, selection)
    install_open(state, selection, selection.rest, selection.rest // 2)
    return selection, install_arrivals(state, selection)


def _fixed_region(state: State, turn: TurnBegan, directory: int) -> Selection:
    """Pay for the fixed region, and for the directory line if pages can be resolved and it fits."""
    rest = state.budget_tokens - turn.fixed_tokens
    if _RESOLUTION not in state.capabilities or directory + state.required_tokens > rest:
        directory = 0
    dues = dues_of(state)
    rest -= dues.always if dues is not None else 0
    if rest >= 0:
        return Selection({}, max(rest - directory, 0), directory if rest >= directory else 0, dues=dues)
    required = turn.fixed_tokens + state.required_tokens
    selection = Selection({}, 0, 0, dues=dues)
    selection.pressure.append(InvariantPressureObserved(PressureReason.FLOORS, required, state.budget_tokens))
    return selection


def install_floors(state: State, selection: Selection) -> None:
    """Install the floors of required pages, if the policy keeps floors."""
    if _FLOORS in state.capabilities:
        _install_floors(state, selection)
    elif state.keeps_bootstrap:
        _install_bootstrap(state, selection)


def _install_floors(state: State, selection: Selection) -> None:
    lost = state.boundary_version != 0 and _BOUNDARY_FLOORS not in state.capabilities
    if state.required_tokens <= selection.rest and not lost and selection.dues is None:
        selection.levels.update(state.required)
        selection.rest -= state.required_tokens
        return
    _install_required(state, selection, state.required, state.required_tokens, lost)


def _install_bootstrap(state: State, selection: Selection) -> None:
    """Install the floors of bootstrap pages only."""
    pages = [page_id for page_id in state.required if state.pages[page_id].page_type is PageType.BOOTSTRAP]
    _install_required(state, selection, pages, sum(state.required_sizes[page_id] for page_id in pages), lost=False)


def _install_required(
    state: State, selection: Selection, page_ids: Iterable[str], required_tokens: int, lost: bool
) -> None:
    """Install floors in the declared order while they fit; `lost` bootstrap pages stay out."""
    available = selection.rest
    out: list[str] = []
    for page in sorted((state.pages[page_id] for page_id in page_ids), key=_by_priority):
        floor = state.required[page.page_id]
        if lost and page.page_type is PageType.BOOTSTRAP:
            selection.settled[page.page_id] = None
        elif above_floor(selection, page, floor) <= selection.rest:
            selection.install(page, floor, ChangeReason.FLOOR)
        else:
            selection.settled[page.page_id] = None
            out.append(page.page_id)
    if out:
        found = InvariantPressureObserved(PressureReason.FLOORS, required_tokens, available, tuple(out))
        selection.pressure.append(found)


def _by_priority(page: Page) -> tuple[int, int]:
    return PAGE_TYPES[page.page_type].priority, page.number


def _install_context(state: State, selection: Selection) -> None:
    """Keep the last prompt's pages at their levels; if they do not fit, the oldest leave."""
    kept = [state.pages[page_id] for page_id in state.resident if page_id not in state.rewritten]
    for page in sorted(kept, key=lambda page: -page.number):
        page_id, rank = page.page_id, state.resident[page.page_id]
        cost = above_floor(selection, page, rank)
        if page_id not in selection.settled and 0 <= cost <= selection.rest:
            selection.hold(page, rank)


def install_open(state: State, selection: Selection, whole: int, part: int) -> list[Page]:
    """Hold the open exchange of messages exact if it fits `whole`; else its newest groups that fit `part`.

    A pressure names the pages that do not stand exact. Returns those that do, oldest first.
    """
    if selection.dues is None:
        return []
    if tokens := left_out(state):
        selection.pressure.append(InvariantPressureObserved(PressureReason.ARRIVALS, tokens, 0))
    pages = [page for page in open_pages(state) if page.page_id not in selection.settled]
    total = selection.total(pages)
    held = pages
    if total > whole:
        held = _newest(state, selection, pages, part)
        out = tuple([page.page_id for page in pages if page not in held])
        selection.pressure.append(InvariantPressureObserved(PressureReason.ARRIVALS, total, whole, out))
    for page in held:
        selection.hold(page, FULL)
        selection.settled[page.page_id] = None
        if page.page_id in state.arrivals:
            selection.reasons[page.page_id] = _ARRIVAL
    return held


def _newest(state: State, selection: Selection, pages: Sequence[Page], part: int) -> list[Page]:
    """The newest pages that fit; a group is taken whole or not at all."""
    units: dict[int, list[Page]] = {}
    for page in pages:
        group = group_of(page)
        units.setdefault(page.number if group is None else -group, []).append(page)
    held: list[Page] = []
    for unit in sorted(units.values(), key=lambda unit: -unit[-1].number):
        if selection.total([*unit, *held]) > part:
            break
        held = [*unit, *held]
    return held


def install_arrivals(state: State, selection: Selection) -> tuple[str, ...]:
    """Install arrivals, and return those that stand below full."""
    if not state.arrivals:
        return ()
    settled = selection.settled
    pages = [state.pages[page_id] for page_id in state.arrivals if page_id not in settled]
    full = selection.total(pages)
    share = selection.rest if RULES[state.profile.rule].keeps else selection.rest // 2  # which has no phase 2
    if full <= share:
        for page in pages:
            selection.install(page, FULL, _ARRIVAL)
        return ()
    return _degrade_arrivals(state, selection, pages, full, share)


def above_floor(selection: Selection, page: Page, rank: int) -> int:
    """Return the tokens that raising a page to a rank costs beyond what is paid for it, its group's included."""
    if selection.dues is not None and page.page_id not in selection.levels:
        return page.tokens[rank] + selection.dues.due(page, selection.levels)[0]
    return page.tokens[rank] - page.tokens[selection.levels.get(page.page_id, ABSENT)]


def _degrade_arrivals(
    state: State, selection: Selection, pages: Sequence[Page], full: int, share: int
) -> tuple[str, ...]:
    """Lower arrivals, the largest first, until they fit their share; none below structured if kept."""
    ranks = {page.page_id: FULL for page in pages}
    total = full
    heap = [(-page.full_tokens, page.number, page) for page in pages]
    heapq.heapify(heap)
    while total > share and heap:
        _, _, page = heapq.heappop(heap)
        rank = ranks[page.page_id]
        lower = _next_lower(page, rank, selection.levels.get(page.page_id, POINTER + 1))
        if lower is not None:
            total -= page.tokens[rank] - page.tokens[lower]
            ranks[page.page_id] = lower
            heapq.heappush(heap, (-page.tokens[lower], page.number, page))
    out: list[str] = []
    available = selection.rest
    for page in sorted(pages, key=lambda p: (p.page_id not in state.required, p.tokens[ranks[p.page_id]], -p.number)):
        rank = ranks[page.page_id]
        if above_floor(selection, page, rank) <= selection.rest:
            selection.install(page, rank, _ARRIVAL)
        else:
            out.append(page.page_id)
            selection.settled[page.page_id] = None
            kept = page.tokens[POINTER] >= 0 and page.page_id not in selection.levels
            if kept and above_floor(selection, page, POINTER) <= selection.rest:
                selection.install(page, POINTER, ChangeReason.PRESSURE)
    if out:
        found = InvariantPressureObserved(PressureReason.ARRIVALS, total, available, tuple(out))
        selection.pressure.append(found)
    return tuple(
        page.page_id for page in pages if page.page_id not in selection.settled and ranks[page.page_id] < FULL
    )


def _next_lower(page: Page, rank: int, lowest: int) -> int | None:
    """The next kept rank below `rank` and not below `lowest`."""
    return next((r for r in range(rank - 1, lowest - 1, -1) if page.tokens[r] >= 0), None)


# -------------------------------------------------------------------------------------------- phase 2


def fill(
    state: State,
    turn: TurnBegan,
    selection: Selection,
    degraded: Collection[str],
    watch: Watch | None = None,
    raised: Collection[str] = (),
) -> Selection:
    """Phase 2: spend what phase 1 left, on `degraded` pages too.

    `raised` are pages that a caller raised above their level from phase 1: their steps begin there.
    """
    assert state.opened is not None
    rule = RULES[state.profile.rule]
    if rule.retrieves and (not rule.at_user_messages or _user_spoke(state)):
        _install_retrieved(state, selection, turn.retrieved)
    if not rule.spends:
        return selection
    index = index_of(state)
    if turn.hints and _PREFETCH in state.capabilities:
        _prefetch(state, selection, turn.hints)
    extra = _steps_of(state, selection, index, dict.fromkeys((*degraded, *raised))) if degraded or raised else ()
    known = [step for step in index.steps if step[3][0] not in raised] if raised else index.steps
    steps: Iterable[Step] = heapq.merge(known, extra) if extra else known
    offered = steps if watch is None else watch(selection, steps)
    if selection.dues is None:
        _spend(selection, index, offered, state.opened.misfits)
    else:
        _spend_on_groups(state, selection, offered, state.opened.misfits)
    return selection


def _user_spoke(state: State) -> bool:
    """Tell whether the user said something since the last assembly."""
    pages = (state.pages[page_id] for page_id in state.arrivals)
    return any(
        page.page_type is PageType.CONVERSATION
        and page.author is Author.USER
        and page.written_version > state.assembled_version
        for page in pages
    )


def _install_retrieved(state: State, selection: Selection, page_ids: Iterable[str]) -> None:
    """Install retrieved pages in full, in the retriever's order, while they fit; arrivals keep their share."""
    for page_id in page_ids:
        page = state.pages[page_id]
        cost = above_floor(selection, page, FULL)
        if page_id in state.arrivals or selection.levels.get(page_id) == FULL or not state.holdable(page):
            continue
        if cost <= selection.rest:
            selection.install(page, FULL, ChangeReason.RETRIEVED)
            selection.settled[page_id] = None
        else:
            selection.refused[page_id] = (cost, selection.rest)


def _prefetch(state: State, selection: Selection, hints: Iterable[str]) -> None:
    """Raise hinted pages while they fit, in the order in which they were named, whatever their utility."""
    for page_id in hints:
        page = state.pages[page_id]
        if page_id in selection.settled or page_id in state.arrivals or not state.holdable(page):
            continue
        selection.settled[page_id] = None
        for rank, _, _ in hull(page.tokens, selection.levels.get(page_id, ABSENT)):
            cost = above_floor(selection, page, rank)
            if cost > selection.rest:
                selection.refused[page_id] = (cost, selection.rest)
                break
            selection.install(page, rank, ChangeReason.HINT)


def _steps_of(state: State, selection: Selection, index: Index, page_ids: Iterable[str]) -> list[Step]:
    """The steps of pages outside the index, whose steps begin at a level of their own, best first."""
    found: list[Step] = []
    for page_id in page_ids:
        found.extend(_steps(state, index, state.pages[page_id], selection.levels[page_id]))
    return sorted(found)


def _steps(state: State, index: Index, page: Page, base: int) -> list[Step]:
    steps = in_full(page, base) if RULES[state.profile.rule].whole_results else hull(page.tokens, base)
    return index.steps_of(page.page_id, page.number, steps, scored(state, page), since(state, page))


def _spend(selection: Selection, index: Index, steps: Iterable[Step], misfits: int) -> None:
    """Take steps, best first, until too many did not fit.

    No check is needed for a rest smaller than the smallest step: no step fits then, and refusals end the pass.
    """
    levels, rest, utility = selection.levels, selection.rest, selection.utility
    closed = dict(selection.settled)
    limit = len(closed) + misfits
    bound: int | None = None
    for key, cost, gain, (page_id, rank) in steps:
        if cost <= rest:
            if page_id not in closed:
                levels[page_id] = rank
                rest -= cost
                utility += gain
            continue
        if bound is None:
            if page_id in closed:
                continue
            bound = utility + -(-rest * (priority_of(key) + 1) >> DENSITY_SHIFT)
        closed[page_id] = None
        if rest <= 0 or len(closed) >= limit:
            break
    selection.rest, selection.utility = rest, utility
    if index.bounds_utility:
        selection.bound = utility if bound is None else bound


def _spend_on_groups(state: State, selection: Selection, steps: Iterable[Step], misfits: int) -> None:
    """Take steps of pages in groups, best first: the first step in a group pays for the group (LAW-GROUP-2)."""
    levels = selection.levels
    closed = dict(selection.settled)
    limit = len(closed) + misfits
    for _, _, gain, (page_id, rank) in steps:
        if page_id in closed or levels.get(page_id, ABSENT) >= rank:
            continue
        page = state.pages[page_id]
        if above_floor(selection, page, rank) <= selection.rest:
            selection.hold(page, rank)
            selection.utility += gain
            continue
        closed[page_id] = None
        if selection.rest <= 0 or len(closed) >= limit:
            break
    selection.bound = 0
