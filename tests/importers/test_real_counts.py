"""Every recorded session is counted as its raw file has it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

from clawvm_es.importers import read
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.observe.steps import ContextDropped, ModelMessage, ToolResult, UserMessage


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def blocks_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The content blocks of a row's message."""
    content = row["message"]["content"]
    return content if isinstance(content, list) else []


def abandoned_exits(rows: list[dict[str, Any]]) -> int:
    """Count the resumed sessions that hang on a row before the `/exit` that ended them: no trace branches else."""
    placed = [r for r in rows if r.get("uuid")]
    pairs = itertools.pairwise(placed)
    return sum(
        after["type"] == "assistant"
        and after["message"]["model"] == "<synthetic>"
        and after["parentUuid"] != before["uuid"]
        and "local-command-stdout" in str(before.get("message"))
        for before, after in pairs
    )


def absorbed(rows: list[dict[str, Any]]) -> list[str]:
    """The prompts that were queued and then removed, as given to the model in mid-turn."""
    operations = [r for r in rows if r["type"] == "queue-operation"]
    pairs = itertools.pairwise(operations)
    return [one["content"] for one, other in pairs if other["operation"] == "remove"]


INFERRED = {
    "08940314": [(55, 4)],
    "266b3f40": [(760, 0)],
    "44df7d08": [(241, 22), (774, 18)],
    "4a364c97": [(46, 8)],
    "6113e919": [(106, 9)],
    "fdd24234": [(154, 12)],
}
"""Claude Code's files that lost results without a row: the lines of calls that were asked with less, and how many."""


def test_claude_code_counts(traces: Path) -> None:
    """Turns, calls, results and boundaries of each Claude Code file equal those of its rows."""
    for path in sorted((traces / "claude_code").glob("*.jsonl")):
        rows = rows_of(path)
        main, *agents = read(path)
        answers = [r for r in rows if r["type"] == "assistant" and r["message"]["model"] != "<synthetic>"]
        blocks = [(r["message"]["id"], b["type"]) for r in answers for b in blocks_of(r)]
        turns = {i for i, kind in blocks if kind in ("text", "tool_use")}
        results = sum(b["type"] == "tool_result" for r in rows if r["type"] == "user" for b in blocks_of(r))
        subtypes = Counter(r.get("subtype") for r in rows if r["type"] == "system")
        boundaries = Counter(s.boundary for s in main.steps if isinstance(s, ContextDropped) and s.told_by is None)
        assert main.session_id == path.stem, path.name
        assert main.tool_calls == sum(kind == "tool_use" for _, kind in blocks), path.name
        assert main.turns == len(turns), path.name
        assert sum(isinstance(step, ToolResult) for step in main.steps) == results, path.name
        assert boundaries[Boundary.COMPACT] == subtypes["compact_boundary"], path.name
        rewinds = sum(s.cut is Cut.REWIND for s in main.steps if isinstance(s, ContextDropped))
        assert boundaries[Boundary.PRUNE] - rewinds == subtypes["microcompact_boundary"], path.name
        assert rewinds == abandoned_exits(rows), path.name
        cuts = [s for each in (main, *agents) for s in each.steps if isinstance(s, ContextDropped) and s.told_by]
        assert [(s.lines.first, len(s.dropped_calls)) for s in cuts] == INFERRED.get(path.stem[:8], []), path.name
        prompts = [s.text for s in main.steps if isinstance(s, UserMessage)]
        assert all(text in prompts for text in absorbed(rows)), path.name
        ids = {r["data"]["agentId"] for r in rows if r["type"] == "progress" and "agentId" in r["data"]}
        assert {a.session_id for a in agents} == {f"{path.stem}/agent-{i}" for i in ids}, path.name
        assert all(agent.linked_to == main.session_id and agent.tool_calls for agent in agents), path.name


def test_pi_counts(traces: Path) -> None:
    """Turns, calls and compactions of each pi file equal those of its entries."""
    for path in sorted((traces / "pi").glob("*.jsonl")):
        rows = rows_of(path)
        (main,) = read(path)
        answers = [r["message"]["content"] for r in rows if r.get("message", {}).get("role") == "assistant"]
        spoken = [[b["type"] for b in content if b["type"] in ("text", "toolCall")] for content in answers]
        assert main.session_id == rows[0]["id"]
        assert main.turns == sum(bool(kinds) for kinds in spoken), path.name
        assert main.tool_calls == sum(kinds.count("toolCall") for kinds in spoken), path.name
        assert main.skipped["empty_turn"] == sum(not kinds for kinds in spoken), path.name
        boundaries = Counter(s.boundary for s in main.steps if isinstance(s, ContextDropped))
        assert boundaries == Counter({Boundary.COMPACT: sum(r["type"] == "compaction" for r in rows)}) + Counter()


def test_v1_and_v3_of_one_session_are_one_session(traces: Path) -> None:
    """The v1 file and the v3 file derived from it give the same steps."""
    (old,) = read(traces / "pi" / "before-compaction.jsonl")
    (new,) = read(traces / "pi" / "before-compaction.v3.jsonl")
    assert len(old.steps) == len(new.steps)
    assert [n for n, (a, b) in enumerate(zip(old.steps, new.steps, strict=True)) if a != b] == []


def test_taubench_counts(traces: Path) -> None:
    """Each tau-bench session has the turns and calls of its messages, and every result finds its call."""
    (path,) = (traces / "taubench").glob("*.json")
    sessions, recordings = json.loads(path.read_bytes()), read(path)
    assert len(recordings) == len(sessions) == 200
    assert len({recording.session_id for recording in recordings}) == 200
    for session, recording in zip(sessions, recordings, strict=True):
        answers = [m for m in session["traj"] if m["role"] == "assistant"]
        assert recording.session_id.endswith(f"-task-{session['task_id']}-trial-{session['trial']}")
        assert recording.turns == len(answers)
        assert recording.tool_calls == sum(len(m.get("tool_calls") or ()) for m in answers)
        answered = [s.call for s in recording.steps if isinstance(s, ToolResult) and not s.unmatched]
        assert answered == [c.call for s in recording.steps if isinstance(s, ModelMessage) for c in s.calls]
