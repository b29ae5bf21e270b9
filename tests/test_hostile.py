"""Every verb over hostile files: no traceback, one line, the right exit code, bounded memory."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = str(Path(__file__).resolve().parent.parent / "tools")
SAMPLE = (
    "trigger endless", "foreign view", "altered endless view as sessions", "user version newer", "home trust",
    "home claude pipe",
)  # fmt: skip


@contextmanager
def tools():
    """The folder of tools on the path of imports, as each tool has it."""
    sys.path.insert(0, TOOLS)
    try:
        yield
    finally:
        sys.path.remove(TOOLS)


with tools():
    NAMES = importlib.import_module("hostile.corpus").names()


@pytest.fixture(scope="module")
def tool():
    """The tool's modules, as it imports them itself."""
    with tools():
        yield {name: importlib.import_module(f"hostile.{name}") for name in ("corpus", "runs")}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_answered_rightly(tool, tmp_path, name):
    """No verb has anything to complain of in these files."""
    for case in tool["corpus"].make(tmp_path, 1, name):
        assert tool["runs"].here(tmp_path, case).complaints == ()


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
    """The whole corpus of seed 1, made once in a process."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    with tools():
        importlib.import_module("hostile.corpus").make(folder, 1)
    return folder


@pytest.mark.sweep(sample=4)
@pytest.mark.parametrize("name", NAMES)
def test_every_hostile_file_is_answered_rightly(tool, corpus_folder, name):
    """No verb raises, hangs, says more than one line, ends with a wrong code or takes too much memory."""
    case = next(case for case in tool["corpus"].read(corpus_folder) if case.name == name)
    (found,) = tool["runs"].run(corpus_folder, [case], 1)
    assert [*found.complaints, *tool["runs"].too_large(corpus_folder, found)] == []


def test_every_verb_is_run():
    """No verb that reads or writes a journal, or fills one from files, is left out of the runs over hostile files."""
    from clawvm_es.cli.verbs import Use, using

    with tools():
        verbs, good = (importlib.import_module(f"hostile.{name}") for name in ("verbs", "specimens"))
        names = good.Specimens(Path("good"))
        kinds = ("stranger", "note", "recording", "home")
        lines = [line for kind in kinds for line in verbs.calls(kind, Path("x"), names, Path("out"))]
    assert {line[0] for line in lines} >= {*using(Use.READS, Use.WRITES, Use.FILLS), "doctor"}
    assert verbs.ARGUMENTS.keys() <= set(using(Use.READS, Use.WRITES))
