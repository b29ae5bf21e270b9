"""Documents of an agent's memory at any place in the log: pages, the prompt, the durable store."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import attrs
import msgspec

from clawvm_es.engine.titles import opened_text
from clawvm_es.engine.updates import field_names
from clawvm_es.errors import UsageError, no_page
from clawvm_es.history.places import ShownPrompt, prompt_at
from clawvm_es.history.provenance import provenance as spans_of
from clawvm_es.journal.lineage import event_at, lineage, read_back, read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.journal.snapshots import state_at
from clawvm_es.model.events import ModelResponded, PageWritten, PromptAssembled
from clawvm_es.model.pages import PageType
from clawvm_es.projections.rows import FieldRow, PageRow, UpdateRow
from clawvm_es.projections.tables import DURABLE_STORE, PAGE_TABLE, UPDATES
from clawvm_es.representations.messages import Block
from clawvm_es.views.reading import models, timed, version_at, with_time
from clawvm_es.views.titles import Titles
from clawvm_es.views.words import layout

_OURS = frozenset(("marked_version", "left_version"))
"""Columns of a page that only say where to look for its events."""
_SHOWN = tuple(name for name in PAGE_TABLE.columns if name not in _OURS)
_cells = operator.attrgetter(*_SHOWN)
_FOLLOWING = 64
"""Events after an assembly among which its answer is looked for."""


def pages(
    log: EventLog,
    session_id: str,
    *,
    version: int | None = None,
    turn: int | None = None,
    resident: bool = False,
    page_type: str | None = None,
) -> dict[str, Any]:
    """The page table of a session: each page, its level in the prompt, its sizes, its use and its title."""
    if page_type is not None and page_type not in tuple(PageType):
        raise UsageError(f"unknown page type {page_type!r}", hint=f"one of {', '.join(PageType)}")
    titles = Titles(log)
    with models(log, session_id, version, turn) as view:
        rows = [
            row
            for row in view.rows(PAGE_TABLE, session_id)
            if (not resident or row.level != "absent") and page_type in (None, row.page_type)
        ]
    said = titles.written(session_id, {row.page_id: row.written_version for row in rows})
    found = [_page(row, said[row.page_id]) for row in rows]
    return {"session_id": session_id, "pages": found, "layout": _layout(log, session_id, version, turn)}


def _layout(log: EventLog, session_id: str, version: int | None, turn: int | None) -> str | None:
    """The epoch of the last prompt up to a place, in words; None if it has none."""
    head, upto = log.head(session_id), version_at(log, session_id, version, turn)
    last = (head.version if head else 0) if upto is None else upto
    for row in read_back(log, session_id, last):
        if isinstance(row.data, PromptAssembled):
            return layout(row.data) or None
    return None


def _page(row: PageRow, title: str | None) -> dict[str, Any]:
    return dict(zip(_SHOWN, _cells(row), strict=True)) | {"levels": msgspec.json.decode(row.levels), "title": title}


def require_pages(log: EventLog, session_id: str, page_ids: Iterable[str]) -> None:
    """Raise `UsageError` for the first page that a session never had."""
    wanted = tuple(page_ids)
    if not wanted:
        return
    with models(log, session_id) as view:
        known = {row.page_id for row in view.rows(PAGE_TABLE, session_id)}
    for page_id in wanted:
        if page_id not in known:
            raise no_page(session_id, page_id)


def page(
    log: EventLog, session_id: str, page_id: str, *, version: int | None = None, turn: int | None = None
) -> dict[str, Any]:
    """One page at a place, with its source and its text at each kept level; None for an erased text."""
    with models(log, session_id, version, turn) as view:
        row = next((row for row in view.rows(PAGE_TABLE, session_id) if row.page_id == page_id), None)
    if row is None:
        raise no_page(session_id, page_id, " there")
    data = event_at(log, session_id, row.written_version).data if row.written_version else None
    vault, by_level, source = log.vault(session_id), dict[str, str | None](), None
    if isinstance(data, PageWritten):
        by_level = {level.level.value: opened_text(vault, level.body) for level in data.levels}
        source = opened_text(vault, data.source)
    title = Titles(log).written(session_id, {page_id: row.written_version})[page_id]
    return _page(row, title) | {"source_text": source, "texts": by_level}


# ----------------------------------------------------------------------------------------- the prompt


def prompt(
    log: EventLog,
    session_id: str,
    *,
    version: int | None = None,
    turn: int | None = None,
    outline: bool = False,
) -> dict[str, Any]:
    """The prompt of a turn, byte for byte as rendered, and its pieces; an outline has no text."""
    shown = prompt_at(log, session_id, version_at(log, session_id, version, turn))
    titles = Titles(log)
    titles.load(session_id, (each.page_id for each in shown.pieces))
    pieces = [
        {
            "page_id": each.page_id,
            "level": each.level,
            "chars": len(each.text),
            "title": titles.of(session_id, each.page_id),
        }
        | _said(each.block)
        for each in shown.pieces
    ]
    found = _assembled(log, shown) | {"uncached_tokens": shown.assembled.uncached_tokens, "pieces": pieces}
    return found if outline else found | {"text": shown.text}


def _said(block: Block | None) -> dict[str, Any]:
    """The speaker of a piece of a prompt of messages, its exchange, and its call."""
    if block is None:
        return {}
    return {"role": block.role, "kind": block.kind, "group": block.group, "call_id": block.call_id}


def provenance(
    log: EventLog, session_id: str, *, version: int | None = None, turn: int | None = None
) -> dict[str, Any]:
    """Return the origin of each span of a turn's prompt."""
    shown, spans = spans_of(log, session_id, version_at(log, session_id, version, turn))
    told = timed([attrs.asdict(span, filter=lambda field, _: field.name != "text") for span in spans])
    return _assembled(log, shown) | {"spans": told}


def _assembled(log: EventLog, shown: ShownPrompt) -> dict[str, Any]:
    following = read_session(log, shown.session_id, shown.version, shown.version + _FOLLOWING)
    answers = (row.data for row in following if row.turn == shown.turn and isinstance(row.data, ModelResponded))
    return {
        "policy": shown.policy,
        "provider_tokens": next((answer.input_tokens for answer in answers if answer.input_tokens), None),
        "session_id": shown.session_id,
        "turn": shown.turn,
        "version": shown.version,
        "tokens": shown.assembled.tokens,
        "budget_tokens": shown.assembled.budget_tokens,
        "matches_commitment": shown.matches,
    }


# ---------------------------------------------------------------------------------- the durable store


def store(
    log: EventLog,
    session_id: str | None = None,
    *,
    version: int | None = None,
    turn: int | None = None,
    field: str | None = None,
    history: bool = False,
    updates: bool = False,
) -> dict[str, Any]:
    """The durable store: the last version of each field (with `history` all versions), or all proposed updates."""
    if updates:
        return {"updates": _with_texts(log, _updates(log, session_id, version, turn), field)}
    rows = _fields(log, session_id, version, turn)
    return {"fields": _with_texts(log, rows if history else _last(rows), field)}


def _fields(log: EventLog, session_id: str | None, version: int | None, turn: int | None) -> list[FieldRow]:
    """The committed versions of fields, up to a place in a session if given; committed versions never change."""
    with models(log) as view:
        if session_id is None:
            return view.rows(DURABLE_STORE)
        upto = version_at(log, session_id, version, turn)
        return [row for row in view.fields(session_id) if upto is None or row.version <= upto]


def _updates(log: EventLog, session_id: str | None, version: int | None, turn: int | None) -> list[UpdateRow]:
    """The proposed updates at a place; the present rows, if no update had an outcome since, as is usual."""
    upto = None if session_id is None else version_at(log, session_id, version, turn)
    if session_id is not None and upto is not None and len(lineage(log, session_id)) == 1:
        with models(log) as view:
            rows = [row for row in view.rows(UPDATES, session_id) if row.first_version <= upto]
        if all(row.changed_version <= upto for row in rows):
            return rows
    with models(log, session_id, version, turn) as view:
        return view.rows(UPDATES, session_id)


def _last(rows: list[FieldRow]) -> list[FieldRow]:
    """The last version of each field; fields of a shared scope belong to no single session."""
    last = {(row.scope if row.scope != "session" else row.session_id, row.field): row for row in rows}
    return sorted(last.values(), key=lambda row: row.seq)


def _with_texts(log: EventLog, rows: Sequence[FieldRow | UpdateRow], field: str | None) -> list[dict[str, Any]]:
    """Rows (of one field, if given) with the texts of their values; None for an erased text."""
    found = []
    names: dict[str, dict[str, str]] = {}
    for row in rows:
        known = row.field
        if "#" in known and row.session_id not in names:
            vault = log.vault(row.session_id)
            names[row.session_id] = field_names(state_at(log, row.session_id), partial(opened_text, vault))
        named = names.get(row.session_id, {}).get(known, known)
        if field not in (None, known, named):
            continue
        told = attrs.asdict(row) | {"field": named, "text": opened_text(log.vault(row.session_id), row.value)}
        if isinstance(row, FieldRow):
            told = with_time(told)
        found.append(told)
    return found
