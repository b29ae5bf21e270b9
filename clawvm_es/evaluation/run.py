"""One workload under one policy and budget: every input through `decide`, in memory; nothing is written.

The harness around a policy with thresholds makes boundaries of its own: before a turn whose context exceeds a
threshold, it flushes or compacts. At every boundary it writes back dirty pages, if the policy does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core import lifecycle
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.evaluation import oracle
from clawvm_es.evaluation.policies import Policy
from clawvm_es.evaluation.workload import NeedAt, Workload
from clawvm_es.history.figures import NEED_FAULTS, Figures
from clawvm_es.history.refeed import Refeed, staged
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import FaultType
from clawvm_es.model.profile import Profile

RULES_LOST: Final = (FaultType.PINNED_INVARIANT_MISS, FaultType.POST_COMPACTION_BOOTSTRAP)
"""Faults of required pages that are not in the prompt."""


@attrs.define
class Outcome:
    """Outcome of a run: its figures, and for each need of the workload, in order, whether it was a hit.

    `unmet` marks the needs that the recorded harness could not meet, since it had dropped all their pages.
    """

    figures: Figures = attrs.field(factory=Figures)
    hits: list[bool] = attrs.field(factory=list)
    unmet: list[bool] = attrs.field(factory=list)

    @property
    def faults(self) -> int:
        """Faults of all types."""
        return sum(self.figures.faults.values())

    @property
    def thrash_permille(self) -> int:
        """(faults + alerts) / (hits + 1), in permille, rounded down."""
        return (self.faults + self.figures.alerts) * 1000 // (self.figures.hits + 1)

    @property
    def rules(self) -> int:
        """Faults of rules and plans that were missing from a prompt."""
        return sum(self.figures.faults[fault] for fault in RULES_LOST)

    def misses(self, needs: Iterable[NeedAt], counts: Callable[[NeedAt], bool]) -> int:
        """Number of misses among the needs that count."""
        return sum(counts(need) and not hit for need, hit in zip(needs, self.hits, strict=True))


def run(
    workload: Workload, policy: Policy | Profile, budget_tokens: int, *, fixed_tokens: int | None = None
) -> Outcome:
    """Decide all inputs of `workload` under a policy and a budget, and count the outcomes.

    `fixed_tokens`, if given, replaces the recorded size of the fixed region of every prompt.
    """
    outcome = Outcome()
    for event in decided(workload, policy, budget_tokens, fixed_tokens=fixed_tokens):
        _count(outcome, event)
    return outcome


def decided(
    workload: Workload, policy: Policy | Profile, budget_tokens: int, *, fixed_tokens: int | None = None
) -> Iterator[e.Event]:
    """The events after the opening: each input as fed to this run, and its decisions."""
    return chain.from_iterable(steps(workload, policy, budget_tokens, fixed_tokens=fixed_tokens))


def steps(
    workload: Workload, policy: Policy | Profile, budget_tokens: int, *, fixed_tokens: int | None = None
) -> Iterator[Sequence[e.Event]]:
    """The inputs with their decisions, one at a time, folded on demand."""
    state, turn = State(), 0
    policy = Policy(policy.name, policy) if isinstance(policy, Profile) else policy
    feed = Refeed(policy.profile, budget_tokens)
    wanted = oracle.future(workload) if policy.horizon else {}
    apply(state, replace(workload.opened, profile=policy.profile, budget_tokens=budget_tokens))
    for data in workload.inputs:
        found: tuple[str, ...] = ()
        if isinstance(data, e.TurnBegan):
            found, turn = workload.retrieved[turn], turn + 1
        given = feed.given(state, data, lambda top_k, found=found: found[:top_k])  # type: ignore[misc]
        if isinstance(given, e.TurnBegan):
            began = given if fixed_tokens is None else replace(given, fixed_tokens=fixed_tokens)
            due = feed.due(state, began)
            if due is not None:
                yield _folded(state, decide(state, Command(due, 0)))
            ahead = [wanted.get(turn + step, ()) for step in range(policy.horizon)]
            taken = oracle.decide(state, began, ahead) if ahead else decide(state, Command(began, 0))
            yield _folded(state, taken)
        elif given is not None:
            yield _folded(state, decide(state, Command(_written_back(state, given), 0)))


def _folded(state: State, events: Sequence[e.Event]) -> Sequence[e.Event]:
    for event in events:
        apply(state, event)
    return events


def _written_back(state: State, data: e.Input) -> e.Input:
    """A boundary with all pages that are dirty in this run, whether or not they were dirty in the recorded one."""
    if not isinstance(data, e.BoundaryReached) or not lifecycle.stages(state, data.boundary):
        return data
    known = dict.fromkeys(page.page_id for page in data.staged)
    more = tuple(staged(state, page_id) for page_id in state.dirty if page_id not in known)
    return replace(data, staged=(*data.staged, *more))


def _count(outcome: Outcome, event: e.Event) -> None:
    outcome.figures.count(event)
    if isinstance(event, e.PageUsed | e.PageResolved | e.NeedUnmet) or (
        isinstance(event, e.FaultObserved) and event.fault in NEED_FAULTS
    ):
        outcome.hits.append(isinstance(event, e.PageUsed))
        outcome.unmet.append(isinstance(event, e.NeedUnmet))
