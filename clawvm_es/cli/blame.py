"""`blame`: who wrote each version of a page or of a field of the durable store, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import journal_argument, json_option, place_options, session_option
from clawvm_es.cli.output import style

if TYPE_CHECKING:
    from clawvm_es.history.blame import Basis, Blame, Content, Value
    from clawvm_es.history.origins import Place
    from clawvm_es.journal.ports import EventLog

PREVIEW = 84
"""Characters of a value or a source that are printed."""


@click.command()
@journal_argument
@click.argument("subject", metavar="FIELD|PAGE")
@session_option
@place_options
@click.option("--rejected", is_flag=True, help="Also the updates that were rejected, with the reason.")
@json_option
def blame(
    journal: str,
    subject: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    rejected: bool,
    as_json: bool,
) -> None:
    """Tell who wrote every version of a field of the durable store, or of a page, when, and on what evidence.

    --session may also name the stream of a shared scope.

    \b
    Example:
      clawvm blame j.db goal
      clawvm blame j.db p5 --turn 40
      clawvm blame j.db timezone --rejected --session scope:team
    """
    from clawvm_es.cli.options import opened
    from clawvm_es.cli.output import emit
    from clawvm_es.history.blame import blame as ask

    with opened(journal) as log:
        session_id = _stream(log, session)
        found = ask(log, session_id, subject, _place(log, session_id, version, turn))
    emit(_document(journal, found, rejected), _lines(found, rejected), as_json)


def _stream(log: EventLog, wanted: str | None) -> str:
    from clawvm_es.cli.options import chosen

    if wanted is not None and log.head(wanted) is not None:
        return wanted
    return chosen(log, wanted)


def _place(log: EventLog, session_id: str, version: int | None, turn: int | None) -> int | None:
    from clawvm_es.cli.options import version_at

    return version_at(log, session_id, version, turn)


def _document(journal: str, found: Blame, rejected: bool) -> dict[str, Any]:
    import attrs

    document = {"journal": journal, **attrs.asdict(found)}
    if not rejected:
        del document["rejected"]
    return document


def _lines(found: Blame, rejected: bool) -> Iterator[str]:
    from clawvm_es.cli.output import bad

    if found.contents:
        yield style(f"page {found.subject}, {found.contents[0].page_type}", bold=True)
        for content in found.contents:
            yield from _content_lines(content)
        for mark in found.marks:
            yield f"    {mark.what}: {_at(mark.event)}"
    for scope in dict.fromkeys(value.scope for value in found.values):
        yield style(f"field {found.subject} of {_scope_name(found, scope)}", bold=True)
        for value in found.values:
            if value.scope == scope:
                yield from _value_lines(found, value)
    if found.contents and not found.values:
        yield "it was never written back to the durable store"
    if not rejected:
        if found.rejected:
            yield f"{len(found.rejected)} rejected updates: --rejected"
        return
    yield style(f"{len(found.rejected)} rejected updates", bold=True)
    for value in found.rejected:
        yield from _value_lines(found, value, bad(str(value.reason)))


def _scope_name(found: Blame, scope: str) -> str:
    return f"session {found.session_id}" if scope == "session" else f"the shared scope {scope}"


def _content_lines(content: Content) -> Iterator[str]:
    from clawvm_es.cli.output import one_line
    from clawvm_es.cli.tell import origin

    where = content.provenance
    levels = ", ".join(f"{level} {tokens}" for level, tokens in content.levels.items())
    yield f"  {where.content_version:>3}  {_at(where.written)}, author {where.author}"
    yield f"       from    {origin(where)}"
    if where.source:
        yield f"       source  {one_line(where.source, PREVIEW)}"
    yield f"       tokens  {levels}"
    yield f"       text    {_preview(content.text)}"


def _value_lines(found: Blame, value: Value, rejected: str = "") -> Iterator[str]:
    number = "  –" if value.field_version is None else f"{value.field_version:>3}"
    of = "" if value.scope_version is None else f", scope version {value.scope_version}"
    size = "" if value.size_bytes is None else f", {value.size_bytes} bytes"
    who = f", session {value.session_id}" if value.session_id != found.session_id else ""
    what = f"{rejected} {value.op}" if rejected else f"{value.op}"
    yield f"  {number}  {what}, {_at(value.settled)}{of}{size}{who}"
    if value.staged is not None:
        yield f"       staged    {_at(value.staged)}"
    yield f"       evidence  {_evidence(value.evidence)}"
    yield f"       value     {_preview(value.text)}"


def _evidence(evidence: Basis) -> str:
    from clawvm_es.cli.tell import origin, place

    if evidence.page is not None:
        where = evidence.page
        return f"page {where.page_id} version {where.content_version}, {origin(where)}"
    if evidence.event is not None:
        return place(evidence.event)
    return "unresolved" if evidence.scope_version is None else f"scope version {evidence.scope_version}"


def _preview(text: str | None) -> str:
    from clawvm_es.cli.output import one_line

    return "(erased)" if text is None else one_line(text, PREVIEW)


def _at(event: Place) -> str:
    from clawvm_es.projections.session import iso

    return f"v{event.version} turn {event.turn} {event.type}, {iso(event.at_us)[:19]} by {event.principal}"
