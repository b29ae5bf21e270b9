"""`clawvm demo`: a bundled session under a tight budget, once under each policy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es import views
from clawvm_es.cli.options import json_option
from clawvm_es.cli.output import style

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog

BUDGET: Final = 1_000
POLICIES: Final = ("clawvm", "lru", "retrieval")
SEED: Final = 1
_SHOWN: Final = 12


@click.command()
@click.option("--journal", "-j", type=click.Path(), help="Keep the journal here. Default: it is deleted.")
@json_option
@click.pass_context
def demo(context: click.Context, journal: str | None, as_json: bool) -> None:
    """See it work: one small session, three policies.

    Replays a bundled coding session (27 turns, one compaction) under a budget of 1,000 tokens.

    \b
    Example:
      clawvm demo --journal demo.db
    """
    from clawvm_es.cli.output import emit
    from clawvm_es.projections import projections_problems
    from clawvm_es.storage import verify

    with _place(journal) as path, _replayed(path) as log:
        sessions = views.sessions(log)["sessions"]
        pages = views.pages(log, f"demo-{POLICIES[0]}")["pages"]
        problems = [*map(str, verify(log)), *projections_problems(log)]
    document: dict[str, Any] = {
        "journal": journal,
        "budget": BUDGET,
        "sessions": sessions,
        "verify": {"ok": not problems, "problems": problems},
    }
    emit(document, _lines(sessions, pages, problems, journal), as_json)
    if problems:
        context.exit(1)


@contextmanager
def _place(journal: str | None) -> Iterator[str]:
    """Place of the journal: as the caller says, or a temporary folder."""
    if journal is not None:
        yield journal
        return
    with tempfile.TemporaryDirectory(prefix="clawvm-demo-") as folder:
        yield os.path.join(folder, "demo.db")


def _replayed(path: str) -> AbstractContextManager[EventLog]:
    """Replay the bundled session under each policy; the log, opened for reading."""
    from importlib.resources import as_file, files

    from clawvm_es.core.profiles import profile
    from clawvm_es.engine.journal import Journal
    from clawvm_es.importers.replay import ReplaySettings, replay
    from clawvm_es.storage import open_log

    with Journal.open(path, seed=SEED) as target, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        for policy in POLICIES:
            replay(target, file, ReplaySettings(policy=profile(policy), budget_tokens=BUDGET, name=f"demo-{policy}"))
        target.catch_up()
    return open_log(path, read_only=True)


def _lines(
    sessions: Sequence[Mapping[str, Any]],
    pages: Sequence[Mapping[str, Any]],
    problems: Sequence[str],
    kept: str | None,
) -> list[str]:
    from clawvm_es.cli.output import bad, good
    from clawvm_es.cli.summary import faults_text
    from clawvm_es.cli.tables import Column, fitted
    from clawvm_es.views.words import command

    ours = sessions[0]
    required = [page for page in pages if page["page_type"] in ("bootstrap", "constraint", "plan")]
    others = [page for page in pages if page["level"] != "absent" and page not in required]
    shown = [*required, *others[-_SHOWN:]]
    heading = style("clawvm demo", bold=True)
    journal = kept or "demo.db"
    return [
        "{0}: a coding session of {turns} turns, {tool_calls} tool calls and {1} pages,".format(
            heading, sum(ours["pages"].values()), **ours
        ),
        f"compacted once, under a budget of {BUDGET:,} tokens.",
        "",
        "What went wrong, by policy (needs are pages whose content the model used):",
        *fitted(
            sessions,
            (
                Column("policy", "policy", 0, True),
                Column("needs", "needs", 2),
                Column("hits", "hits", 1),
                Column("page-ins", "page_ins", 3),
                Column("faults", lambda each: sum(each["faults"].values())),
                Column("which", faults_text),
            ),
        ),
        "",
        f"The page table under clawvm at the end (the rules, the plan, and the last {_SHOWN} pages in the prompt):",
        *fitted(
            shown,
            (
                Column("page", "page_id", 0, True),
                Column("type", "page_type", 1, True),
                Column("level", "level", 0, True),
                Column("tokens", "tokens"),
                Column("full", "full_tokens", 2),
                Column("pin", "pin", 3),
                Column("title", "title"),
            ),
        ),
        "",
        f"Written back at the boundaries: {ours['committed']} versions of the plan, each validated first.",
        *(f"{bad('✗')} {problem}" for problem in problems),
        *([] if problems else [f"{good('✓')} the log verifies: chains, bodies, read models"]),
        "",
        "Try next:",
        *([] if kept else [f"  {command('demo', '--journal', journal)}"]),
        f"  {command('faults', journal, '--session', 'demo-retrieval')}",
        f"  {command('prompt', journal, '--session', 'demo-clawvm', '--turn', 20)}",
        f"  {command('trace', journal, '--session', 'demo-clawvm', '--page', 'p3')}",
        "  clawvm replay YOUR-SESSION.jsonl --journal j.db --budget 16000",
    ]
