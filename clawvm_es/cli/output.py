"""What verbs print: one JSON document or text on stdout; progress and errors on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import click

from clawvm_es.projections.store import Progress

_COLOURS: Final = re.compile(r"(\x1b\[(?:0|1|31|32)m)")


def as_json(document: Any) -> str:
    """A document as JSON text; keys stay in their order, what is not ASCII is escaped."""
    return json.dumps(document, ensure_ascii=True, indent=2)


def emit(document: Any, text: Iterable[str], as_document: bool) -> None:
    """Print the document as JSON, or else the lines of text."""
    if as_document:
        click.echo(as_json(document))
        return
    for line in text:
        click.echo(printable(line))


def printable(text: str) -> str:
    """Text that a terminal can show: lone surrogates replaced, and control characters where it would obey them.

    The two colours that we use ourselves stay.
    """
    text = text.encode("utf-8", "replace").decode()
    if not sys.stdout.isatty():
        return text
    parts = _COLOURS.split(text)  # every second one is a colour
    return "".join(part if place % 2 else _harmless(part) for place, part in enumerate(parts))


def _harmless(text: str) -> str:
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> list[str]:
    """Rows as the lines of a table; numbers to the right, headers dim on a terminal."""
    from tabulate import tabulate

    cells = [["" if cell is None else _cell(cell) for cell in row] for row in rows]
    if not cells:
        return ["(none)"]
    lines: list[str] = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=False).splitlines()
    return lines


def _cell(cell: Any) -> Any:
    if isinstance(cell, bool):
        return "yes" if cell else ""
    if isinstance(cell, str):
        return cell.replace("\n", "⏎")
    return cell


def facts(pairs: Mapping[str, Any]) -> list[str]:
    """Names and values, one pair a line."""
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {_cell(value)}" for name, value in pairs.items()]


def document(row: Any) -> dict[str, Any]:
    """A row of a read model as a JSON object."""
    return attrs.asdict(row)


def one_line(text: str, width: int) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text[: width * 4].split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def good(text: str) -> str:
    """Text in the colour of success."""
    return click.style(text, fg="green")


def bad(text: str) -> str:
    """Text in the colour of failure."""
    return click.style(text, fg="red", bold=True)


@contextmanager
def progress(label: str) -> Iterator[Progress | None]:
    """A progress bar on stderr for work on events; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show


def configure_logging() -> None:
    """Send operational logs to stderr; `CLAWVM_LOG` (debug, info, warning, error) is the lowest level shown."""
    import logging

    import structlog

    level = logging.getLevelNamesMapping().get(os.environ.get("CLAWVM_LOG", "warning").upper(), logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever stderr is when something is said
    )
