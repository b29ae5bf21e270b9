"""Recordings and bundles that lead in a ring, too deep, or to numbers beyond bounds are refused in one line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.history.recorded_files import read_sessions

TOOLS = str(Path(__file__).resolve().parents[2] / "tools")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The tool's modules, and good files that it made."""
    sys.path.insert(0, TOOLS)
    try:
        inputs = importlib.import_module("hostile.inputs")
        specimens = importlib.import_module("hostile.specimens")
        yield inputs, specimens.made(tmp_path_factory.mktemp("good"), 1)
    finally:
        sys.path.remove(TOOLS)


@pytest.mark.parametrize("kind", ["bundle", "recording"])
def test_each_is_refused(corpus, tmp_path, kind):
    """No fork of itself, ring, chain of 3,000 forks or `last` of 2**63 raises anything but `UnreadableInput`."""
    inputs, good = corpus
    cases = [case for case in inputs.CASES if case[1] == kind and not any(c.isdigit() for c in case[0])]
    for name, _, ending, write in cases:
        path = tmp_path / (name.replace(" ", "-") + ending)
        write(good, path, Random(name))
        with pytest.raises(UnreadableInput) as caught:
            read_sessions(path)
        assert "\n" not in str(caught.value)
