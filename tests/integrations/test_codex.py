"""Codex itself, against a fake API: what its sessions leave in the journal, what a compaction gives back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ToldBy
from clawvm_es.model.pages import PageType
from tests.integrations.fake_api import FakeApi
from tests.integrations.fake_openai import OPENAI, Item, calls, says, texts
from tests.integrations.programs import Codex, clawvm, codex

pytestmark = pytest.mark.sweep(of="codex", sample=1)

RULE = "- You must never push to main (RULE-CANARY)."
PLAN = [{"step": "PLAN-ONE find the bug", "status": "in_progress"}, {"step": "PLAN-TWO mend it", "status": "pending"}]
TRUSTED = "--dangerously-bypass-hook-trust"
FULL_TOKENS, LIMIT_TOKENS = 300_000, 100_000


@pytest.fixture
def harness(tmp_path: Path) -> Codex:
    """Codex with clawvm's hooks, in a folder with rules and a file."""
    found = Codex.at(codex(), tmp_path)
    (found.work / "AGENTS.md").write_text(f"# Rules\n{RULE}\n")
    (found.work / "a.txt").write_text("the port is 5433\n" * 5)
    clawvm("install", "codex", home=found.home)
    return found


def is_summary(request: dict[str, Any]) -> bool:
    """Tell whether a request asks for the summary of a compaction."""
    return "CONTEXT CHECKPOINT COMPACTION" in json.dumps(request["input"][-1])


def answering(*steps: list[Item]) -> Any:
    """A script: one answer after the other, summaries apart; then short answers."""
    rest = iter(steps)

    def script(request: dict[str, Any]) -> list[Item]:
        if is_summary(request):
            return [says("We looked at one file.")]
        return next(rest, None) or [says("All right.")]

    return script


def sessions(harness: Codex) -> list[list[e.Event]]:
    """The inputs of each session, after what still waits was taken."""
    clawvm("hook", "ingest", home=harness.home)
    with Journal.open(harness.journal, read_only=True) as journal:
        names = [head.session_id for head in journal.log.heads()]
        return [[row.data for row in journal.log.read(name) if row.kind == "input"] for name in names]


def test_a_plan_a_read_and_a_forced_compaction(harness: Codex) -> None:
    """After the compaction the next request holds plan and rules once; the journal reads as an imported one."""
    script = answering(
        [says("First a plan."), calls("update_plan", plan=PLAN)],
        [calls("exec_command", cmd="cat a.txt"), calls("exec_command", cmd="echo hi")],
    )
    fake: FakeApi
    fake = FakeApi(OPENAI, script, lambda request: FULL_TOKENS if len(fake.requests) == 2 else 5_000)
    with fake.running() as api:
        harness.run(api, "plan and read", TRUSTED, model_auto_compact_token_limit=LIMIT_TOKENS)
        assert [is_summary(request) for request in api.requests] == [False, False, True, False]
        said = texts(api.requests[-1])
    assert said.count("PLAN-ONE find the bug") == said.count("PLAN-TWO mend it") == 1
    assert said.count("RULE-CANARY") == 1  # Codex puts the rules back itself
    assert said.count("<clawvm page=") == said.count("<clawvm pages=") == 1
    (found,) = sessions(harness)
    reached = [data for data in found if isinstance(data, e.BoundaryReached)]
    assert len([data for data in reached if data.boundary is Boundary.COMPACT]) == 1
    pages = [data for data in found if isinstance(data, e.PageWritten)]
    assert len({page.page_id for page in pages if page.page_type is PageType.PLAN}) == 1
    assert [page.told_by for page in pages if page.told_by] == [ToldBy.FILE]
    called = Counter(each.call for each in found if isinstance(each, e.ToolCalled))
    returned = Counter(each.call for each in found if isinstance(each, e.ToolReturned))
    assert called == returned == Counter((1, 2, 3))
    assert len([data for data in found if isinstance(data, e.RecallAnswered)]) == 1  # what we gave, shown again
    clawvm("verify", "--redecide", home=harness.home)
    before = clawvm("log", "--json", home=harness.home)
    (transcript,) = harness.transcripts()
    clawvm("import", str(transcript), "--journal", str(harness.journal), home=harness.home)
    assert clawvm("log", "--json", home=harness.home) == before
    clawvm("uninstall", "codex", home=harness.home)
    settings = [path for path in harness.folder.iterdir() if path.suffix in (".json", ".toml")]
    assert [path.name for path in settings if "clawvm" in path.read_text()] == []
    assert not harness.journal.with_name("journal.db.spool").exists()


def test_a_session_that_is_resumed_and_compacted_again(harness: Codex) -> None:
    """Each next request holds plan and rules once, each compaction and call is recorded once."""
    script = answering(
        [says("First a plan."), calls("update_plan", plan=PLAN)],
        [calls("exec_command", cmd="cat a.txt")],
        [says("done")],
        [calls("exec_command", cmd="echo two")],
        [calls("exec_command", cmd="echo three")],
    )
    fake: FakeApi
    fake = FakeApi(OPENAI, script, lambda request: FULL_TOKENS if len(fake.requests) in (2, 6) else 5_000)
    with fake.running() as api:
        for goes_on, text in enumerate(("plan and read", "go on")):
            harness.run(api, text, TRUSTED, goes_on=bool(goes_on), model_auto_compact_token_limit=LIMIT_TOKENS)
        assert [is_summary(request) for request in api.requests].count(True) == 2
        after = [texts(request) for request in api.requests[3:] if not is_summary(request)]
    for said in after:
        assert said.count("PLAN-ONE find the bug") == said.count("RULE-CANARY") == 1
        assert said.count("<clawvm page=") == said.count("<clawvm pages=") == 1
    (found,) = sessions(harness)
    reached = [data for data in found if isinstance(data, e.BoundaryReached)]
    assert len([data for data in reached if data.boundary is Boundary.COMPACT]) == 2
    returned = Counter(each.call for each in found if isinstance(each, e.ToolReturned))
    assert returned == Counter((1, 2, 3, 4))
    before = clawvm("log", "--json", home=harness.home)
    (transcript,) = harness.transcripts()
    clawvm("import", str(transcript), "--journal", str(harness.journal), home=harness.home)
    assert clawvm("log", "--json", home=harness.home) == before


def test_hooks_that_nobody_trusted_do_not_run(harness: Codex) -> None:
    """Codex skips them without a word: nothing is recorded, and `doctor` says why."""
    with FakeApi(OPENAI, answering()).running() as api:
        harness.run(api, "hello")
    assert len(api.requests) == 1 and len(harness.transcripts()) == 1
    assert sessions(harness) == []
    told = clawvm("doctor", home=harness.home, code=1)
    assert "bad   Codex: 0 of 3 hooks are trusted\n      type /hooks in Codex and trust them" in told
