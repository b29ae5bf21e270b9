"""A pager for output that is longer than the terminal: `$PAGER`, else `less -FRX`; never in a pipe.

stdin and stdout | --no-pager or NO_PAGER | $PAGER      | pager
-----------------+------------------------+-------------+------------
one is a pipe    | any                    | any         | none
terminals        | given                  | any         | none
terminals        | not given              | cat, blank  | none
terminals        | not given              | a command   | the command
terminals        | not given              | not set     | less -FRX, where it is installed
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    import subprocess

_OFF: Final = "clawvm_es.cli.pager.off"


def remember(context: click.Context, _: click.Parameter, off: bool) -> None:
    """Callback of `--no-pager`, before or after the verb."""
    if off:
        context.meta[_OFF] = True


def wanted() -> bool:
    """Tell whether a pager may run: stdin and stdout are terminals, and nobody said `--no-pager`."""
    context = click.get_current_context(silent=True)
    off = context is not None and context.meta.get(_OFF, False)
    return not off and sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty()


def command(environment: Mapping[str, str]) -> list[str] | None:
    """The pager that the environment names; None for none."""
    import shutil

    if environment.get("NO_PAGER"):
        return None
    if "PAGER" in environment:
        try:
            words = shlex.split(environment["PAGER"])
        except ValueError:
            return None
        return None if not words or words == ["cat"] or shutil.which(words[0]) is None else words
    return ["less", "-FRX"] if shutil.which("less") else None


def page(lines: Iterable[str]) -> Iterable[str]:
    """Show lines in the pager if they do not fit the terminal; returns the lines still to be printed."""
    words = command(os.environ) if wanted() else None
    if words is None:
        return lines
    import shutil

    rest = iter(lines)
    first = list(islice(rest, max(1, shutil.get_terminal_size().lines - 1)))
    following = next(rest, None)
    if following is None:
        return first
    _run(words, (line for part in (first, (following,), rest) for line in part))
    return ()


def _run(words: list[str], lines: Iterable[str]) -> None:
    """Feed lines to a pager as they are made; the user may leave it at any line."""
    import subprocess

    environment = {"LESS": "FRX", **os.environ}
    options: dict[str, Any] = {"encoding": sys.stdout.encoding or "utf-8", "errors": "backslashreplace"}
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=environment, **options) as process:
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # the reader has seen enough
                for line in lines:
                    process.stdin.write(f"{line}\n")
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            _wait(process)


def _wait(process: subprocess.Popen[Any]) -> None:
    """Wait until the user leaves the pager; Ctrl-C goes to the pager."""
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue
