"""The selection index: the steps of all pages, best first, kept sorted while the session goes on.

A page's utility changes only when the page is written or used, and at the turns at which it loses recency. A
calendar holds those turns, at which the index ranks the page again by what it was told last. So the cost of a turn
depends on the pages that changed, aged or are raised, not on the number of pages.
LAW-INDEX-1: an index kept by `put`, `drop` and `advance` equals one built from scratch at the same turn.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final, TypeAlias

from clawvm_es.core.reuse import NEAR, NEARNESS
from clawvm_es.core.utility import RECENCY, Hull
from clawvm_es.limits import DENSITY_SHIFT
from clawvm_es.model.profile import Key, Order

_Facts: TypeAlias = tuple[int, Hull, int, int]
"""A page's number, hull and score, and the turn from which its age counts."""
Step: TypeAlias = tuple[int, int, int, tuple[str, int]]
"""(key, Δtokens, Δutility, (page id, rank)). Keys in rising order: best first, ties by page number and rank."""
PLACE_BITS: Final = 40
"""Bits of a key that hold page number and rank, below the negated priority."""
RANK_BITS: Final = 3
_NEAREST: Final = 1000 * NEAR
"""A whole quality at the greatest nearness."""


def priority_of(key: int) -> int:
    """The priority in a step's key."""
    return -(key >> PLACE_BITS)


class Index:
    """The steps of all pages but arrivals, sorted; `turn` is the turn that the next assembly belongs to.

    `waiting` are pages that changed and are not ranked yet; the keeper of the index puts or drops them. `results` are
    the pages ranked so far by the call whose result they are, kept where it matters that a result is a copy.
    """

    __slots__ = (
        "_ages",
        "_by_density",
        "_by_number",
        "_by_recency",
        "_by_reuse",
        "_calendar",
        "_due",
        "_entries",
        "_facts",
        "_recency_weight",
        "_together",
        "bounds_utility",
        "results",
        "steps",
        "turn",
        "waiting",
    )

    def __init__(self, key: Key, order: Order | None, recency_weight: int, turn: int) -> None:
        """Make an empty index. With `order` None (the policy scores no pages) steps come by page number."""
        self._by_number = order is None
        self._by_reuse = key in NEARNESS and not self._by_number
        self._by_recency = key is Key.RECENCY and not self._by_number
        self._by_density = key is Key.GAIN and order is Order.DENSITY
        self._together = key is not Key.GAIN or self._by_number  # a page's steps have one priority, so one place
        self.bounds_utility = self._by_density
        """True if steps come in falling order of gain per token, so that a prefix bounds all choices."""
        self._recency_weight = recency_weight
        self._ages = NEARNESS[key] if self._by_reuse else RECENCY
        self.turn = turn
        self.steps: list[Step] = []
        self.waiting: dict[str, None] = {}
        self.results: dict[int, tuple[str, ...]] = {}
        self._entries: dict[str, list[Step]] = {}
        self._facts: dict[str, _Facts] = {}
        self._calendar: dict[int, dict[str, None]] = {}
        self._due: dict[str, int] = {}

    def put(self, page_id: str, number: int, hull: Hull, score: int, since: int) -> None:
        """Insert the steps of a page, or replace them; `since` is the turn from which its age counts."""
        self._rank(page_id, (number, hull, score, since))

    def _rank(self, page_id: str, facts: _Facts) -> None:
        """Put the steps of a page where they belong at this turn."""
        self._facts[page_id] = facts
        known_steps = self._entries.get(page_id)
        if known_steps:
            self._take_out(known_steps)
        number, hull, score, since = facts
        aged, last = self._ages.step(self.turn - since)
        entries = self._entries[page_id] = self._steps_of(page_id, number, hull, score, since, aged)
        if entries:
            self._put_in(entries)
        due, known = None if last is None else since + last + 1, self._due.get(page_id)
        if due != known:
            if known is not None:
                del self._calendar[known][page_id], self._due[page_id]
            if due is not None:
                self._due[page_id] = due
                self._calendar.setdefault(due, {})[page_id] = None

    def drop(self, page_id: str) -> None:
        """Remove a page's steps, if it has any."""
        self._facts.pop(page_id, None)
        known_steps = self._entries.pop(page_id, None)
        if known_steps:
            self._take_out(known_steps)
        due = self._due.pop(page_id, None)
        if due is not None:
            del self._calendar[due][page_id]

    def _take_out(self, entries: list[Step]) -> None:
        if self._together:
            place = bisect_left(self.steps, entries[0])
            del self.steps[place : place + len(entries)]
        else:
            for step in entries:
                del self.steps[bisect_left(self.steps, step)]

    def _put_in(self, entries: list[Step]) -> None:
        if self._together:
            place = bisect_left(self.steps, entries[0])
            self.steps[place:place] = entries
        else:
            for step in entries:
                insort(self.steps, step)

    def advance(self, turn: int) -> None:
        """Move to `turn` and rank again the pages that lose recency by then."""
        due: list[str] = []
        for step in range(self.turn + 1, turn + 1):
            due.extend(self._calendar.pop(step, ()))
        self.turn = turn
        for page_id in due:
            del self._due[page_id]
            self._rank(page_id, self._facts[page_id])

    def steps_of(self, page_id: str, number: int, hull: Hull, score: int, since: int) -> list[Step]:
        """The steps of a page along its hull at this turn, in the order in which it takes them.

        Keys rise along the hull, so that no later step of a page sorts before an earlier one: priorities are
        computed before gains are rounded down.
        """
        return self._steps_of(page_id, number, hull, score, since, self._ages.at(self.turn - since))

    def _steps_of(self, page_id: str, number: int, hull: Hull, score: int, since: int, aged: int) -> list[Step]:
        found: list[Step] = []
        place = number << RANK_BITS
        if self._by_reuse:
            priority = score * aged
            if priority <= 0:
                return found
            place -= priority << PLACE_BITS
            for rank, quality, cost in hull:
                found.append((place + rank, cost, quality * priority // _NEAREST, (page_id, rank)))
            return found
        total = score + self._recency_weight * aged // 1000
        if total <= 0 and not self._by_recency:
            return found
        if self._by_density:
            for rank, quality, cost in hull:
                worth = quality * total
                key = place + rank - ((worth << DENSITY_SHIFT) // (1000 * cost) << PLACE_BITS)
                found.append((key, cost, worth // 1000, (page_id, rank)))
            return found
        priority = 0
        for rank, quality, cost in hull:
            gain = quality * total // 1000
            if self._by_recency:
                priority = since
            elif not self._by_number:
                priority = min(priority, gain) if found else gain
            found.append((place + rank - (priority << PLACE_BITS), cost, gain, (page_id, rank)))
        return found

    def contents(self) -> tuple[object, ...]:
        """Everything that a selection can see, for comparison."""
        return (self.turn, tuple(sorted(self._due.items())), tuple(self.steps))
