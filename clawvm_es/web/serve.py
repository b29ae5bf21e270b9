"""The server: on a port of this machine, until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import uvicorn

from clawvm_es.errors import UsageError
from clawvm_es.serving import LOOPBACK_ADDRESSES, Server, bound, why_not
from clawvm_es.web.app import app
from clawvm_es.web.guard import LOOPBACK, TOKEN

PORT: Final = 8740
"""The port, if it is free and none is asked for: with it, addresses in a browser's history stay good."""
_GRACE_S: Final = 1


@attrs.frozen
class Place:
    """Address at which a server listens, and names under which it may be reached."""

    socket: socket.socket
    host: str
    port: int
    hosts: tuple[str, ...]

    def address(self, token: str, path: str = "/") -> str:
        """The address to open, which lets a browser in."""
        host = self.host if self.host in LOOPBACK_ADDRESSES else self.hosts[-1]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{path}?{TOKEN}={token}"


def listen(host: str = "127.0.0.1", port: int | None = None, allowed: Sequence[str] = ()) -> Place:
    """Take a port: the requested one, else `PORT`, else a free one.

    Raises `UsageError` if the port is in use, and for a public host without a name by which others may reach it.
    """
    if host not in LOOPBACK_ADDRESSES and not allowed:
        raise UsageError(
            f"--host {host} lets other machines ask: say under which name they may",
            hint=f"--allow-host NAME; without --host only this machine asks ({LOOPBACK_ADDRESSES[0]})",
        )
    wanted = (PORT, 0) if port is None else (port,)
    for number in wanted:
        try:
            found = bound(host, number)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and number != wanted[-1]:
                continue
            raise UsageError(why_not(host, number, error), hint="--port 0 takes a free one") from error
        return Place(found, host, found.getsockname()[1], (*LOOPBACK, *(name.lower() for name in allowed)))
    raise AssertionError("one of the ports was taken, or raised")


def new_token() -> str:
    """A token that cannot be guessed, new for each run."""
    return secrets.token_urlsafe(24)


def serve(journal: str, place: Place, token: str, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until interrupted; `ready` is called once requests are taken. Closes the socket."""
    server: Server | None = None

    def stopping() -> bool:
        return server is None or server.should_exit

    served = app(journal, token, place.port, place.hosts, stopping=stopping)
    config = uvicorn.Config(
        served,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
        ws="none",
    )
    server = Server(config, ready)
    try:
        asyncio.run(server.serve([place.socket]))
    except KeyboardInterrupt:
        pass
    finally:
        place.socket.close()
