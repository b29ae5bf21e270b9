"""Groups, in sessions whose prompts are messages: a group is one answer (text and calls) and its calls' results.

Entries of a layout of messages are pages and other things. Their ids:

| id | stands for | tokens |
|---|---|---|
| `p12` | a page | of its level |
| `g5` | the beginning of group 5; in full: the answer in its provider's own form | its thoughts |
| `c3` | call 3 with its arguments, in full or as a stub | of the level |
| `r3` | a stand-in for the result of call 3, which no page holds: see `Stand` | `STAND_TOKENS` |
| `i12` | a note that page 12 is shown again, apart from its group | of its pointer, plus `FRAME_TOKENS` |
| `o1` | a line of the user's before an answer that would otherwise come first | `OPENER_TOKENS` |

After `g5` come all texts of the answer, all its calls, and all their results. This module says which groups stand
in a prompt, in which order, and how many tokens that costs.

LAW-GROUP-1: a group leaves as a whole: if one of its pages is resident, all that can be are, at least as stubs.
LAW-GROUP-2: the first raise in a group costs the stubs of all its pages, its arguments, and stand-ins for results.
LAW-MSG-3: the open exchange (from the user's last message on) stands exact, or a pressure names the rest.
LAW-MSG-4: groups stand in recorded order; a page shown again between epochs is a text of the user's until it rejoins
its group at the next epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Final

import attrs

from clawvm_es.core.state import Asked, Group, Page, State, known_by
from clawvm_es.model import events as e
from clawvm_es.model.facts import Entry
from clawvm_es.model.pages import ABSENT, FULL, LADDER, PAGE_TYPES, POINTER, Author, Fidelity, PageType

PREFIX: Final = "messages/"
"""Names of the renderers whose prompts are messages begin with this."""
THINKING: Final = (":anthropic", ":responses")
"""Names of those that send thoughts back end with one of these."""
OPENER_TOKENS: Final = 16
"""Most tokens of the line that stands before an answer that would come first."""
FRAME_TOKENS: Final = 32
"""Most tokens of the frame around a page that is shown again, and of the message that it is in."""
STAND_TOKENS: Final = 12
"""Most tokens of what stands for a result."""
_PAGELESS_SHARE: Final = 4
"""Groups without pages stand while all later ones fit this part of the budget."""
_SPOKEN: Final = PAGE_TYPES[PageType.CONVERSATION].region
_LAST: Final = 1 << 60


class Stand(IntEnum):
    """Reason why no page holds a call's result; a number above 0 is the page elsewhere that shows it."""

    WAITING = 0
    BLANK = -1
    GONE = -2


def is_plain(page_type: PageType, author: Author, group: int | None, call: int | None) -> bool:
    """Tell whether a page in full is sent as a plain message: texts of user and model, results in a group."""
    if page_type is PageType.CONVERSATION:
        return author is not Author.HARNESS
    return page_type is PageType.EVIDENCE and group is not None and call is not None


def group_of(page: Page) -> int | None:
    """The group of a page: that of the answer whose text or result it is; None for rules and plans."""
    if page.page_type is PageType.CONVERSATION:
        return page.group if page.author is Author.MODEL else None
    return page.group if page.page_type is PageType.EVIDENCE and page.origin.call is not None else None


def number_of(entry_id: str, kind: str) -> int | None:
    """The number in the id of an entry of the given kind; None for other kinds."""
    return int(entry_id[1:]) if entry_id.startswith(kind) else None


# ------------------------------------------------------------------------------------------- the fold


def written(state: State, page: Page) -> None:
    """Fold the writing of a page."""
    number = group_of(page)
    if number is not None:
        group = _group(state, number)
        if page.page_id not in group.pages:
            state.groups[number] = attrs.evolve(group, pages=(*group.pages, page.page_id))
            state.fresh[number] = None
    elif page.page_type is PageType.CONVERSATION and page.author is Author.USER and page.number > state.spoken:
        state.spoken, state.exchange = page.number, 0


def called(state: State, event: e.ToolCalled) -> None:
    """Fold a tool call of the model. Arguments without levels are not counted."""
    if event.group is None:
        return
    sizes = [level.tokens for level in event.levels] or [0]
    known = known_by(event.call_id) if event.call_id is not None else ""
    own = bool(known) and known not in state.call_ids
    if own:
        state.call_ids[known] = event.call
    group = _group(state, event.group)
    asked = Asked(event.call, sizes[0], sizes[-1], own, state.early.pop(event.call, 0))
    state.groups[event.group] = attrs.evolve(group, calls=(*group.calls, asked))
    state.fresh[event.group] = None


def returned(state: State, event: e.ToolReturned) -> None:
    """Fold the end of a call. Only the first end counts; a result told again is a page of its own."""
    call = state.calls.get(event.call)
    if call is None:
        state.early.setdefault(event.call, state.version)
        return
    number = call.group
    if number is None:
        return
    group = state.groups[number]
    calls = tuple(
        attrs.evolve(asked, ended=state.version) if asked.call == event.call and not asked.ended else asked
        for asked in group.calls
    )
    state.groups[number] = attrs.evolve(group, calls=calls)


def responded(state: State, event: e.ModelResponded) -> None:
    """Fold an answer of the model: its native form, and its thoughts if they can be sent back."""
    if event.group is None:
        return
    group = _group(state, event.group)
    if event.native is not None:
        thinking = event.thinking_tokens if _sends_thoughts(state) else 0
        group = attrs.evolve(group, answered=state.version, thinking=thinking)
    state.groups[event.group] = group


def _group(state: State, number: int) -> Group:
    if number > state.newest:
        state.newest = number
        if not state.spoken:
            state.exchange = 0  # the answer before is open no longer
    return state.groups.get(number) or Group(number, len(state.pages) + 1)


def _sends_thoughts(state: State) -> bool:
    return state.opened is not None and state.opened.renderer.endswith(THINKING)


def assembled(state: State) -> None:
    """Fold the assembly of a prompt: what was new to it is no longer new."""
    for number in state.fresh:
        group = state.groups[number]
        state.groups[number] = attrs.evolve(group, told=True, sent=len(group.calls))
    state.fresh.clear()


# -------------------------------------------------------------------------------------- the open exchange


def is_open(state: State, group: Group) -> bool:
    """Tell whether a group belongs to the open exchange: it began after the user's last message.

    If the user said nothing, only the newest group is open.
    """
    return group.place > state.spoken if state.spoken else group.number == state.newest


def in_exchange(state: State) -> bool:
    """Tell whether the prompt ends in an exchange: the newest answer made calls; the user was silent since."""
    group = state.groups.get(state.newest)
    return group is not None and bool(group.calls) and is_open(state, group)


def exchange_tokens(state: State, entries: Iterable[Entry]) -> int:
    """Tokens of the given entries that belong to the open exchange; 0 if prompts are not messages."""
    return sum([entry.tokens for entry in entries if _belongs(state, entry.page_id)]) if state.by_groups else 0


def _belongs(state: State, entry_id: str) -> bool:
    page = state.pages.get(entry_id)
    if page is not None:
        if state.spoken:
            return page.number >= state.spoken and _in_turn(page)
        return group_of(page) == state.newest
    kind, number = entry_id[0], int(entry_id[1:])
    group = number if kind == "g" else state.calls[number].group if kind in "cr" else None
    return group is not None and is_open(state, state.groups[group])


def open_pages(state: State) -> list[Page]:
    """The pages of the open exchange that can stand, oldest first, beginning with the user's last message."""
    if not state.spoken:
        return members(state, state.groups[state.newest]) if state.newest in state.groups else []
    found = [state.pages[f"p{number}"] for number in range(state.spoken, len(state.pages) + 1)]
    return [page for page in found if _in_turn(page) and state.holdable(page)]


def _in_turn(page: Page) -> bool:
    return is_plain(page.page_type, page.author, page.group, page.origin.call)


def members(state: State, group: Group) -> list[Page]:
    """The pages of a group that can stand in a prompt."""
    found = map(state.pages.__getitem__, group.pages)
    return [page for page in found if state.holdable(page) and group_of(page) == group.number]


# ---------------------------------------------------------------------------------------------- the cost


def stub_rank(page: Page) -> int:
    """The lowest kept level of a page."""
    return next(rank for rank, tokens in enumerate(page.tokens) if rank >= POINTER and tokens >= 0)


def fee(state: State, group: Group) -> int:
    """Tokens of a group beyond its pages: arguments, stand-ins for results, and thoughts if the group is open."""
    return _fee(state, group, members(state, group))


def _fee(state: State, group: Group, pages: Iterable[Page]) -> int:
    exact = is_open(state, group)
    shown = {page.origin.call for page in pages}
    asked = sum([each.full if exact else each.stub for each in group.calls])
    stands = sum([STAND_TOKENS for each in group.calls if each.call not in shown])
    return asked + stands + (group.thinking if exact else 0)


def pageless(state: State) -> tuple[int, ...]:
    """Groups of the open exchange that stand without any page, oldest first."""
    found, left = list[int](), state.budget_tokens // _PAGELESS_SHARE
    for number in _calling(state):
        left -= fee(state, state.groups[number])
        if left < 0:
            break
        found.append(number)
    return tuple(reversed(found))


def _calling(state: State) -> Iterator[int]:
    """Groups of the open exchange with calls but no page that can stand, newest first."""
    for number in range(state.newest, 0, -1):
        group = state.groups.get(number)
        if group is None:
            continue
        if not is_open(state, group):
            return
        if group.calls and not members(state, group):
            yield number


def left_out(state: State) -> int:
    """Tokens of the groups of the open exchange that would stand without a page, if they had room."""
    standing = pageless(state)
    return sum([fee(state, state.groups[number]) for number in _calling(state) if number not in standing])


@attrs.frozen
class Dues:
    """Costs of entering the groups of one state, during one selection; each is computed once."""

    state: State
    _known: dict[int, tuple[int, dict[str, int]]] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def due(self, page: Page, levels: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """Tokens and stubs that the first raise of a page adds; nothing if its group already stands."""
        number = group_of(page)
        if number is None:
            return 0, {}
        tokens, stubs = self._known.get(number) or self._entering(number)
        if not stubs.keys().isdisjoint(levels):
            return 0, {}
        pages = self.state.pages
        others = {page_id: rank for page_id, rank in stubs.items() if page_id != page.page_id}
        return tokens + sum([pages[page_id].tokens[rank] for page_id, rank in others.items()]), others

    def _entering(self, number: int) -> tuple[int, dict[str, int]]:
        """Tokens of a group beyond its pages, plus the stub of each page."""
        group = self.state.groups[number]
        pages = members(self.state, group)
        found = _fee(self.state, group, pages), {page.page_id: stub_rank(page) for page in pages}
        self._known[number] = found
        return found

    @property
    def always(self) -> int:
        """Tokens that every prompt pays: the opener, and groups without pages."""
        state = self.state
        return OPENER_TOKENS + sum([fee(state, state.groups[number]) for number in pageless(state)])


def dues_of(state: State) -> Dues | None:
    """The dues of a state; None if its prompts are not messages."""
    return Dues(state) if state.by_groups else None


# --------------------------------------------------------------------------------------------- the order


def laid_out(state: State, levels: Mapping[str, int]) -> list[Entry]:
    """The entries of a selection: rules, then messages in recorded order; a plan before the open exchange."""
    units: list[tuple[int, int, int, list[Entry]]] = []
    standing = dict.fromkeys(pageless(state))
    for page_id, rank in levels.items():
        page = state.pages[page_id]
        number = group_of(page)
        if number is None:
            units.append((*_key(state, page), 0, [_of_page(page, rank)]))
        else:
            standing[number] = None
    for number in standing:
        group = state.groups[number]
        region = _LAST if is_open(state, group) else _SPOKEN
        units.append((region, 2 * group.place, number, run(state, number, levels, group.calls)))
    units.sort(key=lambda unit: unit[:3])
    return _opened(state, [entry for *_, entries in units for entry in entries])


def _key(state: State, page: Page) -> tuple[int, int]:
    region = PAGE_TYPES[page.page_type].region
    is_last = region == _SPOKEN and page.number >= state.spoken > 0
    return _LAST if is_last else region, 2 * page.number + 1


def _opened(state: State, entries: list[Entry]) -> list[Entry]:
    """The entries, with a line of the user's before an answer that would otherwise come first."""
    if entries and _is_the_models(state, entries[0].page_id):
        return [Entry("o1", 0, Fidelity.FULL, OPENER_TOKENS), *entries]
    return entries


def _is_the_models(state: State, entry_id: str) -> bool:
    page = state.pages.get(entry_id)
    if page is None:
        return entry_id[0] == "g"
    return page.page_type is PageType.CONVERSATION and page.author is Author.MODEL


def run(
    state: State, number: int, levels: Mapping[str, int], calls: Collection[Asked], exact: bool | None = None
) -> list[Entry]:
    """All entries of a group, or of some of its calls that came late, in the order of messages."""
    group = state.groups[number]
    able = members(state, group)
    if exact is None:
        exact = is_open(state, group) and all(levels.get(page.page_id) == FULL for page in able)
    pages = [page for page in able if page.page_id in levels]
    complete = len(calls) == len(group.calls) and len(able) == len(group.pages)
    found = [_beginning(state, group, complete and (exact or _is_whole(group, pages, levels)))]
    found += [_of_page(page, levels[page.page_id]) for page in pages if page.origin.call is None]
    found += [_of_call(asked, exact) for asked in calls]
    for asked in calls:
        results = [page for page in pages if page.origin.call == asked.call]
        found += [_of_page(page, levels[page.page_id]) for page in results] or [_stand(state, asked)]
    return found


def _is_whole(group: Group, pages: Collection[Page], levels: Mapping[str, int]) -> bool:
    """Tell whether a closed group stands in full anyway, so that the answer's native form adds nothing."""
    in_full = all(levels[page.page_id] == FULL for page in pages)
    return in_full and all(asked.stub == asked.full for asked in group.calls)


def _beginning(state: State, group: Group, whole: bool) -> Entry:
    """The entry that begins a run; in full if the provider's own form of the answer is sent."""
    thoughts = group.thinking if is_open(state, group) else 0
    if group.answered and whole and thoughts == group.thinking:
        return Entry(f"g{group.number}", group.answered, Fidelity.FULL, thoughts)
    return Entry(f"g{group.number}", 0, Fidelity.POINTER, 0)


def _of_page(page: Page, rank: int) -> Entry:
    return Entry(page.page_id, page.content_version, LADDER[rank], page.tokens[rank])


def _of_call(asked: Asked, exact: bool) -> Entry:
    if exact or asked.stub == asked.full:
        return Entry(f"c{asked.call}", 1, Fidelity.FULL, asked.full)
    return Entry(f"c{asked.call}", 1, Fidelity.STRUCTURED, asked.stub)


def _stand(state: State, asked: Asked) -> Entry:
    """The stand-in for the result of a call that no page of its group holds."""
    call = state.calls[asked.call]
    page = state.pages.get(call.page_id) if call.page_id is not None else None
    if page is not None:
        why = page.number if state.holdable(page) else Stand.GONE
    else:
        why = Stand.WAITING if call.returned is None else Stand.BLANK
    return Entry(f"r{asked.call}", int(why), Fidelity.POINTER, STAND_TOKENS)


def appended(state: State, arrivals: Iterable[tuple[str, int]]) -> list[Entry]:
    """The entries appended between epochs: new groups and pages in their order, then pages shown again."""
    levels = dict(arrivals)
    units = [(2 * state.groups[number].place, number, _new_run(state, number, levels)) for number in state.fresh]
    placed = {entry.page_id for *_, entries in units for entry in entries}
    again: list[Entry] = []
    for page_id, rank in levels.items():
        page = state.pages[page_id]
        if page_id in placed:
            continue
        if _is_new(state, page):
            units.append((2 * page.number + 1, 0, [_of_page(page, rank)]))
        elif _in_turn(page):
            again += [_again(page, rank), _of_page(page, rank)]
        else:
            again.append(_of_page(page, rank))
    units.sort(key=lambda unit: unit[:2])
    found = [entry for *_, entries in units for entry in entries] + again
    return found if state.sent else _opened(state, found)


def _new_run(state: State, number: int, levels: Mapping[str, int]) -> list[Entry]:
    """The run of a group that no prompt has held, or of those of its calls that no prompt has held."""
    group = state.groups[number]
    if not group.told:
        exact = all(levels.get(page.page_id) == FULL for page in members(state, group))
        return run(state, number, levels, group.calls, exact)
    late = group.calls[group.sent :]
    if not late:
        return []
    named = {each.call for each in late}
    shown = {p: rank for p, rank in levels.items() if state.pages[p].origin.call in named}
    return run(state, number, shown, late, exact=True)


def _is_new(state: State, page: Page) -> bool:
    """Tell whether a page outside any group has been in no prompt yet."""
    return page.content_version == 1 and page.written_version > state.assembled_version and group_of(page) is None


def _again(page: Page, shown: int) -> Entry:
    rank = POINTER if page.tokens[POINTER] >= 0 and shown > POINTER else ABSENT
    return Entry(f"i{page.number}", page.content_version, LADDER[rank], max(page.tokens[rank], 0) + FRAME_TOKENS)
