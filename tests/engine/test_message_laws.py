"""LAW-MSG-1 to 4, EPOCH-1 in rendered bytes, the budget and replay, over generated histories.

A policy, a budget and a shape are drawn for each history. A run takes 300 of them; `tools/histories.py` plays as many
as are wanted, in parts.
"""

from __future__ import annotations

import json
from itertools import pairwise

import attrs
from hypothesis import HealthCheck, given, settings

from clawvm_es.engine.hooks import Prompt, Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.history.places import prompt_at
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.pages import Fidelity
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Block, Kind, Shape, broken, messages, pieces
from clawvm_es.representations.messages.blocks import is_legal_id
from clawvm_es.representations.messages.framing import count
from clawvm_es.testing import assert_redecides, memory_journal, recorded
from clawvm_es.testing.histories import Answer, Done, History, Said, histories, play

COUNTER = counter("lines4")
SETTINGS = Settings(tools=tuple(CLAUDE_CODE_TOOLS.values()))


@attrs.frozen
class Turn:
    """One prompt as it was sent, and the events that tell of it."""

    prompt: Prompt
    version: int
    began: e.TurnBegan
    assembled: e.PromptAssembled
    pressure: tuple[e.InvariantPressureObserved, ...]
    rendered: e.PromptRendered
    moves: int


def opened(journal: Journal, history: History) -> Session:
    """The session of a history, which raises at no pressure."""
    return journal.session(
        "session",
        policy=history.policy,
        budget_tokens=history.budget,
        counter="lines4",
        on_pressure="degrade",
        renderer=f"messages/1:{history.shape}",
        settings=SETTINGS,
    )


def turns(journal: Journal, history: History) -> list[Turn]:
    """All turns of a history that is played in a journal."""
    with opened(journal, history) as session:
        prompts = list(play(session, history))
    asked = [place for place, move in enumerate(history.moves) if isinstance(move, Answer)]
    found: list[Turn] = []
    turn: list[e.Event] = []
    for row in read_session(journal.log, "session"):
        turn = [row.data] if isinstance(row.data, e.TurnBegan) else [*turn, row.data]
        if isinstance(row.data, e.PromptRendered):
            assembled = next(data for data in turn if isinstance(data, e.PromptAssembled))
            pressure = tuple(data for data in turn if isinstance(data, e.InvariantPressureObserved))
            assert isinstance(turn[0], e.TurnBegan)
            prompt = prompts[len(found)]
            found.append(Turn(prompt, row.version, turn[0], assembled, pressure, row.data, asked[len(found)]))
    assert len(found) == len(prompts)
    return found


def assert_well_formed(turn: Turn, history: History) -> None:
    """LAW-MSG-1, LAW-MSG-2, the budget, and the order of groups, of one prompt."""
    sent = turn.prompt.messages()
    found = broken(sent, history.shape)
    assert found == [], (found, sent)
    for shape in type(history.shape):
        assert broken(turn.prompt.messages(shape), shape) == [], shape
    tokens = count(sent, history.shape, COUNTER)
    fixed = turn.began.fixed_tokens
    assert turn.rendered.tokens - fixed == tokens
    assert tokens + fixed <= turn.prompt.tokens
    assert turn.prompt.tokens <= turn.prompt.budget_tokens or not turn.prompt.pages
    assert_in_order(turn.prompt.blocks)


def assert_in_order(blocks: tuple[Block, ...]) -> None:
    """LAW-MSG-4: runs of groups stand in the order of their groups, and a page shown again names itself."""
    runs = [block.group for block in blocks if block.group is not None]
    assert runs == sorted(runs), runs
    results = [block.page_id for block in blocks if block.kind is Kind.RESULT and block.page_id]
    assert len(results) == len(set(results))


def assert_grows(before: Turn, now: Turn, history: History) -> None:
    """EPOCH-1: without an epoch the pieces of the layout before are the beginning of those of this one."""
    if now.assembled.trigger is not None or not now.assembled.layout_digest:
        return
    layouts = [turn.prompt.blocks[: turn.prompt.layout] for turn in (before, now)]
    was, grown = (pieces(messages(blocks, history.shape, history.shape)) for blocks in layouts)
    assert grown[: len(was)] == was


def assert_exact(turn: Turn, history: History, pressed: bool) -> None:
    """LAW-MSG-3: what was said since the user's last message is sent as it was, unless a pressure was observed."""
    moves = history.moves[: turn.moves]
    if pressed or any(isinstance(move, Done) and move.what in ("retires", "rewrites") for move in moves):
        return
    blocks, number, answers = turn.prompt.blocks, 0, list[tuple[int, Answer]]()
    for move in moves:
        number += isinstance(move, Answer)
        answers = (
            [] if isinstance(move, Said) else [*answers, (number, move)] if isinstance(move, Answer) else answers
        )
    if answers and answers[-1][1].calls:
        assert turn.prompt.layout == len(blocks), "a tail inside of an exchange"
    for group, answer in answers:
        own = [block for block in blocks if block.group == group]
        calls = [block for block in own if block.kind is Kind.CALL]
        if not any(isinstance(move, Said) for move in moves) and group != answers[-1][0]:
            continue  # the user said nothing: the exchange is the newest answer
        if calls or answer.text.strip():
            assert [block.level for block in own if block.kind is not Kind.RESULT or block.page_id] == (
                [Fidelity.FULL] * len([block for block in own if block.kind is not Kind.RESULT or block.page_id])
            )
            assert len(calls) == len(answer.calls)
            texts = [block.text for block in own if block.kind is Kind.TEXT]
            assert texts == ([answer.text] if answer.text.strip() else [])
        if is_whole(answer, history):
            assert own[0].native is not None and json.loads(own[0].native) == answer.native


def is_whole(answer: Answer, history: History) -> bool:
    """Whether a provider takes its own form of an answer back, and it is that of its calls."""
    if not answer.native or not (answer.calls or answer.text.strip()):
        return False
    made = [call.id for move in history.moves if isinstance(move, Answer) for call in move.calls]
    ids = [call.id for call in answer.calls]
    own = all(is_legal_id(call_id) and made.count(call_id) == 1 for call_id in ids)
    return own and (history.shape is Shape.OPENAI or not answer.text or bool(answer.text.strip()))


def assert_laws(history: History) -> None:
    """Pairs, counts, order, budget and prefix hold at every turn, and every prompt is rendered the same again."""
    with memory_journal() as journal:
        found = turns(journal, history)
        for turn in found:
            assert_well_formed(turn, history)
        for before, now in pairwise(found):
            assert_grows(before, now, history)
        pressed = False
        for turn in found:
            anew = turn.assembled.trigger is not None or not turn.assembled.layout_digest
            pressed = bool(turn.pressure) or (pressed and not anew)
            assert_exact(turn, history, pressed)
        assert_redecides(recorded(journal))
        for turn in found:
            shown = prompt_at(journal.log, "session", turn.version)
            assert shown.text == turn.prompt.text
            assert shown.matches


SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(SLOW, max_examples=300)
@given(history=histories())
def test_prompts_of_any_history_are_taken_and_replay(history):
    """LAW-MSG-1, 2 and 4, the budget, EPOCH-1 in bytes and replay hold at every turn of a history."""
    assert_laws(history)
