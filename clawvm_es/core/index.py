"""The selection index: the steps of all pages, best first, kept sorted while the session goes on.

A page's utility moves only when it is written or used, and at the turns at which it loses recency; a calendar
holds those turns. So the cost of a turn follows what changed and what is raised, not the page table.
LAW-INDEX-1: an index kept by `put`, `drop` and `advance` equals one built from scratch at the same turn.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Final, TypeAlias

from clawvm_es.core.utility import hull, next_change, recency
from clawvm_es.limits import DENSITY_SHIFT
from clawvm_es.model.profile import Order, Rule

Key: TypeAlias = tuple[int, int, int]
"""(−priority, page number, rank): steps in this order are best first, ties by page and level."""
Step: TypeAlias = tuple[Key, str, int, int, int]
"""(key, page id, rank, Δutility, Δtokens)."""
CHUNK: Final = 256
"""Steps whose costs are added up at once."""


class Index:
    """Steps of pages as parallel lists, sorted by (−priority, page number, rank).

    `keys[i]`, `ids[i]`, `ranks[i]`, `costs[i]` and `gains[i]` describe step i; `sizes` are all costs, sorted.
    `turn` is the turn that the next assembly belongs to.
    """

    __slots__ = (
        "_calendar",
        "_due",
        "_entries",
        "costs",
        "gains",
        "ids",
        "keys",
        "order",
        "ranks",
        "recency_weight",
        "rule",
        "sizes",
        "turn",
    )

    def __init__(self, rule: Rule, order: Order, recency_weight: int, turn: int) -> None:
        self.rule = rule
        self.order = order
        self.recency_weight = recency_weight
        self.turn = turn
        self.keys: list[Key] = []
        self.ids: list[str] = []
        self.ranks: list[int] = []
        self.costs: list[int] = []
        self.gains: list[int] = []
        self.sizes: list[int] = []
        self._entries: dict[str, tuple[Step, ...]] = {}
        self._calendar: dict[int, dict[str, None]] = {}
        self._due: dict[str, int] = {}

    def put(self, page_id: str, number: int, tokens: Sequence[int], base: int, score: int, last_used: int) -> None:
        """Insert the steps of a page from rank `base`, or replace them."""
        self.drop(page_id)
        entries = self.steps(page_id, number, tokens, base, score, last_used)
        for key, _, rank, gain, cost in entries:
            place = bisect_left(self.keys, key)
            self.keys.insert(place, key)
            self.ids.insert(place, page_id)
            self.ranks.insert(place, rank)
            self.gains.insert(place, gain)
            self.costs.insert(place, cost)
            insort(self.sizes, cost)
        self._entries[page_id] = tuple(entries)
        due = next_change(last_used, self.turn)
        if due is not None:
            self._due[page_id] = due
            self._calendar.setdefault(due, {})[page_id] = None

    def drop(self, page_id: str) -> None:
        """Take a page's steps out, if it has any."""
        for key, _, _, _, cost in self._entries.pop(page_id, ()):
            place = bisect_left(self.keys, key)
            for column in (self.keys, self.ids, self.ranks, self.gains, self.costs):
                del column[place]
            del self.sizes[bisect_left(self.sizes, cost)]
        due = self._due.pop(page_id, None)
        if due is not None:
            self._calendar[due].pop(page_id, None)

    def advance(self, turn: int) -> tuple[str, ...]:
        """Move to `turn` and return the pages that lose recency by it; the caller puts them again."""
        due: list[str] = []
        for step in range(self.turn + 1, turn + 1):
            due.extend(self._calendar.pop(step, ()))
        for page_id in due:
            del self._due[page_id]
        self.turn = turn
        return tuple(due)

    def steps(
        self, page_id: str, number: int, tokens: Sequence[int], base: int, score: int, last_used: int
    ) -> list[Step]:
        """The steps of a page from rank `base` at this turn, in the order in which it takes them."""
        found: list[Step] = []
        total = score + self.recency_weight * recency(self.turn - last_used) // 1000
        lowest: int | None = None
        for rank, quality, cost in hull(tokens, base):
            gain = quality * total // 1000
            if gain <= 0:
                break
            if self.rule is Rule.RECENCY:
                priority = last_used
            elif self.order is Order.DENSITY:
                priority = (gain << DENSITY_SHIFT) // cost
            else:
                lowest = gain if lowest is None else min(lowest, gain)
                priority = lowest
            found.append(((-priority, number, rank), page_id, rank, gain, cost))
        return found

    def fitting(self, rest: int) -> int:
        """How many of the best steps fit into `rest` tokens one after the other, before the first that does not."""
        done = 0
        spent = 0
        while done < len(self.costs):
            sums = list(accumulate(islice(self.costs, done, done + CHUNK), initial=spent))
            fits = bisect_right(sums, rest) - 1
            done += fits
            if fits < len(sums) - 1:
                break
            spent = sums[-1]
        return done

    def contents(self) -> tuple[object, ...]:
        """Everything that a selection can see, for comparison."""
        columns = (self.keys, self.ids, self.ranks, self.gains, self.costs, self.sizes)
        due = tuple(sorted(self._due.items()))
        return (self.turn, due, *(tuple(column) for column in columns))
