"""`clawvm follow`: recorded sessions into a journal while they grow. Twin of `clawvm_es.importers.follow`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import (
    OTHER_POLICIES,
    Whole,
    complete_policies,
    counter_option,
    format_option,
    group_option,
    json_option,
    secrets_option,
    seed_option,
    tools_option,
    wait_option,
)
from clawvm_es.cli.place import made_journal_option

if TYPE_CHECKING:
    from clawvm_es.importers.following import Followed
    from clawvm_es.importers.replay import ReplaySettings

INTERVAL_S = 1.0


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(readable=False), metavar="PATH...")
@made_journal_option
@click.option("--once", is_flag=True, help="Take what is there, and end.")
@click.option("--final", is_flag=True, help="Take the unfinished answer too, save, and end: the files are complete.")
@click.option(
    "--interval",
    type=click.FloatRange(0.01),
    default=INTERVAL_S,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks at the files.",
)
@format_option
@click.option(
    "--policy",
    metavar="NAME",
    shell_complete=complete_policies,
    help=f"clawvm, {OTHER_POLICIES}. Default: as the harness had it.",
)
@click.option("--budget", type=Whole(1), metavar="TOKENS", help="Tokens of one prompt, under a policy.")
@counter_option
@tools_option
@seed_option
@click.option("--as", "--reimport", "name", metavar="NAME", help="Name of the session in the journal.")
@secrets_option
@group_option
@wait_option
@json_option
@click.pass_context
def follow(
    context: click.Context,
    paths: Sequence[str],
    journal: str,
    once: bool,
    final: bool,
    interval: float,
    format_: str | None,
    policy: str | None,
    budget: int | None,
    counter: str | None,
    tools_file: str | None,
    seed: int | None,
    name: str | None,
    hide_secrets: bool,
    group: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Record sessions while their files grow; folders are watched for new ones.

    Only whole lines are taken, and an answer only once something follows it. Stop and restart it at any time, or
    run it twice at once: nothing is recorded twice. A file that cannot be followed is named on stderr; with --once
    or --final the exit code is then 2. An interrupt ends it with exit code 130.

    \b
    Example:
      clawvm follow ~/.claude/projects --journal j.db
      clawvm follow session.jsonl --journal j.db --final
    """
    from clawvm_es.cli.damage import raise_damage
    from clawvm_es.cli.output import emit, emit_lines, say
    from clawvm_es.engine.journal import Journal
    from clawvm_es.errors import UsageError
    from clawvm_es.importers.following import Follower

    ends = once or final
    if as_json and not ends:
        raise UsageError("--json prints one document: give --once or --final with it")
    settings = _settings(policy, budget, counter, tools_file, name)
    with (
        Journal.open(journal, seed=seed, wait_s=wait, hide_secrets=hide_secrets, group=group) as target,
        Follower(target, paths, settings, format=format_, final=final) as follower,
    ):
        while True:
            found = follower.once()
            for error in found.refused.values():
                say(error.message, error.hint)
            for path, fault in found.faults.items():
                raise_damage(fault, journal)
                say(f"{path}: internal error: {type(fault).__name__}")
            if ends:
                break
            if found.appended:
                emit_lines(_lines(found))
            time.sleep(interval)
    emit({"journal": journal, **_document(found)}, [*_lines(found), _unchanged(found)], as_json)
    for fault in found.faults.values():
        raise fault
    if found.refused:
        context.exit(2)


def _settings(
    policy: str | None, budget: int | None, counter: str | None, tools_file: str | None, name: str | None
) -> ReplaySettings:
    from clawvm_es.core.profiles import profile
    from clawvm_es.errors import UsageError
    from clawvm_es.importers.replay import ReplaySettings
    from clawvm_es.observe.declared import load_tools

    if budget is not None and policy is None:
        raise UsageError("--budget needs a --policy", hint="without one nothing is left out of a prompt")
    tools = load_tools(tools_file) if tools_file is not None else ()
    chosen = None if policy is None else profile(policy)
    return ReplaySettings(chosen, budget, counter, name=name, tools=tools, as_recorded=chosen is None)


def _document(found: Followed) -> dict[str, Any]:
    sessions = [
        {
            "session_id": each.session_id,
            "file": each.source,
            "format": each.format,
            "appended": each.appended,
            "skipped": dict(each.skipped),
            "recorded_by": each.recorded_by,
        }
        for each in found.taken
    ]
    errors = [
        {"file": path, "error": error.message, "hint": error.hint} for path, error in sorted(found.refused.items())
    ]
    return {"sessions": sessions, "unchanged": found.unchanged, "errors": errors}


def _lines(found: Followed) -> Iterator[str]:
    """A line for each session that something was appended to, or that another importer recorded."""
    from clawvm_es.cli.output import counted

    for each in found.taken:
        if each.recorded_by is not None:
            yield f"session {each.session_id}: recorded by importer {each.recorded_by}; --reimport NAME"
        elif each.appended:
            yield f"session {each.session_id}: {counted(each.appended, 'event')} more, of {each.source}"


def _unchanged(found: Followed) -> str:
    from clawvm_es.cli.output import counted

    sessions = len({each.session_id for each in found.taken if each.appended})
    return f"{counted(sessions, 'session')} went on, {counted(found.unchanged, 'file')} had not changed"
