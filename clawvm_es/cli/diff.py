"""`diff`: where two runs part, or what differs between two moments of one.

Twin of `clawvm_es.history.compare.compare` and `clawvm_es.history.diff.diff`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import journal_argument, json_option, session_option
from clawvm_es.cli.output import style
from clawvm_es.cli.place import also_meant

if TYPE_CHECKING:
    from clawvm_es.history.diff import Changed, Diff, FieldDifference, PageDifference, PromptDifference, Side
    from clawvm_es.journal.ports import EventLog

_NAMED = 12
"""Page ids named on one line."""


@click.command()
@journal_argument
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@session_option
@click.option(
    "--against", type=click.Path(dir_okay=False), metavar="JOURNAL", callback=also_meant, help="B is in this journal."
)
@click.option("--times", is_flag=True, help="Of two sessions compare also times and the provider's token counts.")
@click.option("--limit", "-n", type=click.IntRange(0), default=10, show_default=True, help="Differences to list.")
@click.option("--prompt", "full", is_flag=True, help="The whole unified diff of the two prompts.")
@json_option
def diff(
    journal: str,
    a: str,
    b: str,
    session: str | None,
    against: str | None,
    times: bool,
    limit: int,
    full: bool,
    as_json: bool,
) -> None:
    """Tell where two runs part, or what differs between two moments of one.

    Of two sessions: what was said, called, returned and decided, event by event; the first difference with its
    turn, event, field and both values. Of one session: its pages, levels, store and prompt text at two moments.

    A and B are VERSION or turn:N (of --session), or ID@VERSION, ID@turn:N or ID of any session; turn:N is the
    end of that turn, an ID alone the session's end. Exit code 0 says that nothing differs, 1 that something does.

    \b
    Example:
      clawvm diff j.db monday tuesday
      clawvm diff j.db run-1 run-1 --against other.db
      clawvm diff j.db turn:39 turn:40 --session 9d7a
      clawvm diff j.db parent@812 fork --prompt
    """
    from clawvm_es.cli.compared import compared_document, compared_lines
    from clawvm_es.cli.options import opened
    from clawvm_es.cli.output import emit
    from clawvm_es.history.compare import compare
    from clawvm_es.history.diff import diff as ask

    with opened(journal) as log, opened(against) if against else nullcontext(log) as other:
        one, two = _moment(log, a, session), _moment(other, b, session)
        found = ask(log, one, two, other=other)
        runs = compare(log, one, two, other=other, times=times) if against or one[0] != two[0] else None
    document = _document(journal, found, full)
    lines = _lines(found, full)
    if runs is not None:
        document |= {"against": against, "same": found.same and runs.same, "runs": compared_document(runs, limit)}
        placed = full or any(end is not None for _, end in (one, two))
        ends = _at_ends(found, full) if placed else _brief(found)
        lines = chain(_sides(found), compared_lines(runs, limit, ends))
    emit(document, lines, as_json)
    if not document["same"]:
        raise click.exceptions.Exit(1)


def _moment(log: EventLog, text: str, session: str | None) -> tuple[str, int | None]:
    """The session and version that a moment names."""
    from clawvm_es.cli.options import chosen, is_place, version_named

    name, at, place = text.rpartition("@")
    if not at or not is_place(place):
        name, place = ("", text) if is_place(text) else (text, "")
    session_id = chosen(log, name or session)
    return session_id, version_named(log, session_id, place)


def _document(journal: str, found: Diff, full: bool) -> dict[str, Any]:
    import attrs

    document = {"journal": journal, "same": found.same, **attrs.asdict(found)}
    if found.prompt is not None and not full:
        del document["prompt"]["unified"]
    return document


def _lines(found: Diff, full: bool) -> Iterator[str]:
    """What differs between two moments of one session."""
    yield from _sides(found)
    if found.same:
        yield "nothing differs"
        return
    if found.settings:
        yield from _heading("settings", "")
        yield from (f"  {_changed(each)}" for each in found.settings)
    yield from _at_ends(found, full)


def _sides(found: Diff) -> Iterator[str]:
    yield f"a  {_side(found.a)}"
    yield f"b  {_side(found.b)}"


def _brief(found: Diff) -> Iterator[str]:
    """How much the ends of two runs differ in, on one line."""
    parts = [(len(found.pages), "pages"), (len(found.store), "fields of the store")]
    if found.prompt is not None:
        parts.append((found.prompt.lines_a + found.prompt.lines_b, "lines of the prompt"))
    if differing := ", ".join(f"{number} {what}" for number, what in parts if number):
        places = " ".join(f"{side.session_id}@{side.version}" for side in (found.a, found.b))
        yield f"at their ends differ {differing}; to see them: {places}"


def _at_ends(found: Diff, full: bool) -> Iterator[str]:
    """What differs between two moments, beside settings."""
    if found.pages:
        counts = [sum(each.only == side for each in found.pages) for side in ("b", "a", None)]
        yield from _heading("pages", "{} added, {} gone, {} changed".format(*counts))
        yield from map(_page, found.pages)
    if found.store:
        yield from _heading("store", f"{len(found.store)} fields")
        yield from (line for each in found.store for line in _field(each))
    if found.prompt is not None:
        yield from _prompt(found, found.prompt, full)


def _heading(name: str, words: str) -> Iterator[str]:
    yield ""
    yield style(name, bold=True) + (f"  {words}" if words else "")


def _side(side: Side) -> str:
    at = f"{side.session_id} v{side.version}, turn {side.turn}"
    if side.prompt_turn is None:
        return f"{at}; no prompt yet"
    return f"{at}; prompt of turn {side.prompt_turn}, {side.prompt_tokens} tokens"


def _changed(each: Changed) -> str:
    return f"{each.name} {_word(each.a)} → {_word(each.b)}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _page(each: PageDifference) -> str:
    if each.only is not None:
        kind, level, tokens = (change.a if each.only == "a" else change.b for change in each.changes)
        mark, colour = ("-", "red") if each.only == "a" else ("+", "green")
        return style(f"  {mark} {each.page_id:<6} {kind}, {tokens} tokens in full, {level}", fg=colour)
    words = [
        f"text differs ({each.a} → {each.b} tokens)" if each.name == "text" else _changed(each)
        for each in each.changes
    ]
    return f"  ~ {each.page_id:<6} {'; '.join(words)}"


def _field(each: FieldDifference) -> Iterator[str]:
    from clawvm_es.cli.output import one_line

    scope = "" if each.scope == "session" else f" of {each.scope}"
    yield f"  ~ {each.field}{scope}: version {each.a_version or 'none'} → {each.b_version or 'none'}"
    for mark, version, text, colour in (
        ("-", each.a_version, each.a, "red"),
        ("+", each.b_version, each.b, "green"),
    ):
        if version:
            yield style(f"    {mark} {'(erased)' if text is None else one_line(text, 88)}", fg=colour)


def _prompt(found: Diff, prompt: PromptDifference, full: bool) -> Iterator[str]:
    tokens = f"{_word(found.a.prompt_tokens)} → {_word(found.b.prompt_tokens)} tokens"
    yield from _heading("prompt", f"{tokens}; {prompt.lines_a} lines only in a, {prompt.lines_b} only in b")
    for side, ids in (("a", prompt.only_a), ("b", prompt.only_b)):
        if ids:
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            yield f"  only in {side}: {', '.join(ids[:_NAMED])}{more}"
    if not full:
        yield "  the texts: --prompt"
        return
    colours = {"+": "green", "-": "red", "@": "cyan"}
    yield from (style(line, fg=colours.get(line[:1])) for line in prompt.unified)
