"""The two laws of imports on every recorded session, and golden needs of one of each format."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.importers import Recording, read
from clawvm_es.importers.claude_code import parse as parse_claude_code
from clawvm_es.importers.openai_chat import parse as parse_openai_chat
from clawvm_es.importers.pi import parse as parse_pi
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached, PageWritten, ToolCalled, ToolReturned, TurnBegan
from clawvm_es.model.facts import Boundary, Need, NeedRule
from clawvm_es.observe.steps import ContextDropped, ModelMessage, SystemMessage

Translate = Callable[[Recording], list[Command]]
SAMPLED = 6
FILES = [("claude_code", number) for number in range(17)] + [("pi", number) for number in range(3)]
PARSERS: dict[str, Callable[[bytes, str], Sequence[Recording]]] = {"claude_code": parse_claude_code, "pi": parse_pi}
GOLDEN = {
    "claude_code": "claude_code/9d7a9d52-7eb4-427d-847d-ee5451884f3d.jsonl",
    "pi": "pi/large-session.v3.jsonl",
    "taubench": "taubench/gpt-4o-airline.json",
    "codex": "codex/rollout-2025-11-17T15-30-28-019a93b9-f380-7600-98ff-940e6b99603c.jsonl",
    "openhands": "openhands/multi_swe_bench_output.jsonl",
    "sweagent": "sweagent/marshmallow-code__marshmallow-1867.traj",
    "inspect": "inspect/2025-05-12T20-27-36-04-00_browser.json",
}


def turn_ends(recording: Recording) -> list[int]:
    """Last lines of the answers of a session, but for the last answer and those that go on later."""
    goes_on = {step.began_us for step in recording.steps if isinstance(step, ModelMessage) and step.continued}
    ends = [s.lines.last for s in recording.steps if isinstance(s, ModelMessage) and s.began_us not in goes_on]
    return ends[:-1]


def first_difference(cut: Sequence[object], whole: Sequence[object]) -> int | None:
    """The first place where `cut` is not the beginning of `whole`."""
    return next((place for place, item in enumerate(cut) if place >= len(whole) or item != whole[place]), None)


@pytest.mark.sweep(sample=3)
@pytest.mark.parametrize(("folder", "number"), FILES, ids=str)
def test_prefix_law_of_files_of_lines(traces: Path, translate: Translate, folder: str, number: int) -> None:
    """LAW-IMPORT-1: what a file cut after a turn gives is the beginning of what the whole file gives."""
    path, parse = sorted((traces / folder).glob("*.jsonl"))[number], PARSERS[folder]
    chance = random.Random(number)
    lines = path.read_bytes().splitlines(keepends=True)
    for whole in parse(b"".join(lines), path.name):
        ends = turn_ends(whole)
        for place, end in enumerate(sorted(chance.sample(ends, min(len(ends), SAMPLED)))):
            (cut,) = (r for r in parse(b"".join(lines[:end]), path.name) if r.session_id == whole.session_id)
            assert first_difference(cut.steps, whole.steps) is None, (whole.session_id, end)
            if place == SAMPLED // 2:
                assert first_difference(translate(cut), translate(whole)) is None, end


def test_prefix_law_of_chats(traces: Path, translate: Translate) -> None:
    """LAW-IMPORT-1 on every fourth of 200 tau-bench sessions, each cut after a sampled turn."""
    chance = random.Random(7)
    (path,) = (traces / "taubench").glob("*.json")
    sessions = json.loads(path.read_bytes())[::4]
    wholes = parse_openai_chat(json.dumps(sessions).encode(), "whole")
    cuts = [chance.choice(turn_ends(whole)) for whole in wholes]
    shortened = [{**session, "traj": session["traj"][:cut]} for session, cut in zip(sessions, cuts, strict=True)]
    for whole, cut in zip(wholes, parse_openai_chat(json.dumps(shortened).encode(), "cut"), strict=True):
        assert first_difference(translate(cut), translate(whole)) is None, whole.session_id


def misjudged(recording: Recording, commands: Sequence[Command]) -> Iterator[Need]:
    """Data-flow needs of which a holder says other than whether the recorded harness had it in its context."""
    kept = iter(
        [s.kept_lines for s in recording.steps if isinstance(s, ContextDropped) and s.boundary is not Boundary.PRUNE]
    )
    system = {step.lines.first for step in recording.steps if isinstance(step, SystemMessage)}
    ever: dict[str, int] = {}
    resident: set[str] = set()
    for command in commands:
        data = command.data
        if isinstance(data, PageWritten):
            ever[data.page_id] = data.origin.first
            resident.add(data.page_id)
        elif isinstance(data, BoundaryReached) and data.boundary is Boundary.PRUNE:
            resident = (resident - {*data.left}) | {*data.returned}
        elif isinstance(data, BoundaryReached):
            lines = next(kept) | system
            resident = {page_id for page_id, line in ever.items() if line in lines}
        elif isinstance(data, (ToolCalled, ToolReturned)):
            for need in data.needs:
                flow = need.rule is NeedRule.DATA_FLOW
                if flow and any(h.recorded_resident is not (h.page_id in resident) for h in need.holders):
                    yield need


@pytest.mark.sweep(sample=3)
@pytest.mark.parametrize(
    "folder", ["claude_code", "pi", "taubench", "codex", "gemini", "sweagent", "openhands", "inspect"]
)
def test_residency_law(traces: Path, translate: Translate, folder: str) -> None:
    """LAW-NEED-1: each holder of every data-flow need of every trace says whether the recorded harness had it."""
    found = dropped = 0
    for path in sorted((traces / folder).iterdir()):
        for recording in read(path):
            commands = translate(recording)
            assert not list(misjudged(recording, commands)), recording.session_id
            needs = [need for each in commands for need in getattr(each.data, "needs", ())]
            found += len(needs)
            dropped += sum(not any(holder.recorded_resident for holder in need.holders) for need in needs)
    assert (found > 0) is (folder != "gemini") and dropped <= found // 4, (found, dropped)
    assert dropped or folder != "claude_code", found


def needs_of(commands: Sequence[Command]) -> list[dict[str, Any]]:
    """The needs of a session: turn, rule, number of holders, and a digest over holders and tokens."""
    turn, found = 0, []
    for command in commands:
        data = command.data
        turn += isinstance(data, TurnBegan)
        for need in data.needs if isinstance(data, (ToolCalled, ToolReturned)) else ():
            told = f"{[holder.page_id for holder in need.holders]} {need.tokens}"
            digest = hashlib.sha256(told.encode()).hexdigest()[:12]
            found.append({"turn": turn, "rule": need.rule, "holders": len(need.holders), "digest": digest})
    return found


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_needs(traces: Path, translate: Translate, name: str) -> None:
    """The needs of a trace of each format are fixed; `CLAWVM_WRITE_GOLDEN=1` writes them anew."""
    golden = Path(__file__).with_name(f"golden_needs_{name}.json")
    found = [need for recording in read(traces / GOLDEN[name])[:20] for need in needs_of(translate(recording))]
    if os.environ.get("CLAWVM_WRITE_GOLDEN"):
        rows = ",\n".join(json.dumps(need) for need in found)
        golden.write_text(f"[\n{rows}\n]\n")
    assert found == json.loads(golden.read_text())
