"""The program `clawvm`: all verbs, and the only place where errors become exit codes.

0: done and good. 1: done, and the answer is bad (broken chain, difference, failed gate). 2: wrong usage or
unreadable input. 70: an internal error of this program. 130: interrupted. 141: the reader of our output went away.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from clawvm_es.cli.options import no_pager_option
from clawvm_es.cli.output import say, say_lines
from clawvm_es.cli.place import meant
from clawvm_es.cli.verbs import ROWS, SECTIONS, Use, Verbs
from clawvm_es.errors import ClawVMError

EPILOG = """\b
Try it:
  clawvm demo
  clawvm replay session.jsonl --journal j.db --budget 16000
  clawvm sessions j.db

\b
Tab completion of verbs, sessions, pages and policies (bash; zsh, fish likewise):
  eval "$(_CLAWVM_COMPLETE=bash_source clawvm)"

\b
The journal of every verb: --journal FILE, or a JOURNAL before the other
arguments, else $CLAWVM_JOURNAL, else journal.db in the platform's data folder.

\b
Exit codes: 0 done and good; 1 done, and what was asked about is bad;
2 wrong usage or unreadable input; 70 a fault of clawvm.
CLAWVM_LOG=info shows more logs on stderr, CLAWVM_TRACEBACK=1 where a fault of
clawvm happened."""

WRONG_USAGE = 2
INTERNAL_ERROR = 70
INTERRUPTED = 130
PIPE_CLOSED = 141


class Program(click.Group):
    """The group of all verbs. Without it Click would choose the exit code when the reader of our output goes away."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb. A closed pipe becomes an exit code; an error caused by damage names the damage."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(PIPE_CLOSED) from None
        except (ClawVMError, OSError, click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from clawvm_es.views.damage import blamed

            if (damage := blamed(error, meant(ctx))) is None:
                raise
            raise damage from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs by purpose, each with the first clause of its help."""
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<10}", row.clause) for name, row in rows.items()])


@click.group(
    cls=Program,
    commands=Verbs(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
    invoke_without_command=True,
)
@no_pager_option
@click.version_option(package_name="clawvm-es", prog_name="clawvm")
@click.pass_context
def cli(context: click.Context) -> None:
    """Virtual memory for the context windows of LLM agents, as an event-sourced journal."""
    from clawvm_es.cli.output import configure_logging, emit_lines
    from clawvm_es.logs import set_up_by

    if os.environ.get("NO_COLOR"):
        context.color = False
    if context.invoked_subcommand is None:  # as git: the help, and the code of wrong usage
        emit_lines(context.get_help().splitlines())
        context.exit(WRONG_USAGE)
    set_up_by(configure_logging)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with its code."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  it is open as long as the program runs
    if sys.stdout is None:
        sys.exit(_fail("stdout is closed", "give it a file, or /dev/null"))
    _never_fail_to_encode()
    try:
        code = cli.main(args=arguments, prog_name="clawvm", standalone_mode=False)
        if code == PIPE_CLOSED:
            _discard_output()
        sys.stdout.flush()
    except ClawVMError as error:
        code = _fail(error.message, error.hint)
    except click.ClickException as error:
        hint = f"clawvm {error.ctx.info_name} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        code = _fail(error.format_message(), hint.replace("clawvm clawvm", "clawvm"))
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted", _kept(sys.argv[1:] if arguments is None else arguments), INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        code = PIPE_CLOSED
    except OSError as error:
        code = _fail(f"{error.filename or 'output'}: {error.strerror or error}", "")
    except Exception as error:
        code = _internal(error, sys.argv[1:] if arguments is None else arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _discard_output() -> None:
    """Discard buffered output, so that the last flush does not raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, hint: str, code: int = WRONG_USAGE) -> int:
    """Print the error and what to do; returns the exit code, even if nobody can read the line."""
    with suppress(OSError):
        say(message, hint)
    return code


def _verb(arguments: Sequence[str]) -> str:
    """The verb that was called; empty if there was none."""
    return next((word for word in arguments if word in cli.commands), "")


def _kept(arguments: Sequence[str]) -> str:
    """Advice after an interrupt: a writing verb can continue, a reading verb begins again."""
    row = ROWS.get(_verb(arguments))
    if row is not None and row.use is Use.READS:
        return "run the same command again for the whole answer"
    return "what was written is kept; run the same command again to continue"


def _internal(error: Exception, arguments: Sequence[str]) -> int:
    """Print that the error is ours, in which verb, and how to report it; the traceback only on request."""
    asked = os.environ.get("CLAWVM_TRACEBACK", "") not in ("", "0")
    verb = _verb(arguments)
    if asked:
        import traceback

        with suppress(OSError):
            say_lines(line for part in traceback.format_exception(error) for line in part.splitlines())
    again = "" if asked else "run it again with CLAWVM_TRACEBACK=1, and "
    return _fail(
        f"internal error in clawvm {verb}: {type(error).__name__}: {error}",
        f"a fault of clawvm, not yours; to report it, {again}send what it says with clawvm --version",
        INTERNAL_ERROR,
    )


def _never_fail_to_encode() -> None:
    """Show the number of a character that a terminal or locale cannot show; stderr does so anyway."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
