"""P5: a durable step (a message, a 2 KB result, with or without its prompt), what follows it, and `close`.

Prompts are those of the session itself; the peers get the same texts. Steps without prompts are those of a harness
that makes its own: the policy is `recorded`. Counting tokens is a cost of its own, which no recorder has: steps are
judged under the exact fake counter, and what tiktoken adds is printed beside.

Each hook commits before it returns, since what it acknowledges is in the log, while a peer commits once a step. So
the bound is printed, too: the rows of our steps, written by plain sqlite3 in as many commits, and in one a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from time import process_time

import attrs

from bench import bare, peers
from bench.recorders import LEDGER, REWIND, Ledger, Recorder, Rewind
from bench.report import Measure
from bench.sizes import Sizes
from bench.workload import make_text
from clawvm_es import limits, projections
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.journal import snapshots
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.representations.counter import counter

US = "µs"
LIMIT = 1.5
MODELS_LIMIT = 0.15
CLOSE_LIMIT = 20.0
FAKE, REAL = "lines4", "o200k_base"


@attrs.define
class Ours:
    """A live session in a journal of its own."""

    journal: Journal
    session: Session
    prompts: bool
    number: int = 0
    ends: list[list[int]] = attrs.field(factory=list)
    """Versions at which the hooks of each step ended."""

    @classmethod
    def at(cls, path: Path, counter_name: str, prompts: bool) -> Ours:
        """Make the journal and open the session."""
        journal = Journal.open(path)
        session = journal.session("live", counter=counter_name, policy="clawvm" if prompts else "recorded")
        return cls(journal, session, prompts)

    def step(self, message: str, result: str, prompt: str = "") -> str:
        """Record one step; returns its prompt."""
        self.number += 1
        ends = list[int]()
        self.ends.append(ends)
        self.session.user_says(message)
        ends.append(self.session.state.version)
        text = ""
        if self.prompts:
            text = self.session.assemble().text
            ends.append(self.session.state.version)
        begun = self.session.begin_tool("read_file", {"path": f"src/module_{self.number}.py"})
        ends.append(self.session.state.version)
        self.session.finish_tool(begun, result)
        ends.append(self.session.state.version)
        return text


def texts(random: Random, number: int) -> tuple[str, str]:
    """A message and a result of 2 KB."""
    return f"look at module {number} and say what it does", make_text(random, 2_000)[:2_048]


def p5(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Steps with prompts beside incident-ledger, without beside agent-rewind; then read models and the end."""
    for prompts, peer in ((True, LEDGER), (False, REWIND)):
        yield from _steps(folder / str(prompts), sizes, prompts, peer)
        yield from _afterwards(folder / str(prompts), sizes, prompts)


def _steps(folder: Path, sizes: Sizes, prompts: bool, peer: str) -> Iterator[Measure]:
    """Our steps and the peer's in turns, the best tenth of each; the warm-up fills the prompt's budget."""
    folder.mkdir()
    what = f"durable step, {'with' if prompts else 'without'} prompt"
    random = Random(5)
    with ExitStack() as stack:
        ours = Ours.at(folder / "fake.db", FAKE, prompts)
        real = Ours.at(folder / "real.db", REAL, prompts)
        stack.callback(ours.journal.close, catch_up=False)
        stack.callback(real.journal.close, catch_up=False)
        theirs: Recorder | None = None
        if peers.available(peer):
            theirs = Ledger(folder / "peer.db") if peer == LEDGER else Rewind(folder / "peer.trace")
            stack.callback(theirs.close)
        took: dict[str, list[float]] = {"ours": [], "real": [], "peer": [], "count": []}
        for number in range(sizes.durable_warm + sizes.durable_steps):
            message, result = texts(random, number)
            found = _timed(took["ours"], lambda: ours.step(message, result))  # noqa: B023
            _timed(took["real"], lambda: real.step(message, result))  # noqa: B023
            _timed(took["count"], lambda: counter(REAL).count(f"{number}\n{result}"))  # noqa: B023
            if theirs is not None:
                _timed(took["peer"], lambda: theirs.step(message, result, found))  # noqa: B023
        bound = _bound(folder, ours, sizes.durable_warm)
    cost = {name: _best_tenth(values[sizes.durable_warm :]) for name, values in took.items() if values}
    note = f"under tiktoken {cost['real']:,.0f} {US}, of which one count of the result {cost['count']:,.0f}"
    if theirs is None:
        yield Measure("P5", what, cost["ours"], US, note=f"{peers.missing(peer)}; {note}")
    else:
        times = cost["ours"] / cost["peer"]
        yield Measure("P5", what, cost["ours"], US, peer, cost["peer"], times, LIMIT, note=note)
    number = len(ours.ends[-1])
    for together, least in bound.items():
        name = f"{what}: its rows alone, {'one commit' if together else f'{number} commits'} a step"
        if theirs is None:
            yield Measure("P5", name, least, US)
        else:
            yield Measure("P5", name, least, US, peer, cost["peer"], least / cost["peer"])


def _bound(folder: Path, ours: Ours, warm: int) -> dict[bool, float]:
    """What plain sqlite3 takes for the rows of our steps, in µs a step: as committed, and one commit a step."""
    found = iter(list(bare.commits(folder / "fake.db", [end for ends in ours.ends for end in ends])))
    steps = [[next(found) for _ in ends] for ends in ours.ends]
    return {
        together: _best_tenth(bare.seconds(folder / f"bare-{together}.db", steps, together)[warm:])
        for together in (False, True)
    }


def _timed(into: list[float], work: object) -> str:
    began = process_time()
    found = work()  # type: ignore[operator]
    into.append(process_time() - began)
    return str(found)


def _best_tenth(values: list[float]) -> float:
    """The mean of the fastest tenth, in µs: what a busy machine disturbs least."""
    best = sorted(values)[: max(1, len(values) // 10)]
    return sum(best) / len(best) * 1e6


def _afterwards(folder: Path, sizes: Sizes, prompts: bool) -> Iterator[Measure]:
    """What read models take of the steps that they cover, and what `close` takes after all of them, in steps."""
    found = [_run(folder / f"end-{number}.db", sizes, prompts) for number in range(max(1, sizes.rounds // 3))]
    models, snapshots_, close = (min(values) for values in zip(*found, strict=True))
    what = f"{sizes.steps:,} steps {'with' if prompts else 'without'} prompts"
    yield Measure("P5", f"read models, {what}", models, "of the steps", limit=MODELS_LIMIT)
    yield Measure("P5", f"snapshots, {what}", snapshots_, "of the steps")
    yield Measure("P5", f"close after {what}", close, "steps", limit=CLOSE_LIMIT)


def _run(path: Path, sizes: Sizes, prompts: bool) -> tuple[float, float, float]:
    """Read models and snapshots as parts of the steps, brought on as a hook does it; and `close`, in steps."""
    random, ours = Random(5), Ours.at(path, FAKE, prompts)
    took: dict[str, list[float]] = {"steps": [], "models": [], "snapshots": [], "close": []}
    was, limits.KEEP_UP_EVENTS = limits.KEEP_UP_EVENTS, INTEGER_MAX
    try:
        done = 0
        for number in range(sizes.steps):
            _timed(took["steps"], lambda: ours.step(*texts(random, number)))  # noqa: B023
            limits.KEEP_UP_EVENTS = was
            if ours.journal.log.size() - done >= was:
                done = ours.journal.log.size()
                _timed(took["models"], lambda: projections.keep_up(ours.journal.log))
                _timed(took["snapshots"], lambda: snapshots.keep_up(ours.journal.log))
            limits.KEEP_UP_EVENTS = INTEGER_MAX
    finally:
        limits.KEEP_UP_EVENTS = was
    _timed(took["close"], ours.journal.close)
    steps = sum(took["steps"])
    return sum(took["models"]) / steps, sum(took["snapshots"]) / steps, took["close"][0] * sizes.steps / steps
