"""Sessions as OpenTelemetry spans: our own importer reads them back, and the conventions hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.errors import UsageError
from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.recording import Recording
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.integrations.otlp import export_spans
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import ModelMessage, ToolResult
from tests.integrations.sessions import Live
from tests.integrations.test_ingest import begin, compact, take


def spans(data: bytes) -> list[dict[str, Any]]:
    """The spans of all lines, attributes as a dictionary."""
    found = []
    for line in data.splitlines():
        (resource,) = json.loads(line)["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        for span in scope["spans"]:
            told = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
            found.append({**span, "attributes": told})
    return found


def answers(recording: Recording) -> list[list[Any]]:
    """What the model said and called, with its usage, answer by answer; parts of one answer joined."""
    found: list[list[Any]] = []
    for step in recording.steps:
        if not isinstance(step, ModelMessage):
            continue
        calls = [(use.name, canonical(use.arguments)) for use in step.calls]
        used, words = step.usage, " ".join(step.texts).split()
        told: list[Any] = [words, calls, used.input_tokens, used.output_tokens, used.cached_tokens]
        if step.continued:
            found[-1] = [was + more for was, more in zip(found[-1], told, strict=True)]
        else:
            found.append(told)
    return found


def results(recording: Recording) -> list[tuple[str, str]]:
    """The results of calls, in the order of their calls."""
    ended = [step for step in recording.steps if isinstance(step, ToolResult) and not step.unmatched]
    return [(step.text, str(step.status)) for step in sorted(ended, key=lambda step: step.call)]


def exported(path: Path, folder: Path) -> tuple[Recording, bytes]:
    """A recorded session, and its spans out of a journal that imported it."""
    recording = read(path)[0]
    with Journal.open(folder / "j.db") as journal:
        replay(journal, path, ReplaySettings(as_recorded=True))
        return recording, b"".join(export_spans(journal.log, recording.session_id))


@pytest.mark.parametrize("name", ["claude_code", "codex", "openhands"])
def test_read_back_by_our_importer(traces: Path, tmp_path: Path, name: str) -> None:
    """LAW-OTLP-2 on a real session of each harness: the same answers, calls, results and usage."""
    path = min((traces / name).glob("*.jsonl"), key=lambda each: each.stat().st_size)
    recording, data = exported(path, tmp_path)
    again = read_bytes(data, "spans.jsonl")
    assert [each.session_id for each in again] == [recording.session_id]
    assert answers(again[0]) == answers(recording)
    assert results(again[0]) == results(recording)


def test_conventions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Required attributes, names and kinds of spans; deterministic ids; a compaction shortens the next prompt."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    live = Live(tmp_path / "j.db", tmp_path / "work")
    begin(live)
    compact(live)
    live.user("go on")
    live.answer("all right", ("Bash", {"command": "false"}, "it failed"))
    live.answer("done")
    live.hook("Stop")
    take(live)
    with Journal.open(live.journal) as journal:
        data = b"".join(export_spans(journal.log, live.session_id))
        assert data == b"".join(export_spans(journal.log, live.session_id))
        bare = b"".join(export_spans(journal.log, live.session_id, texts=False))
        with pytest.raises(UsageError, match="no session"):
            next(export_spans(journal.log, "none"))
    found = spans(data)
    assert len({span["spanId"] for span in found}) == len(found)
    assert {span["traceId"] for span in found} == {found[0]["traceId"]}
    root = found[-1]
    assert root["name"] == "invoke_agent" and "parentSpanId" not in root
    assert len(root["events"]) >= 2
    for span in found[:-1]:
        told = span["attributes"]
        assert span["parentSpanId"] == root["spanId"]
        assert told["gen_ai.conversation.id"] == live.session_id
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        if told["gen_ai.operation.name"] == "chat":
            assert (span["name"], span["kind"]) == ("chat m", 3)
            assert told["gen_ai.provider.name"] and told["gen_ai.usage.input_tokens"] == "9"
        else:
            assert span["name"] == f"execute_tool {told['gen_ai.tool.name']}" and span["kind"] == 1
            assert told["gen_ai.tool.call.id"]
    chats = [span["attributes"] for span in found if span["name"] == "chat m"]
    prompts = [json.loads(chat["gen_ai.input.messages"]) for chat in chats]
    said = [json.dumps(prompt) for prompt in prompts]
    assert "plan and read" in said[1] and "plan and read" not in said[2]
    assert "The summary." in said[2]
    for prompt in prompts:
        parts = [part for message in prompt for part in message["parts"]]
        called = [part["id"] for part in parts if part["type"] == "tool_call"]
        assert called == [part["id"] for part in parts if part["type"] == "tool_call_response"]
    assert b"plan and read" not in bare and b"it failed" not in bare and b"chat m" in bare


def test_the_verb(tmp_path: Path, run_verb: Callable[..., str]) -> None:
    """`export --as otlp` writes the same lines."""
    with Journal.open(tmp_path / "j.db") as journal, journal.session("run-1") as session:
        session.user_says("hello")
        session.assemble()
        session.observe_model("hi")
        data = b"".join(export_spans(journal.log, "run-1"))
    run_verb("export", str(tmp_path / "j.db"), "--as", "otlp", "-o", str(tmp_path / "out.jsonl"))
    assert (tmp_path / "out.jsonl").read_bytes() == data
    assert "hello" not in run_verb("export", str(tmp_path / "j.db"), "--as", "otlp", "--no-texts")
