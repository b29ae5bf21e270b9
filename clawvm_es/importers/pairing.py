"""Pair calls with results: each call gets a number, each result gets its call.

A result belongs to an unanswered call with its id. Of several such calls, those of the latest answer are preferred,
then those with its tool's name, then the first. Missing and repeated ids are ambiguous: each choice among several
calls is counted (`Skip.AMBIGUOUS_RESULT`). If records are `ordered` and ids repeat, a call never takes a result that
came before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs


@attrs.frozen
class _Open:
    """A call without a result; `answer` is the ordinal of its answer."""

    number: int
    name: str
    answer: int


@attrs.frozen
class Paired:
    """The call of a result: `unmatched` if that call has not come yet, `ambiguous` if it may be another one."""

    number: int
    unmatched: bool = False
    ambiguous: bool = False


@attrs.define
class Calls:
    """Numbers of a session's calls, from 1, by the harness's ids."""

    ordered: bool = False
    count: int = 0
    answers: int = 0
    lost: int = 0  # results that no call was waiting for, and none will claim
    _open: dict[str, list[_Open]] = attrs.field(factory=dict)  # call id → unanswered calls, oldest first
    _answered: dict[str, list[int]] = attrs.field(factory=dict)
    _early: dict[str, int] = attrs.field(factory=dict)  # results without a call yet: call id → number

    def made(self, call_id: str, name: str) -> int:
        """The number of a call of the answer being read; a result may have come before it."""
        early = self._early.pop(call_id, None)
        if early is not None:
            self._answered.setdefault(call_id, []).append(early)
            return early
        number = self._next()
        self._open.setdefault(call_id, []).append(_Open(number, name, self.answers))
        return number

    def returned(self, call_id: str, name: str = "") -> Paired | None:
        """The call of a result; None if all its possible calls are answered."""
        waiting = self._waiting(call_id)
        if not waiting:
            if call_id and (call_id in self._answered or call_id in self._early):
                return None
            return self._lost(call_id)
        latest = max(each.answer for _, each in waiting)
        found = [(key, each) for key, each in waiting if each.answer == latest]
        found = [(key, each) for key, each in found if name and each.name == name] or found
        key, chosen = found[0]
        self._open[key].remove(chosen)
        if not self._open[key]:
            del self._open[key]
        self._answered.setdefault(key, []).append(chosen.number)
        return Paired(chosen.number, ambiguous=len(found) > 1)

    def of(self, call_ids: Sequence[str]) -> tuple[int, ...]:
        """Numbers of all calls with these ids so far."""
        answered = (number for call_id in call_ids for number in self._answered.get(call_id, ()))
        unanswered = (each.number for call_id in call_ids for each in self._open.get(call_id, ()))
        return tuple(sorted({*answered, *unanswered}))

    @property
    def unanswered(self) -> int:
        """Number of calls without a result."""
        return sum(map(len, self._open.values()))

    @property
    def unclaimed(self) -> int:
        """Number of results without a call."""
        return len(self._early) + self.lost

    def _waiting(self, call_id: str) -> list[tuple[str, _Open]]:
        """The unanswered calls to which a result may belong, oldest first, each under its id."""
        known = call_id in self._open or call_id in self._answered or call_id in self._early
        keys = (call_id,) if known and call_id else self._open if not call_id else ("",)
        waiting = [(key, each) for key in keys for each in self._open.get(key, ())]
        return sorted(waiting, key=lambda pair: pair[1].number)

    def _lost(self, call_id: str) -> Paired:
        number = self._next()
        if call_id and not self.ordered:
            self._early[call_id] = number
        else:
            self.lost += 1
        return Paired(number, unmatched=True)

    def _next(self) -> int:
        self.count += 1
        return self.count
