"""`clawvm mcp`: pages and memory as tools of an MCP client. Twin of `clawvm_es.integrations.mcp.serve`."""

from __future__ import annotations

import os
import signal

import click

from clawvm_es.cli.options import json_option
from clawvm_es.cli.place import made_journal_option


@click.command()
@made_journal_option
@click.option(
    "--session", "-s", metavar="ID", help="The session. Default: the newest that hooks told of this folder."
)
@click.option("--folder", type=click.Path(), metavar="FOLDER", help="The agent's folder. Default: the current one.")
@click.option("--admit", is_flag=True, help="Ask A-MAC (arXiv:2603.04549) before something is remembered.")
@json_option
def mcp(journal: str, session: str | None, folder: str | None, admit: bool, as_json: bool) -> None:
    """Serve pages and memory as tools of an MCP client, on stdin and stdout.

    Needs the extra `mcp`. With --json, print the tools and end.

    \b
    Example:
      clawvm mcp --journal j.db
    """
    from clawvm_es.integrations.mcp import NAMES, Tools, serve

    tools = Tools(journal, folder or os.getcwd(), session)
    if admit:
        from clawvm_es.integrations.admission import Amac

        tools.validators["amac"] = Amac()
    if as_json:
        from clawvm_es.cli.output import emit

        named = [{"name": name, "does": (getattr(tools, name).__doc__ or "").strip()} for name in NAMES]
        emit({"journal": journal, "tools": named}, (), as_json)
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own would wait for a line on stdin first
    serve(tools)
