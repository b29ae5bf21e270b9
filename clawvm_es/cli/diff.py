"""`diff`: what differs between two moments of one session or of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clawvm_es.cli.options import journal_argument, json_option, session_option
from clawvm_es.cli.output import style

if TYPE_CHECKING:
    from clawvm_es.history.diff import Changed, Diff, FieldDifference, PageDifference, PromptDifference, Side
    from clawvm_es.journal.sqlite_log import SQLiteLog

_NAMED = 12
"""Page ids named on one line."""


@click.command()
@journal_argument
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@session_option
@click.option("--prompt", "full", is_flag=True, help="The whole unified diff of the two prompts.")
@json_option
def diff(journal: str, a: str, b: str, session: str | None, full: bool, as_json: bool) -> None:
    """Tell what differs between two moments: pages, levels, store, settings and prompt text.

    A moment is VERSION or turn:N (of --session), or ID@VERSION, ID@turn:N or ID of any session; turn:N is the
    end of that turn, an ID alone the session's end. Exit code 0 says that nothing differs, 1 that something does.

    \b
    Example:
      clawvm diff j.db turn:39 turn:40 --session 9d7a
      clawvm diff j.db 9d7a@turn:40 tight@turn:40 --prompt
      clawvm diff j.db parent@812 fork
    """
    from clawvm_es.cli.options import opened
    from clawvm_es.cli.output import emit
    from clawvm_es.history.diff import diff as ask

    with opened(journal) as log:
        found = ask(log, _moment(log, a, session), _moment(log, b, session))
    emit(_document(journal, found, full), _lines(found, full), as_json)
    if not found.same:
        raise click.exceptions.Exit(1)


def _moment(log: SQLiteLog, text: str, session: str | None) -> tuple[str, int | None]:
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
    yield f"a  {_side(found.a)}"
    yield f"b  {_side(found.b)}"
    if found.same:
        yield "nothing differs"
        return
    if found.settings:
        yield from _heading("settings", "")
        yield from (f"  {_changed(each)}" for each in found.settings)
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
