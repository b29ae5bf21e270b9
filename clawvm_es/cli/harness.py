"""`clawvm install`, `uninstall`, `doctor`, `hook`: clawvm in live harnesses. Twins of `clawvm_es.integrations`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clawvm_es.cli.options import json_option
from clawvm_es.cli.place import made_journal_option

if TYPE_CHECKING:
    from clawvm_es.integrations.install import Done

NAMES = ("claude-code", "codex")


@click.command()
@click.argument("harness", type=click.Choice(NAMES))
@made_journal_option
@json_option
def install(harness: str, journal: str, as_json: bool) -> None:
    """Record every session of a harness from now on, and give back what a compaction took.

    Adds hooks to the harness's settings, beside existing ones, and says what it changed. A hook cannot stop or
    fail the harness. Running it again changes nothing.

    \b
    Example:
      clawvm install claude-code
      clawvm uninstall claude-code
    """
    from clawvm_es.integrations.install import install as installed

    _tell(installed(harness, journal), as_json)


@click.command()
@click.argument("harness", type=click.Choice(NAMES))
@made_journal_option
@click.option("--purge", is_flag=True, help="Delete the journal and the spool, too.")
@json_option
def uninstall(harness: str, journal: str, purge: bool, as_json: bool) -> None:
    """Take clawvm out of a harness: its settings are as they were before.

    What its hooks told is recorded first. The journal stays, and is named.

    \b
    Example:
      clawvm uninstall claude-code
      clawvm uninstall claude-code --purge
    """
    from clawvm_es.integrations.install import uninstall as uninstalled

    _tell(uninstalled(harness, journal, purge=purge), as_json)


def _tell(done: Done, as_json: bool) -> None:
    from clawvm_es.cli.output import emit

    emit(
        {"changed": list(done.lines), "hint": done.hint}, [*done.lines, *([done.hint] if done.hint else [])], as_json
    )


@click.command()
@made_journal_option
@click.option("--forget", is_flag=True, help="Forget the problems that were kept.")
@json_option
@click.pass_context
def doctor(context: click.Context, journal: str, forget: bool, as_json: bool) -> None:
    """Check the harnesses that record into a journal, and tell what does not work.

    Hooks never fail visibly for a harness, so their problems are listed here. Exit code 1: something does not
    work.

    \b
    Example:
      clawvm doctor
      clawvm doctor --forget
    """
    from clawvm_es.cli.output import bad, emit, good
    from clawvm_es.integrations.doctor import examine

    found = examine(journal, forget=forget)
    lines = []
    for each in found:
        told = f"{each.what}: {each.detail}"
        lines.append(good(f"good  {told}") if each.ok else bad(f"bad   {told}"))
        if each.hint and not each.ok:
            lines.append(f"      {each.hint}")
    document = [{"what": each.what, "ok": each.ok, "detail": each.detail, "hint": each.hint} for each in found]
    emit({"journal": journal, "checks": document}, lines, as_json)
    if not all(each.ok for each in found):
        context.exit(1)


@click.command()
@click.argument("what", type=click.Choice(["ingest"]))
@made_journal_option
@click.option(
    "--answer",
    "answering",
    type=click.Path(),
    metavar="FILE",
    help="Print the answer that the harness expects to this event; the exit code is always 0.",
)
@json_option
def hook(what: str, journal: str, answering: str | None, as_json: bool) -> None:
    """Record what live harnesses reported through hooks, and what is new in their transcripts.

    Other verbs do this before they read, and the hooks' own script does it at the boundaries of a session.

    \b
    Example:
      clawvm hook ingest --journal j.db
    """
    from clawvm_es.cli.output import counted, emit, emit_document
    from clawvm_es.integrations.answering import answer

    if answering is not None:
        emit_document([answer(journal, answering).encode()])
        return
    from clawvm_es.engine.journal import Journal
    from clawvm_es.integrations.ingest import ingest as taken
    from clawvm_es.integrations.ingest import spool_of

    with Journal.open(journal, hide_secrets=True) as opened:
        found = taken(opened, wait_s=5)
        reporting = spool_of(opened.log.place).is_dir()
    document = {"taken": found.taken, "appended": found.appended, "problems": found.problems}
    told = f"{counted(found.taken, 'event')} of hooks, {counted(found.appended, 'event')} appended"
    if not reporting:
        told = f"no harness reports to {journal} (clawvm install sets up one)"
    emit({"journal": journal, **document}, [told, *found.problems], as_json)
