"""Paging in epochs: within an epoch a prompt only grows at its end, so that a provider's prefix cache serves it.

| why the next prompt begins a new epoch, first that matches | trigger |
|---|---|
| it is the first prompt; the last one had no room for pages; the profile, fixed region or model changed | forced |
| a reset, a compaction by the caller, a rewind, or an erasure of text that is sent | forced |
| a rule or plan that is sent was retired, or its page is no longer a rule or plan | forced |
| prunings took out more than a quarter of L | forced |
| the layout sent plus new content exceeds B: after a change of the budget / otherwise | forced / high |
| that sum exceeds L, and the model was idle for longer than the provider holds a prefix | cold |
| that sum exceeds L, and the rent reaches `rent_permille` of (cost of writing M tokens − of reading them) | rent |

All sizes are in tokens. B is the budget less the fixed region and the directory line. L and Lc are the profile's
shares of B for a warm and a cold cache. M is the larger of L and the floors of the required pages. Under
`exchange_reuse` and `copy_reuse` M also includes the open exchange of messages, since an epoch would only write it
again. Each turn pays rent for the tokens sent beyond M.

An epoch installs the floors, spends L (Lc with a cold cache) on older pages as `core.selector` ranks them, and
puts the arrivals at the end in full. Under `exchange_reuse`, `copy_reuse` and `epoch_reuse` the older pages take
at most half of what floors and arrivals leave of B, so that the next turns have room when B is tight. If the sum
exceeds B, the pages are selected as for a single turn, under B. Between epochs three kinds of pages are appended:
arrivals in full, in their order; required pages below their floor, at the floor; hinted pages in full, while they
fit. If B is not positive no page is sent, which is recorded as pressure.

LAW-SELECT-1: a prompt, stale copies included, fits the budget, unless the fixed region alone exceeds it.
LAW-SELECT-2: in every prompt the newest content of each required page stands at its floor or above, or is named by a
pressure.
LAW-SELECT-3: at an epoch in density order, the utility reached never exceeds `bound` under that epoch's mark.
LAW-EPOCH-1: within an epoch each layout is a prefix of the next; only arrivals and the tail are uncached.
LAW-EPOCH-2: within an epoch the layout has at most L tokens, or the rent is below its threshold.
LAW-EPOCH-3: under `epoch_reuse`, `exchange_reuse` and `copy_reuse`, if floors and arrivals fit B and there are no
hints, an epoch leaves free at least half of what floors and arrivals leave of B.

Epochs are timed by the online rule for TCP acknowledgements (Dooly, Goldman and Scott, JACM 2001): begin one when
the rent paid equals its price.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from clawvm_es.core.changes import add_changes, faults
from clawvm_es.core.groups import dues_of, exchange_tokens
from clawvm_es.core.layout import Arrival, appended, chained, hidden, laid_out, prefix_is_lost, tag_of
from clawvm_es.core.selector import (
    Selection,
    Watch,
    above_floor,
    fill,
    install_arrivals,
    install_floors,
    install_open,
)
from clawvm_es.core.state import EMPTY, Page, State
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, Entry, EpochTrigger, PressureReason
from clawvm_es.model.pages import ABSENT, FULL, LADDER, POINTER, Fidelity
from clawvm_es.model.profile import RULES, Capability, Profile

_FLOORS, _RESOLUTION, _PREFETCH = Capability.FLOORS, Capability.RESOLUTION, Capability.PREFETCH
_PRUNED_SHARE = 4
"""Prunings that take out more than this part of L begin an epoch."""

Raise: TypeAlias = Callable[[Selection], Collection[str]]
"""Raises pages of a selection before phase 2 and returns them: the hook of policies that look ahead.

Under such a policy, a hinted page that does not fit begins an epoch.
"""


class Room(NamedTuple):
    """Room for the layout, in tokens: B, the marks L and Lc, M (rent is paid beyond it), and the directory line."""

    tokens: int
    low: int
    cold_low: int
    mark: int
    directory: int


class Plan(NamedTuple):
    """The next prompt: with a `trigger` the selection is laid out anew, without one the arrivals are appended.

    `last` are the pages at the end of an epoch's layout; `in_full` is False if they had to be degraded to fit B.
    `rent` is the rent paid so far.
    """

    room: Room
    rent: int
    trigger: EpochTrigger | None
    arrivals: Sequence[Arrival]
    selection: Selection | None = None
    last: tuple[str, ...] = ()
    in_full: bool = True


def assemble(state: State, turn: e.TurnBegan, raise_first: Raise | None = None) -> list[e.Decision]:
    """Return the decisions that follow a `turn_began`; `state` is the one before it."""
    made = plan(state, turn, None, raise_first)
    if made.selection is None:
        return _grown(state, turn, made)
    return _laid_out(state, turn, made, made.selection)


def plan(state: State, turn: e.TurnBegan, watch: Watch | None = None, raise_first: Raise | None = None) -> Plan:
    """Plan the next prompt; `watch` observes the selection if an epoch begins."""
    room = room_of(state, turn)
    if room.tokens <= 0:
        return _no_room(state, turn, room)
    arriving, new = arrivals(state, turn, room, presses=raise_first is not None)
    if state.by_groups:
        new = _tokens(appended(state, arriving))
    trigger = trigger_of(state, turn, room, new)
    if trigger is None:
        return Plan(room, state.rent, None, arriving)
    low = room.cold_low if trigger is EpochTrigger.COLD else room.low
    found = _under_mark(state, turn, room, low, watch, raise_first, trigger)
    if found is not None:
        return Plan(room, state.rent, trigger, arriving, *found)
    selection = _under_budget(state, turn, room, watch, raise_first)
    return Plan(room, state.rent, trigger, arriving, selection, tuple(state.arrivals), in_full=False)


def levels_of(state: State, made: Plan) -> Selection:
    """The levels of a planned prompt; between epochs the present levels plus the arrivals."""
    if made.selection is not None:
        return made.selection
    gone = dict.fromkeys(_unshown(state))
    levels = {page_id: rank for page_id, rank in state.resident.items() if page_id not in gone}
    levels.update((each.page_id, each.rank) for each in made.arrivals)
    spent = state.sent + _tokens(appended(state, made.arrivals))
    reasons = {each.page_id: each.reason for each in made.arrivals}
    return Selection(levels, made.room.tokens - spent, made.room.directory, reasons=reasons)


def room_of(state: State, turn: e.TurnBegan) -> Room:
    """The room that the budget leaves beside the fixed region and the directory line."""
    assert state.opened is not None
    directory = state.opened.directory_tokens if _RESOLUTION in state.capabilities else 0
    dues = dues_of(state)
    tokens = state.budget_tokens - turn.fixed_tokens - directory - (dues.always if dues is not None else 0)
    low = tokens * state.profile.low_permille // 1000
    floors = state.required_tokens if state.keeps_floors else 0
    exchange = state.exchange if RULES[state.profile.rule].spares_exchange else 0
    return Room(tokens, low, tokens * state.profile.cold_low_permille // 1000, max(low, floors) + exchange, directory)


# ------------------------------------------------------------------------------------------- the trigger


def arrivals(state: State, turn: e.TurnBegan, room: Room, presses: bool = False) -> tuple[list[Arrival], int]:
    """The pages to append, and their tokens: new content in full, required pages at their floors, fitting hints.

    With `presses`, hinted pages that do not fit are included too.
    """
    found, new, pages = list[Arrival](), 0, state.pages
    for page_id in state.arrivals:
        if not state.stands(page_id, FULL):
            new += pages[page_id].full_tokens
            found.append(Arrival(page_id, FULL, ChangeReason.ARRIVAL))
    if turn.hints or state.below:
        new += _add_others(found, state, turn, room.tokens - state.sent - new, presses)
    return found, new


def _add_others(found: list[Arrival], state: State, turn: e.TurnBegan, rest: int, presses: bool) -> int:
    """Append required pages below their floor and hinted pages to the arrivals; returns their tokens."""
    before = rest
    hinted = dict.fromkeys(turn.hints) if _PREFETCH in state.capabilities else {}
    short = dict.fromkeys(page_id for page_id in _below(state) if page_id not in state.arrivals)
    for page_id in short if state.keeps_floors else ():
        if page_id not in hinted:
            rest -= state.required_sizes[page_id]
            found.append(Arrival(page_id, state.required[page_id], ChangeReason.FLOOR))
    for page_id in hinted:
        page = state.pages[page_id]
        if page_id in state.arrivals or state.stands(page_id, FULL) or not state.holdable(page):
            continue
        if presses or page.full_tokens <= rest:
            rest -= page.full_tokens
            found.append(Arrival(page_id, FULL, ChangeReason.HINT))
        elif page_id in short and state.keeps_floors:
            rest -= state.required_sizes[page_id]
            found.append(Arrival(page_id, state.required[page_id], ChangeReason.FLOOR))
    return before - rest


def _below(state: State) -> list[str]:
    """Required pages that stand below their floor, by number."""
    return sorted(state.below, key=lambda page_id: state.pages[page_id].number)


def _tokens(entries: Iterable[Entry]) -> int:
    return sum([entry.tokens for entry in entries])


def trigger_of(state: State, turn: e.TurnBegan, room: Room, new: int) -> EpochTrigger | None:
    """The reason why the next prompt begins a new epoch, by this module's table; `new` tokens are to append."""
    need = state.sent + new
    if _is_forced(state, turn, room):
        return EpochTrigger.FORCED
    if need > room.tokens:
        return EpochTrigger.HIGH if state.budget_tokens == state.assembled_budget else EpochTrigger.FORCED
    return pays(state.profile, room, need, state.rent, turn.idle_s)


def pays(profile: Profile, room: Room, need: int, rent: int, idle_s: int | None) -> EpochTrigger | None:
    """The last two rows of the table: the reason why an epoch pays although everything fits; None if it does not."""
    if need <= room.low:
        return None
    if idle_s is not None and idle_s > profile.ttl_s:
        return EpochTrigger.COLD
    return EpochTrigger.RENT if rent >= rent_due(profile, room) else None


def _is_forced(state: State, turn: e.TurnBegan, room: Room) -> bool:
    if state.cut or not state.epoch or prefix_is_lost(state, turn):
        return True
    had_room = state.assembled_budget - state.assembled_fixed - room.directory > 0
    return state.pruned * _PRUNED_SHARE > room.low or not had_room


def is_cold(state: State, turn: e.TurnBegan) -> bool:
    """Tell whether the model was idle for longer than the provider holds a prefix; False if unknown."""
    return turn.idle_s is not None and turn.idle_s > state.profile.ttl_s


def rent_due(profile: Profile, room: Room) -> int:
    """The rent at which an epoch pays, in permille of the price of an input token."""
    return profile.rent_permille * (profile.write_price - profile.read_price) * room.mark // 1000


# ------------------------------------------------------------------------------------------- an epoch


def _under_mark(
    state: State,
    turn: e.TurnBegan,
    room: Room,
    low: int,
    watch: Watch | None,
    raise_first: Raise | None,
    trigger: EpochTrigger,
) -> tuple[Selection, tuple[str, ...]] | None:
    """Select floors, steps up to `low`, and all arrivals in full; None if that exceeds B.

    The open exchange of messages is held as arrivals are. If lack of room began the epoch and the exchange takes most
    of the room, only its newest groups stand exact, up to `low`, so that the next turn does not begin another epoch.
    """
    selection = Selection({}, room.tokens, room.directory, dues=dues_of(state))
    install_floors(state, selection)
    floors = room.tokens - selection.rest
    most = selection.rest * 3 // 4 if trigger is EpochTrigger.HIGH else selection.rest
    install_open(state, selection, most, max(low - floors, 0))
    exchange = room.tokens - floors - selection.rest
    new = [state.pages[page_id] for page_id in state.arrivals if page_id not in selection.settled]
    over = selection.total(new) + exchange
    hinted = _hinted(state, turn, selection, room.tokens - max(low, floors) - over)
    share = selection.rest = _share(state, low - floors, room.tokens - floors - over)
    raised = raise_first(selection) if raise_first is not None else ()
    fill(state, replace(turn, hints=()) if turn.hints else turn, selection, (), watch, raised)
    selection.rest = room.tokens - floors - (share - selection.rest) - exchange
    for pages, reason in ((new, ChangeReason.ARRIVAL), (hinted, ChangeReason.HINT)):
        for page in pages:
            selection.install(page, FULL, reason)
    if selection.rest < 0:
        return None
    return selection, tuple([page.page_id for page in (*new, *hinted)])


def _share(state: State, marked: int, left: int) -> int:
    """Tokens that an epoch may spend on pages other than arrivals, at most `marked`.

    `left` is what floors and arrivals leave of the budget.
    """
    return max(0, min(marked, left // 2) if RULES[state.profile.rule].leaves_room else marked)


def _hinted(state: State, turn: e.TurnBegan, selection: Selection, rest: int) -> list[Page]:
    """The hinted pages that fit `rest` in full; phase 2 does not touch them."""
    found, tokens = list[Page](), 0
    for page_id in dict.fromkeys(turn.hints) if _PREFETCH in state.capabilities else ():
        page = state.pages[page_id]
        cost = above_floor(selection, page, FULL)
        outside = page_id in state.arrivals or page_id in selection.settled or not state.holdable(page)
        if not outside and tokens + cost <= rest:
            selection.settled[page_id] = None
            found.append(page)
            tokens += cost
    return found


def _under_budget(
    state: State, turn: e.TurnBegan, room: Room, watch: Watch | None, raise_first: Raise | None
) -> Selection:
    """Select as for a single turn, under all of B; arrivals are degraded as far as necessary."""
    selection = Selection({}, room.tokens, room.directory, dues=dues_of(state))
    install_floors(state, selection)
    install_open(state, selection, selection.rest, selection.rest // 2)
    degraded = install_arrivals(state, selection)
    raised = raise_first(selection) if raise_first is not None else ()
    fill(state, turn, selection, degraded, watch, raised)
    return selection


def _no_room(state: State, turn: e.TurnBegan, room: Room) -> Plan:
    """Plan a prompt without pages; it begins an epoch only if the last prompt had pages."""
    required = tuple(state.required) if _FLOORS in state.capabilities else ()
    new = [state.pages[page_id] for page_id in state.arrivals if page_id not in required]
    needed = turn.fixed_tokens + room.directory + state.required_tokens
    selection = Selection({}, max(0, state.budget_tokens - turn.fixed_tokens), 0)
    selection.pressure.append(
        e.InvariantPressureObserved(PressureReason.FLOORS, needed, state.budget_tokens, required)
    )
    if new:
        lowest = sum([next(size for size in page.tokens[POINTER + 1 :] if size >= 0) for page in new])
        ids = tuple([page.page_id for page in new])
        selection.pressure.append(e.InvariantPressureObserved(PressureReason.ARRIVALS, lowest, 0, ids))
    return Plan(room, state.rent, EpochTrigger.FORCED if state.entries else None, (), selection)


# ----------------------------------------------------------------------------------------- the decisions


def _laid_out(state: State, turn: e.TurnBegan, made: Plan, selection: Selection) -> list[e.Decision]:
    """The decisions of an epoch."""
    decisions: list[e.Decision] = []
    levels = selection.levels
    add_changes(decisions, state, selection)
    entries = laid_out(state, levels, made.last) if made.room.tokens > 0 else []
    sent = sum([entry.tokens for entry in entries])
    prefix = 0 if prefix_is_lost(state, turn) else turn.fixed_tokens + _common(state, entries)
    totals = _Totals(len(levels), sent, prefix, selection.directory_tokens, 0, selection.utility, selection.bound)
    decisions.append(_assembled(state, turn, made, entries, totals))
    decisions.extend(selection.pressure)
    short = [page_id for page_id, floor in state.required.items() if levels.get(page_id, ABSENT) < floor]
    decisions.extend(faults(state, levels, selection.pressure, short))
    return decisions


def _common(state: State, entries: Iterable[Entry]) -> int:
    """Tokens of the leading entries that the last layout has in common with this one."""
    found = 0
    for now, was in zip(entries, state.entries.values(), strict=False):
        if now != was or found + now.tokens > state.prefix:
            break
        found += now.tokens
    return found


def _grown(state: State, turn: e.TurnBegan, made: Plan) -> list[e.Decision]:
    """The decisions of a prompt that only grows at its end."""
    decisions: list[e.Decision] = []
    before, standing = state.resident, state.standing
    pages, stale = len(before), state.stale
    for page_id in _unshown(state):
        left = e.RepresentationChanged(page_id, LADDER[before[page_id]], Fidelity.ABSENT, ChangeReason.EVICTED)
        decisions.append(left)
        stale += state.entries[standing[page_id]].tokens
        pages -= 1
    for page_id, rank, reason in made.arrivals:
        was = before.get(page_id, ABSENT)
        if was != rank:
            decisions.append(e.RepresentationChanged(page_id, LADDER[was], LADDER[rank], reason))
        pages += was == ABSENT
        place = standing.get(page_id)
        if place is not None:
            stale += state.entries[place].tokens
    entries = appended(state, made.arrivals)
    sent = state.sent + sum([entry.tokens for entry in entries])
    totals = _Totals(pages, sent, turn.fixed_tokens + state.sent, made.room.directory, stale)
    decisions.append(_assembled(state, turn, made, entries, totals))
    if state.below:
        arrived = {each.page_id for each in made.arrivals}
        decisions.extend(faults(state, before, (), [each for each in _below(state) if each not in arrived]))
    return decisions


def _unshown(state: State) -> list[str]:
    """Resident pages whose new content no prompt can show."""
    if not state.rewritten:
        return []
    gone = [page_id for page_id in state.rewritten if page_id in state.resident and page_id not in state.arrivals]
    return sorted(gone, key=state.place)


class _Totals(NamedTuple):
    """Totals of a prompt, in tokens (`pages` is a count); `prefix` is the part shared with the last prompt."""

    pages: int
    sent: int
    prefix: int
    directory: int
    stale: int
    utility: int = 0
    bound: int = 0


def _assembled(
    state: State, turn: e.TurnBegan, made: Plan, entries: Sequence[Entry], totals: _Totals
) -> e.PromptAssembled:
    anew = made.trigger is not None
    layout = chained(EMPTY if anew else state.chain, [tag_of(entry) for entry in entries])
    line = hidden(state, totals.pages) if totals.directory else 0
    tokens = turn.fixed_tokens + totals.sent + totals.directory
    beyond = totals.sent - made.room.mark
    if RULES[state.profile.rule].spares_exchange:
        beyond -= exchange_tokens(state, entries) - (state.exchange if anew else 0)
    return e.PromptAssembled(
        state.budget_tokens,
        tokens,
        totals.pages,
        tokens - totals.prefix,
        chained(layout, [f"{line}"]) if line else layout,
        totals.directory,
        totals.utility,
        totals.bound,
        layout_digest=layout,
        epoch=state.epoch + anew,
        trigger=made.trigger,
        entries=tuple(entries),
        cached_tokens=0 if is_cold(state, turn) else totals.prefix,
        stale_tokens=totals.stale,
        rent=(0 if anew else state.rent) + state.profile.read_price * max(beyond, 0),
    )
