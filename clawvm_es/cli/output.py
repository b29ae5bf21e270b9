"""What verbs print: one JSON document or text on stdout; progress and errors on stderr.

Every character that a verb prints passes here, and here it is made visible (LAW-SHOWN-1): ids, titles, texts and
errors come from journals and recordings that anybody may have written. Only `emit_document` lets bytes through, for
what `prompt` and `export` write into a pipe or file. JSON escapes by its own rules.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es.representations.visible import visible, visible_lines

if TYPE_CHECKING:
    from clawvm_es.projections.store import Progress

_MARK: Final = f"\x1b{os.urandom(16).hex()}"
"""What our own colours begin with until they are printed. Who wrote a journal does not know it."""
_MARKED: Final = re.compile(f"{_MARK}([0-9;]*m)")


def as_json(document: Any) -> str:
    """A document as JSON text; keys stay in their order, what is not printable ASCII is escaped."""
    return json.dumps(document, ensure_ascii=True, indent=2).replace("\x7f", "\\u007f")


def emit(document: Any, text: Iterable[str], as_document: bool) -> None:
    """Print the document as JSON, or else the lines of text."""
    if as_document:
        emit_json(document)
    else:
        emit_lines(text)


def emit_json(document: Any) -> None:
    """Print a document as JSON."""
    click.echo(as_json(document))


def emit_lines(lines: Iterable[str]) -> None:
    """Print lines; what would break one in two is escaped too."""
    for line in lines:
        click.echo(_shown(line))


def emit_document(parts: Iterable[bytes]) -> None:
    """Print a file's bytes as they are into a pipe or file, made visible on a terminal."""
    if sys.stdout.isatty():
        *lines, last = visible_lines(b"".join(parts).decode("utf-8", "backslashreplace"))
        emit_lines([*lines, last] if last else lines)
        return
    for part in parts:
        click.echo(part, nl=False)


def say(message: str, hint: str = "") -> None:
    """Say something to people, on one line of stderr."""
    line = " ".join(message.split())
    click.echo(_shown(f"clawvm: {line}{f' ({hint})' if hint else ''}"), err=True)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines on stderr."""
    for line in lines:
        click.echo(_shown(line), err=True)


def style(text: str, fg: str | None = None, bold: bool = False) -> str:
    """Text in a colour or bold, where a terminal shows it."""
    opening, closing = (
        code.replace("\x1b[", _MARK) for code in click.style("|", fg=fg, bold=bold or None).split("|")
    )
    return f"{opening}{text}{closing}"


def _shown(line: str) -> str:
    """A line as it is printed: ours are the colours, the rest is made visible."""
    parts = _MARKED.split(line)  # every second one is a colour
    return "".join(f"\x1b[{part}" if place % 2 else visible(part) for place, part in enumerate(parts))


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> list[str]:
    """Rows as the lines of a table: texts as they are, also those that look like numbers; numbers to the right."""
    from tabulate import tabulate

    cells = [list(row) for row in rows]
    if not cells:
        return ["(none)"]
    columns = list(zip(*cells, strict=True))
    aligned = ["right" if _numbers(column) else "left" for column in columns]
    texts = [[_cell(cell) for cell in row] for row in cells]
    lines: list[str] = tabulate(
        texts, headers=headers, tablefmt="simple", disable_numparse=True, colalign=aligned
    ).splitlines()
    return lines


def _numbers(column: Sequence[Any]) -> bool:
    """Whether a column holds numbers, and cells that are empty."""
    found = [cell for cell in column if cell is not None]
    return bool(found) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in found)


def _cell(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else ""
    return visible(cell.replace("\n", "⏎")) if isinstance(cell, str) else str(cell)


def facts(pairs: Mapping[str, Any]) -> list[str]:
    """Names and values, one pair a line."""
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {_fact(value)}" for name, value in pairs.items()]


def _fact(value: Any) -> str:
    return value.replace("\n", "⏎") if isinstance(value, str) else _cell(value)


def document(row: Any) -> dict[str, Any]:
    """A row of a read model as a JSON object."""
    import attrs

    return attrs.asdict(row)


def one_line(text: str, width: int) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text[: width * 4].split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def counted(number: int, what: str) -> str:
    """A number with what it counts: `1 event`, `173,024 events`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def good(text: str) -> str:
    """Text in the colour of success."""
    return style(text, fg="green")


def bad(text: str) -> str:
    """Text in the colour of failure."""
    return style(text, fg="red", bold=True)


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


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar on stderr for each kind of work, with an estimate of what is left; None where nobody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    bars: dict[str, Any] = {}

    def show(label: str, done: int, total: int) -> None:
        if label not in bars:
            _end(bars)
            bars[label] = click.progressbar(length=max(total, 1), label=visible(label), file=sys.stderr)
            bars[label].__enter__()
        bars[label].update(done - bars[label].pos)

    try:
        yield show
    finally:
        _end(bars)


def _end(bars: dict[str, Any]) -> None:
    for bar in list(bars.values())[-1:]:
        bar.__exit__(None, None, None)


def counter(what: str) -> Callable[[str, int, int], None] | None:
    """A line on stderr that counts `what` of one thing after the other; None where nobody would see it.

    It is called with the thing's name, how many there are so far, and in the end how many of how many.
    """
    if not sys.stderr.isatty():
        return None

    def show(name: str, done: int, total: int) -> None:
        click.echo(f"\r{visible(name[:40])}: {done} {what}", err=True, nl=total > 0)

    return show


def configure_logging() -> None:
    """Send operational logs to stderr; `CLAWVM_LOG` (debug, info, warning, error) is the lowest level shown."""
    import logging

    import structlog

    level = logging.getLevelNamesMapping().get(os.environ.get("CLAWVM_LOG", "warning").upper(), logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            _visible_values,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever stderr is when something is said
    )


def _visible_values(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a log line says, made visible."""
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
