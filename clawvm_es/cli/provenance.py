"""`prompt --provenance`: where each span of a prompt came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clawvm_es.history.provenance import Span
    from clawvm_es.journal.ports import EventLog


def print_provenance(journal: str, log: EventLog, session_id: str, version: int | None, as_json: bool) -> None:
    """Print the spans of the prompt that was assembled last at a version."""
    from clawvm_es.cli.output import emit, table
    from clawvm_es.history.provenance import provenance

    shown, spans = provenance(log, session_id, version)
    assembled = shown.assembled
    document = {
        "journal": journal,
        "session_id": session_id,
        "turn": shown.turn,
        "version": shown.version,
        "tokens": assembled.tokens,
        "budget_tokens": assembled.budget_tokens,
        "matches_commitment": shown.matches,
        "spans": [_document(span) for span in spans],
    }
    headers = ("bytes", "tokens", "page", "level", "author", "written", "from", "source")
    lines = table([_cells(span) for span in spans], headers)
    summary = (
        f"turn {shown.turn}: {assembled.tokens} of {assembled.budget_tokens} tokens, assembled at v{shown.version}"
    )
    emit(document, [*lines, summary], as_json)


def _document(span: Span) -> dict[str, Any]:
    import attrs

    return attrs.asdict(span, filter=lambda field, _: field.name != "text")


def _cells(span: Span) -> tuple[Any, ...]:
    from clawvm_es.cli.output import one_line
    from clawvm_es.cli.tell import origin

    places = (f"{span.first_byte}-{span.end_byte}", f"{span.first_token}-{span.end_token}")
    found = span.origin
    if found is None:
        return (*places, "(directory)", None, "harness", None, "the pages that are not shown", None)
    written = f"v{found.written.version} t{found.written.turn}"
    source = "(erased)" if span.erased else one_line(found.source or "", 28)
    return (*places, span.page_id, span.level, found.author, written, origin(found, short=True), source)
