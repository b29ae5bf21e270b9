"""Parts of an experiment: cells that can be computed in any order, and a section that is read off them."""

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

    `key` is unique within the experiment and says what it is (`"coding/lru/180"`). `function` is a module-level
    function; `function(*arguments)` gives the result, the same bytes wherever it runs, unless it is `timed`.
    `cost` is a rough measure of its work, so that progress can be estimated.
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
    """Lines (over a numeric axis) or bars (over names): one series a name, one value a place of `x`."""

    title: str
    x: tuple[int | str, ...]
    series: Mapping[str, tuple[int | float | None, ...]]
    x_title: str = ""
    y_title: str = ""
    bars: bool = False


@attrs.frozen
class Front:
    """Points of two figures: for each name its points, each with what tells it from the others, x and y."""

    title: str
    points: Mapping[str, tuple[tuple[str, float, float], ...]]
    x_title: str
    y_title: str
    note: str = ""


@attrs.frozen
class Section:
    """Outcome of an experiment: whether its gates hold (None: it has none), prose, tables and charts.

    `paper` holds the paper's figures, told apart from ours. `data` is what `report.json` holds of it. `verdict`
    and `paper_verdict` are sentences for the summary: ours, and what the paper says of the same. `pictures` stand
    before all sections.
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
    """One part of the evaluation: its cells, and the section that its results make."""

    name: str
    cells: Sequence[Cell]
    section: Callable[[Results], Section]
