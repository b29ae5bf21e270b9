"""A fake Anthropic Messages API on loopback: it streams the answers of a script, and keeps every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

Block = dict[str, Any]
Script = Callable[[dict[str, Any]], list[Block]]
"""A request's body → the blocks of the answer."""

BODY_MAX: Final = 1 << 24
"""Bytes of one request."""
REQUESTS_MAX: Final = 200
"""Requests that are answered."""


def says(text: str) -> Block:
    """A block of text."""
    return {"type": "text", "text": text}


def calls(name: str, /, **arguments: Any) -> Block:
    """A call of a tool; its id is given when it is sent."""
    return {"type": "tool_use", "name": name, "input": arguments}


def texts(request: dict[str, Any]) -> str:
    """All texts of a request's system prompt and messages, in their order."""
    return "\n".join(_texts([request.get("system", []), request["messages"]]))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for key in ("text", "content", "input"):
            yield from _texts(node.get(key))
        yield from (json.dumps(value) for key, value in node.items() if key == "input")


class FakeAnthropic:
    """The server: `requests` are the bodies of all model calls, oldest first."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.others: list[str] = []
        self._lock = threading.Lock()
        self._number = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The address that a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[FakeAnthropic]:
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
            blocks = [dict(block) for block in self.script(request)]
            for block in blocks:
                self._number += 1
                if block["type"] == "tool_use":
                    block["id"] = f"toolu_{self._number:08d}"
            message = f"msg_{self._number:08d}"
        return list(_events(message, str(request.get("model")), blocks, len(json.dumps(request)) // 4))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            def do_HEAD(self) -> None:
                self._send({})

            def do_GET(self) -> None:
                fake.others.append(self.path)
                self._send({})

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_MAX))
                if not self.path.startswith("/v1/messages"):
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
                    self._send(_whole(events))

            def _send(self, document: object) -> None:
                self._send_bytes(json.dumps(document).encode(), "application/json")

            def _send_bytes(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        return Handler


def _events(message: str, model: str, blocks: list[Block], tokens: int) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": tokens, "output_tokens": 1, "cache_read_input_tokens": 0}
    head = {"id": message, "type": "message", "role": "assistant", "model": model, "content": []}
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    for index, block in enumerate(blocks):
        whole = block["type"] == "tool_use"
        start = {**block, "input": {}} if whole else {**block, "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        kind, key = ("input_json_delta", "partial_json") if whole else ("text_delta", "text")
        said = json.dumps(block["input"]) if whole else block["text"]
        half = len(said) // 2
        for part in (said[:half], said[half:]):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: part}}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    stop = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def _whole(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer in one document."""
    message = dict(events[0]["message"])
    content: list[Block] = []
    parts: list[str] = []
    for each in events:
        if each["type"] == "content_block_start":
            content.append(dict(each["content_block"]))
            parts = []
        elif each["type"] == "content_block_delta":
            parts.append(each["delta"].get("text") or each["delta"].get("partial_json") or "")
        elif each["type"] == "content_block_stop":
            said = "".join(parts)
            if content[-1]["type"] == "text":
                content[-1]["text"] = said
            else:
                content[-1]["input"] = json.loads(said)
        elif each["type"] == "message_delta":
            message |= each["delta"]
    return {**message, "content": content}
