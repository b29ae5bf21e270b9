"""Pages from the events that wrote their content, and their place in rendered order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawvm_es.core.state import Page
from clawvm_es.model.events import PageWritten
from clawvm_es.model.pages import ABSENT, FULL, PAGE_TYPES, RANK, Pin

REGION_SHIFT: Final = 40
"""Bits of a place below its region, for the page's number."""
_REGIONS: Final = {page_type: row.region << REGION_SHIFT for page_type, row in PAGE_TYPES.items()}


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
    """The page that `event` wrote; the rest is what the event does not say."""
    tokens, bodies, builders = [-1] * 5, [None] * 5, [None] * 5
    tokens[ABSENT] = 0
    for level in event.levels:
        rank = RANK[level.level]
        tokens[rank], bodies[rank], builders[rank] = level.tokens, level.body, level.builder  # type: ignore[call-overload]
    row = PAGE_TYPES[event.page_type]
    return Page(
        number=number,
        page_id=event.page_id,
        page_type=event.page_type,
        author=event.author,
        origin=event.origin,
        scope=event.scope,
        pin=pin,
        tokens=tuple(tokens),
        bodies=tuple(bodies),
        builders=tuple(builders),
        floor=kept_at_or_above(tokens, RANK[row.floor]),
        content_version=content_version,
        written_version=written_version,
        last_used=last_used,
        uses=uses,
        edited=edited,
        active=event.active,
        dirty=row.writeback if event.dirty is None else event.dirty,
        signature=event.signature,
        source=event.source,
        group=event.group,
        native=event.native,
    )


def kept_at_or_above(tokens: Sequence[int], rank: int) -> int:
    """The lowest kept level from `rank` up."""
    while rank < FULL and tokens[rank] < 0:
        rank += 1
    return rank


def place_of(page: Page) -> int:
    """Return the place of a page in rendered order."""
    return _REGIONS[page.page_type] + page.number
