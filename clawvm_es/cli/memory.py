"""Reading verbs for an agent's memory: `pages`, `prompt` and `store`, at any place in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    complete_fields,
    complete_names,
    journal_argument,
    json_option,
    place_options,
    prompt_options,
    session_option,
    sessions_option,
)
from clawvm_es.cli.tables import Column, emit_rows, shape_options

_PAGE_COLUMNS = (
    Column("page", "page_id", 0, True), Column("type", "page_type", 1, True), Column("level", "level", 0, True),
    Column("tokens", "tokens"), Column("full", "full_tokens", 6), Column("pin", "pin", 7),
    Column("dirty", "dirty", 9), Column("status", "status", 10), Column("written", "written_turn", 8),
    Column("used", "last_used_turn", 4), Column("hits", "hits", 3), Column("page-ins", "page_ins", 5),
    Column("title", "title", least=24), Column("origin", "origin", 11),
    Column("levels", lambda row: " ".join(f"{level}:{size}" for level, size in row["levels"].items()), 12),
)  # fmt: skip


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--resident", is_flag=True, help="Only pages that are in the prompt.")
@click.option("--type", "page_type", metavar="TYPE", shell_complete=complete_names, help="Only pages of this type.")
@shape_options
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
    """Print the page table: each page, its level in the prompt, its sizes, its use and its title.

    `tokens` is the size at its level, `full` that in full; `written` and `used` are the turns of its last content
    and of its last need.

    \b
    Example:
      clawvm pages j.db --turn 40 --resident
    """
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        document = {"journal": journal} | views.pages(
            log, session_id, version=version, turn=turn, resident=resident, page_type=page_type
        )
    after = ("", f"last prompt: {document['layout']}") if document["layout"] else ()
    emit_rows(document, document["pages"], _PAGE_COLUMNS, as_json, after=after)


_PIECE_COLUMNS = (
    Column("page", lambda piece: piece["page_id"] or "(directory)", 0, True), Column("level", "level", 0, True),
    Column("characters", "chars"), Column("title", "title", least=24),
)  # fmt: skip


@click.command()
@journal_argument
@session_option
@prompt_options
@click.option("--outline", is_flag=True, help="The prompt's pages and sizes in order, without their texts.")
@click.option("--provenance", "where_from", is_flag=True, help="Where each span of the prompt came from.")
@shape_options
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
    """Print the prompt of a turn as clawvm would have sent it under its budget, byte for byte.

    For an imported session it is the harness's context, page by page; the bytes that the harness sent are not
    recorded.

    \b
    Example:
      clawvm prompt j.db --turn 40
      clawvm prompt j.db --turn 40 --outline
      clawvm prompt j.db --turn 40 --provenance
    """
    from clawvm_es.cli.output import emit_document
    from clawvm_es.cli.tables import shape

    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        ask = views.provenance if where_from else views.prompt
        document = {"journal": journal} | ask(log, session_id, version=version, turn=turn)
    if where_from:
        said = f"{_summary(document)}, assembled at v{document['version']}"
        emit_rows(document, document["spans"], _SPAN_COLUMNS, as_json, after=[said])
        return
    if outline:
        del document["text"]
    if as_json or outline or shape():
        emit_rows(document, document["pieces"], _PIECE_COLUMNS, as_json, after=[_summary(document)])
    else:
        emit_document([document["text"].encode("utf-8", "surrogatepass")])


def _summary(document: Mapping[str, Any]) -> str:
    """The size of a prompt, whose prompt it is, and the provider's count."""
    size, provider = f"turn {document['turn']}: {document['tokens']:,}", document["provider_tokens"]
    told = "" if provider is None else f"; the recorded call had {provider:,}"
    if document["policy"] == "recorded":
        return f"{size} tokens as recorded, in pages{told}"
    return f"{size} of {document['budget_tokens']:,} tokens, as {document['policy']} would have sent it{told}"


def _written(span: Mapping[str, Any]) -> str | None:
    origin = span["origin"]
    return None if origin is None else "v{version} t{turn}".format(**origin["written"])


def _from(span: Mapping[str, Any]) -> str:
    from clawvm_es.views.words import origin

    return "the pages that are not shown" if span["origin"] is None else origin(span["origin"], short=True)


def _source(span: Mapping[str, Any]) -> str | None:
    if span["origin"] is None:
        return None
    return "(erased)" if span["erased"] else span["origin"]["source"] or ""


_SPAN_COLUMNS = (
    Column("bytes", lambda span: f"{span['first_byte']}-{span['end_byte']}", 4, True),
    Column("tokens", lambda span: f"{span['first_token']}-{span['end_token']}", 1, True),
    Column("page", lambda span: span["page_id"] or "(directory)", 0, True),
    Column("level", "level", 0, True),
    Column("author", lambda span: "harness" if span["origin"] is None else span["origin"]["author"], 3),
    Column("written", _written, 2),
    Column("from", _from),
    Column("source", _source),
)


@click.command()
@journal_argument
@sessions_option
@place_options
@click.option("--field", metavar="NAME", shell_complete=complete_fields, help="Only this field.")
@click.option("--history", "every", is_flag=True, help="Every version of every field.")
@click.option("--updates", is_flag=True, help="All proposed updates, with why some were rejected.")
@shape_options
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
    """Print the durable store: each committed value, its evidence, and on whose behalf it was written.

    \b
    Example:
      clawvm store j.db
      clawvm store j.db --field goal --history
      clawvm store j.db --updates
    """
    from clawvm_es.views.reading import chosen_or_all

    with views.opened(journal) as log:
        placed = version is not None or turn is not None
        wanted = views.chosen(log, session) if placed else chosen_or_all(log, session)
        document = {"journal": journal} | views.store(
            log, wanted, version=version, turn=turn, field=field, history=every, updates=updates
        )
    found = document["updates" if updates else "fields"]
    of_field = "" if field is None else f" of a field {field!r}"
    empty = f"no updates{of_field}" if updates else f"no versions{of_field}" if of_field else "the store is empty"
    emit_rows(document, found, _UPDATE_COLUMNS if updates else _FIELD_COLUMNS, as_json, empty=empty)


def _value(row: Mapping[str, Any]) -> str:
    return "(erased)" if row["text"] is None else row["text"]


_NAMED = (
    Column("session", "session_id", 4), Column("scope", "scope", 5), Column("field", "field", 0, True),
)  # fmt: skip
_FIELD_COLUMNS = (
    *_NAMED, Column("version", "field_version"), Column("op", "op", 3, True), Column("turn", "turn"),
    Column("by", "principal", 2), Column("evidence", "evidence", 1), Column("value", _value),
)  # fmt: skip
_UPDATE_COLUMNS = (
    *_NAMED, Column("update", "update_number"), Column("status", "status", 0, True), Column("reason", "reason", 1),
    Column("op", "op", 3, True), Column("turn", "turn"), Column("evidence", "evidence", 2), Column("value", _value),
)  # fmt: skip
