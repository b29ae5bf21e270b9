"""The report as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from clawvm_es.evaluation.cells import Chart, Front, Table
from clawvm_es.evaluation.report.charts import drawable, front, number, svg
from clawvm_es.evaluation.report.model import FRONT_COLUMNS, INTRODUCTION, TITLE, Part, Report, points_of, verdict
from clawvm_es.evaluation.report.style import CSS
from clawvm_es.evaluation.report.text import clean, figures, shown

DRAWS: Final = "This table is a chart where the extra `charts` is installed: `pip install 'clawvm-es[charts]'`."
LONG: Final = 30
"""Tables of more rows are folded up."""


def render(report: Report) -> str:
    """The page: contents, a summary, then a section for each experiment."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{TITLE}</title>",
            f"<style>{CSS}</style>",
            "</head>",
            "<body>",
            *_contents(report),
            "<main>",
            f"<h1>{TITLE}</h1>",
            *_pictures(report),
            f"<p>{_prose(INTRODUCTION)}</p>",
            *_summary(report),
            *(line for part in report.steady for line in _section(part)),
            *_timings(report),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _contents(report: Report) -> Iterator[str]:
    yield '<nav aria-label="Contents"><ol>'
    yield '<li><a href="#summary">Summary</a></li>'
    for part in report.steady:
        yield f'<li><a href="#{_id(part.name)}">{_text(part.section.title)}</a></li>'
    if report.timed:
        yield '<li><a href="#timings">Timings</a></li>'
    yield "</ol></nav>"


def _pictures(report: Report) -> Iterator[str]:
    """The pictures of all parts, which a reader should see first."""
    for part in report.steady:
        for place, picture in enumerate(part.section.pictures):
            yield from _picture(picture, f"{_id(part.name)}-front-{place}")


def _picture(picture: Front, identity: str) -> Iterator[str]:
    """Points of two figures as a drawing, or in a table where the library that draws is not installed."""
    if not drawable():
        rows = tuple([(name, *point) for name, told in points_of(picture) for point in told])
        yield from _table(Table(picture.title, FRONT_COLUMNS, rows, f"{picture.note} {DRAWS}"))
        return
    yield f'<figure class="front"><figcaption>{_text(picture.title)}</figcaption>'
    yield f'<div class="broad">{front(picture, identity)}</div>'
    yield f'<div class="narrow">{front(picture, f"{identity}-narrow", narrow=True)}</div>'
    yield f'<p class="note">{_prose(picture.note)}</p></figure>'


def _summary(report: Report) -> Iterator[str]:
    yield '<section id="summary"><h2>Summary</h2>'
    yield '<div class="wide"><table class="summary"><thead><tr>'
    yield "<th>experiment</th><th>what it shows</th><th>verdict</th>"
    yield "<th>the paper, on its workloads</th></tr></thead><tbody>"
    for part in report.parts:
        target = "timings" if part.timed else _id(part.name)
        yield (
            f'<tr><th scope="row"><a href="#{target}">{_text(part.section.title)}</a></th>'
            f"<td>{_text(part.shows)}</td><td>{_badge(part)}</td>"
            f'<td class="paper">{_text(part.section.paper_verdict) or "–"}</td></tr>'
        )
    for name, why in report.left_out.items():
        yield f'<tr><th scope="row">{_text(name)}</th><td></td><td>left out: {_text(why)}</td><td>–</td></tr>'
    yield "</tbody></table></div>"
    told = "; ".join(f"{_text(name)} {_text(_told(value))}" for name, value in report.settings.items())
    yield f'<p class="note">{_text(report.program)}; {told}. The same figures as data: '
    yield '<a href="report.json">report.json</a>, <a href="report.csv">report.csv</a>.</p></section>'


def _told(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _badge(part: Part) -> str:
    kind = {True: "good", False: "bad", None: "plain"}[part.section.holds]
    mark = {True: "✓ ", False: "✗ ", None: ""}[part.section.holds]
    return f'<span class="{kind}">{mark}{_text(verdict(part))}</span>'


def _section(part: Part) -> Iterator[str]:
    section = part.section
    yield f'<section id="{_id(part.name)}"><h2>{_text(section.title)}</h2>'
    yield f'<p class="shows">{_text(part.shows)}</p><p>{_badge(part)}</p>'
    for paragraph in section.paragraphs:
        yield f"<p>{_prose(paragraph)}</p>"
    for place, chart in enumerate(section.charts):
        yield from _chart(chart, f"{_id(part.name)}-{place}")
    for table in section.tables:
        yield from _table(table)
    if section.paper:
        yield '<aside class="paper" aria-label="Figures of the paper"><p class="mark">From the paper</p>'
        for table in section.paper:
            yield from _table(table)
        yield "</aside>"
    yield "</section>"


def _timings(report: Report) -> Iterator[str]:
    if report.timed:
        names = ", ".join(_text(part.section.title) for part in report.timed)
        yield '<section id="timings"><h2>Timings</h2>'
        yield f"<p>{names}: they differ from run to run and stand in files of their own, "
        yield '<a href="timings.md">timings.md</a> and <a href="timings.json">timings.json</a>.</p></section>'


def _chart(chart: Chart, identity: str) -> Iterator[str]:
    """A drawing, or its figures in a table where the library that draws is not installed."""
    if not drawable():
        heads = (chart.x_title or "", *chart.series)
        columns = [["" if value is None else number(value) for value in values] for values in chart.series.values()]
        yield from _table(Table(chart.title, heads, tuple(zip(chart.x, *columns, strict=True)), DRAWS))
        return
    yield f"<figure><figcaption>{_text(chart.title)}</figcaption>"
    yield f'<div class="wide">{svg(chart, identity)}</div>'
    yield "</figure>"


def _table(table: Table) -> Iterator[str]:
    folded = len(table.rows) > LONG or table.title.startswith("Appendix")
    if folded:
        yield f"<details><summary>{_text(table.title)} ({len(table.rows)} rows)</summary>"
    yield '<div class="wide"><table>'
    if not folded:
        yield f"<caption>{_text(table.title)}</caption>"
    sides = [' class="n"' if right else "" for right in figures(table.rows, len(table.columns))]
    heads = [f'<th scope="col"{side}>{_cell(name)}</th>' for side, name in zip(sides, table.columns, strict=True)]
    yield f"<thead><tr>{''.join(heads)}</tr></thead>"
    yield "<tbody>"
    for row in table.rows:
        yield _row(row, sides)
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="note">{_prose(table.note)}</p>'
    if folded:
        yield "</details>"


def _row(row: Sequence[int | str], sides: Sequence[str]) -> str:
    rest = zip(sides[1:], row[1:], strict=True)
    cells = "".join(f"<td{side}>{_cell(shown(value))}</td>" for side, value in rest)
    return f'<tr><th scope="row">{_text(shown(row[0]))}</th>{cells}</tr>'


def _cell(text: str) -> str:
    """Text that may be broken after an underscore."""
    return _text(text).replace("_", "_<wbr>")


def _text(text: str) -> str:
    return escape(clean(text))


def _prose(text: str) -> str:
    """Our own sentences; text between backticks is code."""
    parts = _text(text).split("`")
    if len(parts) % 2 == 0:
        return _text(text)
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _id(name: str) -> str:
    """A name as an id that links and styles can name."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
