"""Read what an earlier proxy recorded of a conversation, so that a new one goes on with the same bytes.

LAW-PROXY-6: a proxy that is restarted replaces the results that it replaced before, by the same texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import count

import attrs

from clawvm_es.engine.journal import Journal
from clawvm_es.integrations.proxy.wire import result_key
from clawvm_es.model import events as e
from clawvm_es.model.pages import PageType
from clawvm_es.observe.edge import decode


@attrs.frozen
class Remembered:
    """The places of results by their keys, and the keys of those that stubs replaced in the end."""

    pages: Mapping[str, str] = attrs.field(factory=dict)
    out: frozenset[str] = frozenset()


def names(session: str) -> Iterator[str]:
    """The names of a conversation's sessions, the oldest first: a proxy that is restarted begins another one."""
    yield session
    yield from (f"{session}#{number}" for number in count(2))


def remembered(path: str, session: str) -> Remembered:
    """Read what the journal at a path holds of a conversation. Raises `ClawVMError`."""
    pages: dict[str, str] = {}
    out: frozenset[str] = frozenset()
    if "://" not in path and not os.path.exists(path):
        return Remembered()
    with Journal.open(path, read_only=True, wait_s=0.5) as journal:
        for name in names(session):
            if journal.opened(name) is None:
                return Remembered(pages, out)
            keys, away = _results(journal, name)
            for page, key in keys.items():
                pages.setdefault(key, f"{name}/{page}")
            out = frozenset(key for page, key in keys.items() if page in away)
    raise AssertionError


def _results(journal: Journal, session: str) -> tuple[Mapping[str, str], set[str]]:
    """The keys of results by their pages, and the pages that are out of the context."""
    vault = journal.log.vault(session)
    calls: dict[int, str] = {}
    texts: dict[int, str] = {}
    keys: dict[str, str] = {}
    away: set[str] = set()

    def text(commitment: str | None) -> str:
        return decode(vault.open(commitment) or b"") if commitment else ""

    for row in journal.log.read(session):
        data = row.data
        if isinstance(data, e.ToolCalled):
            calls[data.call] = text(data.call_id)
        elif isinstance(data, e.ToolReturned):
            texts[data.call] = text(data.result)
        elif isinstance(data, e.PageWritten) and data.page_type is PageType.EVIDENCE:
            call = data.origin.call
            if call is not None and calls.get(call) and call in texts:
                keys.setdefault(data.page_id, result_key(calls[call], texts[call]))
        elif isinstance(data, e.BoundaryReached):
            away = (away | {*data.left}) - {*data.returned}
    return keys, away
