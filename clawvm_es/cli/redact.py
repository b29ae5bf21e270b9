"""`clawvm redact`: texts leave the journal, its proofs stay. Twin of `clawvm_es.history.redact.redact`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import Whole, complete_pages, journal_argument, json_option, session_option, wait_option

if TYPE_CHECKING:
    from clawvm_es.history.redact import Redaction, Target
    from clawvm_es.journal.ports import EventLog

_file = click.Path(dir_okay=False)


@click.command()
@journal_argument
@session_option
@click.option(
    "--page", metavar="ID", shell_complete=complete_pages, help="Erase a page: all contents it had, at all levels."
)
@click.option("--body", metavar="COMMITMENT", help="Erase one text, by (the beginning of) its commitment.")
@click.option("--pattern", metavar="REGEX", help="Erase all texts that match. Default: of all sessions.")
@click.option("--secrets", is_flag=True, help="Erase all texts that hold a credential of a known form.")
@click.option("--all", "everything", is_flag=True, help="Erase all texts of the session.")
@click.option("--everywhere", is_flag=True, help="Also from other sessions that hold the same texts.")
@click.option("--reason", type=click.Choice(["request", "secret", "retention"]), help="Why. Default: request.")
@click.option("--by", "principal", default="operator", show_default=True, metavar="NAME", help="On whose behalf.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and erase nothing.")
@click.option("--certificate", type=_file, metavar="FILE", help="Write what was erased, and how, to this new file.")
@click.option("--key", type=_file, metavar="FILE", help="Sign the certificate with this secret key.")
@click.option("--at", type=Whole(1), metavar="VERSION", help="Certify the erasure recorded by this event.")
@click.option("--yes", "-y", is_flag=True, help="Erase without asking.")
@wait_option
@json_option
@click.pass_context
def redact(
    context: click.Context,
    journal: str,
    session: str | None,
    page: str | None,
    body: str | None,
    pattern: str | None,
    secrets: bool,
    everything: bool,
    everywhere: bool,
    reason: str | None,
    principal: str,
    dry_run: bool,
    certificate: str | None,
    key: str | None,
    at: int | None,
    yes: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Erase texts for good. Events, chains, proofs and decisions stay, and the log says who erased what, and why.

    All levels of a page are erased together, with the salts of prompts that showed it. Every fork, shared scope
    and closed session that reaches the text gets an event. If another session holds the same text, it stays there
    unless --everywhere is given. If a reader is in the way, the erasure is `pending` (exit code 1), and the next
    open of the journal finishes it.

    The outcome is `erased` (no trace is left), `removed` (gone from the live tables; known copies are named),
    `pending`, or `residue` (a copy stands in a table of another program; exit code 1).

    For --pattern and --secrets, and if more than one session is affected, texts are first counted by session, and
    erased after a question on the terminal. Without a terminal --yes is needed; else nothing is erased (exit code
    2).

    --certificate writes a file without any text: the events, the erased commitments, the scanned places, and the
    outcome. Used alone, it certifies earlier erasures: all of --session, or the one at --at.

    \b
    Example:
      clawvm redact j.db --session run-1 --page p7 --by dpo@example.org
      clawvm redact j.db --session run-1 --page p7 --everywhere --yes
      clawvm redact j.db --session run-1 --at 812 --certificate erased.json --key anchor.key
      clawvm redact j.db --pattern 'sk-[a-z0-9]{20,}' --reason secret --dry-run
    """
    from clawvm_es.cli.certificate import certificate_key, certificate_lines, certify_done, certify_earlier
    from clawvm_es.cli.output import emit
    from clawvm_es.history.redact import redact as erase
    from clawvm_es.model.facts import RedactReason
    from clawvm_es.storage import open_log
    from clawvm_es.views.reading import require_journal

    require_journal(journal)
    signer = certificate_key(certificate, key, at, dry_run)
    earlier = certificate is not None and not (secrets or everything or (page, body, pattern) != (None, None, None))
    with open_log(journal, wait_s=wait) as log:
        if certificate is not None and earlier:
            document = certify_earlier(log, session, at, certificate, signer)
            emit({"journal": journal, "certificate": document}, certificate_lines(document, certificate), as_json)
            return
        target = _target(log, session, page, body, pattern, secrets, everything)
        why = RedactReason(reason or ("secret" if secrets else "request"))

        def run(dry_run: bool) -> Redaction:
            at_us = time.time_ns() // 1000
            return erase(
                log, target, at_us=at_us, everywhere=everywhere, reason=why, principal=principal, dry_run=dry_run
            )

        if not (dry_run or yes) and (everywhere or target.matches is not None):
            plan = run(dry_run=True)
            if plan.shares and (target.matches is not None or plan.spans_sessions):
                _ask(context, journal, plan, as_json)
        done = run(dry_run)
        document = {"journal": journal} | views.redaction(done)
        lines = _lines(document)
        if certificate is not None:
            document["certificate"] = certify_done(log, done, target, certificate, signer)
            lines += certificate_lines(document["certificate"], certificate)
    emit(document, lines, as_json)
    if done.status in ("pending", "residue"):
        context.exit(1)


def _ask(context: click.Context, journal: str, plan: Redaction, as_json: bool) -> None:
    """Say what would be erased, and ask; exit here without a terminal, or unless the answer is yes."""
    from clawvm_es.cli.output import counted, emit, say, say_lines
    from clawvm_es.errors import UsageError

    if not on_terminal():
        emit({"journal": journal} | views.unconfirmed(plan), _lines(views.redaction(plan)), as_json)
        texts, sessions = sum(share.texts for share in plan.shares), len(plan.shares)
        raise UsageError(
            f"nothing was erased: {counted(texts, 'text')} of {counted(sessions, 'session')} would go, "
            "and nobody is there to ask",
            hint="give --yes to erase them",
        )
    say_lines(_lines(views.redaction(plan)))
    if not click.confirm("Erase these texts for good?", err=True):
        say("nothing was erased")
        context.exit(1)


def on_terminal() -> bool:
    """Tell whether a person reads stderr and answers on stdin."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _target(
    log: EventLog,
    session: str | None,
    page: str | None,
    body: str | None,
    pattern: str | None,
    secrets: bool,
    everything: bool,
) -> Target:
    """The target named by the options; raises `UsageError` unless there is exactly one."""
    from clawvm_es.errors import UsageError
    from clawvm_es.history.redact import Target
    from clawvm_es.representations.secrets import holds_secret
    from clawvm_es.views.reading import chosen, chosen_or_all

    if sum((page is not None, body is not None, pattern is not None, secrets, everything)) != 1:
        raise UsageError("what is to be erased?", hint="give one of --page, --body, --pattern, --secrets, --all")
    try:
        found = holds_secret if secrets else None if pattern is None else re.compile(pattern).search
    except re.error as error:
        raise UsageError(f"--pattern {pattern!r} is no regular expression: {error}") from None
    if page is not None or everything:
        return Target(chosen(log, session), page_id=page, everything=everything)
    return Target(chosen_or_all(log, session), body=body, matches=found)


def _first(names: Sequence[str]) -> str:
    """The first of many names, and the number of the others."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


_NAMED = 8
"""Names on one line."""
_SAID = {
    "nothing": "nothing to erase",
    "planned": "would be erased (nothing was written)",
    "erased": "erased: no trace is left in the journal's files",
    "removed": "removed from live tables",
    "pending": "pending: rows are gone, traces stay in the files until no reader is open; the next open finishes it",
    "residue": "residue: a copy stands in a table that is not ours",
}


def _lines(done: Mapping[str, Any]) -> list[str]:
    """Describe what was done, or would be: texts by session, events by stream, and the outcome."""
    from clawvm_es.cli.output import bad, counted, good
    from clawvm_es.cli.tables import table

    status, held_by = done["status"], done["held_by"]
    cells = [(t["session_id"], t["version"], t["commitments"], _first(t["pages"])) for t in done["events"]]
    shares = [
        (s["session_id"], s["title"] if s["title"] != s["session_id"] else "", s["texts"], s["bytes"])
        for s in done["sessions"]
    ]
    lines = [*table(shares, ("session", "title", "texts", "bytes")), ""] if shares else []
    if cells and status != "planned":
        lines += table(cells, ("session", "version", "commitments", "pages"))
    mark = bad("✗") if status in ("pending", "residue") else good("✓")
    known = (
        f"; known copies: {'; '.join(done['copies'])}" if status in ("removed", "planned") and done["copies"] else ""
    )
    what = f"{counted(done['bodies'], 'text')}, {done['bytes']:,} bytes"
    if held_by and not done["bodies"]:
        what = f"{counted(done['commitments'], 'commitment')}, and no text, since other sessions hold the same"
    lines.append(f"{mark} {what}: {_SAID[status]}{known}")
    if held_by:
        lines.append(f"! still held by {_first(held_by)}; --everywhere extends to them")
    lines += [f"! not ours: {each}" for each in done["foreign"]]
    if done["guessable"] and done["commitments"]:
        lines.append("! this journal's salts follow from a seed: whoever knows it can check a guess at a short text")
    return lines
