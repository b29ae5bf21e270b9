"""`clawvm grep`: which texts of a journal say something. Twin of `clawvm_es.history.grep.grep`."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es.cli.options import journal_argument, json_option, place_options, session_option
from clawvm_es.cli.output import style

if TYPE_CHECKING:
    from clawvm_es.history.grep import Hit, Query

_BEFORE: Final = 30
"""Characters of a line shown before the place that was found."""
_WIDTH: Final = 100


@click.command()
@journal_argument
@click.argument("pattern")
@session_option
@place_options
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only texts of events of this type (repeatable)."
)
@click.option("--regex", is_flag=True, help="PATTERN is a regular expression, searched for in every text.")
@click.option("--ignore-case", "-i", is_flag=True, help="With --regex: upper and lower case are the same.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def grep(
    context: click.Context,
    journal: str,
    pattern: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    types: tuple[str, ...],
    regex: bool,
    ignore_case: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Find the texts that hold all words of PATTERN; words in double quotes have to stand together.

    Prints the event, what the text is there, and its line. Case and accents do not count. With --turn only that turn
    is searched, with --at everything up to that event. Exits 1 if nothing is found. Words of scripts that write no
    blanks between words (Chinese, Japanese, Thai, …) are found inside of a run; signs are not searched for, but with
    --regex.

    \b
    Example:
      clawvm grep j.db 'rate limit'
      clawvm grep j.db '"rate limit" retry' --type tool_returned
      clawvm grep j.db 'E[0-9]{4}' --regex --turn 40
    """
    from clawvm_es.cli.options import chosen, chosen_or_all, opened, version_at
    from clawvm_es.cli.output import emit, say
    from clawvm_es.errors import UsageError
    from clawvm_es.history import end_of_turn
    from clawvm_es.history import grep as library
    from clawvm_es.model.events import EVENT_TYPES

    for name in types:
        if name not in EVENT_TYPES:
            raise UsageError(f"unknown event type {name!r}", hint=f"one of {', '.join(sorted(EVENT_TYPES))}")
    query = _query(pattern, regex, ignore_case)
    for part in query.unsearched:
        say(f"{part!r} holds no word and is not searched for", "search for signs with --regex")
    with opened(journal) as log:
        placed = version is not None or turn is not None
        session_id = chosen(log, session) if placed else chosen_or_all(log, session)
        upto = None if session_id is None else version_at(log, session_id, version, turn)
        after = 0
        if turn is not None and session_id is not None:
            after = end_of_turn(log, session_id, turn - 1)
        hits = library.grep(log, query, session_id=session_id, after=after, upto=upto, types=types)
        found = list(islice(hits, limit + 1))
    more = len(found) > limit
    found = found[:limit]
    lines = [_shown(hit) for hit in found] or ["nothing found"]
    if more:
        lines.append(f"… there are more; --limit {2 * limit} shows some of them")
    emit({"journal": journal, "hits": [_document(hit) for hit in found], "more": more}, lines, as_json)
    if not found:
        context.exit(1)


def _query(pattern: str, regex: bool, ignore_case: bool) -> Query:
    from clawvm_es.errors import UsageError
    from clawvm_es.history.grep import Query, words

    if not regex:
        return words(pattern)
    try:
        return Query(pattern=re.compile(pattern, re.MULTILINE | (re.IGNORECASE if ignore_case else 0)))
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from None


def _document(hit: Hit) -> dict[str, Any]:
    return {
        "session_id": hit.session_id,
        "version": hit.version,
        "turn": hit.turn,
        "type": hit.type,
        "what": hit.what,
        "page_id": hit.page_id,
        "level": hit.level,
        "line": hit.line,
        "start": hit.start,
        "end": hit.end,
    }


def _shown(hit: Hit) -> str:
    """A hit on one line, the place marked on a terminal."""
    from clawvm_es.cli.output import one_line

    first = max(0, hit.start - _BEFORE)
    before = ("…" if first else "") + " ".join(hit.line[first : hit.start].split())
    blank = " " if hit.line[max(0, hit.start - 1) : hit.start].isspace() and before else ""
    said = style(one_line(hit.line[hit.start : hit.end], 60), bold=True)
    rest = one_line(hit.line[hit.end :], _WIDTH - _BEFORE)
    gap = " " if hit.line[hit.end : hit.end + 1].isspace() else ""
    level = f" ({hit.level})" if hit.level else ""
    place = style(f"{hit.session_id[:8]} v{hit.version} t{hit.turn}", fg="cyan")
    return f"{place} {hit.what}{level}: {before}{blank}{said}{gap}{rest}"
