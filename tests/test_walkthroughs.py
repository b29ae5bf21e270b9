"""Walk-throughs: the edits that a new page type, selection rule or event type takes, made in a copy of the package.

Storages and formats have their own (`contract/test_toy.py`, `importers/`). Each edit is a line to find and the text
that goes before it; a program then uses what is new from end to end in the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import clawvm_es

PACKAGE = Path(clawvm_es.__file__).parent
FILES_MAX = 4

PAGE_TYPE = {
    "model/pages.py": [
        ('    SUMMARY = "summary"\n', '    GLOSSARY = "glossary"\n'),
        (
            "        PageType.SUMMARY: TypeRule(",
            "        PageType.GLOSSARY: TypeRule(_S, Pin.SOFT, (_F, _S), True, True, 2, _STATED, 2),\n",
        ),
    ],
}
SELECTION_RULE = {
    "model/profile.py": [
        ('    COMPACTION = "compaction"\n', '    RESULTS = "results"\n'),
        (
            "        Rule.COMPACTION: RuleRow(",
            '        Rule.RESULTS: RuleRow("newest results", whole_results=True),\n',
        ),
    ],
}
EVENT_TYPE = {
    "model/events.py": [
        (
            "class BudgetChanged(",
            '''class FixedRegionGrew(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The harness's own part of the prompt grew, so that less is left for pages."""

    TYPE: ClassVar[str] = "fixed_region_grew"
    SCHEMA_VERSION: ClassVar[int] = 1
    by_tokens: Tokens


''',
        ),
        ("    | BudgetChanged\n", "    | FixedRegionGrew\n"),
    ],
    "core/decide.py": [("        e.BudgetChanged: _nothing,\n", "        e.FixedRegionGrew: _nothing,\n")],
    "core/evolve.py": [
        (
            "def _budget_changed(",
            """def _fixed_region_grew(state: State, event: e.FixedRegionGrew) -> None:
    state.budget_tokens -= event.by_tokens


""",
        ),
        ("        e.BudgetChanged: _budget_changed,\n", "        e.FixedRegionGrew: _fixed_region_grew,\n"),
    ],
    "projections/handlers.py": [
        (
            "def _budget_changed(",
            """def _fixed_region_grew(s: SessionFold, data: e.FixedRegionGrew) -> None:
    s.row.budget_tokens -= data.by_tokens


""",
        ),
        ("    e.BudgetChanged: _budget_changed,\n", "    e.FixedRegionGrew: _fixed_region_grew,\n"),
    ],
}

BEGIN = """
import sys
from attrs import evolve
from clawvm_es.core.profiles import LRU
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redecide import redecide
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.profile import Rule
from clawvm_es.projections import projections_problems

def whole(journal):
    assert redecide(read_session(journal.log, "s")) > 0
    assert projections_problems(journal.log) == []

with Journal.open(sys.argv[1]) as journal:
"""
USES = {
    "page type": """
    with journal.session("s", budget_tokens=120, counter="lines4") as session:
        page = session.write_page("glossary", "- epoch: a time between two selections")
        for turn in range(4):
            session.user_says("words " * 30)
            assert "a time between two selections" in session.assemble().text
        session.compact()
        assert ("session", page) in session.state.store  # it is written back
    whole(journal)
""",
    "selection rule": """
    policy = evolve(LRU, name="newest_results", rule=Rule.RESULTS)
    with journal.session("s", budget_tokens=120, counter="lines4", policy=policy) as session:
        for turn in range(4):
            (call,) = session.observe_model(f"look {turn}", [("read", {"path": f"{turn}.txt"})])
            session.observe_result(call, f"the content of {turn}")
            shown = session.assemble().text
        assert "the content of 3" in shown
    whole(journal)
""",
    "event type": """
    with journal.session("s", budget_tokens=500, counter="lines4") as session:
        session.execute(Command(e.FixedRegionGrew(100), 1))
        assert session.state.budget_tokens == 400
        session.assemble()
    with journal.session("s", counter="lines4") as session:
        assert session.state.budget_tokens == 400
    whole(journal)
""",
}


def edited(place: Path, edits: dict[str, list[tuple[str, str]]]) -> Path:
    """A copy of the package with edits made; each line to find is there exactly once."""
    copy = shutil.copytree(PACKAGE, place / "clawvm_es", ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in edits.items():
        path = Path(copy) / name
        text = path.read_text(encoding="utf-8")
        for before, new in changes:
            assert text.count(before) == 1, f"{name}: {before!r} is there {text.count(before)} times"
            text = text.replace(before, new + before)
        path.write_text(text, encoding="utf-8")
    return place


def run(place: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that imports the package from a place."""
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=place, check=False)


@pytest.mark.parametrize(
    ("edits", "use"),
    [(PAGE_TYPE, "page type"), (SELECTION_RULE, "selection rule"), (EVENT_TYPE, "event type")],
    ids=["page type", "selection rule", "event type"],
)
def test_something_new_takes_few_files(tmp_path, edits, use):
    """With edits of up to four files it is recorded, decided, projected, resumed, and decided again the same."""
    assert len(edits) <= FILES_MAX
    done = run(edited(tmp_path, edits), BEGIN + USES[use], str(tmp_path / "j.db"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("edits", "left_out", "said"),
    [
        (PAGE_TYPE, ("model/pages.py", 1), "page types without a row in PAGE_TYPES: glossary"),
        (SELECTION_RULE, ("model/profile.py", 1), "rules without a row in RULES: results"),
        (EVENT_TYPE, ("core/decide.py", 0), "event types without a row in core.decide.DECIDERS: FixedRegionGrew"),
        (EVENT_TYPE, ("core/evolve.py", 1), "event types without a row in core.evolve.HANDLERS: FixedRegionGrew"),
        (
            EVENT_TYPE,
            ("projections/handlers.py", 1),
            "event types without a row in projections.handlers: FixedRegionGrew",
        ),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_a_forgotten_part_fails_at_import(tmp_path, edits, left_out, said):
    """The import says by name which row is missing."""
    name, number = left_out
    kept = {
        path: [edit for n, edit in enumerate(changes) if (path, n) != (name, number)]
        for path, changes in edits.items()
    }
    done = run(edited(tmp_path, kept), "import clawvm_es.core.decide, clawvm_es.core.evolve, clawvm_es.projections")
    assert done.returncode != 0
    assert said in done.stderr
