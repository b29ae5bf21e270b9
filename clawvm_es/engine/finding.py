"""Search results for a harness: pages that match a query, and sessions of a journal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

from clawvm_es.engine.titles import Openings
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.pages import PageType
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import SESSIONS

AROUND: Final = 2
"""Lines of an excerpt before and after the one that says most of a query."""
_WORD: Final = re.compile(r"\w+")


@attrs.frozen
class Hit:
    """A page that a search found; lines `first_line` to `last_line` are those that match most words of the query."""

    page_id: str
    page_type: PageType
    first_line: int
    last_line: int
    text: str


@attrs.frozen
class Listed:
    """One session of a journal; times are UTC as text. Title and folder are None if unknown."""

    session_id: str
    title: str | None
    folder: str | None
    policy: str
    turns: int
    is_open: bool
    opened_at: str
    last_at: str


def hit(page_id: str, page_type: PageType, text: str, query: str) -> Hit:
    """The lines of a page around the first line with the most words of a query."""
    lines = text.splitlines(keepends=True)
    words = {word.casefold() for word in _WORD.findall(query)}
    counts = [sum(word in line.casefold() for word in words) for line in lines]
    best = max(range(len(lines)), key=counts.__getitem__, default=0)
    first, last = max(best - AROUND, 0), min(best + AROUND, len(lines) - 1)
    return Hit(page_id, page_type, first + 1, last + 1, "".join(lines[first : last + 1]))


def sessions(log: EventLog, folder: str | None, title: str | None) -> Iterator[Listed]:
    """The sessions in a folder or below it whose title or id contains a text, in order of opening."""
    with snapshot(log) as view:
        rows = view.rows(SESSIONS, None)
    below = None if folder is None else folder.rstrip("/") or "/"
    openings = Openings(log)
    for row in rows:
        worked_in = openings.folder(row.session_id)
        if below is not None and not _is_below(worked_in, below):
            continue
        named = openings.title(row.session_id)
        if title is not None and title.casefold() not in f"{named} {row.session_id}".casefold():
            continue
        yield Listed(
            session_id=row.session_id,
            title=None if named == row.session_id else named,
            folder=worked_in,
            policy=row.policy,
            turns=row.turns,
            is_open=row.status == "open",
            opened_at=row.opened_at,
            last_at=row.last_at,
        )


def _is_below(worked_in: str | None, folder: str) -> bool:
    return worked_in is not None and (worked_in == folder or worked_in.startswith(folder.rstrip("/") + "/"))
