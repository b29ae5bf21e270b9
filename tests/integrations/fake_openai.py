"""A fake OpenAI Responses API on loopback: it streams the answers of a script, and keeps every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

Item = dict[str, Any]
Script = Callable[[dict[str, Any]], list[Item]]
"""A request's body → the items of the answer."""

BODY_MAX: Final = 1 << 24
"""Bytes of one request."""
REQUESTS_MAX: Final = 200
"""Requests that are answered."""


def says(text: str) -> Item:
    """A message of the model's."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "completed", "content": content}


def calls(name: str, /, **arguments: Any) -> Item:
    """A call of a function; its id is given when it is sent."""
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "status": "completed"}


def texts(request: dict[str, Any]) -> str:
    """All texts of a request's instructions and items, in their order."""
    return "\n".join(_texts([request.get("instructions", ""), request["input"]]))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for key in ("text", "content", "output", "arguments", "input"):
            yield from _texts(node.get(key))


class FakeOpenAI:
    """The server: `requests` are the bodies of all model calls, oldest first; `tokens` counts the input of each."""

    def __init__(self, script: Script, tokens: Callable[[dict[str, Any]], int] | None = None) -> None:
        self.script = script
        self.tokens = tokens or (lambda request: len(json.dumps(request)) // 4)
        self.requests: list[dict[str, Any]] = []
        self.others: list[str] = []
        self._lock = threading.Lock()
        self._number = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address that a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @contextmanager
    def running(self) -> Iterator[FakeOpenAI]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of an answer's stream."""
        with self._lock:
            self.requests.append(request)
            if len(self.requests) > REQUESTS_MAX:
                raise RuntimeError("too many requests")
            items = [dict(item) for item in self.script(request)]
            for item in items:
                self._number += 1
                item["id"] = f"item_{self._number:08d}"
                if item["type"] == "function_call":
                    item["call_id"] = f"call_{self._number:08d}"
            response = {"id": f"resp_{self._number:08d}", "object": "response", "model": request.get("model")}
        return list(_events(response, items, self.tokens(request)))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                fake.others.append(self.path)
                self._send(b'{"object": "list", "data": [], "models": []}', "application/json")

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_MAX))
                if not self.path.startswith("/v1/responses"):
                    fake.others.append(self.path)
                    self._send(b"{}", "application/json")
                    return
                request = json.loads(body)
                events = fake.answer(request)
                if request.get("stream"):
                    lines = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
                    self._send("".join(lines).encode(), "text/event-stream")
                else:
                    self._send(json.dumps(events[-1]["response"]).encode(), "application/json")

            def _send(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler


def _events(response: dict[str, Any], items: list[Item], tokens: int) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    for index, item in enumerate(items):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        kind, said = ("output_text", _said(item)) if item["type"] == "message" else ("function_call_arguments", "")
        for part in (said[: len(said) // 2], said[len(said) // 2 :]) if said else ():
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield {"type": f"response.{kind}.delta", **place, "delta": part}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {
        **{"input_tokens": tokens, "output_tokens": 20, "total_tokens": tokens + 20},
        **{"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
    }
    yield {
        "type": "response.completed",
        "response": {**response, "status": "completed", "output": items, "usage": usage},
    }


def _begun(item: Item) -> Item:
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, **empty, "status": "in_progress"}


def _said(item: Item) -> str:
    return str(item["content"][0]["text"])
