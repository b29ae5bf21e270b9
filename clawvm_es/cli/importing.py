"""`clawvm import`: files and folders of recorded sessions, each as its harness had it.

Twin of `clawvm_es.importers.importing` and `clawvm_es.views.imported`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es import views
from clawvm_es.cli.money import by_our_counts, dollars, input_tokens, recorded_usage, reported
from clawvm_es.cli.options import (
    counter_option,
    executor_option,
    format_option,
    group_option,
    json_option,
    prices_option,
    secrets_option,
    seed_option,
    wait_option,
)
from clawvm_es.cli.place import made_journal_option
from clawvm_es.cli.tables import Column, emit_rows, fitted, shape_options

if TYPE_CHECKING:
    from clawvm_es.importers.importing import Found, Imported

SHOWN: Final = 3
"""Sessions that are told in full; the others are lines of a table."""
LISTED: Final = 20
"""Sessions that the table holds."""
NAMED: Final = 10
"""Files of each kind that are named."""


@click.command("import")
@click.argument("paths", nargs=-1, type=click.Path(readable=False), metavar="[PATH...]")
@made_journal_option
@click.option("--latest", is_flag=True, help="Only the file that changed last.")
@format_option
@counter_option
@click.option("--as", "name", metavar="NAME", help="Name of the session in the journal.")
@click.option(
    "--reimport", metavar="NAME", help="Read a file again that is in the journal, as a session of this name."
)
@seed_option
@prices_option
@secrets_option
@group_option
@wait_option
@executor_option
@shape_options
@json_option
@click.pass_context
def import_(
    context: click.Context,
    paths: Sequence[str],
    journal: str,
    latest: bool,
    format_: str | None,
    counter: str | None,
    name: str | None,
    reimport: str | None,
    seed: int | None,
    prices: str | None,
    hide_secrets: bool,
    group: bool,
    wait: float,
    executor_name: str | None,
    as_json: bool,
) -> None:
    """Import recorded sessions as they were, and report what each harness lost and its agent needed again.

    PATH is a file or a folder; without one it is ~/.claude/projects. A file that did not change is not read again.
    A file that cannot be read is named on stderr and makes the exit code 2; the others are imported. An executor
    spreads the comparison of sessions over processes. If the journal is on a server, local:N also spreads the
    files; a journal in a file has one writer, so files are read one by one there, as they are with --seed, --as or
    --reimport.

    \b
    Example:
      clawvm import --latest
      clawvm import sessions/ --journal j.db
    """
    from clawvm_es.cli.output import counted, progress
    from clawvm_es.engine.journal import Journal
    from clawvm_es.fleet.executor import Local, executor
    from clawvm_es.importers.importing import import_files
    from clawvm_es.importers.spreading import import_spread
    from clawvm_es.storage import on_server

    files = _files_of(paths, latest, name, reimport)
    workers = None if executor_name is None else executor(executor_name)
    spread = isinstance(workers, Local) and on_server(journal) and (seed, name, reimport) == (None, None, None)
    with Journal.open(journal, seed=seed, wait_s=wait, hide_secrets=hide_secrets, group=group) as target:
        with progress(counted(len(files), "file")) as report:
            both: dict[str, Any] = {"counter": counter, "format": format_, "progress": report}
            if workers is not None and spread:
                stream = import_spread(journal, files, workers, hide_secrets=hide_secrets, wait_s=wait, **both)
            else:
                again = reimport is not None
                stream = import_files(target, files, name=reimport or name, again=again, **both)
            outcomes = list(_told(stream, journal))
        target.catch_up()
        with progress("comparing") as report:
            document = {"journal": journal} | views.imported(
                target.log,
                outcomes,
                compared=None if as_json else SHOWN,
                progress=report,
                prices=prices,
                spread=None if workers is None else (journal, workers),
            )
    if not latest:
        _say_passed_over(paths, journal)
    emit_rows(document, document["sessions"], IMPORT_COLUMNS, as_json, text=_lines(document, len(files)))
    for each in outcomes:
        if each.cause is not None:
            raise each.cause
    if document["errors"]:
        context.exit(2)


def _files_of(paths: Sequence[str], latest: bool, name: str | None, reimport: str | None) -> tuple[Found, ...]:
    """The files that were named, or those of the default folder; raises where they and the options do not fit."""
    from clawvm_es.errors import UnreadableInput, UsageError
    from clawvm_es.importers.importing import DEFAULT_FOLDER, find

    if name is not None and reimport is not None:
        raise UsageError("--as and --reimport both name the session", hint="give one of them")
    folder = os.path.expanduser(DEFAULT_FOLDER)
    if not paths and not os.path.isdir(folder):
        raise UnreadableInput(f"{folder}: there is no such folder", hint="name files or folders to import")
    files = find(paths or [folder], latest)
    if reimport is not None and len(files) != 1:
        raise UsageError(f"--reimport {reimport} names one session", hint=f"give one file, not {len(files)}")
    return files


def _say_passed_over(folders: Sequence[str], journal: str) -> None:
    """Name the files in folders that were not looked at, except the journal and the files beside it."""
    from clawvm_es.cli.output import counted, say
    from clawvm_es.importers.importing import passed_over

    own = os.path.abspath(journal)
    left = [each for each in passed_over(folders) if not os.path.abspath(each).startswith(own)]
    if left:
        names = ", ".join(left[:SHOWN]) + (", …" if len(left) > SHOWN else "")
        say(
            f"{counted(len(left), 'file')} not looked at, since their names do not end like a recording's: {names}",
            "name a file to read it",
        )


def _told(stream: Iterator[Imported], journal: str) -> Iterator[Imported]:
    """The outcomes; each error is printed when it comes up, and texts of a file are then released."""
    from clawvm_es.cli.damage import raise_damage
    from clawvm_es.cli.output import say

    for each in stream:
        if each.cause is not None:
            raise_damage(each.cause, journal)
        if each.error and not each.skipped:
            say(each.error, each.hint)
        yield each


IMPORT_COLUMNS: Final = (
    Column("session", "session_id", 3),
    Column("title", "title", least=20),
    Column("turns", "turns"),
    Column("input tokens", input_tokens, 4),
    Column("cost", lambda row: dollars(row["cost"]["reported"]["usd"]), 6, True),
    Column("compactions", "compactions"),
    Column("lost", lambda row: row["lost"]["needed_again"]),
    Column("tokens lost", lambda row: row["lost"]["tokens"], 2),
    Column("rules", lambda row: row["lost"]["rules"], 5),
)


_BY: Final = {
    "read_again": "reading again",
    "unmet": "use of its text",
    "paged_in": "page-in",
    "rule_lost": "being a rule",
}


def _places(loss: Mapping[str, Any]) -> str:
    """The lines of the transcript where the page stood, and where it was needed again."""
    return " → ".join(str(line) for line in (loss["line"], loss["again_line"]) if line)


LOSS_COLUMNS: Final = (
    Column("turn", "turn"),
    Column("tokens", "tokens"),
    Column("needed by", lambda row: _BY[row["kind"]], 1, True),
    Column("page", "page_id", 2, True),
    Column("what", "title", least=16),
    Column("line", _places, 3, True),
)


def _lines(document: Mapping[str, Any], files: int) -> Iterator[str]:
    from clawvm_es.cli.output import counted, whole
    from clawvm_es.views.words import command

    sessions = document["sessions"]
    for one in sorted(sessions, key=_worst_first)[:SHOWN]:
        yield from session_lines(one)
        yield ""
    if len(sessions) > SHOWN:
        listed = sorted(sessions, key=_worst_first)[:LISTED]
        yield from fitted(listed, IMPORT_COLUMNS)
        if len(sessions) > LISTED:
            yield f"and {len(sessions) - LISTED} more: {whole(command('sessions', document['journal']))}"
        yield ""
    for one in sessions:
        if one["recorded_by"] is not None:
            yield f"session {one['session_id']}: recorded by importer {one['recorded_by']}; --reimport NAME"
    yield from _files(document)
    read = [counted(len(sessions), "session")]
    read += [f"{document['unchanged']} as they were"] if document["unchanged"] else []
    yield f"{counted(files, 'file')}: {', '.join(read)}; journal {document['journal']}"
    yield f"Note: {document['caveat']}."


def _worst_first(one: Mapping[str, Any]) -> tuple[int, int]:
    return -one["lost"]["tokens"], -one["turns"]


def _files(document: Mapping[str, Any]) -> Iterator[str]:
    """The files of a folder that are not recordings."""
    skipped = document["skipped"]
    for each in skipped[:NAMED]:
        yield f"not read: {each['reason']}"
    if len(skipped) > NAMED:
        yield f"not read: {len(skipped) - NAMED:,} more files (--json names them)"


def session_lines(one: Mapping[str, Any]) -> Iterator[str]:
    """One session for people: its facts, its usage, its harness's losses, and those clawvm would have had."""
    from clawvm_es.cli.output import bad, counted, cut, good, style, terminal_width
    from clawvm_es.cli.times import joined, length, shown_time, told

    width = terminal_width()
    title = one["title"] or "(no prompt)"
    yield style(title if width is None else cut(title, width), bold=True)
    folder = f" in {one['folder']}" if one["folder"] else ""
    started, usage = told(one["started"]), one["usage"]
    when = f"{shown_time(started)} UTC" if started else ""
    yield f"  {joined(one['session_id'], when, length(started, one['ended']))}{folder}"
    tokens = f"{usage['input_tokens']:,} input tokens ({usage['cached_tokens']:,} cached)"
    used = f"{tokens}, {usage['output_tokens']:,} output" if recorded_usage(one) else ""
    yield f"  {joined(counted(one['turns'], 'turn'), counted(one['tool_calls'], 'tool call'), used)}; {_cuts(one)}"
    yield f"  cost: {reported(one['cost'])}; by our counts {by_our_counts(one['cost'])}"
    if one["default_budget"]["answers"]:
        yield f"  {_fitting(one['default_budget'])}"
    if not one["cuts"]:
        yield good("  never compacted: there was nothing to lose")
        return
    lost = one["lost"]
    if lost["needed_again"]:
        again = lost["needed_again"]
        what = f"{again:,} of {counted(one['needs'], 'need')} {'was for a page' if again == 1 else 'were for pages'}"
        yield bad(f"  {what} that the harness had dropped: {lost['tokens']:,} tokens")
        dearest = fitted(lost["dearest"], LOSS_COLUMNS, None if width is None else width - 4)
        yield from (f"    {line}" for line in dearest)
    else:
        yield good(f"  nothing that was dropped was needed again ({counted(one['needs'], 'need')})")
    if lost["rules"]:
        what = "1 rule or plan" if lost["rules"] == 1 else f"{lost['rules']} rules or plans"
        yield f"  {what} left the prompt at a compaction"
    yield from _compared(one)


def _cuts(one: Mapping[str, Any]) -> str:
    """The boundaries at which the harness cut its context."""
    from clawvm_es.cli.output import counted

    kinds = {"compact": "compaction", "prune": "pruning", "reset": "reset"}
    told = [counted(one["boundaries"][kind], word) for kind, word in kinds.items() if one["boundaries"][kind]]
    return ", ".join(told) or "no compaction"


def _compared(one: Mapping[str, Any]) -> Iterator[str]:
    """The line that compares `clawvm` at the same budget and at half of it."""
    if len(one["policies"]) != 2:
        return
    same, half = one["policies"]
    first, second = _share(same, " of the cost of the harness's pages"), _share(half, "")
    yield (
        f"  clawvm would have missed {same['misses']} within {same['budget']:,} tokens (the pages of the harness's "
        f"largest prompt){first}; within half of that {half['misses']}{second}"
    )


def _share(run: Mapping[str, Any], whole: str) -> str:
    """The cost of a run beside the harness's, counting pages only; empty if it is not known."""
    permille = run["cost_permille"]
    return "" if permille is None else f", at {permille / 10:.0f} %{whole}"


def _fitting(budget: Mapping[str, Any]) -> str:
    """The budget that fits the model's window, by the provider's counts."""
    fixed = budget["fixed_tokens"]
    rest = f"; system prompt and tools, which are not recorded, take {fixed:,} of them" if fixed else ""
    return (
        f"budget for a window of {budget['window']:,} and answers of {budget['max_output']:,}: {budget['tokens']:,} "
        f"tokens by our count (the provider counts {budget['ratio_permille'] / 1000:.2f} for each of ours){rest}"
    )
