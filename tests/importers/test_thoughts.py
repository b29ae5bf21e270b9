"""What a model thought stays in the recorded context, or leaves as the user speaks, as its provider has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.following import follow
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.storage import verify

DROPS, KEEPS = ("claude-sonnet-4-5-20250929", "claude-opus-4-1"), ("claude-opus-4-5-20251101", "claude-sonnet-4-6")
IDEA = "an idea\n" * 400
SETTINGS = ReplaySettings(as_recorded=True, counter="lines4")


def rows(model: str) -> Iterator[dict[str, Any]]:
    """Three exchanges: a question, thoughts and a call, its result, thoughts and an answer."""
    last = None
    for exchange in range(3):
        think = {"type": "thinking", "thinking": IDEA, "signature": "s"}
        call = {"type": "tool_use", "id": f"t{exchange}", "name": "Bash", "input": {"command": f"make {exchange}"}}
        result = {"type": "tool_result", "tool_use_id": f"t{exchange}", "content": f"made {exchange}"}
        for place, (kind, content) in enumerate(
            (
                ("user", f"question {exchange}"),
                ("assistant", [think, call]),
                ("user", [result]),
                ("assistant", [think, {"type": "text", "text": f"answer {exchange}"}]),
            )
        ):
            name = f"{exchange}-{place}"
            more = {"id": name, "model": model, "usage": {"input_tokens": 9, "output_tokens": 9}}
            message = {"role": kind, "content": content, **(more if kind == "assistant" else {})}
            at = f"2026-01-01T00:0{exchange}:0{place}.000Z"
            ids = {"uuid": name, "parentUuid": last, "sessionId": "s", "timestamp": at}
            yield {"type": kind, **ids, "message": message}
            last = name


def written(path: Path, model: str) -> Path:
    """A file of these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(model)))
    return path


def imported(path: Path) -> tuple[Sequence[e.Event], Journal]:
    """The events of an import as recorded."""
    journal = Journal.open(":memory:", seed=1)
    replay(journal, path, SETTINGS)
    return [row.data for row in read_session(journal.log, "s")], journal


@pytest.mark.parametrize("model", [*DROPS, *KEEPS])
def test_prompts_hold_thoughts_as_long_as_the_provider_sends_them(tmp_path: Path, model: str) -> None:
    """Six prompts of three exchanges: each holds all thoughts before it, or those of its own exchange alone."""
    events, journal = imported(written(tmp_path / "s.jsonl", model))
    plain, other = imported(written(tmp_path / "s.jsonl", "gpt-4o"))  # nothing is known of it, so they stay
    (thought,) = {each.thinking_tokens for each in events if isinstance(each, e.ModelResponded)}
    sent = [each.tokens for each in events if isinstance(each, e.PromptAssembled)]
    whole = [each.tokens for each in plain if isinstance(each, e.PromptAssembled)]
    gone = [0, 0, 2, 2, 4, 4] if model in DROPS else [0] * 6
    assert sent == [tokens - thought * left for tokens, left in zip(whole, gone, strict=True)]
    assert verify(journal.log) == ()
    with snapshot(journal.log) as view, snapshot(other.log) as beside:
        (row,), (same,) = view.rows(SESSIONS, "s"), beside.rows(SESSIONS, "s")
    assert (row.misses, row.needs, row.compactions) == (same.misses, same.needs, same.compactions)


@pytest.mark.parametrize("model", [DROPS[0], KEEPS[0]])
def test_a_file_that_is_followed_says_the_same_of_thoughts(tmp_path: Path, model: str) -> None:
    """LAW-FOLLOW-1: row by row or at once, the events are the same."""
    path = written(tmp_path / "s.jsonl", model)
    whole, _ = imported(path)
    lines = path.read_bytes().splitlines(keepends=True)
    with Journal.open(":memory:", seed=1) as journal:
        for count in range(1, len(lines) + 1):
            path.write_bytes(b"".join(lines[:count]))
            assert not follow(journal, path, SETTINGS, final=count == len(lines)).refused
        followed = [row.data for row in read_session(journal.log, "s")]
    assert followed == whole
    passing = [each.thinking_passes for each in followed if isinstance(each, e.ModelResponded)]
    assert passing == [model in DROPS] * 6
