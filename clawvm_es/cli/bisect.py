"""`bisect`: the first event after which a question about the session's state is answered with yes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clawvm_es import views
from clawvm_es.cli.options import complete_names, complete_pages, journal_argument, json_option, session_option
from clawvm_es.cli.output import style

if TYPE_CHECKING:
    from clawvm_es.history.expressions import Question, Seen

_SHOWN = 8
"""Versions named on one line."""


@click.command()
@journal_argument
@session_option
@click.option("--when", "expression", metavar="EXPR", help="A question in the language below.")
@click.option("--fault", metavar="TYPE", shell_complete=complete_names, help="The first fault of this type.")
@click.option("--python", "file", type=click.Path(), metavar="FILE", help="A file with `def holds(state) -> bool`.")
@click.option("--page", metavar="ID", shell_complete=complete_pages, help="With --fault: only faults of this page.")
@click.option("--good", metavar="PLACE", help="VERSION or turn:N at which it does not hold. Default: the beginning.")
@click.option("--bad", metavar="PLACE", help="VERSION or turn:N up to which to look. Default: the end.")
@click.option(
    "--linear/--binary", default=None, help="Ask at every version, or search. Default: search where there are many."
)
@json_option
def bisect(
    journal: str,
    session: str | None,
    expression: str | None,
    fault: str | None,
    file: str | None,
    page: str | None,
    good: str | None,
    bad: str | None,
    linear: bool | None,
    as_json: bool,
) -> None:
    """Find the first event after which something holds. Exit code 1: it never holds.

    Up to 20,000 versions are all checked. More versions, and a FILE, are searched by halving. A search by halving
    is right if the question holds from some event on without a break; a break that it sees is reported. FILE is
    run as Python, with your rights.

    \b
    EXPR compares and joins with and, or, not:
      turn version budget fill tokens pages dirty pending calls   numbers (fill in permille)
      faults needs hits misses page_ins unmet                     how many were observed so far
      page.p7.level < structured     also floor, tokens, full_tokens, version, used,
                                     dirty, active, retired, redacted, type, pin, author
      resident(p7) absent(p7) known(p7)   store.goal >= 2   closed

    \b
    Example:
      clawvm bisect j.db --when 'absent(p7)'
      clawvm bisect j.db --when 'page.p7.level < structured and turn >= 40' --good turn:40
      clawvm bisect j.db --fault refetch --page p7
    """
    from clawvm_es.cli.output import emit, progress
    from clawvm_es.history import bisect as search
    from clawvm_es.history.expressions import pages_named
    from clawvm_es.views.held import require_pages
    from clawvm_es.views.reading import version_named

    ask = _question(expression, fault, file, page)
    with views.opened(journal) as log:
        session_id = views.chosen(log, session)
        named = () if expression is None else pages_named(expression)
        require_pages(log, session_id, named if page is None else (*named, page))
        first, last = (None if text is None else version_named(log, session_id, text) for text in (good, bad))
        if ask is None:
            found = search.first_fault(log, session_id, _fault_type(fault or ""), page, first, last)
        else:
            with progress("bisect") as show:
                linear = False if linear is None and file is not None else linear
                found = search.bisect(log, session_id, ask, first, last, linear=linear, progress=show)
        what = expression or file or f"fault {fault}{f' of {page}' if page else ''}"
        document = {"journal": journal} | views.bisect(log, journal, found, what)
    emit(document, _lines(document), as_json)
    if found.first is None:
        raise click.exceptions.Exit(1)


def _question(expression: str | None, fault: str | None, file: str | None, page: str | None) -> Question | None:
    """Question; None for a fault, which needs no state."""
    from clawvm_es.errors import UsageError
    from clawvm_es.history.expressions import question

    if sum(given is not None for given in (expression, fault, file)) != 1:
        raise UsageError("name one of --when, --fault and --python", hint="clawvm bisect --help")
    if page is not None and fault is None:
        raise UsageError("--page goes with --fault", hint="in an expression: page.ID.level")
    if expression is not None:
        return question(expression)
    return None if file is None else _from_file(file)


def _fault_type(name: str) -> Any:
    from clawvm_es.errors import UsageError
    from clawvm_es.model.facts import FaultType

    if name not in tuple(FaultType):
        raise UsageError(f"unknown fault type {name!r}", hint=f"one of {', '.join(FaultType)}")
    return FaultType(name)


# ------------------------------------------------------------------------------------- Python predicates


def _from_file(path: str) -> Question:
    """The question that a file's `holds` answers; an exception in it becomes an error with its line."""
    import runpy

    from clawvm_es.errors import UsageError

    try:
        holds = runpy.run_path(path).get("holds")
    except OSError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{_where(path, error)}: {_said(error)}") from error
    if not callable(holds):
        raise UsageError(f"{path}: defines no `holds`", hint="def holds(state) -> bool: ...")
    return lambda seen: _call(path, holds, seen)


def _call(path: str, holds: Callable[[Any], object], seen: Seen) -> bool:
    from clawvm_es.errors import UsageError

    version = seen.state.version
    try:
        answer = holds(seen.state)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{_where(path, error)}: holds raised {_said(error)} at version {version}") from error
    if not isinstance(answer, bool):
        raise UsageError(f"{path}: holds returned {answer!r} at version {version}, not True or False")
    return answer


def _where(path: str, error: BaseException) -> str:
    """The file and its last line that an error passed through."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {getattr(error, 'msg', error)}"


# ---------------------------------------------------------------------------------------------- output


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from clawvm_es.cli.output import hanging, whole
    from clawvm_es.views.events import brief

    what, good, bad, looked = (found[name] for name in ("question", "good", "bad", "looked"))
    every = f"all {looked:,}" if found["every"] else f"{looked:,} of {bad - good:,}"
    row = found["first"]
    if row is None:
        more = "" if found["every"] else "; --linear looks at every one"
        yield f"{what}: holds at none of {every} versions looked at, v{good + 1} to v{bad}{more}"
        return
    yield style(f"{what}: first at v{row['version']}, turn {row['turn']}", bold=True)
    yield ""
    for each in filter(None, (found["before"], row)):
        mark, colour = ("→", "yellow") if each is row else (" ", None)
        told = f"v{each['version']:<6} turn {each['turn']:<5} {each['type']:<24} {brief(each)}"
        yield from hanging(style(f"{mark} {told}", fg=colour), 2)
    yield ""
    yield f"looked at {every} versions, v{good + 1} to v{bad}"
    if not found["monotone"]:
        yield from _broken(found)
    if not found["every"]:
        yield "it may have held before, between versions that were not looked at: --linear asks at every one"
    for closer in found["closer"]:
        yield f"  {whole(closer)}"


def _broken(found: Mapping[str, Any]) -> Iterator[str]:
    """The note that the answer does not stay yes without a break, and the places where it changed."""
    begins, ceases = (_versions(found[name], found["every"]) for name in ("turns_true", "turns_false"))
    yield style("it does not hold from there on without a break:", fg="red")
    yield f"  begins to hold at {begins}; ceases at {ceases}"


def _versions(versions: Sequence[int], every: bool) -> str:
    shown = ", ".join(f"{'' if every else '≤ '}v{version}" for version in versions[:_SHOWN]) or "none"
    return shown + (f" and {len(versions) - _SHOWN} more" if len(versions) > _SHOWN else "")
