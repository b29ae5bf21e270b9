"""`diff`: the first difference of two runs, or all differences between two moments of one.

Twin of `clawvm_es.views.diff`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from typing import Any

import click

from clawvm_es import views
from clawvm_es.cli.blame import COLOURS
from clawvm_es.cli.options import Whole, journal_argument, json_option, session_option
from clawvm_es.cli.output import counted, hanging, style, whole
from clawvm_es.cli.place import also_meant
from clawvm_es.cli.tables import table

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
@click.option("--limit", "-n", type=Whole(0), metavar="N", default=10, show_default=True, help="Differences to list.")
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
    """Show the first difference of two runs, or all differences between two moments of one.

    Two sessions are compared event by event (texts, calls, results, decisions); the first difference is shown with
    its turn, event, field and both values. Two moments of one session are compared by pages, levels, store and
    prompt text.

    A and B are VERSION or turn:N (of --session), or ID@VERSION, ID@turn:N or ID of any session; turn:N is the end
    of that turn, an ID alone the session's end. Exit code 0: nothing differs; 1: something does.

    \b
    Example:
      clawvm diff j.db monday tuesday
      clawvm diff j.db run-1 run-1 --against other.db
      clawvm diff j.db turn:39 turn:40 --session 9d7a
      clawvm diff j.db parent@812 fork --prompt
    """
    from clawvm_es.cli.output import emit

    with views.opened(journal) as log, views.opened(against) if against else nullcontext() as other:
        one = views.moment(log, a, session)
        two = views.moment(log if other is None else other, b, session)
        document = {"journal": journal} | views.diff(
            log, one, two, other=other, times=times, limit=limit, unified=full
        )
    if "runs" in document:
        document["against"] = against
        placed = full or any(end is not None for _, end in (one, two))
        ends = _at_ends(document, full) if placed else _brief(document)
        lines: Iterable[str] = chain(_sides(document), _run_lines(document["runs"], ends))
    else:
        lines = _lines(document, full)
    emit(document, lines, as_json)
    if not document["same"]:
        raise click.exceptions.Exit(1)


def _lines(found: Mapping[str, Any], full: bool) -> Iterator[str]:
    """Differences between two moments of one session."""
    yield from _sides(found)
    if found["same"]:
        yield "nothing differs"
        return
    if found["settings"]:
        yield from _heading("settings", "")
        yield from (f"  {_changed(each)}" for each in found["settings"])
    yield from _at_ends(found, full)


def _sides(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"a  {_side(found['a'])}"
    yield f"b  {_side(found['b'])}"


def _brief(found: Mapping[str, Any]) -> Iterator[str]:
    """Return the differences of the ends of two runs on one line."""
    parts = [(len(found["pages"]), "pages"), (len(found["store"]), "fields of the store")]
    if (prompt := found["prompt"]) is not None:
        parts.append((prompt["lines_a"] + prompt["lines_b"], "lines of the prompt"))
    if differing := ", ".join(f"{number} {what}" for number, what in parts if number):
        places = " ".join("{session_id}@{version}".format(**found[side]) for side in ("a", "b"))
        yield f"at their ends differ {differing}; to see them: {places}"


def _at_ends(found: Mapping[str, Any], full: bool) -> Iterator[str]:
    """Differences between two moments, without settings."""
    if found["pages"]:
        counts = [sum(each["only"] == side for each in found["pages"]) for side in ("b", "a", None)]
        yield from _heading("pages", "{} added, {} gone, {} changed".format(*counts))
        yield from (part for each in found["pages"] for part in hanging(_page(each), 4))
    if found["store"]:
        yield from _heading("store", counted(len(found["store"]), "field"))
        yield from (part for each in found["store"] for line in _field(each) for part in hanging(line, 6))
    if found["prompt"] is not None:
        yield from _prompt(found, found["prompt"], full)


def _run_lines(runs: Mapping[str, Any], ends: Iterable[str]) -> Iterator[str]:
    """A comparison for people: the first differences, counts, differences at the ends, and the verdict."""
    from clawvm_es.cli.output import bad, good

    first, number = runs["first"], runs["differences"]
    if runs["settings"]:
        yield "settings  " + "; ".join("{name} {a} → {b}".format(**each) for each in runs["settings"])
    if first is not None:
        yield ""
        yield style("first difference", bold=True)
        yield f"  {first['text']}"
        later = runs["listed"][1:]
        if later:
            yield style("then", bold=True)
            yield from (f"  {each['text']}" for each in later)
        if more := number - 1 - len(later):
            yield f"  … and {more:,} more (-n {number} lists them)"
        yield ""
        hows = ("changed", "only_a", "only_b")
        cells = [
            (kind, *(counted.get(how, 0) for how in hows), runs["firsts"][kind]["place"])
            for kind, counted in runs["counts"].items()
        ]
        yield from table(cells, ("kind", "changed", "only in a", "only in b", "first"))
    if runs["erased_in_both"]:
        erased = counted(runs["erased_in_both"], "text")
        yield f"! {erased} erased in both runs: nobody can tell whether they differed"
    at_ends = list(ends)
    yield from at_ends
    alike = "the same was said, called, returned and decided"
    if first is not None:
        differ = f"{counted(number, 'event')} {'differs' if number == 1 else 'differ'}"
        yield f"{bad('✗')} {differ}, first at {first['text']}"
    elif runs["settings"] or at_ends:
        yield f"{bad('✗')} {alike}; {'settings' if runs['settings'] else 'the ends'} differ"
    else:
        yield f"{good('✓')} nothing differs: {alike}"


def _heading(name: str, words: str) -> Iterator[str]:
    yield ""
    yield style(name, bold=True) + (f"  {words}" if words else "")


def _side(side: Mapping[str, Any]) -> str:
    at = "{session_id} v{version}, turn {turn}".format(**side)
    if side["prompt_turn"] is None:
        return f"{at}; no prompt yet"
    return "{0}; prompt of turn {prompt_turn}, {prompt_tokens:,} tokens".format(at, **side)


def _changed(each: Mapping[str, Any]) -> str:
    return f"{each['name']} {_word(each['a'])} → {_word(each['b'])}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _page(each: Mapping[str, Any]) -> str:
    page_id, title = each["page_id"], f"  “{each['title']}”" if each["title"] else ""
    if each["only"] is not None:
        kind, level, tokens = (change[each["only"]] for change in each["changes"])
        mark, colour = ("-", "red") if each["only"] == "a" else ("+", "green")
        return style(f"  {mark} {page_id:<6} {kind}, {tokens:,} tokens in full, {level}{title}", fg=colour)
    words = [
        f"text differs ({change['a']:,} → {change['b']:,} tokens)" if change["name"] == "text" else _changed(change)
        for change in each["changes"]
    ]
    return f"  ~ {page_id:<6} {'; '.join(words)}{title}"


def _field(each: Mapping[str, Any]) -> Iterator[str]:
    from clawvm_es.cli.output import one_line

    scope = "" if each["scope"] == "session" else f" of {each['scope']}"
    yield f"  ~ {each['field']}{scope}: version {each['a_version'] or 'none'} → {each['b_version'] or 'none'}"
    for side, mark, colour in (("a", "-", "red"), ("b", "+", "green")):
        if each[f"{side}_version"]:
            text = each[side]
            yield style(f"    {mark} {'(erased)' if text is None else one_line(text)}", fg=colour)


def _prompt(found: Mapping[str, Any], prompt: Mapping[str, Any], full: bool) -> Iterator[str]:
    tokens = f"{_word(found['a']['prompt_tokens'])} → {_word(found['b']['prompt_tokens'])} tokens"
    lines = f"{counted(prompt['lines_a'], 'line')} only in a, {prompt['lines_b']:,} only in b"
    yield from _heading("prompt", f"{tokens}; {lines}")
    for side in ("a", "b"):
        if ids := prompt[f"only_{side}"]:
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            yield f"  only in {side}: {', '.join(ids[:_NAMED])}{more}"
    if not full:
        yield "  the texts: --prompt"
        return
    yield from (whole(style(line, fg=COLOURS.get(line[:1]))) for line in prompt["unified"])
