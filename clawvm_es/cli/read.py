"""Reading verbs for the log and its read models: `sessions, log, show, faults, trace, stats`. None writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    Day,
    Whole,
    complete_pages,
    events_options,
    journal_argument,
    json_option,
    place_options,
    prices_option,
    session_option,
    sessions_option,
    types_option,
)
from clawvm_es.cli.tables import Column, columns, emit_rows, shape_options, table

WIDE = 100
"""Columns from which on the types of events stand in a column of their own."""


@click.command()
@journal_argument
@sessions_option
@click.option("--since", type=Day(), metavar="DATE", help="Only from this day on (UTC).")
@click.option("--until", type=Day(), metavar="DATE", help="Only up to this day (UTC).")
@click.option("--folder", default="", metavar="TEXT", help="Only sessions whose folder contains this.")
@click.option(
    "--text", default="", metavar="TEXT", help="Only sessions whose title contains this; grep searches all texts."
)
@prices_option
@shape_options
@json_option
def sessions(
    journal: str,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
    folder: str,
    text: str,
    prices: str | None,
    as_json: bool,
) -> None:
    """List the sessions of a journal with their titles, times, figures and cost.

    For an imported session, `lost` counts the needs whose page its harness had dropped. `alerts` counts repeated
    tool calls whose result still held, `pressure` the times that a required page did not fit, `uncached` the
    tokens that the provider's cache does not serve.

    \b
    Example:
      clawvm sessions j.db
      clawvm sessions j.db --since 2026-11-01 --folder orders
      clawvm sessions j.db --session 9d7a
    """
    from clawvm_es.cli.output import terminal_width
    from clawvm_es.cli.summary import SESSION_COLUMNS, session_lines
    from clawvm_es.cli.tables import shape
    from clawvm_es.views.reading import chosen_or_all, short_ids

    with views.opened(journal) as log:
        first, last = ("" if day is None else day.strftime("%Y-%m-%d") for day in (since, until))
        found = views.sessions(
            log,
            chosen_or_all(log, session),
            since=first,
            until=last,
            folder=folder,
            text=text,
            prices=prices,
        )
        short = short_ids(log) if terminal_width() is not None and not shape() else {}
        document = {"journal": journal} | found
    rows = document["sessions"]
    lines = session_lines(rows[0], {}) if len(rows) == 1 else None
    named = Column("session", lambda row: short.get(row["session_id"], row["session_id"]), least=18)
    emit_rows(document, rows, (named, *SESSION_COLUMNS[1:]), as_json, text=lines)


@click.command()
@journal_argument
@sessions_option
@events_options
@types_option("events")
@click.option("--kind", type=click.Choice(["input", "decision"]), help="Only inputs, or only decisions.")
@click.option("--limit", "-n", type=Whole(1), metavar="N", help="Only the last N of them.")
@shape_options
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
    """Print the events of a session (or of the whole journal), oldest first; --turn selects one turn.

    \b
    Example:
      clawvm log j.db --turn 40
      clawvm log j.db --type fault_observed
    """
    from clawvm_es.cli.output import emit_lines
    from clawvm_es.cli.tables import shape
    from clawvm_es.views.events import events
    from clawvm_es.views.reading import short_ids

    with views.opened(journal) as source:
        one = session is not None or version is not None or turn is not None
        session_id = views.chosen(source, session) if one else None
        found = events(source, session_id, version=version, turn=turn, types=types, kind=kind, limit=limit)
        if not as_json and not shape():  # line by line, as it is read
            emit_lines(_log_lines(found, {} if session_id is not None else short_ids(source)))
            return
        rows = list(found)
    emit_rows({"journal": journal, "events": rows}, rows, _EVENT_COLUMNS, as_json)


def _log_lines(found: Iterator[dict[str, Any]], short: Mapping[str, str]) -> Iterator[str]:
    """One line per event with its time of day, under a heading per day; in a pipe each line has its date.

    `short` holds the short name of each session; it is empty if all events belong to one.
    """
    from clawvm_es.cli.output import fit, style, terminal_width
    from clawvm_es.cli.times import shown_day, shown_second

    width = terminal_width()
    day, padded = None, 24 if width is None or width >= WIDE else 0
    for each in found:
        date = shown_day(each["time"])
        if width is not None and date != day:
            yield style(f"── {date} ──", bold=True)
        day = date
        whole = each["time"].partition(".")[0].replace("T", " ")
        time = whole if width is None else shown_second(each["time"])
        name = style(f"{each['type']:<{padded}}", fg="cyan" if each["kind"] == "input" else "yellow")
        session = each["session_id"] if width is None else f"{short.get(each['session_id'], each['session_id']):<12}"
        place = f"v{each['version']:<6} t{each['turn']:<4}"
        yield fit(f"{time} {f'{session} ' if short else ''}{place} {name} {_told(each)}".rstrip())


def _told(found: Mapping[str, Any]) -> str:
    """An event's data on one line."""
    from clawvm_es.views.events import brief

    return brief(found)


_EVENT_COLUMNS = (
    Column("seq", "seq", 3), Column("session", "session_id", 2), Column("version", "version"), Column("turn", "turn"),
    Column("time", "time", 1), Column("type", "type", 0, True), Column("data", _told),
)  # fmt: skip


@click.command()
@journal_argument
@click.argument("what", metavar="VERSION|PAGE", shell_complete=complete_pages)
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
    from clawvm_es.cli.output import emit

    with views.opened(journal) as log:
        document = views.show(log, views.chosen(log, session), what, version=version, turn=turn)
    emit(document, _full_lines(document), as_json)


def _full_lines(document: dict[str, Any]) -> list[str]:
    """A document with texts, for people: its facts, then each text under its name."""
    from clawvm_es.cli.output import facts, style, whole
    from clawvm_es.representations.visible import visible_lines

    plain = {name: value for name, value in document.items() if name not in ("texts", "data") and value is not None}
    lines = facts({name: json.dumps(value) if isinstance(value, dict) else value for name, value in plain.items()})
    if "data" in document:
        lines += ["data", *(whole(f"  {line}") for line in json.dumps(document["data"], indent=2).splitlines())]
    for name, text in document["texts"].items():
        lines.append(style(f"── {name} ──", bold=True))
        lines += ["(sealed or erased)"] if text is None else map(whole, visible_lines(text))
    return lines


_FAULT_COLUMNS = (
    Column("session", "session_id", 2), Column("turn", "turn"), Column("version", "version", 3),
    Column("fault", "fault", 0, True), Column("reason", "reason", 1), Column("page", "page_id", 0, True),
    Column("type", "page_type", 4), Column("tool", "tool", 5), Column("title", "title", least=20),
    Column("evidence", lambda row: ", ".join(f"v{each}" for each in row["evidence"]), 6),
)  # fmt: skip


@click.command()
@journal_argument
@sessions_option
@place_options
@shape_options
@json_option
def faults(journal: str, session: str | None, version: int | None, turn: int | None, as_json: bool) -> None:
    """List the faults: the page that was lost, the reason, and the events that show it.

    \b
    Example:
      clawvm faults j.db
    """
    from clawvm_es.views.reading import chosen_or_all

    with views.opened(journal) as log:
        placed = version is not None or turn is not None
        wanted = views.chosen(log, session) if placed else chosen_or_all(log, session)
        document = {"journal": journal} | views.faults(log, wanted, version=version, turn=turn)
    emit_rows(document, document["faults"], _FAULT_COLUMNS, as_json, empty="no faults")


_TRACE_COLUMNS = (
    Column("turn", "turn"), Column("version", "version", 2), Column("type", "type", 0, True),
    Column("page", "page_id", 0, True), Column("before", "before", 1, True), Column("after", "after", 1, True),
    Column("reason", lambda row: row["reason"] or row["layout"]), Column("fault", "fault", 3),
    Column("tokens", "tokens", 4), Column("cause", "cause", 5), Column("title", "title", least=24),
)  # fmt: skip


@click.command()
@journal_argument
@session_option
@events_options
@click.option("--page", metavar="ID", shell_complete=complete_pages, help="Only decisions about this page.")
@shape_options
@json_option
def trace(
    journal: str, session: str | None, version: int | None, turn: int | None, page: str | None, as_json: bool
) -> None:
    """Print the decisions of a session; --turn selects one turn.

    \b
    Example:
      clawvm trace j.db --turn 40
      clawvm trace j.db --page p3
    """
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        document = {"journal": journal} | views.trace(log, session_id, version=version, turn=turn, page=page)
    emit_rows(document, document["decisions"], _TRACE_COLUMNS, as_json)


_TURN_COLUMNS = columns(
    "turn", "tokens", "uncached_tokens", "pages", "needs", "hits", "page_ins", "faults", "tool_calls",
    "pages_written", "raised", "lowered", "boundaries",
    uncached_tokens=4, pages=5, hits=3, tool_calls=6, pages_written=7, raised=8, lowered=9, boundaries=1,
)  # fmt: skip


@click.command()
@journal_argument
@sessions_option
@click.option("--turns", "by_turn", is_flag=True, help="A line for each turn of one session.")
@prices_option
@shape_options
@json_option
def stats(journal: str, session: str | None, by_turn: bool, prices: str | None, as_json: bool) -> None:
    """Print the figures of a journal: events by type, bodies, sizes, totals, cost; or a session turn by turn.

    \b
    Example:
      clawvm stats j.db
      clawvm stats j.db --turns
    """
    from clawvm_es.views.reading import chosen_or_all

    with views.opened(journal) as log:
        if by_turn:
            document = {"journal": journal} | views.turns(log, views.chosen(log, session))
            emit_rows(document, document["turns"], _TURN_COLUMNS, as_json)
            return
        document = {"journal": journal} | views.stats(log, chosen_or_all(log, session), prices)
    types = [
        {"type": name, "events": number, "data_bytes": document["bytes_by_type"][name]}
        for name, number in sorted(document["events_by_type"].items(), key=lambda each: -each[1])
    ]
    shown = columns("type", "events", "data_bytes")
    emit_rows(document, types, shown, as_json, text=_stats_lines(document, types))


def _stats_lines(document: Mapping[str, Any], types: list[dict[str, Any]]) -> list[str]:
    from clawvm_es.cli.money import by_our_counts, reported
    from clawvm_es.cli.output import facts

    left = ("journal", "events_by_type", "bytes_by_type", "cost")
    plain = {name.replace("_", " "): value for name, value in document.items() if name not in left}
    plain = {"page-ins" if name == "page ins" else name: value for name, value in plain.items()}
    plain |= {"cost": reported(document["cost"]), "cost by our counts": by_our_counts(document["cost"])}
    if "wal_held_by" in document:
        plain["wal held by"] = ", ".join(document["wal_held_by"]) or "nobody that the system tells of"
    return [*facts(plain), "", *table([each.values() for each in types], ("type", "events", "data bytes"))]  # type: ignore[misc]
