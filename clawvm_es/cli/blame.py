"""`blame`: who wrote each version of a page or of a field of the durable store, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any, Final

import click

from clawvm_es import views
from clawvm_es.cli.options import complete_subjects, journal_argument, json_option, place_options, session_option
from clawvm_es.cli.output import counted, style

COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
"""The colours of a unified diff, by the first character of a line."""
SHOWN: Final = 12
"""Lines of a first version that a terminal shows."""


@click.command()
@journal_argument
@click.argument("subject", metavar="FIELD|PAGE", shell_complete=complete_subjects)
@session_option
@place_options
@click.option("--rejected", is_flag=True, help="Also the updates that were rejected, with the reason.")
@json_option
def blame(
    journal: str,
    subject: str,
    session: str | None,
    version: int | None,
    turn: int | None,
    rejected: bool,
    as_json: bool,
) -> None:
    """Tell who wrote every version of a field of the durable store, or of a page, when, and on what evidence.

    A later version is shown as a diff against the one before. --session may also name the stream of a shared
    scope.

    \b
    Example:
      clawvm blame j.db goal
      clawvm blame j.db p5 --turn 40
      clawvm blame j.db timezone --rejected --session scope:team
    """
    from clawvm_es.cli.output import emit

    with views.opened(journal) as log:
        stream = session if session is not None and log.head(session) is not None else views.chosen(log, session)
        document = {"journal": journal} | views.blame(
            log, stream, subject, version=version, turn=turn, rejected=rejected
        )
    emit(document, _lines(document), as_json)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from clawvm_es.cli.output import bad

    if contents := found["contents"]:
        title = f", “{found['title']}”" if found["title"] else ""
        yield style(f"page {found['subject']}, {contents[0]['page_type']}{title}", bold=True)
        for content in contents:
            yield from _content_lines(content)
        for mark in found["marks"]:
            yield f"    {mark['what']}: {_at(mark['event'])}"
    for scope in dict.fromkeys(value["scope"] for value in found["values"]):
        yield style(f"field {found['subject']} of {_scope_name(found, scope)}", bold=True)
        for value in found["values"]:
            if value["scope"] == scope:
                yield from _value_lines(found, value)
    if contents and not found["values"]:
        yield "it was never written back to the durable store"
    if "rejected" not in found:
        if found["rejected_updates"]:
            yield f"{counted(found['rejected_updates'], 'rejected update')}: --rejected"
        return
    yield style(counted(len(found["rejected"]), "rejected update"), bold=True)
    for value in found["rejected"]:
        yield from _value_lines(found, value, bad(str(value["reason"])))


def _scope_name(found: Mapping[str, Any], scope: str) -> str:
    return f"session {found['session_id']}" if scope == "session" else f"the shared scope {scope}"


def _content_lines(content: Mapping[str, Any]) -> Iterator[str]:
    from clawvm_es.cli.output import hanging, one_line
    from clawvm_es.views.words import origin

    where = content["provenance"]
    levels = ", ".join(f"{level} {tokens}" for level, tokens in content["levels"].items())
    yield from hanging(f"  {where['content_version']:>3}  {_at(where['written'])}, author {where['author']}", 7)
    yield from hanging(f"       from    {origin(where)}", 15)
    if where["source"]:
        yield from hanging(f"       source  {one_line(where['source'])}", 15)
    yield from hanging(f"       tokens  {levels}", 15)
    yield from _text_lines("text  ", content)


def _value_lines(found: Mapping[str, Any], value: Mapping[str, Any], rejected: str = "") -> Iterator[str]:
    from clawvm_es.cli.output import hanging

    number = "  –" if value["field_version"] is None else f"{value['field_version']:>3}"
    of = "" if value["scope_version"] is None else f", scope version {value['scope_version']}"
    size = "" if value["size_bytes"] is None else f", {value['size_bytes']:,} bytes"
    who = f", session {value['session_id']}" if value["session_id"] != found["session_id"] else ""
    what = f"{rejected} {value['op']}" if rejected else f"{value['op']}"
    yield from hanging(f"  {number}  {what}, {_at(value['settled'])}{of}{size}{who}", 7)
    if value["staged"] is not None:
        yield from hanging(f"       staged    {_at(value['staged'])}", 17)
    yield from hanging(f"       evidence  {_evidence(value['evidence'])}", 17)
    if value["validators"]:
        asked = value["validators"].items()
        told = (name if "=" in name else f"{name} {'agrees' if said else 'refuses'}" for name, said in asked)
        yield from hanging(f"       asked     {', '.join(told)}", 17)
    yield from _text_lines("value   ", value)


def _text_lines(name: str, version: Mapping[str, Any]) -> Iterator[str]:
    """The text of a first version; for later versions the changed lines."""
    from clawvm_es.cli.output import hanging, terminal_width

    diff = version.get("diff")
    if version["text"] is None:
        yield f"       {name}  (erased)"
    elif diff is None:
        lines = version["text"].splitlines() or [""]
        shown = lines if terminal_width() is None else lines[:SHOWN]
        for before, line in zip(chain((name,), repeat("")), shown, strict=False):
            yield from hanging(f"       {before:{len(name)}}  {line}", 9 + len(name))
        if more := len(lines) - len(shown):
            yield f"       {'':{len(name)}}  … and {more:,} more lines"
    elif not diff:
        yield f"       {name}  as before"
    else:
        yield f"       {name.rstrip()}"
        for line in diff:
            sign, rest = (line, "") if line.startswith("@") else (line[:1], f" {line[1:]}")
            yield style(f"         {sign}{rest}", fg=COLOURS.get(sign[:1]))


def _evidence(evidence: Mapping[str, Any]) -> str:
    from clawvm_es.views.words import origin, place

    if (where := evidence["page"]) is not None:
        return f"page {where['page_id']} version {where['content_version']}, {origin(where)}"
    if evidence["event"] is not None:
        return place(evidence["event"])
    return "unresolved" if evidence["scope_version"] is None else f"scope version {evidence['scope_version']}"


def _at(event: Mapping[str, Any]) -> str:
    from clawvm_es.cli.times import shown_time

    return "v{version} turn {turn} {type}, {0} by {principal}".format(shown_time(event["time"]), **event)
