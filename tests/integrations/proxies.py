"""A proxy on loopback and providers behind it, as tests run them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import httpx

from clawvm_es import Journal
from clawvm_es.integrations.proxy.app import Proxy
from clawvm_es.integrations.proxy.histories import Options
from clawvm_es.integrations.proxy.serve import listen, made, serve
from clawvm_es.model import events as e
from tests.waiting import until

Document = dict[str, Any]


@attrs.define
class Reply:
    """An answer of a provider: its parts, sent one by one; `cut` ends the connection after them."""

    parts: list[bytes]
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = attrs.field(factory=dict)
    cut: bool = False
    before: Callable[[int], None] = lambda part: None

    @classmethod
    def of(cls, document: Any, status: int = 200, **headers: str) -> Reply:
        """A whole document."""
        return cls([json.dumps(document).encode()], status, headers=headers)

    @classmethod
    def stream(cls, *events: Document, **options: Any) -> Reply:
        """A stream of events, each a part."""
        parts = [f"event: {each.get('type')}\ndata: {json.dumps(each)}\n\n".encode() for each in events]
        return cls(parts, kind="text/event-stream", **options)


@attrs.define
class Asked:
    """A request as it reached a provider."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Document:
        """The body as a document."""
        found: Document = json.loads(self.body)
        return found


@attrs.define
class Upstream:
    """A provider that answers by a script, and keeps what it was asked."""

    script: Callable[[Asked], Reply]
    asked: list[Asked] = attrs.field(factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Upstream]:
        """Serve until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                upstream.asked.append(asked)
                self._send(upstream.script(asked))

            do_POST = do_DELETE = do_GET

            def _send(self, reply: Reply) -> None:
                whole = len(reply.parts) == 1 and not reply.cut
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                for name, value in reply.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if whole:
                    self.send_header("Content-Length", str(len(reply.parts[0])))
                else:
                    self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number, part in enumerate(reply.parts):
                    reply.before(number)
                    self.wfile.write(part if whole else b"%x\r\n%s\r\n" % (len(part), part))
                    self.wfile.flush()
                if reply.cut:
                    self.close_connection = True
                elif not whole:
                    self.wfile.write(b"0\r\n\r\n")

        return Handler


@attrs.define
class Running:
    """A proxy that runs, and what it told of failures."""

    proxy: Proxy
    url: str
    journal: Path
    told: list[str]
    client: httpx.Client

    def post(self, path: str, document: Any, **headers: str) -> httpx.Response:
        """Send a document, or bytes, and wait for the whole answer."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {"content-type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return self.client.post(self.url + path, content=content, headers=named)

    def recorded(self) -> dict[str, list[e.Event]]:
        """The inputs of each session, once all that was given is recorded."""
        self.settle()
        with Journal.open(self.journal, read_only=True) as journal:
            names = [head.session_id for head in journal.log.heads()]
            return {name: [row.data for row in journal.log.read(name) if row.kind == "input"] for name in names}

    def settle(self) -> None:
        """Wait until every answer has ended, and all that was given is recorded."""
        until(lambda: not self.proxy.under_way, "the answers to end")
        self.proxy.recorder.flush()


@contextmanager
def proxied(journal: Path, upstream: str | None, options: Options | None = None) -> Iterator[Running]:
    """A proxy in front of a provider, until the block ends."""
    told: list[str] = []
    place, stop, up = listen(port=0), threading.Event(), threading.Event()
    proxy = made(str(journal), options or Options(), upstream, told.append)
    proxy.recorder.wait_s = 0.2
    thread = threading.Thread(target=serve, args=(proxy, place, up.set, stop))
    thread.start()
    assert up.wait(60)
    try:
        with httpx.Client(timeout=60, verify=False) as client:
            yield Running(proxy, place.address, journal, told, client)
    finally:
        stop.set()
        thread.join()


# ------------------------------------------------------------------------------------ requests and answers


def anthropic(*messages: Document, system: str = "You help.", **more: Any) -> Document:
    """A request of Anthropic's, as their client writes it."""
    tools = [{"name": "Read", "description": "Reads a file.", "input_schema": {"type": "object"}}]
    fixed = {"model": "claude-x", "max_tokens": 1000, "system": system, "tools": tools}
    return {**fixed, "messages": list(messages), **more}


def said(text: str) -> Document:
    """A message of the user."""
    return {"role": "user", "content": text}


def called(number: int, path: str = "a.txt") -> Document:
    """An answer with one call."""
    use = {"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {"file_path": path}}
    return {"role": "assistant", "content": [use]}


def gave(number: int, text: str) -> Document:
    """The result of such a call."""
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": text}]}


def message(text: str = "All right.", **usage: int) -> Document:
    """A whole answer of Anthropic's."""
    counts = {"input_tokens": 100, "output_tokens": 7, **usage}
    content = [{"type": "text", "text": text}]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-1"}
    return {**head, "content": content, "stop_reason": "end_turn", "usage": counts}


def stream(text: str = "All right.") -> list[Document]:
    """The events of such an answer."""
    head = {**message(), "content": [], "stop_reason": None, "usage": {"input_tokens": 40, "output_tokens": 1}}
    half = len(text) // 2
    return [
        {"type": "message_start", "message": {**head, "usage": {**head["usage"], "cache_read_input_tokens": 60}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[:half]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[half:]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
