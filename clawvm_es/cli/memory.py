"""The reading verbs over what an agent holds: `pages`, `prompt` and `store`, at any place of the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import journal_argument, json_option, place_options, session_option

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog
    from clawvm_es.projections.rows import FieldRow, UpdateRow


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--resident", is_flag=True, help="Only pages that stand in the prompt.")
@click.option("--type", "page_type", metavar="TYPE", help="Only pages of this type.")
@json_option
def pages(
    journal: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    resident: bool,
    page_type: str | None,
    as_json: bool,
) -> None:
    """Print the page table: each page, its level in the prompt, its sizes and its use.

    \b
    Example:
      clawvm pages j.db --turn 40 --resident
    """
    from clawvm_es.cli.options import chosen, models, opened
    from clawvm_es.cli.output import document, emit, table
    from clawvm_es.errors import UsageError
    from clawvm_es.model.pages import PageType
    from clawvm_es.projections.tables import PAGE_TABLE

    if page_type is not None and page_type not in tuple(PageType):
        raise UsageError(f"unknown page type {page_type!r}", hint=f"one of {', '.join(PageType)}")
    with opened(journal) as log:
        session_id = chosen(log, session)
        with models(log, session_id, version, turn) as view:
            rows = [
                row
                for row in view.rows(PAGE_TABLE, session_id)
                if (not resident or row.level != "absent") and page_type in (None, row.page_type)
            ]
    headers = ("page", "type", "level", "tokens", "full", "pin", "dirty", "status", "written", "used", "hits",
               "page-ins", "origin", "levels")  # fmt: skip
    cells = (
        (
            r.page_id, r.page_type, r.level, r.tokens, r.full_tokens, r.pin, r.dirty, r.status, r.written_turn,
            r.last_used_turn, r.hits, r.page_ins, r.origin, _levels_text(r.levels),
        )
        for r in rows
    )  # fmt: skip
    found = [document(row) | {"levels": json.loads(row.levels)} for row in rows]
    emit({"journal": journal, "session_id": session_id, "pages": found}, table(cells, headers), as_json)


def _levels_text(levels: str) -> str:
    return " ".join(f"{level}:{tokens}" for level, tokens in json.loads(levels).items())


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--outline", is_flag=True, help="The prompt's pages and sizes in order, without their texts.")
@click.option("--provenance", "where_from", is_flag=True, help="Where each span of the prompt came from.")
@json_option
def prompt(
    journal: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    outline: bool,
    where_from: bool,
    as_json: bool,
) -> None:
    """Print the prompt of a turn, byte for byte as it was rendered.

    \b
    Example:
      clawvm prompt j.db --turn 40
      clawvm prompt j.db --turn 40 --outline
      clawvm prompt j.db --turn 40 --provenance
    """
    from clawvm_es.cli.options import chosen, opened, version_at
    from clawvm_es.cli.output import emit_document, emit_json, emit_lines, table
    from clawvm_es.history import prompt_at

    with opened(journal) as log:
        session_id = chosen(log, session)
        place = version_at(log, session_id, version, turn)
        if where_from:
            from clawvm_es.cli.provenance import print_provenance

            print_provenance(journal, log, session_id, place, as_json)
            return
        shown = prompt_at(log, session_id, place)
    pieces = [{"page_id": p.page_id, "level": p.level, "chars": len(p.text)} for p in shown.pieces]
    document: dict[str, Any] = {
        "journal": journal,
        "session_id": session_id,
        "turn": shown.turn,
        "version": shown.version,
        "tokens": shown.assembled.tokens,
        "budget_tokens": shown.assembled.budget_tokens,
        "uncached_tokens": shown.assembled.uncached_tokens,
        "matches_commitment": shown.matches,
        "pieces": pieces,
    }
    if as_json:
        emit_json(document if outline else document | {"text": shown.text})
    elif outline:
        cells = [(p["page_id"] or "(directory)", p["level"], p["chars"]) for p in pieces]
        lines = table(cells, ("page", "level", "characters"))
        summary = f"turn {shown.turn}: {shown.assembled.tokens} of {shown.assembled.budget_tokens} tokens"
        emit_lines([*lines, summary])
    else:
        emit_document([shown.text.encode("utf-8", "surrogatepass")])


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--field", metavar="NAME", help="Only this field.")
@click.option("--history", "every", is_flag=True, help="Every version of every field.")
@click.option("--updates", is_flag=True, help="All proposed updates, with why some were rejected.")
@json_option
def store(
    journal: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    field: str | None,
    every: bool,
    updates: bool,
    as_json: bool,
) -> None:
    """Print the durable store: what was committed, from where, on whose behalf.

    \b
    Example:
      clawvm store j.db
      clawvm store j.db --field goal --history
      clawvm store j.db --updates
    """
    from clawvm_es.cli.options import chosen, chosen_or_all, models, opened
    from clawvm_es.cli.output import emit, one_line, table
    from clawvm_es.projections.tables import UPDATES

    with opened(journal) as log:
        placed = version is not None or turn is not None
        wanted = chosen(log, session) if placed else chosen_or_all(log, session)
        if updates:
            with models(log, wanted, version, turn) as view:
                staged = [row for row in view.rows(UPDATES, wanted) if field in (None, row.field)]
            found = _with_texts(log, staged)
        else:
            rows = [row for row in _fields(log, wanted, version, turn) if field in (None, row.field)]
            found = _with_texts(log, rows if every else _last(rows))
    what = ("update_number", "status", "reason", "op", "turn", "evidence") if updates else (
        "field_version", "op", "turn", "principal", "evidence")  # fmt: skip
    names = ("session_id", "scope", "field", *what)
    cells = (
        (*(f[name] for name in names), one_line(f["text"], 60) if f["text"] is not None else "(erased)")
        for f in found
    )
    lines = table(cells, (*names, "value")) if found else ["no updates" if updates else "the store is empty"]
    emit({"journal": journal, "updates" if updates else "fields": found}, lines, as_json)


def _fields(log: EventLog, session_id: str | None, version: int | None, turn: int | None) -> list[FieldRow]:
    """The committed versions of fields, up to a place in a session if one is given; they stay as made."""
    from clawvm_es.cli.options import models, version_at
    from clawvm_es.projections.tables import DURABLE_STORE

    with models(log) as view:
        if session_id is None:
            return view.rows(DURABLE_STORE)
        upto = version_at(log, session_id, version, turn)
        return [row for row in view.fields(session_id) if upto is None or row.version <= upto]


def _last(rows: list[FieldRow]) -> list[FieldRow]:
    """The last version of each field; fields of a shared scope belong to no single session."""
    last = {(row.scope if row.scope != "session" else row.session_id, row.field): row for row in rows}
    return sorted(last.values(), key=lambda row: row.seq)


def _with_texts(log: EventLog, rows: Sequence[FieldRow | UpdateRow]) -> list[dict[str, Any]]:
    """Rows as JSON objects, with the texts behind their values."""
    from clawvm_es.cli.output import document

    found = []
    for row in rows:
        body = log.vault(row.session_id).open(row.value) if row.value else None
        found.append(document(row) | {"text": None if body is None else body.decode("utf-8", "surrogatepass")})
    return found
