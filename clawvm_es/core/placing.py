"""Changes of the layout of a session that pages in epochs, event by event.

`prompt_assembled` events alone build the layout: an epoch replaces it, every other assembly appends to it. Between
assemblies only an erasure removes entries.

| what happens to a page that stands in it | its entries |
|---|---|
| new content is written | stay; the old copy is out of date, the new one arrives |
| it is retired, pruned or destroyed | stay, as stale tokens |
| a rule or plan is retired, or becomes another type | stay until the next assembly, which begins an epoch |
| its text or source line is erased | leave with that event, and the next assembly begins an epoch |

LAW-LAYOUT-1: a page is resident if an entry stands for it, at the level of that entry; boundaries may lower that
level until the next assembly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from clawvm_es.core.groups import exchange_tokens
from clawvm_es.core.layout import content_of, of_page
from clawvm_es.core.state import EMPTY, Page, State
from clawvm_es.model import events as e
from clawvm_es.model.facts import Entry
from clawvm_es.model.pages import ABSENT, PAGE_TYPES, RANK


def assembled(state: State, event: e.PromptAssembled) -> None:
    """Fold a `prompt_assembled`: its entries replace the layout at an epoch, else they are appended."""
    if event.trigger is not None:
        state.entries, state.standing, state.copies, state.superseded = {}, {}, {}, {}
        state.sent = state.exchange = 0
    _append(state, event.entries)
    state.exchange += exchange_tokens(state, event.entries)
    for page_id in state.rewritten:
        if page_id not in state.resident:  # its new content cannot stand in a prompt
            state.standing.pop(page_id, None)
    state.prefix, state.cut, state.pruned = state.sent, False, 0
    state.chain, state.epoch, state.rent = event.layout_digest, event.epoch, event.rent
    state.stale, state.assembled_budget = event.stale_tokens, event.budget_tokens
    changed, state.rewritten = state.rewritten, {}
    for page_id in tuple(state.required if event.trigger is not None else changed):
        look(state, page_id)


def _append(state: State, entries: Iterable[Entry]) -> None:
    pages, copies, standing, sent, place = state.pages, state.copies, state.standing, state.sent, state.appended
    for entry in entries:
        place += 1
        page_id = entry.page_id
        state.entries[place] = entry
        copies[page_id] = (*copies.get(page_id, ()), place)
        sent += entry.tokens
        if page_id in pages:
            standing[page_id] = place
    state.sent, state.appended = sent, place


def written(state: State, known: Page, event: e.PageWritten) -> None:
    """Fold new content of a page, before the page has it: copies of the old content stay."""
    places = state.copies.get(known.page_id, ())
    if any(state.entries[place].content_version == known.content_version for place in places):
        state.superseded[known.page_id, known.content_version] = of_page(known)
    if places and _rules(known) and not (PAGE_TYPES[event.page_type].required and event.active):
        state.cut = True


def retired(state: State, page: Page) -> None:
    """Fold the retirement of a page; a retired rule or plan must not go on looking as if it were in force."""
    if PAGE_TYPES[page.page_type].required and page.page_id in state.copies:
        state.cut = True


def _rules(page: Page) -> bool:
    return PAGE_TYPES[page.page_type].required and page.active


def left(state: State, page_id: str, pruned: bool) -> None:
    """Fold that a page left between two assemblies: its entry stays, as stale tokens."""
    place = state.standing.pop(page_id, None)
    if place is not None:
        tokens = state.entries[place].tokens
        state.stale += tokens
        state.pruned += tokens if pruned else 0


def erased(state: State, event: e.ContentRedacted) -> None:
    """Fold an erasure: entries that show an erased text or source line leave."""
    names, before = frozenset(event.commitments), 0
    gone: list[int] = []
    for place, entry in state.entries.items():
        if _shows(state, entry, names, event.pages):
            gone.append(place)
            state.prefix = min(state.prefix, before)
        before += entry.tokens
    for place in gone:
        _take_out(state, place)
    state.cut = state.cut or bool(gone)


def _shows(state: State, entry: Entry, names: Collection[str], pages: Collection[str]) -> bool:
    content = content_of(state, entry)
    if content is None:
        return False
    if entry.page_id not in state.pages:
        return content.source in names
    newest = entry.content_version == state.pages[entry.page_id].content_version
    return (
        content.bodies[RANK[entry.level]] in names or content.source in names or (newest and entry.page_id in pages)
    )


def _take_out(state: State, place: int) -> None:
    entry = state.entries.pop(place)
    page_id, version = entry.page_id, entry.content_version
    state.sent -= entry.tokens
    state.exchange -= exchange_tokens(state, [entry])
    if state.standing.get(page_id) == place:
        del state.standing[page_id]
    else:
        state.stale -= entry.tokens
    rest = tuple(other for other in state.copies[page_id] if other != place)
    state.copies[page_id] = rest
    if not rest:
        del state.copies[page_id]
    if all(state.entries[other].content_version != version for other in rest):
        state.superseded.pop((page_id, version), None)


def restored(state: State) -> None:
    """Fold a fork that begins inside an assembly: the entries of the layout stand in the prompt, as before it."""
    state.resident = {page_id: RANK[state.entries[place].level] for page_id, place in state.standing.items()}
    for page_id in state.required:
        look(state, page_id)


def settled(state: State) -> None:
    """Fold a change of policy that begins paging in epochs or ends it: the layout starts empty, or is dropped."""
    state.entries, state.standing, state.copies, state.superseded, state.below = {}, {}, {}, {}, {}
    state.sent = state.prefix = state.stale = state.pruned = state.rent = state.exchange = 0
    state.chain, state.assembled_last, state.assembled_tags = EMPTY, (), ()
    state.assembled = {} if state.in_epochs else state.resident
    state.cut = state.cut or state.in_epochs
    for page_id in state.required if state.in_epochs else ():
        look(state, page_id)


def look(state: State, page_id: str) -> None:
    """Keep the set of required pages whose newest content does not stand at its floor."""
    floor = state.required.get(page_id, ABSENT)
    if floor == ABSENT or state.stands(page_id, floor):
        state.below.pop(page_id, None)
    else:
        state.below[page_id] = None
