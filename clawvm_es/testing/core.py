"""Given events, when a command, then events: the core tested without a journal, a clock or a text.

`Given` is a state made by commands; `page` and the other helpers build facts as an edge would compute them.

>>> given = Given.session(page(1, tokens=40), budget_tokens=100)
>>> [event.TYPE for event in given.turn()]
['representation_changed', 'prompt_assembled']
>>> given.state.resident["p1"]  # it stands in full
4
"""

from __future__ import annotations

import attrs

from clawvm_es.core.decide import DECIDER_VERSION, decide
from clawvm_es.core.evolve import apply, evolve
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Evidence, Holder, Need, NeedRule, Op, UpdateFacts
from clawvm_es.model.pages import PAGE_TYPES, Author, Fidelity, Level, Origin, OriginKind, PageType, Scope
from clawvm_es.model.profile import Profile

SHARES = {Fidelity.FULL: 1000, Fidelity.COMPRESSED: 400, Fidelity.STRUCTURED: 100, Fidelity.POINTER: 20}
"""Size of a level in permille of the full one, for pages made by `page`."""


def opened(
    profile: Profile = CLAWVM, budget_tokens: int = 1000, directory_tokens: int = 0, misfits: int = 32
) -> e.SessionOpened:
    """A `session_opened` with a small budget and no directory line unless asked for."""
    return e.SessionOpened(
        profile=profile,
        budget_tokens=budget_tokens,
        counter="lines4",
        decider_version=DECIDER_VERSION,
        misfits=misfits,
        directory_tokens=directory_tokens,
    )


def levels(page_type: PageType, tokens: int) -> tuple[Level, ...]:
    """The kept levels of a page of `tokens` tokens, by `SHARES`, strictly smaller on the way down."""
    found: list[Level] = []
    for level in PAGE_TYPES[page_type].levels:
        size = max(1, tokens * SHARES[level] // 1000)
        if not found or size < found[-1].tokens:
            found.append(Level(level, size, f"{tokens:064x}", "test/1"))
    return tuple(found)


def page(
    number: int,
    page_type: PageType = PageType.EVIDENCE,
    tokens: int = 100,
    *,
    author: Author = Author.TOOL,
    active: bool = True,
    dirty: bool | None = None,
    signature: int | None = None,
    call: int | None = None,
    scope: Scope = Scope.SESSION,
) -> e.PageWritten:
    """A `page_written` of page `p<number>`."""
    kind = OriginKind.RECORD if call is None else OriginKind.TOOL_CALL
    return e.PageWritten(
        page_id=f"p{number}",
        page_type=page_type,
        author=author,
        origin=Origin(kind, call=call),
        levels=levels(page_type, tokens),
        scope=scope,
        active=active,
        dirty=dirty,
        signature=signature,
    )


def need(
    *page_numbers: int, rule: NeedRule = NeedRule.DATA_FLOW, at: tuple[Fidelity, ...] = (Fidelity.FULL,)
) -> Need:
    """A need with the given holder pages, oldest first."""
    return Need(tuple(Holder(f"p{number}", at) for number in page_numbers), rule, 10)


def update(
    field: str = "note",
    op: Op = Op.APPEND,
    *,
    evidence: Evidence | None = None,
    base_version: int | None = None,
    size_bytes: int = 10,
) -> UpdateFacts:
    """Facts of an update that passes all checks, unless told otherwise."""
    return UpdateFacts(
        field=field,
        op=op,
        value="0" * 64,
        size_bytes=size_bytes,
        evidence=evidence or Evidence(version=1),
        base_version=base_version,
    )


@attrs.define
class Given:
    """A session in memory: give it inputs, and inspect the events and the state that follow.

    With `pure` it folds with copies (`evolve`), otherwise in place (`apply`); the results must be equal.
    """

    state: State = attrs.field(factory=State)
    log: list[e.Event] = attrs.field(factory=list)
    pure: bool = False

    @classmethod
    def session(cls, *inputs: e.Input, profile: Profile = CLAWVM, budget_tokens: int = 1000) -> Given:
        """An open session to which `inputs` were given."""
        given = cls()
        given.when(opened(profile, budget_tokens))
        for data in inputs:
            given.when(data)
        return given

    def when(self, data: e.Input) -> tuple[e.Event, ...]:
        """Decide one input, fold what follows, and return the decisions (without the input)."""
        events = decide(self.state, Command(data, 0))
        for event in events:
            if self.pure:
                self.state = evolve(self.state, event)
            else:
                apply(self.state, event)
        self.log.extend(events)
        return events[1:]

    def turn(self, **fields: object) -> tuple[e.Event, ...]:
        """Begin a turn and return its decisions."""
        return self.when(e.TurnBegan(**fields))  # type: ignore[arg-type]

    def of(self, kind: type[e.Event]) -> list[e.Event]:
        """All events of one class so far."""
        return [event for event in self.log if isinstance(event, kind)]

    def faults(self) -> list[str]:
        """The faults observed so far, by name."""
        return [str(event.fault) for event in self.log if isinstance(event, e.FaultObserved)]
