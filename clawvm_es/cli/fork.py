"""`clawvm fork`: another continuation of a session. Twin of `Journal.fork` and `clawvm_es.history.rerun`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    OTHER_POLICIES,
    complete_policies,
    journal_argument,
    json_option,
    place_options,
    session_option,
    wait_option,
)

if TYPE_CHECKING:
    from clawvm_es.engine.journal import Journal
    from clawvm_es.history.rerun import Rerun
    from clawvm_es.journal.ports import EventLog
    from clawvm_es.model.events import SessionOpened


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--as", "name", required=True, metavar="NAME", help="Name of the fork in the journal.")
@click.option("--budget", type=int, metavar="TOKENS", help="Tokens of one prompt. Default: the parent's.")
@click.option(
    "--policy",
    metavar="NAME",
    shell_complete=complete_policies,
    help=f"clawvm, {OTHER_POLICIES}. Default: the parent's.",
)
@click.option("--rerun", is_flag=True, help="Give the fork the rest of the parent's inputs, and compare.")
@click.option("--allow-new-calls", is_flag=True, help="Let tools run for calls that the parent did not record.")
@click.option("--seed", type=int, metavar="N", help="The seed of the journal, if it was made with one.")
@wait_option
@json_option
def fork(
    journal: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    name: str,
    budget: int | None,
    policy: str | None,
    rerun: bool,
    allow_new_calls: bool,
    seed: int | None,
    wait: float,
    as_json: bool,
) -> None:
    """Continue a session from any moment under another name; nothing is copied. Default: from its last event.

    Calls in the fork are served the results that the parent recorded, also after that moment; no tool runs. With
    --rerun the fork gets the parent's model answers and tool results one by one, to show how the rest would have
    gone. Repeat the command to continue an interrupted re-run; a fork that stands is not made again.

    \b
    Example:
      clawvm fork j.db --turn 40 --as try
      clawvm fork j.db --turn 40 --as small --budget 4000 --rerun
    """
    from clawvm_es.cli.output import emit
    from clawvm_es.cli.runs import budget_words
    from clawvm_es.engine.journal import Journal
    from clawvm_es.errors import UsageError
    from clawvm_es.views.reading import require_journal

    if rerun and version is None and turn is None:
        raise UsageError("after the last event nothing is left to run again", hint="name a place: --at or --turn")
    if rerun and allow_new_calls:
        raise UsageError("a re-run makes no new calls", hint="leave out --rerun or --allow-new-calls")
    require_journal(journal)
    parent, at = _place(journal, session, version, turn, name)
    ran = None
    with Journal.open(journal, seed=seed, wait_s=wait) as target:
        if rerun:
            ran = _rerun(target, parent, name, at, policy, budget)
        elif not _stands(target.log, name, (parent, at, policy, budget, allow_new_calls)):
            target.fork(
                parent, name, at=at, policy=policy, budget_tokens=budget, allow_new_calls=allow_new_calls
            )  # fmt: skip
        opened, was = target.opened(name), target.opened(parent)
        again = None if ran is None else views.rerun(target.log, parent, ran)
    assert opened is not None and was is not None
    document = {
        "journal": journal,
        "session_id": name,
        "parent": parent,
        "parent_version": at,
        "policy": opened.profile.name,
        "budget": opened.budget_tokens,
        "allow_new_calls": allow_new_calls,
        "rerun": again,
    }
    lines = [
        f"{name} goes on from version {at} of {parent}: {opened.profile.name}, {budget_words(opened.budget_tokens)}"
    ]
    emit(document, [*lines, *(_lines(again, was, opened) if again else ())], as_json)


def _stands(log: EventLog, name: str, wanted: tuple[str, int, str | None, int | None, bool]) -> bool:
    """Tell whether this fork was made before and did not go on, so that a repeated command makes none."""
    from clawvm_es.core.profiles import profile
    from clawvm_es.model.events import SessionForked

    parent, at, policy, budget, new_calls = wanted
    first, head = log.first(name), log.head(name)
    if first is None or head is None or head.version != first.version or not isinstance(first.data, SessionForked):
        return False
    made = first.data
    settings = (policy and profile(policy), budget, new_calls)
    return (made.parent, made.parent_version, made.profile, made.budget_tokens, made.allow_new_calls) == (
        parent, at, *settings,
    )  # fmt: skip


def _place(journal: str, session: str | None, version: int | None, turn: int | None, name: str) -> tuple[str, int]:
    """The session to fork, and the version; a fork that exists already knows its parent."""
    from clawvm_es.model.events import SessionForked

    with views.opened(journal) as log:
        first = log.first(name) if session is None else None
        known = first.data.parent if first is not None and isinstance(first.data, SessionForked) else None
        parent = known or views.chosen(log, session)
        at = views.version_at(log, parent, version, turn)
        head = log.head(parent)
        return parent, at if at is not None or head is None else head.version  # type: ignore[return-value]


def _rerun(target: Journal, parent: str, name: str, at: int, policy: str | None, budget: int | None) -> Rerun:
    from clawvm_es.cli.output import progress
    from clawvm_es.history.rerun import rerun

    with progress("running again") as report:
        return rerun(target, parent, name, at=at, policy=policy, budget_tokens=budget, progress=report)


def _lines(ran: Mapping[str, Any], was: SessionOpened, now: SessionOpened) -> list[str]:
    from clawvm_es.cli.output import counted
    from clawvm_es.cli.runs import runs_lines

    runs = [
        {"run": "recorded", "policy": was.profile.name, "budget": was.budget_tokens} | ran["recorded"],
        {"run": "fork", "policy": now.profile.name, "budget": now.budget_tokens, "parted": ran["parted"]}
        | ran["now"],
    ]
    left = ran["needs_left_out"]
    left_out = f"; {counted(left, 'need')} left out, whose pages came after their call" if left else ""
    calls, events = counted(ran["served"], "tool call"), counted(ran["appended"], "event")
    served = f"{calls} served from the tape, none ran; {events} appended"
    return [served + left_out, "", *runs_lines(runs), ran["caveat"]]
