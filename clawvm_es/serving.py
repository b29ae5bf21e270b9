"""Shared parts of this package's servers: a port taken before they start, and a signal once they are ready."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final

import uvicorn

LOOPBACK_ADDRESSES: Final = ("127.0.0.1", "::1", "localhost")
BACKLOG: Final = 128
"""Connections that may wait to be accepted."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on a port; 0 takes a free one. Raises `OSError` if the port is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # these alone are sent to at once
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


def why_not(host: str, port: int, error: OSError) -> str:
    """Explain why a port is not available."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


class Server(uvicorn.Server):
    """A server that signals when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept requests, and signal it."""
        await super().startup(sockets)
        if self.started:
            self._ready()
