"""LAW-EPOCH-1 in rendered bytes on every recorded session there is, in frames and as messages.

Each prompt is rendered anew from the bodies, by a renderer that knows no prompt before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.render import Renderer
from clawvm_es.engine.renderers import recorded
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model import events as e
from clawvm_es.representations.frame import RENDERER
from clawvm_es.representations.messages import RENDERERS, messages, pieces
from clawvm_es.testing import memory_journal

BUDGET = 32_000


@attrs.define
class Counted:
    """Prompts that were compared with the one before, by whether an epoch began."""

    sessions: int = 0
    grown: int = 0
    anew: int = 0


def layouts(log: EventLog, session_id: str, name: str) -> Iterator[tuple[e.PromptAssembled, list[str]]]:
    """Each prompt of a session, and what is sent of its layout: pieces that a prefix cache compares."""
    state, open_all = State(), log.vault(session_id).open_all
    for row in read_session(log, session_id):
        apply(state, row.data)
        if not isinstance(row.data, e.PromptAssembled):
            continue
        renderer = recorded(log, session_id, open_all, name)
        if isinstance(renderer, Renderer):
            yield row.data, [piece.text for piece in renderer.pieces(state) if piece.page_id is not None]
        else:
            made, shape = renderer.render(state), RENDERERS[name]
            yield row.data, pieces(messages(made.blocks[: made.layout], shape, shape))


def compare(path: Path, name: str, counted: Counted) -> None:
    """Assert the law for the sessions of a file."""
    with memory_journal() as journal:
        settings = ReplaySettings(budget_tokens=BUDGET, renderer="" if name == RENDERER else name)
        try:
            replayed = replay(journal, path, settings)
        except UnreadableInput:
            return
        for session in replayed:
            before: list[str] = []
            counted.sessions += 1
            for assembled, now in layouts(journal.log, session.session_id, name):
                if assembled.trigger is None:
                    assert now[: len(before)] == before, (path.name, session.session_id, assembled.epoch)
                    counted.grown += 1
                else:
                    counted.anew += 1
                before = now


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("name", [RENDERER, "messages/1:anthropic"])
def test_a_prompt_begins_with_the_one_before_it_on_every_trace(traces, name):
    """But where an epoch begins, which is at fewer than one of six prompts."""
    counted = Counted()
    for path in sorted(path for path in traces.rglob("*") if path.is_file()):
        compare(path, name, counted)
    assert counted.sessions > 100 and counted.grown > 3_000
    assert counted.anew * 5 < counted.grown, counted


@pytest.mark.parametrize("name", [RENDERER, "messages/1:anthropic"])
def test_a_prompt_begins_with_the_one_before_it_on_a_short_trace(traces, name):
    """The same on one session with a subagent, in every run."""
    counted = Counted()
    compare(traces / "claude_code" / "61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl", name, counted)
    assert counted.sessions == 2 and counted.grown > 20
