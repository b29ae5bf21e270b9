"""Arguments and options that verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clawvm_es.cli import pager, place
from clawvm_es.limits import LOCK_WAIT_S

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from clawvm_es.model.profile import Capability

F = TypeVar("F", bound=Callable[..., Any])


def _completer(kind: str) -> Callable[..., list[CompletionItem]]:
    """A completer of `completing`, which loads when a shell asks."""

    def complete(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from clawvm_es.cli import completing

        found: list[CompletionItem] = getattr(completing, kind)(context, option, incomplete)
        return found

    return complete


complete_sessions, complete_pages, complete_policies = map(_completer, ("sessions", "pages", "policies"))
complete_fields, complete_subjects, complete_names = map(_completer, ("fields", "subjects", "names"))


class Whole(click.IntRange):
    """A whole number in a range, called an integer in help and messages."""

    name = "integer"


class Day(click.DateTime):
    """A day, which messages show as people write it."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The day; raises `BadParameter` with the form that is expected."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no day such as 2026-11-27.", param, ctx)


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
    "--format",
    "format_",
    metavar="NAME",
    shell_complete=complete_names,
    help="Format of the files. Default: detected in each by its content.",
)
counter_option = click.option("--counter", metavar="NAME", help="Token counter. Default: o200k_base.")
tools_option = click.option(
    "--tools", "tools_file", metavar="FILE", help="Declare more tools (TOML, or JSON in a .json file)."
)
seed_option = click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Derive salts from this number: the same input gives the same bytes anywhere.",
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
    shell_complete=complete_names,
    help="Price list: anthropic-5m, anthropic-1h, openai, gemini, or a JSON file of the same form. Default: that of "
    "each model; costs by our own counts are shown at anthropic-5m.",
)


def _session_option(default: str) -> Callable[[F], F]:
    told = f"Session id, or the beginning of one. Default: {default}."
    return click.option("--session", "-s", metavar="ID", shell_complete=complete_sessions, help=told)


session_option = _session_option("the only one")
sessions_option = _session_option("all")


def types_option(what: str) -> Callable[[F], F]:
    """`--type`, any number of times, for a verb that shows `what` of some types of events."""
    told = f"Only {what} of this type (repeatable)."
    return click.option("--type", "types", multiple=True, metavar="TYPE", shell_complete=complete_names, help=told)


def mechanisms(names: Iterable[str]) -> list[Capability]:
    """The mechanisms of `--without`; raises `UsageError` for an unknown name."""
    from clawvm_es.errors import UsageError
    from clawvm_es.model.profile import Capability

    known = {each.value: each for each in Capability}
    words = [name.strip() for name in names]
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None:
        raise UsageError(f"unknown mechanism {unknown!r}", hint=f"one of {', '.join(known)}")
    return [known[word] for word in words]


OTHER_POLICIES = (
    "clawvm_turn (selects at every turn), clawvm_paper (the paper's), clawvm_rank, lru, lru_turn; baselines: "
    "retrieval, retrieval_cache, compaction_hybrid, each also +fixed"
)
"""The policies beside `clawvm`, for the help of verbs that take one."""


def _place_options(at: str, turn: str) -> Callable[[F], F]:
    version_option = click.option("--at", "version", type=Whole(1), metavar="VERSION", help=at)
    turn_option = click.option("--turn", type=Whole(1), metavar="N", help=turn)
    return lambda verb: version_option(turn_option(verb))


place_options = _place_options("As of this event. Default: the last.", "As of the end of this turn.")
events_options = _place_options("Only up to this event.", "Only this turn.")
prompt_options = _place_options("The last prompt up to this event.", "The prompt of this turn. Default: the last.")
