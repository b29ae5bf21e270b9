"""Titles: the subject of a session or page on one line, so that an id never stands alone.

The title of a page is its source (a path, or a tool and its arguments), else the first line of its text. Credentials
of known forms are replaced by their kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.engine.titles import TITLE_CHARS, folder_of
from clawvm_es.engine.titles import title_of as session_title
from clawvm_es.journal.lineage import Line, lineage
from clawvm_es.journal.ports import EventLog, Vault, snapshots_of
from clawvm_es.journal.snapshots import load, newest_pages
from clawvm_es.journal.snapshots.reader import Reader
from clawvm_es.model.events import Event, PageWritten
from clawvm_es.model.pages import FULL
from clawvm_es.observe.edge import decode
from clawvm_es.projections import Snapshot
from clawvm_es.projections.tables import PAGE_TABLE
from clawvm_es.representations.secrets import hide

_READ_CHARS = 1_000
"""Characters of a text that its first line is looked for in."""
_ONE_BY_ONE = 100
"""Titles of one session after which the next look reads those of all its pages."""


def title_of(log: EventLog, session_id: str) -> str | None:
    """The first line of a session's first user prompt; None if there is none, or it was erased."""
    found = session_title(log, session_id)
    return None if found == session_id else found


def page_title(vault: Vault, written: PageWritten, folder: str | None = None) -> str | None:
    """The title of a page, from the event that wrote it; None if its source and text were erased.

    Paths below the `folder` are given relative to it.
    """
    for commitment in (written.source, written.levels[0].body if written.levels else None):
        if words := _words(vault.open(commitment) if commitment else None, folder):
            return words
    return None


def _words(body: bytes | None, folder: str | None = None) -> str | None:
    """The first line of a text that is not blank, with runs of blanks collapsed; None if there is none."""
    if body is None:
        return None
    lines = hide(decode(body)[:_READ_CHARS])[0].strip().splitlines()
    words = " ".join(next(iter(lines), "").split())
    if folder and len(folder) > 1:
        words = words.replace(f"{folder.rstrip('/')}/", "")
    return None if not words else words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"


@attrs.define
class Titles:
    """The titles of pages, each looked up once.

    Look up titles that are needed together with `load`: it reads them in a few queries, even in a long session.
    """

    log: EventLog
    _pages: dict[str, dict[str, str | None]] = attrs.field(factory=dict)
    _newest: dict[str, tuple[Mapping[str, Page], Mapping[str, PageWritten]]] = attrs.field(factory=dict)
    _folders: dict[str, str | None] = attrs.field(factory=dict)

    def of(self, session_id: str, page_id: str | None) -> str | None:
        """The title of a page of a session, by its newest content."""
        if page_id is None:
            return None
        if page_id not in self._pages.get(session_id, {}):
            known = len(self._pages.get(session_id, {}))
            self.load(session_id, [page_id] if known < _ONE_BY_ONE else [page_id, *self._all(session_id)])
        return self._pages[session_id][page_id]

    def load(self, session_id: str, page_ids: Iterable[str | None]) -> None:
        """Look up the titles of some pages of a session."""
        known = self._pages.setdefault(session_id, {})
        new = [page_id for page_id in dict.fromkeys(page_ids) if page_id is not None and page_id not in known]
        if not new:
            return
        pages, written = self._pages_of(session_id)
        load(pages, [page_id for page_id in new if page_id not in written])
        known.update(dict.fromkeys(new))
        named: dict[str, tuple[str | None, str | None]] = {}
        for page_id in new:
            if page_id in written:
                named[page_id] = _named(written[page_id])
            elif page_id in pages:
                named[page_id] = pages[page_id].source, pages[page_id].bodies[FULL]
        self.put(session_id, named)

    def put(self, session_id: str, pages: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Look up the titles of pages by the commitments to their sources and full texts."""
        self._pages.setdefault(session_id, {}).update(self._read(session_id, pages))

    def _read(self, session_id: str, pages: Mapping[str, tuple[str | None, str | None]]) -> dict[str, str | None]:
        vault, folder = self.log.vault(session_id), self._folder(session_id)
        sources = vault.open_all([source for source, _ in pages.values() if source])
        found = {page_id: _words(sources.get(source or ""), folder) for page_id, (source, _) in pages.items()}
        rest = {page_id: body for page_id, (_, body) in pages.items() if body and not found[page_id]}
        bodies = vault.open_all(list(rest.values()))
        found.update({page_id: _words(bodies.get(body), folder) for page_id, body in rest.items()})
        return found

    def read_from(self, session_id: str, state: State) -> None:
        """Use an existing state as the session's end; pages outside it get no title."""
        self._newest[session_id] = state.pages, {}

    def _folder(self, session_id: str) -> str | None:
        if session_id not in self._folders:
            self._folders[session_id] = folder_of(self.log, session_id)
        return self._folders[session_id]

    def _pages_of(self, session_id: str) -> tuple[Mapping[str, Page], Mapping[str, PageWritten]]:
        """The session's pages at its end, see `newest_pages`; they are read when they are looked at."""
        if session_id not in self._newest:
            self._newest[session_id] = newest_pages(self.log, session_id)
        return self._newest[session_id]

    def _all(self, session_id: str) -> dict[str, None]:
        pages, written = self._pages_of(session_id)
        return dict.fromkeys([*pages, *written])

    def written(self, session_id: str, versions: Mapping[str, int]) -> dict[str, str | None]:
        """The titles of pages by the versions of the events that wrote them (0: none); reads those events only."""
        known = self._pages.get(session_id, {})
        events = _events(self.log, session_id, sorted({version for version in versions.values() if version}))
        pages: dict[str, tuple[str | None, str | None]] = {}
        for page_id, version in versions.items():
            data = events.get(version)
            if isinstance(data, PageWritten):
                pages[page_id] = _named(data)
        return {page_id: known.get(page_id) for page_id in versions} | self._read(session_id, pages)

    def in_models(self, view: Snapshot, session_id: str, page_ids: Iterable[str]) -> dict[str, str | None]:
        """The titles of some pages of a session, found by its page table."""
        wanted = set(page_ids)
        rows = view.rows(PAGE_TABLE, session_id) if wanted else []
        return self.written(session_id, {row.page_id: row.written_version for row in rows if row.page_id in wanted})


def _named(written: PageWritten) -> tuple[str | None, str | None]:
    """The commitments to a page's source and full text."""
    return written.source, written.levels[0].body if written.levels else None


def _events(log: EventLog, session_id: str, versions: Sequence[int]) -> Mapping[int, Event]:
    """The events of a session at some versions, in a few queries where the log has them."""
    store = snapshots_of(log)
    if store is None:
        line = Line(log, session_id)
        return {version: line.at(version).data for version in versions}
    return Reader(store, lineage(log, session_id)).events_at(versions)
