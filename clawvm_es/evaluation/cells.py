"""Parts of an experiment: cells that can be computed in any order, and a section made from their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

Result: TypeAlias = Mapping[str, Any]
"""Result of a cell: JSON data, integers where figures are meant; timings only in timing cells."""
Results: TypeAlias = Mapping[str, Result]
"""Cell key → what it came to."""


@attrs.frozen
class Cell:
    """One independent piece of an experiment.

    `key` is unique within the experiment and describes the cell (`"coding/lru/180"`). `function` is a module-level
    function; `function(*arguments)` returns the result, the same bytes on every machine, unless the cell is
    `timed`. `cost` is a rough measure of its work, for estimates of progress.
    """

    key: str
    function: Callable[..., Result]
    arguments: tuple[Any, ...] = ()
    cost: int = 1
    timed: bool = False


@attrs.frozen
class Table:
    """A table of a report; cells are integers or strings, in the order of `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int | str, ...], ...]
    note: str = ""


@attrs.frozen
class Chart:
    """Lines (over a numeric axis) or bars (over names): one series per name, one value per place of `x`."""

    title: str
    x: tuple[int | str, ...]
    series: Mapping[str, tuple[int | float | None, ...]]
    x_title: str = ""
    y_title: str = ""
    bars: bool = False


@attrs.frozen
class Front:
    """Points of two figures: for each name its points, each with its label, x and y."""

    title: str
    points: Mapping[str, tuple[tuple[str, float, float], ...]]
    x_title: str
    y_title: str
    note: str = ""


@attrs.frozen
class Section:
    """Outcome of an experiment: whether its gates hold (None: it has none), prose, tables and charts.

    `paper` holds the paper's figures, apart from ours. `data` is its part of `report.json`. `verdict` and
    `paper_verdict` are sentences for the summary: our result, and the paper's. `pictures` are shown before all
    sections.
    """

    name: str
    title: str
    data: Mapping[str, Any]
    tables: tuple[Table, ...]
    paragraphs: tuple[str, ...] = ()
    paper: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    holds: bool | None = None
    verdict: str = ""
    paper_verdict: str = ""
    pictures: tuple[Front, ...] = ()


@attrs.frozen
class Experiment:
    """One part of the evaluation: its cells, and the function that makes its section from their results."""

    name: str
    cells: Sequence[Cell]
    section: Callable[[Results], Section]
