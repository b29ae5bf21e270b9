"""The title of a session (the user's first prompt), and the folder in which it worked."""

from __future__ import annotations

from typing import Final

import attrs

from clawvm_es.journal.lineage import Fork, descends_from_itself, fork_of, has_no_events
from clawvm_es.journal.ports import EventLog, Recorded, Vault
from clawvm_es.model.events import SCOPE_PREFIX, PageWritten, SessionOpened
from clawvm_es.model.pages import Author, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.representations.secrets import hide

TITLE_CHARS: Final = 80
"""Longest title."""


@attrs.frozen
class Opening:
    """First events of a session, its own or its parents': the opening event, and the user's first prompt."""

    opened: SessionOpened | None
    by: str
    """The stream of `opened`."""
    asked: Recorded | None


@attrs.define
class Openings:
    """Titles and folders of the sessions of one log; what forks inherit is looked up once."""

    log: EventLog
    _known: dict[str, Opening] = attrs.field(factory=dict)

    def title(self, session_id: str) -> str:
        """The first line of a session's first user prompt, cut to `TITLE_CHARS`; its id if there is no such text.

        A credential of a known form is replaced by its kind.
        """
        asked = None if session_id.startswith(SCOPE_PREFIX) else self._of(session_id).asked
        if asked is None:
            return session_id
        assert isinstance(asked.data, PageWritten)
        body = self.log.vault(session_id).open(asked.data.levels[0].body)
        return session_id if body is None else _title(hide(decode(body))[0]) or session_id

    def folder(self, session_id: str) -> str | None:
        """The folder in which a session's agent worked; None if unknown or erased."""
        found = self._of(session_id)
        return None if found.opened is None else opened_text(self.log.vault(found.by), found.opened.folder)

    def _of(self, session_id: str) -> Opening:
        line: dict[str, tuple[Recorded, Fork | None]] = {}
        stream = session_id
        while stream not in self._known:
            first = self.log.first(stream)
            if first is None and stream == session_id:
                return Opening(None, stream, None)
            if first is None:
                raise has_no_events(session_id, stream)
            fork = fork_of(stream, first)
            line[stream] = first, fork
            if fork is None:
                break
            if fork.parent in line:
                raise descends_from_itself(session_id, fork.parent)
            stream = fork.parent
        for stream, (first, fork) in reversed(line.items()):
            self._known[stream] = self._begun(stream, first, fork)
        return self._known[session_id]

    def _begun(self, stream: str, first: Recorded, fork: Fork | None) -> Opening:
        """The opening of a stream whose parent's is known."""
        if fork is None:
            opened = first.data if isinstance(first.data, SessionOpened) else None
            return Opening(opened, stream, self._asked(stream))
        parent = self._known[fork.parent]
        inherits = parent.asked is not None and parent.asked.version <= fork.version
        return attrs.evolve(parent, asked=parent.asked if inherits else self._asked(stream))

    def _asked(self, stream: str) -> Recorded | None:
        """The first text of a user in a stream's own events."""
        for row in self.log.read(stream):
            data = row.data
            if isinstance(data, PageWritten) and (data.author, data.page_type) == (
                Author.USER,
                PageType.CONVERSATION,
            ):
                return row
        return None


def title_of(log: EventLog, session_id: str) -> str:
    """The title of one session; see `Openings`."""
    return Openings(log).title(session_id)


def folder_of(log: EventLog, session_id: str) -> str | None:
    """The folder of one session; see `Openings`."""
    return Openings(log).folder(session_id)


def opened_text(vault: Vault, commitment: str | None) -> str | None:
    """The text behind a commitment; None if there is no commitment, or the text was sealed or erased."""
    body = vault.open(commitment) if commitment else None
    return None if body is None else body.decode("utf-8", "surrogatepass")


def _title(text: str) -> str:
    """The first line of a text that is not blank, with runs of blanks collapsed."""
    words = " ".join(next(iter(text.strip().splitlines()), "").split())
    return words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"
