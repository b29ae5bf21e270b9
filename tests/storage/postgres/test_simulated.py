"""The simulator over PostgreSQL: a seed fixes what its clients do; the server itself stays."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import ROOT


@pytest.fixture
def broken(server, monkeypatch):
    """A function from seeds to the laws that they break."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    run = importlib.import_module("simulate.run")
    url = server.url("x").partition("?")[0]
    return lambda seeds: {seed: found for seed in seeds if (found := run.once(seed, url)) is not None}


@pytest.mark.parametrize("first", (0, 5))
def test_the_laws_hold_on_a_server(broken, first):
    """Late deliveries, processes that die at any write, other writers: the laws hold."""
    assert broken(range(first, first + 5)) == {}


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_more_seeds_hold_on_a_server(broken, first):
    """Two hundred seeds."""
    assert broken(range(first, first + 20)) == {}
