"""Writes a report into a folder, each file whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from clawvm_es.evaluation.report import csv, html, json, markdown
from clawvm_es.evaluation.report.model import Report
from clawvm_es.files import write_whole

FILES: Final = ("report.md", "report.json", "report.csv", "report.html")
TIMINGS: Final = ("timings.md", "timings.json")


def write(report: Report, out: Path) -> tuple[Path, ...]:
    """Write all files of the report; timings only if it holds any, and old ones go. Returns what was written."""
    texts = {
        "report.md": markdown.render(report),
        "report.json": json.render(report.document()),
        "report.csv": csv.render(report),
        "report.html": html.render(report),
    }
    if report.timed:
        texts["timings.md"] = markdown.render_timings(report)
        texts["timings.json"] = json.render(report.timings())
    for name in TIMINGS:
        if name not in texts:
            (out / name).unlink(missing_ok=True)
    for name, text in texts.items():
        write_whole(out / name, [text.encode()])
    return tuple(out / name for name in texts)
