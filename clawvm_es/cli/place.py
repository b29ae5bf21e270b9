"""The journal's place, by one rule for every verb: `--journal`, else `$CLAWVM_JOURNAL`, else the data folder.

LAW-PLACE-1: the first row that applies names the journal.

    named by           | when
    -------------------+---------------------------------------------------------------------------
    `--journal FILE`   | given; a JOURNAL argument beside it is wrong usage
    argument JOURNAL   | the verb got one argument more than it needs, and this is the first
    `$CLAWVM_JOURNAL`  | set, and not empty
    the data folder    | always; the place is printed on stderr

Counting arguments suffices: a verb needs a fixed number of other arguments, so the meaning of the first one never
depends on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from clawvm_es.urls import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

VARIABLE: Final = "CLAWVM_JOURNAL"
_LIVE: Final = ("install", "uninstall", "doctor", "hook", "mcp", "proxy")
"""Verbs that handle what live harnesses told themselves; all others take it before they read."""
_GIVEN: Final = "clawvm_es.cli.place.given"
_WORDS: Final = "clawvm_es.cli.place.words"
_MEANT: Final = "clawvm_es.cli.place.meant"
_DEFAULT: Final = f"Default: ${VARIABLE}, else journal.db in the platform's data folder."


def default_journal() -> str:
    """The journal in the platform's data folder, such as `~/.local/share/clawvm/journal.db`."""
    from platformdirs import user_data_path

    return str(user_data_path("clawvm", appauthor=False) / "journal.db")


def journal_argument(verb: F) -> F:
    """Add the journal of a verb, which must exist: a first argument, or `--journal`."""
    argument = click.argument(
        "journal",
        nargs=-1,
        type=click.Path(),
        metavar="[JOURNAL]",
        callback=_from_argument,
        shell_complete=_complete,
    )
    option = click.option(
        "--journal",
        "-j",
        "given",
        type=click.Path(),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help=f"The journal; the same as a JOURNAL before the other arguments. {_DEFAULT}",
    )
    return argument(option(verb))


def _complete(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from clawvm_es.cli.completing import journal

    return journal(context, argument, incomplete)


def made_journal_option(verb: F) -> F:
    """Add the journal to which a verb writes, made if it does not exist: `--journal`."""
    return click.option(
        "--journal",
        "-j",
        type=click.Path(),
        metavar="FILE",
        callback=_to_make,
        help=f"The journal; made if it does not exist. {_DEFAULT}",
    )(verb)


def meant(context: click.Context) -> list[str]:
    """The journals that the running verb reads or writes, as far as its arguments were parsed."""
    found: list[str] = context.meta.setdefault(_MEANT, [])
    return found


def named_so_far(context: click.Context) -> str | None:
    """The journal named by `--journal` or `$CLAWVM_JOURNAL`, while a shell completes; None if there is none."""
    given: str | None = context.meta.get(_GIVEN)
    return given or os.environ.get(VARIABLE) or None


def words_so_far(context: click.Context) -> tuple[str, ...]:
    """The words before the other arguments, while a shell completes."""
    found: tuple[str, ...] = context.meta.get(_WORDS, ())
    return found


def also_meant(context: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """Callback of an option that names one more journal."""
    if path:
        path = shown(path)
        meant(context).append(path)
    return path


def _remember(context: click.Context, _: click.Parameter, given: str | None) -> None:
    context.meta[_GIVEN] = given


def _from_argument(context: click.Context, _: click.Parameter, words: Sequence[str]) -> str:
    """The journal of a verb that requires an existing one."""
    given: str | None = context.meta.get(_GIVEN)
    if context.resilient_parsing:
        context.meta[_WORDS] = tuple(words or ())
        return given or ""
    if len(words) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({shown(words[-1])})", context)
    if given is not None and words:
        two = f"--journal {shown(given)}, and the argument {shown(words[0])}"
        raise click.UsageError(f"Two journals: {two}", context)
    named = given if given is not None else next(iter(words), None)
    if named is not None:
        return _named(context, named)
    if found := os.environ.get(VARIABLE):
        return _named(context, found)
    path = default_journal()
    if not os.path.exists(path):
        usage = " ".join(context.command.collect_usage_pieces(context)[1:])
        raise click.UsageError(
            f"{path}: there is no journal in the default place; name one with --journal or ${VARIABLE}, "
            f"or before the other arguments: {usage}",
            context,
        )
    _tell(path)
    return _named(context, path)


def _to_make(context: click.Context, _: click.Parameter, given: str | None) -> str:
    """The journal of a verb that may make one; the default's folder is made with it, for its owner only."""
    if context.resilient_parsing:
        return given or ""
    if given is not None:
        return _named(context, given)
    if found := os.environ.get(VARIABLE):
        return _named(context, found)
    path = default_journal()
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    _tell(path)
    return _named(context, path)


def _named(context: click.Context, path: str) -> str:
    if not path:
        raise click.UsageError("The journal's name is empty", context)
    path = shown(path)
    meant(context).append(path)
    if context.info_name not in _LIVE:
        _take_what_waits(path)
    return path


def _take_what_waits(path: str) -> None:
    """Record what live harnesses reported and no engine has recorded yet."""
    from clawvm_es.files import SPOOL

    if os.path.isdir(path + SPOOL):
        from clawvm_es.integrations.ingest import take_quietly

        take_quietly(path)


def _tell(path: str) -> None:
    from clawvm_es.cli.output import say

    say(f"journal {path}")
