"""`clawvm fork`: another continuation of a session. Twin of `Journal.fork` and `clawvm_es.history.rerun`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import (
    OTHER_POLICIES,
    journal_argument,
    json_option,
    place_options,
    session_option,
    wait_option,
)

if TYPE_CHECKING:
    from clawvm_es.engine.journal import Journal
    from clawvm_es.history.rerun import Rerun
    from clawvm_es.model.events import SessionOpened


@click.command()
@journal_argument
@session_option
@place_options
@click.option("--as", "name", required=True, metavar="NAME", help="Name of the fork in the journal.")
@click.option("--budget", type=int, metavar="TOKENS", help="Tokens of one prompt. Default: the parent's.")
@click.option("--policy", metavar="NAME", help=f"clawvm, {OTHER_POLICIES}. Default: the parent's.")
@click.option("--rerun", is_flag=True, help="Give the fork the rest of the parent's inputs, and compare.")
@click.option("--allow-new-calls", is_flag=True, help="Let tools run for calls that the parent did not record.")
@click.option("--seed", type=int, help="The number that the journal's salts are derived from, if they are.")
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
    """Go on from a moment of a session under another name; nothing is copied. Default: from its last event.

    The fork's tools are served what the parent recorded, also after that moment, and run for nothing else. With
    --rerun it gets the parent's model answers and tool results one by one, to see how the rest would have gone; a
    re-run that was interrupted goes on when it is asked for again.

    \b
    Example:
      clawvm fork j.db --turn 40 --as try
      clawvm fork j.db --turn 40 --as small --budget 4000 --rerun
    """
    from clawvm_es.cli.options import require_journal
    from clawvm_es.cli.output import emit
    from clawvm_es.engine.journal import Journal
    from clawvm_es.errors import UsageError

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
        else:
            target.fork(
                parent, name, at=at, policy=policy, budget_tokens=budget, allow_new_calls=allow_new_calls
            )  # fmt: skip
        opened, was = target.opened(name), target.opened(parent)
    assert opened is not None and was is not None
    document = {
        "journal": journal,
        "session_id": name,
        "parent": parent,
        "parent_version": at,
        "policy": opened.profile.name,
        "budget": opened.budget_tokens,
        "allow_new_calls": allow_new_calls,
        "rerun": None if ran is None else _document(ran),
    }
    lines = [f"{name} goes on from version {at} of {parent}: {opened.profile.name}, {opened.budget_tokens} tokens"]
    emit(document, [*lines, *(_lines(ran, was, opened) if ran else ())], as_json)


def _place(journal: str, session: str | None, version: int | None, turn: int | None, name: str) -> tuple[str, int]:
    """The session that is forked, and the version where; a fork that is there already knows its parent."""
    from clawvm_es.cli.options import chosen, opened, version_at
    from clawvm_es.model.events import SessionForked

    with opened(journal) as log:
        first = log.first(name) if session is None else None
        known = first.data.parent if first is not None and isinstance(first.data, SessionForked) else None
        parent = known or chosen(log, session)
        at = version_at(log, parent, version, turn)
        head = log.head(parent)
        return parent, at if at is not None or head is None else head.version  # type: ignore[return-value]


def _rerun(target: Journal, parent: str, name: str, at: int, policy: str | None, budget: int | None) -> Rerun:
    from clawvm_es.cli.output import progress
    from clawvm_es.history.rerun import rerun

    with progress("running again") as report:
        return rerun(target, parent, name, at=at, policy=policy, budget_tokens=budget, progress=report)


def _document(ran: Rerun) -> dict[str, Any]:
    from clawvm_es.cli.runs import figures_document, parting_document

    return {
        "appended": ran.appended,
        "served": ran.served,
        "needs_left_out": ran.left_out,
        "recorded": figures_document(ran.recorded),
        "now": figures_document(ran.now),
        "parted": parting_document(ran.parted),
    }


def _lines(ran: Rerun, was: SessionOpened, now: SessionOpened) -> list[str]:
    from clawvm_es.cli.runs import run_row, runs_lines
    from clawvm_es.history.whatif import OPEN_LOOP

    rows = [
        run_row("recorded", was.profile.name, was.budget_tokens, ran.recorded),
        run_row("fork", now.profile.name, now.budget_tokens, ran.now),
    ]
    left_out = f"; {ran.left_out} needs left out, whose pages came after their call" if ran.left_out else ""
    served = f"{ran.served} tool calls served from the tape, none ran; {ran.appended} events appended{left_out}"
    return [served, "", *runs_lines(rows, [("fork", ran.now, ran.parted)]), OPEN_LOOP]
