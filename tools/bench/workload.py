"""A synthetic agent session: commands as an edge would make them, the same on every machine.

A turn reads one file (or a known one again), needs a recent page most of the time and an old one now and then; the
user speaks every few turns, the plan is rewritten, the harness compacts. Texts come from a small pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.journal.ports import NewEvent, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, Holder, Need, NeedRule, ResourceClass, ReturnStatus, Trigger
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import counter
from clawvm_es.storage.memory.log import MemoryLog

START_US = 1_790_000_000_000_000
WORDS = (
    "file", "line", "error", "test", "module", "import", "value", "state", "page", "journal", "event", "session",
    "assert", "passed", "failed", "return", "class", "method", "build", "token", "budget", "prompt", "index", "table",
    "commit", "branch", "merge", "review", "change", "result", "number", "string",
)  # fmt: skip


def make_text(random: Random, chars: int) -> str:
    """Lines of words, about `chars` characters."""
    lines: list[str] = []
    size = 0
    while size < chars:
        line = " ".join(random.choices(WORDS, k=8)) + f" {random.randrange(10_000)}"
        lines.append(line)
        size += len(line) + 1
    return "\n".join(lines)


class Script:
    """Makes the commands of one session, turn by turn."""

    def __init__(self, edge: Edge, budget_tokens: int = 2_000, seed: int = 7) -> None:
        self.edge = edge
        self.budget_tokens = budget_tokens
        self.random = Random(seed)
        self.texts = [make_text(self.random, size) for size in range(80, 1_400, 40)]
        self.at_us = START_US
        self.turns = self.calls = self.pages = 0

    def opening(self) -> Iterator[Command]:
        """Open the session and write what every session has: rules, constraints, a plan, the user's wish."""
        yield self._command(
            e.SessionOpened(CLAWVM, self.budget_tokens, "lines4", DECIDER_VERSION, format="bench"), "harness"
        )
        for page_type in (PageType.BOOTSTRAP, PageType.CONSTRAINT, PageType.PLAN):
            yield self._page(page_type, Author.HARNESS)
        yield self._page(PageType.CONVERSATION, Author.USER)

    def turn(self) -> Iterator[Command]:
        """One model call with one tool call, its result, and what happens now and then."""
        self.turns += 1
        yield self._command(e.TurnBegan(), "harness")
        yield self._command(e.ModelResponded(needs=tuple(self._needs()), output_tokens=80), "model")
        yield from self._read()
        yield from self._now_and_then()

    def talk(self) -> Iterator[Command]:
        """One model call in a conversation: two new pages, every fourth time one of them from a tool call."""
        self.turns += 1
        yield self._command(e.TurnBegan(), "harness")
        yield self._command(e.ModelResponded(needs=tuple(self._needs()), output_tokens=80), "model")
        if self.turns % 4 == 0:
            yield from self._read()
        else:
            yield self._page(PageType.CONVERSATION, Author.USER)
        yield self._page(PageType.CONVERSATION, Author.MODEL)

    def _read(self) -> Iterator[Command]:
        """Read a file: the call, its result, and the page that holds it."""
        self.calls += 1
        path = f"src/{self.random.choice(WORDS)}_{self.random.randrange(60)}.py"
        signature, signature_key = self.edge.signature(path)
        reads, resources = self.edge.resources([(ResourceClass.FILE, path)])
        yield self._command(
            e.ToolCalled(
                self.calls,
                "Read",
                self.edge.text(path),
                signature=signature,
                signature_key=signature_key,
                deterministic=True,
                resources=resources,
                reads=reads,
            ),
            "model",
        )
        page = self._page(PageType.EVIDENCE, Author.TOOL, Origin(OriginKind.TOOL_CALL, call=self.calls), path)
        assert isinstance(page.data, e.PageWritten)
        result = page.data.levels[0].body
        yield self._command(e.ToolReturned(self.calls, ReturnStatus.OK, 500, result), "tool")
        yield page

    def _now_and_then(self) -> Iterator[Command]:
        if self.turns % 5 == 0:
            yield self._page(PageType.CONVERSATION, Author.USER)
        if self.turns % 8 == 0:
            yield self._page(PageType.PLAN, Author.MODEL, page_id="p3")
        if self.turns % 150 == 0:
            yield self._command(e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER), "harness")

    def _needs(self) -> Iterator[Need]:
        chance = self.random.randrange(10)
        if chance < 7:
            yield self._need(max(1, self.pages - self.random.randrange(8)))
        elif chance < 9:
            yield self._need(self.random.randrange(self.pages) + 1)

    def _need(self, number: int) -> Need:
        return Need((Holder(f"p{number}"),), NeedRule.DATA_FLOW, 40)

    def _page(
        self,
        page_type: PageType,
        author: Author,
        origin: Origin | None = None,
        source: str = "",
        page_id: str | None = None,
    ) -> Command:
        if page_id is None:
            self.pages += 1
            page_id = f"p{self.pages}"
        text = self.random.choice(self.texts)
        origin = origin or Origin(OriginKind.RECORD)
        written = self.edge.page(page_id, page_type, text, author=author, origin=origin, source=source)
        return self._command(written.event, author)

    def _command(self, data: e.Input, principal: str) -> Command:
        self.at_us += 250_000
        return Command(data, self.at_us, principal)


def run(journal: Journal, session_id: str, events: int, batch: int = 32) -> Session:
    """Run a scripted session of at least `events` events through the engine, `batch` commands a transaction."""
    session = journal.resume(session_id, "lines4")
    script = Script(Edge(journal.log.vault(session_id, journal.seed), counter("lines4")))
    commands = list(script.opening())
    while session.state.version + len(commands) < events:
        while len(commands) < batch:
            commands.extend(script.turn())
        session.execute(*commands)
        commands.clear()
    if commands:
        session.execute(*commands)
    return session


def premade(events: int) -> list[NewEvent]:
    """The first `events` events of a scripted session, ready to be appended."""
    log = MemoryLog(reproducible=True)
    run(Journal(log, seed=1), "premade", events)
    return [again(recorded) for recorded in log.read("premade", upto=events)]


def again(r: Recorded) -> NewEvent:
    """A recorded event, ready to be appended elsewhere."""
    return NewEvent(r.data, r.turn, r.at_us, r.principal, r.cause, r.idempotency_key)
