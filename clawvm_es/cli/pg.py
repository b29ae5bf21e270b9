"""`clawvm pg init` and `clawvm pg doctor`: journals in PostgreSQL."""

from __future__ import annotations

import click

from clawvm_es.cli.options import json_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def pg() -> None:
    """Make a journal in PostgreSQL, and look at its server.

    A journal's URL is postgresql://USER@HOST/DATABASE?schema=NAME; passwords are best kept in ~/.pgpass. Every verb
    takes such a URL where it takes a journal; `backup` is the server's own (pg_dump).

    \b
    Example:
      clawvm pg init postgresql://owner@db/agents
      clawvm replay session.jsonl --journal postgresql://owner@db/agents
      clawvm pg doctor postgresql://owner@db/agents --json
    """


def _server(url: str) -> str:
    """The URL of a server, without its password; raises `UsageError` for the place of a file."""
    from clawvm_es.errors import UsageError
    from clawvm_es.urls import shown

    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError(f"{url!r} is no URL of PostgreSQL", hint="postgresql://USER@HOST/DATABASE")
    return shown(url)


@pg.command()
@click.argument("url")
@click.option("--writer", metavar="ROLE", default="clawvm_writer", show_default=True, help="Role that may append.")
@click.option("--reader", metavar="ROLE", default="clawvm_reader", show_default=True, help="Role that may read.")
@click.option("--reproducible", is_flag=True, help="For sessions with a seed only: their salts follow from it.")
@json_option
def init(url: str, writer: str, reader: str, reproducible: bool, as_json: bool) -> None:
    """Make the journal at URL, and roles that may append or read. Running it again adds what is missing.

    The roles have no login: GRANT them to the users who may use them. Whoever runs this owns the journal, and may
    erase.

    \b
    Example:
      clawvm pg init postgresql://owner@db/agents --writer agents --reader analysts
    """
    from clawvm_es.cli.output import emit
    from clawvm_es.storage import initialize

    place = _server(url)
    done = initialize(place, writer=writer, reader=reader, reproducible=reproducible)
    emit({"journal": str(place), "done": done}, done or ["nothing was missing"], as_json)


@pg.command(short_help="Check a server for the journal at URL.")
@click.argument("url")
@json_option
@click.pass_context
def doctor(context: click.Context, url: str, as_json: bool) -> None:
    """Check a server for the journal at URL: version, rights, guards, durability. Exit code 1: something is missing.

    \b
    Example:
      clawvm pg doctor postgresql://agents@db/agents
    """
    import attrs

    from clawvm_es.cli.output import bad, emit, good
    from clawvm_es.storage import doctor as look

    place = _server(url)
    findings = look(place)
    lines = [f"{good('✓') if each.good else bad('✗')} {each.what}: {each.detail}" for each in findings]
    emit({"journal": str(place), "findings": [attrs.asdict(each) for each in findings]}, lines, as_json)
    if not all(each.good for each in findings):
        context.exit(1)
