"""`bisect`: find the first event of a session after which a question about its state is answered with yes.

LAW-BISECT-1: the answer is yes at the event found and no right before it.
LAW-BISECT-2: if the answer is yes from some event on without a break, that event is found; if the versions asked show
a break, `monotone` is False.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Final

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.errors import UsageError
from clawvm_es.history.expressions import COUNTED, Question, Seen, counts
from clawvm_es.history.origins import require_session
from clawvm_es.history.places import state_at
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import FaultObserved, PromptAssembled
from clawvm_es.model.facts import FaultType

SAMPLES: Final = 16
"""Into so many pieces the versions are cut, to see whether it holds from somewhere on without a break."""
EVERY: Final = 20_000
"""Up to so many versions all are asked unless told otherwise: one fold costs less than the states of a search."""


@attrs.frozen
class Bisection:
    """Finding between version `good` (0: before the session) and `bad`.

    `first` is the first event with the answer yes (None: no version asked has it), `before` the event before it, and
    `prompt_turn` the turn of the first prompt to show it (None: no prompt did). `looked` is the number of versions
    asked. `turns_true` lists the versions at which the answer changed to yes since the last version asked,
    `turns_false` those at which it changed to no.
    """

    session_id: str
    good: int
    bad: int
    first: Recorded | None
    before: Recorded | None
    prompt_turn: int | None
    looked: int
    every: bool
    turns_true: tuple[int, ...]
    turns_false: tuple[int, ...]

    @property
    def monotone(self) -> bool:
        """True if, over all versions asked, the answer stays yes from the first event on."""
        return len(self.turns_true) <= 1 and not self.turns_false


@attrs.define(slots=False)
class _Asker:
    """Asks a question at versions of one session, each once. Before the first event the answer is no."""

    log: EventLog
    session_id: str
    upto: int
    question: Question
    answers: dict[int, bool] = attrs.field(factory=dict)

    @cached_property
    def _counted(self) -> dict[str, list[int]]:
        """The versions of the events that add to each counted number."""
        found: dict[str, list[int]] = {name: [] for name in COUNTED}
        for row in read_session(self.log, self.session_id, upto=self.upto):
            for name in counts(row.data):
                found[name].append(row.version)
        return found

    def at(self, version: int) -> bool:
        """Answer the question after an event."""
        if version not in self.answers:
            self.answers[version] = version > 0 and self.of(state_at(self.log, self.session_id, version), version)
        return self.answers[version]

    def of(self, state: State, version: int) -> bool:
        """Answer the question for a state."""
        return self.question(Seen(state, lambda name: bisect_right(self._counted[name], version)))


def bisect(
    log: EventLog,
    session_id: str,
    question: Question,
    good: int | None = None,
    bad: int | None = None,
    *,
    linear: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bisection:
    """Find the first event after `good` (by default the session's beginning) and up to `bad` (by default its end) at
    which `question` holds.

    With `linear` every version is asked; without it, `SAMPLES` versions are, then a binary search follows. By default
    `linear` is chosen for at most `EVERY` versions. Raises `UsageError` for versions that do not exist, and if the
    question already holds at `good`.
    """
    start, end = _range(log, session_id, good, bad)
    asker = _Asker(log, session_id, end, question)
    if good is not None and asker.at(start):
        raise UsageError(f"it holds at version {start} already", hint="--good is a version at which it does not")
    every = end - start <= EVERY if linear is None else linear
    if every:
        _ask_all(asker, start, progress)
    else:
        _narrow(asker, *_sampled(asker, start, end))
    return _told(asker, start, end, every)


def _range(log: EventLog, session_id: str, good: int | None, bad: int | None) -> tuple[int, int]:
    last = require_session(log, session_id)
    start, end = 0 if good is None else good, last if bad is None else bad
    if end > last or start < 0:
        raise UsageError(
            f"session {session_id} has no version {end if end > last else start}", hint=f"its last is {last}"
        )
    if start >= end:
        raise UsageError(f"version {start} is not before version {end}", hint="--good comes before --bad")
    return start, end


def _sampled(asker: _Asker, start: int, end: int) -> tuple[int, int]:
    """The first two consecutive sampled versions between which the answer becomes yes; the end twice if none."""
    looked = sorted({start + (end - start) * piece // SAMPLES for piece in range(SAMPLES + 1)})
    answers = [asker.at(version) for version in looked]
    for place in range(1, len(looked)):
        if answers[place] and not answers[place - 1]:
            return looked[place - 1], looked[place]
    return end, end


def _narrow(asker: _Asker, low: int, high: int) -> None:
    """Search between a version with the answer no and one with yes, until they are adjacent."""
    while high - low > 1:
        middle = (low + high) // 2
        if asker.at(middle):
            high = middle
        else:
            low = middle


def _ask_all(asker: _Asker, start: int, progress: Callable[[int, int], None] | None) -> None:
    """Ask at every version, in one fold of the session."""
    asker.at(start)
    state = state_at(asker.log, asker.session_id, start) if start else State()
    for row in read_session(asker.log, asker.session_id, start, asker.upto):
        apply(state, row.data)
        asker.answers[row.version] = asker.of(state, row.version)
        if progress is not None:
            progress(row.version - start, asker.upto - start)


def _told(asker: _Asker, start: int, end: int, every: bool) -> Bisection:
    looked = sorted(asker.answers)
    changes = [(now, asker.answers[now]) for was, now in pairwise(looked) if asker.answers[was] != asker.answers[now]]
    true = tuple(version for version, holds in changes if holds)
    false = tuple(version for version, holds in changes if not holds)
    first = next((version for version in true if version - 1 in asker.answers), None)
    return Bisection(
        session_id=asker.session_id,
        good=start,
        bad=end,
        first=None if first is None else event_at(asker.log, asker.session_id, first),
        before=_before(asker.log, asker.session_id, first),
        prompt_turn=_prompt_turn(asker.log, asker.session_id, first),
        looked=sum(version > start for version in looked),
        every=every,
        turns_true=true,
        turns_false=false,
    )


def _before(log: EventLog, session_id: str, version: int | None) -> Recorded | None:
    return None if version is None or version < 2 else event_at(log, session_id, version - 1)


def _prompt_turn(log: EventLog, session_id: str, version: int | None) -> int | None:
    """The turn of the first prompt that was assembled at or after an event."""
    rows = () if version is None else read_session(log, session_id, version - 1)
    return next((row.turn for row in rows if isinstance(row.data, PromptAssembled)), None)


def first_fault(
    log: EventLog,
    session_id: str,
    fault: FaultType,
    page_id: str | None = None,
    good: int | None = None,
    bad: int | None = None,
) -> Bisection:
    """The first fault of a type (of one page, if named) after version `good` and up to `bad`."""
    start, end = _range(log, session_id, good, bad)
    looked = 0
    for row in read_session(log, session_id, start, end):
        looked += 1
        data = row.data
        if isinstance(data, FaultObserved) and data.fault is fault and page_id in (None, data.page_id):
            before = _before(log, session_id, row.version)
            return Bisection(session_id, start, end, row, before, row.turn or None, looked, True, (row.version,), ())
    return Bisection(session_id, start, end, None, None, None, looked, True, (), ())
