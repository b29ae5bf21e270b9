"""Claude Code itself, against a fake API: what its sessions leave in the journal, what a compaction gives back."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ToldBy
from clawvm_es.model.pages import PageType
from tests.integrations.fake_anthropic import Block, FakeAnthropic, calls, says, texts
from tests.integrations.programs import ClaudeCode, claude_code, clawvm

pytestmark = pytest.mark.sweep(of="claude-code", sample=1)

RULE = "- You must never push to main (RULE-CANARY)."
PLAN = [
    says("First a plan."),
    calls("TaskCreate", subject="PLAN-ONE find the bug", description="look", activeForm="finding"),
    calls("TaskCreate", subject="PLAN-TWO mend it", description="mend", activeForm="mending"),
]


@pytest.fixture
def claude(tmp_path: Path) -> ClaudeCode:
    """Claude Code with clawvm's hooks, in a folder with rules and a file."""
    found = ClaudeCode.at(claude_code(), tmp_path)
    (found.work / "CLAUDE.md").write_text(f"# Rules\n{RULE}\n")
    for number in range(6):
        (found.work / f"{number}.txt").write_text(f"the port is 543{number}\n" * 5)
    clawvm("install", "claude-code", home=found.home)
    return found


def is_summary(request: dict[str, Any]) -> bool:
    """Tell whether a request asks for the summary of a compaction."""
    return "detailed summary" in json.dumps(request["messages"][-1])


def answering(*steps: list[Block]) -> Any:
    """A script: one answer after the other, summaries apart; then short answers."""
    rest = iter(steps)

    def script(request: dict[str, Any]) -> list[Block]:
        if is_summary(request):
            return [says("<summary>We looked at one file.</summary>")]
        return next(rest, None) or [says("All right.")]

    return script


def inputs(claude: ClaudeCode) -> dict[str, list[e.Event]]:
    """The inputs of each session, after what still waits was taken."""
    clawvm("hook", "ingest", home=claude.home)
    with Journal.open(claude.journal, read_only=True) as journal:
        names = [head.session_id for head in journal.log.heads()]
        return {name: [row.data for row in journal.log.read(name) if row.kind == "input"] for name in names}


def test_a_plan_a_read_and_compactions(claude: ClaudeCode) -> None:
    """After each /compact the next request holds plan and rules once; the journal reads as an imported one."""
    read = [calls("Read", file_path=str(claude.work / "0.txt"))]
    begun = [calls("TaskUpdate", taskId="1", status="in_progress")]
    script = answering(PLAN, read, [says("done")], begun, [says("begun")])
    with FakeAnthropic(script).running() as api:
        claude.talk(api, ["plan and read", "/compact", "go on", "/compact", "go on"])
        asked = [texts(request) for request in api.requests if not is_summary(request)]
    for said in (asked[3], asked[5]):
        assert said.count("PLAN-ONE find the bug") == said.count("PLAN-TWO mend it") == 1
        assert said.count("RULE-CANARY") == 1
        assert said.count("<clawvm page=") == said.count("<clawvm pages=") == 1
    (found,) = inputs(claude).values()
    reached = [data for data in found if isinstance(data, e.BoundaryReached) and data.boundary is Boundary.COMPACT]
    assert [data.told_by for data in reached] == [ToldBy.HOOK] * 2
    pages = [data for data in found if isinstance(data, e.PageWritten)]
    assert len({page.page_id for page in pages if page.page_type is PageType.PLAN}) == 1
    assert [page.told_by for page in pages if page.page_type is PageType.BOOTSTRAP] == [ToldBy.FILE]
    assert len([data for data in found if isinstance(data, e.RecallAnswered)]) == 2  # what we gave, shown again
    clawvm("verify", "--redecide", home=claude.home)
    before = clawvm("log", "--json", home=claude.home)
    clawvm("import", str(claude.transcripts()[0]), "--journal", str(claude.journal), home=claude.home)
    assert clawvm("log", "--json", home=claude.home) == before
    clawvm("doctor", home=claude.home)
    clawvm("uninstall", "claude-code", home=claude.home)
    assert not claude.settings.exists() and not claude.spool.exists()


def test_two_sessions_with_parallel_calls(claude: ClaudeCode) -> None:
    """Two sessions at once, six calls in one answer each: every call is in the journal once, with its result."""
    reads = [calls("Read", file_path=str(claude.work / f"{number}.txt")) for number in range(6)]
    threads, errors = [], []

    def session() -> None:
        try:
            with FakeAnthropic(answering(reads, [says("done")])).running() as api:
                claude.talk(api, ["read all"])
        except BaseException as error:
            errors.append(error)
            raise

    for _ in range(2):
        threads.append(threading.Thread(target=session))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = inputs(claude)
    assert len(found) == 2
    for data in found.values():
        called = Counter(each.call for each in data if isinstance(each, e.ToolCalled))
        returned = Counter(each.call for each in data if isinstance(each, e.ToolReturned))
        assert called == returned == Counter(range(1, 7))


def test_the_harness_goes_on_whatever_is_missing(claude: ClaudeCode) -> None:
    """The package, the engine's interpreter, the spool and the hooks' interpreter are taken away in turn."""
    tools = claude.home / "bin"
    tools.mkdir()
    for name in ("sh", "python3", "cat", "git", "uname"):
        if found := shutil.which(name):
            (tools / name).symlink_to(os.path.realpath(found))
    engine = claude.spool / "engine.json"
    command = json.loads(engine.read_text())["command"]

    def without_package() -> None:
        engine.write_text(json.dumps({"command": [command[0], "-I", "-S", "-c", "import clawvm_es", *command[4:]]}))

    def without_engine() -> None:
        engine.write_text(json.dumps({"command": [str(claude.home / "none"), *command[1:]]}))

    def without_spool() -> None:
        (claude.spool / "spool.py").unlink()

    def without_python() -> None:
        (tools / "python3").unlink()

    broken = (without_package, without_engine, without_spool, without_python)
    with FakeAnthropic(answering()).running() as api:
        said: list[Any] = ["begin"]
        for break_it in broken:
            said += [(break_it, "/compact"), "go on"]
        results = claude.talk(api, said, PATH=str(tools))
    assert len(results) == 9
    assert [each["is_error"] for each in results] == [False] * 9
    assert [each["result"] for each in results[::2]] == ["All right."] * 5
