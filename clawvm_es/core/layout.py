"""The layout of a prompt: the order of its pages, its pieces with what they show, and the digest over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from clawvm_es.core import groups
from clawvm_es.core.state import Content, Page, State
from clawvm_es.model.events import TurnBegan
from clawvm_es.model.facts import ChangeReason, Entry
from clawvm_es.model.pages import LADDER, RANK

DIRECTORY: Final = ""
"""Stands for the directory line among page ids in rendered order."""


class Shown(NamedTuple):
    """One piece of a prompt: a page's content of that time at a rank, or the directory line (no content).

    `tag` names page, content version and rank; for the directory line it is the number of pages counted.
    """

    tag: str
    page_id: str
    rank: int
    tokens: int
    content: Content | None


class Arrival(NamedTuple):
    """A page that is appended to a prompt: its rank, and the reason."""

    page_id: str
    rank: int
    reason: ChangeReason


# ------------------------------------------------------------------------------------------- the order


def rendered_order(state: State, levels: Mapping[str, int], last: Iterable[str], directory: int) -> list[str]:
    """Page ids in rendered order: pages in their places, the directory line (if any), the arrivals."""
    place = state.place
    arrived = [page_id for page_id in last if page_id in levels]
    order = sorted(levels.keys() - arrived if arrived else levels, key=place)
    if directory:
        order.append(DIRECTORY)
    if len(arrived) > 1:
        arrived.sort(key=place)
    order.extend(arrived)
    return order


def laid_out(state: State, levels: Mapping[str, int], last: Iterable[str]) -> list[Entry]:
    """The entries of a new epoch: pages in rendered order, arrivals last; for messages see `groups.laid_out`."""
    if state.by_groups:
        return groups.laid_out(state, levels)
    return [entry_of(state.pages[page_id], levels[page_id]) for page_id in rendered_order(state, levels, last, 0)]


def appended(state: State, arrivals: Iterable[Arrival]) -> list[Entry]:
    """The entries that are appended between epochs, in the order in which pages arrive."""
    if state.by_groups:
        return groups.appended(state, [(each.page_id, each.rank) for each in arrivals])
    pages = state.pages
    return [entry_of(pages[page_id], rank) for page_id, rank, _ in arrivals]


def entry_of(page: Page, rank: int) -> Entry:
    """The newest content of a page, as sent at a rank."""
    return Entry(page.page_id, page.content_version, LADDER[rank], page.tokens[rank])


def tags_of(state: State, levels: Mapping[str, int], order: Iterable[str], directory: int) -> tuple[str, ...]:
    """Tags of a prompt in rendered order: page, content version and rank, or the directory line's count."""
    pages = state.pages
    return tuple([pages[page_id].tag(levels[page_id]) if page_id else f"{directory}" for page_id in order])


def by_turn(
    state: State, levels: Mapping[str, int], last: Iterable[str], directory: int, reserve: int
) -> tuple[tuple[str, ...], list[int]]:
    """Tags and sizes of the pieces of a one-turn selection; the directory line has the size of its `reserve`."""
    if not state.by_groups:
        order = rendered_order(state, levels, last, directory)
        sizes = [state.pages[page_id].tokens[levels[page_id]] if page_id else reserve for page_id in order]
        return tags_of(state, levels, order, directory), sizes
    entries = groups.laid_out(state, levels)
    line = ([f"{directory}"], [reserve]) if directory else ([], [])
    return (*map(tag_of, entries), *line[0]), [*(entry.tokens for entry in entries), *line[1]]


def digest_of(state: State) -> str:
    """The digest of the last assembled prompt: of its layout where it has one, else of all its pieces."""
    return state.chain if state.in_epochs else sha256("\n".join(state.assembled_tags).encode()).hexdigest()


def hidden(state: State, shown_pages: int) -> int:
    """Number of pages that the directory line counts; 0 inside an exchange, which the line would split."""
    return 0 if groups.in_exchange(state) else state.present - shown_pages


def tag_of(entry: Entry) -> str:
    """Name of an entry's content: page, content version and rank."""
    return f"{entry.page_id}.{entry.content_version}.{RANK[entry.level]}"


def chained(chain: str, changes: Iterable[str]) -> str:
    """The digest of a context after some changes: of the digest before, and of what was appended or taken out."""
    told = "\n".join(changes)
    return sha256(f"{chain}\n{told}".encode()).hexdigest() if told else chain


def prefix_is_lost(state: State, turn: TurnBegan) -> bool:
    """Tell whether the fixed region or the model is known to differ from that of the last prompt."""
    if turn.fixed_tokens != state.assembled_fixed:
        return True
    region, model = state.assembled_region, state.assembled_model
    if turn.fixed is not None and region is not None and turn.fixed != region:
        return True
    return turn.model is not None and model is not None and turn.model != model


# ------------------------------------------------------------------------------------------ the pieces


def levels_of_prompt(state: State) -> Mapping[str, int]:
    """Page id → rank in the last assembled prompt; in epochs without pages that left since."""
    return state.resident if state.in_epochs else state.assembled


def shown(state: State) -> Iterator[Shown]:
    """The pieces of the last assembled prompt, in the order in which they are sent.

    If the policy selects at every turn, `state` must hold the pages as they were at that assembly.
    """
    if state.in_epochs:
        yield from (_shown(state, entry) for entry in state.entries.values())
        yield from tail(state)
    else:
        for tag in _tags_of_prompt(state):
            yield _shown_by_turn(state, tag)


def shown_after(state: State, place: int) -> Iterator[Shown]:
    """The pieces that were appended to a layout after a given place."""
    for later in range(place + 1, state.appended + 1):
        if later in state.entries:
            yield _shown(state, state.entries[later])


def _shown(state: State, entry: Entry) -> Shown:
    return Shown(tag_of(entry), entry.page_id, RANK[entry.level], entry.tokens, content_of(state, entry))


def tail(state: State) -> Iterator[Shown]:
    """The directory line that follows a layout, if it counts any page."""
    if state.assembled_directory:
        assert state.opened is not None
        hidden = state.assembled_directory
        yield Shown(f"{hidden}", DIRECTORY, 0, state.opened.directory_tokens, None)


def content_of(state: State, entry: Entry) -> Content | None:
    """The content that an entry shows, which may be an older copy; None if the entry shows no page."""
    page_id = entry.page_id
    if page_id[0] != "p":
        if page_id[0] != "i":
            return None
        page_id = f"p{page_id[1:]}"
    page = state.pages[page_id]
    if page.content_version == entry.content_version:
        return of_page(page)
    return state.superseded.get((page_id, entry.content_version))


def of_page(page: Page) -> Content:
    """The newest content of a page."""
    return Content(page.page_type, page.author, page.bodies, page.source, page.group, page.origin.call, page.native)


def _shown_by_turn(state: State, tag: str) -> Shown:
    page_id, _, rest = tag.partition(".")
    assert state.opened is not None
    if not rest:
        return Shown(tag, DIRECTORY, 0, state.opened.directory_tokens, None)
    version, _, ranked = rest.partition(".")
    rank = int(ranked)
    if state.by_groups:
        entry = Entry(page_id, int(version), LADDER[rank], 0)
        return Shown(tag, page_id, rank, 0, content_of(state, entry))
    page = state.pages[page_id]
    return Shown(tag, page_id, rank, page.tokens[rank], of_page(page))


def _tags_of_prompt(state: State) -> tuple[str, ...]:
    if not state.as_recorded:
        return state.assembled_tags
    return tuple([state.pages[page_id].tag(rank) for page_id, rank in state.assembled.items()])
