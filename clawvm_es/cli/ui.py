"""`clawvm ui`: the debugger in the browser. Twin of `clawvm_es.web.serve`."""

from __future__ import annotations

import click

from clawvm_es.cli.options import Whole, complete_sessions, journal_argument, json_option


@click.command()
@journal_argument
@click.option(
    "--session",
    "-s",
    metavar="ID",
    shell_complete=complete_sessions,
    help="Open this session. Default: the list of all.",
)
@click.option("--turn", type=Whole(1), metavar="N", help="Open this turn of the session.")
@click.option(
    "--port", type=Whole(0, 65535), metavar="PORT", help="Default: 8740, or a free one where that is in use."
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need the token.")
@click.option("--allow-host", "allowed", multiple=True, metavar="NAME", help="Name by which others reach this host.")
@json_option
def ui(
    journal: str,
    session: str | None,
    turn: int | None,
    port: int | None,
    no_browser: bool,
    host: str,
    allowed: tuple[str, ...],
    as_json: bool,
) -> None:
    """See sessions in the browser: every prompt as its pages, every miss, and the reason for it.

    Reads only: the journal is not changed, and others may write to it meanwhile. The address holds a token, new
    for each run; other users of this machine see nothing without it. An interrupt ends it.

    \b
    Example:
      clawvm ui j.db
      clawvm ui j.db --session 6113 --turn 40
      clawvm ui j.db --no-browser --port 8741
    """
    from clawvm_es import views
    from clawvm_es.cli.output import counted, emit, say
    from clawvm_es.errors import UsageError

    try:
        from clawvm_es.web.serve import listen, new_token, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise UsageError(f"the browser view needs {missing}", hint="pip install 'clawvm-es[ui]'") from error
    from clawvm_es.journal.snapshots import stale
    from clawvm_es.views.reading import require_journal
    from clawvm_es.views.words import command
    from clawvm_es.web.ids import key_of

    if turn is not None and session is None:
        raise UsageError("--turn needs a --session")
    require_journal(journal)
    path = "/"
    with views.opened(journal) as log:
        if old := len(stale(log)):
            say(
                f"turns of {counted(old, 'session')} take longer to show: another version of clawvm wrote here last",
                f"{command('rebuild', journal)} makes them quick",
            )
        if session is not None:
            path = f"/s/{key_of(views.chosen(log, session))}" + ("" if turn is None else f"/t/{turn}")
    place = listen(host, port, allowed)
    address = place.address(new := new_token(), path)

    def ready() -> None:
        emit({"journal": journal, "address": address, "port": place.port, "token": new}, [address], as_json)
        say("listening", "an interrupt (Ctrl-C) ends it")
        if not no_browser:
            click.launch(address)

    serve(journal, place, new, ready)
