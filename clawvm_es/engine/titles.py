"""The title of a session, what its user asked first, and the folder that it worked in."""

from __future__ import annotations

from typing import Final

from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.journal.ports import EventLog, Vault
from clawvm_es.model.events import SCOPE_PREFIX, PageWritten, SessionOpened
from clawvm_es.model.pages import Author, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.representations.secrets import hide

TITLE_CHARS: Final = 80
"""Longest title."""


def title_of(log: EventLog, session_id: str) -> str:
    """The first line of a session's first user prompt, cut to `TITLE_CHARS`; its id where no such text is there.

    A credential of a known form is shown as its kind.
    """
    if session_id.startswith(SCOPE_PREFIX):
        return session_id
    for row in read_session(log, session_id):
        data = row.data
        if isinstance(data, PageWritten) and (data.author, data.page_type) == (Author.USER, PageType.CONVERSATION):
            body = log.vault(session_id).open(data.levels[0].body)
            return session_id if body is None else _title(hide(decode(body))[0]) or session_id
    return session_id


def folder_of(log: EventLog, session_id: str) -> str | None:
    """The folder that a session's agent worked in; None where it is not known, or was erased."""
    for segment in lineage(log, session_id):
        first = log.first(segment.stream)
        if first is not None and isinstance(first.data, SessionOpened):
            return opened_text(log.vault(first.session_id), first.data.folder)
    return None


def opened_text(vault: Vault, commitment: str | None) -> str | None:
    """The text behind a commitment; None where there is none, or it was sealed or erased."""
    body = vault.open(commitment) if commitment else None
    return None if body is None else body.decode("utf-8", "surrogatepass")


def _title(text: str) -> str:
    """The first line of a text that is not empty, its blanks made one."""
    words = " ".join(next(iter(text.strip().splitlines()), "").split())
    return words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"
