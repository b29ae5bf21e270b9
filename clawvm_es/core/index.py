"""The selection index: the steps of all pages, best first, kept sorted while the session goes on.

A page's utility moves only when it is written or used, and at the turns at which it loses recency; a calendar
holds those turns. So the cost of a turn follows what changed and what is raised, not the page table.
LAW-INDEX-1: an index kept by `put`, `drop` and `advance` equals one built from scratch at the same turn.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final, TypeAlias

from clawvm_es.core.utility import Hull, next_change, recency
from clawvm_es.limits import DENSITY_SHIFT
from clawvm_es.model.profile import Order, Rule

Step: TypeAlias = tuple[int, str, int, int, int]
"""(key, page id, rank, Δutility, Δtokens). Keys in rising order: best first, ties by page number and rank."""
PLACE_BITS: Final = 40
"""Bits of a key that hold page number and rank, below the negated priority."""
RANK_BITS: Final = 3
CHUNK: Final = 256
"""Steps whose costs are added up at once."""


def priority_of(key: int) -> int:
    """The priority in a step's key."""
    return -(key >> PLACE_BITS)


class Index:
    """Steps of pages as parallel lists: `keys[i]`, `pairs[i]` (page id, rank), `gains[i]`, `costs[i]`.

    `turn` is the turn that the next assembly belongs to.
    """

    __slots__ = (
        "_calendar",
        "_due",
        "_entries",
        "costs",
        "gains",
        "keys",
        "order",
        "pairs",
        "recency_weight",
        "rule",
        "turn",
    )

    def __init__(self, rule: Rule, order: Order, recency_weight: int, turn: int) -> None:
        self.rule = rule
        self.order = order
        self.recency_weight = recency_weight
        self.turn = turn
        self.keys: list[int] = []
        self.pairs: list[tuple[str, int]] = []
        self.gains: list[int] = []
        self.costs: list[int] = []
        self._entries: dict[str, tuple[int, ...]] = {}
        self._calendar: dict[int, dict[str, None]] = {}
        self._due: dict[str, int] = {}

    def put(self, page_id: str, number: int, hull: Hull, score: int, last_used: int) -> None:
        """Insert the steps of a page, or replace them."""
        if page_id in self._entries:
            self.drop(page_id)
        keys = self.keys
        entries = []
        for key, _, rank, gain, cost in self.steps(page_id, number, hull, score, last_used):
            place = bisect_left(keys, key)
            keys.insert(place, key)
            self.pairs.insert(place, (page_id, rank))
            self.gains.insert(place, gain)
            self.costs.insert(place, cost)
            entries.append(key)
        self._entries[page_id] = tuple(entries)
        due = next_change(last_used, self.turn)
        if due is not None:
            self._due[page_id] = due
            self._calendar.setdefault(due, {})[page_id] = None

    def drop(self, page_id: str) -> None:
        """Take a page's steps out, if it has any."""
        for key in self._entries.pop(page_id, ()):
            place = bisect_left(self.keys, key)
            del self.keys[place], self.pairs[place], self.gains[place], self.costs[place]
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

    def steps(self, page_id: str, number: int, hull: Hull, score: int, last_used: int) -> list[Step]:
        """The steps of a page along its hull at this turn, in the order in which it takes them."""
        found: list[Step] = []
        total = score + self.recency_weight * recency(self.turn - last_used) // 1000
        by_recency, by_density = self.rule is Rule.RECENCY, self.order is Order.DENSITY
        priority = 0
        for rank, quality, cost in hull:
            gain = quality * total // 1000
            if gain <= 0:
                break
            if by_recency:
                priority = last_used
            elif by_density:
                priority = (gain << DENSITY_SHIFT) // cost
            else:
                priority = min(priority, gain) if found else gain
            key = (number << RANK_BITS | rank) - (priority << PLACE_BITS)
            found.append((key, page_id, rank, gain, cost))
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

    def stream(self, start: int) -> Iterator[Step]:
        """The steps from place `start` on, best first."""
        columns = (self.keys, self.pairs, self.gains, self.costs)
        for key, (page_id, rank), gain, cost in zip(*(islice(c, start, None) for c in columns), strict=True):
            yield key, page_id, rank, gain, cost

    def contents(self) -> tuple[object, ...]:
        """Everything that a selection can see, for comparison."""
        columns = (self.keys, self.pairs, self.gains, self.costs)
        due = tuple(sorted(self._due.items()))
        return (self.turn, due, *(tuple(column) for column in columns))
