"""Documents of events: the log itself, and one event or page in full."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clawvm_es.engine.titles import opened_text
from clawvm_es.errors import UsageError
from clawvm_es.history.origins import tool_name
from clawvm_es.journal.codec import COMMITMENT_FIELDS
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import EVENT_TYPES, UNKNOWN_TOOL, ContentRedacted, ToolCalled
from clawvm_es.views.held import page
from clawvm_es.views.reading import number_of, time_of, versions_at
from clawvm_es.views.titles import Titles


def event(row: Recorded, titles: Titles | None = None) -> dict[str, Any]:
    """One event: its envelope and its data as stored; with `titles` also the title of the page that it names."""
    data = json.loads(row.raw)
    found = {
        "seq": row.seq,
        "session_id": row.session_id,
        "version": row.version,
        "turn": row.turn,
        "kind": row.kind,
        "type": row.type,
        "schema_version": row.schema_version,
        "at": row.at_us,
        "time": time_of(row.at_us),
        "principal": row.principal,
        "cause": row.cause,
        "idempotency_key": row.idempotency_key,
        "data": data,
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }
    if titles is not None and isinstance(data.get("page_id"), str):
        found["title"] = titles.of(row.session_id, data["page_id"])
    return found


def events(
    log: EventLog,
    session_id: str | None = None,
    *,
    version: int | None = None,
    turn: int | None = None,
    types: Sequence[str] = (),
    kind: str | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The events of a session (up to a version, or of one turn) or of all sessions; only the last `limit` of them."""
    for name in types:
        if name not in EVENT_TYPES:
            raise UsageError(f"unknown event type {name!r}", hint=f"one of {', '.join(sorted(EVENT_TYPES))}")
    if session_id is None:
        found = log.read_all()
    else:
        found = read_session(log, session_id, *versions_at(log, session_id, version, turn))
    rows = (row for row in found if (not types or row.type in types) and kind in (None, row.kind))
    titles = Titles(log)
    return (_named(log, row, titles) for row in (rows if limit is None else deque(rows, maxlen=limit)))


def _named(log: EventLog, row: Recorded, titles: Titles) -> dict[str, Any]:
    """An event with the title of its page, and the name of an undeclared tool."""
    found = event(row, titles)
    if isinstance(row.data, ToolCalled) and row.data.tool == UNKNOWN_TOOL:
        vault = log.vault(row.session_id)
        found["tool"] = tool_name(row.data, lambda commitment: opened_text(vault, commitment))
    return found


def log(source: EventLog, session_id: str | None = None, **wanted: Any) -> dict[str, Any]:
    """The events of a log, oldest first; arguments as `events` has them."""
    return {"events": list(events(source, session_id, **wanted))}


def show(
    log: EventLog, session_id: str, what: str, *, version: int | None = None, turn: int | None = None
) -> dict[str, Any]:
    """One event (by its version) or one page (by its id, at any place) in full, with the texts behind it."""
    number = number_of(what)
    if number is not None:
        return _event_in_full(log, session_id, number)
    if what.isdecimal():
        raise UsageError(f"session {session_id} has no version {what:.40}")
    return page(log, session_id, what, version=version, turn=turn)


def _event_in_full(log: EventLog, session_id: str, version: int) -> dict[str, Any]:
    row = event_at(log, session_id, version)
    found = event(row, Titles(log))
    return found | {"texts": texts(log, session_id, found["data"])}


def texts(log: EventLog, session_id: str, data: Any, path: str = "") -> dict[str, str | None]:
    """The texts behind all commitments in data, by their place in it; None for a sealed or erased text."""
    found: dict[str, str | None] = {}
    if isinstance(data, list):
        for place, item in enumerate(data):
            found |= texts(log, session_id, item, f"{path}[{place}]")
    elif isinstance(data, dict):
        for name, value in data.items():
            here = f"{path}.{name}" if path else name
            if name in COMMITMENT_FIELDS and isinstance(value, str) and len(value) == 64:
                found[here] = opened_text(log.vault(session_id), value)
            else:
                found |= texts(log, session_id, value, here)
    return found


def brief(found: Mapping[str, Any]) -> str:
    """The data of an event on one line, without commitments; a page has its title, an erasure its principal."""
    words = []
    data = found["data"]
    pages = {"page_id": data["page_id"]} if "page_id" in data else {}  # first, as it tells most
    for name, value in (pages | data).items():
        if isinstance(value, str) and len(value) == 64:
            continue
        if isinstance(value, list):
            plain = all(isinstance(item, int) or (isinstance(item, str) and len(item) < 64) for item in value)
            words.append(f"{name}={','.join(map(str, value))}" if plain else f"{name}×{len(value)}")
        elif name == "tool":
            words.append(f"tool={found.get('tool', value)}")
        elif not isinstance(value, dict):
            words.append(f"{name}={value}")
        if name == "page_id" and found.get("title"):
            words.append(f"“{found['title']}”")
    if found["type"] == ContentRedacted.TYPE:
        words.append(f"by={found['principal']}")
    return " ".join(words)
