"""A proxy between log and server that reads the protocol's messages, and cuts a connection at one of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import attrs

CLIENT, SERVER = "client", "server"


@attrs.define
class Cutter:
    """One cut to come: at the n-th message that `counts`; `came` tells whether it was reached."""

    left: int
    counts: Callable[[str, bytes, bytes], bool]
    came: bool = False

    def meets(self, side: str, kind: bytes, payload: bytes) -> bool:
        """Tell whether the connection is cut instead of letting a message through."""
        if self.came or not self.counts(side, kind, payload):
            return False
        self.left -= 1
        self.came = self.left <= 0
        return self.came


def commits(side: str, kind: bytes, payload: bytes) -> bool:
    """Count the commits that a client asks for."""
    return side == CLIENT and kind in b"PQ" and (b"COMMIT\0" in payload or b"CALL " in payload)


def committed(side: str, kind: bytes, payload: bytes) -> bool:
    """Count the commits that the server tells of."""
    return side == SERVER and kind == b"C" and payload in (b"COMMIT\0", b"CALL\0")


class Proxy:
    """Listens on a port of its own, and passes messages on; `cut` cuts one connection."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._cutter: Cutter | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self, at: int, counts: Callable[[str, bytes, bytes], bool]) -> Iterator[Cutter]:
        """Cut at the `at`-th message from now that counts."""
        cutter = self._cutter = Cutter(at, counts)
        try:
            yield cutter
        finally:
            self._cutter = None

    def close(self) -> None:
        """Cut everything off."""
        self._listener.close()
        for each in self._open:
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for each in (client, server):  # else each message waits for the answer to the one before
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for side, source, sink in ((CLIENT, client, server), (SERVER, server, client)):
                threading.Thread(target=self._pass, args=(side, source, sink), daemon=True).start()

    def _pass(self, side: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, EOFError), source.makefile("rb") as stream:
            if side == CLIENT:  # the first message has no kind
                head = _read(stream, 4)
                sink.sendall(head + _read(stream, int.from_bytes(head, "big") - 4))
            while True:
                kind, head = _read(stream, 1), _read(stream, 4)
                payload = _read(stream, int.from_bytes(head, "big") - 4)
                with self._lock:
                    if self._cutter is not None and self._cutter.meets(side, kind, payload):
                        break
                sink.sendall(kind + head + payload)
        _end(source)
        _end(sink)


def _read(stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
