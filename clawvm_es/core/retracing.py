"""An assembly of a long session explained from its recorded outcome: pages that it did not touch are not looked at.

Of the steps of phase 2 those that the outcome holds were taken, in their order; so what was left when any other step
came up is known too, and whether that step would have fitted. What else was refused before it is not: where a step
would have fitted, the pass had ended.

Pages of messages come in groups, so that no part of them can be looked at alone: see `history.why`.

LAW-RETRACE-1: levels, reasons and what was left at a step are those of the trace of all pages. A place in the order
counts the pages that are looked at, and refusals theirs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping

import attrs

from clawvm_es.core.index import Step
from clawvm_es.core.selector import Selection
from clawvm_es.core.state import State
from clawvm_es.core.tracing import Outcome, Traced, Watcher, trace
from clawvm_es.model.events import TurnBegan
from clawvm_es.model.pages import ABSENT


@attrs.define
class _Retracing(Watcher):
    """Hands on the steps that were taken, and notes for each other one what became of it."""

    outcome: Mapping[str, int] = attrs.field(factory=dict)

    def watch(self, selection: Selection, steps: Iterable[Step]) -> Iterator[Step]:
        """Hand on each step that the outcome holds."""
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


def retrace(state: State, turn: TurnBegan, outcome: Mapping[str, int], among: Iterable[str]) -> Traced:
    """Explain an assembly by the levels that came of it; only the pages `among` are candidates.

    These must hold all pages of the prompt, of the one before and of what is required, new, hinted or retrieved.
    """
    narrow = copy.copy(state)
    narrow.pages = {page_id: state.pages[page_id] for page_id in among}
    narrow.index = None
    return trace(narrow, turn, _Retracing(outcome=outcome))
