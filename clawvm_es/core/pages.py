"""Pages, made from the events that wrote their content, and their place in rendered order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from clawvm_es.core.state import Page
from clawvm_es.model.events import PageWritten
from clawvm_es.model.pages import FULL, PAGE_TYPES, RANK, Fidelity, Level, Pin

REGION_SHIFT: Final = 40
"""Bits of a place below its region, for the page's number."""
_OF_TYPE: Final = {
    page_type: (row.region << REGION_SHIFT, RANK[row.floor], row.writeback) for page_type, row in PAGE_TYPES.items()
}
_NONE: Final = (None, None, None, None)


def page_of(
    event: PageWritten,
    *,
    number: int,
    content_version: int,
    written_version: int,
    last_used: int,
    pin: Pin,
    uses: int = 0,
    edited: int = 0,
) -> Page:
    """The page that `event` wrote; the other arguments are facts that the event does not hold."""
    region, floor, writeback = _OF_TYPE[event.page_type]
    tokens, bodies, builders = _by_rank(event.levels)
    return Page(  # by position, in the order of the class: folds make pages by the million
        number,
        region + number,
        event.page_id,
        event.page_type,
        event.author,
        event.origin,
        event.scope,
        pin,
        tokens,
        bodies,
        builders,
        kept_at_or_above(tokens, floor),
        content_version,
        written_version,
        last_used,
        uses,
        edited,
        event.active,
        writeback if event.dirty is None else event.dirty,
        False,
        False,
        False,
        False,
        event.signature,
        event.source,
        event.group,
        event.native,
    )


def _by_rank(levels: Sequence[Level]) -> tuple[tuple[int, ...], tuple[str | None, ...], tuple[str | None, ...]]:
    """Tokens, bodies and builders of the kept levels by rank."""
    if len(levels) == 1 and levels[0].level is Fidelity.FULL:  # what most pages are
        only = levels[0]
        return (0, -1, -1, -1, only.tokens), (*_NONE, only.body), _shared((*_NONE, only.builder))
    tokens, bodies, builders = [0, -1, -1, -1, -1], [None, *_NONE], [None, *_NONE]
    for level in levels:
        rank = RANK[level.level]
        tokens[rank], bodies[rank], builders[rank] = level.tokens, level.body, level.builder  # type: ignore[call-overload]
    return tuple(tokens), tuple(bodies), _shared(tuple(builders))


@lru_cache(maxsize=256)
def _shared(builders: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """One shared tuple per distinct value, to save memory: pages are many, builders few."""
    return builders


def kept_at_or_above(tokens: Sequence[int], rank: int) -> int:
    """The lowest kept level at or above `rank`."""
    while rank < FULL and tokens[rank] < 0:
        rank += 1
    return rank
