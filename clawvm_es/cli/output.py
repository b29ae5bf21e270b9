"""Output of verbs: one JSON document or text on stdout; progress and errors on stderr.

Every character that a verb prints passes through this module, which makes it visible (LAW-SHOWN-1): ids, titles,
texts and errors come from journals and recordings that anybody may have written. Only `emit_document` lets bytes
through, for what `prompt` and `export` write into a pipe or file. JSON escapes by its own rules.

LAW-WIDTH-1: on a terminal a line that is too wide continues on the next one, and nothing of it is lost. Cells of
tables, and entries of one-line lists (`log`, `grep`), are cut and end in …; commands to copy, lines of texts and
unbreakable words stay whole. In a pipe nothing is cut or broken.

Amounts have thousands separators, in tables and in sentences; numbers that name a place (`PLACES`) have none, since
people type them. Shapes for programs (`--json`, `--nl`, `--csv`) hold plain numbers.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es.cli.pager import page
from clawvm_es.representations.visible import visible, visible_lines

if TYPE_CHECKING:
    from clawvm_es.projections.store import Progress

_MARK: Final = f"\x1b{os.urandom(16).hex()}"
"""Beginning of our own colours until they are printed. Who wrote a journal does not know it."""
_MARKED: Final = re.compile(f"{_MARK}([0-9;]*m)")
_BLANK, _WHOLE = f"{_MARK}_", f"{_MARK}w"
"""A blank at which no line is broken, and what such a text begins with, until they are printed."""
_ATOMS: Final = re.compile(
    "( +|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60\U0001f300-\U0003fffd])"
)
"""Places where a line may be broken: blanks, and around characters of scripts that write none."""
_PIECE: Final = 10_000
"""Parts of JSON text, such as a name or a bracket, that are printed at once."""
_GAP: Final = 2
"""Columns between a name and its value."""
LEAST: Final = 20
"""Columns that a terminal is taken to have, however narrow it says it is."""
PLACES: Final = frozenset(
    {"at", "last_used_turn", "line", "order", "place", "schema", "seq", "turn", "used", "version", "written"}
)
"""Columns whose numbers name a place, such as a turn or a version, and are no amounts."""


def as_json(document: Any) -> Iterator[str]:
    """The pieces of a document as JSON text; keys keep their order, and everything but printable ASCII is escaped."""
    chunks = json.JSONEncoder(ensure_ascii=True, indent=2).iterencode(document)
    while some := "".join(islice(chunks, _PIECE)):
        yield some.replace("\x7f", "\\u007f")


def emit(document: Any, text: Iterable[str], as_document: bool) -> None:
    """Print the document as JSON, or else the lines of text."""
    if as_document:
        emit_json(document)
    else:
        emit_lines(text)


def emit_json(document: Any) -> None:
    """Print a document as JSON, piece by piece, so that a long document's text is never in memory as a whole."""
    for piece in as_json(document):
        click.echo(piece, nl=False)
    click.echo()


def emit_lines(lines: Iterable[str]) -> None:
    """Print lines, each broken at the terminal's width; characters that would break a line are escaped too."""
    width = terminal_width()
    fitting = lines if width is None else (part for line in lines for part in broken(line, width))
    for line in page(map(_shown, fitting)):
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
    """Print a message to people, on one line of stderr."""
    line = " ".join(message.split())
    click.echo(_shown(f"clawvm: {line}{f' ({hint})' if hint else ''}"), err=True)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines on stderr."""
    for line in lines:
        click.echo(_shown(line), err=True)


def style(text: str, fg: str | None = None, bold: bool = False) -> str:
    """Text in a colour or bold, if a terminal shows it."""
    opening, closing = (
        code.replace("\x1b[", _MARK) for code in click.style("|", fg=fg, bold=bold or None).split("|")
    )
    return f"{opening}{text}{closing}"


def whole(text: str) -> str:
    """Text that no line break may split: a command to copy, a line of a text."""
    return _WHOLE + text.replace(" ", _BLANK)


def _loose(text: str) -> str:
    """Text without the marks of `whole`, after lines were broken."""
    return text.replace(_BLANK, " ").replace(_WHOLE, "")


def _unmarked(text: str) -> str:
    """Text as printed without colours: only its own characters, made visible."""
    return visible(_loose(_MARKED.sub("", text)))


def _shown(line: str) -> str:
    """A line as printed: our own colours are kept, everything else is made visible."""
    parts = _MARKED.split(_loose(line))  # every second one is a colour
    if os.environ.get("NO_COLOR"):
        parts = ["".join(parts[::2])]
    return "".join(f"\x1b[{part}" if place % 2 else visible(part) for place, part in enumerate(parts))


def cell_text(cell: Any, name: str | None = None) -> str:
    """A value as the text of one cell: visible, on one line; empty for None and False.

    A number has thousands separators, unless its name is a place's or it has no name.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else ""
    if isinstance(cell, str):
        return visible(cell.replace("\n", "⏎"))
    amount = isinstance(cell, int | float) and name is not None and name not in PLACES
    return f"{cell:,}" if amount else str(cell)


def terminal_width() -> int | None:
    """The width in columns of the terminal on stdout; None if stdout is no terminal."""
    import shutil

    return max(LEAST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def text_width(text: str) -> int:
    """The columns that a text occupies: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")


def cut(line: str, width: int) -> str:
    """A line shortened to at most `width` columns; a cut line ends in …, and in its last colour."""
    parts = [part if place % 2 else visible(part) for place, part in enumerate(_MARKED.split(_loose(line)))]
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
    """The longest prefix of a text that fits `width` columns."""
    taken = 0
    for place, char in enumerate(text):
        taken += _char_width(char)
        if taken > width:
            return text[:place]
    return text


def broken(line: str, width: int, hang: int | None = None) -> list[str]:
    """A line in parts of at most `width` columns, broken at blanks; a wider word stays whole in a part of its own.

    Parts after the first are indented by `hang` columns, by default as the line is, at most by a third of `width`.
    A colour lasts over the parts.
    """
    plain = _unmarked(line)
    if text_width(plain) <= width:
        return [line]
    indent = min(len(plain) - len(plain.lstrip(" ")) if hang is None else hang, width // 3)
    parts, part, used, begun, colours = [], "", 0, False, ""
    for word in _words(line):
        shown = _unmarked(word)
        blank, size = not shown.strip(), text_width(shown)
        if begun and used + size > width and not blank:
            parts.append(part.rstrip(" ") + (f"{_MARK}0m" if colours else ""))
            part, used = " " * indent + colours, indent
        part, used, begun = part + word, used + size, begun or not blank
        for colour in _MARKED.findall(word):
            colours = "" if colour == "0m" else f"{colours}{_MARK}{colour}"
    return [*parts, part.rstrip(" ")]


def _words(line: str) -> Iterator[str]:
    """The parts of a line between which it may be broken; blanks are parts of their own."""
    for word in re.split("( +)", line):
        yield from [word] if _WHOLE in word else filter(None, _ATOMS.split(word))


def fit(line: str) -> str:
    """A line cut to the terminal's width; whole if stdout is no terminal."""
    width = terminal_width()
    return line if width is None else cut(line, width)


def facts(pairs: Mapping[str, Any]) -> list[str]:
    """Names and values, one pair per line; a long value is broken and aligned under its first line."""
    width = max(map(len, pairs), default=0)
    lines = (f"{name:<{width}}  {_fact(name, value)}" for name, value in pairs.items())
    return [part for line in lines for part in hanging(line, width + _GAP)]


def hanging(line: str, hang: int) -> list[str]:
    """A line broken where the terminal ends, whose next lines begin at column `hang`, or at a third of it."""
    columns = terminal_width()
    return [line] if columns is None else broken(line, columns, hang)


def _fact(name: str, value: Any) -> str:
    return value.replace("\n", "⏎") if isinstance(value, str) else cell_text(value, name)


def one_line(text: str) -> str:
    """A text on one line, with runs of blanks collapsed."""
    return " ".join(text.split())


def counted(number: int, what: str) -> str:
    """A number with its noun: `1 event`, `173,024 events`, `2 misses`."""
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
    """A progress bar on stderr, counted in events; None if nobody would see it."""
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
    """A progress bar on stderr for each kind of work, with an estimate; None if nobody would see it."""
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
    """A line on stderr that counts `what`, one thing after another; None if nobody would see it.

    It is called with the thing's name and the count so far, and at the end with the count and the total.
    """
    if not sys.stderr.isatty():
        return None

    def show(name: str, done: int, total: int) -> None:
        click.echo(f"\r{visible(name[:40])}: {done} {what}", err=True, nl=total > 0)

    return show


def configure_logging() -> None:
    """Send operational logs to stderr; `CLAWVM_LOG` (debug, info, warning, error) is the lowest level."""
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
