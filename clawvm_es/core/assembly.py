"""Decisions of one prompt assembly: level changes, the prompt's totals and digest, pressure, and faults."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from clawvm_es.core import epochs, recorded
from clawvm_es.core.changes import add_changes, faults
from clawvm_es.core.layout import by_turn, hidden
from clawvm_es.core.selector import Selection, select
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.pages import ABSENT


def assemble(state: State, turn: e.TurnBegan) -> list[e.Decision]:
    """The decisions that follow a `turn_began`."""
    if state.as_recorded:
        return recorded.assemble(state, turn)
    if state.in_epochs:
        return epochs.assemble(state, turn)
    return conclude(state, turn, select(state, turn))


def conclude(state: State, turn: e.TurnBegan, selection: Selection) -> list[e.Decision]:
    """Yield the decisions of an assembly from what was selected."""
    decisions: list[e.Decision] = []
    if selection.levels != state.resident:
        add_changes(decisions, state, selection)
    decisions.append(_assembled(state, turn, selection))
    decisions.extend(selection.pressure)
    levels = selection.levels
    short = [page_id for page_id, floor in state.required.items() if levels.get(page_id, ABSENT) < floor]
    if short:
        decisions.extend(faults(state, levels, selection.pressure, short))
    return decisions


def _assembled(state: State, turn: e.TurnBegan, selection: Selection) -> e.PromptAssembled:
    levels, reserve = selection.levels, selection.directory_tokens
    directory = hidden(state, len(levels)) if reserve else 0
    tags, sizes = by_turn(state, levels, state.arrivals, directory, reserve)
    tokens = turn.fixed_tokens + sum(sizes) + (0 if directory else reserve)
    digest = sha256("\n".join(tags).encode()).hexdigest()
    state.memo = (digest, tags)
    return e.PromptAssembled(
        state.budget_tokens,
        tokens,
        len(levels),
        tokens - _cached(state, turn, tags, sizes, 0 if directory else reserve),
        digest,
        reserve,
        selection.utility,
        selection.bound,
    )


def _cached(state: State, turn: e.TurnBegan, tags: Sequence[str], sizes: Sequence[int], spare: int) -> int:
    """Tokens before the first piece that differs from the previous prompt; `spare` are reserved but unused tokens."""
    if turn.fixed_tokens != state.assembled_fixed:
        return 0
    before = state.assembled_tags
    if tags == before:
        return turn.fixed_tokens + sum(sizes) + spare
    same = 0
    for now, was in zip(tags, before, strict=False):
        if now != was:
            break
        same += 1
    return turn.fixed_tokens + sum(sizes[:same])
