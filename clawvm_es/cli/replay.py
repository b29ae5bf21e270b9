"""`clawvm replay`: recorded sessions into a journal. Twin of `clawvm_es.importers.replay.replay`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    OTHER_POLICIES,
    Whole,
    complete_names,
    complete_policies,
    counter_option,
    format_option,
    group_option,
    json_option,
    mechanisms,
    secrets_option,
    seed_option,
    tools_option,
    wait_option,
)
from clawvm_es.cli.place import made_journal_option
from clawvm_es.cli.tables import emit_rows, fitted, shape_options

if TYPE_CHECKING:
    from clawvm_es.engine.journal import Journal
    from clawvm_es.importers.replay import Replayed, ReplaySettings
    from clawvm_es.model.profile import Profile


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(readable=False), metavar="FILE...")
@made_journal_option
@click.option(
    "--budget", type=int, metavar="TOKENS", help="Tokens of one prompt. Default: 128000 and the fixed region."
)
@click.option(
    "--policy", metavar="NAME", shell_complete=complete_policies, help=f"clawvm (default), {OTHER_POLICIES}."
)
@click.option(
    "--without",
    multiple=True,
    metavar="MECHANISM",
    shell_complete=complete_names,
    help="Break a mechanism of the policy, to see its fault.",
)
@click.option(
    "--renderer",
    metavar="NAME",
    shell_complete=complete_names,
    help="Form of the prompts: messages/1:anthropic, :openai or :responses. Default: one text of frames.",
)
@format_option
@counter_option
@click.option("--fixed", type=Whole(0), metavar="TOKENS", help="Charge each prompt for a fixed region.")
@click.option("--project", metavar="NAME", help="Share a durable store with other sessions of this project.")
@tools_option
@seed_option
@click.option("--as", "--reimport", "name", metavar="NAME", help="Name of the session in the journal.")
@secrets_option
@group_option
@wait_option
@shape_options
@json_option
@click.pass_context
def replay(
    context: click.Context,
    files: Sequence[str],
    journal: str,
    budget: int | None,
    policy: str | None,
    without: Sequence[str],
    renderer: str | None,
    format_: str | None,
    counter: str | None,
    fixed: int | None,
    project: str | None,
    tools_file: str | None,
    seed: int | None,
    name: str | None,
    hide_secrets: bool,
    group: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Replay recorded sessions through the engine into a journal.

    The same file again under the same settings appends nothing. A file that cannot be read is named on stderr
    and makes the exit code 2; the others are replayed.

    \b
    Example:
      clawvm replay session.jsonl --journal j.db --budget 16000
    """
    from clawvm_es.cli.summary import SESSION_COLUMNS
    from clawvm_es.core.decide import check_budget
    from clawvm_es.engine.journal import Journal
    from clawvm_es.engine.renderers import named
    from clawvm_es.errors import UnreadableInput, UsageError
    from clawvm_es.importers.replay import ReplaySettings
    from clawvm_es.observe.declared import load_tools

    if budget is not None:
        check_budget(budget)
    if project == "":
        raise UsageError("--project names no project", hint="leave it out for a store of the session's own")
    tools = load_tools(tools_file) if tools_file is not None else ()
    form = named(renderer) if renderer is not None else None
    settings = ReplaySettings(_policy(policy, without), budget, counter, fixed, project, name, tools, renderer=form)
    if not any(os.path.exists(file) and not os.path.isdir(file) for file in files):  # a wrong path makes no journal
        if os.path.isdir(files[0]):
            raise UnreadableInput(f"{files[0]}: is a directory", hint="name the files in it")
        raise UnreadableInput(f"{files[0]}: no such file", hint="check the path")
    with Journal.open(journal, seed=seed, wait_s=wait, hide_secrets=hide_secrets, group=group) as target:
        replayed, errors, ours = _replay_all(target, journal, files, settings, format_)
        documents = views.replayed(target.log, replayed)
    document = {"journal": journal, "sessions": documents, "errors": errors}
    emit_rows(document, documents, SESSION_COLUMNS, as_json, text=_lines(documents, replayed))
    if ours is not None:
        raise ours
    if errors:
        context.exit(2)


def _lines(documents: Sequence[Mapping[str, Any]], replayed: Sequence[Replayed]) -> list[str]:
    """Lines about the replay: one session in full, or one line each; then the odd records of each file."""
    from clawvm_es.cli.summary import SESSION_COLUMNS, session_lines

    last = {found.session_id: found for found in replayed}
    odd = [line for found in last.values() for line in (*_other_importer(found), *_odd(found))]
    if len(documents) == 1:
        (one,) = documents
        return [*session_lines(one, {"appended": one["appended"], "skipped": one["skipped"]}), *odd]
    return [*(fitted(documents, SESSION_COLUMNS) if documents else []), *odd]


def _other_importer(found: Replayed) -> Iterator[str]:
    """The line about a session recorded by another importer version, which is left alone."""
    if found.recorded_by is not None:
        yield f"session {found.session_id}: recorded by importer {found.recorded_by}; --reimport NAME"
    if found.shown:
        yield f"session {found.session_id}: recorded from another file of the same run; --reimport NAME"


def _odd(found: Replayed) -> Iterator[str]:
    """Lines about the odd records of a file, by reason."""
    from clawvm_es.importers.recording import ODD

    for reason, lines in found.skipped_lines.items():
        if reason in ODD:
            more = ", …" if found.skipped.get(reason, 0) > len(lines) else ""
            yield f"skipped {found.source}: line {', '.join(map(str, lines))}{more}: {reason}"


def _policy(name: str | None, without: Sequence[str]) -> Profile | None:
    """The profile of `--policy` and `--without`; None if neither is given."""
    from clawvm_es.core import profiles

    if name is None and not without:
        return None
    return profiles.without(profiles.profile("clawvm" if name is None else name), *mechanisms(without))


def _replay_all(
    target: Journal, journal: str, files: Sequence[str], settings: ReplaySettings, format_: str | None
) -> tuple[list[Replayed], list[dict[str, Any]], Exception | None]:
    """Replay file after file; a file's own error is noted, and the next file is replayed.

    The last of the three results is the first error that is not a file's but internal.
    """
    from clawvm_es.cli.damage import raise_damage
    from clawvm_es.cli.output import counter, say
    from clawvm_es.errors import ClawVMError, JournalError
    from clawvm_es.importers.replay import replay as replay_file

    replayed: list[Replayed] = []
    errors: list[dict[str, Any]] = []
    ours: Exception | None = None
    for file in files:
        try:
            replayed.extend(replay_file(target, file, settings, format=format_, progress=counter("inputs")))
        except (JournalError, OSError):
            raise
        except ClawVMError as error:
            message = " ".join(error.message.split())
            message = message if file in message else f"{file}: {message}"
            errors.append({"file": file, "error": message, "hint": error.hint})
            say(message, error.hint)
        except Exception as error:  # told at the end, with exit code 70; the other files are no worse for it
            raise_damage(error, journal)
            ours = ours or error
            message = f"{file}: internal error: {type(error).__name__}"
            errors.append({"file": file, "error": message, "hint": ""})
            say(message, "")
    return replayed, errors, ours
