"""The report in Markdown (tables as GitHub has them)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from clawvm_es.evaluation.cells import Table
from clawvm_es.evaluation.report.model import FRONT_COLUMNS, INTRODUCTION, TITLE, Part, Report, points_of, verdict
from clawvm_es.evaluation.report.text import clean, figures, shown

_INTERVAL: Final = r"\[[-+]\d+, [-+]\d+\](?![\[(:])"
"""Brackets that Markdown takes for no link."""
_MARKS: Final = re.compile(rf"({_INTERVAL})|([\\*\[\]<>|#`]|(?<!\w)_|_(?!\w))")
_STARTS: Final = re.compile(r"^([-+](?!\d)|\d+(?=[.)] ))")
"""Beginnings of lists."""


def render(report: Report) -> str:
    """The page: a summary, then a section for each experiment."""
    lines = [f"# {TITLE}", "", _prose(INTRODUCTION), "", *_pictures(report), *_summary(report)]
    for part in report.steady:
        lines += _section(part)
    if report.timed:
        lines += ["## Timings", "", "They differ from run to run: [timings.md](timings.md).", ""]
    return "\n".join(lines)


def render_timings(report: Report) -> str:
    """The parts that hold timings, on a page of their own."""
    lines = [f"# {TITLE}: timings", "", "Measured on one machine; another run gives other figures.", ""]
    for part in report.timed:
        lines += _section(part)
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _STARTS.sub(r"\\\1", _inner(clean(text)))


def _prose(text: str) -> str:
    """Our own sentences; text between backticks is code."""
    parts = clean(text).split("`")
    if len(parts) % 2 == 0:
        return escaped(text)
    return "".join(f"`{part}`" if place % 2 else _inner(part) for place, part in enumerate(parts))


def _inner(part: str) -> str:
    return _MARKS.sub(lambda found: found[1] or f"\\{found[2]}", part.replace("&", "&amp;"))


def _summary(report: Report) -> Iterator[str]:
    yield from ("## Summary", "")
    rows = [
        (part.section.title, part.shows, verdict(part), part.section.paper_verdict or "–") for part in report.parts
    ]
    rows += [(name, "", f"left out: {why}", "–") for name, why in report.left_out.items()]
    yield from _grid(("experiment", "what it shows", "verdict", "the paper, on its workloads"), rows)
    yield ""
    yield "Settings: " + ", ".join(f"{name} {escaped(_told(value))}" for name, value in report.settings.items()) + "."
    yield ""


def _pictures(report: Report) -> Iterator[str]:
    """The points of what the page shows first, as tables."""
    for part in report.steady:
        for picture in part.section.pictures:
            rows = tuple([(name, *point) for name, told in points_of(picture) for point in told])
            yield from _table(Table(picture.title, FRONT_COLUMNS, rows, picture.note), "")


def _told(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _section(part: Part) -> Iterator[str]:
    section = part.section
    yield from (f"## {escaped(section.title)}", "", f"*{escaped(part.shows)}*", "")
    if not part.timed:
        yield from (f"**Verdict: {escaped(verdict(part))}.**", "")
    for paragraph in section.paragraphs:
        yield from (_prose(paragraph), "")
    for table in section.tables:
        yield from _table(table, "")
    for table in section.paper:
        yield from _table(table, "Paper · ")


def _table(table: Table, mark: str) -> Iterator[str]:
    yield from (f"### {mark}{escaped(table.title)}", "")
    yield from _grid(table.columns, table.rows)
    yield ""
    if table.note:
        yield from (_prose(table.note), "")


def _grid(columns: Sequence[str], rows: Sequence[Sequence[int | str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(escaped, columns)) + " |"
    yield "|" + "|".join("---:" if right else "---" for right in figures(rows, len(columns))) + "|"
    for row in rows:
        yield "| " + " | ".join(escaped(shown(value)) for value in row) + " |"
