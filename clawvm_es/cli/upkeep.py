"""`clawvm verify`, `rebuild`, `backup` and `export`: integrity and upkeep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    executor_option,
    group_option,
    journal_argument,
    json_option,
    session_option,
    wait_option,
)

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog


@click.command()
@journal_argument
@click.option("--fast", is_flag=True, help="Check numbers and chains only.")
@click.option("--redecide", "again", is_flag=True, help="Decide all inputs again and compare every decision.")
@click.option(
    "--anchor", type=click.Path(dir_okay=False), metavar="FILE", help="Check the journal against this checkpoint."
)
@click.option("--key", type=click.Path(dir_okay=False), metavar="FILE", help="Public key of the checkpoint.")
@click.option("--also", multiple=True, metavar="PLACE", help="Also verify this journal, or each *.db of this folder.")
@executor_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    journal: str,
    fast: bool,
    again: bool,
    anchor: str | None,
    key: str | None,
    also: tuple[str, ...],
    executor_name: str | None,
    as_json: bool,
) -> None:
    """Check that a journal is unaltered: chains, bodies, salts, read models. Exit code 1: it is altered.

    A cut tail, or a log that was chained anew, can only be detected with an earlier checkpoint. An executor
    spreads the journals (--also), or the sessions to re-decide, over processes.

    \b
    Example:
      clawvm verify j.db --redecide
      clawvm verify j.db --redecide --executor local:4
      clawvm verify j.db --anchor j.checkpoint --key anchor.key.pub
      clawvm verify j.db --also other.db --executor local:2
    """
    from clawvm_es.cli.output import bad, emit, progress
    from clawvm_es.cli.proof import read_input
    from clawvm_es.errors import UsageError
    from clawvm_es.fleet.executor import executor

    if (anchor is None) != (key is None):
        raise UsageError("--anchor and --key go together", hint="give the checkpoint and its public key")
    if also or (executor_name is not None and os.path.isdir(journal)):
        if anchor is not None:
            raise UsageError("--anchor is of one journal", hint="leave out --also, and name one journal")
        _verify_many(context, [journal, *also], executor_name, fast, again, as_json)
        return
    held = None if anchor is None or key is None else (anchor, read_input(anchor), key)
    runs = None if executor_name is None else executor(executor_name)
    with progress("deciding again") if again else nullcontext() as report:
        document = {"journal": journal} | views.verification(
            journal, fast=fast, again=again, anchor=held, progress=report, executor=runs
        )
    problems, notes = (
        [f"{each['where']}: {each['what']}: {each['detail']}" for each in document[name]]
        for name in ("problems", "notes")
    )
    lines = _difference_lines(document["differences"]) or [f"{bad('✗')} {each}" for each in problems]
    emit(document, [*(f"note: {each}" for each in notes), *lines, _verdict(document)], as_json)
    if problems:
        context.exit(1)


def _verify_many(
    context: click.Context, places: Iterable[str], executor_name: str | None, fast: bool, again: bool, as_json: bool
) -> None:
    """Verify several journals, one line each; exit code 1 if one is not consistent."""
    from clawvm_es.cli.output import bad, counted, emit, good, progress
    from clawvm_es.errors import UsageError
    from clawvm_es.fleet.executor import executor
    from clawvm_es.views.many import journals, verified_many

    named = journals(places)
    if not named:
        raise UsageError(
            f"{', '.join(places)}: there is no *.db and no *.journal", hint="name journals, or their folder"
        )
    with progress(counted(len(named), "journal")) as report:
        found = verified_many(named, executor(executor_name), fast=fast, again=again, progress=report)
    wrong = [each for each in found if each["problems"]]
    lines = [
        f"{bad('✗') if each['problems'] else good('✓')} {each['journal']}: {_verdict(each)}"
        if each["state"] != "unreadable"
        else f"{bad('✗')} {each['problems'][0]['detail']}"
        for each in found
    ]
    lines.append(f"{counted(len(found), 'journal')}, {len(wrong)} not consistent")
    emit({"journals": found, "ok": not wrong}, lines, as_json)
    if wrong:
        context.exit(1)


def _difference_lines(differences: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each difference: event, field, both values, the events before it, and the command that shows them."""
    from clawvm_es.cli.output import bad

    lines = []
    for found in differences:
        lines.append(f"{bad('✗')} {found['detail']}")
        if "look" in found:
            before = ", ".join("version {version} {type}".format(**event) for event in found["before"])
            lines += [f"    before it: {before}", f"    to look closer: {found['look']}"]
    return lines


def _verdict(document: Mapping[str, Any]) -> str:
    """The verdict on one line, for people and for `tail -1`."""
    from clawvm_es.cli.output import bad, counted, good

    problems = document["problems"]
    anchored = document["state"].removeprefix("not ").removeprefix("consistent")
    if problems:
        first = problems[0]
        found = f"{counted(len(problems), 'problem')} (first: {first['where']}: {first['what']}: {first['detail']})"
        return f"{bad('NOT consistent')}{anchored}: {found}"
    held = f"{counted(document['sessions'], 'session')}, {counted(document['events'], 'event')}"
    if document["fast"]:
        held += ", numbers and chains only"
    if document["redecided"] is not None:
        held += f", {counted(document['redecided'], 'decision')} taken again the same"
    if document["notes"]:
        held += f", {counted(len(document['notes']), 'note')} on what would not be taken today"
    return f"{good('verified')}: consistent{anchored}: {held}"


@click.command()
@journal_argument
@wait_option
@json_option
def rebuild(journal: str, wait: float, as_json: bool) -> None:
    """Rebuild the read models from the whole log, and take its snapshots anew. No decision is taken again.

    \b
    Example:
      clawvm rebuild j.db
    """
    from clawvm_es import projections
    from clawvm_es.cli.output import counted, emit, progress
    from clawvm_es.cli.tables import table
    from clawvm_es.journal import snapshots
    from clawvm_es.projections.tables import TABLES
    from clawvm_es.storage import open_log
    from clawvm_es.views.reading import require_journal

    require_journal(journal)
    with open_log(journal, wait_s=wait) as log:
        with progress("rebuild") as show:
            projections.rebuild(log, show)
            snapshots.rebuild(log)
        with projections.snapshot(log) as view:
            counts = {each.name: view.stored(each) for each in TABLES}
            events = view.seq
    document = {"journal": journal, "events": events, "rows": counts}
    emit(document, [*table(counts.items(), ("table", "rows")), f"rebuilt from {counted(events, 'event')}"], as_json)


@click.command()
@journal_argument
@click.argument("destination", type=click.Path(), metavar="DEST")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@group_option
@json_option
@click.pass_context
def backup(context: click.Context, journal: str, destination: str, force: bool, group: bool, as_json: bool) -> None:
    """Copy a journal while others write to it, and verify the copy. Exit code 1: it did not verify, and is gone.

    The copy holds every event written before it began, and no erased text. It is a journal like any other.

    \b
    Example:
      clawvm backup j.db copies/j-monday.db
    """
    import attrs

    from clawvm_es.cli.output import bad, counted, emit, good, progress
    from clawvm_es.errors import BackupRefused
    from clawvm_es.storage import backup as copy

    try:
        with progress("backup") as show:
            made = copy(journal, destination, force=force, group=group, progress=show)
    except BackupRefused as error:
        problems = list(error.problems)
        document = {"journal": journal, "backup": destination, "verified": False, "problems": problems}
        emit(document, [f"{bad('NOT copied')}: {error}"], as_json)
        context.exit(1)
    held = f"{counted(made.streams, 'stream')}, {counted(made.events, 'event')}, {made.bytes:,} bytes"
    document = {"journal": journal, "backup": destination, "verified": True, "problems": []}
    document |= attrs.asdict(made, filter=lambda field, _: field.name != "path")
    emit(document, [f"{good('verified')}: {destination}: {held}"], as_json)


@click.command()
@journal_argument
@session_option
@click.option(
    "--as",
    "kind",
    type=click.Choice(["trace", "recording", "html", "otlp", "parquet"]),
    default="trace",
    show_default=True,
    help="trace: inputs with their texts; recording: inputs and decisions without; html: the browser's view; "
    "otlp: OpenTelemetry spans; parquet: the journal's tables without texts, into a folder of many.",
)
@click.option("--output", "-o", type=click.Path(), help="File (parquet: folder) to write. Default: stdout.")
@click.option("--no-texts", is_flag=True, help="With html or otlp: what happened, and no word of the session.")
@json_option
def export(journal: str, session: str | None, kind: str, output: str | None, no_texts: bool, as_json: bool) -> None:
    """Write a session to a file: its inputs as a clawvm-trace, all its events as a recording, or an HTML page.

    Replaying a trace gives the same decision digest; a fork is written with its parent's part. A recording holds
    no text. If its name ends with .clawvm.jsonl, pytest collects it as a test, which fails if today's code decides
    differently. An html file is the page of `clawvm ui` with the session in it; it needs no server and no network.

    \b
    Example:
      clawvm export j.db --session run-1 --as html -o run-1.html
      clawvm export j.db --as trace -o session.trace.jsonl
      clawvm export j.db --session run-1 --as recording -o tests/run-1.clawvm.jsonl
      clawvm export j.db --session run-1 --as otlp -o run-1.otlp.jsonl
      clawvm export j.db --as parquet -o lake
    """
    import json

    from clawvm_es.cli.output import counted, emit, emit_document, emit_json
    from clawvm_es.errors import UsageError
    from clawvm_es.files import write_whole

    if kind == "html":
        _export_page(journal, session, output, no_texts, as_json)
        return
    if no_texts and kind != "otlp":
        raise UsageError(f"--no-texts goes with --as html and otlp, not with {kind}")
    if kind == "parquet":
        _export_tables(journal, session, output, as_json)
        return
    if output is not None and os.path.isdir(output):
        raise UsageError(f"{output} is a folder", hint="name a file")
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        lines = _exported(log, session_id, kind, texts=not no_texts)  # all or no file
    if output is not None:
        write_whole(output, lines)
        document: dict[str, Any] = {"session_id": session_id, "format": kind, "output": output, "lines": len(lines)}
        emit(document, [f"{output}: {counted(len(lines), 'line')} of session {session_id}"], as_json)
    elif as_json:
        emit_json({"session_id": session_id, "format": kind, "lines": [json.loads(x) for x in lines]})
    else:
        emit_document(lines)


def _export_tables(journal: str, session: str | None, output: str | None, as_json: bool) -> None:
    """Write a journal's tables to a folder of Parquet files."""
    from clawvm_es.cli.output import counted, emit
    from clawvm_es.errors import UsageError
    from clawvm_es.views.lake import to_lake

    if output is None or session is not None:
        raise UsageError("--as parquet writes all of a journal to a folder", hint="-o DIR, without --session")
    with views.opened(journal) as log:
        document = {"journal": journal} | to_lake(log, output)
    rows = document["rows"]
    emit(
        document,
        [f"{output}: {counted(rows['events'], 'event')} of {counted(rows['sessions'], 'session')}, without texts"],
        as_json,
    )


def _export_page(journal: str, session: str | None, output: str | None, no_texts: bool, as_json: bool) -> None:
    """Write a session as one HTML file; erased texts are written nowhere in between."""
    from clawvm_es.cli.output import counted, emit, progress, say
    from clawvm_es.errors import UsageError
    from clawvm_es.files import write_whole
    from clawvm_es.journal.ports import Capability, declares, erasing
    from clawvm_es.web import export as web

    if output is None:
        raise UsageError("a page goes to a file", hint="-o session.html")
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        if declares(log, Capability.ERASE) and erasing(log, "export").pending_erasures():
            raise UsageError(
                f"{journal}: an erasure is not finished yet", hint="clawvm redact finishes it; then export"
            )
        with progress("turns") as show:
            made = web.export(log, session_id, journal, texts=not no_texts, progress=show)
    write_whole(output, [made.html])
    if made.secrets and not no_texts:
        say(
            "warning",
            f"{counted(made.secrets, 'text')} may hold a credential: see redact --secrets, or --no-texts",
        )
    document = {"session_id": session_id, "format": "html", "output": output, "bytes": len(made.html)}
    document |= {
        "turns": made.turns,
        "committed": made.committed,
        "exact": made.exact,
        "secrets": made.secrets,
        "texts": not no_texts,
    }
    exact = f"{made.exact:,} of {made.committed:,} prompts as committed, " if made.committed else ""
    told = f"{counted(made.turns, 'turn')}, {exact}{len(made.html):,} bytes"
    emit(document, [f"{output}: session {session_id}, {told}"], as_json)


def _exported(log: EventLog, session_id: str, kind: str, *, texts: bool = True) -> list[bytes]:
    """The lines of the file that `--as` asks for."""
    if kind == "otlp":
        from clawvm_es.integrations.otlp import export_spans

        return list(export_spans(log, session_id, texts=texts))
    if kind == "recording":
        from clawvm_es.history.recording import write_recording
        from clawvm_es.journal.lineage import read_session

        return list(write_recording(read_session(log, session_id)))
    from clawvm_es.importers.export import export_trace

    return [line.encode() for line in export_trace(log, session_id)]
