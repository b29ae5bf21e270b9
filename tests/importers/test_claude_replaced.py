"""Claude Code: stubs that the model saw in place of results, and rows that left the context one by one."""

from __future__ import annotations

from typing import Any

import pytest

from clawvm_es.importers import Recording
from clawvm_es.model.facts import Cut
from clawvm_es.observe.steps import ContextDropped, Summary, ToolResult, UserMessage
from tests.importers.test_claude_tree import Translate, recording, resident, result, row, use
from tests.importers.texts import finished

CALLED = [row("u", None, "user", "go"), row("a", "u", "assistant", [use("t1"), use("t2")])]
RESULTS = [result("r1", "a", "t1"), result("r2", "r1", "t2")]
NEXT = row("b", "r2", "assistant", [{"type": "text", "text": "ok"}])


def stub(call_id: str = "t1", text: Any = "stub", **more: Any) -> dict[str, Any]:
    """A row that names the text which the model saw in place of a result."""
    told = {"kind": "tool-result", "toolUseId": call_id, "replacement": text}
    return {"type": "content-replacement", "sessionId": "s", "replacements": [told], **more}


def results(found: Recording) -> list[str]:
    """The texts of the results."""
    return [step.text for step in found.steps if isinstance(step, ToolResult)]


@pytest.mark.parametrize("place", [0, 2, 3, 4])
def test_a_result_is_what_the_model_saw_of_it(place: int) -> None:
    """A stub stands in place of the whole result, wherever its row is before the next answer, also in a copy."""
    rows = [*CALLED, *RESULTS]
    whole = recording([*rows[:place], stub(), *rows[place:], NEXT])
    assert results(whole) == ["stub", "result of t2"] and not whole.skipped
    assert not any(isinstance(step, ContextDropped) for step in whole.steps)
    for cut in range(1, len(rows) + 1):
        done = finished(recording([*rows[:place], stub(), *rows[place:], NEXT][:cut]))
        assert done == whole.steps[: len(done)]


def test_a_stub_that_comes_late_takes_the_result_out() -> None:
    """Where a prompt came between a result and its stub, the result leaves, and the stub is the harness's text."""
    typed = row("v", "r2", "user", "and this")
    found = recording(
        [*CALLED, *RESULTS, typed, stub(), row("b", "v", "assistant", [{"type": "text", "text": "ok"}])]
    )
    dropped = next(step for step in found.steps if isinstance(step, ContextDropped))
    assert (dropped.cut, dropped.dropped_calls) == (Cut.MICRO, (1,))
    assert [step.text for step in found.steps if isinstance(step, UserMessage) and step.harness] == ["stub"]


def test_stubs_of_an_agent_and_odd_ones() -> None:
    """A stub of an agent is that of its own result; one without a call or a text is counted."""
    own = [{**each, "isSidechain": True, "agentId": "x"} for each in [*CALLED, *RESULTS]]
    assert results(recording([*own, stub(agentId="x")])) == ["stub", "result of t2"]
    odd = recording([*CALLED, *RESULTS, stub("", "x"), stub("t1", 7), stub("t9"), NEXT])
    assert results(odd) == ["result of t1", "result of t2"] and odd.skipped == {"custom": 2}


def test_rows_that_were_snipped_left(translate: Translate, vault: Any) -> None:
    """A boundary of snipping names the rows that left for good: a later rewind does not bring them back."""
    snip = {"type": "system", "subtype": "snip_boundary", "uuid": "x", "parentUuid": "b", "sessionId": "s"}
    rows = [*CALLED, *RESULTS, NEXT, {**snip, "snipMetadata": {"removedUuids": ["r1", "no row"]}}]
    found = recording(rows)
    assert [step.cut for step in found.steps if isinstance(step, ContextDropped)] == [Cut.MICRO]
    assert resident(translate(found), vault) == ["go", "result of t2", "ok"]
    again = recording([*rows, row("w", "x", "user", "more"), row("y", "x", "user", "else")])
    assert resident(translate(again), vault) == ["go", "result of t2", "ok", "else"]
    none = recording([*rows[:-1], {**snip, "snipMetadata": {"removedUuids": ["no row"]}}])
    assert none.skipped == {"unknown_parent": 1}


def test_rows_that_were_collapsed_left_a_summary(translate: Translate, vault: Any) -> None:
    """A collapse takes rows out from its first to its last, and puts its text in their place."""
    told = {"firstArchivedUuid": "u", "lastArchivedUuid": "r1", "summaryUuid": "z", "summary": "s"}
    commit = {"type": "marble-origami-commit", "sessionId": "s", "summaryContent": "<collapsed>s</collapsed>", **told}
    found = recording([*CALLED, *RESULTS, NEXT, commit, {"type": "marble-origami-snapshot", "sessionId": "s"}])
    assert [step.text for step in found.steps if isinstance(step, Summary)] == ["<collapsed>s</collapsed>"]
    assert resident(translate(found), vault) == ["result of t2", "ok", "<collapsed>s</collapsed>"]
    assert found.skipped == {"custom": 1}


@pytest.mark.parametrize(("origin", "harness"), [("human", False), ("task-notification", True), ("channel", True)])
def test_the_origin_of_a_row_tells_its_author(origin: str, harness: bool) -> None:
    """Words that others than the user sent in are not the user's, whatever they say."""
    (found,) = recording([row("u", None, "user", "go", origin={"kind": origin})]).steps
    assert isinstance(found, UserMessage) and found.harness is harness


def test_what_only_the_provider_reads_is_no_text() -> None:
    """The encrypted page of a search that the provider ran is counted, and stands in no result."""
    page = {"type": "web_search_result", "title": "T", "url": "http://u", "encrypted_content": "E"}
    blocks = [
        {"type": "server_tool_use", "id": "t1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "t1", "content": [page]},
    ]
    found = recording([row("u", None, "user", "go"), row("a", "u", "assistant", blocks)])
    assert results(found) == ["T\nhttp://u"] and found.skipped == {"encrypted": 1}
