"""The recorded harness beside a policy whose prompts hold pages alone.

A harness's prompts hold the arguments of calls and what the model thought too. Where the other side's prompts hold
neither, both are compared by their pages: the same counter, the same needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.profiles import RECORDED
from clawvm_es.core.state import State
from clawvm_es.history.figures import Figures
from clawvm_es.history.refeed import Refeed
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command


def pages_alone(data: e.Input) -> e.Input:
    """An input without arguments and thoughts: those of a harness's prompts that are no pages."""
    if isinstance(data, e.ToolCalled) and data.levels:
        return replace(data, levels=())
    if isinstance(data, e.ModelResponded) and data.thinking_tokens:
        return replace(data, thinking_tokens=0)
    return data


def harness_figures(inputs: Iterable[e.Input]) -> Figures:
    """Figures of the recorded harness on some inputs, its prompts counted by their pages alone."""
    figures = Figures()
    for event in _events(map(pages_alone, inputs)):
        figures.count(event)
    return figures


def _events(inputs: Iterable[e.Input]) -> Iterator[e.Event]:
    state, feed = State(), Refeed(RECORDED, 0)
    for data in inputs:
        given = feed.given(state, data, lambda top_k: ())
        if isinstance(given, e.SessionOpened):
            given = replace(given, budget_tokens=0)
        if given is None:
            continue
        for event in decide(state, Command(given, 0)):
            apply(state, event)
            yield event
