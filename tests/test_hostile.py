"""Every verb over hostile files: no traceback, one line, the right exit code, bounded memory."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = str(Path(__file__).resolve().parent.parent / "tools")
SAMPLE = ("trigger endless", "foreign view", "altered endless view as sessions", "user version newer")


@pytest.fixture(scope="module")
def tool():
    """The tool's modules, as it imports them itself."""
    sys.path.insert(0, TOOLS)
    try:
        yield {name: importlib.import_module(f"hostile.{name}") for name in ("corpus", "runs")}
    finally:
        sys.path.remove(TOOLS)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_answered_rightly(tool, tmp_path, name):
    """No verb has anything to complain of in these files."""
    for case in tool["corpus"].make(tmp_path, 1, name):
        assert tool["runs"].here(tmp_path, case).complaints == ()


def test_every_verb_is_run():
    """No verb of the program is left out of the runs over hostile files."""
    from clawvm_es.cli.main import cli

    sys.path.insert(0, TOOLS)
    try:
        verbs = importlib.import_module("hostile.verbs")
    finally:
        sys.path.remove(TOOLS)
    assert verbs.READING.keys() | verbs.WRITING.keys() | verbs.OTHERWISE == cli.commands.keys()
