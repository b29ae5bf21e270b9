"""Paging in epochs for the plain model, straight from the specification: one list of what was sent, nothing kept up.

It shares no code with `clawvm_es.core`. Where the core adds up as events come, this counts everything again.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, Cut, Entry, EpochTrigger, PressureReason, Trigger
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.model.profile import Capability, Paging, Rule

LEVELS = [Fidelity.ABSENT, Fidelity.POINTER, Fidelity.STRUCTURED, Fidelity.COMPRESSED, Fidelity.FULL]
NOTHING = sha256(b"").hexdigest()
RULES = (PageType.BOOTSTRAP, PageType.CONSTRAINT, PageType.PLAN)
FOR_EPOCHS = (Rule.EPOCH_REUSE, Rule.EXCHANGE_REUSE, Rule.COPY_REUSE)  # alike in frames, where no exchange is open


@dataclass(eq=False)
class Sent:
    """One piece of the layout, as it was sent."""

    entry: Entry
    body: str
    source: str | None
    stale: bool = False
    erased: bool = False

    @property
    def tag(self) -> str:
        """What it shows."""
        return f"{self.entry.page_id}.{self.entry.content_version}.{LEVELS.index(self.entry.level)}"


class EpochsPart:
    """What the model knows of epochs; the rest of it is `Plain`."""

    def start(self) -> None:
        """Nothing was sent yet."""
        self.layout: list[Sent] = []
        self.before: list[Sent] = []  # the layout as it was sent last
        self.rent = self.pruned = self.last_budget = 0
        self.forced = self.assembling = False
        self.region: str | None = None
        self.model: int | None = None

    @property
    def in_epochs(self) -> bool:
        """Whether prompts only grow between epochs."""
        return self.profile.paging is Paging.EPOCHS and self.profile.rule is not Rule.RECORDED

    def stands(self, page_id: str, rank: int) -> bool:
        """Whether the newest content of a page is in the prompt at a rank or above."""
        return self.resident.get(page_id, 0) >= rank and page_id not in self.changed

    # --------------------------------------------------------------------------------------- decisions

    def _in_epochs(self, data: e.TurnBegan) -> list[e.Decision]:
        """The decisions of a turn."""
        reserve = self.opened.directory_tokens if self.has(Capability.RESOLUTION) else 0
        room = self.budget - data.fixed_tokens - reserve
        required = [page for page in self.pages.values() if page.required and self.has(Capability.FLOORS)]
        floors = sum(page.sizes[page.floor] for page in required)
        if room <= 0:
            return self._without_room(data, reserve, floors)
        low = room * self.profile.low_permille // 1000
        mark = max(low, floors)
        new = self._appended(data, room)
        need = self.sent_tokens + sum(self.pages[page_id].sizes[rank] for page_id, rank, _ in new)
        cold = data.idle_s is not None and data.idle_s > self.profile.ttl_s
        trigger = self._trigger(data, room, low, mark, need, cold, reserve)
        if trigger is None:
            return self._grows(data, new, reserve, mark, cold)
        cold_low = room * self.profile.cold_low_permille // 1000
        plan, last = self._again(data, room, cold_low if trigger is EpochTrigger.COLD else low, reserve)
        return self._anew(data, plan, last, mark, cold, trigger)

    @property
    def sent_tokens(self) -> int:
        """Tokens of all that was sent, stale copies included."""
        return sum(sent.entry.tokens for sent in self.layout)

    def _appended(self, data: e.TurnBegan, room: int) -> list[tuple[str, int, ChangeReason]]:
        """(page, rank, why) of all that is to be appended."""
        found = [(page_id, 4, ChangeReason.ARRIVAL) for page_id in self.arrivals if not self.stands(page_id, 4)]
        hints = list(dict.fromkeys(data.hints)) if self.has(Capability.PREFETCH) else []
        low = [
            page
            for page in self.pages.values()
            if page.required and not self.stands(page.id, page.floor) and page.id not in self.arrivals
        ]
        low = sorted(low, key=lambda page: page.number) if self.has(Capability.FLOORS) else []
        found += [(page.id, page.floor, ChangeReason.FLOOR) for page in low if page.id not in hints]
        for page_id in hints:
            page = self.pages[page_id]
            need = self.sent_tokens + sum(self.pages[other].sizes[rank] for other, rank, _ in found)
            if page_id in self.arrivals or self.stands(page_id, 4) or not page.offered:
                continue
            if need + page.full <= room:
                found.append((page_id, 4, ChangeReason.HINT))
            elif page in low:
                found.append((page_id, page.floor, ChangeReason.FLOOR))
        return found

    def _lost(self, data: e.TurnBegan) -> bool:
        """Whether the provider cannot know the beginning of the next prompt."""
        region = None not in (data.fixed, self.region) and data.fixed != self.region
        model = None not in (data.model, self.model) and data.model != self.model
        return data.fixed_tokens != self.fixed or region or model

    def _trigger(
        self, data: e.TurnBegan, room: int, low: int, mark: int, need: int, cold: bool, reserve: int
    ) -> EpochTrigger | None:
        had_room = self.fixed is not None and self.last_budget - self.fixed - reserve > 0
        if self.forced or self.epoch == 0 or self._lost(data) or not had_room or self.pruned * 4 > low:
            return EpochTrigger.FORCED
        if need > room:
            return EpochTrigger.FORCED if self.budget != self.last_budget else EpochTrigger.HIGH
        if need > low and cold:
            return EpochTrigger.COLD
        due = self.profile.rent_permille * (self.profile.write_price - self.profile.read_price) * mark // 1000
        return EpochTrigger.RENT if need > low and self.rent >= due else None

    def _without_room(self, data: e.TurnBegan, reserve: int, floors: int) -> list[e.Decision]:
        """No page is sent, and that is pressure."""
        plan = self.new_plan(0)
        needs = (
            data.fixed_tokens + reserve + sum(page.sizes[page.floor] for page in self.pages.values() if page.required)
        )
        ids = tuple(self.requirement) if self.has(Capability.FLOORS) else ()
        plan.pressure.append(e.InvariantPressureObserved(PressureReason.FLOORS, needs, self.budget, ids))
        new = [self.pages[page_id] for page_id in self.arrivals if page_id not in ids]
        if new:
            lowest = sum(page.sizes[min(rank for rank in page.sizes if rank > 1)] for page in new)
            told = tuple(page.id for page in new)
            plan.pressure.append(e.InvariantPressureObserved(PressureReason.ARRIVALS, lowest, 0, told))
        cold = data.idle_s is not None and data.idle_s > self.profile.ttl_s
        low = (self.budget - data.fixed_tokens - reserve) * self.profile.low_permille // 1000
        trigger = EpochTrigger.FORCED if self.layout else None
        return self._anew(data, plan, [], max(low, floors), cold, trigger)

    def _again(self, data: e.TurnBegan, room: int, low: int, reserve: int) -> tuple[Any, list[str]]:
        """The selection of an epoch, and the pages at its end."""
        plan = self.new_plan(room, reserve)
        self._floors(plan)
        floors = room - plan.rest
        new = [self.pages[page_id] for page_id in self.arrivals if page_id not in plan.final]
        over = sum(plan.cost(page, 4) for page in new)
        hinted, more = [], 0
        for page_id in dict.fromkeys(data.hints) if self.has(Capability.PREFETCH) else ():
            page = self.pages[page_id]
            if page_id in self.arrivals or page_id in plan.final or not page.offered:
                continue
            if max(low, floors) + over + more + plan.cost(page, 4) <= room:
                hinted.append(page)
                more += plan.cost(page, 4)
        plan.final.update(page.id for page in (*new, *hinted))
        share = low - floors
        if self.profile.rule in FOR_EPOCHS:
            share = min(share, (room - floors - over) // 2)
        share = plan.rest = max(0, share)
        self._spend(plan)
        if floors + (share - plan.rest) + over + more <= room:
            for page in new:
                plan.hold(page, 4, ChangeReason.ARRIVAL)
            for page in hinted:
                plan.hold(page, 4, ChangeReason.HINT)
            return plan, [page.id for page in (*new, *hinted)]
        plan = self.new_plan(room, reserve)
        self._floors(plan)
        self._new(plan)
        if self.has(Capability.PREFETCH):
            self._hinted(plan, data.hints)
        self._spend(plan)
        return plan, list(self.arrivals)

    def _anew(
        self, data: e.TurnBegan, plan: Any, last: list[str], mark: int, cold: bool, trigger: EpochTrigger | None
    ) -> list[e.Decision]:
        """The decisions of an epoch."""
        pages = sorted((self.pages[page_id] for page_id in plan.levels), key=lambda page: page.place)
        pages.sort(key=lambda page: page.id in last)
        entries = [self._entry(page.id, plan.levels[page.id]) for page in pages]
        same = 0
        while (
            same < min(len(entries), len(self.before))
            and entries[same] == self.before[same].entry
            and not self.before[same].erased
        ):
            same += 1
        known = data.fixed_tokens + sum(entry.tokens for entry in entries[:same])
        made = self._made(
            data,
            entries,
            of=(
                plan.directory,
                len(plan.levels),
                sum(entry.tokens for entry in entries),
                0 if self._lost(data) else known,
            ),
            mark=mark,
            cold=cold,
            trigger=trigger,
            plan=plan,
        )
        return [*self._changes(plan), made, *plan.pressure, *self._short(plan)]

    def _grows(
        self, data: e.TurnBegan, new: list[tuple[str, int, ChangeReason]], reserve: int, mark: int, cold: bool
    ) -> list[e.Decision]:
        """The decisions of a prompt that only grows."""
        gone = [page_id for page_id in self.resident if page_id in self.changed and page_id not in self.arrivals]
        found: list[e.Decision] = [
            e.RepresentationChanged(page_id, LEVELS[self.resident[page_id]], Fidelity.ABSENT, ChangeReason.EVICTED)
            for page_id in sorted(gone, key=lambda page_id: self.pages[page_id].place)
        ]
        for page_id, rank, why in new:
            before = self.resident.get(page_id, 0)
            if before != rank:
                found.append(e.RepresentationChanged(page_id, LEVELS[before], LEVELS[rank], why))
        entries = [self._entry(page_id, rank) for page_id, rank, _ in new]
        arrived = {page_id for page_id, _, _ in new}
        replaced = {sent for sent in self.layout if sent.stale or sent.entry.page_id in {*arrived, *gone}}
        plan = self.new_plan(0)
        plan.levels = {page_id: rank for page_id, rank in self.resident.items() if page_id not in self.changed}
        plan.levels.update((page_id, rank) for page_id, rank, _ in new)
        made = self._made(
            data,
            entries,
            of=(
                reserve,
                len({*self.resident, *arrived} - set(gone)),
                self.sent_tokens + sum(entry.tokens for entry in entries),
                data.fixed_tokens + self.sent_tokens,
            ),
            mark=mark,
            cold=cold,
            trigger=None,
            stale=sum(sent.entry.tokens for sent in replaced),
        )
        short = self._short(plan)
        return [*found, made, *sorted(short, key=lambda fault: self.pages[fault.page_id].number)]

    def _entry(self, page_id: str, rank: int) -> Entry:
        page = self.pages[page_id]
        return Entry(page_id, page.content, LEVELS[rank], page.sizes[rank])

    def _made(
        self,
        data: e.TurnBegan,
        entries: list[Entry],
        *,
        of: tuple[int, int, int, int],
        mark: int,
        cold: bool,
        trigger: EpochTrigger | None,
        stale: int = 0,
        plan: Any = None,
    ) -> e.PromptAssembled:
        directory, pages, sent, known = of
        tags = [f"{entry.page_id}.{entry.content_version}.{LEVELS.index(entry.level)}" for entry in entries]
        layout = NOTHING if trigger else self.chain
        if tags:
            layout = sha256("\n".join([layout, *tags]).encode()).hexdigest()
        hidden = sum(page.offered for page in self.pages.values()) - pages if directory else 0
        tokens = data.fixed_tokens + sent + directory
        return e.PromptAssembled(
            budget_tokens=self.budget,
            tokens=tokens,
            pages=pages,
            uncached_tokens=tokens - known,
            digest=sha256(f"{layout}\n{hidden}".encode()).hexdigest() if hidden else layout,
            directory_tokens=directory,
            utility=plan.utility if plan else 0,
            bound=plan.bound if plan else 0,
            layout_digest=layout,
            epoch=self.epoch + (trigger is not None),
            trigger=trigger,
            entries=tuple(entries),
            cached_tokens=0 if cold else known,
            stale_tokens=stale,
            rent=(0 if trigger else self.rent) + self.profile.read_price * max(0, sent - mark),
        )

    # ------------------------------------------------------------------------------------ what happened

    def _enters_or_leaves(self) -> None:
        """Another policy pages otherwise: the layout so far is none."""
        self.layout, self.before, self.chain = [], [], NOTHING
        self.rent = self.pruned = 0
        self.prompt = []

    def _lays_out(self, event: e.PromptAssembled) -> None:
        """A prompt was assembled: its entries stand, at an epoch alone."""
        if event.trigger is not None:
            self.layout = []
        for entry in event.entries:
            written = self.pages[entry.page_id].written
            body = next(level.body for level in written.levels if level.level is entry.level)
            self.layout.append(Sent(entry, body, written.source))
        newest = {sent.entry.page_id: sent for sent in self.layout if not sent.stale}
        for sent in self.layout:
            sent.stale = newest.get(sent.entry.page_id) is not sent or sent.entry.page_id not in self.resident
        self.before, self.forced, self.pruned = list(self.layout), False, 0
        self.chain, self.epoch, self.rent = event.layout_digest, event.epoch, event.rent
        self.last_budget = event.budget_tokens

    def _goes_stale(self, event: e.RepresentationChanged) -> None:
        """A page left between two assemblies."""
        for sent in self.layout:
            if sent.entry.page_id == event.page_id and not sent.stale:
                sent.stale = True
                self.pruned += sent.entry.tokens if event.reason is ChangeReason.BOUNDARY else 0

    def _rewrites(self, known: Any, event: e.PageWritten) -> None:
        """A page gets new content."""
        ruled = known.written.page_type in RULES and known.written.active
        rules = event.page_type in RULES and event.active
        if ruled and not rules and any(sent.entry.page_id == known.id for sent in self.layout):
            self.forced = True

    def _retires(self, page: Any) -> None:
        if page.written.page_type in RULES and any(sent.entry.page_id == page.id for sent in self.layout):
            self.forced = True

    def _erases(self, event: e.ContentRedacted) -> None:
        """What shows an erased text is not sent again."""
        for sent in list(self.layout):
            newest = sent.entry.content_version == self.pages[sent.entry.page_id].content
            named = sent.body in event.commitments or sent.source in event.commitments
            if named or (newest and sent.entry.page_id in event.pages):
                sent.erased = self.forced = True
                self.layout.remove(sent)

    def _cuts(self, event: e.BoundaryReached) -> None:
        """A boundary after which the harness sends another prompt."""
        if event.cut is Cut.REWIND:
            self.forced |= any(sent.entry.page_id in event.left for sent in self.layout)
        elif event.boundary is Boundary.RESET:
            self.forced = True
        elif event.boundary is Boundary.COMPACT:
            self.forced |= event.cut is None or event.trigger is not Trigger.RECORDED

    def _differs_in_epochs(self, state: Any) -> dict[str, tuple[object, object]]:
        """What a state and the model know of the layout."""
        below = {page.id for page in self.pages.values() if page.required and not self.stands(page.id, page.floor)}
        standing = {sent.entry.page_id: sent.entry for sent in self.layout if not sent.stale}
        return {
            "layout": (list(state.entries.values()), [sent.entry for sent in self.layout]),
            "standing": ({each: state.entries[at] for each, at in state.standing.items()}, standing),
            "sent": (state.sent, self.sent_tokens),
            "stale": (state.stale, sum(sent.entry.tokens for sent in self.layout if sent.stale)),
            "rent": ((state.rent, state.pruned), (self.rent, self.pruned)),
            "epoch": ((state.chain, state.epoch, state.cut), (self.chain, self.epoch, self.forced)),
            "below": (set(state.below), below),
        }
