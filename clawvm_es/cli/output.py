"""Output of verbs: one JSON document or text on stdout; progress and errors on stderr.

Every character that a verb prints passes here, and here it is made visible (LAW-SHOWN-1): ids, titles, texts and
errors come from journals and recordings that anybody may have written. Only `emit_document` lets bytes through, for
what `prompt` and `export` write into a pipe or file. JSON escapes by its own rules.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es.cli.pager import page
from clawvm_es.representations.visible import visible, visible_lines

if TYPE_CHECKING:
    from clawvm_es.projections.store import Progress

_MARK: Final = f"\x1b{os.urandom(16).hex()}"
"""Beginning of our own colours until they are printed. Who wrote a journal does not know it."""
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
    for line in page(map(_shown, lines)):
        click.echo(line)


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
    if os.environ.get("NO_COLOR"):
        parts = ["".join(parts[::2])]
    return "".join(f"\x1b[{part}" if place % 2 else visible(part) for place, part in enumerate(parts))


def cell_text(cell: Any) -> str:
    """A value as the text of one cell: visible, on one line; nothing for None and no."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else ""
    return visible(cell.replace("\n", "⏎")) if isinstance(cell, str) else str(cell)


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None where it is none, and nothing has to fit."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def text_width(text: str) -> int:
    """The columns that a text takes: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")


def cut(line: str, width: int) -> str:
    """A line that takes at most `width` columns; a cut one ends in …, and keeps the colours it ends with."""
    parts = [part if place % 2 else visible(part) for place, part in enumerate(_MARKED.split(line))]
    if sum(map(text_width, parts[::2])) <= width:
        return line
    found, room = "", width - 1
    for place, part in enumerate(parts):
        if place % 2:
            found += f"{_MARK}{part}"
            continue
        fits = part if text_width(part) <= room else _beginning(part, room)
        found += fits + ("…" if fits != part and room >= 0 else "")
        room = room - text_width(fits) if fits == part else -1
    return found


def _beginning(text: str, width: int) -> str:
    """The longest beginning of a text that takes at most `width` columns."""
    taken = 0
    for place, char in enumerate(text):
        taken += _char_width(char)
        if taken > width:
            return text[:place]
    return text


def fit(line: str) -> str:
    """A line as wide as the terminal; whole where stdout is none."""
    width = terminal_width()
    return line if width is None else cut(line, width)


def facts(pairs: Mapping[str, Any]) -> list[str]:
    """Names and values, one pair a line."""
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {_fact(value)}" for name, value in pairs.items()]


def _fact(value: Any) -> str:
    return value.replace("\n", "⏎") if isinstance(value, str) else cell_text(value)


def one_line(text: str) -> str:
    """A text on one line, its blanks made one."""
    return " ".join(text.split())


def wrapped(text: str, indent: str = "") -> list[str]:
    """A text broken into lines that fit the terminal; one line elsewhere."""
    import textwrap

    width = terminal_width()
    if width is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text, max(width, 20), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def counted(number: int, what: str) -> str:
    """A number with what it counts: `1 event`, `173,024 events`, `2 misses`."""
    several = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else several}"


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
    """Return the text of a log line, made visible."""
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
