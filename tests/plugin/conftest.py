"""Projects of somebody else, made for a test, whose pytest has the plugin."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.history.recording import write_recording
from clawvm_es.journal.anchors import make_key
from clawvm_es.journal.lineage import read_session
from clawvm_es.testing import FakeClock, live_session

OTHER_QUALITY = (0, 900, 910, 920, 1000)
"""What the levels of a page are worth, were the selector another one."""
INSTALLED = any(each.value == "clawvm_es.pytest_plugin" for each in entry_points(group="pytest11"))


def fill(session, rounds: int = 6) -> None:
    """A session that has something to decide."""
    session.write_page("bootstrap", "- You must be careful.\n" * 5)
    for number in range(rounds):
        page = session.user_says(f"question {number} " + "words " * 30)
        session.assemble(hints=["p1"])
        (call,) = session.observe_model(f"answer {number}", [("look", {"at": number % 2})])
        session.observe_result(call, f"result {call} " + "data " * 50)
        session.stage("notes", "append", number, evidence=page)
        session.recall(f"what about {number}?", [f"memory {number}"])
        if number % 2:
            session.compact()
    session.close()


def make_journal(path: Path, *session_ids: str) -> Path:
    """A journal file with some sessions."""
    settings = Settings(fields={"notes": FieldSchema()})
    with Journal.open(path, seed=1, clock=FakeClock()) as journal:
        for session_id in session_ids:
            with live_session(session_id, journal=journal, budget_tokens=700, settings=settings) as session:
                fill(session)
    return path


def record(journal: Path, session_id: str, path: Path) -> Path:
    """A recording of one session of a journal file."""
    with Journal.open(journal, read_only=True) as opened:
        path.write_bytes(b"".join(write_recording(read_session(opened.log, session_id))))
    return path


@pytest.fixture(scope="session")
def journal(tmp_path_factory) -> Path:
    """A journal with two sessions; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("plugin")
    make_key(str(folder / "k"), "signer", 36_500, 1_800_000_000)
    return make_journal(folder / "j.db", "run-1", "run-2")


class Project:
    """A project with tests, and a pytest that has the plugin."""

    def __init__(self, pytester: pytest.Pytester, journal: Path) -> None:
        self.pytester = pytester
        self.folder = pytester.path
        self.journal = journal

    def recording(self, name: str = "run-1.clawvm.jsonl", session_id: str = "run-1") -> Path:
        """Put a recording into the project."""
        return record(self.journal, session_id, self.folder / name)

    def run(self, *arguments: str, apart: bool = False) -> pytest.RunResult:
        """Run pytest there; in this process, where what a test has patched is patched, or in one of its own."""
        plugins = ["-p", "clawvm_es.pytest_plugin", *(["-p", "xdist"] if "-n" in arguments else [])]
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return run(*plugins, *arguments)


@pytest.fixture
def project(pytester, journal, monkeypatch) -> Project:
    """An empty project; pytest loads no plugins there but ours, whatever else is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Project(pytester, journal)
