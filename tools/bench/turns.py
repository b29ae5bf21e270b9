"""P4: the policy engine alone. P5: a whole durable turn. P6: what a turn adds to the log of a long session."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import mean, median
from time import perf_counter

from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import interleaved, p95
from bench.workload import START_US, make_text
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.pages import PAGE_TYPES, Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.observe.tools import Tool
from clawvm_es.storage.sqlite.packing import unpack
from clawvm_es.testing.core import opened

US = "µs"
RESIDENT = 100
SIZES = (60, 120, 250, 400, 700, 1_200, 100, 320, 80, 2_500, 180)
"""Tokens of pages, an eleventh of them each."""
FIRST_PAGES = (
    PageType.BOOTSTRAP, PageType.CONSTRAINT, PageType.CONSTRAINT, PageType.PLAN, PageType.PREFERENCE,
    PageType.CONVERSATION, PageType.CONVERSATION, PageType.CONVERSATION,
)  # fmt: skip
"""The types of a session's first pages; all further ones are tool results."""


# ------------------------------------------------------------------------------------------------ P4


def p4(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Decide and fold one assembly in memory, at 24 pages and at many with about a hundred resident."""
    small = Bench(24, 3)
    small.set_budget(small.full_tokens // 2)
    large = Bench(sizes.policy_pages, 3)
    large.tune(RESIDENT)
    for bench, limit in ((small, 18.0), (large, 200.0)):
        bench.warm(sizes.policy_turns // 3)
        took = interleaved({"": partial(bench.rounds, sizes.policy_turns)}, sizes.rounds)
        what = f"assembly, {len(bench.state.pages):,} pages, {bench.resident} resident"
        note = f"{mean(bench.changed):.1f} levels changed"
        yield Measure("P4", f"{what}, p50", median(took[""]), US, limit=limit, note=note)
        yield Measure("P4", f"{what}, p95", p95(bench.took), US, note=f"max {max(bench.took):,.0f} {US}")


class Bench:
    """A session's state whose pages were written over many turns, so that they differ in age."""

    def __init__(self, pages: int, pages_a_turn: int) -> None:
        self.random = Random(11)
        self.state = State()
        self.took: list[float] = []
        self.held: list[int] = []  # resident pages after each assembly
        self.changed: list[int] = []  # level changes of each assembly
        self.execute(opened(budget_tokens=4_000, directory_tokens=40))
        for number in range(1, pages + 1):
            self.execute(self.page(number))
            if number % pages_a_turn == 0:
                self.execute(e.TurnBegan())
        for number in range(1, 70):  # the oldest pages lose all recency
            self.execute(self.page(1 + number * 5 % pages))
            self.execute(e.TurnBegan())

    @property
    def full_tokens(self) -> int:
        """Tokens of all pages at full size."""
        return sum(page.full_tokens for page in self.state.pages.values())

    @property
    def resident(self) -> int:
        """Pages in the prompt, on average over the assemblies timed so far."""
        return round(mean(self.held))

    def execute(self, data: e.Input) -> None:
        """Decide one input and fold what follows."""
        for event in decide(self.state, Command(data, START_US)):
            apply(self.state, event)

    def page(self, number: int) -> e.PageWritten:
        """Page `number`, or its next content of about the same size: sizes as tool results have."""
        known = number - 1 < len(FIRST_PAGES)
        page_type = FIRST_PAGES[number - 1] if known else PageType.EVIDENCE
        full = SIZES[number * 7 % len(SIZES)] + self.random.randrange(20)
        return e.PageWritten(
            page_id=f"p{number}",
            page_type=page_type,
            author=Author.TOOL,
            origin=Origin(OriginKind.RECORD),
            levels=_levels(page_type, full),
        )

    def set_budget(self, tokens: int) -> None:
        """Change the budget and assemble under it."""
        self.execute(e.BudgetChanged(tokens))
        self.execute(e.TurnBegan())

    def tune(self, resident: int) -> None:
        """Find a budget under which about `resident` pages stand in the prompt."""
        low, high = 1, 40_000
        for _ in range(10):
            self.set_budget((low + high) // 2)
            self.warm(10)
            self.rounds(50)
            if self.resident < resident:
                low = self.state.budget_tokens
            else:
                high = self.state.budget_tokens

    def warm(self, turns: int) -> None:
        """Run so many turns and forget what they took."""
        self.rounds(turns)
        for found in (self.took, self.held, self.changed):
            found.clear()

    def rounds(self, turns: int) -> float:
        """Change one page and time the assembly that follows, `turns` times; the median in µs."""
        found = []
        for _ in range(turns):
            self.execute(self.page(self.random.randrange(len(self.state.pages)) + 1))
            state, command = self.state, Command(e.TurnBegan(), START_US)
            began = perf_counter()
            events = decide(state, command)
            for event in events:
                apply(state, event)
            found.append((perf_counter() - began) * 1e6)
            self.changed.append(len(events) - 2)
            self.held.append(len(state.resident))
        self.took.extend(found)
        return median(found)


def _levels(page_type: PageType, full: int) -> tuple[Level, ...]:
    """The kept levels of a page, framed: a frame costs about 20 tokens."""
    share = {Fidelity.FULL: 1000, Fidelity.COMPRESSED: 400, Fidelity.STRUCTURED: 90, Fidelity.POINTER: 0}
    found: list[Level] = []
    for level in PAGE_TYPES[page_type].levels:
        size = 20 + max(10, full * share[level] // 1000)
        if not found or size < found[-1].tokens:
            found.append(Level(level, size, f"{full:064x}", "bench/1"))
    return tuple(found)


# ------------------------------------------------------------------------------------------------ P5


def p5(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Three commits by the hooks, in a file: with the exact fake counter (judged), and with tiktoken (reported)."""
    with (
        closing(Harness(folder / "fake.db", "lines4")) as fake,
        closing(Harness(folder / "real.db", "o200k_base")) as real,
    ):
        for harness in (fake, real):
            harness.fill(sizes.turn_pages)
        took = interleaved(
            {"fake": lambda: fake.turns(sizes.turns), "real": lambda: real.turns(sizes.turns)}, sizes.rounds
        )
        what = f"durable turn, {sizes.turn_pages:,} pages"
        steps = ", ".join(f"{name} {median(values):,.0f}" for name, values in fake.steps.items())
        yield Measure("P5", f"{what}, lines4, p50", median(took["fake"]), US, limit=400, note=steps)
        yield Measure("P5", f"{what}, lines4, p95", p95(fake.took), US)
        steps = ", ".join(f"{name} {median(values):,.0f}" for name, values in real.steps.items())
        yield Measure("P5", f"{what}, tiktoken, p50", median(took["real"]), US, note=steps)


class Harness:
    """A harness with one live session in a journal of its own."""

    def __init__(self, path: Path, counter: str) -> None:
        self.random = Random(5)
        self.journal = Journal.open(path)
        tools = (Tool("read_file", deterministic=True, path="path", reads=("file:{path}",)),)
        self.session: Session = self.journal.session("live", counter=counter, settings=Settings(tools=tools))
        self.session.write_page(PageType.BOOTSTRAP, make_text(self.random, 1_000))
        self.session.write_page(PageType.CONSTRAINT, make_text(self.random, 200), dirty=False)
        self.session.write_page(PageType.PLAN, make_text(self.random, 300), dirty=False)
        self.session.user_says("read the files and say what they are about")
        self.took: list[float] = []
        self.steps: dict[str, list[float]] = {"assemble": [], "observe_model": [], "observe_result": []}

    def fill(self, pages: int) -> None:
        """Write pages over many turns until there are so many."""
        while len(self.session.state.pages) < pages:
            self.session.assemble()
            for _ in range(3):
                self.session.write_page(PageType.EVIDENCE, self.text(), author=Author.TOOL)

    def text(self) -> str:
        """A fresh tool result of 2 KB."""
        return make_text(self.random, 2_000)[:2_048]

    def turn(self, path: str, text: str) -> None:
        """One turn of three commits, each step timed."""
        times = [perf_counter()]
        self.session.assemble()
        times.append(perf_counter())
        (call,) = self.session.observe_model(calls=[("read_file", {"path": path})])
        times.append(perf_counter())
        self.session.observe_result(call, text)
        times.append(perf_counter())
        for values, began, ended in zip(self.steps.values(), times, times[1:], strict=False):
            values.append((ended - began) * 1e6)
        self.took.append((times[-1] - times[0]) * 1e6)

    def turns(self, turns: int) -> float:
        """So many turns; their median in µs."""
        for _ in range(turns):
            self.turn(f"src/module_{self.random.randrange(10**9)}.py", self.text())
        return median(self.took[-turns:])

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


# ------------------------------------------------------------------------------------------------ P6

_EVENT_BYTES = """SELECT coalesce(sum(8 * 6 + length(session_id) + length(kind) + length(type) + length(principal)
    + coalesce(length(idempotency_key), 0) + length(data) + length(prev_hash) + length(hash)), 0) FROM events"""
_COMMITMENT_BYTES = """SELECT coalesce(sum(8 * 2 + length(commitment) + length(session_id) + length(salt)
    + length(binding)), 0) FROM commitments"""
_BODY_BYTES = "SELECT coalesce(sum(8 + length(digest) + length(body)), 0) FROM blobs"


def p6(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Bytes of log a turn, early and late in one long session; every tenth result repeats an earlier one."""
    path = folder / "long.db"
    early, late = sizes.session_turns
    half = sizes.turns_around // 2
    marks = dict.fromkeys((early - half, early + half, late - half, late + half), (0, 0))
    texts: list[str] = []
    with closing(Harness(path, "lines4")) as harness:
        for number in range(1, late + half + 1):
            again = number % 10 == 0
            text = harness.random.choice(texts) if again else harness.text()
            texts.append(text)
            harness.turn(f"src/module_{number}.py", text)
            if number % 100 == 50:
                harness.session.save()
            if number in marks:
                marks[number] = _sizes(path)
    (e0, f0), (e1, f1), (l0, g0), (l1, g1) = marks.values()
    around = f"mean of {2 * half} turns around it"
    growth = (l1 - l0) / (e1 - e0)
    yield Measure(
        "P6", f"log of turn {late:,} ({around})", (l1 - l0) / (2 * half), "bytes",
        f"turn {early:,}:", (e1 - e0) / (2 * half), growth, 1.1,
    )  # fmt: skip
    yield Measure(
        "P6", f"file, read models included, turn {late:,}", (g1 - g0) / (2 * half), "bytes",
        f"turn {early:,}:", (f1 - f0) / (2 * half), (g1 - g0) / max(1, f1 - f0),
    )  # fmt: skip
    with closing(sqlite3.connect(path)) as db:
        bodies = {unpack(*row) for row in db.execute("SELECT body, digest FROM blobs")}
        count = db.execute("SELECT count(*) FROM blobs").fetchone()[0]
    missing = len({text.encode() for text in texts} - bodies)
    yield Measure(
        "P6", "bodies stored twice, or not at all", count - len(bodies) + missing, limit=0,
        note=f"{len(texts):,} results, {len(set(texts)):,} different",
    )  # fmt: skip


def _sizes(path: Path) -> tuple[int, int]:
    """(bytes in the columns of the log's tables, bytes of the database in whole pages) as committed now."""
    with closing(sqlite3.connect(path)) as db:
        parts = [db.execute(query).fetchone()[0] for query in (_EVENT_BYTES, _COMMITMENT_BYTES, _BODY_BYTES)]
        pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return sum(parts), pages * size
