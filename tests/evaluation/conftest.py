"""Workloads for tests of the evaluation: small ones of any inputs, and one short session of each family."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from clawvm_es.evaluation import families
from clawvm_es.evaluation.workload import Workload, needs_of
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Holder, Need, NeedRule, Trigger
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.testing.core import opened, page

LEVELS = ((Fidelity.FULL,), (Fidelity.FULL, Fidelity.COMPRESSED), tuple(Fidelity)[1:])


def workload(
    *inputs: e.Input,
    retrieved: Sequence[tuple[str, ...]] | None = None,
    directory_tokens: int = 0,
) -> Workload:
    """A workload of these inputs; by default a retriever finds nothing."""
    turns = sum(isinstance(data, e.TurnBegan) for data in inputs)
    found = tuple(retrieved or [()] * turns)
    start = opened(directory_tokens=directory_tokens)
    return Workload("test", "test", start, inputs, tuple(needs_of(inputs)), found, (False,) * turns)


@st.composite
def turns(draw: st.DrawFn, first: int, last: int, known: int = 0) -> tuple[tuple[e.Input, ...], tuple[str, ...]]:
    """Inputs of `first` to `last` turns after `known` pages, each begun and answered, and one page found for each."""
    inputs: list[e.Input] = []
    found: list[str] = []
    pages = known
    for _ in range(draw(st.integers(first, last))):
        for _ in range(draw(st.integers(0 if pages else 1, 2))):
            pages += 1
            kind, author = draw(st.sampled_from(PageType)), draw(st.sampled_from(Author))
            inputs.append(page(pages, kind, draw(st.integers(1, 300)), author=author))
        if draw(st.integers(0, 5)) == 0:
            inputs.append(e.BoundaryReached(draw(st.sampled_from(list(Boundary)[:5])), Trigger.RECORDED))
        numbers = st.integers(1, pages)
        inputs.append(e.TurnBegan(hints=(f"p{draw(numbers)}",) if draw(st.booleans()) else ()))
        found.append(f"p{draw(numbers)}")
        holders = draw(st.lists(numbers, max_size=2, unique=True))
        at = draw(st.sampled_from(LEVELS))
        held = tuple(Holder(f"p{number}", at) for number in sorted(holders))
        inputs.append(e.ModelResponded(needs=(Need(held, NeedRule.DATA_FLOW, 1),) if held else ()))
    return tuple(inputs), tuple(found)


@pytest.fixture(scope="session")
def sessions() -> dict[str, Workload]:
    """One session of each family."""
    return {name: families.workload(name, 1) for name in families.FAMILIES}
