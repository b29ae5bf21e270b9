"""Feed recorded inputs to another run of the same session, under another policy or budget.

| input | fed as |
|---|---|
| session_opened, session_forked | recorded, under the other policy and budget if given |
| budget_changed | recorded; left out if another budget is given |
| settings_adopted | recorded, without policy and budget if others are given; left out if nothing remains |
| turn_began | recorded, with the pages that a retriever finds, if the rule uses one |
| update_staged, restaged updates | recorded, with their numbers in this run |
| boundary_reached | with the staged pages that are dirty in this run, on top of this run's versions |
| a compaction by a policy's threshold | left out: the run compacts by its own (`Refeed.due`) |
| any other | recorded |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from msgspec.structs import replace

from clawvm_es.core import lifecycle, writeback
from clawvm_es.core.state import State
from clawvm_es.engine.scopes import SESSION
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Evidence, Op, StagedPage, Trigger, UpdateFacts
from clawvm_es.model.pages import FULL
from clawvm_es.model.profile import Profile

Retrieved = Callable[[int], tuple[str, ...]]
"""The pages, so many at most, that a retriever finds for the turn that is given now."""


@attrs.define
class Refeed:
    """Turns recorded inputs into those of another run; called in order, each time with that run's state."""

    profile: Profile | None
    budget_tokens: int | None
    updates: dict[int, int] = attrs.field(factory=dict)  # number of an update as recorded → in this run

    def given(self, state: State, data: e.Input, retrieved: Retrieved) -> e.Input | None:
        """The input to feed in place of a recorded one; None if it is left out."""
        if isinstance(data, e.SessionOpened):
            profile, budget = self.profile or data.profile, self.budget_tokens or data.budget_tokens
            return replace(data, profile=profile, budget_tokens=budget)
        if isinstance(data, e.SessionForked):
            return replace(
                data,
                parent_version=state.version,
                profile=None if self.profile else data.profile,
                budget_tokens=None if self.budget_tokens else data.budget_tokens,
            )
        if isinstance(data, e.BudgetChanged) and self.budget_tokens is not None:
            return None
        if isinstance(data, e.SettingsAdopted):
            return self._adopted(data)
        if isinstance(data, e.TurnBegan):
            found = retrieved(state.profile.top_k) if state.profile.retrieves else ()
            return replace(data, retrieved=found)
        if isinstance(data, e.UpdateStaged):
            self.updates[data.update] = len(state.updates) + 1
            return replace(data, update=len(state.updates) + 1)
        if isinstance(data, e.BoundaryReached):
            own = data.boundary is Boundary.COMPACT and data.trigger is Trigger.THRESHOLD
            return None if own else self._boundary(state, data)
        return data

    def _adopted(self, data: e.SettingsAdopted) -> e.SettingsAdopted | None:
        left = e.SettingsAdopted(
            None if self.profile else data.profile,
            None if self.budget_tokens else data.budget_tokens,
            data.on_pressure,
        )
        return None if left == e.SettingsAdopted() else left

    def _boundary(self, state: State, data: e.BoundaryReached) -> e.BoundaryReached:
        restaged = tuple(
            replace(again, update=self.updates.get(again.update, again.update))
            for again in data.restaged
            if self.updates.get(again.update, again.update) in state.pending
        )
        return replace(data, staged=writeback.rebased(state, data.staged), restaged=restaged)

    @staticmethod
    def due(state: State, turn: e.TurnBegan) -> e.BoundaryReached | None:
        """The boundary that the run's own thresholds bring about before a turn; None if there is none."""
        boundary = lifecycle.due(state, turn.fixed_tokens)
        return None if boundary is None else reached(state, boundary, Trigger.THRESHOLD)


def reached(state: State, boundary: Boundary, trigger: Trigger) -> e.BoundaryReached:
    """A boundary at which the policy writes back dirty pages; without texts, by the facts in a state.

    A state does not hold a page's size in bytes: its tokens are used instead, which suffices for non-empty pages.
    """
    if not lifecycle.stages(state, boundary):
        return e.BoundaryReached(boundary, trigger)
    return e.BoundaryReached(boundary, trigger, tuple(map(partial(staged, state), state.dirty)))


def staged(state: State, page_id: str) -> StagedPage:
    """A dirty page as a boundary writes it back."""
    page = state.pages[page_id]
    facts = UpdateFacts(
        field=page_id,
        op=Op.SET_WITH_VERSION,
        value=page.bodies[FULL] or "",
        size_bytes=max(1, page.full_tokens),
        evidence=Evidence(page_id=page_id),
        base_version=state.store.get((SESSION, page_id), 0),
    )
    return StagedPage(page_id, facts)
