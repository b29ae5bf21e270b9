"""The text that a harness gets back after a compaction: rules, the active plan, pinned pages, and a directory line.

LAW-RESTORED-1: the text has at most `CHARS_MAX` characters. Every part of it is inside a mark, so that it is not a
new page when the harness shows it. It holds nothing that the harness restores itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clawvm_es.core.state import Page
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.integrations.harnesses import Harness
from clawvm_es.journal.ports import Vault
from clawvm_es.model.pages import ABSENT, FULL, PAGE_TYPES, Author, OriginKind, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.observe.marks import directory, marked

CHARS_MAX: Final = 9_500
"""Longer texts of hooks are cut by the harnesses (at 10,000 characters)."""
_ORDER: Final = (PageType.CONSTRAINT, PageType.PLAN, PageType.BOOTSTRAP)


def restored(journal: Journal, session: Session, harness: Harness) -> str:
    """The text; empty where the session has no page that would be lost."""
    vault = journal.log.vault(session.session_id, journal.seed)
    pages = sorted(_wanted(vault, session, harness), key=_rank)
    line = directory(len(session.state.pages))
    left, parts = CHARS_MAX - len(line), []
    for page in pages:
        part = next((text for text in _levels(vault, page) if len(text) <= left), "")
        parts.append(part)
        left -= len(part)
    return "".join([*parts, line])


def _wanted(vault: Vault, session: Session, harness: Harness) -> Iterator[Page]:
    for page in session.state.pages.values():
        if page.retired or page.gone or page.away:
            continue
        pinned = page.pin is not PAGE_TYPES[page.page_type].pin
        stated = page.page_type in _ORDER and not _has_itself(vault, page, harness)
        if pinned or (stated and page.active):
            yield page


def _has_itself(vault: Vault, page: Page, harness: Harness) -> bool:
    """Tell whether a page of rules is one that the harness puts into its context on its own."""
    if page.author is Author.HARNESS and page.origin.kind in (OriginKind.TRANSCRIPT, OriginKind.FILE):
        return True
    source = _text(vault, page.source)
    return any(harness.restores(word) for word in source.split(" "))


def _rank(page: Page) -> tuple[int, int]:
    kinds = len(_ORDER)
    return (_ORDER.index(page.page_type) if page.page_type in _ORDER else kinds, page.number)


def _levels(vault: Vault, page: Page) -> Iterator[str]:
    """The page inside its mark, from its full text down to its lowest level."""
    for rank in range(FULL, ABSENT, -1):
        text = _text(vault, page.bodies[rank])
        if text.strip():
            yield marked(page.page_id, 1, len(text.splitlines()), text)


def _text(vault: Vault, commitment: str | None) -> str:
    body = vault.open(commitment) if commitment else None
    return decode(body) if body is not None else ""
