"""A fake API on loopback, in the shape of a provider: it streams the answers of a script, and keeps every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import attrs

Document = dict[str, Any]
Script = Callable[[Document], list[Document]]
"""A request's body → the parts of the answer."""

BODY_MAX: Final = 1 << 24
"""Bytes of one request."""
REQUESTS_MAX: Final = 200
"""Requests that are answered."""


@attrs.frozen
class Shape:
    """A provider's shape: where its model calls go, and how an answer is told.

    `base` follows the address that a client is given, `listed` answers what is read, `named` gives a part its ids by
    its number, `events` tells an answer by its number, parts and input tokens, `whole` is that in one document.
    """

    path: str
    base: str
    listed: Document
    named: Callable[[Document, int], None]
    events: Callable[[Document, int, list[Document], int], Iterator[Document]]
    whole: Callable[[list[Document]], Document]


def _counted(request: Document) -> int:
    return len(json.dumps(request)) // 4


@attrs.define(eq=False)
class FakeApi:
    """The server: `requests` are the bodies of all model calls, oldest first; `tokens` counts the input of each."""

    shape: Shape
    script: Script
    tokens: Callable[[Document], int] = _counted
    requests: list[Document] = attrs.field(factory=list)
    others: list[str] = attrs.field(factory=list)
    _number: int = 0
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _server: ThreadingHTTPServer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address that a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.shape.base}"

    @contextmanager
    def running(self) -> Iterator[FakeApi]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, request: Document) -> list[Document]:
        """The events of an answer's stream."""
        with self._lock:
            self.requests.append(request)
            if len(self.requests) > REQUESTS_MAX:
                raise RuntimeError("too many requests")
            parts = [dict(part) for part in self.script(request)]
            for part in parts:
                self._number += 1
                self.shape.named(part, self._number)
            return list(self.shape.events(request, self._number, parts, self.tokens(request)))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                fake.others.append(self.path)
                self._send(fake.shape.listed)

            do_HEAD = do_GET

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_MAX))
                if not self.path.startswith(fake.shape.path):
                    fake.others.append(self.path)
                    self._send({})
                    return
                request = json.loads(body)
                if "count_tokens" in self.path:
                    self._send({"input_tokens": len(body) // 4})
                    return
                events = fake.answer(request)
                if request.get("stream"):
                    lines = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
                    self._send_bytes("".join(lines).encode(), "text/event-stream")
                else:
                    self._send(fake.shape.whole(events))

            def _send(self, document: Document) -> None:
                self._send_bytes(json.dumps(document).encode(), "application/json")

            def _send_bytes(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        return Handler
