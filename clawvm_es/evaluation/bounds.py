"""Lower bounds on the misses of a workload at a budget, for every policy with all mechanisms.

The *rest* of a turn is the budget less the fixed region, the directory line, the floors of the required pages, and
the lowest levels at which just-written pages must arrive. It follows from the inputs alone.

LAW-BOUND-1 (`fit`): no choice of levels within a turn's rest meets more of its needs. LAW-BOUND-2 (`demand`): no
policy without speculative raises meets more needs. Under such a policy a page enters a prompt only when it is
written, or after a need or a recall named it.

`demand` is PFOO-L (Berger, Beckmann and Harchol-Balter 2018): a need is the interval since one of its holders last
entered, keeping it costs tokens × turns, and the rests of all turns together go to the smallest intervals first.

Both bounds only relax the problem: a page that could meet several needs of a turn costs each of them only its share,
and every holder of a need counts as entered by it. For messages, the tokens of groups beyond their pages are left
out, and just-written pages need not arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.evolve import apply
from clawvm_es.core.groups import dues_of
from clawvm_es.core.pages import kept_at_or_above
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.core.state import Page, State
from clawvm_es.evaluation.workload import NeedAt, Option, Workload
from clawvm_es.model import events as e
from clawvm_es.model.pages import PAGE_TYPES, POINTER

SHARES: Final = 840
"""Parts of a token, so that a page's cost divides evenly among up to eight needs."""


@attrs.frozen
class Bounds:
    """Misses that no policy can avoid, and misses that no policy without speculative raises can avoid."""

    fit: int
    demand: int


@attrs.frozen
class _Turn:
    """The rest of one assembly, and the tokens of each page that is in its prompt under every choice."""

    rest: int
    held: Mapping[str, int]


@attrs.define
class _Walk:
    """The inputs folded so far, the rest of each turn, and the needs of the present turn."""

    state: State
    turns: list[_Turn]
    entered: dict[str, int] = attrs.field(factory=dict)  # page → turn after whose assembly it last could enter
    written: dict[str, int] = attrs.field(factory=dict)  # page → turn in which it got its content
    named: dict[str, None] = attrs.field(factory=dict)  # by needs and recalls of this turn: they may enter the next
    needs: list[tuple[Option, ...]] = attrs.field(factory=list)

    def take(self, data: e.Input, needs: Sequence[NeedAt]) -> None:
        """Fold one input and note the needs that ride on it."""
        if isinstance(data, e.TurnBegan):
            self.turns.append(_left(self.state, data, self.named))
            self.state.arrivals.clear()
            self.entered.update(dict.fromkeys(self.named, self.state.turn))
            self.named.clear()
            self.needs.clear()
        elif isinstance(data, e.PageWritten):
            self.written[data.page_id] = self.entered[data.page_id] = self.state.turn
        elif isinstance(data, e.RecallAnswered):
            self.named.update(dict.fromkeys(data.pages))
        self.needs.extend([tuple(self._standing(need)) for need in needs])
        for need in getattr(data, "needs", ()):
            self.named.update(dict.fromkeys([holder.page_id for holder in need.holders]))
        apply(self.state, data)

    def _standing(self, need: NeedAt) -> Iterator[Option]:
        """The options whose page could be in this turn's prompt with its present content."""
        pages = self.state.pages
        for option in need.options:
            if self.written[option.page_id] < self.state.turn and self.state.holdable(pages[option.page_id]):
                yield option

    def meeting(self, option: Option) -> int | None:
        """Tokens that this turn spends on an option; None if its rest is too small."""
        return _spent(self.turns[-1], option)

    def keeping(self, option: Option) -> int | None:
        """Return the tokens that turns spend on keeping an option since its page last entered; None if one cannot."""
        spent = [_spent(turn, option) for turn in self.turns[self.entered[option.page_id] + 1 :]]
        found = [tokens for tokens in spent if tokens is not None]
        return sum(found) if len(found) == len(spent) else None


def bounds(workload: Workload, budget_tokens: int) -> Bounds:
    """Lower bounds on the misses of `workload` under a budget."""
    state = apply(State(), replace(workload.opened, profile=CLAWVM, budget_tokens=budget_tokens))
    walk = _Walk(state, [_Turn(0, {})])  # before the first turn there is no prompt
    needs = met = 0
    intervals: list[int] = []

    def end_turn() -> None:
        nonlocal needs, met
        needs += len(walk.needs)
        met += _most(_costs(walk.needs, walk.meeting), walk.turns[-1].rest)
        intervals.extend(_costs(walk.needs, walk.keeping))

    for data, found in zip(workload.inputs, workload.needs, strict=True):
        if isinstance(data, (e.BudgetChanged, e.SessionForked, e.SettingsAdopted)):
            continue  # the budget is given
        if isinstance(data, e.TurnBegan):
            end_turn()
        walk.take(data, found)
    end_turn()
    fit = needs - met
    return Bounds(fit, max(fit, needs - _most(intervals, sum([turn.rest for turn in walk.turns]))))


def _left(state: State, turn: e.TurnBegan, named: Mapping[str, None]) -> _Turn:
    """Return the minimum that phase 1 of the selector leaves; `named` are pages that may arrive in addition."""
    assert state.opened is not None
    dues = dues_of(state)
    always = dues.always if dues is not None else 0
    rest = max(state.budget_tokens - turn.fixed_tokens - always, 0)
    if state.opened.directory_tokens + state.required_tokens <= rest:
        rest -= state.opened.directory_tokens
    held: dict[str, int] = {}
    for page in sorted([state.pages[page_id] for page_id in state.required], key=_by_priority):
        floor = state.required_sizes[page.page_id]
        if floor <= rest:
            held[page.page_id] = floor
            rest -= floor
    lowest = {
        page_id: _lowest(state.pages[page_id])
        for page_id in (*state.arrivals, *named)
        if page_id not in state.required and state.holdable(state.pages[page_id])
    }
    if dues is None and sum(lowest.values()) <= rest:  # then all of them come at that level or above
        arrived = {page_id: tokens for page_id, tokens in lowest.items() if page_id in state.arrivals}
        held.update(arrived)
        rest -= sum(arrived.values())
    return _Turn(rest, held)


def _by_priority(page: Page) -> tuple[int, int]:
    return PAGE_TYPES[page.page_type].priority, page.number


def _lowest(page: Page) -> int:
    """Tokens of the level below which no arrival goes."""
    return page.tokens[kept_at_or_above(page.tokens, POINTER + 1)]


def _spent(turn: _Turn, option: Option) -> int | None:
    spent = max(option.tokens - turn.held.get(option.page_id, 0), 0)
    return spent if spent <= turn.rest else None


def _costs(needs: Sequence[Sequence[Option]], cost_of: Callable[[Option], int | None]) -> list[int]:
    """The minimum cost of each need, in shares; needs that cannot be met are left out."""
    sharing = Counter([option.page_id for options in needs for option in options])
    found: list[int] = []
    for options in needs:
        costs = [(cost_of(option), sharing[option.page_id]) for option in options]
        shares = [cost * SHARES // among for cost, among in costs if cost is not None]
        if shares:
            found.append(min(shares))
    return found


def _most(costs: Sequence[int], tokens: int) -> int:
    """Return the maximum number of costs that can be paid: the smallest first."""
    rest, count = tokens * SHARES, 0
    for cost in sorted(costs):
        if cost > rest:
            break
        rest -= cost
        count += 1
    return count
