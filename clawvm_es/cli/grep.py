"""`clawvm grep`: find texts of a journal. Twin of `clawvm_es.views.grep`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es import views
from clawvm_es.cli.options import (
    Whole,
    events_options,
    journal_argument,
    json_option,
    sessions_option,
    types_option,
)
from clawvm_es.cli.output import style
from clawvm_es.cli.tables import Column, emit_rows, shape_options

if TYPE_CHECKING:
    from clawvm_es.history.grep import Query

_BEFORE: Final = 30
"""Characters of a line shown before the place that was found."""


@click.command()
@journal_argument
@click.argument("pattern")
@sessions_option
@events_options
@types_option("texts of events")
@click.option("--regex", is_flag=True, help="PATTERN is a regular expression, searched for in every text.")
@click.option("--ignore-case", "-i", is_flag=True, help="With --regex: upper and lower case are the same.")
@click.option("--index", is_flag=True, help="First index the texts that were written since the last time.")
@click.option("--limit", "-n", type=Whole(1), metavar="N", default=50, show_default=True, help="At most so many.")
@shape_options
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
    index: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Find the texts that hold all words of PATTERN; words in double quotes form a phrase.

    Prints the event, the role of the text in it, and the matching line. Case and accents are ignored. With --turn
    only that turn is searched, with --at everything up to that event. Exit code 1: nothing is found. In scripts
    without blanks between words (Chinese, Japanese, Thai, …) a word is found anywhere inside a run. Punctuation is
    searched only with --regex. Texts that are not in the full-text index yet are scanned; --index (which writes to
    the journal) and `clawvm rebuild` add them to it.

    \b
    Example:
      clawvm grep j.db 'rate limit'
      clawvm grep j.db '"rate limit" retry' --type tool_returned
      clawvm grep j.db 'E[0-9]{4}' --regex --turn 40
    """
    from clawvm_es.cli.output import counted, say, terminal_width
    from clawvm_es.views.reading import chosen_or_all, short_ids

    query = _query(pattern, regex, ignore_case)
    for part in query.unsearched:
        say(f"{part!r} holds no word and is not searched for", "search for signs with --regex")
    if index:
        _index(journal)
    with views.opened(journal) as log:
        placed = version is not None or turn is not None
        session_id = views.chosen(log, session) if placed else chosen_or_all(log, session)
        document = {"journal": journal} | views.grep(
            log, query, session_id, version=version, turn=turn, types=types, limit=limit
        )
        short = short_ids(log) if terminal_width() is not None else {}
    if document["scanned"]:
        say(f"scanned {counted(document['scanned'], 'text')} that no index holds yet", "grep --index indexes them")
    found = document["hits"]
    lines = [_shown(hit, short.get(hit["session_id"], hit["session_id"])) for hit in found] or ["nothing found"]
    if document["more"]:
        lines.append(f"… there are more; --limit {2 * limit} shows some of them")
    emit_rows(document, found, _COLUMNS, as_json, text=lines)
    if not found:
        context.exit(1)


def _index(journal: str) -> None:
    from clawvm_es.projections import index_texts
    from clawvm_es.storage import open_log
    from clawvm_es.views.reading import require_journal

    require_journal(journal)
    with open_log(journal) as log:
        index_texts(log)


def _query(pattern: str, regex: bool, ignore_case: bool) -> Query:
    from clawvm_es.errors import UsageError
    from clawvm_es.history.grep import Query, words

    if not regex:
        return words(pattern)
    try:
        return Query(pattern=re.compile(pattern, re.MULTILINE | (re.IGNORECASE if ignore_case else 0)))
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from None


_COLUMNS = (
    Column("session", "session_id"), Column("version", "version"), Column("turn", "turn"), Column("what", "what"),
    Column("page", "page_id", 1), Column("title", "title", 2), Column("line", "line"),
)  # fmt: skip


def _shown(hit: Mapping[str, Any], session: str) -> str:
    """A hit on one line, the match marked on a terminal."""
    from clawvm_es.cli.output import fit, one_line, terminal_width

    line, start, end = hit["line"], hit["start"], hit["end"]
    first = 0 if terminal_width() is None else max(0, start - _BEFORE)
    before = ("…" if first else "") + one_line(line[first:start])
    blank = " " if line[max(0, start - 1) : start].isspace() and before else ""
    gap = " " if line[end : end + 1].isspace() else ""
    said = style(one_line(line[start:end]), bold=True)
    level = f" ({hit['level']})" if hit["level"] else ""
    title = f" “{hit['title']}”" if hit["title"] and hit["title"].rstrip("…") not in one_line(line) else ""
    place = style(f"{session} v{hit['version']} t{hit['turn']}", fg="cyan")
    return fit(f"{place} {hit['what']}{level}{title}: {before}{blank}{said}{gap}{one_line(line[end:])}")
