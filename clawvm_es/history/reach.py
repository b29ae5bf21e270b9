"""The reach of an erasure: what goes together with what is asked for, and which streams have to say so.

The full text of a page, the result of the call that it shows, and whatever was asked for are *sources*: with one of
them goes every level built from it, unless a page that stays has the very same level, and the salts of all prompts
that showed it. Sources are followed to equal texts in the shared scopes of their session, and, if asked, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import (
    SCOPE_PREFIX,
    PageWritten,
    PromptRendered,
    ScopeSynced,
    SessionOpened,
    ToolReturned,
)


@attrs.frozen
class Content:
    """One content of a page: its sources (the full text, the result that it shows) and the levels built from them."""

    sources: tuple[str, ...]
    levels: tuple[str, ...]


@attrs.define
class Named:
    """Commitments in one session's events (a shared scope's: its own)."""

    session_id: str
    names: dict[str, None] = attrs.field(factory=dict)  # every commitment that an input names, in order
    contents: list[Content] = attrs.field(factory=list)
    scopes: dict[str, None] = attrs.field(factory=dict)


class Reach:
    """Grows what is asked for to what has to be erased; `erased` are the commitments, `elsewhere` other holders."""

    def __init__(self, log: EventLog, everywhere: bool) -> None:
        self._log = log
        self._everywhere = everywhere
        self._sessions: dict[str, Named] = {}
        self._lineages: dict[str, tuple[str, ...]] = {}
        self._owners: dict[str, str] = {}  # commitment → the stream that it belongs to
        self._sources: dict[str, None] = {}
        self.erased: dict[str, None] = {}
        self.elsewhere: dict[str, None] = {}

    def ids(self) -> tuple[str, ...]:
        """All sessions of the log."""
        ids = (head.session_id for head in self._log.heads())
        return tuple(session_id for session_id in ids if not session_id.startswith(SCOPE_PREFIX))

    def session(self, session_id: str) -> Named:
        """Return what a session's events say of commitments, read at first use."""
        found = self._sessions.get(session_id)
        if found is None:
            found = self._sessions[session_id] = _read(self._log, session_id)
        return found

    def grow(self, asked: Iterable[str]) -> None:
        """Add what is asked for and everything that has to go with it."""
        waiting = list(asked)
        while new := [name for name in dict.fromkeys(waiting) if name not in self._sources and self._stored(name)]:
            self._sources.update(dict.fromkeys(new))
            waiting = [other for name in new for other in self._same_text(name)]
            waiting += [source for content in self._contents() if self._goes(content) for source in content.sources]
        self.erased.update(self._sources)
        kept = {name for content in self._contents() if not self._goes(content) for name in content.levels}
        built = (name for content in self._contents() if self._goes(content) for name in content.levels)
        self._erase(name for name in built if name not in kept)
        self._erase(name for session in self.reached() for name in self._prompts(session.session_id))
        holders = (holder for name in self._sources for holder in self._log.holders(name))
        self.elsewhere = dict.fromkeys(owner for owner, other in holders if other not in self.erased)

    def _goes(self, content: Content) -> bool:
        """Tell whether a content is erased: a source of it is, or one of its levels was asked for."""
        return touches(content.sources, self._sources) or touches(content.levels, self._sources)

    def _contents(self) -> Iterator[Content]:
        return (content for session in self.reached() for content in session.contents)

    def _erase(self, names: Iterable[str]) -> None:
        self.erased.update((name, None) for name in names if self._stored(name))

    def _stored(self, name: str) -> bool:
        """Tell whether anything is stored for a commitment (still); notes whose it is."""
        if name not in self._owners:
            owner = next((session_id for session_id, other in self._log.holders(name) if other == name), None)
            if owner is None:
                return False
            self._owners[name] = owner
        return True

    def _same_text(self, name: str) -> Iterator[str]:
        """Other commitments to the same text: of shared scopes that its owner belongs to, or of all."""
        for owner, other in self._log.holders(name):
            if self._everywhere or owner in self.session(self._owners[name]).scopes:
                yield other

    def reached(self) -> list[Named]:
        """The sessions and scopes whose fold may reach an erased commitment."""
        owners = dict.fromkeys(self._owners[name] for name in (*self._sources, *self.erased))
        streams = [head.session_id for head in self._log.heads()]
        return [self.session(each) for each in streams if touches(self._lineage(each), owners)]

    def _lineage(self, session_id: str) -> tuple[str, ...]:
        known = self._lineages.get(session_id)
        if known is None:
            known = tuple(segment.stream for segment in lineage(self._log, session_id))
            self._lineages[session_id] = known
        return known

    def _prompts(self, session_id: str) -> Iterator[str]:
        """The sealed commitments to prompts that showed an erased text: with their salts it could be guessed.

        A page shows the text of its level and its source line.
        """
        if session_id.startswith(SCOPE_PREFIX):
            return
        state = State()
        shown: dict[str, None] = {}  # pages that now hold an erased text
        for row in read_session(self._log, session_id):
            data = row.data
            apply(state, data)
            if isinstance(data, PageWritten):
                shown.pop(data.page_id, None)
                if data.source in self.erased or touches((level.body for level in data.levels), self.erased):
                    shown[data.page_id] = None
            elif isinstance(data, PromptRendered) and touches(shown, state.assembled):
                yield data.prompt

    def texts(self) -> Iterator[tuple[str, int]]:
        """Of every erased commitment whose text is there: the stream that it belongs to, and the text's bytes."""
        for name in self.erased:
            stored = self._log.stored(name)
            if stored is not None and stored[1] is not None:
                yield self._owners[name], len(stored[1])

    def bodies(self) -> Iterator[bytes]:
        """The bodies that nothing would stand for any more, each once."""
        seen: dict[str, None] = {}
        for name in self.erased:
            holders = [other for _, other in self._log.holders(name)]
            stored = self._log.stored(name)
            if (
                name not in seen
                and stored
                and stored[1] is not None
                and all(other in self.erased for other in holders)
            ):
                yield stored[1]
            seen.update(dict.fromkeys(holders))


def touches(names: Iterable[str], among: Mapping[str, object]) -> bool:
    """Tell whether any of the names is among others."""
    return any(name in among for name in names)


def _read(log: EventLog, session_id: str) -> Named:
    named = Named(session_id)
    results: dict[int, str] = {}
    for row in read_session(log, session_id):
        data = row.data
        if row.kind == "input":
            named.names.update(dict.fromkeys(named_commitments(row.raw)))
        if isinstance(data, ToolReturned) and data.result is not None:
            results[data.call] = data.result
        elif isinstance(data, PageWritten):
            full, *lower = (level.body for level in data.levels)
            result = results.get(data.origin.call) if data.origin.call is not None else None
            named.contents.append(Content((full,) if result is None else (full, result), tuple(lower)))
        elif isinstance(data, SessionOpened) and data.project is not None:
            named.scopes[data.project] = None
        elif isinstance(data, ScopeSynced):
            named.scopes[data.scope] = None
    return named
