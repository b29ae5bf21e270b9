"""A policy that knows what comes: `lru` that first raises what this turn and the next ones will need.

It takes the future as an argument, so that nothing that lives in a session can call it; it writes no journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clawvm_es.core.assembly import conclude
from clawvm_es.core.selector import Selection, fill, require
from clawvm_es.core.state import State
from clawvm_es.evaluation.workload import NeedAt, Option, Workload
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT


def future(workload: Workload) -> Mapping[int, tuple[NeedAt, ...]]:
    """Turn → its needs, those first that cost least."""
    found: dict[int, list[NeedAt]] = {}
    for need in workload.all_needs():
        if need.options:
            found.setdefault(need.turn, []).append(need)
    return {turn: tuple(sorted(needs, key=lambda need: need.tokens)) for turn, needs in found.items()}


def decide(state: State, turn: e.TurnBegan, wanted: Iterable[Sequence[NeedAt]]) -> tuple[e.Event, ...]:
    """Outcome of a turn when its needs and those of later turns are known, nearest turn first."""
    return (turn, *conclude(state, turn, select(state, turn, wanted)))


def select(state: State, turn: e.TurnBegan, wanted: Iterable[Sequence[NeedAt]]) -> Selection:
    """Phase 1 as ever; then each need by the level that costs least more; then the session's own rule."""
    selection, degraded = require(state, turn)
    raised: dict[str, None] = {}
    for needs in wanted:
        for need in needs:
            page_id = _raise(state, selection, need)
            if page_id is not None:
                raised[page_id] = None
    return fill(state, turn, selection, degraded, raised=raised)


def _raise(state: State, selection: Selection, need: NeedAt) -> str | None:
    """Raise the holder that costs least more, if none suffices as it stands and one fits; returns which."""
    costs: list[tuple[int, Option]] = []
    for option in need.options:
        page = state.pages.get(option.page_id)
        if page is None or not state.holdable(page):
            continue
        now = selection.levels.get(option.page_id, ABSENT)
        if now >= option.rank:
            return None
        if page.tokens[option.rank] >= 0 and option.page_id not in selection.settled:
            costs.append((page.tokens[option.rank] - page.tokens[now], option))
    if not costs:
        return None
    cost, option = min(costs, key=lambda found: found[0])
    if cost > selection.rest:
        return None
    selection.install(state.pages[option.page_id], option.rank, ChangeReason.RAISED)
    return option.page_id
