"""The reading verbs over the log and its read models: `sessions, log, show, faults, trace, stats`. None writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from clawvm_es.cli.options import journal_argument, json_option, place_options, session_option

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog, Recorded


@click.command()
@journal_argument
@session_option
@json_option
def sessions(journal: str, session: str | None, as_json: bool) -> None:
    """List the sessions of a journal with their figures.

    \b
    Example:
      clawvm sessions j.db
      clawvm sessions j.db --session 9d7a
    """
    from clawvm_es.cli.options import chosen_or_all, models, opened
    from clawvm_es.cli.output import emit
    from clawvm_es.cli.summary import session_document, session_lines, sessions_table
    from clawvm_es.projections.tables import SESSIONS

    with opened(journal) as log:
        wanted = chosen_or_all(log, session)
        with models(log) as view:
            rows = view.rows(SESSIONS, wanted)
    lines = session_lines(rows[0], {}) if len(rows) == 1 else sessions_table(rows)
    emit({"journal": journal, "sessions": [session_document(row) for row in rows]}, lines, as_json)


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type (repeatable).")
@click.option("--kind", type=click.Choice(["input", "decision"]), help="Only inputs, or only decisions.")
@click.option("--limit", "-n", type=click.IntRange(1), help="Only the last N of them.")
@json_option
def log(
    journal: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    types: tuple[str, ...],
    kind: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the events of a session (or of the whole journal), oldest first; --turn takes one turn's.

    \b
    Example:
      clawvm log j.db --turn 40
      clawvm log j.db --type fault_observed
    """
    from collections import deque

    from clawvm_es.cli.options import opened
    from clawvm_es.cli.output import emit_json, emit_lines
    from clawvm_es.errors import UsageError
    from clawvm_es.model.events import EVENT_TYPES

    for name in types:
        if name not in EVENT_TYPES:
            raise UsageError(f"unknown event type {name!r}", hint=f"one of {', '.join(sorted(EVENT_TYPES))}")
    with opened(journal) as source:
        rows: Iterator[Recorded] = (
            row
            for row in _events(source, session, version, turn)
            if (not types or row.type in types) and (kind is None or row.kind == kind)
        )
        if limit is not None:
            rows = iter(deque(rows, maxlen=limit))
        if as_json:
            emit_json({"journal": journal, "events": [event_document(row) for row in rows]})
        else:
            emit_lines(_log_line(source, row) for row in rows)


def _log_line(log: EventLog, row: Recorded) -> str:
    from clawvm_es.cli.output import style

    name = style(f"{row.type:<28}", fg="cyan" if row.kind == "input" else "yellow")
    told = brief(row, _opener(log, row))
    return f"{row.seq:>7} {row.session_id[:8]:<8} v{row.version:<6} t{row.turn:<5} {name} {told}"


def _opener(log: EventLog, row: Recorded) -> Callable[[str | None], str | None]:
    """What opens the commitments of a row."""

    def text(commitment: str | None) -> str | None:
        body = log.vault(row.session_id).open(commitment) if commitment else None
        return None if body is None else body.decode("utf-8", "surrogatepass")

    return text


def _events(source: EventLog, session: str | None, version: int | None, turn: int | None) -> Iterator[Recorded]:
    """The events of one session up to a version or of one turn, or of all sessions."""
    from clawvm_es.cli.options import chosen, versions_at
    from clawvm_es.journal.lineage import read_session

    if session is None and version is None and turn is None:
        return source.read_all()
    session_id = chosen(source, session)
    return read_session(source, session_id, *versions_at(source, session_id, version, turn))


def event_document(row: Recorded) -> dict[str, Any]:
    """One event as a JSON object: its envelope and its data as stored."""
    return {
        "seq": row.seq,
        "session_id": row.session_id,
        "version": row.version,
        "turn": row.turn,
        "kind": row.kind,
        "type": row.type,
        "schema_version": row.schema_version,
        "at": row.at_us,
        "principal": row.principal,
        "cause": row.cause,
        "idempotency_key": row.idempotency_key,
        "data": json.loads(row.raw),
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }


def brief(row: Recorded, text: Callable[[str | None], str | None] | None = None) -> str:
    """The data of an event on one line, without commitments; of an erasure, also on whose behalf it was.

    With `text`, which opens commitments, a call of a tool on no declared list is told by its name.
    """
    from clawvm_es.history.origins import tool_name
    from clawvm_es.model.events import ContentRedacted, ToolCalled

    words = []
    for name, value in json.loads(row.raw).items():
        if isinstance(value, str) and len(value) == 64:
            continue
        if isinstance(value, list):
            plain = all(isinstance(item, int) or (isinstance(item, str) and len(item) < 64) for item in value)
            words.append(f"{name}={','.join(map(str, value))}" if plain else f"{name}×{len(value)}")
        elif name == "tool" and text is not None and isinstance(row.data, ToolCalled):
            words.append(f"tool={tool_name(row.data, text)}")
        elif not isinstance(value, dict):
            words.append(f"{name}={value}")
    if row.type == ContentRedacted.TYPE:
        words.append(f"by={row.principal}")
    return " ".join(words)


@click.command()
@journal_argument
@click.argument("what", metavar="VERSION|PAGE")
@session_option
@place_options
@json_option
def show(journal: str, what: str, session: str | None, version: int | None, turn: int | None, as_json: bool) -> None:
    """Show one event (by its version) or one page (by its id, at any place) in full, with the texts behind it.

    \b
    Example:
      clawvm show j.db 17
      clawvm show j.db p3 --turn 40
    """
    from clawvm_es.cli.options import chosen, opened
    from clawvm_es.cli.output import emit

    with opened(journal) as log:
        session_id = chosen(log, session)
        if what.isdecimal():
            document = _event_in_full(log, session_id, int(what))
        else:
            document = _page_in_full(log, session_id, what, version, turn)
    emit(document, _full_lines(document), as_json)


def _event_in_full(log: EventLog, session_id: str, version: int) -> dict[str, Any]:
    from clawvm_es.errors import UsageError
    from clawvm_es.journal.lineage import read_session

    row = next(read_session(log, session_id, version - 1, version), None) if version else None
    if row is None:
        raise UsageError(f"session {session_id} has no version {version}")
    document = event_document(row)
    return document | {"texts": _texts(log, session_id, document["data"])}


def _texts(log: EventLog, session_id: str, data: Any, path: str = "") -> dict[str, str | None]:
    """The texts behind all commitments in data, by their place in it; None where a text was sealed or erased."""
    from clawvm_es.journal.codec import COMMITMENT_FIELDS

    if isinstance(data, list):
        found: dict[str, str | None] = {}
        for place, item in enumerate(data):
            found |= _texts(log, session_id, item, f"{path}[{place}]")
        return found
    if not isinstance(data, dict):
        return {}
    found = {}
    for name, value in data.items():
        here = f"{path}.{name}" if path else name
        if name in COMMITMENT_FIELDS and isinstance(value, str) and len(value) == 64:
            body = log.vault(session_id).open(value)
            found[here] = None if body is None else body.decode("utf-8", "surrogatepass")
        else:
            found |= _texts(log, session_id, value, here)
    return found


def _page_in_full(
    log: EventLog, session_id: str, page_id: str, version: int | None, turn: int | None
) -> dict[str, Any]:
    from clawvm_es.cli.options import models
    from clawvm_es.cli.output import document
    from clawvm_es.errors import UsageError
    from clawvm_es.projections.tables import PAGE_TABLE

    with models(log, session_id, version, turn) as view:
        page = next((row for row in view.rows(PAGE_TABLE, session_id) if row.page_id == page_id), None)
    if page is None:
        raise UsageError(f"session {session_id} has no page {page_id} there")
    found = document(page) | {"levels": json.loads(page.levels)}
    texts = (
        _event_in_full(log, session_id, page.written_version) if page.written_version else {"texts": {}, "data": {}}
    )
    kept = texts["data"].get("levels", ())
    by_level = {level["level"]: texts["texts"].get(f"levels[{place}].body") for place, level in enumerate(kept)}
    return found | {"source_text": texts["texts"].get("source"), "texts": by_level}


def _full_lines(document: dict[str, Any]) -> list[str]:
    """A document with texts, for people: its facts, then each text under its name."""
    from clawvm_es.cli.output import facts, style
    from clawvm_es.representations.visible import visible_lines

    plain = {name: value for name, value in document.items() if name not in ("texts", "data") and value is not None}
    lines = facts({name: json.dumps(value) if isinstance(value, dict) else value for name, value in plain.items()})
    if "data" in document:
        lines += ["data", *(f"  {line}" for line in json.dumps(document["data"], indent=2).splitlines())]
    for name, text in document["texts"].items():
        lines.append(style(f"── {name} ──", bold=True))
        lines += ["(sealed or erased)"] if text is None else visible_lines(text)
    return lines


@click.command()
@journal_argument
@session_option
@place_options
@json_option
def faults(journal: str, session: str | None, version: int | None, turn: int | None, as_json: bool) -> None:
    """List the faults: what was lost without a word, why, and the events it rests on.

    \b
    Example:
      clawvm faults j.db
    """
    from clawvm_es.cli.options import chosen, chosen_or_all, models, opened, version_at
    from clawvm_es.cli.output import document, emit, table
    from clawvm_es.projections.tables import FAULTS

    with opened(journal) as log:
        placed = version is not None or turn is not None
        wanted = chosen(log, session) if placed else chosen_or_all(log, session)
        upto = None if wanted is None else version_at(log, wanted, version, turn)
        with models(log) as view:  # a fault's row stays as it was made
            rows = [row for row in view.rows(FAULTS, wanted) if upto is None or row.version <= upto]
        rows = _with_names(log, rows)
    headers = ("session", "turn", "version", "fault", "reason", "page", "type", "tool", "evidence")
    cells = (
        (r.session_id, r.turn, r.version, r.fault, r.reason, r.page_id, r.page_type, r.tool, r.evidence) for r in rows
    )
    found = [document(row) | {"evidence": json.loads(row.evidence)} for row in rows]
    emit({"journal": journal, "faults": found}, table(cells, headers) if rows else ["no faults"], as_json)


def _with_names(log: EventLog, rows: Sequence[Any]) -> list[Any]:
    """Rows of faults, with the names of tools that are on no declared list."""
    from clawvm_es.history.origins import tool_names
    from clawvm_es.model.events import UNKNOWN_TOOL

    names = {row.session_id: tool_names(log, row.session_id) for row in rows if row.tool == UNKNOWN_TOOL}
    return [
        attrs.evolve(row, tool=names[row.session_id].get(row.call, row.tool)) if row.tool == UNKNOWN_TOOL else row
        for row in rows
    ]


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--page", metavar="ID", help="Only decisions about this page.")
@json_option
def trace(
    journal: str, session: str | None, version: int | None, turn: int | None, page: str | None, as_json: bool
) -> None:
    """Print the decisions of a session: what the engine concluded, turn by turn; --turn takes one turn's.

    \b
    Example:
      clawvm trace j.db --turn 40
      clawvm trace j.db --page p3
    """
    from clawvm_es.cli.options import chosen, opened, versions_at
    from clawvm_es.cli.output import emit, table
    from clawvm_es.projections import decisions

    with opened(journal) as log:
        session_id = chosen(log, session)
        after, upto = versions_at(log, session_id, version, turn)
        rows = [row for row in decisions(log, session_id, upto, after) if page in (None, row["page_id"])]
    names = ("turn", "version", "type", "page_id", "before", "after", "reason", "fault", "tokens", "cause")
    cells = [tuple(row[name] for name in names) for row in rows]
    emit({"journal": journal, "session_id": session_id, "decisions": rows}, table(cells, names), as_json)


@click.command()
@journal_argument
@session_option
@click.option("--turns", "by_turn", is_flag=True, help="A line for each turn of one session.")
@json_option
def stats(journal: str, session: str | None, by_turn: bool, as_json: bool) -> None:
    """Print what a journal holds: events by type, bodies, sizes, totals; or a session turn by turn.

    \b
    Example:
      clawvm stats j.db
      clawvm stats j.db --turns
    """
    from clawvm_es.cli.options import chosen, chosen_or_all, opened
    from clawvm_es.cli.output import emit

    with opened(journal) as log:
        if by_turn:
            document, lines = _turn_stats(log, chosen(log, session))
        else:
            document, lines = _stats(log, chosen_or_all(log, session))
    emit({"journal": journal} | document, lines, as_json)


def _turn_stats(log: EventLog, session_id: str) -> tuple[dict[str, Any], list[str]]:
    from clawvm_es.cli.options import models
    from clawvm_es.cli.output import document, table
    from clawvm_es.projections.tables import TURNS

    with models(log) as view:
        rows = [document(row) for row in view.rows(TURNS, session_id)]
    names = (
        "turn", "tokens", "uncached_tokens", "pages", "needs", "hits", "page_ins", "faults",
        "tool_calls", "pages_written", "raised", "lowered", "boundaries",
    )  # fmt: skip
    cells = [tuple(row[name] for name in names) for row in rows]
    return {"session_id": session_id, "turns": rows}, table(cells, names)


def _stats(log: EventLog, session_id: str | None) -> tuple[dict[str, Any], list[str]]:
    from clawvm_es.cli.options import models
    from clawvm_es.cli.output import facts, table
    from clawvm_es.journal.lineage import read_session
    from clawvm_es.projections.tables import SESSIONS

    by_type: Counter[str] = Counter()
    bytes_by_type: Counter[str] = Counter()
    for row in log.read_all() if session_id is None else read_session(log, session_id):
        by_type[row.type] += 1
        bytes_by_type[row.type] += len(row.raw)
    with models(log) as view:
        rows = view.rows(SESSIONS, session_id)
    names = ("turns", "tool_calls", "pages", "needs", "hits", "page_ins", "misses", "faults", "alerts", "pressure",
             "tokens", "uncached_tokens")  # fmt: skip
    totals = {name: sum(getattr(row, name) for row in rows) for name in names}
    stored, stored_bytes = log.bodies_kept(session_id)
    document = {
        "sessions": len(rows),
        "events": sum(by_type.values()),
        "data_bytes": sum(bytes_by_type.values()),
        "bodies": stored,
        "body_bytes": stored_bytes,
        **log.details(),
        **totals,
        "events_by_type": dict(sorted(by_type.items())),
    }
    types = [(name, number, bytes_by_type[name]) for name, number in by_type.most_common()]
    plain = {name: value for name, value in document.items() if name != "events_by_type"}
    if "wal_held_by" in document:
        plain["wal_held_by"] = ", ".join(document["wal_held_by"]) or "nobody that the system tells of"
    return document, [*facts(plain), "", *table(types, ("type", "events", "data bytes"))]
