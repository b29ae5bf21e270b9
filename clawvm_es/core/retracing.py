"""Explain an assembly of a long session from its recorded outcome, without looking at pages that it did not touch.

The outcome shows which steps of phase 2 were taken, and their order is known. So the tokens left when any other step
came up are known too, and whether that step fitted. If it fitted and was not taken, the pass had ended before it.

Pages of messages come in groups, which cannot be traced in part: see `history.why`.

LAW-RETRACE-1: levels, reasons and the tokens left at a step equal those of the full trace. Places in the order and
refusals count only the pages looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping

import attrs

from clawvm_es.core.index import Step
from clawvm_es.core.selector import Selection
from clawvm_es.core.state import State
from clawvm_es.core.tracing import Outcome, Traced, Watcher, trace
from clawvm_es.model.events import TurnBegan
from clawvm_es.model.pages import ABSENT


@attrs.define
class _Retracing(Watcher):
    """Replays the steps that were taken, and notes the outcome of every other step."""

    outcome: Mapping[str, int] = attrs.field(factory=dict)

    def watch(self, selection: Selection, steps: Iterable[Step]) -> Iterator[Step]:
        """Yield each step that the outcome holds."""
        self.begin(selection, steps)
        rest, closed = selection.rest, set[str]()
        for place, step in enumerate(self.ordered, 1):
            page_id, rank = step[3]
            taken = page_id not in selection.settled and rank <= self.outcome.get(page_id, ABSENT)
            self.note(place, step, self._became(selection, step, taken, rest, closed), rest)
            if taken:
                yield step
                rest -= step[1]
            else:
                closed.add(page_id)

    @staticmethod
    def _became(selection: Selection, step: Step, taken: bool, rest: int, closed: set[str]) -> Outcome:
        page_id = step[3][0]
        if taken:
            return Outcome.TAKEN
        if page_id in selection.settled:
            return Outcome.SETTLED
        if page_id in closed:
            return Outcome.CLOSED
        return Outcome.MISFIT if step[1] > rest else Outcome.NOT_REACHED


def retrace(
    state: State,
    turn: TurnBegan,
    outcome: Mapping[str, int],
    among: Iterable[str],
    told: Collection[str] | None = None,
) -> Traced:
    """Explain an assembly by its resulting levels; only the pages `among`, or of them `told`, are candidates.

    `among` must hold all pages of this prompt and the last one, and all required, new, hinted or retrieved pages.
    """
    narrow = copy.copy(state)
    narrow.pages = {page_id: state.pages[page_id] for page_id in among}
    narrow.index = None
    return trace(narrow, turn, _Retracing(outcome=outcome), told)
