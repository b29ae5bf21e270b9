"""Mutants of the heart of the policy that only an independent model notices: each is seen, and soon."""

from __future__ import annotations

import ast
import inspect
import textwrap
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from clawvm_es.core import evolve, layout, selector
from tests.core.test_plain_model import BesideMachine

LOOK = settings(
    max_examples=200,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MUTANTS = {
    "last_used inverted on a hit": (
        evolve,
        "_page_used",
        "page.last_used != state.turn",
        "page.last_used == state.turn",
    ),
    "score not updated after a use": (evolve, "_meet", "page.score = None", "pass"),
    "arrivals unsorted": (layout, "rendered_order", "arrived.sort(key=place)", "pass"),
    "arrivals degraded by the wrong sign": (selector, "_degrade_arrivals", "total -= ", "total += "),
    "dirty not cleared on the page": (evolve, "_update_committed", ".dirty = False", ".dirty = True"),
    "dirty not cleared in the set": (evolve, "_update_committed", "state.dirty.pop(update.page_id, None)", "pass"),
}


@contextmanager
def mutated(module, name, old, new):
    """Run a function's code with one change for a while, wherever it is referred to."""
    function = getattr(module, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{name} no longer says {old!r}"
    tree = ast.parse("from __future__ import annotations\n" + source.replace(old, new))
    namespace = dict(vars(module))
    exec(compile(tree, module.__file__, "exec"), namespace)
    before = function.__code__
    function.__code__ = namespace[name].__code__
    try:
        yield
    finally:
        function.__code__ = before


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_model_notices(mutant):
    """A session under the mutated core soon differs from the model."""
    with mutated(*MUTANTS[mutant]), pytest.raises(AssertionError):
        run_state_machine_as_test(BesideMachine, settings=LOOK)
