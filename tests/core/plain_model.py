"""A plain model of a session, straight from the specification (§4 to §7).

It shares no code with `clawvm_es.core`: no index, no fold in place, nothing kept that can be counted again. It says
which decisions must follow an input (`expects`), takes what happened (`sees`), and tells where a state differs from
what it knows (`differences`). Only the vocabulary of events is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy as copied
from dataclasses import dataclass, field
from hashlib import sha256
from math import isqrt
from typing import Any

from clawvm_es.core.ranking import scored  # to read what a state knows
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    ChangeReason,
    Cut,
    EpochTrigger,
    FaultReason,
    FaultType,
    Need,
    NeedRule,
    Op,
    PressureReason,
    RecallOutcome,
    RejectReason,
    ReturnStatus,
    SchemaVerdict,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Author, Fidelity, PageType, Pin, Scope
from clawvm_es.model.profile import Capability, Order, Rule
from tests.core.plain_epochs import FOR_EPOCHS, EpochsPart

LEVELS = [Fidelity.ABSENT, Fidelity.POINTER, Fidelity.STRUCTURED, Fidelity.COMPRESSED, Fidelity.FULL]
QUALITY = {0: 0, 1: 100, 2: 450, 3: 750, 4: 1000}
FLOOR = {
    PageType.BOOTSTRAP: 2,
    PageType.CONSTRAINT: 2,
    PageType.PLAN: 2,
    PageType.PREFERENCE: 1,
    PageType.EVIDENCE: 1,
    PageType.CONVERSATION: 1,
    PageType.SUMMARY: 0,
}
PINNED = {PageType.BOOTSTRAP: Pin.HARD, PageType.CONSTRAINT: Pin.HARD, PageType.PLAN: Pin.SOFT}
WRITTEN_BACK = (PageType.CONSTRAINT, PageType.PLAN, PageType.PREFERENCE)
RENDERED = {
    PageType.BOOTSTRAP: 0,
    PageType.CONSTRAINT: 1,
    PageType.PREFERENCE: 2,
    PageType.EVIDENCE: 3,
    PageType.CONVERSATION: 3,
    PageType.PLAN: 4,
    PageType.SUMMARY: 3,
}
KEPT_FIRST = {PageType.BOOTSTRAP: 0, PageType.CONSTRAINT: 1, PageType.PLAN: 2}
NEAR_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
SILENT = {
    RecallOutcome.DENIED: FaultReason.DENIED,
    RecallOutcome.BACKEND_ERROR: FaultReason.BACKEND_ERROR,
    RecallOutcome.MALFORMED: FaultReason.MALFORMED,
}


@dataclass
class PlainPage:
    """All that the model knows of a page."""

    number: int
    written: e.PageWritten
    version: int  # of the event that wrote its content
    content: int  # versions of its content so far
    pin: Pin
    last_used: int
    uses: int = 0
    edited: int = 0
    dirty: bool = False
    retired: bool = False
    redacted: bool = False
    lost: bool = False  # destroyed before it was committed
    alive: bool = True
    away: bool = False  # rewound, and not put back
    summaries: bool = False  # whether the policy shows summaries

    @property
    def id(self) -> str:
        """Its id."""
        return self.written.page_id

    @property
    def sizes(self) -> dict[int, int]:
        """Tokens of each kept level, by rank; nothing costs nothing."""
        return {0: 0, **{LEVELS.index(level.level): level.tokens for level in self.written.levels}}

    @property
    def full(self) -> int:
        """Tokens of its full level."""
        return self.sizes[4]

    @property
    def place(self) -> tuple[int, int]:
        """Its place in rendered order."""
        return RENDERED[self.written.page_type], self.number

    @property
    def required(self) -> bool:
        """Whether it has to stand in the prompt."""
        by_type = self.written.page_type in KEPT_FIRST and self.written.active
        return self.offered and (by_type or self.pin is Pin.HARD)

    @property
    def offered(self) -> bool:
        """Whether it can stand in a prompt; a harness's summary does as recorded only."""
        return self.alive and self.shown

    @property
    def shown(self) -> bool:
        """Whether the policy would show it, were it alive."""
        return not self.away and (self.summaries or self.written.page_type is not PageType.SUMMARY)

    @property
    def floor(self) -> int:
        """The lowest rank that it is held at where it is required: never a pointer."""
        lowest = max(FLOOR[self.written.page_type], 2)
        return min(rank for rank in self.sizes if rank >= lowest)


@dataclass
class Plan:
    """A prompt in the making."""

    rest: int
    directory: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    why: dict[str, ChangeReason] = field(default_factory=dict)
    final: set[str] = field(default_factory=set)
    pressure: list[e.InvariantPressureObserved] = field(default_factory=list)
    utility: int = 0
    bound: int = 0
    installed: dict[str, int] | None = None  # levels before steps were taken
    spent: int = 0  # on steps
    refused: dict[str, tuple[int, int]] = field(default_factory=dict)  # hinted or found: what was wanted, and left
    untaken: dict[str, tuple[int, int | None]] = field(default_factory=dict)  # first step not taken: the same
    misfits: set[str] = field(default_factory=set)

    def cost(self, page: PlainPage, rank: int) -> int:
        """What holding a page at a rank costs above what it stands at."""
        return page.sizes[rank] - page.sizes[self.levels.get(page.id, 0)]

    def hold(self, page: PlainPage, rank: int, why: ChangeReason | None = None) -> None:
        """Hold a page, and pay."""
        self.rest -= self.cost(page, rank)
        self.levels[page.id] = rank
        if why is not None:
            self.why[page.id] = why


@dataclass
class Call:
    """A tool call, and how it ended."""

    event: e.ToolCalled
    version: int
    repeats: int | None
    ended: list[tuple[int, ReturnStatus]] = field(default_factory=list)


@dataclass(eq=False)
class Copy:
    """A copy of a page in the recorded context."""

    page_id: str  # or a call, or thoughts, by number
    tokens: int

    @property
    def kind(self) -> str:
        """Whether it is a page, arguments or thoughts."""
        return self.page_id.partition(" ")[0] if " " in self.page_id else "page"


class Plain(EpochsPart):
    """The model: pages, calls and updates by number, and everything that was written, in order."""

    def __init__(self) -> None:
        self.version = self.turn = 0
        self.pages: dict[str, PlainPage] = {}
        self.resident: dict[str, int] = {}
        self.arrivals: list[str] = []
        self.changed: set[str] = set()  # content is not what the last prompt showed
        self.prompt: list[str] = []
        self.fixed: int | None = None
        self.met: list[frozenset[str]] = []
        self.calls: dict[int, Call] = {}
        self.copies: set[int] = set()
        self.result_pages: dict[int, str] = {}  # call → the first page of its result
        self.early: dict[int, tuple[int, ReturnStatus]] = {}
        self.kinds: list[object] = []
        self.writes: list[tuple[int, object]] = []  # (version, resource or class of resources)
        self.shown_before: dict[str, int] = {}  # levels of the last prompt
        self.boundary = self.assembled = 0  # versions: a compaction or reset since the last assembly, and that
        self.requirement: list[str] = []  # what is required, as it came to be
        self.dirty: list[str] = []
        self.about: list[tuple[str, int | None]] = []  # (page, resource that it shows)
        self.updates: list[tuple[UpdateFacts, str | None]] = []
        self.pending: list[int] = []
        self.store: dict[tuple[str, str], int] = {}
        self.scopes: dict[str, int] = {}
        self.context: list[Copy] = []  # as recorded: all that stands, older copies of pages included
        self.sent: list[Copy] = []  # the same as of the last prompt
        self.passing: list[Copy] = []  # thoughts of it that leave as the user speaks
        self.chain, self.epoch, self.cut = sha256(b"").hexdigest(), 0, False
        self.start()

    # --------------------------------------------------------------------------------------- decisions

    def has(self, capability: Capability) -> bool:
        """Whether the policy has a mechanism."""
        return capability in self.profile.capabilities

    @property
    def fixed_bootstrap(self) -> bool:
        """Whether the floors of bootstrap pages are kept, and no others."""
        return self.has(Capability.FIXED_BOOTSTRAP) and not self.has(Capability.FLOORS)

    def held(self, page: PlainPage) -> int:
        """The rank that a page keeps under the policy, whatever happens."""
        kept = self.has(Capability.FLOORS) or (self.fixed_bootstrap and page.written.page_type is PageType.BOOTSTRAP)
        return page.floor if page.required and kept else 0

    def expects(self, data: e.Input) -> list[e.Decision]:
        """The decisions that must follow an input."""
        decides = {
            e.TurnBegan: self._prompt,
            e.ToolCalled: self._called,
            e.ToolReturned: self._returned,
            e.ModelResponded: lambda data: self._needs(data.needs),
            e.RecallAnswered: self._recalled,
            e.UpdateStaged: self._staged,
            e.BoundaryReached: self._boundary,
            e.PageRetired: lambda data: self._leave([data.page_id], ChangeReason.RETIRED),
            e.ContentRedacted: lambda data: self._erase(data.pages),
        }
        return list(decides.get(type(data), lambda data: [])(data))

    def _called(self, data: e.ToolCalled) -> list[e.Decision]:
        runs = data.served_from is None or data.served_by is not None
        earlier = self._valid(data.signature) if data.deterministic and runs else None
        alert = [e.DuplicateSignatureAlerted(data.call, earlier)] if earlier else []
        return [*alert, *self._needs(data.needs, data.call, earlier)]

    def _returned(self, data: e.ToolReturned) -> list[e.Decision]:
        call = self.calls.get(data.call)
        return self._needs(data.needs, data.call, call.repeats if call else None)

    def _recalled(self, data: e.RecallAnswered) -> list[e.Decision]:
        silent = data.outcome in SILENT and not data.pages and not self.has(Capability.RECALL_OUTCOME)
        faults: list[e.Decision] = []
        if silent:
            evidence = (self.version + 1,)
            faults.append(e.FaultObserved(FaultType.SILENT_RECALL, SILENT[data.outcome], evidence=evidence))
        return [*faults, *self._needs(data.needs)]

    def _valid(self, signature: int | None) -> int | None:
        """The last call with this signature that ended well, if nothing it read was written since it was made."""
        same = [
            (call.ended[-1][0], number)
            for number, call in self.calls.items()
            if signature is not None and call.event.signature == signature and call.event.deterministic
            if call.ended and call.ended[-1][1] is ReturnStatus.OK
        ]
        if not same:
            return None
        number = max(same)[1]
        call = self.calls[number]
        read = set(call.event.reads) | {self.kinds[key - 1] for key in call.event.reads}
        return None if any(version > call.version and what in read for version, what in self.writes) else number

    def _needs(self, needs: Iterable[Need], call: int | None = None, repeats: int | None = None) -> list[e.Decision]:
        met, found = list(self.met), []
        for need in needs:
            holders = frozenset(holder.page_id for holder in need.holders)
            if holders not in met:
                met.append(holders)
                found.append(self._outcome(need, call, repeats))
        return found

    def _outcome(self, need: Need, call: int | None, repeats: int | None) -> e.Decision:
        newest_first = list(reversed(need.holders))
        if self.recorded:
            return self._outcome_as_recorded(need, call)
        for holder in newest_first:
            level = LEVELS[self.resident.get(holder.page_id, 0)]
            if level in holder.levels and level is not Fidelity.ABSENT and holder.page_id not in self.changed:
                return e.PageUsed(holder.page_id, need.rule)
        page = self._charged(need)
        evidence = (page.version,)
        if page.redacted:
            return e.FaultObserved(FaultType.REFETCH, FaultReason.REDACTED, page.id, call, evidence)
        resolves = self.has(Capability.RESOLUTION) and not page.lost
        if resolves and (need.rule is not NeedRule.REPEATED_READ or self.has(Capability.VALIDITY)):
            return e.PageResolved(page.id, need.rule, need.tokens)
        if repeats is not None:
            evidence = (page.version, self.calls[repeats].version)
            return e.FaultObserved(FaultType.DUPLICATE_TOOL, FaultReason.RERUN, page.id, call, evidence)
        return e.FaultObserved(FaultType.REFETCH, FaultReason.NOT_RESIDENT, page.id, call, evidence)

    @property
    def recorded(self) -> bool:
        """Whether prompts are what the harness itself held."""
        return self.profile.rule is Rule.RECORDED

    def _charged(self, need: Need) -> PlainPage:
        """The newest holder that is not erased and that the policy shows, as far as there is one."""
        pages = [self.pages[holder.page_id] for holder in reversed(need.holders)]
        whole = [page for page in pages if not page.redacted] or pages
        return ([page for page in whole if page.shown] or whole)[0]

    def _outcome_as_recorded(self, need: Need, call: int | None) -> e.Decision:
        for holder in reversed(need.holders):
            held = holder.page_id in self.resident or holder.page_id in self.arrivals
            if held and Fidelity.FULL in holder.levels:
                return e.PageUsed(holder.page_id, need.rule)
        page = self._charged(need)
        if page.redacted or need.rule is NeedRule.REPEATED_READ:
            why = FaultReason.REDACTED if page.redacted else FaultReason.NOT_RESIDENT
            return e.FaultObserved(FaultType.REFETCH, why, page.id, call, (page.version,))
        return e.NeedUnmet(page.id, need.rule, need.tokens, call)

    def _leave(self, page_ids: list[str], why: ChangeReason) -> list[e.Decision]:
        return [
            e.RepresentationChanged(page_id, LEVELS[self.resident[page_id]], Fidelity.ABSENT, why)
            for page_id in page_ids
            if page_id in self.resident
        ]

    def _erase(self, page_ids: tuple[str, ...]) -> list[e.Decision]:
        found = self._leave(list(page_ids), ChangeReason.REDACTED)
        missing = [self.pages[page_id] for page_id in page_ids if self.pages[page_id].required]
        if missing:
            tokens, ids = sum(page.sizes[page.floor] for page in missing), tuple(page.id for page in missing)
            found.append(e.InvariantPressureObserved(PressureReason.REDACTED, tokens, 0, ids))
        return found

    # ------------------------------------------------------------------------------------- the next prompt

    def _prompt(self, data: e.TurnBegan) -> list[e.Decision]:
        if self.recorded:
            return self._as_recorded(data)
        if self.in_epochs:
            return self._in_epochs(data)
        plan = self.plan(data)
        return [*self._changes(plan), self._assembled(plan, data), *plan.pressure, *self._short(plan)]

    def _as_recorded(self, data: e.TurnBegan) -> list[e.Decision]:
        """What is new stands at the end; nothing else moves."""
        found: list[e.Decision] = [
            e.RepresentationChanged(
                page_id, LEVELS[self.resident.get(page_id, 0)], Fidelity.FULL, ChangeReason.ARRIVAL
            )
            for page_id in self.arrivals
            if self.resident.get(page_id) != 4
        ]
        tokens = data.fixed_tokens + sum(copy.tokens for copy in self.context)
        tokens += sum(self.pages[page_id].full for page_id in self.arrivals)
        same = 0
        while same < min(len(self.context), len(self.sent)) and self.context[same] is self.sent[same]:
            same += 1
        cached = data.fixed_tokens + sum(copy.tokens for copy in self.context[:same])
        anew = self.cut or self.epoch == 0
        digest = self.chain
        if self.arrivals:
            tags = [f"{page_id}.{self.pages[page_id].content}.4" for page_id in self.arrivals]
            digest = sha256("\n".join([digest, *tags]).encode()).hexdigest()
        found.append(
            e.PromptAssembled(
                budget_tokens=self.budget,
                tokens=tokens,
                pages=len({*self.resident, *self.arrivals}),
                uncached_tokens=tokens - (cached if data.fixed_tokens == self.fixed else 0),
                digest=digest,
                epoch=self.epoch + anew,
                trigger=EpochTrigger.FORCED if anew else None,
            )
        )
        for page_id in self.requirement if self.boundary else ():
            if page_id in self.shown_before and page_id not in self.resident and page_id not in self.arrivals:
                page = self.pages[page_id]
                fault, why = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
                if page.written.page_type is PageType.BOOTSTRAP:
                    fault, why = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
                found.append(e.FaultObserved(fault, why, page_id, evidence=(page.version, self.boundary)))
        return found

    def plan(self, data: e.TurnBegan) -> Plan:
        """The prompt that a turn begins with."""
        rule = self.profile.rule
        plan = self._required(data)
        if rule is Rule.COMPACTION:
            self._context(plan)
        self._new(plan)
        if rule in (Rule.RETRIEVAL, Rule.RETRIEVAL_CACHE) or (rule is Rule.COMPACTION and self._user_spoke()):
            self._retrieved(plan, data.retrieved)
        if self.has(Capability.PREFETCH):
            self._hinted(plan, data.hints)
        if rule not in (Rule.RETRIEVAL, Rule.COMPACTION):
            self._spend(plan)
        return plan

    @staticmethod
    def new_plan(rest: int, directory: int = 0) -> Plan:
        """A prompt in the making."""
        return Plan(rest, directory)

    def _required(self, data: e.TurnBegan) -> Plan:
        """The fixed region, the directory line where it fits beside the floors, and the floors that are kept."""
        floors = sum(page.sizes[page.floor] for page in self.pages.values() if page.required)
        plan = Plan(self.budget - data.fixed_tokens)
        if plan.rest < 0:
            needs = data.fixed_tokens + floors
            plan.pressure.append(e.InvariantPressureObserved(PressureReason.FLOORS, needs, self.budget))
            plan.rest = 0
        elif self.has(Capability.RESOLUTION) and self.opened.directory_tokens + floors <= plan.rest:
            plan.directory = self.opened.directory_tokens
            plan.rest -= plan.directory
        return self._floors(plan)

    def _floors(self, plan: Plan) -> Plan:
        """The floors that are kept, in the declared order where not all of them fit."""
        wanted = sorted(
            (page for page in self.pages.values() if page.required),
            key=lambda page: (KEPT_FIRST.get(page.written.page_type, 3), page.number),
        )
        floors = sum(page.sizes[page.floor] for page in wanted)
        lost = self.boundary > 0 and self.has(Capability.FLOORS) and not self.has(Capability.BOUNDARY_FLOORS)
        if not self.has(Capability.FLOORS):
            bootstrap = [page for page in wanted if page.written.page_type is PageType.BOOTSTRAP]
            wanted = bootstrap if self.fixed_bootstrap else []
            floors = sum(page.sizes[page.floor] for page in wanted)
        quietly = floors <= plan.rest and not lost and self.has(Capability.FLOORS)
        available, out = plan.rest, []
        for page in wanted:
            if lost and page.written.page_type is PageType.BOOTSTRAP:
                plan.final.add(page.id)
            elif plan.cost(page, page.floor) <= plan.rest:
                plan.hold(page, page.floor, None if quietly else ChangeReason.FLOOR)
            else:
                out.append(page.id)
        plan.final.update(out)
        if out:
            plan.pressure.append(e.InvariantPressureObserved(PressureReason.FLOORS, floors, available, tuple(out)))
        return plan

    def _context(self, plan: Plan) -> None:
        """What the prompt held stays as it was, as far as it fits; the newest pages first."""
        for page in sorted(self.pages.values(), key=lambda page: -page.number):
            rank = self.resident.get(page.id, 0)
            if not rank or page.id in self.changed or page.id in plan.final:
                continue
            if 0 <= plan.cost(page, rank) <= plan.rest:
                plan.hold(page, rank)

    def _user_spoke(self) -> bool:
        new = [self.pages[page_id] for page_id in self.arrivals]
        return any(
            page.written.author is Author.USER
            and page.written.page_type is PageType.CONVERSATION
            and page.version > self.assembled
            for page in new
        )

    def _retrieved(self, plan: Plan, page_ids: tuple[str, ...]) -> None:
        """What was found comes in full as far as it fits, unless it is new."""
        for page_id in page_ids:
            page = self.pages[page_id]
            if page_id in self.arrivals or plan.levels.get(page_id) == 4 or not page.offered:
                continue
            if plan.cost(page, 4) <= plan.rest:
                plan.hold(page, 4, ChangeReason.RETRIEVED)
                plan.final.add(page_id)
            else:
                plan.refused[page_id] = (plan.cost(page, 4), plan.rest)

    def _new(self, plan: Plan) -> None:
        """What is new comes at full if all of it fits in half of the rest, else lowered from the largest down."""
        new = [self.pages[page_id] for page_id in self.arrivals if page_id not in plan.final]
        ranks = {page.id: 4 for page in new}
        share = plan.rest if self.profile.rule is Rule.COMPACTION else plan.rest // 2

        def total() -> int:
            return sum(plan.cost(page, ranks[page.id]) for page in new)

        if total() <= share:
            for page in new:
                plan.hold(page, 4, ChangeReason.ARRIVAL)
                plan.final.add(page.id)
            return
        while total() > share:
            can = [page for page in new if self._lower(plan, page, ranks[page.id]) is not None]
            if not can:
                break
            largest = min(can, key=lambda page: (-page.sizes[ranks[page.id]], page.number))
            ranks[largest.id] = self._lower(plan, largest, ranks[largest.id]) or 0
        wanted, available, out = total(), plan.rest, []
        for page in sorted(new, key=lambda page: (not page.required, page.sizes[ranks[page.id]], -page.number)):
            if plan.cost(page, ranks[page.id]) <= plan.rest:
                plan.hold(page, ranks[page.id], ChangeReason.ARRIVAL)
                continue
            out.append(page.id)
            plan.final.add(page.id)
            if page.id not in plan.levels and 1 in page.sizes and page.sizes[1] <= plan.rest:
                plan.hold(page, 1, ChangeReason.PRESSURE)
        if out:
            plan.pressure.append(e.InvariantPressureObserved(PressureReason.ARRIVALS, wanted, available, tuple(out)))

    @staticmethod
    def _lower(plan: Plan, page: PlainPage, rank: int) -> int | None:
        """The next kept level below, but none below the floor it stands at, and no pointer."""
        lowest = plan.levels.get(page.id, 2)
        return max((kept for kept in page.sizes if lowest <= kept < rank), default=None)

    def _hinted(self, plan: Plan, hints: tuple[str, ...]) -> None:
        """Hinted pages go up as far as they fit, in the order in which they are named."""
        for page_id in hints:
            page = self.pages[page_id]
            if page_id in plan.final or page_id in self.arrivals or not page.offered:
                continue
            plan.final.add(page_id)
            for rank, _, _ in steps(page, plan.levels.get(page_id, 0)):
                if plan.cost(page, rank) > plan.rest:
                    plan.refused[page_id] = (plan.cost(page, rank), plan.rest)
                    break
                plan.hold(page, rank, ChangeReason.HINT)

    def _spend(self, plan: Plan) -> None:
        """All steps of all pages that are not final, best first; a page whose step does not fit takes no more."""
        offered = []
        for page in self.pages.values():
            if page.offered and page.id not in plan.final:
                offered.extend(self._offers(page, plan.levels.get(page.id, 0)))
        refused, ended = plan.misfits, False
        plan.installed = dict(plan.levels)
        density = self.profile.rule is Rule.HULL and self.profile.order is Order.DENSITY
        bounds = density and self.has(Capability.SCORING)
        first: int | None = None
        for first_key, _, rank, cost, gain, page in sorted(offered, key=lambda offer: offer[:3]):
            if ended:
                plan.untaken.setdefault(page.id, (cost, None))
                continue
            if cost <= plan.rest:
                if page.id not in refused:
                    plan.hold(page, rank)
                    plan.utility += gain
                    plan.spent += cost
                continue
            plan.untaken.setdefault(page.id, (cost, plan.rest))
            if first is None:
                first = plan.utility - (-plan.rest * (1 - first_key) // 2**20)
            refused.add(page.id)
            ended = plan.rest <= 0 or len(refused) >= self.opened.misfits
        if bounds:
            plan.bound = plan.utility if first is None else first

    def _offers(self, page: PlainPage, base: int) -> list[tuple[int, int, int, int, int, PlainPage]]:
        """(what orders it, page number, rank, cost, gain, page) of each step of a page."""
        score, age = self.score(page), self.turn + 1 - page.last_used
        rule, order, weights = self.profile.rule, self.profile.order, self.profile.weights
        found, worst, ways = [], None, steps(page, base)
        if rule is Rule.RETRIEVAL_CACHE:
            whole = page.written.page_type is PageType.EVIDENCE and base < 4
            ways = [(4, QUALITY[4] - QUALITY[base], page.full - page.sizes[base])] if whole else []
        if not self.has(Capability.SCORING):
            return [(0, page.number, rank, cost, quality, page) for rank, quality, cost in ways]
        if rule is Rule.REUSE or rule in FOR_EPOCHS:
            away = self.turn + 1 - max(page.last_used, page.edited)
            priority = score * (nearness(away) if rule is Rule.REUSE else epoch_nearness(away))
            for rank, quality, cost in ways:
                gain = quality * priority // (1000 * 10_000)
                found.append((-priority, page.number, rank, cost, gain, page))
            return found if priority > 0 else []
        total = score + weights.recency * recency(age) // 1000
        for rank, quality, cost in ways:
            gain = quality * total // 1000
            worst = gain if worst is None else min(worst, gain)
            if rule in (Rule.RECENCY, Rule.RETRIEVAL_CACHE):
                key = -page.last_used
            elif order is Order.DENSITY:
                key = -(quality * total * 2**20 // (1000 * cost))
            else:
                key = -worst
            found.append((key, page.number, rank, cost, gain, page))
        return found if total > 0 or rule in (Rule.RECENCY, Rule.RETRIEVAL_CACHE) else []

    def score(self, page: PlainPage) -> int:
        """What is true of a page, weighted; under both `reuse` with its uses, over the fourth root of its size."""
        weights, written = self.profile.weights, page.written
        if not self.has(Capability.SCORING):
            return 1000
        total = {Pin.HARD: weights.pin_hard, Pin.SOFT: weights.pin_soft, Pin.NONE: 0}[page.pin]
        if written.page_type is PageType.BOOTSTRAP:
            total += weights.boot
        if written.page_type is PageType.PLAN and written.active:
            total += weights.plan
        if written.scope is Scope.PROJECT:
            total += weights.scope
        total += weights.cost * min(1000, page.full * 1000 // 8192) // 1000
        if self.profile.rule in FOR_EPOCHS and (self._tells_of_a_write(written) or self._is_copy(written)):
            total += weights.holds_said
        elif written.page_type is PageType.EVIDENCE:
            total += weights.holds_result if written.origin.resource is None else weights.holds_record
        elif written.page_type in (PageType.CONVERSATION, PageType.SUMMARY):
            total += weights.holds_said if written.author is Author.MODEL else weights.holds_told
        else:
            total += weights.holds_stated
        if self.profile.rule not in (Rule.REUSE, *FOR_EPOCHS):
            return total
        root = isqrt(isqrt(max(page.full, 1) * 2**16))
        return total * (1000 + weights.reuse * min(page.uses, 3)) * 2**10 // (1000 * root)

    def _tells_of_a_write(self, written: e.PageWritten) -> bool:
        """True of the result of a call, made before it, that did not read what the result is about."""
        about, call = written.origin.resource, self.calls.get(written.origin.call or 0)
        if written.page_type is not PageType.EVIDENCE or about is None or call is None:
            return False
        return call.version < self.pages[written.page_id].version and about not in call.event.reads

    def _is_copy(self, written: e.PageWritten) -> bool:
        """True under `copy_reuse` of the result of a call that stood whole in earlier pages."""
        known = self.profile.rule is Rule.COPY_REUSE and written.page_type is PageType.EVIDENCE
        return known and written.origin.call in self.calls and written.origin.call in self.copies

    def _short(self, plan: Plan) -> list[e.Decision]:
        """A fault for each required page below its floor that no pressure names."""
        named = {page_id for found in plan.pressure for page_id in found.pages}
        found: list[e.Decision] = []
        for page_id in self.requirement:
            page, rank = self.pages[page_id], plan.levels.get(page_id, 0)
            if rank >= page.floor or page_id in named:
                continue
            evidence = tuple(version for version in (page.version, self.boundary) if version)
            fault, why = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
            if self.boundary and page.written.page_type is PageType.BOOTSTRAP and not rank:
                fault, why = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
            found.append(e.FaultObserved(fault, why, page_id, evidence=evidence))
        return found

    def _changes(self, plan: Plan) -> list[e.Decision]:
        gone = [self.pages[page_id] for page_id in self.resident if page_id not in plan.levels]
        found: list[e.Decision] = [
            e.RepresentationChanged(page.id, LEVELS[self.resident[page.id]], Fidelity.ABSENT, ChangeReason.EVICTED)
            for page in sorted(gone, key=lambda page: page.place)
        ]
        for page in sorted((self.pages[page_id] for page_id in plan.levels), key=lambda page: page.place):
            before, after = self.resident.get(page.id, 0), plan.levels[page.id]
            if before == after:
                continue
            moved = ChangeReason.RAISED if after > before else ChangeReason.LOWERED
            at_floor = page.required and after == page.floor
            why = plan.why.get(page.id) or (ChangeReason.FLOOR if at_floor else moved)
            found.append(e.RepresentationChanged(page.id, LEVELS[before], LEVELS[after], why))
        return found

    def _rendered(self, levels: dict[str, int], directory: bool) -> list[str]:
        """What stands in a prompt, in rendered order: pages, how many the directory line counts, what is new."""
        pages = sorted((self.pages[page_id] for page_id in levels), key=lambda page: page.place)
        text = {page.id: f"{page.id}.{page.content}.{levels[page.id]}" for page in pages}
        others = sum(page.offered for page in self.pages.values()) - len(levels)
        line = [str(others)] if directory and others else []
        old = [text[page.id] for page in pages if page.id not in self.arrivals]
        return [*old, *line, *(text[page.id] for page in pages if page.id in self.arrivals)]

    def _assembled(self, plan: Plan, data: e.TurnBegan) -> e.PromptAssembled:
        pieces = self._rendered(plan.levels, plan.directory > 0)

        def size(piece: str) -> int:
            if "." not in piece:
                return plan.directory
            page_id, _, rank = piece.split(".")
            return self.pages[page_id].sizes[int(rank)]

        has_line = any("." not in piece for piece in pieces)
        spare = 0 if has_line else plan.directory
        tokens = data.fixed_tokens + sum(map(size, pieces)) + spare
        same = 0
        while same < min(len(pieces), len(self.prompt)) and pieces[same] == self.prompt[same]:
            same += 1
        cached = data.fixed_tokens + sum(map(size, pieces[:same])) + (spare if pieces == self.prompt else 0)
        if data.fixed_tokens != self.fixed:
            cached = 0
        return e.PromptAssembled(
            budget_tokens=self.budget,
            tokens=tokens,
            pages=len(plan.levels),
            uncached_tokens=tokens - cached,
            digest=sha256("\n".join(pieces).encode()).hexdigest(),
            directory_tokens=plan.directory,
            utility=plan.utility,
            bound=plan.bound,
        )

    # ------------------------------------------------------------------------------------------ writeback

    def _staged(self, data: e.UpdateStaged) -> list[e.Decision]:
        reason = self._refused(data.facts, {}, self.version)
        return [e.UpdateRejected(data.update, reason) if reason else e.UpdateValidated(data.update)]

    def _refused(self, facts: UpdateFacts, ahead: dict[tuple[str, str], int], version: int) -> RejectReason | None:
        """The first check of §7 that an update fails."""
        evidence, committed = facts.evidence, {**self.store, **ahead}.get((facts.scope, facts.field), 0)
        resolves = False
        if evidence.page_id is not None:
            page = self.pages.get(evidence.page_id)
            resolves = page is not None and not (page.redacted or page.lost)
        elif evidence.version is not None:
            resolves = 1 <= evidence.version <= version
        elif evidence.scope_version is not None:
            resolves = 1 <= evidence.scope_version <= max(self.scopes.values(), default=0)
        named = [self.pages.get(page_id) for page_id in facts.replaces]
        there = [page is not None and not (page.redacted or page.lost) for page in named]
        stands = bool(there) and all(there) if facts.op is Op.REPLACE else not there
        held = any(page is not None and page.pin is Pin.HARD for page in named)
        sets = facts.op in (Op.SET_WITH_VERSION, Op.DELETE, Op.REPLACE)
        destroys = (facts.base_version or 0) != committed if sets else facts.keys_changed > 0
        pinned = facts.field in self.pages and self.pages[facts.field].pin is Pin.HARD
        table = {
            RejectReason.SCHEMA_INVALID: facts.verdict is not SchemaVerdict.OK,
            RejectReason.PROVENANCE_UNRESOLVED: not (resolves and stands),
            RejectReason.SCOPE_DENIED: not facts.allowed,
            RejectReason.DESTRUCTIVE_OP: destroys,
            RejectReason.POLICY_VIOLATION: (pinned and facts.size_bytes == 0)
            or held
            or not all(verdict.agrees for verdict in facts.validators),
        }
        return next((reason for reason, holds in table.items() if holds), None)

    def _boundary(self, data: e.BoundaryReached) -> list[e.Decision]:
        """Stage what is dirty, judge all that is pending, commit, and only then lower pages; or lose it."""
        flushes = data.boundary in (Boundary.FLUSH, Boundary.SAVE)
        if not (self.has(Capability.STAGING) or (flushes and self.has(Capability.FLUSH_STAGING))):
            return self._loses(data)
        count = len(self.updates)
        staged = [(count + place, each.update) for place, each in enumerate(data.staged, 1)]
        found: list[e.Decision] = [
            e.DirtyPageStaged(each.page_id, count + place) for place, each in enumerate(data.staged, 1)
        ]
        ahead: dict[tuple[str, str], int] = {}
        commits: list[e.Decision] = []
        refused = 0
        for number, facts in [*((number, self.updates[number - 1][0]) for number in self.pending), *staged]:
            reason = self._refused(facts, ahead, self.version)
            if reason:
                refused += 1
                found.append(e.UpdateRejected(number, reason))
                continue
            if number > count:
                found.append(e.UpdateValidated(number))
            key = (facts.scope, facts.field)
            ahead[key] = {**self.store, **ahead}.get(key, 0) + 1
            commits.append(e.UpdateCommitted(number, facts.field, facts.op, ahead[key], facts.scope))
        lowered = self._lowered(data, [])
        point = e.CommitPointReached(len(commits), refused)
        return [*found, *commits, point, *lowered, e.BoundaryCompleted(data.boundary, len(lowered))]

    def _loses(self, data: e.BoundaryReached) -> list[e.Decision]:
        """A boundary that writes nothing back destroys what is dirty, unless it destroys nothing."""
        keeps = data.boundary in (Boundary.FLUSH, Boundary.SAVE) or data.cut is Cut.REWIND
        lost = [] if keeps else self.dirty
        if data.boundary is Boundary.PRUNE:
            lost = [page_id for page_id in lost if page_id in data.pages]
        found: list[e.Decision] = []
        for page_id in lost:
            evidence = (self.pages[page_id].version, self.version + 1)
            why = FaultReason.DESTROYED_BEFORE_COMMIT
            found.append(e.FaultObserved(FaultType.FLUSH_MISS, why, page_id, evidence=evidence))
        lowered = self._lowered(data, lost)
        return [*found, *lowered, e.BoundaryCompleted(data.boundary, len(lowered))]

    def _lowered(self, data: e.BoundaryReached, lost: list[str]) -> list[e.Decision]:
        found: list[e.Decision] = []
        summary = self._summary(lost) if data.boundary is Boundary.COMPACT else {}
        for page in sorted((self.pages[page_id] for page_id in self.resident), key=lambda page: page.number):
            before = self.resident[page.id]
            after = 0 if page.id in lost else self._keeps(page, data, summary)
            if after < before:
                found.append(e.RepresentationChanged(page.id, LEVELS[before], LEVELS[after], ChangeReason.BOUNDARY))
        return found

    def _keeps(self, page: PlainPage, data: e.BoundaryReached, summary: dict[str, int]) -> int:
        """The rank that a boundary leaves a page."""
        if self.recorded:
            return 0 if page.id in self._taken(data) else 4
        if data.cut is Cut.REWIND:
            return 0 if page.id in data.left else 4
        told = data.trigger is Trigger.RECORDED and data.cut is not None
        if told and data.boundary is not Boundary.RESET and self.profile.rule is not Rule.COMPACTION:
            return 4
        bootstrap = page.written.page_type is PageType.BOOTSTRAP
        if data.boundary in (Boundary.COMPACT, Boundary.RESET):
            unkept = bootstrap and not (self.fixed_bootstrap or self.has(Capability.BOUNDARY_FLOORS))
            return summary.get(page.id, 0 if unkept else self.held(page))
        evidence = page.written.page_type is PageType.EVIDENCE
        pruned = page.id in data.pages if data.pages else evidence and data.cut is None
        if data.boundary is Boundary.PRUNE and pruned:
            if page.required and self.in_epochs:
                return 4
            return page.floor if page.required else 0
        return 4

    def _taken(self, data: e.BoundaryReached) -> list[str]:
        """The pages that a boundary takes out of the recorded context."""
        held = [*self.resident, *self.arrivals]
        if data.cut is not None or data.left:
            return [*data.left, *data.pages]
        if data.boundary is Boundary.PRUNE:
            evidence = [each for each in held if self.pages[each].written.page_type is PageType.EVIDENCE]
            return list(data.pages) or evidence
        if data.boundary in (Boundary.COMPACT, Boundary.RESET):
            stated = (PageType.BOOTSTRAP, PageType.CONSTRAINT)
            written = {each: self.pages[each].written for each in held}
            return [
                page_id
                for page_id, page in written.items()
                if page.author is not Author.HARNESS or page.page_type not in stated
            ]
        return []

    def _summary(self, lost: list[str]) -> dict[str, int]:
        """The newest pages at their lowest level, as many as a share of the budget holds."""
        found: dict[str, int] = {}
        if self.profile.rule is not Rule.COMPACTION:
            return found
        rest = self.budget * self.profile.summary_permille // 1000
        pages = [self.pages[page_id] for page_id in self.resident]
        for page in sorted(pages, key=lambda page: -page.version):
            rank = min(rank for rank in page.sizes if rank)
            if page.id in lost or page.id in self.changed or rank <= self.held(page):
                continue
            if page.sizes[rank] <= rest:
                found[page.id] = rank
                rest -= page.sizes[rank]
        return found

    # ------------------------------------------------------------------------------------ what happened

    def sees(self, event: e.Event) -> None:
        """Take an event."""
        self.version += 1
        name = "_see_" + event.TYPE
        if hasattr(self, name):
            getattr(self, name)(event)
        for need in getattr(event, "needs", ()):
            holders = frozenset(holder.page_id for holder in need.holders)
            if holders not in self.met:
                self.met.append(holders)
                for page_id in holders:
                    self.pages[page_id].uses += 1

    def _see_session_opened(self, event: e.SessionOpened) -> None:
        self.opened, self.profile, self.budget = event, event.profile, event.budget_tokens
        if event.project is not None:
            self.scopes[event.project] = 0

    def _see_scope_synced(self, event: e.ScopeSynced) -> None:
        for change in event.changes:
            key = (event.scope, change.field)
            self.store[key] = 1 + self.store.get(key, 0)
        self.scopes[event.scope] = event.to_version

    def _see_budget_changed(self, event: e.BudgetChanged) -> None:
        self.budget = event.budget_tokens

    def _see_settings_adopted(self, event: e.SettingsAdopted | e.SessionForked) -> None:
        was, paged = self.recorded, self.in_epochs
        self.profile = event.profile or self.profile
        self.budget = event.budget_tokens or self.budget
        if paged is not self.in_epochs:
            self._enters_or_leaves()
        self.forced = (self.forced or event.profile is not None) and self.in_epochs
        if was is self.recorded:
            return
        for page in self.pages.values():
            page.summaries = self.recorded
            if page.written.page_type is PageType.SUMMARY:
                _last(self.requirement, page.id, page.required)
        standing = sorted(self.resident, key=lambda page_id: self.pages[page_id].number)
        waiting = [*standing, *self.arrivals] if self.recorded else self.arrivals
        self.arrivals = [page_id for page_id in dict.fromkeys(waiting) if self.pages[page_id].offered]
        self.prompt, self.context, self.sent, self.cut = [], [], [], bool(self.resident)
        self.passing = []

    _see_session_forked = _see_settings_adopted

    def _see_turn_began(self, event: e.TurnBegan) -> None:
        self.turn += 1
        self.forced = self.in_epochs and (self.forced or self._lost(event))
        self.met, self.fixed, self.assembling = [], event.fixed_tokens, True
        self.region, self.model = event.fixed or self.region, event.model or self.model

    def _see_page_written(self, event: e.PageWritten) -> None:
        known, dirty = self.pages.get(event.page_id), event.page_type in WRITTEN_BACK
        kept = known is not None and known.written.page_type is event.page_type
        if known is not None:
            self._rewrites(known, event)
        self.pages[event.page_id] = PlainPage(
            number=known.number if known else len(self.pages) + 1,
            written=event,
            version=self.version,
            content=known.content + 1 if known else 1,
            pin=known.pin if known and kept else PINNED.get(event.page_type, Pin.NONE),
            last_used=self.turn,
            uses=known.uses if known else 0,
            edited=known.edited if known else 0,
            dirty=dirty if event.dirty is None else event.dirty,
            summaries=self.recorded,
        )
        _last(self.arrivals, event.page_id, self.pages[event.page_id].offered)
        _last(self.dirty, event.page_id, self.pages[event.page_id].dirty)
        _last(self.requirement, event.page_id, self.pages[event.page_id].required)
        self.changed.add(event.page_id)
        call = self.calls.get(event.origin.call) if event.origin.call is not None else None
        if call is not None:
            self.result_pages.setdefault(call.event.call, event.page_id)
        if call is None or event.origin.resource in call.event.reads:
            self.about.append((event.page_id, event.origin.resource))
        if event.author is Author.USER and event.page_type is PageType.CONVERSATION:
            self.writes.append((self.version, "file"))
            self._thoughts_pass()

    def _thoughts_pass(self) -> None:
        """The user spoke: thoughts of the exchange leave, unless their provider keeps them."""
        for copy in [each for each in self.passing if self.recorded and each in self.context]:
            self.context.remove(copy)
            self.chain = sha256(f"{self.chain}\n-{copy.page_id}".encode()).hexdigest()
            self.cut |= copy in self.sent
        self.passing = []

    def _see_page_pinned(self, event: e.PagePinned) -> None:
        self.pages[event.page_id].pin = event.pin
        _last(self.requirement, event.page_id, self.pages[event.page_id].required)

    def _see_page_retired(self, event: e.PageRetired) -> None:
        self._retires(self.pages[event.page_id])
        self._gone(event.page_id)
        self.pages[event.page_id].retired = True

    def _see_content_redacted(self, event: e.ContentRedacted) -> None:
        self._erases(event)
        for page_id in event.pages:
            self._gone(page_id)
            self.pages[page_id].redacted = True

    def _gone(self, page_id: str) -> None:
        self.pages[page_id].alive = self.pages[page_id].dirty = False
        for order in (self.arrivals, self.dirty, self.requirement):
            _last(order, page_id, False)

    def _see_representation_changed(self, event: e.RepresentationChanged) -> None:
        self.resident.pop(event.page_id, None)
        if event.after is not Fidelity.ABSENT:
            self.resident[event.page_id] = LEVELS.index(event.after)
        elif not self.assembling:
            self._goes_stale(event)
        if event.after is Fidelity.ABSENT and any(copy.page_id == event.page_id for copy in self.context):
            self.context = [copy for copy in self.context if copy.page_id != event.page_id]
            self.chain = sha256(f"{self.chain}\n-{event.page_id}".encode()).hexdigest()
            self.cut = True

    def _see_prompt_assembled(self, event: e.PromptAssembled) -> None:
        self.assembling = False
        if self.in_epochs:
            self._lays_out(event)
        self.shown_before = dict(self.resident)
        if self.recorded:
            self.context += [Copy(page_id, self.pages[page_id].full) for page_id in self.arrivals]
            self.sent, self.chain, self.epoch, self.cut = list(self.context), event.digest, event.epoch, False
        self.prompt = self._rendered(self.resident, event.directory_tokens > 0)
        for page_id in self.arrivals:
            self.pages[page_id].last_used = self.turn
        self.arrivals, self.changed = [], set()
        self.assembled, self.boundary = self.version, 0

    def _see_page_used(self, event: e.PageUsed) -> None:
        self.pages[event.page_id].last_used = self.turn

    def _see_page_resolved(self, event: e.PageResolved) -> None:
        self._arrives(event.page_id)

    def _see_recall_answered(self, event: e.RecallAnswered) -> None:
        for page_id in event.pages:
            self._arrives(page_id)

    def _see_fault_observed(self, event: e.FaultObserved) -> None:
        if event.page_id and event.fault in (FaultType.REFETCH, FaultType.DUPLICATE_TOOL):
            if self.pages[event.page_id].offered and not self.recorded:
                self._arrives(event.page_id)
        elif event.fault is FaultType.FLUSH_MISS:
            self._gone(event.page_id or "")
            self.pages[event.page_id or ""].lost = True

    def _arrives(self, page_id: str) -> None:
        self.pages[page_id].last_used = self.turn
        if self.pages[page_id].offered and page_id not in self.arrivals:
            self.arrivals.append(page_id)

    def _see_tool_called(self, event: e.ToolCalled) -> None:
        earlier = self._valid(event.signature) if event.deterministic else None
        self.kinds.extend(resource.kind for resource in event.resources)
        if self.recorded and event.levels:
            self.context.append(Copy(f"call {event.call}", event.levels[0].tokens))
            self.chain = sha256(f"{self.chain}\ncall {event.call}".encode()).hexdigest()
        self.calls[event.call] = call = Call(event, self.version, earlier)
        if NeedRule.REPEATED_READ in [need.rule for need in event.needs]:
            self.copies.add(event.call)
        self.writes.extend((self.version, what) for what in (*event.writes, *event.invalidates))
        for key in event.writes:
            shown = self._shows(key)
            if shown is not None:
                shown.edited = self.turn
        if event.served_by is not None:
            call.ended.append((self.version, event.served_status))
        if event.call in self.early:
            pages = [page.id for page in self.pages.values() if page.written.origin.call == event.call]
            self.result_pages.update({event.call: pages[0]} if pages else {})
            call.ended.append((self.version, self.early.pop(event.call)[1]))

    def _shows(self, key: int) -> PlainPage | None:
        """The page that was written last about what was read of a resource; what a write answers is none."""
        found = [page_id for page_id, resource in self.about if resource == key]
        return self.pages[found[-1]] if found else None

    def _see_tool_returned(self, event: e.ToolReturned) -> None:
        if NeedRule.REPEATED_READ in [need.rule for need in event.needs]:
            self.copies.add(event.call)
        if event.call in self.calls:
            self.calls[event.call].ended.append((self.version, event.status))
        else:
            self.early[event.call] = (self.version, event.status)

    def _see_model_responded(self, event: e.ModelResponded) -> None:
        if self.recorded and event.thinking is not None and event.thinking_tokens:
            self.context.append(Copy(f"thoughts {self.version}", event.thinking_tokens))
            self.chain = sha256(f"{self.chain}\nthoughts {self.version}".encode()).hexdigest()
            if event.thinking_passes:
                self.passing.append(self.context[-1])

    def _see_update_staged(self, event: e.UpdateStaged) -> None:
        self.updates.append((event.facts, None))

    def _see_boundary_reached(self, event: e.BoundaryReached) -> None:
        self.updates.extend((staged.update, staged.page_id) for staged in event.staged)
        if event.boundary in (Boundary.COMPACT, Boundary.RESET) and event.cut is not Cut.REWIND:
            self.boundary = self.version
        if self.recorded:
            self._take_out(event)
        if self.in_epochs:
            self._cuts(event)
        for page_id in event.left if event.cut is Cut.REWIND else ():
            self.pages[page_id].away = True
            for order in (self.arrivals, self.dirty, self.requirement):
                _last(order, page_id, False)
        for page_id in event.returned:
            page = self.pages[page_id]
            if page.away:
                page.away = False
                _last(self.arrivals, page_id, page.offered)
                _last(self.dirty, page_id, page.dirty)
                _last(self.requirement, page_id, page.required)
        if self.recorded:
            for page_id in event.returned:
                if page_id not in self.resident and page_id not in self.arrivals and self.pages[page_id].offered:
                    self.arrivals.append(page_id)

    def _take_out(self, event: e.BoundaryReached) -> None:
        """What a boundary takes out of the recorded context beside the pages that decisions name."""
        taken = set(self._taken(event))
        waited = bool(taken & {*self.arrivals})
        for page_id in taken:
            _last(self.arrivals, page_id, False)
        cuts = event.boundary in (Boundary.COMPACT, Boundary.RESET, Boundary.PRUNE) and event.cut is not Cut.MICRO
        if not taken or not cuts:
            return
        stands = {*self.resident, *self.arrivals} - taken
        calls = [copy for copy in self.context if copy.kind == "call" and self._result_of(copy) not in stands]
        leaves = [copy for copy in self.context if copy in calls or copy.page_id in taken]
        for copy in [*self._thoughts_before(leaves, waited), *calls]:
            self.context.remove(copy)
            self.chain = sha256(f"{self.chain}\n-{copy.page_id}".encode()).hexdigest()
            self.cut = True

    def _result_of(self, copy: Copy) -> str | None:
        """The page that holds the result of the call whose arguments a copy is."""
        return self.result_pages.get(int(copy.page_id.removeprefix("call ")))

    def _thoughts_before(self, leaves: list[Copy], waited: bool) -> list[Copy]:
        """Thoughts whose answer leaves: what follows them does, or what had not been sent yet did."""
        found = []
        for place, copy in enumerate(self.context):
            if copy.kind != "thoughts":
                continue
            after = next((each for each in self.context[place:] if each.kind != "thoughts"), None)
            if after in leaves if after is not None else waited:
                found.append(copy)
        return found

    def _see_update_validated(self, event: e.UpdateValidated) -> None:
        self.pending.append(event.update)

    def _see_update_rejected(self, event: e.UpdateRejected) -> None:
        if event.update in self.pending:
            self.pending.remove(event.update)

    def _see_update_committed(self, event: e.UpdateCommitted) -> None:
        self.pending.remove(event.update)
        self.store[event.scope, event.field] = event.field_version
        if event.scope in self.scopes:
            self.scopes[event.scope] += 1
        page_id = self.updates[event.update - 1][1]
        if page_id is not None:
            self.pages[page_id].dirty = False
            _last(self.dirty, page_id, False)

    # --------------------------------------------------------------------------------------- comparison

    def differences(self, state: Any) -> list[tuple[str, object, object]]:
        """(what, in the state, in the model) wherever the two do not say the same."""
        alive = [page for page in self.pages.values() if page.offered]
        known = {
            "version": (state.version, self.version),
            "turn": (state.turn, self.turn),
            "budget": (state.budget_tokens, self.budget),
            "resident": (state.resident, self.resident),
            "arrivals": (list(state.arrivals), self.arrivals),
            "present": (state.present, len(alive)),
            "required": (list(state.required.items()), [(each, self.pages[each].floor) for each in self.requirement]),
            "dirty": (list(state.dirty), self.dirty),
            "store": (state.store, self.store),
            "scopes": (state.scopes, self.scopes),
            "pending": (list(state.pending), self.pending),
        }
        if self.recorded:
            known["context"] = (state.sent, sum(copy.tokens for copy in self.context))
            known["epoch"] = ((state.chain, state.epoch, state.cut), (self.chain, self.epoch, self.cut))
        if self.in_epochs:
            known.update(self._differs_in_epochs(state))
        for page in self.pages.values():
            there = state.pages[page.id]
            known[f"{page.id}.away"] = (there.away, page.away)
            for name in ("last_used", "uses", "edited", "dirty", "pin", "number"):
                known[f"{page.id}.{name}"] = (getattr(there, name), getattr(page, name))
            known[f"{page.id}.content"] = (there.content_version, page.content)
            known[f"{page.id}.alive"] = (not (there.retired or there.gone), page.alive)
            known[f"{page.id}.score"] = (scored(state, copied(there)), self.score(page))
        return [(what, is_, should) for what, (is_, should) in known.items() if is_ != should]


def steps(page: PlainPage, base: int) -> list[tuple[int, int, int]]:
    """(rank, more quality, more tokens): from where a page stands, always the step with most quality per token."""
    found, at = [], base
    while True:
        ways = [
            (QUALITY[rank] - QUALITY[at], size - page.sizes[at], rank)
            for rank, size in page.sizes.items()
            if rank > at and size > page.sizes[at]
        ]
        if not ways:
            return found
        best = ways[0]
        for way in ways:
            better = way[0] * best[1] - best[0] * way[1]
            if better > 0 or (better == 0 and way[2] > best[2]):
                best = way
        found.append((best[2], best[0], best[1]))
        at = best[2]


def nearness(age: int) -> int:
    """age^-1.5 in ten-thousandths, of the first step that is not below the age."""
    step = next((step for step in NEAR_STEPS if age <= step), 256)
    return isqrt(10_000**2 // step**3)


def epoch_nearness(age: int) -> int:
    """21 / (20 + age) in ten-thousandths, of the first step that is not below the age."""
    step = next((step for step in NEAR_STEPS if age <= step), 256)
    return 210_000 // (20 + step)


def recency(age: int) -> int:
    """Permille by turns since the last use: 1, 4, 16, 64, then 0."""
    return next((value for step, value in ((1, 1000), (4, 750), (16, 500), (64, 250)) if age <= step), 0)


def _last(order: list[str], page_id: str, stays: bool) -> None:
    """Put a page last in an order, or take it out."""
    if page_id in order:
        order.remove(page_id)
    if stays:
        order.append(page_id)
