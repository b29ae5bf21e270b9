"""`clawvm proxy`: between a harness and its provider. Twin of `clawvm_es.integrations.proxy`."""

from __future__ import annotations

import click

from clawvm_es.cli.options import Whole, json_option
from clawvm_es.cli.place import made_journal_option


@click.command()
@made_journal_option
@click.option("--upstream", metavar="URL", help="The provider. Default: Anthropic's or OpenAI's, by what is asked.")
@click.option(
    "--port", type=Whole(0, 65535), metavar="PORT", default=8742, show_default=True, help="0 takes a free one."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; anyone who reaches it may use it."
)
@click.option("--keep", type=Whole(0), default=6, show_default=True, metavar="K", help="Newest results that stay.")
@click.option(
    "--budget", type=Whole(1), metavar="TOKENS", help="Tokens of one request. Default: what fits the window."
)
@click.option(
    "--window",
    type=Whole(1),
    metavar="TOKENS",
    default=200_000,
    show_default=True,
    help="Tokens of the model's window.",
)
@click.option("--no-paging", is_flag=True, help="Record only; every request goes on as it came.")
@json_option
def proxy(
    journal: str,
    upstream: str | None,
    port: int,
    host: str,
    keep: int,
    budget: int | None,
    window: int,
    no_paging: bool,
    as_json: bool,
) -> None:
    """Record the requests that a harness really sends to its provider, and page old tool results.

    Speaks Anthropic Messages, OpenAI Chat Completions and Responses. Any other request, and any that fails here,
    is forwarded unchanged. Only contents of tool results are replaced, by a line that says where they are kept.
    API keys pass through and are never stored. An interrupt ends it.

    \b
    Example:
      clawvm proxy --journal j.db
      ANTHROPIC_BASE_URL=http://127.0.0.1:8742 claude
    """
    from clawvm_es.cli.output import emit, say
    from clawvm_es.errors import UsageError

    try:
        from clawvm_es.integrations.proxy.histories import Options
        from clawvm_es.integrations.proxy.serve import checked, listen, made, serve
        from clawvm_es.serving import LOOPBACK_ADDRESSES
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("httpx", "uvicorn"):
            raise
        raise UsageError(f"the proxy needs {missing}", hint="pip install 'clawvm-es[proxy]'") from error

    place = listen(host, port)
    options = Options(pages=not no_paging, keep=keep, budget=budget, window=window)
    served = made(journal, options, checked(upstream, place), lambda line: say(f"proxy: {line}"))
    if host not in LOOPBACK_ADDRESSES:
        say(f"proxy: {host} lets other machines send requests through this one")

    def ready() -> None:
        set_to = f"ANTHROPIC_BASE_URL={place.address} OPENAI_BASE_URL={place.address}/v1"
        emit({"journal": journal, "address": place.address, "port": place.port}, [set_to], as_json)

    serve(served, place, ready)
