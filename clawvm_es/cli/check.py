"""`clawvm check`: a claim about a session, with an exit code. Twin of `clawvm_es.history.checking`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    OTHER_POLICIES,
    Whole,
    complete_policies,
    journal_argument,
    json_option,
    session_option,
)

if TYPE_CHECKING:
    from clawvm_es.history.whatif import Setting


@click.command()
@journal_argument
@click.argument("claim", metavar="CLAIM")
@session_option
@click.option(
    "--policy", metavar="NAME", shell_complete=complete_policies, help=f"Decide under clawvm, {OTHER_POLICIES}."
)
@click.option("--budget", type=Whole(1), metavar="TOKENS", help="Decide under this budget.")
@json_option
def check(
    journal: str, claim: str, session: str | None, policy: str | None, budget: int | None, as_json: bool
) -> None:
    """Check a claim about a session; exit code 0: it holds, 1: it does not, 2: there is no such page or turn.

    CLAIM is a question of `clawvm bisect --when`, preceded by `always` or `never` (every prompt, no prompt), or
    followed by `at turn N` (by default the last prompt). A page type means all pages of the type. JOURNAL may be a
    recording or a bundle.

    \b
    Example:
      clawvm check j.db 'resident(plan) at turn 40'
      clawvm check j.db 'never absent(constraint)' --policy clawvm --budget 16000
      clawvm check j.db 'misses < 3' --session 9d7a
    """
    from clawvm_es.cli.output import bad, emit, good

    document = {"journal": journal} | _document(journal, claim, session, policy, budget)
    word = good("holds") if document["holds"] else bad("does not hold")
    emit(document, [f"{word}: {document['claim']}{_shown(document)}"], as_json)
    if not document["holds"]:
        raise click.exceptions.Exit(1)


def _document(place: str, claim: str, session: str | None, policy: str | None, budget: int | None) -> dict[str, Any]:
    from clawvm_es.errors import UsageError
    from clawvm_es.history.checking import check_recording, check_session
    from clawvm_es.history.recorded_files import SUFFIXES, read_sessions
    from clawvm_es.views.titles import Titles

    setting = _setting(policy, budget)
    if place.endswith(SUFFIXES):
        found = [each for each in read_sessions(place) if session in (None, each.session_id)]
        if len(found) != 1:
            raise UsageError(f"{place} holds {len(found)} sessions to choose from", hint="name one with --session")
        return views.checked(check_recording(found[0], claim, setting), found[0].session_id)
    with views.opened(place) as log:
        session_id = views.chosen(log, session)
        return views.checked(check_session(log, session_id, claim, setting), session_id, Titles(log))


def _setting(policy: str | None, budget: int | None) -> Setting | None:
    """The setting under which a session is decided; None means as recorded."""
    from clawvm_es.core.profiles import profile
    from clawvm_es.history.whatif import Setting

    return None if policy is None and budget is None else Setting((policy and profile(policy)) or None, budget)


def _shown(document: Mapping[str, Any]) -> str:
    """The turn and the pages that show a claim false, with their titles."""
    if document["holds"]:
        return ""
    pages = [
        each["page_id"] if each["title"] is None else f"{each['page_id']} “{each['title']}”"
        for each in document["pages"]
    ]
    return f" (turn {document['turn']}{': ' if pages else ''}{', '.join(pages)})"
