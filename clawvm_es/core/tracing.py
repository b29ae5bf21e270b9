"""An assembly with tracing on: every candidate, the steps it was offered, and the reason for its level.

LAW-TRACE-1: a traced selection equals the untraced one, and an untraced assembly pays nothing for tracing.
LAW-TRACE-2: the account adds up to the budget: fixed region, directory line, groups of messages beyond their pages,
phase 1, steps, and the rest.

Some policies have no steps: see `model.profile.Rule`.

| why a page stands no higher, first that matches | |
|---|---|
| retired, redacted, destroyed, rewound | no prompt can show it |
| top | it has no higher level |
| pressure, boundary | it is required, but did not fit in phase 1, or was lost at a boundary |
| not_retrieved | the retriever did not name it, or was not asked |
| share | it is new, and all new pages share what was left |
| misfit | its next step (or level, or floor) has more tokens than were left |
| no_utility | its score is 0 |
| not_reached | the pass ended before its next step |
| left | under `recorded`: the harness took it out |
| not_reconsidered | nothing is selected between epochs; `history.why` explains the last epoch |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

import attrs

from clawvm_es.core import epochs
from clawvm_es.core.epochs import Plan
from clawvm_es.core.groups import dues_of, fee, group_of
from clawvm_es.core.index import Step, priority_of
from clawvm_es.core.layout import Arrival, appended
from clawvm_es.core.ranking import recency_weight, score_of, scored, since
from clawvm_es.core.reuse import NEAR, NEARNESS
from clawvm_es.core.selector import Selection, above_floor, select
from clawvm_es.core.state import Page, State
from clawvm_es.core.utility import QUALITY, Score, recency
from clawvm_es.model.events import TurnBegan
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT, FULL, LADDER, Fidelity, PageType
from clawvm_es.model.profile import RULES


class Outcome(StrEnum):
    """Outcome of one step that a page could take."""

    TAKEN = "taken"
    MISFIT = "misfit"  # more tokens than were left
    CLOSED = "closed"  # an earlier step of the page did not fit
    SETTLED = "settled"  # phase 1 had settled the page's level
    BROUGHT = "brought"  # its group had brought the page at that level or above
    NOT_REACHED = "not_reached"  # the pass ended before


class Kept(StrEnum):
    """Reason for a page's level that no decision of this assembly made."""

    KEPT = "kept"  # it stood there before, and the policy keeps its context
    EXCHANGE = "exchange"  # it belongs to the open exchange of messages, which stands exact
    GROUP = "group"  # its group stands, whose pages are at a stub at least


class Stop(StrEnum):
    """Reason why a page stands no higher; see the table of this module."""

    RETIRED = "retired"
    REDACTED = "redacted"
    DESTROYED = "destroyed"
    REWOUND = "rewound"
    NOT_OFFERED = "not_offered"
    TOP = "top"
    PRESSURE = "pressure"
    BOUNDARY = "boundary"
    NOT_RETRIEVED = "not_retrieved"
    SHARE = "share"
    MISFIT = "misfit"
    NO_UTILITY = "no_utility"
    NOT_REACHED = "not_reached"
    LEFT = "left"
    NOT_RECONSIDERED = "not_reconsidered"


@attrs.frozen
class Reuse:
    """The terms of a `reuse` rule for one page: uses, age in turns, nearness, priority."""

    uses: int
    age: int
    nearness: int
    priority: int


@attrs.frozen
class Offer:
    """One step of a page: its `place` in the order (from 1), tokens, gain, and the tokens left when it came up.

    `entry` is the part of the tokens that brings in the page's group: its arguments, and the stubs of its other
    pages.
    """

    place: int
    page_id: str
    level: Fidelity
    tokens: int
    gain: int
    priority: int
    outcome: Outcome
    rest: int | None = None  # None: the pass had ended
    entry: int = 0


@attrs.frozen
class Candidate:
    """One page of the session at one assembly.

    `by` is the reason for its level (None: absent, and nothing held it), `stop` the reason why it stands no
    higher. If a step did not fit, it asked for `wanted` tokens (`entry` of them for its group) when `rest` tokens
    were left. `rank` is the place of the deciding step in the order: the first not taken, else the last taken.
    Utilities are in permille.
    """

    page_id: str
    number: int
    page_type: PageType
    before: Fidelity
    after: Fidelity
    floor: Fidelity | None  # of a required page
    levels: Mapping[Fidelity, int]  # kept level → tokens
    score: Score
    recency: int
    reuse: Reuse | None  # under the rules of `core.reuse`: what its score is multiplied by
    by: ChangeReason | Kept | None
    stop: Stop
    rank: int | None = None
    wanted: int | None = None
    rest: int | None = None
    entry: int = 0
    steps: tuple[Offer, ...] = ()

    @property
    def total(self) -> int:
        """The page's whole score at this turn, in permille; also the utility of its full level."""
        if self.reuse is not None:
            return self.reuse.priority // NEAR
        return sum(self.score) + self.recency

    @property
    def utility(self) -> int:
        """The utility of its present level."""
        return self.utility_at(self.after)

    @property
    def tokens(self) -> int:
        """The tokens of its present level."""
        return self.levels.get(self.after, 0)

    def utility_at(self, level: Fidelity) -> int:
        """The utility of the page at a level."""
        return QUALITY[LADDER.index(level)] * self.total // 1000


@attrs.frozen
class Account:
    """Account of the budget, in tokens; `refusals` counts the pages closed because a step did not fit.

    `groups` is what groups of messages took beyond their pages, without the groups that a step brought in.
    """

    budget: int
    fixed: int
    directory: int
    groups: int
    floors: int
    arrivals: int
    hints: int
    retrieved: int
    kept: int
    steps: int
    rest: int
    offered: int
    refusals: int
    misfits: int  # after so many refusals the pass ends


@attrs.frozen
class Traced:
    """One assembly explained: its selection, where its tokens went, and every page of the session, by number.

    `plan` says, for a policy that pages in epochs, whether an epoch began, and why. `steps` counts its steps.
    """

    selection: Selection
    account: Account
    candidates: tuple[Candidate, ...]
    plan: Plan | None = None
    steps: int = 0


@attrs.define
class Watcher:
    """Observes the steps of phase 2."""

    ordered: Sequence[Step] = ()
    offers: list[Offer] = attrs.field(factory=list)
    installed: dict[str, int] | None = None  # what phase 1 left; None where phase 2 walks no steps
    selection: Selection | None = None  # the one that phase 2 spends on
    entered: set[int | None] = attrs.field(factory=set)  # groups that a step brought in
    brought: dict[str, int] = attrs.field(factory=dict)  # pages that these brought, and at which rank

    def watch(self, selection: Selection, steps: Iterable[Step]) -> Iterator[Step]:
        """Yield each step, and note afterwards whether it was taken."""
        levels, rest = selection.levels, selection.rest
        self.begin(selection, steps)
        closed: set[str] = set()
        for place, step in enumerate(self.ordered, 1):
            page_id, rank = step[3]
            known, asked = levels.get(page_id), _asked(selection, step)
            was = _unmoved(selection, page_id, rank, closed)
            self.offers.append(_offer(place, step, was, rest, asked))
            yield step
            if levels.get(page_id) != known:
                self.offers[-1] = _offer(place, step, Outcome.TAKEN, rest, asked)
                rest -= asked.tokens
                self.brought.update(asked.stubs)
                if asked.entry:
                    self.entered.add(asked.group)
            elif was is not Outcome.BROUGHT:
                closed.add(page_id)

    def begin(self, selection: Selection, steps: Iterable[Step]) -> None:
        """Begin phase 2 of a selection. An epoch without room for its arrivals selects twice; the last one counts."""
        self.selection, self.installed, self.ordered = selection, dict(selection.levels), list(steps)
        self.offers, self.entered, self.brought = [], set(), {}

    def note(self, place: int, step: Step, outcome: Outcome, rest: int) -> None:
        """Note what became of a step."""
        self.offers.append(_offer(place, step, outcome, None if outcome is Outcome.NOT_REACHED else rest))

    def by_page(self) -> dict[str, list[Offer]]:
        """All steps, offered or not, by page and in order."""
        found: dict[str, list[Offer]] = {}
        for place, step in enumerate(self.ordered, 1):
            made = place <= len(self.offers)
            offer = self.offers[place - 1] if made else self._left(place, step)
            found.setdefault(offer.page_id, []).append(offer)
        return found

    def _left(self, place: int, step: Step) -> Offer:
        """A step that the pass did not reach."""
        assert self.selection is not None
        return _offer(place, step, Outcome.NOT_REACHED, None, _asked(self.selection, step))


@attrs.frozen
class _Asked:
    """Tokens that a step asks for; `entry` of them bring in a group with the stubs of its other pages."""

    tokens: int
    entry: int = 0
    group: int | None = None
    stubs: Mapping[str, int] = attrs.field(factory=dict)


def _asked(selection: Selection, step: Step) -> _Asked:
    page_id, rank = step[3]
    if selection.dues is None:
        return _Asked(step[1])
    page = selection.dues.state.pages[page_id]
    tokens = above_floor(selection, page, rank)
    if page_id in selection.levels:
        return _Asked(tokens)
    entry, stubs = selection.dues.due(page, selection.levels)
    return _Asked(tokens, entry, group_of(page), stubs)


def _unmoved(selection: Selection, page_id: str, rank: int, closed: Collection[str]) -> Outcome:
    """Outcome of a step that changes nothing."""
    if page_id in selection.settled:
        return Outcome.SETTLED
    if selection.dues is not None and selection.levels.get(page_id, ABSENT) >= rank:
        return Outcome.BROUGHT
    return Outcome.CLOSED if page_id in closed else Outcome.MISFIT


def _offer(place: int, step: Step, outcome: Outcome, rest: int | None, asked: _Asked | None = None) -> Offer:
    key, cost, gain, (page_id, rank) = step
    asked = asked or _Asked(cost)
    level = LADDER[rank]
    return Offer(place, page_id, level, asked.tokens, gain, priority_of(key), outcome, rest, asked.entry)


def trace(
    state: State, turn: TurnBegan, watcher: Watcher | None = None, told: Collection[str] | None = None
) -> Traced:
    """Select with tracing on; `state` is the one before the turn began. `watcher` observes.

    With `told` only these pages become candidates; the selection is among all.
    """
    watcher = Watcher() if watcher is None else watcher
    made = epochs.plan(state, turn, watcher.watch) if state.in_epochs else None
    selection = select(state, turn, watcher.watch) if made is None else epochs.levels_of(state, made)
    installed = dict(selection.levels if watcher.installed is None else watcher.installed)
    if made is not None and made.in_full:
        installed.update((page_id, selection.levels[page_id]) for page_id in made.last)
    offers = watcher.by_page()
    if selection.dues is not None:
        stepped = {offer.page_id for offer in watcher.offers if offer.outcome is Outcome.TAKEN} | set(watcher.brought)
        installed.update(
            (each, rank) for each, rank in selection.levels.items() if each not in {*installed, *stepped}
        )
    grows = made is not None and made.selection is None
    candidates = tuple(
        _candidate(state, selection, page, tuple(offers.get(page.page_id, ())), grows)
        for page in state.pages.values()
        if told is None or page.page_id in told
    )
    account = _account(state, selection, turn, installed, watcher)
    if grows:
        account = _grown(state, account, selection)
    return Traced(selection, account, candidates, made, len(watcher.ordered))


def _grown(state: State, account: Account, selection: Selection) -> Account:
    """The account of a prompt that only grew: earlier entries, stale copies included, count as kept."""
    dues = dues_of(state)
    spent = dict.fromkeys(ChangeReason, 0)
    for page_id, reason in selection.reasons.items():
        spent[reason] += state.pages[page_id].tokens[selection.levels[page_id]]
    groups = 0
    if dues is not None:
        new = appended(state, [Arrival(each, selection.levels[each], why) for each, why in selection.reasons.items()])
        groups = dues.always + sum([entry.tokens for entry in new if entry.page_id not in state.pages])
    return attrs.evolve(
        account,
        groups=groups,
        kept=state.sent,
        floors=spent[ChangeReason.FLOOR],
        arrivals=spent[ChangeReason.ARRIVAL],
        hints=spent[ChangeReason.HINT],
    )


def _account(
    state: State, selection: Selection, turn: TurnBegan, installed: Mapping[str, int], watcher: Watcher
) -> Account:
    """Return the tokens of each part of the assembly; a floor counts as floor, whatever raised its page."""
    assert state.opened is not None
    spent: dict[ChangeReason | Kept, int] = dict.fromkeys((*ChangeReason, Kept.KEPT), 0)
    keeps = RULES[state.profile.rule].compacts
    for page_id, rank in installed.items():
        page = state.pages[page_id]
        base = min(state.held_floor(page), rank)
        spent[ChangeReason.FLOOR] += page.tokens[base]
        before = state.resident.get(page_id, ABSENT) if keeps and page_id not in state.rewritten else ABSENT
        context = max(base, min(before, rank))
        spent[Kept.KEPT] += page.tokens[context] - page.tokens[base]
        beyond = page.tokens[rank] - page.tokens[context] - page.tokens[watcher.brought.get(page_id, ABSENT)]
        spent[selection.reasons.get(page_id, ChangeReason.FLOOR)] += beyond
    taken = [offer for offer in watcher.offers if offer.outcome is Outcome.TAKEN]
    refused = {offer.page_id for offer in watcher.offers if offer.outcome is Outcome.MISFIT}
    return Account(
        budget=state.budget_tokens,
        fixed=turn.fixed_tokens,
        directory=selection.directory_tokens,
        groups=_groups(state, selection, watcher),
        floors=spent[ChangeReason.FLOOR],
        arrivals=spent[ChangeReason.ARRIVAL] + spent[ChangeReason.PRESSURE],
        hints=spent[ChangeReason.HINT],
        retrieved=spent[ChangeReason.RETRIEVED],
        kept=spent[Kept.KEPT],
        steps=sum(offer.tokens for offer in taken),
        rest=selection.rest,
        offered=len(watcher.offers),
        refusals=len(refused),
        misfits=state.opened.misfits,
    )


def _groups(state: State, selection: Selection, watcher: Watcher) -> int:
    """Tokens, beyond their pages, of the groups that no step brought in."""
    if selection.dues is None:
        return 0
    pages = map(state.pages.__getitem__, selection.levels)
    standing = {group_of(page) for page in pages} - watcher.entered
    found = [state.groups[number] for number in standing if number is not None and number in state.groups]
    return selection.dues.always + sum([fee(state, group) for group in found])


def _candidate(state: State, selection: Selection, page: Page, steps: tuple[Offer, ...], grows: bool) -> Candidate:
    page_id = page.page_id
    rank = selection.levels.get(page_id, ABSENT)
    refused = next((offer for offer in steps if offer.outcome not in (Outcome.TAKEN, Outcome.BROUGHT)), None)
    deciding = refused or (steps[-1] if steps else None)
    stop, wanted, rest = _stop(state, selection, page, rank, refused)
    if grows and rank < FULL and state.holdable(page):
        stop, wanted, rest = Stop.NOT_RECONSIDERED, None, None
    floor = state.required.get(page_id)
    return Candidate(
        page_id=page_id,
        number=page.number,
        page_type=page.page_type,
        before=LADDER[state.resident.get(page_id, ABSENT)],
        after=LADDER[rank],
        floor=None if floor is None else LADDER[floor],
        levels={LADDER[at]: size for at, size in enumerate(page.tokens) if at and size >= 0},
        score=score_of(state, page),
        recency=recency_weight(state) * recency(state.turn + 1 - page.last_used) // 1000,
        reuse=_reuse(state, page),
        by=_by(state, selection, page, rank, steps, grows),
        stop=stop,
        rank=deciding.place if deciding else None,
        wanted=wanted,
        rest=rest,
        entry=refused.entry if refused is not None and wanted == refused.tokens else 0,
        steps=steps,
    )


def _reuse(state: State, page: Page) -> Reuse | None:
    if not state.ranks_reuse:
        return None
    age = state.turn + 1 - since(state, page)
    nearness = NEARNESS[RULES[state.profile.rule].key].at(age)
    return Reuse(page.uses, age, nearness, scored(state, page) * nearness)


def _by(
    state: State, selection: Selection, page: Page, rank: int, steps: Iterable[Offer], grows: bool
) -> ChangeReason | Kept | None:
    """Return the reason for a page's rank."""
    if not rank:
        return None
    if grows:
        return selection.reasons.get(page.page_id, Kept.KEPT)
    if any(offer.outcome is Outcome.TAKEN for offer in steps):
        return selection.reasons.get(page.page_id, ChangeReason.RAISED)
    found = selection.reasons.get(page.page_id)
    if found is not None:
        return found
    if RULES[state.profile.rule].compacts and rank > state.held_floor(page):
        return Kept.KEPT
    if selection.dues is None or page.page_id in state.required:
        return ChangeReason.FLOOR
    return Kept.EXCHANGE if page.page_id in selection.settled else Kept.GROUP


_Stopped: TypeAlias = tuple[Stop, int | None, int | None]
"""Why a page stands no higher, and where something did not fit, its tokens and what was left."""


def _stop(state: State, selection: Selection, page: Page, rank: int, refused: Offer | None) -> _Stopped:
    """The first row of the table that matches."""
    if not state.holdable(page):
        return _stop_of_unholdable(page), None, None
    if rank == FULL:
        return Stop.TOP, None, None
    if state.as_recorded:
        return Stop.LEFT, None, None
    early = _stop_of_phase_1(state, selection, page)
    if early is not None:
        return early
    if refused is None and state.profile.retrieves:
        return (Stop.SHARE if page.page_id in state.arrivals else Stop.NOT_RETRIEVED), None, None
    if refused is None:
        return Stop.NO_UTILITY, None, None
    if refused.outcome is Outcome.NOT_REACHED:
        return Stop.NOT_REACHED, refused.tokens, None
    return Stop.MISFIT, refused.tokens, refused.rest


def _stop_of_unholdable(page: Page) -> Stop:
    if page.retired:
        return Stop.RETIRED
    if page.redacted:
        return Stop.REDACTED
    if page.gone:
        return Stop.DESTROYED
    return Stop.REWOUND if page.away else Stop.NOT_OFFERED


def _stop_of_phase_1(state: State, selection: Selection, page: Page) -> _Stopped | None:
    for found in selection.pressure:
        if page.page_id in found.pages:
            floor = state.required.get(page.page_id)
            lowest = next(size for size in page.tokens[1:] if size >= 0) if floor is None else page.tokens[floor]
            return Stop.PRESSURE, lowest, found.available_tokens
    asked = selection.refused.get(page.page_id)
    if asked is not None:
        return Stop.MISFIT, *asked
    return (Stop.BOUNDARY, None, None) if page.page_id in selection.settled else None
