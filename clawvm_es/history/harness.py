"""Compare the recorded harness with a policy whose prompts hold only pages.

A harness's prompts also hold the arguments of calls and the model's thoughts. If the other side's prompts hold
neither, both are compared by their pages, with the same counter and the same needs.
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
    """An input without arguments and thoughts, which stand in a harness's prompts but are no pages."""
    if isinstance(data, e.ToolCalled) and data.levels:
        return replace(data, levels=())
    if isinstance(data, e.ModelResponded) and data.thinking_tokens:
        return replace(data, thinking_tokens=0)
    return data


def harness_figures(inputs: Iterable[e.Input]) -> Figures:
    """Figures of the recorded harness on some inputs, counting only the pages in its prompts."""
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
