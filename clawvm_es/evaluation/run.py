"""One workload under one policy and budget: every input through `decide`, in memory; nothing is written.

The harness around a policy with thresholds brings boundaries about itself: before a turn whose context fills more
than its thresholds, it flushes or compacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.evaluation.workload import NeedAt, Workload
from clawvm_es.history.figures import NEED_FAULTS, Figures
from clawvm_es.history.refeed import Refeed
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.profile import Profile


@attrs.define
class Outcome:
    """What a run came to: its figures, and whether each need of the workload was a hit, in order."""

    figures: Figures = attrs.field(factory=Figures)
    hits: list[bool] = attrs.field(factory=list)

    def misses(self, needs: Iterable[NeedAt], counts: Callable[[NeedAt], bool]) -> int:
        """How many of the needs that count were misses."""
        return sum(counts(need) and not hit for need, hit in zip(needs, self.hits, strict=True))


def run(workload: Workload, profile: Profile, budget_tokens: int) -> Outcome:
    """Decide all inputs of `workload` under a policy and a budget."""
    outcome = Outcome()
    for event in decided(workload, profile, budget_tokens):
        _count(outcome, event)
    return outcome


def decided(workload: Workload, profile: Profile, budget_tokens: int) -> Iterator[e.Event]:
    """The events after the opening: each input as this run is given it, and the decisions that follow."""
    state = State()
    feed = Refeed(profile, budget_tokens)
    apply(state, attrs.evolve(workload.opened, profile=profile, budget_tokens=budget_tokens))
    turn = 0
    for data in workload.inputs:
        found: tuple[str, ...] = ()
        if isinstance(data, e.TurnBegan):
            found = workload.retrieved[turn]
            turn += 1
        given = feed.given(state, data, lambda top_k, found=found: found[:top_k])  # type: ignore[misc]
        if given is not None:
            for event in decide(state, Command(given, 0)):
                apply(state, event)
                yield event


def _count(outcome: Outcome, event: e.Event) -> None:
    outcome.figures.count(event)
    if isinstance(event, e.PageUsed):
        outcome.hits.append(True)
    elif isinstance(event, e.PageResolved) or (isinstance(event, e.FaultObserved) and event.fault in NEED_FAULTS):
        outcome.hits.append(False)
