"""Recorded inputs as they are given to another run of the same session: under another policy or budget.

| input | given as |
|---|---|
| session_opened, session_forked | recorded, under the other policy and budget where given |
| budget_changed | recorded; left out where the budget is given |
| turn_began | with the pages that a retriever finds, under a rule that asks one |
| update_staged, restaged updates | with the numbers that they have in this run |
| boundary_reached | with those of the staged pages that are dirty in this run, on top of what it committed |
| any other | recorded |
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.facts import StagedPage
from clawvm_es.model.profile import Profile

Retrieved = Callable[[int], tuple[str, ...]]
"""The pages, so many at most, that a retriever finds for the turn that is given now."""


@attrs.define
class Refeed:
    """Turns recorded inputs into those of another run; asked in order, each time with that run's state."""

    profile: Profile | None
    budget_tokens: int | None
    updates: dict[int, int] = attrs.field(factory=dict)  # number of an update as recorded → in this run

    def given(self, state: State, data: e.Input, retrieved: Retrieved) -> e.Input | None:
        """The input that stands for a recorded one; None where it is left out."""
        if isinstance(data, e.SessionOpened):
            profile, budget = self.profile or data.profile, self.budget_tokens or data.budget_tokens
            return attrs.evolve(data, profile=profile, budget_tokens=budget)
        if isinstance(data, e.SessionForked):
            return attrs.evolve(
                data,
                parent_version=state.version,
                profile=None if self.profile else data.profile,
                budget_tokens=None if self.budget_tokens else data.budget_tokens,
            )
        if isinstance(data, e.BudgetChanged) and self.budget_tokens is not None:
            return None
        if isinstance(data, e.TurnBegan):
            found = retrieved(state.profile.top_k) if state.profile.retrieves else ()
            return attrs.evolve(data, retrieved=found)
        if isinstance(data, e.UpdateStaged):
            self.updates[data.update] = len(state.updates) + 1
            return attrs.evolve(data, update=len(state.updates) + 1)
        if isinstance(data, e.BoundaryReached):
            return self._boundary(state, data)
        return data

    def _boundary(self, state: State, data: e.BoundaryReached) -> e.BoundaryReached:
        staged = tuple(self._staged(state, page) for page in data.staged if page.page_id in state.dirty)
        restaged = tuple(
            attrs.evolve(again, update=self.updates.get(again.update, again.update))
            for again in data.restaged
            if self.updates.get(again.update, again.update) in state.pending
        )
        return attrs.evolve(data, staged=staged, restaged=restaged)

    @staticmethod
    def _staged(state: State, page: StagedPage) -> StagedPage:
        """A page is written back on top of what its field holds in this run."""
        base = state.store.get((page.update.scope, page.update.field), 0)
        return attrs.evolve(page, update=attrs.evolve(page.update, base_version=base))
