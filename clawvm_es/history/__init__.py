"""Time travel: state, levels and prompt of a session at any place in its log."""

from __future__ import annotations

from clawvm_es.history.places import ShownPrompt, end_of_turn, prompt_at, range_of_turn, state_at
from clawvm_es.history.redecide import Difference, redecide

__all__ = ["Difference", "ShownPrompt", "end_of_turn", "prompt_at", "range_of_turn", "redecide", "state_at"]
