"""Claude Code itself, against a fake API: what its sessions leave in the journal, what a compaction gives back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal, importers
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ToldBy
from clawvm_es.model.pages import PageType
from clawvm_es.web.app import app
from tests.integrations.fake_anthropic import ANTHROPIC, Block, calls, says, texts
from tests.integrations.fake_api import FakeApi
from tests.integrations.programs import ClaudeCode, claude_code, clawvm
from tests.web.conftest import PORT, TOKEN, Client

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
    asked = [message for message in request["messages"] if message["role"] == "user"]  # newer ones end with reminders
    return "detailed summary" in json.dumps(asked[-1])


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
    with FakeApi(ANTHROPIC, script).running() as api:
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
    ((recording,),) = (importers.read(path) for path in claude.transcripts())
    assert "unknown_record" not in recording.skipped
    clawvm("doctor", home=claude.home)
    clawvm("uninstall", "claude-code", home=claude.home)
    assert not claude.settings.exists()
    assert not claude.spool.exists(), os.listdir(claude.spool)


def test_five_compactions_in_a_row(claude: ClaudeCode) -> None:
    """Each next request holds plan and rules once, and what is given back does not grow; every verb reads it."""
    with FakeApi(ANTHROPIC, answering(PLAN, [says("planned")])).running() as api:
        claude.talk(api, ["plan", *["/compact", "go on"] * 5])
        asked = [texts(request) for request in api.requests if not is_summary(request)]
    after = [
        said.partition("Here are the existing tasks")[0] for said in asked[-5:]
    ]  # its own reminder, now and then
    for said in after:
        assert said.count("PLAN-ONE find the bug") == said.count("PLAN-TWO mend it") == said.count("RULE-CANARY") == 1
    given = [said.partition("<clawvm page=")[2].partition("</clawvm")[0] for said in after]
    assert len({*given}) == 1 and all(given)
    directories = [said.partition("<clawvm pages=")[2].partition("</clawvm>")[0] for said in after]
    assert max(map(len, directories)) <= min(map(len, directories)) + 6  # the numbers of three more digits
    ((name, data),) = inputs(claude).items()
    reached = [each for each in data if isinstance(each, e.BoundaryReached) and each.boundary is Boundary.COMPACT]
    assert len(reached) == 5
    plan = next(each.page_id for each in data if isinstance(each, e.PageWritten) and each.page_type is PageType.PLAN)
    assert "PLAN-ONE find the bug" in clawvm("prompt", "--turn", "2", home=claude.home)
    assert plan in clawvm("why", plan, "--turn", "2", home=claude.home)
    assert "PLAN-ONE find the bug" in clawvm("show", plan, home=claude.home)
    browser = Client(app(str(claude.journal), TOKEN, PORT))
    assert browser.get(f"/api/s/{name}/map").status == 200
    assert b"PLAN-ONE find the bug" in browser.get(f"/api/s/{name}/t/2").body


def test_a_journal_that_takes_nothing(claude: ClaudeCode) -> None:
    """While it is locked, and its disk full, the harness goes on and shows nothing; then all is recorded, once."""
    small = claude.journal.parent
    shutil.rmtree(small)
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("no disk of a few bytes can be mounted here")
    journals: list[Any] = []
    told: list[str] = []

    def lock() -> None:
        journals.append(Journal.open(claude.journal))
        journals.append(journals[0].log.transaction())
        journals[1].__enter__()

    def fill() -> None:
        journals[1].__exit__(None, None, None)
        journals[0].close()
        with suppress(OSError), open(small / "filler", "wb", 0) as filler:
            while filler.write(bytes(1000)):
                pass

    def free() -> None:
        told.append(clawvm("doctor", home=claude.home, code=1))
        (small / "filler").unlink()

    try:
        clawvm("install", "claude-code", home=claude.home)
        read = [[calls("Read", file_path=str(claude.work / f"{n}.txt"))] for n in range(3)]
        with FakeApi(
            ANTHROPIC, answering(*(part for each in read for part in (each, [says("read")])))
        ).running() as api:
            said = ["read", (lock, "/compact"), "read", (fill, "/compact"), "read", (free, "go on")]
            results = claude.talk(api, said)
        assert [each["is_error"] for each in results] == [False] * 6
        hooks = [row for row in claude.shown if "hook" in str(row.get("subtype"))]
        assert not [row for row in hooks if row.get("stderr") or row.get("exit_code")]
        assert "make room" in told[0] and "problem" in told[0]
        (data,) = inputs(claude).values()
        assert Counter(each.call for each in data if isinstance(each, e.ToolReturned)) == Counter((1, 2, 3))
        assert "problem" in clawvm("doctor", home=claude.home, code=1)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_hooks_that_are_killed(claude: ClaudeCode) -> None:
    """Every hook of the first prompt is killed by signal 9: the next event takes all that it would have told."""
    tools, killed = claude.home / "bin", claude.home / "killed"
    tools.mkdir()
    python = shutil.which("python3")
    (tools / "python3").write_text(f'#!/bin/sh\ntest -e {killed} || kill -9 $$\nexec {python} "$@"\n')
    (tools / "python3").chmod(0o755)
    found: list[e.Event] = []

    def look() -> None:
        with Journal.open(claude.journal, read_only=True) as journal:
            found.extend(row.data for head in journal.log.heads() for row in journal.log.read(head.session_id))

    read = [calls("Read", file_path=str(claude.work / "0.txt"))]
    with FakeApi(ANTHROPIC, answering(read, [says("done")])).running() as api:
        said: list[Any] = ["read", (killed.touch, "/compact"), (look, "go on")]
        results = claude.talk(api, said, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert [each["is_error"] for each in results] == [False] * 3
    assert Counter(each.call for each in found if isinstance(each, e.ToolReturned)) == Counter((1,))
    assert (
        len([each for each in found if isinstance(each, e.BoundaryReached) and each.boundary is Boundary.COMPACT])
        == 1
    )


def test_two_sessions_with_parallel_calls(claude: ClaudeCode) -> None:
    """Two sessions at once, six calls in one answer each: every call is in the journal once, with its result."""
    reads = [calls("Read", file_path=str(claude.work / f"{number}.txt")) for number in range(6)]
    threads, errors = [], []

    def session() -> None:
        try:
            with FakeApi(ANTHROPIC, answering(reads, [says("done")])).running() as api:
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
    with FakeApi(ANTHROPIC, answering()).running() as api:
        said: list[Any] = ["begin"]
        for break_it in broken:
            said += [(break_it, "/compact"), "go on"]
        results = claude.talk(api, said, PATH=str(tools))
    assert len(results) == 9
    assert [each["is_error"] for each in results] == [False] * 9
    assert [each["result"] for each in results[::2]] == ["All right."] * 5
