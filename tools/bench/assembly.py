"""P4: one assembly of the policy engine in memory, in loop iterations, beside a peer that packs its pages anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import mean, median
from time import process_time

from bench import chuk_peer, peers
from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import interleaved, iteration_seconds
from bench.workload import START_US
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.limits import TOKENS_MAX
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.pages import PAGE_TYPES, Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.testing.core import opened

US = "µs"
LOOPS = "loop iterations"
SMALL_PAGES = 24
RESIDENT = 100
EPOCH_LOOPS = 2_000
GROWING_LOOPS = 500
GROWTH = 3.0
"""Times the cost at `SMALL_PAGES` that an assembly of many pages may take."""
SIZES = (60, 120, 250, 400, 700, 1_200, 100, 320, 80, 2_500, 180)
"""Tokens of pages, an eleventh of them each."""
FIRST_PAGES = (
    PageType.BOOTSTRAP, PageType.CONSTRAINT, PageType.CONSTRAINT, PageType.PLAN, PageType.PREFERENCE,
    PageType.CONVERSATION, PageType.CONVERSATION, PageType.CONVERSATION,
)  # fmt: skip
"""The types of a session's first pages; all further ones are tool results."""


def p4(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Decide and fold one assembly at 24 pages and at many with about a hundred resident, in epochs and at each."""
    small = Bench(SMALL_PAGES, 3)
    small.set_budget(small.full_tokens // 2)
    large = Bench(sizes.policy_pages, 3)
    large.tune(RESIDENT)
    loop = iteration_seconds()
    cost = {}
    for name, bench in (("small", small), ("large", large)):
        bench.warm(sizes.policy_turns // 3)
        took = interleaved({"": partial(bench.rounds, sizes.policy_turns)}, sizes.rounds)
        cost[name] = min(took[""]) / 1e6 / loop
    what = f"an epoch, {SMALL_PAGES} pages, {small.resident} resident"
    note = f"{mean(small.changed):.1f} levels changed"
    yield Measure("P4", what, cost["small"], LOOPS, limit=EPOCH_LOOPS, note=note)
    what = f"an epoch, {sizes.policy_pages:,} pages, {large.resident} resident"
    yield Measure(
        "P4", what, cost["large"], LOOPS, f"{SMALL_PAGES} pages", cost["small"], cost["large"] / cost["small"], GROWTH
    )
    for bench in (small, large):
        bench.grow()
        took = interleaved({"": partial(bench.rounds, sizes.policy_turns, grows=True)}, sizes.rounds)
        what = f"between epochs, {len(bench.state.pages):,} pages, {bench.resident} resident"
        yield Measure("P4", what, min(took[""]) / 1e6 / loop, LOOPS, limit=GROWING_LOOPS)
    for pages, limit in ((20, 1 / 8), (sizes.peer_pages, 1 / 60)):
        yield _beside_peer(pages, limit, sizes)


def _beside_peer(pages: int, limit: float, sizes: Sizes) -> Measure:
    """Our assembly of so many pages beside the peer's context of as many."""
    bench = Bench(pages, 3)
    bench.set_budget(bench.full_tokens // 2)
    bench.warm(sizes.policy_turns // 3)
    what = f"assembly, {pages:,} pages"
    if not peers.available(chuk_peer.PEER):
        return Measure("P4", what, bench.rounds(sizes.policy_turns), US, note=peers.missing(chuk_peer.PEER))
    build = chuk_peer.builder(pages)
    turns = max(3, sizes.policy_turns // 10)
    sides = {"ours": lambda: bench.rounds(sizes.policy_turns), "peer": lambda: _median(build, turns)}
    took = {name: min(values) for name, values in interleaved(sides, sizes.rounds).items()}
    return Measure("P4", what, took["ours"], US, chuk_peer.PEER, took["peer"], took["ours"] / took["peer"], limit)


def _median(work: Callable[[], object], turns: int) -> float:
    found = []
    for _ in range(turns):
        began = process_time()
        work()
        found.append((process_time() - began) * 1e6)
    return median(found)


class Bench:
    """A session's state whose pages were written over many turns, so that they differ in age."""

    def __init__(self, pages: int, pages_a_turn: int) -> None:
        self.random = Random(11)
        self.state = State()
        self.took: list[float] = []
        self.held: list[int] = []  # resident pages after each assembly
        self.changed: list[int] = []  # level changes of each assembly
        self.fixed = 0  # tokens of the fixed region
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

    def grow(self) -> None:
        """Make so much room that no epoch begins, and forget what turns took so far."""
        self.execute(e.BudgetChanged(TOKENS_MAX))
        self.execute(e.TurnBegan(fixed_tokens=self.fixed))
        self.warm(10)

    def rounds(self, turns: int, grows: bool = False) -> float:
        """Change one page and time the assembly that follows, `turns` times; the median in µs.

        Each begins an epoch, since the fixed region is another one; or none does, if the prompt only `grows`.
        """
        found = []
        for _ in range(turns):
            self.execute(self.page(self.random.randrange(len(self.state.pages)) + 1))
            self.fixed = self.fixed if grows else 1 - self.fixed
            state, command = self.state, Command(e.TurnBegan(fixed_tokens=self.fixed), START_US)
            began = process_time()
            events = decide(state, command)
            for event in events:
                apply(state, event)
            found.append((process_time() - began) * 1e6)
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
