"""The report in long form: one line for each figure of each table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from clawvm_es.evaluation.cells import Table
from clawvm_es.evaluation.report.model import Report
from clawvm_es.evaluation.report.text import clean

COLUMNS: Final = ("experiment", "source", "table", "row", "column", "value")
"""`source` is `ours` or `paper`; `row` is what tells a row from the others of its table."""


def render(report: Report) -> str:
    """All tables but those of timings."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in report.steady:
        for source, tables in (("ours", part.section.tables), ("paper", part.section.paper)):
            for table in tables:
                for told in _long(table):
                    writer.writerow([clean(str(value)) for value in (part.name, source, table.title, *told)])
    return out.getvalue()


def _long(table: Table) -> Iterator[tuple[str, str, int | str]]:
    names = _naming(table)
    for number, row in enumerate(table.rows, 1):
        label = " / ".join(map(str, row[:names])) if names else str(number)
        for column, value in zip(table.columns[names:], row[names:], strict=True):
            yield label, column, value


def _naming(table: Table) -> int:
    """Return how many of the first columns tell the rows apart; 0 if they do not before the last one."""
    for count in range(1, len(table.columns)):
        if len({row[:count] for row in table.rows}) == len(table.rows):
            return count
    return 0
