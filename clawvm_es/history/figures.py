"""The figures of a run, and the first difference of two runs, by which re-runs and what-ifs are compared."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.state import State
from clawvm_es.journal.ports import Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultType
from clawvm_es.model.pages import ABSENT, LADDER, Fidelity
from clawvm_es.prices import Spent

NEED_FAULTS = (FaultType.DUPLICATE_TOOL, FaultType.REFETCH)
"""Faults that are the outcome of a need."""


@attrs.define
class Figures:
    """Sums of the decisions of a run; the same names and meanings as in the read model `sessions`.

    `epochs` counts the selections of a policy that pages in epochs; under `recorded` it counts contexts that begin
    after a cut. `spent` holds the cost of the prompts.
    """

    turns: int = 0
    hits: int = 0
    page_ins: int = 0
    unmet: int = 0
    faults: dict[FaultType, int] = attrs.field(factory=lambda: dict.fromkeys(FaultType, 0))
    alerts: int = 0
    pressure: int = 0
    tokens: int = 0
    uncached_tokens: int = 0
    epochs: int = 0
    spent: Spent = attrs.field(factory=Spent)
    _idle_s: int | None = None

    @property
    def misses(self) -> int:
        """Needs whose page was not in the prompt at a sufficient level."""
        return self.page_ins + self.unmet + sum(self.faults[fault] for fault in NEED_FAULTS)

    @property
    def needs(self) -> int:
        """Pages whose content the model used."""
        return self.hits + self.misses

    def count(self, event: e.Event) -> None:
        """Add one event."""
        if isinstance(event, e.PageUsed):
            self.hits += 1
        elif isinstance(event, e.PageResolved):
            self.page_ins += 1
            self.spent.missed()
        elif isinstance(event, e.NeedUnmet):
            self.unmet += 1
            self.spent.missed()
        elif isinstance(event, e.TurnBegan):
            self._idle_s = event.idle_s
        elif isinstance(event, e.PromptAssembled):
            self._assembled(event)
        elif isinstance(event, e.FaultObserved):
            self.faults[event.fault] += 1
            if event.fault in NEED_FAULTS:
                self.spent.missed()
        elif isinstance(event, e.DuplicateSignatureAlerted):
            self.alerts += 1
        elif isinstance(event, e.InvariantPressureObserved):
            self.pressure += 1

    def _assembled(self, event: e.PromptAssembled) -> None:
        self.turns += 1
        self.tokens += event.tokens
        self.uncached_tokens += event.uncached_tokens
        self.epochs += event.trigger is not None
        self.spent.prompt(event.tokens, event.tokens - event.uncached_tokens, self._idle_s)


def figures_of(events: Iterable[e.Event]) -> Figures:
    """The figures of recorded events."""
    figures = Figures()
    for event in events:
        figures.count(event)
    return figures


@attrs.frozen
class Parting:
    """The first prompt that differs in another run: its recorded event, and one page with both levels."""

    turn: int
    version: int
    page_id: str
    recorded: Fidelity
    now: Fidelity


@attrs.frozen
class Assembly:
    """One assembled prompt: its pages and their ranks."""

    turn: int
    version: int
    levels: Mapping[str, int]


def assemblies(recorded: Iterable[Recorded], after: int = 0) -> Generator[Assembly, None, None]:
    """The prompts that a session assembled after event `after`, folded on demand."""
    state = State()
    for row in recorded:
        apply(state, row.data)
        if row.version > after and isinstance(row.data, e.PromptAssembled):
            yield Assembly(row.turn, row.version, levels_of_prompt(state))


def parting(recorded: Assembly, now: Mapping[str, int]) -> Parting | None:
    """The oldest page whose level differs from the recorded one in a prompt; None if there is none."""
    was = recorded.levels
    if was == now:
        return None
    differing = [page_id for page_id in was.keys() | now.keys() if was.get(page_id) != now.get(page_id)]
    page_id = min(differing, key=lambda page_id: (len(page_id), page_id))  # pages are numbered as they come
    before, after = (LADDER[levels.get(page_id, ABSENT)] for levels in (was, now))
    return Parting(recorded.turn, recorded.version, page_id, before, after)
