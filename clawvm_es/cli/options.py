"""Arguments and options that verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clawvm_es.cli import pager, place
from clawvm_es.limits import LOCK_WAIT_S

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])


def _completer(kind: str) -> Callable[..., list[CompletionItem]]:
    """A completer of `completing`, which loads when a shell asks."""

    def complete(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from clawvm_es.cli import completing

        found: list[CompletionItem] = getattr(completing, kind)(context, option, incomplete)
        return found

    return complete


complete_sessions, complete_pages, complete_policies = map(_completer, ("sessions", "pages", "policies"))

journal_argument = place.journal_argument
no_pager_option = click.option(
    "--no-pager", is_flag=True, expose_value=False, callback=pager.remember, help="Print at once, without a pager."
)


def json_option(verb: F) -> F:
    """`--json`, and `--no-pager` for the text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(no_pager_option(verb))


executor_option = click.option(
    "--executor", "executor_name", metavar="NAME", help="local:N processes (default: one a core), or dask:ADDRESS."
)
format_option = click.option(
    "--format", "format_", metavar="NAME", help="Format of the files. Default: found out from each."
)
counter_option = click.option("--counter", metavar="NAME", help="Token counter. Default: o200k_base.")
tools_option = click.option(
    "--tools", "tools_file", metavar="FILE", help="Declare more tools (TOML, or JSON in a .json file)."
)
seed_option = click.option(
    "--seed", type=int, help="Derive salts from this number: the same input gives the same bytes anywhere."
)
secrets_option = click.option(
    "--hide-secrets/--keep-secrets",
    default=True,
    help="Replace credentials of known forms by their kind (the default), or keep them. A session stays as it began.",
)
group_option = click.option(
    "--group", is_flag=True, help="Let the file's group read and write what is made. Default: only its owner."
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=LOCK_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another writer.",
)
prices_option = click.option(
    "--prices",
    metavar="NAME|FILE",
    help="Price list: anthropic-5m, anthropic-1h, openai, gemini, or a JSON file of the same form. Default: that of "
    "each model; costs by our own counts are shown at anthropic-5m.",
)
session_option = click.option(
    "--session",
    "-s",
    metavar="ID",
    shell_complete=complete_sessions,
    help="Session id, or the beginning of one. Default: the only one.",
)
version_option = click.option("--at", "version", type=click.IntRange(1), metavar="VERSION", help="After this event.")
OTHER_POLICIES = (
    "clawvm_turn (selects at every turn), clawvm_paper (the paper's), clawvm_rank, lru, lru_turn; baselines: "
    "retrieval, retrieval_cache, compaction_hybrid, each also +fixed"
)
"""The policies beside `clawvm`, for the help of verbs that take one."""
turn_option = click.option("--turn", type=click.IntRange(1), metavar="N", help="At the end of this turn.")


def place_options(verb: F) -> F:
    """`--at VERSION` and `--turn N`."""
    return version_option(turn_option(verb))
