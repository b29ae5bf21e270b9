"""Content of a report, before any format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from clawvm_es.evaluation.cells import Chart, Front, Section, Table

FORMAT: Final = "clawvm-eval-report"
VERSION: Final = 1
TITLE: Final = "Evaluation of clawvm_es"
INTRODUCTION: Final = (
    "Policies that decide what stands in an agent's context window, on the same sessions at the same budgets. "
    "Figures of the paper (ClawVM, arXiv:2604.10352) stand beside ours, marked as the paper's: its workloads are not "
    "published, ours are seeded generators and recorded sessions, so that the order of policies can be compared and "
    "the figures themselves cannot. A need is a page whose content the model used at a turn; it is a hit if the page "
    "stood in the prompt, else a miss: a page-in if it could be resolved, a fault if it had to be got again."
)


FRONT_COLUMNS: Final = ("arm", "budget", "cost", "misses")
"""Columns of a picture that is shown as a table."""


@attrs.frozen
class Part:
    """One experiment in a report: what it shows, in a line, and its section. Timed ones have files of their own."""

    shows: str
    section: Section
    timed: bool = False

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.section.name


@attrs.frozen
class Report:
    """All parts in their order, the settings of the run, and what was left out of it, with the reason."""

    program: str
    settings: Mapping[str, Any]
    parts: tuple[Part, ...]
    left_out: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def holds(self) -> bool:
        """Tell whether no gate fails."""
        return all(part.section.holds is not False for part in self.parts)

    @property
    def steady(self) -> tuple[Part, ...]:
        """The parts that are the same in every run."""
        return tuple(part for part in self.parts if not part.timed)

    @property
    def timed(self) -> tuple[Part, ...]:
        """The parts that hold timings."""
        return tuple(part for part in self.parts if part.timed)

    def document(self) -> dict[str, Any]:
        """The report as JSON data, without its timings."""
        return {
            **self._head(),
            "summary": [
                {
                    "experiment": part.name,
                    "shows": part.shows,
                    "holds": part.section.holds,
                    "verdict": verdict(part),
                    "paper": part.section.paper_verdict,
                }
                for part in self.parts
                if not part.timed
            ],
            "experiments": {part.name: _section(part) for part in self.steady},
            "left_out": dict(self.left_out),
            "timings": [part.name for part in self.timed],
        }

    def timings(self) -> dict[str, Any]:
        """The parts that hold timings, as JSON data."""
        return {**self._head(), "experiments": {part.name: _section(part) for part in self.timed}}

    def _head(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "program": self.program, "settings": dict(self.settings)}


def verdict(part: Part) -> str:
    """Outcome of a part, in a few words."""
    section = part.section
    if part.timed:
        return "measured on this machine: see the timings"
    gate = {True: "gate holds", False: "GATE DOES NOT HOLD", None: ""}[section.holds]
    return ": ".join(filter(None, (gate, section.verdict))) or "figures, no gate"


def _section(part: Part) -> dict[str, Any]:
    section = part.section
    return {
        "title": section.title,
        "shows": part.shows,
        "holds": section.holds,
        "paragraphs": list(section.paragraphs),
        "tables": [_table(table) for table in section.tables],
        "paper": [_table(table) for table in section.paper],
        "charts": [_chart(chart) for chart in section.charts],
        "pictures": [_front(picture) for picture in section.pictures],
        "data": section.data,
    }


def points_of(picture: Front) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The names of a picture with their points, as cells of a table."""
    return [
        (name, [(label, f"{x:.1f} %", f"{y:,.0f}") for label, x, y in told]) for name, told in picture.points.items()
    ]


def _front(picture: Front) -> dict[str, Any]:
    points = {name: [list(point) for point in told] for name, told in picture.points.items()}
    return {
        "title": picture.title,
        "points": points,
        "x_title": picture.x_title,
        "y_title": picture.y_title,
        "note": picture.note,
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [list(row) for row in table.rows],
        "note": table.note,
    }


def _chart(chart: Chart) -> dict[str, Any]:
    series = {name: list(values) for name, values in chart.series.items()}
    return {"title": chart.title, "x": list(chart.x), "series": series, "x_title": chart.x_title}
