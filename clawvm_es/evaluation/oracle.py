"""A policy that knows the future: `lru` that first raises the pages that this turn and the next ones will need.

It takes the future as an argument, so that no live session can call it; it writes no journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from clawvm_es.core import epochs
from clawvm_es.core.selector import Selection
from clawvm_es.core.state import State
from clawvm_es.evaluation.workload import NeedAt, Option, Workload
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT


def future(workload: Workload) -> Mapping[int, tuple[NeedAt, ...]]:
    """Turn → its needs, the cheapest first."""
    found: dict[int, list[NeedAt]] = {}
    for need in workload.all_needs():
        if need.options:
            found.setdefault(need.turn, []).append(need)
    return {turn: tuple(sorted(needs, key=lambda need: need.tokens)) for turn, needs in found.items()}


def decide(state: State, turn: e.TurnBegan, wanted: Iterable[Sequence[NeedAt]]) -> tuple[e.Event, ...]:
    """Outcome of a turn whose needs, and those of later turns, are known; nearest turn first.

    An epoch raises needed pages before it ranks any; between epochs the needs of the turn itself are hints.
    """
    turns = list(wanted)
    began = replace(turn, hints=(*turn.hints, *_holders(state, turns[0] if turns else ())))
    return (began, *epochs.assemble(state, began, lambda selection: _raised(state, selection, turns)))


def _holders(state: State, needs: Iterable[NeedAt]) -> Iterator[str]:
    """For each need that no resident page meets, the cheapest page."""
    for need in needs:
        options = [option for option in need.options if option.page_id in state.pages]
        if options and not any(state.stands(option.page_id, option.rank) for option in options):
            yield min(options, key=lambda option: state.pages[option.page_id].full_tokens).page_id


def _raised(state: State, selection: Selection, wanted: Iterable[Sequence[NeedAt]]) -> tuple[str, ...]:
    """Raise needed pages, nearest turn first, by the cheapest additional level."""
    raised: dict[str, None] = {}
    for needs in wanted:
        for need in needs:
            page_id = _raise(state, selection, need)
            if page_id is not None:
                raised[page_id] = None
    return tuple(raised)


def _raise(state: State, selection: Selection, need: NeedAt) -> str | None:
    """Raise the holder with the cheapest additional level, if none suffices and one fits; returns it."""
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
