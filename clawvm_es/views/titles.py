"""Titles: what a session or a page is about, on one line, so that an id never stands alone.

The title of a page is its source (a path, a tool and its arguments), else the first line of its text; credentials of
known forms are shown as their kind.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from clawvm_es.history.titles import TITLE_CHARS
from clawvm_es.history.titles import title_of as session_title
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import EventLog, Vault
from clawvm_es.model.events import PageWritten
from clawvm_es.observe.edge import decode
from clawvm_es.projections import Snapshot
from clawvm_es.projections.tables import PAGE_TABLE
from clawvm_es.representations.secrets import hide

_READ_CHARS = 1_000
"""Characters of a text that its first line is looked for in."""


def title_of(log: EventLog, session_id: str) -> str | None:
    """The first line of a session's first user prompt; None where there is none, or it was erased."""
    found = session_title(log, session_id)
    return None if found == session_id else found


def opened_text(vault: Vault, commitment: str | None) -> str | None:
    """The text behind a commitment; None where there is none, or it was sealed or erased."""
    body = vault.open(commitment) if commitment else None
    return None if body is None else body.decode("utf-8", "surrogatepass")


def page_title(vault: Vault, written: PageWritten) -> str | None:
    """The title of a page by the event that wrote it; None where its source and text were erased."""
    for commitment in (written.source, written.levels[0].body if written.levels else None):
        body = vault.open(commitment) if commitment else None
        if body is None:
            continue
        lines = hide(decode(body)[:_READ_CHARS])[0].strip().splitlines()
        if words := " ".join(next(iter(lines), "").split()):
            return words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"
    return None


@attrs.define
class Titles:
    """The titles of pages, each looked up once."""

    log: EventLog
    _pages: dict[str, dict[str, str | None]] = attrs.field(factory=dict)

    def of(self, session_id: str, page_id: str | None) -> str | None:
        """The title of a page of a session; reads that session once, at its first page."""
        if page_id is None:
            return None
        if session_id not in self._pages:
            written = {
                row.data.page_id: row.data
                for row in read_session(self.log, session_id)
                if row.type == PageWritten.TYPE and isinstance(row.data, PageWritten)
            }
            vault = self.log.vault(session_id)
            self._pages[session_id] = {page: page_title(vault, data) for page, data in written.items()}
        return self._pages[session_id].get(page_id)

    def written(self, session_id: str, page_id: str, version: int) -> str | None:
        """The title of a page that the event `version` wrote; reads that event only."""
        data = event_at(self.log, session_id, version).data if version else None
        if not isinstance(data, PageWritten):
            return self._pages.get(session_id, {}).get(page_id)
        return page_title(self.log.vault(session_id), data)

    def in_models(self, view: Snapshot, session_id: str, page_ids: Iterable[str]) -> dict[str, str | None]:
        """The titles of some pages of a session, found by its page table."""
        wanted = set(page_ids)
        rows = view.rows(PAGE_TABLE, session_id) if wanted else []
        return {
            row.page_id: self.written(session_id, row.page_id, row.written_version)
            for row in rows
            if row.page_id in wanted
        }
