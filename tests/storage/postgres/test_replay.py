"""The same seeded replay comes to the same journal on every storage: rows, hashes, bodies, states and read models."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import verifying
from clawvm_es.projections import projections_problems, snapshot
from clawvm_es.projections.tables import TABLES
from clawvm_es.testing import FakeClock
from tests.conftest import ROOT

SMALL = ("gemini/9c_53780d06b7_0.json", "claude_code/488c5296-fc78-4fdf-8cfd-f1cae9454bd0.jsonl")


def told(url, path: Path):
    """All that a journal says after a file was replayed into it, and what is wrong with it."""
    with Journal.open(url, seed=7, clock=FakeClock()) as journal:
        replay(journal, path, ReplaySettings(budget_tokens=8000))
        log = journal.log
        events = list(log.read_all())
        names = sorted({name for each in events for name in named_commitments(each.raw)})
        with snapshot(log) as models:
            rows = [list(models.rows(table)) for table in TABLES]
        problems = [*verifying(log, "verify").verify(), *projections_problems(log)]
        return events, [log.stored(name) for name in names], log.heads(), log.bodies_kept(), rows, problems


def assert_same(path: Path, url: str, folder: Path) -> None:
    """Replay a file into the three storages, and compare everything."""
    first, *others = (told(each, path) for each in (folder / "j.db", "memory:", url))
    assert first[0] and first[-1] == []
    for other in others:
        assert other[0] == first[0]
        assert [(each.session_id, each.version, each.hash) for each in other[2]] == [
            (each.session_id, each.version, each.hash) for each in first[2]
        ]
        assert (other[1], *other[3:]) == (first[1], *first[3:])


@pytest.mark.parametrize("name", SMALL)
def test_small_sessions_are_the_same_on_every_storage(traces, url, tmp_path, name):
    """Recorded sessions of two harnesses: SQLite, memory and PostgreSQL hold the same bytes."""
    assert_same(traces / name, url, tmp_path)


def _all_traces() -> list[str]:
    folder = ROOT.parent / "shared" / "traces"
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*.*") if each.name != "README.md")


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("name", _all_traces())
def test_every_session_is_the_same_on_every_storage(traces, url, tmp_path, name):
    """All recorded sessions."""
    assert_same(traces / name, url, tmp_path)
