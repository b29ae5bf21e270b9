"""A scripted agent of two hundred turns with six tools, as messages: its cost, and what a killed one sends next."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from clawvm_es import Call, Journal
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.engine.hooks import Prompt, Settings
from clawvm_es.engine.session import Session
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.model.profile import Profile, Rule
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Shape, broken, pieces
from clawvm_es.representations.messages.framing import count
from clawvm_es.testing import memory_journal

SETTINGS = Settings(tools=tuple(CLAUDE_CODE_TOOLS.values()))
COUNTER = counter("lines4")
READ_PRICE, WRITE_PRICE = 100, 1250
"""Prices of cached and of uncached tokens, in permille of the price of an input token."""
RESERVE = 40
"""Tokens that each prompt keeps for the line that stands for stored pages."""
UNPAGED = 10**7
"""A budget that nothing exceeds."""


def number(turn: int, of: int) -> int:
    """A number below `of` that follows from the turn."""
    return int.from_bytes(hashlib.sha256(f"{turn} {of}".encode()).digest()[:4], "big") % of


def arguments(turn: int) -> tuple[str, dict[str, Any]]:
    """The tool that the agent calls at a turn, one of six, and its arguments."""
    path = f"/src/module_{number(turn, 12)}.py"
    return (
        ("Read", {"file_path": path}),
        ("Grep", {"pattern": f"name_{turn}", "path": "/src"}),
        ("Bash", {"command": f"pytest -q tests/test_{number(turn, 7)}.py"}),
        ("Edit", {"file_path": path, "old_string": f"old {turn}", "new_string": f"new {turn}\n" * 8}),
        ("Write", {"file_path": f"/src/new_{turn}.py", "content": f"line of {turn}\n" * 60}),
        ("TodoWrite", {"todos": [{"content": f"step {turn}", "status": "in_progress"}]}),
    )[number(turn, 6)]


def result(turn: int) -> str:
    """What a call of a turn gives: from a few lines to a few hundred."""
    lines = (1, 3, 8, 20, 40)[number(turn + 1, 5)]
    return "".join(f"{turn}: the content of line {line} of what was read\n" for line in range(lines))


def answer(turn: int, shape: Shape) -> tuple[tuple[Call, ...], Any]:
    """The calls of a turn, two at once now and then, and the answer as Anthropic writes it, in its shape."""
    calls = tuple(Call(f"toolu_{turn}_{n}", *arguments(turn + 1000 * n)) for n in range(1 + (turn % 5 == 0)))
    if shape is not Shape.ANTHROPIC:
        return calls, None
    thought = {"type": "thinking", "thinking": f"Turn {turn}: think first.", "signature": "c2ln" * 20}
    made = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.args} for call in calls]
    return calls, [thought, {"type": "text", "text": f"Now turn {turn}."}, *made]


def take(turn: int, session: Session, shape: Shape) -> Prompt:
    """The prompt of one turn, after which the agent has its answer and the results of its calls."""
    if turn == 0:
        session.write_page("bootstrap", "Run the tests after each change.\n- Never push.")
    if turn % 8 == 0:
        session.user_says(f"Please go on with part {turn // 8}.")
    prompt = session.assemble()
    calls, native = answer(turn, shape)
    session.observe_model(f"Now turn {turn}.", calls, native=native)
    for n, call in enumerate(calls):
        failed = turn % 11 == 10
        session.observe_result(call_id=call.id, text=result(turn + 1000 * n), status="error" if failed else "ok")
    return prompt


@attrs.define
class Cost:
    """Cost of prompts that follow each other, in permille of an input token, by the pieces that are really sent."""

    shape: Shape
    paid: int = 0
    most: int = 0
    planned: int = 0
    sent: int = 0
    before: list[bytes] = attrs.field(factory=list)
    sizes: dict[bytes, int] = attrs.field(factory=dict)

    def size(self, piece: bytes) -> int:
        """Tokens of a piece, counted once."""
        if piece not in self.sizes:
            message = json.loads(piece)
            if isinstance(content := message.get("content"), dict):
                message["content"] = [content]
            self.sizes[piece] = count([message], self.shape, COUNTER)
        return self.sizes[piece]

    def add(self, prompt: Prompt) -> None:
        """Pay for a prompt: what the one before began with too is read from the cache, the rest is written to it."""
        sent = prompt.messages()
        now = pieces(sent)
        assert broken(sent, self.shape) == []
        same = next((n for n, (a, b) in enumerate(zip(now, self.before, strict=False)) if a != b), None)
        same = min(len(now), len(self.before)) if same is None else same
        tokens = sum([self.size(piece) for piece in now])
        cached = tokens * sum(map(len, now[:same])) // max(1, sum(map(len, now)))
        self.planned, self.sent = self.planned + prompt.tokens - RESERVE, self.sent + tokens
        self.paid += READ_PRICE * cached + WRITE_PRICE * (tokens - cached)
        self.most, self.before = max(self.most, tokens), now


def cost(policy: str, budget: int, shape: Shape, turns: int) -> Cost:
    """The cost of so many turns of the agent under a policy and a budget."""
    found = Cost(shape)
    with memory_journal() as journal:
        options = {"policy": policy, "budget_tokens": budget, "counter": "lines4", "settings": SETTINGS}
        with journal.session("agent", renderer=f"messages/1:{shape}", **options) as session:
            for turn in range(turns):
                found.add(prompt := take(turn, session, shape))
                assert prompt.tokens <= budget
                assert not prompt.pressure
    return found


@pytest.mark.parametrize(
    ("shape", "turns", "budget"),
    [
        (Shape.ANTHROPIC, 60, 5_000),
        *(pytest.param(shape, 200, 8_000, marks=pytest.mark.sweep(sample=0)) for shape in Shape),
    ],
)
def test_paging_in_epochs_costs_less_than_no_paging_and_than_selecting_anew(shape, turns, budget):
    """Cheaper than a prompt that holds everything, and at most half of what another choice at every turn costs."""
    epochs = cost("clawvm", budget, shape, turns)
    unpaged = cost("clawvm", UNPAGED, shape, turns)
    by_turn = cost("clawvm_turn", budget, shape, turns)
    print(
        f"{shape}, {turns} turns, tokens of input paid: epochs {epochs.paid // 1000}, unpaged {unpaged.paid // 1000}"
    )
    print(f"anew at every turn {by_turn.paid // 1000}; unpaged prompts of up to {unpaged.most} tokens")
    print(f"in epochs {epochs.planned} tokens planned, {epochs.sent} sent")
    assert unpaged.most > 3 * budget
    assert epochs.sent <= epochs.planned + RESERVE * turns and epochs.planned * 100 <= epochs.sent * 101
    assert epochs.paid < unpaged.paid
    assert epochs.paid * 2 < by_turn.paid


def sent(turn: int, session: Session) -> bytes:
    """What the provider is sent at a turn, and its tokens."""
    prompt = take(turn, session, Shape.ANTHROPIC)
    return json.dumps([prompt.tokens, prompt.messages()]).encode()


def killed(turn: int, place: Path, options: dict[str, Any]) -> bytes:
    """The same, by a process that opens the journal, takes this turn, and is killed."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                journal = Journal.open(place, seed=7, clock=lambda: 1_700_000_000_000_000)
                pipe.write(sent(turn, journal.session("a", **options)))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)  # an error: nothing of the test goes on in this process
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return told


@pytest.mark.parametrize(
    ("turns", "budget"), [(24, 1_500), pytest.param(200, 8_000, marks=pytest.mark.sweep(sample=0))]
)
def test_an_agent_that_is_killed_at_any_turn_sends_the_same_next(tmp_path: Path, turns: int, budget: int):
    """A process for each turn, which is killed after it, sends what one process sends that takes all of them."""
    options = {
        "budget_tokens": budget,
        "counter": "lines4",
        "settings": SETTINGS,
        "renderer": f"messages/1:{Shape.ANTHROPIC}",
    }
    with memory_journal() as journal, journal.session("a", **options) as session:
        whole = [sent(turn, session) for turn in range(turns)]
    assert [killed(turn, tmp_path / "j.db", options) for turn in range(turns)] == whole


def triggers(profile: Profile, moves: Iterable[tuple[str, int]]) -> list[EpochTrigger | None]:
    """Begin a session of messages under a profile, and tell why each of its prompts began an epoch.

    A move is what the user says, if anything, and how many lines a call of the answer gives; 0: it makes none.
    """
    with memory_journal() as journal:
        session = journal.session(
            "s",
            policy=profile,
            budget_tokens=4_000,
            counter="lines4",
            renderer="messages/1:anthropic",
            settings=SETTINGS,
        )
        for turn, (said, lines) in enumerate(moves):
            if said:
                session.user_says(said)
            session.assemble()
            calls = (Call(f"toolu_{turn}", "Bash", {"command": f"cat {turn}"}),) if lines else ()
            session.observe_model("Next.", calls)
            for call in calls:
                session.observe_result(call_id=call.id, text=f"{turn}: a line of what was read\n" * lines)
        rows = (row.data for row in read_session(journal.log, "s"))
        return [data.trigger for data in rows if isinstance(data, e.PromptAssembled)]


@pytest.mark.parametrize(
    ("rule", "paid"), [(Rule.EPOCH_REUSE, True), (Rule.EXCHANGE_REUSE, False), (Rule.COPY_REUSE, False)]
)
def test_an_open_exchange_pays_no_rent_until_the_user_speaks(rule, paid):
    """An epoch would only write it again; after that it is as any other text, and its rent begins an epoch."""
    profile = attrs.evolve(CLAWVM, rule=rule)
    within = [("Look around.", 4), *[("", 4)] * 64]
    found = triggers(profile, [*within, *[("Go on.", 0)] * 30])
    assert (EpochTrigger.RENT in found[: len(within)]) == paid
    assert EpochTrigger.RENT in found
    assert EpochTrigger.HIGH not in found
