"""Tables: rows of a document under columns, fitted to the terminal; whole in a pipe, as CSV or as JSON lines.

LAW-TABLE-1: on a terminal no line of a table is wider than the terminal, and the last line names the columns left
out; elsewhere every value is whole. `--csv` and `--nl` hold all members of the document's rows.

Columns of numbers are aligned right. Amounts have thousands separators, places have none (`output.PLACES`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import click

from clawvm_es.cli.options import complete_names
from clawvm_es.cli.output import broken, cell_text, cut, emit_json, emit_lines, terminal_width, text_width, whole

NARROW: Final = 12
"""Characters that a column of texts keeps when others need room."""
MINOR: Final = 10
"""A column of such a `drop` leaves as soon as texts would have less than `EASE` columns."""
EASE: Final = 40
_GAP: Final = 2
_PADDING: Final = 2
"""Columns that tabulate adds to a header."""
_SHAPE: Final = "clawvm_es.cli.tables.shape"

F = TypeVar("F", bound=Callable[..., Any])


class Column(NamedTuple):
    """One column: its header, and the member or function of a row that fills it.

    On a narrow terminal, columns with the highest `drop` are left out first, those with 0 last, from the right.
    Texts are cut to no fewer than `least` columns; a `whole` one is never cut. `plain` numbers have no thousands
    separators.
    """

    header: str
    get: str | Callable[[Mapping[str, Any]], Any]
    drop: int = 0
    whole: bool = False
    least: int = NARROW
    plain: bool = False

    def of(self, row: Mapping[str, Any]) -> Any:
        """The cell of a row."""
        return row[self.get] if isinstance(self.get, str) else self.get(row)

    def text(self, cell: Any) -> str:
        """A cell as it is printed."""
        return cell_text(cell, None if self.plain else self.header)


def columns(*names: str, **dropped: int) -> tuple[Column, ...]:
    """Columns named like the members that fill them; keywords give the `drop` of each."""
    return tuple(Column(name.replace("_", " "), name, dropped.get(name, 0)) for name in names)


def shape_options(verb: F) -> F:
    """`--csv`, `--nl` and `--fmt NAME`, with the meaning that they have in sqlite-utils."""
    flags = (("--csv", "Print rows as CSV."), ("--nl", "Print rows as JSON, one a line."))
    for name, says in flags:
        verb = click.option(name, is_flag=True, expose_value=False, callback=_shape, help=says)(verb)
    fmt = click.option(
        "--fmt",
        metavar="NAME",
        shell_complete=complete_names,
        expose_value=False,
        callback=_shape,
        help="Print the table in a format of tabulate: github, html, …",
    )
    return fmt(verb)


def _shape(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Remember the requested shape; two shapes are wrong usage."""
    if not value:
        return
    if _SHAPE in context.meta:
        raise click.UsageError("--csv, --nl and --fmt are three shapes; give one of them", context)
    context.meta[_SHAPE] = (option.name, value)


def shape() -> str:
    """The requested shape: `csv`, `nl`, `fmt`; empty for the terminal's table."""
    kind: str = click.get_current_context().meta.get(_SHAPE, ("", None))[0]
    return kind


def emit_rows(
    document: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Column],
    as_json: bool,
    *,
    text: Iterable[str] | None = None,
    empty: str = "(none)",
    after: Iterable[str] = (),
) -> None:
    """Print a document with a table of `rows`, in the requested shape; `text` makes the table's own lines."""
    kind, value = click.get_current_context().meta.get(_SHAPE, ("", None))
    if as_json and kind:
        raise click.UsageError(f"--json and --{kind} are two shapes; give one of them")
    if as_json:
        emit_json(document)
    elif kind == "csv":
        emit_lines(map(whole, csv_lines(rows)))
    elif kind == "nl":
        emit_lines(map(whole, json_lines(rows)))
    elif kind == "fmt":
        emit_lines(map(whole, formatted(rows, shown, value)))
    elif text is not None:
        emit_lines(text)
    else:
        emit_lines([*(fitted(rows, shown) if rows else [empty]), *after])


def csv_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as CSV with all their members; lists and objects are JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return
    yield _csv(names)
    yield from (_csv([_plain(row.get(name)) for name in names]) for row in rows)


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return cell_text(value)


def json_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as JSON objects, one a line."""
    from sqlite_utils.cli import output_rows

    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = ([row.get(name) for name in names] for row in rows)
    to_lines: Callable[..., Iterator[str]] = output_rows
    lines = to_lines(cells, names, nl=True, arrays=False, json_cols=False, ascii_=True) if rows else ()
    return (line.replace("\x7f", "\\u007f") for line in lines)


def formatted(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column], fmt: str) -> list[str]:
    """Rows as a table in a format of tabulate; raises `UsageError` for an unknown one."""
    from tabulate import tabulate_formats

    from clawvm_es.errors import UsageError

    if fmt not in tabulate_formats:
        raise UsageError(f"--fmt {fmt!r} is no format of a table", hint=f"one of {', '.join(tabulate_formats)}")
    return _tabulated(_cells(rows, shown), shown, fmt)


def fitted(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column], width: int | None = None) -> list[str]:
    """Rows as a table that fits a width (by default the terminal's; none elsewhere).

    Columns are left out by their `drop`, the highest first; then the widest texts are cut.
    """
    return _fitted(_cells(rows, shown), shown, terminal_width() if width is None else width)


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], *, plain: bool = False) -> list[str]:
    """Rows as the lines of a table: texts as they are, even if they look like numbers; numbers aligned right."""
    cells = [list(row) for row in rows]
    shown = [Column(name, name, plain=plain) for name in headers]
    return _fitted(cells, shown, terminal_width()) if cells else ["(none)"]


def _cells(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column]) -> list[list[Any]]:
    return [[each.of(row) for each in shown] for row in rows]


def _fitted(cells: list[list[Any]], shown: Sequence[Column], width: int | None) -> list[str]:
    if width is None:
        return _tabulated(cells, shown, "simple")
    sizes = [_Size.of(each, [row[place] for row in cells]) for place, each in enumerate(shown)]
    kept = _kept(shown, sizes, width)
    limits = _limits([sizes[place] for place in kept], width)
    cut_cells = [[_cut(row[place], limit) for place, limit in zip(kept, limits, strict=True)] for row in cells]
    lines = [cut(line.rstrip(), width) for line in _tabulated(cut_cells, [shown[place] for place in kept], "simple")]
    if left := [each.header for place, each in enumerate(shown) if place not in kept]:
        said = f"(left out: {', '.join(left)}; a wider terminal or {_elsewhere()} shows them)"
        lines += broken(said, width)
    return lines


def _kept(shown: Sequence[Column], sizes: Sequence[_Size], width: int) -> list[int]:
    """The columns that fit side by side, in their order; at least one."""
    kept = list(range(len(shown)))
    for place in sorted(kept, key=lambda place: (-shown[place].drop, -place)):
        minor = shown[place].drop >= MINOR
        if len(kept) > 1 and _total(sizes[each].eased if minor else sizes[each].least for each in kept) > width:
            kept.remove(place)
    return kept


def _elsewhere() -> str:
    """The option of the running verb that shows every column."""
    context = click.get_current_context(silent=True)
    return "--csv" if context is None or any(each.name == "csv" for each in context.command.params) else "--json"


class _Size(NamedTuple):
    """The width that a column wants, the minimum that it keeps, and the width at which it reads well."""

    wanted: int
    least: int
    eased: int

    @classmethod
    def of(cls, column: Column, cells: Sequence[Any]) -> _Size:
        """The sizes of a column with some cells."""
        header = text_width(column.header) + _PADDING
        wanted = max(header, *(text_width(column.text(cell)) for cell in cells))
        cuttable = any(isinstance(cell, str) for cell in cells) and not column.whole
        if not cuttable:
            return cls(wanted, wanted, wanted)
        return cls(wanted, min(wanted, max(header, column.least)), min(wanted, max(header, EASE)))


def _total(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + _GAP * (len(found) - 1)


def _limits(sizes: Sequence[_Size], width: int) -> list[int]:
    """The widths that fit: the widest column that can shrink shrinks first."""
    limits = [size.wanted for size in sizes]
    while _total(limits) > width:
        wide = max(range(len(limits)), key=lambda place: limits[place] - sizes[place].least, default=None)
        if wide is None or limits[wide] <= sizes[wide].least:
            break
        others = [limits[place] for place in range(len(limits)) if place != wide and limits[place] < limits[wide]]
        step = limits[wide] - max([sizes[wide].least, *others])
        limits[wide] -= max(1, min(step, _total(limits) - width))
    return limits


def _cut(cell: Any, limit: int) -> Any:
    return cut(cell_text(cell), limit) if isinstance(cell, str) else cell


def _tabulated(cells: Sequence[Sequence[Any]], shown: Sequence[Column], fmt: str) -> list[str]:
    from tabulate import tabulate

    aligned = ["right" if _numbers(column) else "left" for column in zip(*cells, strict=True)]
    texts = [[each.text(cell) for each, cell in zip(shown, row, strict=True)] for row in cells]
    headers = [each.header for each in shown]
    lines: list[str] = tabulate(
        texts, headers=headers, tablefmt=fmt, disable_numparse=True, colalign=aligned or None
    ).splitlines()
    return lines


def _numbers(column: Sequence[Any]) -> bool:
    """Tell whether a column holds numbers, perhaps mixed with words in place of numbers."""
    return any(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in column)
