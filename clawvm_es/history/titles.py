"""The title of a session: what its user asked first."""

from __future__ import annotations

from typing import Final

from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import SCOPE_PREFIX, PageWritten
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


def _title(text: str) -> str:
    """The first line of a text that is not empty, its blanks made one."""
    words = " ".join(next(iter(text.strip().splitlines()), "").split())
    return words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"
