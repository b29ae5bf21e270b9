"""The tool that makes many sessions out of a few: the same each time, each with an id and texts of its own."""

from __future__ import annotations

import importlib
import shutil

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.importing import find, import_files
from clawvm_es.storage import verify
from tests.conftest import ROOT


@pytest.fixture
def tool(monkeypatch):
    """The tool's module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("sessions")


@pytest.fixture
def traces(tmp_path):
    """A folder with one session."""
    folder = tmp_path / "traces"
    folder.mkdir()
    source = ROOT / "clawvm_es" / "cli" / "demo_session.jsonl"
    shutil.copy(source, folder / "one.jsonl")
    return folder


def test_a_seed_makes_the_same_sessions_and_they_are_imported(tool, traces, tmp_path):
    """Ids and bytes follow from the seed, texts are not shared, and an import reads them all."""
    made = dict(tool.sessions(traces, 4, seed=1))
    assert made == dict(tool.sessions(traces, 4, seed=1)) and len(made) == 4
    assert set(made).isdisjoint(dict(tool.sessions(traces, 4, seed=2)))
    tool.write(traces, 4, 1, tmp_path / "many")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        done = list(import_files(journal, find([tmp_path / "many"]), counter="lines4"))
    assert [each.error for each in done] == [""] * 4
    assert {session for each in done for session in each.sessions} >= {name.removesuffix(".jsonl") for name in made}
    assert verify(tmp_path / "j.db") == ()


@pytest.mark.sweep(sample=0)
def test_growth_is_told_for_each_verb(tool, traces, tmp_path, capsys):
    """Each verb is run over each number of sessions, and its cost is told beside the one before."""
    rows = tool.grow(traces, [1, 2], 1, tmp_path)
    assert [row["sessions"] for row in rows] == [1] * 6 + [2] * 6
    assert all(row["cpu_s"] > 0 and row["memory_mb"] > 10 for row in rows)
    assert capsys.readouterr().out.count("CPU × ") == 6
